"""Hard pairs among more photos than a dense cost matrix can hold: each photo's best candidates alone.

A segment's costs are those of `whales.training.mining`: minus the score, minus uniform noise. Of them the K
least of every row and the K least of every column are kept, found block by block, so that every photo has K
candidates on either side even where some photos are near to all others. What is not kept counts as
forbidden. The assignment is then exact on what is kept; a photo that finds no mate is left out of the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import lap
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from whales.base.progress import progress_bar
from whales.files.sides import unlike
from whales.scores.best_by_blocks import Best, blocks
from whales.scores.head import HeadWeights
from whales.scores.pair_scores import score_matrix

# Photos of one side of a block: its scores, gains and copies are some 70 MB.
_BLOCK = 2048
# Cost of a pair that must not be taken: of one identity, of unlike sides, or taken in an earlier epoch of the
# round; and of a photo that is left out.
FORBIDDEN = 10000.0


def candidate_costs(
    weights: HeadWeights,
    features: np.ndarray,
    identities: np.ndarray,
    amplitude: float,
    count: int,
    rng: np.random.Generator,
    block: int = _BLOCK,
    sides: np.ndarray | None = None,
) -> sparse.csr_matrix:
    """The costs of a segment's candidates: (n, n) CSR float32, no pair of one identity.

    count: K; the rest as of `gains`.
    """
    total = len(features)
    best = [Best(total, min(count, total)) for _ in range(2)]  # of each row, and of each column
    photos = np.arange(total)
    for rows, columns, gain in gains(weights, features, identities, amplitude, rng, block, sides):
        best[0].add(gain, photos[columns], photos[columns], rows.start)
        best[1].add(gain.T, photos[rows], photos[rows], columns.start)
    return _union(*best)


def gains(
    weights: HeadWeights,
    features: np.ndarray,
    identities: np.ndarray,
    amplitude: float,
    rng: np.random.Generator,
    block: int = _BLOCK,
    sides: np.ndarray | None = None,
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """What each pair of photos gains, score and noise, -1 for a forbidden one; by blocks, each once.

    features: (n, d); identities: (n,) int codes; amplitude: of the noise, uniform in [0, amplitude);
    sides: (n,) int codes, 0 for either, None where none are known; unlike ones are forbidden, as are pairs of
    one identity. Yields rows, columns and gains (rows, columns) float32. Deterministic, whatever the cores;
    another `block` draws other noise.
    """
    seed, parts = int(rng.integers(2**63)), list(blocks(len(features), block))
    with progress_bar("mining", len(parts) * (len(parts) + 1) // 2, "block") as bar:
        for i, rows in enumerate(parts):
            for j, columns in enumerate(parts[i:], start=i):
                # Each pair is scored once; the noise of its two directions differs.
                others = None if i == j else features[columns]
                scores = score_matrix(weights, features[rows], others)
                scores[identities[rows, None] == identities[None, columns]] = -np.inf
                if sides is not None:
                    scores[unlike(sides[rows, None], sides[None, columns])] = -np.inf
                yield rows, columns, _with_noise(scores, amplitude, [seed, i, j])
                if i < j:
                    yield columns, rows, _with_noise(scores.T, amplitude, [seed, j, i])
                bar.update()


def _with_noise(scores: np.ndarray, amplitude: float, seed: Sequence[int]) -> np.ndarray:
    gain = np.random.default_rng(seed).random(scores.shape, np.float32)
    gain *= np.float32(amplitude)
    gain += scores
    return np.maximum(gain, -1, out=gain)


def _union(of_rows: Best, of_columns: Best) -> sparse.csr_matrix:
    """The costs of all pairs in either list, each once; a pair with a gain below 0 is none."""
    total, count = of_rows.scores.shape
    near, far = np.repeat(np.arange(total), count), of_rows.columns.ravel()
    rows = np.concatenate([near, of_columns.columns.ravel()])
    columns = np.concatenate([far, near])
    gains = np.concatenate([of_rows.scores.ravel(), of_columns.scores.ravel()])
    kept = gains >= 0
    pairs, first = np.unique(rows[kept] * total + columns[kept], return_index=True)
    starts = np.searchsorted(pairs, total * np.arange(total + 1))
    cells = -gains[kept][first], pairs % max(total, 1), starts
    return sparse.csr_matrix(cells, (total, total), np.float32)


def assign_candidates(cost: sparse.csr_matrix, solver: str = "lap") -> np.ndarray:
    """Pairs of least total cost, each row and each column once at most: (k, 2) int64, rows rising.

    cost: (n, n) CSR; what is not stored is forbidden. A row left out costs `FORBIDDEN`, so that most pairs
    come first, then the least cost. solver: "lap" or "scipy", else ValueError; both find the same optimum.

    >>> cost = sparse.csr_matrix(np.array([[-5.0, -4.0], [-3.0, 0.0]]))
    >>> assign_candidates(cost).tolist()
    [[0, 1], [1, 0]]
    """
    total = cost.shape[0]
    if total == 0:
        return np.zeros((0, 2), np.int64)
    rows = np.repeat(np.arange(total), np.diff(cost.indptr))
    # A column of its own for each row is its place if it is left out.
    own = np.arange(total)
    cells = np.concatenate([rows, own]), np.concatenate([cost.indices, total + own])
    # SciPy takes no zeros; the same number on every pair changes nothing, since each row has one.
    lift = 1.0 - min(float(cost.data.min(initial=0)), 0.0)
    values = np.concatenate([cost.data.astype(np.float64) + lift, np.full(total, FORBIDDEN + lift)])
    wide = sparse.csr_matrix((values, cells), (total, 2 * total))
    if solver == "lap":
        columns = _lapmod(wide)
    elif solver == "scipy":
        columns = min_weight_full_bipartite_matching(wide)[1]
    else:
        raise ValueError(f"expected solver scipy or lap, received {solver}")
    chosen = np.flatnonzero(columns < total)
    return np.stack([chosen, columns[chosen]], axis=1).astype(np.int64)


def _lapmod(wide: sparse.csr_matrix) -> np.ndarray:
    """The column of each row of (n, 2n), a full assignment of least cost: (n,) int.

    `lap` wants a square: row n + j takes, at no cost, column j, or the own column of a row that may have j.
    """
    total = wide.shape[0]
    below = sparse.hstack([sparse.identity(total), wide[:, :total].T])
    square = sparse.csr_matrix(sparse.vstack([wide, below]))
    square.sort_indices()
    square.data[wide.nnz :] = 0
    indices, starts = (part.astype(np.int32) for part in (square.indices, square.indptr))
    return lap.lapmod(2 * total, square.data, starts, indices)[1][:total]


def without(cost: sparse.csr_matrix, pairs: np.ndarray) -> sparse.csr_matrix:
    """The costs without some pairs (k, 2) and their mirror images."""
    total = cost.shape[0]
    rows = np.repeat(np.arange(total), np.diff(cost.indptr))
    codes = rows * total + cost.indices
    taken = np.concatenate([pairs, pairs[:, ::-1]])
    kept = ~np.isin(codes, taken[:, 0] * total + taken[:, 1])
    starts = np.concatenate([[0], np.cumsum(kept)])[cost.indptr]
    return sparse.csr_matrix((cost.data[kept], cost.indices[kept], starts), cost.shape)
