"""Hard pairs of one epoch: one assignment over all training photos, `lap` beside SciPy."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import Line, process
from whales.training.mining import HardPairs, keep_costs, mine_epoch

PHOTOS, IDENTITIES = 10723, 2931
AMPLITUDES = {"early": 1.0, "late": 0.25}


def lines(quick: bool) -> Iterator[Line]:
    """Seconds of an epoch's mismatches, with costs as they are early and late in training."""
    count = 400 if quick else PHOTOS
    for stage in AMPLITUDES:
        measured, peaks = {}, {}
        for solver in ("lap", "scipy"):
            command = ("-m", "benchmarks.mining", stage, solver, str(count))
            output, _, peaks[solver] = process(command)
            measured[solver] = json.loads(output)
        ours, plain = measured["lap"], measured["scipy"]
        note = (
            f"{ours['pairs']:,} pairs of one segment; costs built in {ours['build']:.1f} s; "
            "asked for: 30 s and 3,000 MB at most; plain: SciPy"
        )
        seconds = (ours["mine"], plain["mine"])
        yield Line(
            f"mining, {stage}", "s", *seconds, None, None, peaks["lap"], peaks["scipy"], note
        )


def measure(stage: str, solver: str, count: int) -> dict[str, float]:
    """Seconds to build a round's costs and to find its first epoch's pairs, and how many there are."""
    rng = np.random.default_rng(0)
    identities = rng.integers(0, max(2, count * IDENTITIES // PHOTOS), count)
    scores = [early_scores(count, rng) if stage == "early" else late_scores(count, rng)]
    with tempfile.TemporaryDirectory() as folder:
        costs = Path(folder) / "round.pkl"
        begin = time.perf_counter()
        keep_costs(costs, HardPairs(scores, identities, AMPLITUDES[stage], rng))
        built = time.perf_counter() - begin
        scores.clear()
        begin = time.perf_counter()
        pairs = mine_epoch(costs, [], solver)
        return {"build": built, "mine": time.perf_counter() - begin, "pairs": len(pairs)}


def early_scores(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, count) float32 scores of a net that knows little: all over the range."""
    features = rng.standard_normal((count, 8), dtype=np.float32)
    scores = features @ features.T
    return 1 / (1 + np.exp(-scores))


def late_scores(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, count) float32 scores of a trained net: nearly all close to 0, a few high."""
    scores = early_scores(count, rng)
    return (scores**20).astype(np.float32)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
