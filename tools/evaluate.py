"""Evaluate a submission: what the competition would refuse, MAP@5, top 1 to 5, how new whales are told.

Reads  SUBMISSION and TRUTH, both tables Image,Id; data/train.csv of the work root if it is there
Writes nothing; with --json FILE the same numbers there
Run    python3 tools/evaluate.py SUBMISSION TRUTH
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from whales.base.console import configure, log
from whales.base.errors import UserError
from whales.base.writing import require_writable, write_text
from whales.files.labels import identities_of, read_labels
from whales.files.workspace import Workspace
from whales.inspecting.questions import valid_answers
from whales.scores.evaluation import CONFIDENCE, measures
from whales.stages.options import ArgumentParser, positive, seed
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_argument("submission", type=Path, metavar="SUBMISSION")
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="the right answer of each photo")
    parser.add_argument("--samples", type=positive, default=2000, help="of the bootstrap (2000)")
    parser.add_argument("--seed", type=seed, default=0, help="of the bootstrap (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here as well")
    args = parser.parse_args(argv)
    configure(quiet=False)
    require_writable(args.json)
    workspace = Workspace().existing(needed=False)
    truth = identities_of(read_labels(args.truth))
    if not truth:
        raise UserError(f"{args.truth} has no photos")
    answers = valid_answers(args.submission, list(truth), workspace)
    table = measures(truth, answers, args.samples, np.random.default_rng(args.seed))
    log(f"{'':36} value  {CONFIDENCE:.0%} interval  photos")
    log(*(measure.line() for measure in table))
    if args.json:
        rows = [measure.plain() for measure in table]
        write_text(args.json, json.dumps(rows, indent=1, allow_nan=False) + "\n")


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
