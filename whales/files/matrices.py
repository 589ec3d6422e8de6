"""Score matrices with their names: one type, aligned by name, in the forms that stages pass on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.files.labels import stem, with_jpg

DECIMALS = 6
# Rows of a dense matrix that are looked at at once.
_ROWS = 512


class ScoreMatrix(NamedTuple):
    """Pair scores (n, m), dense float32 or CSR, with photo stems of rows and columns."""

    scores: Any
    rows: list[str]
    columns: list[str]

    def aligned(self, rows: Sequence[str], columns: Sequence[str], source: object) -> ScoreMatrix:
        """The same scores for just these rows and columns, in their order.

        Raises `UserError` naming `source` and the first photo that the matrix does not have.
        """
        row_places = _places(self.rows, rows, "row", source)
        column_places = _places(self.columns, columns, "column", source)
        scores = self.scores
        if not np.array_equal(row_places, np.arange(scores.shape[0])):
            scores = scores[row_places]
        if not np.array_equal(column_places, np.arange(scores.shape[1])):
            scores = scores[:, column_places]
        return ScoreMatrix(scores, list(rows), list(columns))


def _places(have: Sequence[str], want: Sequence[str], what: str, source: object) -> np.ndarray:
    place_of = {name: place for place, name in enumerate(have)}
    missing = [name for name in want if name not in place_of]
    if missing:
        raise UserError(
            f"{source}: no {what} for photo {missing[0]} ({len(missing)} of {len(want)} are missing); "
            "it was made from other tables or boxes: run the stage that makes it again"
        )
    return np.array([place_of[name] for name in want], dtype=np.int64)


def cut_small(scores: np.ndarray, least: float) -> sparse.csr_matrix:
    """CSR of (n, m) float32 scores without those below `least` (above 0); in blocks of rows."""
    count, width = scores.shape
    parts = []
    for start in range(0, count, _ROWS):
        block = scores[start : start + _ROWS]
        flat = np.ascontiguousarray(block).ravel()
        kept = np.flatnonzero(flat >= np.float32(least))
        starts = np.searchsorted(kept, width * np.arange(len(block) + 1))
        columns = (kept % max(width, 1)).astype(np.int32)
        parts.append(sparse.csr_matrix((flat[kept], columns, starts), block.shape, np.float32))
    return (
        sparse.vstack(parts, format="csr")
        if parts
        else sparse.csr_matrix((0, width), dtype=np.float32)
    )


def save_tuple(path: Path, matrix: ScoreMatrix) -> None:
    """Write (row names, column names, float32 array), names with `.jpg`, six decimals."""
    scores = np.round(np.asarray(matrix.scores, np.float32), DECIMALS)
    save(path, (_names(matrix.rows), _names(matrix.columns), scores))


def load_tuple(path: Path) -> ScoreMatrix:
    """Read what `save_tuple` wrote; `UserError` where names and scores do not fit together."""
    content = load(path)
    if not isinstance(content, tuple) or len(content) != 3:
        raise UserError(f"{path}: expected (row names, column names, scores); make it again")
    return _checked(path, *content)


def save_dict(path: Path, matrix: ScoreMatrix, scores_key: str, **more: object) -> None:
    """Write a dict with `row_names`, `col_names` (with `.jpg`), the CSR under `scores_key`, and `more`."""
    names = {"row_names": _names(matrix.rows), "col_names": _names(matrix.columns)}
    save(path, {**names, **more, scores_key: matrix.scores})


def load_dict(path: Path, scores_key: str) -> ScoreMatrix:
    """Read what `save_dict` wrote; `UserError` where names and scores do not fit together."""
    content = load(path)
    if not isinstance(content, dict) or not {"row_names", "col_names", scores_key} <= set(content):
        raise UserError(f"{path}: expected row_names, col_names and {scores_key}; make it again")
    return _checked(path, content["row_names"], content["col_names"], content[scores_key])


def _names(stems: Sequence[str]) -> list[str]:
    return [with_jpg(name) for name in stems]


def _checked(path: Path, rows: Sequence[str], columns: Sequence[str], scores: Any) -> ScoreMatrix:
    if scores.shape != (len(rows), len(columns)):
        raise UserError(
            f"{path}: expected scores {(len(rows), len(columns))} by its names, "
            f"received {scores.shape}; make it again"
        )
    return ScoreMatrix(scores, [stem(name) for name in rows], [stem(name) for name in columns])
