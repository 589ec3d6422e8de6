"""How the cost of a round of mining grows with the number of training photos; minutes at the largest."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.measure import Line
from benchmarks.mining import IDENTITIES, PHOTOS, late_scores
from benchmarks.pair_scores import WIDTH
from whales.training.mining import HardPairs

COUNTS = (1000, 2500, 5000, 10000, 25000)


def lines(quick: bool) -> Iterator[Line]:
    """Seconds for the scores of all pairs of so many photos, and for one epoch's assignment of them."""
    from whales.nets.network import build_head
    from whales.scores.head import head_weights
    from whales.scores.pair_scores import score_matrix

    head = head_weights(build_head(WIDTH))
    rng = np.random.default_rng(0)
    score_matrix(head, np.zeros((2, WIDTH)))  # compiled before the clock runs
    for count in (100, 200) if quick else COUNTS:
        features = np.maximum(rng.standard_normal((count, WIDTH), dtype=np.float32), 0)
        begin = time.perf_counter()
        score_matrix(head, features)
        scored = time.perf_counter() - begin
        note = f"{count * (count + 1) / 2 / scored:,.0f} pairs/s"
        yield Line(f"scores of {count:,} photos", "s", scored, note=note)
        identities = rng.integers(0, max(2, count * IDENTITIES // PHOTOS), count)
        mined = HardPairs([late_scores(count, rng)], identities, 0.25, rng)
        begin = time.perf_counter()
        mined.next_epoch()
        yield Line(f"assignment of {count:,} photos", "s", time.perf_counter() - begin)
