"""Branch features to score matrices: the head, evaluated on every pair without building the pairs.

The head (method, section 3) is a small function of two numbers, summed over features:
score = sigmoid(bias + sum_c w_c (b2 + sum_k v_k relu(m_k ab + s_k (a+b) + d_k |a-b| + q_k (a-b)^2 + b_k))).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from whales.progress import progress_bar

# Rows of the gallery that one inner loop runs over: a tile's operands stay in the first-level cache.
TILE = 64
# Queries between two looks at the progress bar.
_CHUNK = 256
# Jobs a core at least: fewer queries than that share out their galleries.
_JOBS = 4


class HeadWeights(NamedTuple):
    """The head's weights as the compiled kernel takes them, all float32."""

    rows: np.ndarray  # (5, k): for a*b, a+b, |a-b|, (a-b)^2, bias
    mix: np.ndarray  # (k,) second convolution
    features: np.ndarray  # (d,) weighted average
    constant: np.float32  # all biases after the rectifier, summed


def head_weights(head: Any) -> HeadWeights:
    """Take the weights out of a Keras head with layers named as the published ones."""
    kernel1, bias1 = map(np.asarray, _weights(head, "hm_conv_2d_1"))
    kernel2, bias2 = map(np.asarray, _weights(head, "hm_conv_2d_2"))
    average, bias = map(np.asarray, _weights(head, "weighted-average"))
    rows = np.concatenate([kernel1[:, 0, 0, :], bias1[None]]).astype(np.float32)
    features = average[:, 0].astype(np.float32)
    constant = np.float32(bias[0] + bias2[0] * features.sum(dtype=np.float64))
    return HeadWeights(rows, kernel2[0, :, 0, 0].astype(np.float32), features, constant)


def _weights(head: Any, layer: str) -> list[np.ndarray]:
    return head.get_layer(layer).get_weights()


def score_matrix(
    head: Any, queries: np.ndarray, gallery: np.ndarray | None = None, progress: str | None = None
) -> np.ndarray:
    """Pair scores of all queries against all of the gallery.

    `head`: the network's head (Keras model) or its `HeadWeights`; `queries`: (n, d) and `gallery`:
    (m, d) branch features; without `gallery`, queries against themselves (each pair scored once).
    Returns (n, m) float32 probabilities. `progress`: name of a progress bar. ValueError where d
    differs from the head's.
    """
    weights = head if isinstance(head, HeadWeights) else head_weights(head)
    symmetric = gallery is None
    queries = as_features(queries, weights)
    gallery = queries if symmetric else as_features(gallery, weights)
    scores = np.empty((len(queries), len(gallery)), np.float32)
    score_block = _scorer(gallery, weights)
    with progress_bar(progress, len(queries)) as bar:
        for start in range(0, len(queries), _CHUNK):
            block = scores[start : start + _CHUNK]
            score_block(queries[start : start + _CHUNK], start if symmetric else -1, block)
            bar.update(len(block))
    if symmetric:
        _mirror(scores)
    return scores


