"""From branch features to score matrices: the head on every pair, without building the pairs.

The head (method, section 3) is a small function of two numbers, summed over features:
score = sigmoid(bias + sum_c w_c (b2 + sum_k v_k relu(m_k ab + s_k (a+b) + d_k |a-b| + q_k (a-b)^2 + b_k))).

With g_k a unit's argument, the compiled loop takes v relu(g) = (vg + |vg|) / 2 for v > 0 and (vg - |vg|) / 2
for v < 0. The sum of all vg is computed as one more unit; the rest is |.| and sums, which need no
multiplication, and multiplications bound the speed.
"""

# Arguments of compiled functions have no annotations: Numba infers their types, for which Python has no
# names, from each call. Docstrings give shapes and dtypes.
# ruff: noqa: ANN001, ANN201, ANN202, RUF100

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numba
import numpy as np

from whales.base.compiling import cached_njit
from whales.base.progress import progress_bar
from whales.scores.head import HeadWeights, as_features, folded

# Gallery photos of one inner loop: a tile's operands stay in the first-level cache.
TILE = 128
# Queries between two updates of the progress bar.
_CHUNK = 256
# So many jobs a core at least: with fewer tiles, the queries of a tile are split into several jobs.
_JOBS = 4


def score_matrix(
    weights: HeadWeights,
    queries: np.ndarray,
    gallery: np.ndarray | None = None,
    progress: str | None = None,
) -> np.ndarray:
    """Pair scores of all queries against all of the gallery.

    `weights`: of the network's head; `queries`: (n, d) and `gallery`: (m, d) branch features; without
    `gallery` the queries are scored against each other, each pair once. `progress`: name of a
    progress bar, None for none.
    Returns (n, m) float32 probabilities. ValueError where d differs from the head's.
    """
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


