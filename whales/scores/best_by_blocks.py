"""The K best of each query, kept block by block, so that no matrix of all queries and photos is ever whole.

What is kept does not depend on how the photos are cut into blocks, nor on the blocks' order: it is what
sorting the whole matrix would give, ties included.
"""

# Arguments of compiled functions have no annotations: Numba infers their types, for which Python has no
# names, from each call. Docstrings give shapes and dtypes.
# ruff: noqa: ANN001, ANN201, RUF100

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numba
import numpy as np

from whales.base.compiling import cached_njit
from whales.scores.best_photos import KnownPhotos


class Best:
    """The K best groups of each query (of photos: their identities), each by its best photo.

    Higher scores come first; ties go to the group of the lower code, and within a group to the photo of the
    lower column. With a code for every photo, the groups are the photos themselves.

    >>> best = Best(queries=1, count=2)
    >>> best.add(np.array([[0.25, 0.5]], np.float32), np.array([0, 1]), np.array([0, 1]))
    >>> best.add(np.array([[0.5, 0.125]], np.float32), np.array([0, 2]), np.array([2, 3]))
    >>> best.codes.tolist(), best.columns.tolist(), best.scores.tolist()
    ([[0, 1]], [[2, 1]], [[0.5, 0.5]])
    """

    def __init__(self, queries: int, count: int) -> None:
        """count: K. Until there are so many groups, the others have code and column -1 and score -inf."""
        self.scores = np.full((queries, count), -np.inf, np.float32)
        self.codes = np.full((queries, count), -1, np.int64)
        self.columns = np.full((queries, count), -1, np.int64)

    def add(
        self, scores: np.ndarray, codes: np.ndarray, columns: np.ndarray, first: int = 0
    ) -> None:
        """Take a block of scores (n, m) float32, of queries from `first` on, all numbers above -inf.

        codes, columns: (m,) int64, of the block's photos: group (not negative), and index among all photos.
        """
        rows = slice(first, first + len(scores))
        _keep_best(
            np.ascontiguousarray(scores, np.float32),
            np.ascontiguousarray(codes, np.int64),
            np.ascontiguousarray(columns, np.int64),
            self.scores[rows],
            self.codes[rows],
            self.columns[rows],
        )


@cached_njit(parallel=True)
def _keep_best(scores, codes, columns, best, groups, photos):
    """Insert scores (n, m) float32 of photos with codes and columns (m,) int64 into the lists (n, k).

    best: float32, falling; groups, photos: int64, codes and columns of the lists.
    """
    count = best.shape[1]
    for row in numba.prange(len(scores)):
        for j in range(scores.shape[1]):
            score, code, column = scores[row, j], codes[j], columns[j]
            last = count - 1
            if score < best[row, last]:  # most end here; a tie may still go first
                continue
            # Where the group stands already, its photo is replaced if this one goes before it.
            for k in range(count):
                if groups[row, k] == code:
                    last = k
                    break
            if groups[row, last] == code:
                ahead = score > best[row, last] or (
                    score == best[row, last] and column < photos[row, last]
                )
            else:
                ahead = score > best[row, last] or code < groups[row, last]
            if not ahead:
                continue
            while last > 0 and (
                score > best[row, last - 1]
                or (score == best[row, last - 1] and code < groups[row, last - 1])
            ):
                best[row, last] = best[row, last - 1]
                groups[row, last] = groups[row, last - 1]
                photos[row, last] = photos[row, last - 1]
                last -= 1
            best[row, last] = score
            groups[row, last] = code
            photos[row, last] = column


def best_of_parts(
    known: KnownPhotos,
    queries: int,
    count: int,
    scores: Iterable[tuple[slice, np.ndarray]],
) -> Best:
    """The `count` best identities of each query, or all where fewer are known.

    scores: (queries, k) float32 with each part of the known photos, one part after the other.
    """
    best = Best(queries, min(count, len(known.identities)))
    columns = np.arange(len(known.photos))
    for part, block in scores:
        best.add(block, known.codes[part], columns[part])
    return best


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` over `count` photos, in order.

    >>> list(blocks(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