def gallery_scorer(head: Any, gallery: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """`score_matrix` against a gallery (m, d) that is made ready once for many calls.

    The function takes queries (n, d) and returns (n, m) float32. `head` and ValueErrors as there.
    """
    weights = head if isinstance(head, HeadWeights) else head_weights(head)
    gallery = as_features(gallery, weights)
    count, score_block = len(gallery), _scorer(gallery, weights)

    def score(queries: np.ndarray) -> np.ndarray:
        queries = as_features(queries, weights)
        scores = np.empty((len(queries), count), np.float32)
        for start in range(0, len(queries), _CHUNK):
            block = slice(start, start + _CHUNK)
            score_block(queries[block], -1, scores[block])
        return scores

    return score


def _scorer(gallery: np.ndarray, weights: HeadWeights) -> Callable[..., None]:
    """What fills a block of scores: the accelerator that Keras's backend has, or the compiled loop."""
    from whales import pair_scores_gpu

    if pair_scores_gpu.available():

        def on_accelerator(queries: np.ndarray, first: int, block: np.ndarray) -> None:
            start = max(first, 0)
            block[:, start:] = pair_scores_gpu.score_rows(queries, gallery[start:], weights)

        return on_accelerator
    tiles = _tiled(gallery)
    jobs = _JOBS * numba.get_num_threads()

    def on_cores(queries: np.ndarray, first: int, block: np.ndarray) -> None:
        parts = -(-jobs // max(len(queries), 1))
        _score_rows(queries, tiles, *weights, first, parts, block)

    return on_cores


def as_features(features: np.ndarray, weights: HeadWeights) -> np.ndarray:
    """(n, d) float32, contiguous; ValueError where d differs from the head's."""
    features = np.ascontiguousarray(features, np.float32)
    if features.ndim != 2 or features.shape[1] != len(weights.features):
        raise ValueError(
            f"expected features (n, {len(weights.features)}), received {features.shape}"
        )
    return features


def _mirror(scores: np.ndarray) -> None:
    """Copy the upper triangle of (n, n) below the diagonal, in blocks."""
    for start in range(0, len(scores), _CHUNK):
        block = slice(start, start + _CHUNK)
        scores[block, :start] = scores[:start, block].T
        corner = scores[block, block]
        lower = np.tril_indices(len(corner), -1)
        corner[lower] = corner.T[lower]


def _tiled(gallery: np.ndarray) -> np.ndarray:
    """(m, d) -> (tiles, d, TILE), the last tile padded with zeros: one feature's values side by side."""
    count, width = gallery.shape
    tiles = -(-count // TILE)
    padded = np.zeros((tiles * TILE, width), np.float32)
    padded[:count] = gallery
    return np.ascontiguousarray(padded.reshape(tiles, TILE, width).transpose(0, 2, 1))


@numba.njit(parallel=True, fastmath=True, cache=True, error_model="numpy")
def _score_rows(queries, tiles, rows, mix, features, constant, first, parts, scores):
    """Fill `scores` (n, m); with `first` >= 0 leave out tiles wholly left of the diagonal.

    A query's tiles are `parts` jobs.
    """
    tile_count, _, lanes = tiles.shape
    for job in numba.prange(len(queries) * parts):
        query = job // parts
        work = np.empty((4, lanes), np.float32)
        for tile in range(job % parts, tile_count, parts):
            if first >= 0 and (tile + 1) * lanes <= first + query:
                continue
            score_tile(queries[query], tiles[tile], rows, mix, features, constant, work)
            base = tile * lanes
            for j in range(min(lanes, scores.shape[1] - base)):
                scores[query, base + j] = work[0, j]


@numba.njit(fastmath=True, cache=True, error_model="numpy")
def score_tile(query, tile, rows, mix, features, constant, work):
    """Scores of one query (d,) against a tile (d, lanes) of gallery photos into `work[0]`.

    `work`: (4, lanes) float32; the rest of the arguments: a `HeadWeights`.
    """
    width, lanes = tile.shape
    total, distance, square, inner = work[0], work[1], work[2], work[3]
    total[:] = constant
    for c in range(width):
        a = query[c]
        b = tile[c]
        for j in range(lanes):
            distance[j] = abs(a - b[j])
            square[j] = distance[j] * distance[j]
            inner[j] = np.float32(0.0)
        for k in range(rows.shape[1]):
            slope = rows[0, k] * a + rows[1, k]
            offset = rows[1, k] * a + rows[4, k]
            by_distance, by_square, weight = rows[2, k], rows[3, k], mix[k]
            for j in range(lanes):
                unit = slope * b[j] + by_distance * distance[j] + by_square * square[j] + offset
                inner[j] += weight * max(unit, np.float32(0.0))
        for j in range(lanes):
            total[j] += features[c] * inner[j]
    for j in range(lanes):
        # Beyond 80 the exponential overflows, which fastmath turns into NaN.
        logit = min(max(total[j], np.float32(-80.0)), np.float32(80.0))
        total[j] = np.float32(1.0) / (np.float32(1.0) + np.exp(-logit))
