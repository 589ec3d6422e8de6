"""Identities by their best photos: the best pair score counts, a photo against itself does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from scipy import sparse

from whales.files.matrices import ScoreMatrix, Scores

SomeScores = TypeVar("SomeScores", bound=Scores)
# A photo is the best match of too many where it is so of more than this share of at least so many queries.
_TOO_OFTEN, _ENOUGH = 0.5, 20


class Candidate(NamedTuple):
    """An identity that a query may show, and its known photo (stem) most like the query.

    photo, score: the known photo and its pair score, None for an identity without one, as `new_whale`;
    probability: that the query shows the identity, None where scores are not calibrated.
    """

    identity: str
    photo: str | None
    score: float | None
    probability: float | None = None

    @property
    def value(self) -> float:
        """The number that people see and filter by: the probability if there is one, else the score."""
        return self.probability if self.probability is not None else self.score or 0.0


class KnownPhotos:
    """Known photos (stems), the columns of score matrices, grouped by identity.

    The methods take pair scores against these photos in their order: (m,) of one query or (n, m).

    >>> known = KnownPhotos(["a1", "b1", "a2"], {"a1": "w_a", "a2": "w_a", "b1": "w_b"})
    >>> known.identities
    ['w_a', 'w_b']
    >>> known.best_column(np.array([0.25, 0.5, 0.75]), code=0)
    2
    """

    def __init__(
        self,
        photos: Sequence[str],
        identity_of: Mapping[str, str],
        identities: Sequence[str] | None = None,
    ) -> None:
        """`identity_of`: stem -> identity of at least these photos.

        `identities`: all identities in the order wanted; without it they come in the order of their
        first photos. ValueError where one of them has no photo.
        """
        self.photos = list(photos)
        names = [identity_of[name] for name in photos]
        self.identities = list(dict.fromkeys(names if identities is None else identities))
        self.code_of = {identity: code for code, identity in enumerate(self.identities)}
        self.codes = np.array([self.code_of[name] for name in names], np.int64)
        # A stable sort keeps the columns of an identity in order, which decides ties.
        self._order = np.argsort(self.codes, kind="stable")
        self._edges = np.searchsorted(self.codes[self._order], np.arange(len(self.code_of) + 1))
        if not np.diff(self._edges).all():
            raise ValueError("an identity has no known photo")

    def best(self, scores: np.ndarray) -> np.ndarray:
        """Each identity's score, that of its best photo: (n, m) -> (n, identities)."""
        return np.maximum.reduceat(scores[:, self._order], self._edges[:-1], axis=1)

    def best_column(self, scores: np.ndarray, code: int) -> int:
        """Column of an identity's best photo by one query's scores (m,), the earlier one on ties.

        code: index into `identities`.
        """
        columns = self._order[self._edges[code] : self._edges[code + 1]]
        return int(columns[np.argmax(scores[columns])])

    def candidate(self, identity: str, scores: np.ndarray) -> Candidate:
        """An identity with its best photo by one query's scores (m,).

        Scores of -inf do not count; without another score the candidate has no photo and no score.
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
    """Row's photo (stem) -> its `count` best identities, each with its best photo.

    matrix: (n, m), never made dense; scores of 0 do not count, so a list may be shorter; identity_of:
    stem -> identity of the columns. Ties go to the column that comes first, between identities too, as
    in `whales.scores.ranking.rank` and unlike
    `whales.scores.best_by_blocks.Best`.
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
    candidates: dict[str, list[Candidate]] = {name: [] for name in matrix.rows}
    for row, column, value in zip(
        rows[top].tolist(), columns[top].tolist(), values[top].tolist(), strict=True
    ):
        photo = matrix.columns[column]
        candidates[matrix.rows[row]].append(Candidate(identity_of[photo], photo, value))
    return candidates


def own_columns(rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """Column of each row's own photo, -1 where the columns lack it: (n,) int64.

    rows, columns: photo names (stems), n and m.

    >>> own_columns(["a", "q", "b"], ["b", "a"]).tolist()
    [1, -1, 0]
    """
    column_of = {name: column for column, name in enumerate(columns)}
    return np.array([column_of.get(name, -1) for name in rows], np.int64)


def most_often(best: Iterable[str]) -> tuple[str, int]:
    """The known photo that is the best match of most queries, and of how many; best: that of each, not none.

    Ties go to the name that sorts first.

    >>> most_often(["b", "a", "b"])
    ('b', 2)
    """
    return min(Counter(best).items(), key=lambda item: (-item[1], item[0]))


def like_everybody(best: Sequence[str]) -> str | None:
    """What to say of a known photo that is the best match of too many queries; None where none is.

    Photos without a fluke can be so: far from all that a net was taught on, they are like everybody to it.
    best: the best match of each query.
    """
    if len(best) < _ENOUGH:
        return None
    name, count = most_often(best)
    if count <= _TOO_OFTEN * len(best):
        return None
    return (
        f"photo {name} is the best match of {count:,} of {len(best):,} photos: unless these show one animal, "
        "look whether it shows a fluke"
    )


def mark_own(values: np.ndarray, own_column: np.ndarray, mark: float) -> np.ndarray:
    """Set the cells where a photo meets itself to `mark`, in place; returns `values`.

    values: (n, m) of any type; own_column: (n,) as `own_columns` returns.
    """
    rows = np.flatnonzero(own_column >= 0)
    values[rows, own_column[rows]] = mark
    return values


def zero_own(scores: SomeScores, own_column: np.ndarray) -> SomeScores:
    """Set the score of a photo against itself to 0, in place; returns `scores`.

    scores: (n, m), dense or CSR, which loses its stored zeros; own_column: (n,) as `own_columns` returns.
    """
    if isinstance(scores, np.ndarray):
        return mark_own(scores, own_column, 0)
    scores.data[scores.indices == np.repeat(own_column, np.diff(scores.indptr))] = 0
    scores.eliminate_zeros()
    return scores
