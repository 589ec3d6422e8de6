"""An identity scores what its best photo scores, and a photo against itself counts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from whales.files.matrices import ScoreMatrix


class Candidate(NamedTuple):
    """An identity that a photo may show, and the known photo (stem) of it most like that photo.

    photo, score: None where no known photo stands for the identity, as for `new_whale`;
    probability: that the photo shows the identity, None where scores are not calibrated.
    """

    identity: str
    photo: str | None
    score: float | None
    probability: float | None = None

    @property
    def value(self) -> float:
        """What people see and filter by: the probability if there is one, else the score."""
        return self.probability if self.probability is not None else self.score or 0.0


class KnownPhotos:
    """Known photos (stems), the columns of score matrices, grouped by identity.

    Scores below are pair scores with these photos in their order: (m,) of one photo or (n, m).
    """

    def __init__(
        self,
        photos: Sequence[str],
        identity_of: Mapping[str, str],
        identities: Sequence[str] | None = None,
    ) -> None:
        """`identity_of`: stem -> identity of at least these photos; `identities`: their order.

        Without it identities come in the order of their first photos. ValueError where one of
        `identities` has no photo.
        """
        self.photos = list(photos)
        names = [identity_of[name] for name in photos]
        self.identities = list(dict.fromkeys(names if identities is None else identities))
        self.code_of = {identity: code for code, identity in enumerate(self.identities)}
        self.codes = np.array([self.code_of[name] for name in names], np.int64)
        # Stable: within an identity columns keep their order, which decides ties.
        self._order = np.argsort(self.codes, kind="stable")
        self._edges = np.searchsorted(self.codes[self._order], np.arange(len(self.code_of) + 1))
        if not np.diff(self._edges).all():
            raise ValueError("an identity has no known photo")

    def best(self, scores: np.ndarray) -> np.ndarray:
        """Each identity's score, that of its best photo: (n, m) to (n, identities)."""
        return np.maximum.reduceat(scores[:, self._order], self._edges[:-1], axis=1)

    def best_column(self, scores: np.ndarray, code: int) -> int:
        """Column of an identity's best photo by one photo's scores (m,), the earlier one on ties.

        code: index in `identities`.
        """
        columns = self._order[self._edges[code] : self._edges[code + 1]]
        return int(columns[np.argmax(scores[columns])])

    def top(self, scores: np.ndarray, count: int) -> list[tuple[int, int]]:
        """The `count` best identities of one photo's scores (m,), as many as there are.

        Returns (index in `identities`, column of its best photo), best first; ties go to the identity
        that comes first in `identities`, and to its earlier photo.
        """
        best = np.argsort(-self.best(scores[None])[0], kind="stable")[:count]
        return [(int(code), self.best_column(scores, code)) for code in best]

    def candidate(self, identity: str, scores: np.ndarray) -> Candidate:
        """An identity with its best photo by one photo's scores (m,).

        Scores of -inf do not count; neither photo nor score where the identity has none that does.
        """
        code = self.code_of.get(identity)
        if code is not None:
            column = self.best_column(scores, code)
            if scores[column] > -np.inf:
                return Candidate(identity, self.photos[column], float(scores[column]))
        return Candidate(identity, None, None)


def best_identities(
    matrix: ScoreMatrix, identity_of: Mapping[str, str], count: int
) -> dict[str, list[Candidate]]:
    """For each row's photo the `count` best identities, each with its best photo; scores of 0 are none.

    matrix: dense or CSR, (n, m), never made dense; identity_of: stem -> identity of its columns. Ties go
    to the column that comes first, between identities too: unlike those of `KnownPhotos.top`, they go
    as `whales.scores.ranking.rank` lets them.
    """
    entries = sparse.coo_matrix(matrix.scores)
    scored = entries.data > 0
    rows, columns, values = entries.row[scored], entries.col[scored], entries.data[scored]
    known = KnownPhotos(matrix.columns, identity_of)
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order].astype(np.int64), columns[order], values[order]
    # The first of each row and identity is that identity's best photo.
    pairs = rows * len(known.identities) + known.codes[columns]
    first = np.sort(np.unique(pairs, return_index=True)[1])
    rows, columns, values = rows[first], columns[first], values[first]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    top = rank < count
    found: dict[str, list[Candidate]] = {name: [] for name in matrix.rows}
    for row, column, value in zip(
        rows[top].tolist(), columns[top].tolist(), values[top].tolist(), strict=True
    ):
        photo = matrix.columns[column]
        found[matrix.rows[row]].append(Candidate(identity_of[photo], photo, value))
    return found


def own_columns(rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """Column of each row's own photo, (n,) int64, -1 where it is no column; photo names (stems)."""
    column_of = {name: column for column, name in enumerate(columns)}
    return np.array([column_of.get(name, -1) for name in rows], np.int64)


def mark_own(values: np.ndarray, own: np.ndarray, mark: Any) -> np.ndarray:
    """Set the cells where a photo meets itself to `mark`, in place; returns `values`.

    values: (n, m) of any type; own: (n,) as `own_columns`.
    """
    rows = np.flatnonzero(own >= 0)
    values[rows, own[rows]] = mark
    return values


def zero_own(scores: Any, own: np.ndarray) -> Any:
    """Let a photo against itself score 0, in place; returns `scores`.

    scores: (n, m), dense or CSR, which loses its zeros; own: (n,) as `own_columns`.
    """
    if not sparse.issparse(scores):
        return mark_own(scores, own, 0)
    scores.data[scores.indices == np.repeat(own, np.diff(scores.indptr))] = 0
    scores.eliminate_zeros()
    return scores
