"""A forecast as a table for people, and as a CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whales.base.console import log
from whales.base.tables import csv_text
from whales.base.writing import write_text
from whales.planning.forecasting import Run, critical_path
from whales.planning.rehearsing import Rehearsed
from whales.stages.pipeline import STAGES
from whales.training.forecast import duration

_WIDTH = max(len(stage.script) for stage in STAGES)
_COLUMNS = (
    "stage",
    "hours",
    "source",
    "device_gb",
    "host_gb",
    "disk_gb",
    "begin",
    "end",
    "devices",
)


def show(runs: Sequence[Run], profile: str, devices: int, price: float) -> None:
    """Log a line a stage, then the totals.

    price: of a device's hour, 0 where it costs nothing. The calls of a stage share a line: hours of one,
    memory of one, disk of all.
    """
    forecasted = [run.forecast for run in runs]
    log(f"{'stage':{_WIDTH}} calls        each  source    GPU GB  host GB  disk GB")
    for stage in STAGES:
        calls = [forecast for forecast in forecasted if forecast.call.stage is stage]
        first = calls[0]
        disk = sum(forecast.disk_gb for forecast in calls)
        log(
            f"{stage.script:{_WIDTH}} {len(calls):5} {_hours(first.hours):>11}  {first.source:8}"
            f"  {_amount(first.device_gb):>6}  {_amount(first.host_gb):>7}  {_amount(disk):>7}"
        )
    longest = critical_path(forecasted, profile)
    wall = max(run.end for run in runs)
    total = sum(forecast.hours for forecast in forecasted)
    log(
        f"all calls, one after the other: {_hours(total)}; on {devices} device{'s' * (devices > 1)}: "
        f"{_hours(wall)}",
        f"longest chain ({_hours(sum(f.hours for f in longest))}): "
        + ", ".join(forecast.call.name for forecast in longest),
        f"disk: {sum(forecast.disk_gb for forecast in forecasted):.0f} GB of results, and caches as "
        "WHALES_CACHE_GB allows",
    )
    if price:
        log(f"cost: {wall * devices * price:,.0f} ({devices} x {wall:.0f} h at {price:g} an hour)")


def show_rehearsed(rows: Sequence[Rehearsed]) -> None:
    """Log a line a stage: seconds, memory of its largest process, how it went."""
    width = max(len(row.stage) for row in rows)
    log(f"{'stage':{width}}  seconds  peak GB  outcome")
    for row in rows:
        log(f"{row.stage:{width}}  {row.seconds:7.0f}  {row.peak_gb:7.1f}  {row.outcome}")


def _hours(hours: float) -> str:
    return duration(hours * 3600)


def _amount(value: float) -> str:
    return f"{value:.1f}" if value else ""


def write(path: Path, runs: Sequence[Run]) -> None:
    """Write a row a call, in the order of their beginning; hours, gigabytes, device numbers from 0."""
    rows = [
        (
            run.forecast.call.name, f"{run.forecast.hours:.3f}", run.forecast.source,
            f"{run.forecast.device_gb:.1f}", f"{run.forecast.host_gb:.1f}",
            f"{run.forecast.disk_gb:.2f}", f"{run.begin:.3f}", f"{run.end:.3f}",
            " ".join(map(str, run.devices)),
        )
        for run in runs
    ]  # fmt: skip
    write_text(path, csv_text(_COLUMNS, rows))