def score_pairs(
    weights: HeadWeights, queries: np.ndarray, gallery: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Pair scores where `wanted` (n, m) is True: (count,) float32 in row-major order.

    `queries`: (n, d), `gallery`: (m, d) features. On a CPU they are the numbers of `score_matrix`, bit
    for bit. ValueError where d differs from the head's.
    """
    queries, gallery = as_features(queries, weights), as_features(gallery, weights)
    ends = np.cumsum(np.count_nonzero(wanted, axis=1))
    columns = np.flatnonzero(wanted) % max(1, wanted.shape[1])
    scores = np.empty(len(columns), np.float32)
    _load_score_tile()
    _score_pairs(queries, gallery, columns, ends, *folded(weights), scores)
    return scores


def gallery_scorer(weights: HeadWeights, gallery: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """`score_matrix` against a gallery (m, d) that is prepared once for many calls.

    The function returned takes queries (n, d) and returns (n, m) float32; `weights` and ValueErrors as
    in `score_matrix`.
    """
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
    """A function that fills a block of scores, on the backend's accelerator or else on the cores.

    It takes queries (n, d), the index of the first query in the gallery where the gallery is the queries
    themselves (else -1), and the block (n, m), of which it may leave out what lies below the diagonal.
    """
    from whales.scores import pair_scores_gpu

    if pair_scores_gpu.available():

        def on_accelerator(queries: np.ndarray, first: int, block: np.ndarray) -> None:
            start = max(first, 0)
            block[:, start:] = pair_scores_gpu.score_rows(queries, gallery[start:], weights)

        return on_accelerator
    _load_score_tile()
    tiles, head = _tiled(gallery), folded(weights)
    job_count = _JOBS * numba.get_num_threads()

    def on_cores(queries: np.ndarray, first: int, block: np.ndarray) -> None:
        left = max(first, 0) // TILE  # tiles wholly left of the diagonal
        splits = -(-job_count // max(len(tiles) - left, 1))
        _score_rows(queries, tiles, *head, first, left, splits, block)

    return on_cores


def _mirror(scores: np.ndarray) -> None:
    """Copy the upper triangle of (n, n) below the diagonal, in blocks."""
    for start in range(0, len(scores), _CHUNK):
        block = slice(start, start + _CHUNK)
        scores[block, :start] = scores[:start, block].T
        corner = scores[block, block]
        lower = np.tril_indices(len(corner), -1)
        corner[lower] = corner.T[lower]


def _tiled(gallery: np.ndarray) -> np.ndarray:
    """(m, d) -> (tiles, d, TILE): each feature's values side by side, the last tile padded with zeros."""
    count, width = gallery.shape
    tiles = -(-count // TILE)
    padded = np.zeros((tiles * TILE, width), np.float32)
    padded[:count] = gallery
    return np.ascontiguousarray(padded.reshape(tiles, TILE, width).transpose(0, 2, 1))


@cached_njit(parallel=True, fastmath=True, error_model="numpy")
def _score_rows(queries, tiles, rows, negative, features, constant, first, left, splits, scores):
    """Fill `scores` (n, m) float32 of `queries` (n, d) and `tiles` (tiles, d, TILE), both float32.

    first: index of the first query in the gallery, whose tiles left of the diagonal are then left out,
    or -1; left: the first tile; splits: jobs that share a tile's queries, so that the tile stays in a
    core's cache; the rest: a `FoldedHead`.
    """
    for job in numba.prange((len(tiles) - left) * splits):
        tile = left + job // splits
        base = tile * TILE
        work = np.empty((4, TILE), np.float32)
        for query in range(job % splits, len(queries), splits):
            if first >= 0 and base + TILE <= first + query:
                continue
            _score_tile(queries[query], tiles[tile], rows, negative, features, constant, work)
            for j in range(min(TILE, scores.shape[1] - base)):
                scores[query, base + j] = work[0, j]


@cache
def _load_score_tile() -> None:
    """Compile `_score_tile`, or load it from Numba's cache, before its callers are loaded.

    Its callers' cached code contains copies of it that round otherwise, and the copy loaded first serves
    all. Without this, a process that compiles and one that loads differ in the last bits of scores.
    """
    rows, line = np.zeros((5, 1), np.float32), np.zeros(1, np.float32)
    tile, work = np.zeros((1, TILE), np.float32), np.empty((4, TILE), np.float32)
    _score_tile(line, tile, rows, 0, line, np.float32(0), work)


# In the file of `_score_rows`, since Numba's cache follows one file: both need the same `_score_tile`.
@cached_njit(parallel=True, fastmath=True, error_model="numpy")
def _score_pairs(queries, gallery, columns, ends, rows, negative, features, constant, scores):
    """Fill `scores` (count,) float32: each query (n, d) against the gallery photos of its columns.

    columns: (count,) int64, indices into `gallery` (m, d), query by query; ends: (n,) int64, where each
    query's columns end; the rest: a `FoldedHead`.
    """
    width = queries.shape[1]
    for job in numba.prange(len(queries)):
        tile = np.zeros((width, TILE), np.float32)
        work = np.empty((4, TILE), np.float32)
        start = ends[job - 1] if job else 0
        for base in range(start, ends[job], TILE):
            filled = min(TILE, ends[job] - base)
            for j in range(filled):
                photo = gallery[columns[base + j]]
                for c in range(width):
                    tile[c, j] = photo[c]
            _score_tile(queries[job], tile, rows, negative, features, constant, work)
            for j in range(filled):
                scores[base + j] = work[0, j]


@cached_njit(fastmath=True, error_model="numpy")
def _score_tile(query, tile, rows, negative, features, constant, work):
    """Scores of one query (d,) against a tile (d, TILE) of gallery photos into `work[0]`.

    work: (4, TILE) float32 scratch; the rest: a `FoldedHead`.
    """
    width = len(tile)
    last = rows.shape[1] - 1
    total, distance, square, inner = work[0], work[1], work[2], work[3]
    line = np.empty((4, last + 1), np.float32)
    for k in range(last + 1):
        line[1, k], line[2, k] = rows[2, k], rows[3, k]
    total[:] = constant
    for c in range(width):
        a = query[c]
        b = tile[c]
        for k in range(last + 1):
            line[0, k] = rows[0, k] * a + rows[1, k]
            line[3, k] = rows[1, k] * a + rows[4, k]
        for j in range(TILE):
            distance[j] = abs(a - b[j])
            square[j] = distance[j] * distance[j]
            inner[j] = np.float32(0.0)
        _add_sizes(0, negative, line, b, distance, square, inner)
        for j in range(TILE):
            inner[j] = -inner[j]
        _add_sizes(negative, last, line, b, distance, square, inner)
        slope, by_distance, by_square, offset = (
            line[0, last],
            line[1, last],
            line[2, last],
            line[3, last],
        )
        weight = np.float32(0.5) * features[c]
        for j in range(TILE):
            unit = slope * b[j] + by_distance * distance[j] + by_square * square[j] + offset
            total[j] += weight * (inner[j] + unit)
    for j in range(TILE):
        # Beyond 80 the exponential overflows, which fastmath turns into NaN.
        logit = min(max(total[j], np.float32(-80.0)), np.float32(80.0))
        total[j] = np.float32(1.0) / (np.float32(1.0) + np.exp(-logit))


@cached_njit(fastmath=True, error_model="numpy")
def _add_sizes(start, stop, line, b, distance, square, inner):
    """Add |g| of the units from `start` to `stop` to `inner` (TILE,) float32.

    line: (4, units + 1), the factors of b, |a-b| and (a-b)^2 and the constant of each unit for one a; b,
    distance, square: (TILE,). Two units at a time, so that their eight factors stay in registers.
    """
    for k in range(start, stop, 2):
        slope, by_distance, by_square, offset = line[0, k], line[1, k], line[2, k], line[3, k]
        slope2, by_distance2 = line[0, k + 1], line[1, k + 1]
        by_square2, offset2 = line[2, k + 1], line[3, k + 1]
        for j in range(TILE):
            unit = slope * b[j] + by_distance * distance[j] + by_square * square[j] + offset
            unit2 = slope2 * b[j] + by_distance2 * distance[j] + by_square2 * square[j] + offset2
            inner[j] += abs(unit) + abs(unit2)
