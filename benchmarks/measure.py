"""Timing of two ways to do the same work, and the lines of the table."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Line:
    """One line of the table.

    what: is measured; ours, plain, limit: amounts in `unit`; `limit` is what the machine could reach,
    measured in the same run. bar: the least ratio of ours to plain that is asked for. peak_ours,
    peak_plain: memory of the process, MB.
    """

    what: str
    unit: str
    ours: float
    plain: float | None = None
    limit: float | None = None
    bar: float | None = None
    peak_ours: float | None = None
    peak_plain: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better ours is: seconds count downwards, rates upwards."""
        if not self.plain:
            return None
        return self.plain / self.ours if self.unit == "s" else self.ours / self.plain


def alternately(ways: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each way, called in turn `repeats` times after one call each to warm up."""
    for way in ways:
        way()
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats):
        for way, measured in zip(ways, seconds, strict=True):
            begin = time.perf_counter()
            way()
            measured.append(time.perf_counter() - begin)
    return [statistics.median(measured) for measured in seconds]


def processes(
    commands: Sequence[Sequence[str]], repeats: int, environment: dict[str, str]
) -> list[tuple[float, float]]:
    """(median seconds, peak MB) of each Python command line, run in turn in processes of their own."""
    seconds: list[list[float]] = [[] for _ in commands]
    peaks = [0.0 for _ in commands]
    for _ in range(repeats):
        for number, command in enumerate(commands):
            _, taken, peak = process(command, environment)
            seconds[number].append(taken)
            peaks[number] = max(peaks[number], peak)
    return [(statistics.median(taken), peak) for taken, peak in zip(seconds, peaks, strict=True)]


def process(
    command: Sequence[str], environment: dict[str, str] | None = None
) -> tuple[str, float, float]:
    """What a Python command line prints, its seconds and its peak MB. RuntimeError if it fails.

    A small process starts it: the peak of a child begins at its parent's memory.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure", *command],
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with code {done.returncode}")
    output, _, measured = done.stdout.rstrip("\n").rpartition("\n")
    seconds, peak = map(float, measured.split())
    return output, seconds, peak


def _launch(command: Sequence[str]) -> int:
    """Run a Python command line, print its seconds and peak MB after what it prints; its exit code."""
    begin = time.perf_counter()
    child = subprocess.Popen([sys.executable, *command])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    print(time.perf_counter() - begin, usage.ru_maxrss / 1024)
    return child.returncode


def matrix_product_rate(size: int = 4096) -> float:
    """GFLOP/s of a float32 matrix product on all cores, the best of three."""
    import numpy as np

    a = np.random.default_rng(0).random((size, size), dtype=np.float32)
    best = 0.0
    for _ in range(3):
        begin = time.perf_counter()
        a @ a
        best = max(best, 2 * size**3 / (time.perf_counter() - begin) / 1e9)
    return best


if __name__ == "__main__":
    sys.exit(_launch(sys.argv[1:]))
