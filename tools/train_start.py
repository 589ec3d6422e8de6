"""Teach the kernel net on generated flukes alone: the first weights that come with the project.

Reads  nothing; with --measure ROOT: photos, test_labels.csv and boxes of a work root, used for nothing else
Writes FOLDER/generated_start.h5, its recipe generated_start.json, generated_start_curve.csv, a checkpoint
Run    python3 tools/train_start.py FOLDER

Takes 55 minutes on two fast cores; after a stop the same command goes on. The same recipe, simulator, seed,
versions and number of threads give the same weights. --steps and --rounds shorten it, for a trial.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kernel_snn.generated_start import RECIPE, teach
from whales.base.console import configure
from whales.base.writing import require_writable
from whales.files.workspace import Workspace
from whales.stages.backends import prepare_backend
from whales.stages.options import ArgumentParser, positive, seed
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="where the files go")
    add(
        "--measure",
        type=Path,
        metavar="ROOT",
        help="say on the way what the net knows of its photos",
    )
    add("--steps", type=positive, default=RECIPE.steps, help=f"of the contrast ({RECIPE.steps:,})")
    add("--rounds", type=positive, help="of pairs, at most (all)")
    add("--seed", type=seed, default=1, help="of the individuals and of the net (1)")
    add("--workers", type=positive, default=os.cpu_count(), help="processes that draw (one a core)")
    args = parser.parse_args(argv)
    configure(quiet=False)
    require_writable(args.folder / "generated_start.h5")
    prepare_backend(Workspace(args.folder), None)
    teach(args.folder, args.steps, args.rounds, args.seed, args.workers, args.measure)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
