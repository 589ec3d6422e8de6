"""Score matrices with the names of rows and columns: one type, aligned by name, and its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.files.labels import stem, with_jpg

DECIMALS = 6  # of scores in a dense file
# Rows of a dense matrix that are cut at once, so that temporary arrays stay small.
_ROWS = 512
_ROUNDING = 1e-6

# (n, m) float32 pair scores; a CSR leaves out scores that count as 0.
Scores = np.ndarray | sparse.csr_matrix


class ScoreMatrix(NamedTuple):
    """Pair scores (n, m), dense float32 or CSR, with the photo stems of rows (n) and columns (m)."""

    scores: Scores
    rows: list[str]
    columns: list[str]

    def checked(self, source: object) -> ScoreMatrix:
        """The same matrix; `UserError` naming `source` where it is no sound one.

        Its scores must be float32, its names fit its shape, no row and no column stand twice, and every
        score be a number from 0 to 1.
        """
        if self.scores.dtype != np.float32:
            raise UserError(
                f"{source}: expected scores that are float32, received {self.scores.dtype}; make it again"
            )
        if self.scores.shape != (len(self.rows), len(self.columns)):
            raise UserError(
                f"{source}: expected scores {(len(self.rows), len(self.columns))} by its names, "
                f"received {self.scores.shape}; make it again"
            )
        for side, names in (("row", self.rows), ("column", self.columns)):
            if len(set(names)) < len(names):
                name = next(name for name, count in Counter(names).items() if count > 1)
                raise UserError(f"{source}: {side} {name} stands twice; make it again")
        row = _unsound_row(self.scores)
        if row is not None:
            raise UserError(
                f"{source}: row {self.rows[row]} has a score that is no number from 0 to 1; make it again"
            )
        return self

    def aligned(self, rows: Sequence[str], columns: Sequence[str], source: object) -> ScoreMatrix:
        """The scores of just these rows and columns (stems), in the order given.

        source: of the matrix, for messages. Nothing is copied where rows or columns are the matrix's.
        `UserError` naming `source` and the first photo that the matrix lacks.

        >>> scores = np.array([[0.0, 0.25, 0.5], [0.125, 0.75, 1.0]], np.float32)
        >>> matrix = ScoreMatrix(scores, ["p", "q"], ["a", "b", "c"])
        >>> matrix.aligned(["q"], ["c", "a"], "example").scores.tolist()
        [[1.0, 0.125]]
        """
        row_indices = _indices(self.rows, rows, "row", source)
        column_indices = _indices(self.columns, columns, "column", source)
        scores = self.scores
        if not np.array_equal(row_indices, np.arange(scores.shape[0])):
            scores = scores[row_indices]
        if not np.array_equal(column_indices, np.arange(scores.shape[1])):
            scores = scores[:, column_indices]
        return ScoreMatrix(scores, list(rows), list(columns))


def _unsound_row(scores: Scores) -> int | None:
    """The first row with a score that is NaN or outside 0 to 1; None where all are sound."""
    blocks = (
        [(0, scores.data)]
        if isinstance(scores, sparse.csr_matrix)
        else [(start, scores[start : start + _ROWS]) for start in range(0, len(scores), _ROWS)]
    )
    for start, block in blocks:
        # NaN compares as False; a mean of float32 scores may pass 1 by its rounding.
        unsound = ~((block >= 0) & (block <= 1 + _ROUNDING))
        if unsound.any():
            first = int(np.argwhere(unsound)[0, 0])
            if isinstance(scores, sparse.csr_matrix):
                return int(np.searchsorted(scores.indptr, first, side="right")) - 1
            return start + first
    return None


def _indices(names: Sequence[str], wanted: Sequence[str], side: str, source: object) -> np.ndarray:
    """Indices into `names` of the names `wanted`: (len(wanted),) int64."""
    index_of = {name: index for index, name in enumerate(names)}
    missing = [name for name in wanted if name not in index_of]
    if missing:
        raise UserError(
            f"{source}: no {side} for photo {missing[0]} ({len(missing)} of {len(wanted)} are missing); "
            "it was made from other tables or boxes: run the stage that makes it again"
        )
    return np.array([index_of[name] for name in wanted], dtype=np.int64)


def dense(scores: Scores) -> np.ndarray:
    """The scores as an array (n, m); an array is returned as it is."""
    return scores if isinstance(scores, np.ndarray) else scores.toarray()


def cut_small(scores: np.ndarray, least: float) -> sparse.csr_matrix:
    """Dense scores (n, m) float32 as CSR float32, without those below `least`, a number above 0.

    >>> cut_small(np.array([[0.125, 0.5], [0.75, 0.25]], np.float32), 0.25).toarray().tolist()
    [[0.0, 0.5], [0.75, 0.25]]
    """
    count, width = scores.shape
    blocks = []
    for start in range(0, count, _ROWS):
        block = scores[start : start + _ROWS]
        flat = np.ascontiguousarray(block).ravel()
        kept = np.flatnonzero(flat >= np.float32(least))
        starts = np.searchsorted(kept, width * np.arange(len(block) + 1))
        columns = (kept % max(width, 1)).astype(np.int32)
        blocks.append(sparse.csr_matrix((flat[kept], columns, starts), block.shape, np.float32))
    return (
        sparse.vstack(blocks, format="csr")
        if blocks
        else sparse.csr_matrix((0, width), dtype=np.float32)
    )


def save_tuple(path: Path, matrix: ScoreMatrix) -> None:
    """Pickle (row names, column names, float32 array): names with `.jpg`, scores of six decimals.

    A float32 array is rounded in place: another copy would not fit where it is large.
    """
    scores = np.asarray(matrix.scores, np.float32)
    np.round(scores, DECIMALS, out=scores)
    save(path, (_names(matrix.rows), _names(matrix.columns), scores))


def matrix_bytes(rows: Sequence[str], columns: Sequence[str]) -> int:
    """What a file of `save_tuple` takes on the disk at least, bytes.

    >>> matrix_bytes(["a", "b"], ["c", "d", "e"])
    24
    """
    return len(rows) * len(columns) * np.dtype(np.float32).itemsize


def load_tuple(path: Path) -> ScoreMatrix:
    """Read what `save_tuple` wrote.

    `UserError` where the file is missing or damaged, or its names do not fit its scores.
    """
    content = load(path)
    if not isinstance(content, tuple) or len(content) != 3:
        raise UserError(f"{path}: expected (row names, column names, scores); make it again")
    return _named(path, *content)


def save_dict(path: Path, matrix: ScoreMatrix, scores_key: str, **more: object) -> None:
    """Pickle a dict: `row_names`, `col_names` (with `.jpg`), the CSR under `scores_key`, and `more`."""
    names = {"row_names": _names(matrix.rows), "col_names": _names(matrix.columns)}
    save(path, {**names, **more, scores_key: matrix.scores})


def load_dict(path: Path, scores_key: str) -> ScoreMatrix:
    """Read what `save_dict` wrote; scores_key: the key of its scores. `UserError` as `load_tuple`."""
    content = load(path)
    if not isinstance(content, dict) or not {"row_names", "col_names", scores_key} <= set(content):
        raise UserError(f"{path}: expected row_names, col_names and {scores_key}; make it again")
    return _named(path, content["row_names"], content["col_names"], content[scores_key])


def _names(stems: Sequence[str]) -> list[str]:
    return [with_jpg(name) for name in stems]


def _named(path: Path, rows: object, columns: object, scores: object) -> ScoreMatrix:
    """A matrix of a file's content, whatever it is; `UserError` where it is no sound one."""
    for names in (rows, columns):
        if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
            raise UserError(f"{path}: expected lists of photo names; make it again")
    array = sparse.csr_matrix(scores) if sparse.issparse(scores) else scores
    if not isinstance(array, Scores) or array.dtype.kind not in "biufc" or array.ndim != 2:
        raise UserError(f"{path}: expected scores (rows, columns) of numbers; make it again")
    stems = [[stem(name) for name in names] for names in (rows, columns)]
    matrix = ScoreMatrix(array, *stems).checked(path)
    canonical = isinstance(scores, sparse.csr_matrix) and scores.has_canonical_format
    if canonical or isinstance(array, np.ndarray):
        return matrix
    cells = sparse.coo_matrix(scores)
    order = np.lexsort((cells.col, cells.row))
    same = (np.diff(cells.row[order]) == 0) & (np.diff(cells.col[order]) == 0)
    if same.any():
        row = matrix.rows[cells.row[order][int(np.argmax(same))]]
        raise UserError(f"{path}: row {row} has two scores for one column; make it again")
    return matrix
