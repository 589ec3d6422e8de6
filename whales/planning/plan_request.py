"""What is asked of `tools/plan.py`, and the answer."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whales.base.errors import UserError
from whales.base.numbers import as_number
from whales.files.workspace import Workspace, require
from whales.nets.net import Net
from whales.planning import plan_table
from whales.planning.amounts import COMPETITION, amounts
from whales.planning.devices import DEVICES, HERE, Rates, devices_of
from whales.planning.forecasting import forecasts, schedule
from whales.planning.rehearsing import (
    DONE,
    Step,
    rehearse,
    rehearsed_steps,
    scripts_for_training,
    steps_of,
)
from whales.stages.options import RunOptions, positive
from whales.stages.pipeline import STAGES
from whales.training.plan import Plan


@dataclass(frozen=True)
class PlanRequest:
    """The tool's own options, named as on its command line."""

    gpu: str = "h100:1"
    rates: Path | None = None
    price: float | None = None
    csv: Path | None = None
    rehearse: bool = False
    measure: bool = False
    epoch_steps: int = 2
    only: tuple[str, ...] = ()


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a `PlanRequest`."""
    add = parser.add_argument
    add("--gpu", default="h100:1", metavar="NAME:N", help=f"of {', '.join(DEVICES)}, {HERE}")
    add("--rates", type=Path, metavar="FILE", help="steps that --measure wrote on such a device")
    add("--price", type=_not_negative, help="of a device's hour (default: a guess of 2026)")
    add("--csv", type=Path, metavar="FILE", help="write a row a call here as well")
    add("--rehearse", action="store_true", help="run every stage for a few steps")
    add("--measure", action="store_true", help="run the stages that train for a few steps")
    add(
        "--steps", dest="epoch_steps", type=positive, default=2, metavar="N", help="of an epoch (2)"
    )
    add("--only", nargs="+", default=(), metavar="PART", help="rehearse stages so named")


def _not_negative(text: str) -> float:
    number = as_number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number from 0, received {text}")
    return number


def answer(
    request: PlanRequest,
    options: RunOptions,
    project: Path,
    net_of: Callable[[str], Net | None],
    plans_of: Callable[[str, str], Sequence[Plan]],
) -> None:
    """Rehearse, or forecast and show; see `tools/plan.py`.

    project: the folder of the scripts; net_of: script -> its net, None for one that runs no net; plans_of:
    key of a stage and profile -> the plans that it trains. `UserError` for an unknown device or stage, and
    after a rehearsal in which a stage failed.
    """
    (name, count), workspace, profile = devices_of(request.gpu), options.workspace, options.profile
    if request.rehearse or request.measure:
        if request.csv:
            raise UserError(
                "--csv is of a forecast; a rehearsal writes tables to rehearsal/ by itself"
            )
        only = request.only or (() if request.rehearse else scripts_for_training(profile))
        rows = rehearse(workspace, project, profile, request.epoch_steps, only)
        plan_table.show_rehearsed(rows)
        failed = [row.stage for row in rows if not row.outcome.startswith(DONE)]
        if failed:
            raise UserError(f"{len(failed)} of {len(rows)} stages did not run: {', '.join(failed)}")
        return
    steps = _steps(request, name, workspace, profile, net_of)
    nets = {stage.script: net for stage in STAGES if (net := net_of(stage.script))}
    plans = {stage.script: plans_of(stage.key, profile) for stage in STAGES if stage.script in nets}
    rates = Rates(DEVICES.get(name), steps, net_of)
    found = forecasts(profile, amounts(workspace) or COMPETITION, rates, plans, nets)
    runs = schedule(found, profile, count)
    price = request.price
    if price is None:
        price = DEVICES[name].price if name in DEVICES else 0.0
    plan_table.show(runs, profile, count, price)
    if request.csv:
        plan_table.write(request.csv, runs)


def _steps(
    request: PlanRequest,
    device: str,
    workspace: Workspace,
    profile: str,
    net_of: Callable[[str], Net | None],
) -> list[Step]:
    """The steps that rates are counted from; `UserError` where they are asked for and not there."""
    if request.rates:
        if device == HERE:
            raise UserError(
                "--rates is of another machine; name its device by --gpu, or leave it out"
            )
        require(workspace, request.rates)
        steps: list[Step] = []
        trains = {stage.script for stage in STAGES if stage.trains}
        for step in steps_of(request.rates):
            if step.stage not in trains:
                raise UserError(f"{request.rates}: {step.stage} is no stage that trains a net")
            if net_of(step.stage):  # the detector's hours are not counted from steps
                steps.append(step)
        if not steps:
            raise UserError(f"{request.rates} has no steps; run tools/plan.py --measure there")
        return steps
    if device != HERE:
        return []
    steps = rehearsed_steps(workspace, profile)
    if not steps:
        raise UserError("nothing was measured here yet; run tools/plan.py --measure first")
    return steps
