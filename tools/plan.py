"""What a run of the whole pipeline will take: hours, disk and memory of each stage; and a rehearsal of it.

Reads  the work root's tables; what --rehearse has measured on this machine
Writes with --rehearse: rehearsal/ in the work root; real files are never touched
Run    python3 tools/plan.py --rehearse

--rehearse runs every stage, one fold of each, on few of your photos at the profile's true photo sizes,
batches and nets, and names what fails or does not fit before a long run begins. It goes on after a stage
that fails, and can be run again: what is up to date is not run twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from whales.stages.options import parse_arguments, positive
from whales.stages.stage import run

PROJECT = Path(__file__).resolve().parents[1]


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rehearse", action="store_true", help="run every stage for a few steps")
    add(
        "--steps", dest="epoch_steps", type=positive, default=2, metavar="N", help="of an epoch (2)"
    )
    add("--only", nargs="+", default=(), metavar="PART", help="stages with this in their names")


def main(argv: Sequence[str] | None = None) -> None:
    options, args = parse_arguments(__doc__, argv, extra=add_options)
    from whales.planning.rehearsing import rehearse

    rehearse(options.workspace, PROJECT, options.profile, args.epoch_steps, args.only)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
