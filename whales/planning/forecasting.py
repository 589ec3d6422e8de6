"""Hours, memory and disk of every call of the pipeline, and when each would run on several devices."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whales.files.folds import FOLDS
from whales.nets.net import Net
from whales.planning.amounts import Amounts
from whales.planning.devices import Rates
from whales.stages.memory import largest_step
from whales.stages.pipeline import Call, calls, hours_of_chains, needed
from whales.training.forecast import FORWARD, FORWARD_AND_BACK, Forecast
from whales.training.plan import Plan

MEASURED, COUNTED, GUESSED = "measured", "counted", "guessed"
# Pair scores and photos of one assignment a second, on a host of 16 cores beside a GPU: guesses from two
# cores' 640,000 scores, and their 10,723 photos in 9.5 to 27 s (docs/speed.md).
_SCORES_A_SECOND, _ASSIGNMENT = 5e6, 15.0
_ASSIGNED_PHOTOS = 10_723
_SCORE_BYTES, _GB = 4, 1e9


@dataclass(frozen=True)
class Forecasted:
    """What one call takes.

    hours: on one device; source: MEASURED (its steps' seconds were rehearsed there), COUNTED (its passes
    are counted, the device's rate is a guess) or GUESSED; device_gb, host_gb: memory; disk_gb: what it
    leaves, without caches; devices: that it takes, one at most: what two would save on one call they save
    more surely on two folds.
    """

    call: Call
    hours: float
    source: str
    device_gb: float
    host_gb: float
    disk_gb: float
    devices: int


def forecasts(
    profile: str,
    amounts: Amounts,
    rates: Rates,
    plans: Mapping[str, Sequence[Plan]],
    nets: Mapping[str, Net],
) -> list[Forecasted]:
    """Of every call in README order.

    plans: script -> the plans that it trains, none for other stages; nets: script -> the net that it trains
    or scores with.
    """
    return [_forecast(call, profile, amounts, rates, plans, nets) for call in calls(profile)]


def _forecast(
    call: Call,
    profile: str,
    amounts: Amounts,
    rates: Rates,
    plans: Mapping[str, Sequence[Plan]],
    nets: Mapping[str, Net],
) -> Forecasted:
    script, takes = call.stage.script, call.stage.takes[profile]
    net, trained, folds = nets.get(script), plans.get(script, ()), max(1, len(call.folds))
    hours, source, device_gb, disk_gb = takes.hours, GUESSED, 0.0, 0.0
    if net and trained:
        seconds = [_training(plan, net, amounts, rates, bool(call.folds)) for plan in trained]
        known = [value for value in seconds if value is not None]
        if len(known) == len(seconds):
            hours = folds * sum(known) / 3600
            source = MEASURED if rates.measured(net) else COUNTED
        device_gb = max(largest_step(net, plan) for plan in trained)
        files = sum(_weight_files(plan) for plan in trained)
        disk_gb = folds * files * net.weights_mb * 1e6 / _GB
    elif net:
        folds = FOLDS if call.stage.folds is None else folds
        seconds_of_fold = _inference(net, profile, amounts, rates, call.stage.folds is not None)
        if seconds_of_fold is not None:
            hours = folds * seconds_of_fold / 3600
            source = MEASURED if rates.measured(net) else COUNTED
        rows = amounts.valid + amounts.test if call.stage.folds else amounts.test / FOLDS
        disk_gb = folds * rows * amounts.known * _SCORE_BYTES / _GB
    return Forecasted(call, hours, source, device_gb, takes.memory, disk_gb, min(takes.gpus, 1))


def _training(plan: Plan, net: Net, amounts: Amounts, rates: Rates, on_folds: bool) -> float | None:
    """Seconds of a plan: every epoch's steps, every round's mining, every validation."""
    photos = amounts.trained(on_folds)
    forecast = Forecast(plan, photos, amounts.valid + amounts.fold)
    for block in plan.blocks:
        rate = rates.operations_a_second(net, block.frozen)
        if rate is None:
            return None
        pairs = plan.pairs_at_once(block)
        work = (
            2 * pairs * net.operations(plan.size) * (FORWARD if block.frozen else FORWARD_AND_BACK)
        )
        for _ in range(2):  # the first step of a kind does not count: it compiles
            forecast.stepped(block, work / rate)
    rate = rates.operations_a_second(net, True)
    if rate is None:
        return None
    a_photo = net.operations(plan.size) / rate
    segment = photos / plan.segments
    scores = plan.segments * segment**2 / 2 / _SCORES_A_SECOND
    assignment = plan.segments * _ASSIGNMENT * (segment / _ASSIGNED_PHOTOS) ** 2
    mining = photos * a_photo + scores + assignment
    forecast.mined(mining)
    validated = amounts.valid * amounts.fold / _SCORES_A_SECOND
    forecast.has_validated((amounts.valid + amounts.fold) * a_photo + validated)
    left = forecast.left(0, 0, 0, 0)
    return None if left is None else left.plan + mining


def _inference(
    net: Net, profile: str, amounts: Amounts, rates: Rates, validates: bool
) -> float | None:
    """Seconds of one fold: features of every photo, scores of all pairs."""
    rate = rates.operations_a_second(net, True)
    if rate is None:
        return None
    photos = amounts.known + amounts.test
    rows = amounts.test + (amounts.valid if validates else 0)
    features = photos * net.operations(net.sizes[profile]) / rate
    return features + rows * amounts.known / _SCORES_A_SECOND


def _weight_files(plan: Plan) -> int:
    return sum(block.rounds if block.each_round else 1 for block in plan.blocks)


@dataclass(frozen=True)
class Run:
    """A call on devices: hours from the start to its begin and end, and the devices' numbers."""

    forecast: Forecasted
    begin: float
    end: float
    devices: tuple[int, ...]


def critical_path(forecasted: Sequence[Forecasted], profile: str) -> list[Forecasted]:
    """The longest chain of calls that need each other, in order: no number of devices is faster."""
    best: dict[Call, tuple[float, list[Forecasted]]] = {}
    for forecast in forecasted:  # README order: what is needed comes first
        before = [best[call] for call in needed(forecast.call, profile) if call in best]
        hours, chain = max(before, key=lambda path: path[0], default=(0.0, []))
        best[forecast.call] = hours + forecast.hours, [*chain, forecast]
    return max(best.values(), key=lambda path: path[0])[1]


def schedule(forecasted: Sequence[Forecasted], profile: str, devices: int) -> list[Run]:
    """When each call runs on so many devices, each of which takes one call at a time.

    A call begins as soon as what it needs has ended and a device is free, if it takes one; of those that
    could begin, the one with the longest chain of calls behind it does.
    """
    behind = hours_of_chains({one.call: one.hours for one in forecasted}, profile)
    waiting = {forecast.call: forecast for forecast in forecasted}
    ended: set[Call] = set()
    free, runs = list(range(devices)), []
    running: list[tuple[float, int, Run]] = []
    now = 0.0
    while waiting or running:
        ready = [call for call in waiting if ended.issuperset(needed(call, profile))]
        for call in sorted(ready, key=lambda call: -behind[call]):
            forecast = waiting[call]
            if forecast.devices > len(free):
                continue
            taken, free = tuple(free[: forecast.devices]), free[forecast.devices :]
            run = Run(forecast, now, now + forecast.hours, taken)
            heapq.heappush(running, (run.end, len(runs), run))
            runs.append(run)
            del waiting[call]
        now, _, run = heapq.heappop(running)
        ended.add(run.forecast.call)
        free = sorted([*free, *run.devices])
    return runs
