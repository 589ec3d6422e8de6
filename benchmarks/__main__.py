"""Measure this machine: each line is our way beside the plain way of the same work, taken in turn.

python -m benchmarks [--quick] [NAME ..] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Line
from whales.base.console import log
from whales.base.writing import write_text
from whales.stages.stage import run

# The default; `growth` and `steps` take a quarter of an hour and more, and have to be asked for.
DEFAULT = ("pair_scores", "mining", "crops", "networks", "matrices")
NAMES = (*DEFAULT, "growth", "steps")
HEADER = ("what", "unit", "ours", "plain", "ratio", "bar", "limit", "peak MB", "plain's peak", "")


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line for each measurement, and write all of them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(NAMES)}; default all but the last two",
    )
    parser.add_argument("--quick", action="store_true", help="small amounts, to see that all works")
    parser.add_argument(
        "--json", type=Path, default=Path("benchmarks/results.json"), help="also here"
    )
    args = parser.parse_args(argv)
    unknown = set(args.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {min(unknown)}; choose from {', '.join(NAMES)}")
    machine = f"{_processor()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"
    log(machine, f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}")
    measured: list[Line] = []
    for name in args.names or DEFAULT:
        for line in importlib.import_module(f"benchmarks.{name}").lines(args.quick):
            log(_row(line))
            measured.append(line)
    content = {"machine": machine, "quick": args.quick}
    content["lines"] = [{**asdict(line), "ratio": line.ratio} for line in measured]
    write_text(args.json, json.dumps(content, indent=1) + "\n")


def _row(line: Line) -> str:
    amounts = (line.ours, line.plain, line.ratio, line.bar, line.limit)
    peaks = (line.peak_ours, line.peak_plain)
    cells = [line.what, line.unit, *map(_amount, amounts), *map(_amount, peaks), line.note]
    return f"| {' | '.join(cells)} |"


def _amount(value: float | None) -> str:
    """Three significant figures, thousands apart."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    run(main)
