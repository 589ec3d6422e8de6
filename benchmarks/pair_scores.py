"""Pair scores: the compiled kernel against the Keras head on built pairs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks.measure import Line, alternately, matrix_product_rate

WIDTH = 1024


def lines(quick: bool) -> Iterator[Line]:
    """Pairs a second at 1,024 features, against `predict` of 32 pairs and of the best batch."""
    from whales.network import build_head
    from whales.pair_scores import head_weights, score_matrix

    count, pairs = (64, 256) if quick else (512, 4096)
    head = build_head(WIDTH)
    rng = np.random.default_rng(0)
    queries, gallery = np.abs(rng.standard_normal((2, count, WIDTH))).astype(np.float32)
    weights = head_weights(head)
    # The first rows of the matrix, pair by pair.
    left, right = queries[np.arange(pairs) // count], gallery[np.arange(pairs) % count]

    def predict(batch: int) -> np.ndarray:
        return head.predict([left, right], batch_size=batch, verbose=0)

    def ours() -> np.ndarray:
        return score_matrix(weights, queries, gallery)

    seconds = {}
    for batch in (64, 128, 256, 512, 1024):
        predict(batch)
        begin = time.perf_counter()
        predict(batch)
        seconds[batch] = time.perf_counter() - begin
    best = min(seconds, key=seconds.get)
    difference = np.abs(ours().ravel()[:pairs] - predict(best)[:, 0]).max()
    rate = matrix_product_rate(512 if quick else 4096)
    mine, small, large = alternately(
        (ours, lambda: predict(32), lambda: predict(best)), 2 if quick else 5
    )
    scored = count * count / mine
    note = f"largest difference {difference:.1e}"
    yield Line("pair scores, predict of 32", "pairs/s", scored, pairs / small, None, 45, note=note)
    yield Line(f"pair scores, predict of {best}", "pairs/s", scored, pairs / large, None, 25)
    flops = operations_per_pair(WIDTH, weights.rows.shape[1])
    note = f"{100 * scored * flops / 1e9 / rate:.0f}% of the matrix product's rate"
    yield Line("pair scores, arithmetic", "GFLOP/s", scored * flops / 1e9, None, rate, note=note)


def operations_per_pair(width: int, units: int) -> int:
    """Floating-point operations of one pair score, as the head's formula is written."""
    # A unit: products of ab, |a-b|, (a-b)^2 and their three sums, the rectifier, its weight and sum.
    return width * (9 * units + 5)
