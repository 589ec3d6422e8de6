"""Hard pairs of one epoch: one assignment over all training photos, `lap` beside SciPy."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.measure import Line
from whales.mining import HardPairs

PHOTOS, IDENTITIES = 10723, 2931


def lines(quick: bool) -> Iterator[Line]:
    """Seconds of an epoch's mismatches, with costs as they are early and late in training."""
    count = 400 if quick else PHOTOS
    for stage, scores_of, amplitude in (("early", early_scores, 1.0), ("late", late_scores, 0.25)):
        seconds = {}
        for solver in ("lap", "scipy"):
            rng = np.random.default_rng(0)
            identities = rng.integers(0, max(2, count * IDENTITIES // PHOTOS), count)
            begin = time.perf_counter()
            mined = HardPairs([scores_of(count, rng)], identities, amplitude, rng)
            built = time.perf_counter() - begin
            begin = time.perf_counter()
            pairs = mined.next_epoch(solver)
            seconds[solver] = time.perf_counter() - begin
        note = (
            f"{len(pairs):,} pairs of one segment; costs built in {built:.1f} s; "
            "asked for: 30 s at most; plain: SciPy"
        )
        yield Line(f"mining, {stage}", "s", seconds["lap"], seconds["scipy"], note=note)


def early_scores(count: int, rng: np.random.Generator) -> np.ndarray:
    """Scores of a net that knows little: all over the range, alike for alike photos."""
    place = rng.standard_normal((count, 8), dtype=np.float32)
    scores = place @ place.T
    return 1 / (1 + np.exp(-scores))


def late_scores(count: int, rng: np.random.Generator) -> np.ndarray:
    """Scores of a trained net: nearly all close to 0, a few high."""
    scores = early_scores(count, rng)
    return (scores**20).astype(np.float32)
