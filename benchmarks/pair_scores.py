"""Pair scores: the compiled kernel against the Keras head on built pairs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from scipy import sparse

from benchmarks.measure import Line, alternately, matrix_product_rate

WIDTH = 1024


def lines(quick: bool) -> Iterator[Line]:
    """Pairs a second at 1,024 features, against `predict` of 32 pairs and of the best batch."""
    import keras

    from whales.nets.network import build_head
    from whales.scores.head import head_weights
    from whales.scores.pair_scores import score_matrix

    count, pairs = (64, 256) if quick else (512, 4096)
    keras.utils.set_random_seed(0)  # how many pairs the screen leaves open depends on the head
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
    best = min(seconds, key=lambda batch: seconds[batch])
    difference = np.abs(ours().ravel()[:pairs] - predict(best)[:, 0]).max()
    rate = matrix_product_rate(512 if quick else 4096)
    our_seconds, small, large = alternately(
        (ours, lambda: predict(32), lambda: predict(best)), 2 if quick else 5
    )
    scored = count * count / our_seconds
    note = f"largest difference {difference:.1e}"
    yield Line("pair scores, predict of 32", "pairs/s", scored, pairs / small, None, 45, note=note)
    yield Line(f"pair scores, predict of {best}", "pairs/s", scored, pairs / large, None, 25)
    flops = operations_per_pair(WIDTH, weights.rows.shape[1])
    note = f"{100 * scored * flops / 1e9 / rate:.0f}% of the matrix product's rate"
    yield Line("pair scores, arithmetic", "GFLOP/s", scored * flops / 1e9, None, rate, note=note)

    yield _screened(quick)


def _screened(quick: bool) -> Line:
    """Scores above a cut that 2% of pairs reach, without scoring the others, at the real gallery's size."""
    from whales.nets.network import build_head
    from whales.scores.head import head_weights
    from whales.scores.pair_scores import score_matrix
    from whales.scores.pair_screen import Scorer, mean_scores

    count, size = (4, 2000) if quick else (64, 15697)
    rng = np.random.default_rng(1)
    # Half of the features are 0, as after the branch's last rectifier and pooling.
    values = rng.exponential(size=(count + size, WIDTH)) * (rng.random((count + size, WIDTH)) < 0.5)
    queries, gallery = np.split(values.astype(np.float32), [count])
    head = head_weights(build_head(WIDTH))
    least = float(np.quantile(score_matrix(head, queries, gallery), 0.98))
    scorer = Scorer(head, gallery)

    def exact() -> np.ndarray:
        scores = score_matrix(head, queries, gallery)
        scores[scores < np.float32(least)] = 0
        return scores

    def screened() -> sparse.csr_matrix:
        return mean_scores([scorer], [queries], least)

    same = np.array_equal(screened().toarray(), exact())
    ours, plain = alternately((screened, exact), 2 if quick else 5)
    pairs, open_share = count * size, scorer.candidates(queries, least).mean()
    note = f"{open_share:.1%} scored exactly, the same matrix: {same}; plain: every pair exactly"
    what = "pair scores, 2% above the cut"
    return Line(what, "pairs/s", pairs / ours, pairs / plain, None, 4, note=note)


def operations_per_pair(width: int, units: int) -> int:
    """Floating-point operations of one pair score, as the head's formula is written."""
    # A unit: products of ab, |a-b|, (a-b)^2 and their three sums, the rectifier, its weight and sum.
    return width * (9 * units + 5)
