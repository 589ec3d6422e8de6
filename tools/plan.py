"""What a run of the whole pipeline will take: hours, disk and memory of each stage; and a rehearsal of it.

Reads  the work root's tables, else the competition's numbers; what --rehearse has measured
Writes with --rehearse: rehearsal/ in the work root, real files are never touched; with --csv: FILE
Run    python3 tools/plan.py --profile full --gpu h100:8

Passes over photos are counted from the plans. "measured": steps were rehearsed on this machine (--gpu here);
"counted": the GPU's rate is a guess; "guessed": the whole is.
--rehearse runs every stage, one fold of each, on few photos at the profile's true photo sizes, batches and
nets, and names what fails or does not fit before a long run begins. It goes on after a stage that fails, and
can be run again: what is up to date is not run twice. --measure rehearses the stages that train alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from whales_tools.nets import net_of, plans_of

from whales.base.errors import UserError
from whales.planning.devices import DEVICES, HERE, Rates, devices_of
from whales.planning.rehearsing import rehearse, rehearsed_steps
from whales.stages.options import parse_arguments, positive
from whales.stages.pipeline import STAGES
from whales.stages.stage import run

PROJECT = Path(__file__).resolve().parents[1]
TRAINING = "train", "warmstart"


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--gpu", default="h100:1", metavar="NAME:N", help=f"of {', '.join(DEVICES)}, {HERE}")
    add("--price", type=float, help="of a device's hour (default: a guess of 2026)")
    add("--csv", type=Path, metavar="FILE", help="write a row a call here as well")
    add("--rehearse", action="store_true", help="run every stage for a few steps")
    add("--measure", action="store_true", help="run the stages that train for a few steps")
    add(
        "--steps", dest="epoch_steps", type=positive, default=2, metavar="N", help="of an epoch (2)"
    )
    add(
        "--only",
        nargs="+",
        default=(),
        metavar="PART",
        help="rehearse stages with this in their name",
    )


def main(argv: Sequence[str] | None = None) -> None:
    options, args = parse_arguments(__doc__, argv, extra=add_options)
    (name, count), workspace, profile = devices_of(args.gpu), options.workspace, options.profile
    if args.rehearse or args.measure:
        only = args.only or (() if args.rehearse else TRAINING)
        rehearse(workspace, PROJECT, profile, args.epoch_steps, only)
        return
    from whales.planning import plan_table
    from whales.planning.amounts import COMPETITION, amounts
    from whales.planning.forecasting import forecasts, schedule

    steps = rehearsed_steps(workspace, profile)
    if name == HERE and not steps:
        raise UserError("nothing was measured here yet; run tools/plan.py --measure first")
    rates = Rates(DEVICES.get(name), steps, net_of)
    plans = {stage.script: plans_of(stage.key, profile) for stage in STAGES if net_of(stage.script)}
    nets = {stage.script: net for stage in STAGES if (net := net_of(stage.script))}
    found = forecasts(profile, amounts(workspace) or COMPETITION, rates, plans, nets)
    runs = schedule(found, profile, count)
    price = args.price if args.price is not None else DEVICES[name].price if name != HERE else 0
    plan_table.show(runs, profile, count, price)
    if args.csv:
        plan_table.write(args.csv, runs)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
