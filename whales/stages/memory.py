"""The memory that a training takes on a CPU, told before it begins."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from whales.base.errors import UserError
from whales.base.numbers import as_number
from whales.nets.net import Net
from whales.training.plan import Plan

VARIABLE = "WHALES_MEMORY_GB"
# Of a stage beside its largest step: gigabytes, or a share of the step where that is more. It holds several
# kinds of steps, and validates. Stages of the full profile took .6 to 2.3 GB more (docs/speed.md).
_BEYOND_STEP, _SHARE_BEYOND = 1.1, 0.14
_CGROUPS = (  # limit, use, statistics; version 2, then 1
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


def require_memory(name: str, net: Net, plans: Sequence[Plan]) -> None:
    """`UserError` where a training takes more memory than is free, naming what would fit.

    name: of the stage. Says nothing where a GPU holds the net, or where the free memory is not known.
    """
    free = None if _has_gpu() else free_gigabytes()
    if free is None:
        return
    needed = _needed(net, plans)
    if needed <= free:
        return
    plan = max(plans, key=lambda plan: _needed(net, [plan]))
    advice = f"free some, or use a machine that has them ({VARIABLE} overrides what is free)"
    for parts in sorted(set.intersection(*({*plan.possible_parts()} for plan in plans))):
        smaller = _needed(net, [plan.accumulating(parts) for plan in plans])
        if smaller <= free:
            advice = f"--accumulate {parts} takes {smaller:.1f} GB"
            break
    raise UserError(
        f"{name}: training at {plan.size} px takes about {needed:.1f} GB of memory, {free:.1f} GB are free; "
        f"{advice}"
    )


def largest_step(net: Net, plan: Plan) -> float:
    """Gigabytes that the process of a plan's largest step takes, alone."""
    return max(
        net.memory.gigabytes(plan.size, plan.pairs_at_once(block), block.frozen)
        for block in plan.blocks
    )


def _needed(net: Net, plans: Sequence[Plan]) -> float:
    """Gigabytes of a whole stage: its largest step, and beside it no more than that step's photos take."""
    step = max(largest_step(net, plan) for plan in plans)
    return step + min(max(_BEYOND_STEP, _SHARE_BEYOND * step), step - net.memory.base)


def _has_gpu() -> bool:
    """Whether a GPU is there and not hidden; asked of no framework, since that takes seconds."""
    return any(Path("/dev").glob("nvidia[0-9]*")) and os.environ.get("CUDA_VISIBLE_DEVICES") != ""


def free_gigabytes(system: Path = Path("/")) -> float | None:
    """Memory that a process could take: of the machine, or of the container where that has less.

    None where the system does not say. `WHALES_MEMORY_GB` replaces it; `UserError` where that is no number.
    system: the root of the file system.
    """
    given = os.environ.get(VARIABLE)
    if given:
        number = as_number(given)
        if math.isnan(number):
            raise UserError(f"{VARIABLE} is a number of gigabytes, received {given!r}")
        return number
    free = [_of_machine(system / "proc/meminfo")]
    free += [_of_container(system / "sys/fs/cgroup", *names) for names in _CGROUPS]
    known = [value for value in free if value is not None]
    return min(known) / 1e9 if known else None


def _of_machine(meminfo: Path) -> float | None:
    """Bytes that the kernel says are available."""
    for line in _lines(meminfo):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return 1024.0 * int(value.split()[0])
    return None


def _of_container(folder: Path, limit: str, used: str, stat: str) -> float | None:
    """Bytes that a control group leaves; what it holds of files is given up when it is needed."""
    bounds, uses = _lines(folder / limit), _lines(folder / used)
    if not bounds or not uses or not bounds[0].isdecimal():
        return None
    files = [line.split()[1] for line in _lines(folder / stat) if line.startswith("inactive_file ")]
    return int(bounds[0]) - int(uses[0]) + int(files[0] if files else 0)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
