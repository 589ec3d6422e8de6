"""Every kind of training step of the full profile: its seconds, and the memory of its process.

`python -m benchmarks.steps NET SIZE PAIRS FROZEN PROFILE` measures one kind and prints its seconds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.measure import Line, matrix_product_rate, process
from benchmarks.networks import NETS as LARGEST
from benchmarks.networks import operations_of, random_pairs

NETS = {net.name: net for net, _, _ in LARGEST}
# Net, pixels a side, pairs at once, whether the branch is frozen (method, section 5). The kernel net's 20
# pairs at 1024 px are computed in two parts, as `--accumulate 2` does.
KINDS = (
    ("v5", 224, 12, False), ("v5", 384, 6, False), ("v5", 384, 16, True), ("v5", 512, 4, False),
    ("v5", 512, 16, True), ("v6", 224, 6, False), ("v6", 384, 4, False), ("v6", 384, 16, True),
    ("kernel", 384, 64, False), ("kernel", 768, 20, False), ("kernel", 768, 20, True),
    ("kernel", 1024, 10, False), ("kernel", 1024, 10, True),
)  # fmt: skip
QUICK = (("v5", 32, 2, True),)
REPEATS = 3


def lines(quick: bool) -> Iterator[Line]:
    """Seconds a step, beside those of a matrix product of as much arithmetic."""
    rate = matrix_product_rate(512 if quick else 4096)
    for name, size, pairs, frozen in QUICK if quick else KINDS:
        profile = "smoke" if quick else "full"
        command = ["-m", "benchmarks.steps", name, str(size), str(pairs), str(int(frozen)), profile]
        output, _, peak = process(command)
        seconds, operations = map(float, output.split()[-2:])
        expected = NETS[name].memory.gigabytes(size, pairs, frozen)
        yield Line(
            f"training step of {name}, {pairs} pairs at {size} px" + ", frozen branch" * frozen,
            "s", seconds, limit=operations / rate / 1e9, peak_ours=peak,
            note=f"{operations / seconds / rate / 1e7:.0f}% of a matrix product's rate; "
            f"memory expected {expected:.1f} GB",
        )  # fmt: skip


def measure(name: str, size: int, pairs: int, frozen: bool, profile: str) -> tuple[float, float]:
    """Median seconds of a step after the first, and how many operations its convolutions take."""
    from whales.training.learner import Learner

    network = NETS[name].network(size, None, profile)
    learner = Learner(network)
    learner.begin(frozen=frozen, learning_rate=1e-4, new_adam=True)
    sides, labels = random_pairs(size, pairs)
    ends = [time.perf_counter()]

    def batches() -> Iterator[object]:
        for _ in range(1 + REPEATS):
            yield sides, labels

    learner.fit(batches, 1 + REPEATS, after_step=lambda _: ends.append(time.perf_counter()))
    seconds = statistics.median(np.diff(ends)[1:])
    # Forward, and twice as much back, on both sides.
    return seconds, 2 * pairs * (1 if frozen else 3) * operations_of(network.branch)


if __name__ == "__main__":
    given = sys.argv
    print(*measure(given[1], int(given[2]), int(given[3]), given[4] == "1", given[5]))
