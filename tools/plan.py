"""What a run of the whole pipeline will take: hours, disk and memory of each stage; and a rehearsal of it.

Reads  the work root's tables, else the competition's numbers; what --rehearse has measured; --rates FILE
Writes with --rehearse: rehearsal/ in the work root, real files are never touched; with --csv: FILE
Run    python3 tools/plan.py --profile full --gpu h100:8

Passes over photos are counted from the plans. "measured": steps were rehearsed on this machine (--gpu here)
or on such a GPU (--rates); "counted": the GPU's rate is a guess; "guessed": the whole is.
--rehearse runs every stage, one fold of each, on few photos at the profile's true photo sizes, batches and
nets, and names what fails or does not fit before a long run begins. It goes on after a stage that fails, and
can be run again: what is up to date is not run twice. --measure rehearses the stages that train alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whales_tools.nets import net_of, plans_of

from whales.planning.plan_request import PlanRequest, add_plan_options, answer
from whales.stages.options import parse_arguments, record_of
from whales.stages.stage import run

PROJECT = Path(__file__).resolve().parents[1]


def main(argv: Sequence[str] | None = None) -> None:
    options, args = parse_arguments(__doc__, argv, extra=add_plan_options)
    answer(record_of(PlanRequest, vars(args)), options, PROJECT, net_of, plans_of)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
