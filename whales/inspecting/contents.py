"""The kind of a file, recognized by its content, and the content in one form for each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from numbers import Real
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeGuard, TypeVar

import numpy as np
import pandas as pd
from scipy import sparse

from whales.base.errors import UserError
from whales.base.pickles import load
from whales.base.tables import csv_rows
from whales.files import folds
from whales.files.boxes import Box
from whales.files.decisions import DECISION_COLUMNS, FORMER_COLUMNS, DecisionLog
from whales.files.import_table import IMPORT_COLUMNS, read_import_table
from whales.files.labels import stem
from whales.files.matrices import ScoreMatrix
from whales.files.submissions import COLUMNS

BOXES = "boxes"
DETECTIONS = "detections"
DETECTION_CACHE = "detection cache"
FOLDS = "folds"
DETECTOR_FOLDS = "detector's folds"
MATRIX = "score matrix"
SUBMISSION = "submission"
LABELS = "label table"
IMPORTED = "import table"
HISTORY = "training history"
DECISIONS = "people's decisions"
OTHER = "not a file of the pipeline"

# Under which of these a dict of scores keeps them.
SCORE_KEYS = ("score", "val_vs_train_mat_sparse", "test_vs_train_mat_sparse")

_PICKLES = (".pkl", ".pklz")
_TABLES = (".csv", ".tsv")
_PICKLE_MARK = b"\x80"
_ANNOTATION = 6  # fields of a line `path,x1,y1,x2,y2,class`


Splits = dict[str, tuple[list[str], list[str]]]  # 'fold 0' -> train and valid photos (stems)
Entries = dict[str, list[Sequence[float]]]  # stem -> [label, score, x1, y1, x2, y2], in shares
ImportRows = dict[str, dict[str, str]]  # stem -> column -> text
Views = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (2, n, 4), scores (2, n), labels (2, n)

Value = TypeVar("Value")


class Content(NamedTuple, Generic[Value]):
    """A file's kind and content.

    value: of boxes dict stem -> `Box`, of detections `Entries`, of a detection cache `Views`, of folds
    `Splits`, of a matrix `Scores`, of an import table `ImportRows`,
    of a history DataFrame, of decisions list of `Decision`; None for the
    other tables, which their readers read, and for files of another kind.
    faults: what was unsound already while reading; described: type of a file of another kind.
    """

    path: Path
    kind: str
    value: Value
    faults: tuple[str, ...] = ()
    described: str = ""


class Scores(NamedTuple):
    """A score matrix, the key it was kept under ('' in a tuple), and the MAP@5 that the file states."""

    matrix: ScoreMatrix
    key: str
    stated: float | None


def read(path: Path) -> Content:
    """Read any file; `UserError` where it is missing or a damaged pickle."""
    if not path.exists():
        raise UserError(f"{path} is missing")
    if path.is_dir():
        return Content(path, OTHER, None, described="folder")
    try:
        with open(path, "rb") as source:
            mark = source.read(1)
    except OSError as reason:
        raise UserError(f"{path} cannot be read ({reason.strerror})") from None
    if path.suffix in _PICKLES or mark == _PICKLE_MARK:
        return _of_pickle(path, load(path))
    try:
        return _of_table(path)
    except UserError:
        if path.suffix.lower() in _TABLES:
            raise
        return Content(path, OTHER, None, described=f"{path.suffix[1:] or 'bytes'} file")


def _of_pickle(path: Path, content: object) -> Content:
    if isinstance(content, dict):
        return _of_dict(path, content)
    if isinstance(content, tuple) and len(content) == 3:
        first, second, last = content
        if isinstance(first, np.ndarray) and first.ndim == 3:
            return Content(path, DETECTION_CACHE, content)
        if len(getattr(last, "shape", ())) == 2:
            return _matrix(path, first, second, last, "", None)
    if isinstance(content, list) and content and all(map(_is_split, content)):
        splits = {
            f"fold {number}": ([stem(name) for name in train], [stem(name) for name in valid])
            for number, (train, valid) in enumerate(content, start=1)
        }
        return Content(path, DETECTOR_FOLDS, splits)
    return _other(path, content)


def _of_dict(path: Path, content: Mapping[object, object]) -> Content:
    key = next((key for key in SCORE_KEYS if key in content), None)
    if key and {"row_names", "col_names"} <= set(content):
        rows, columns, stated = (
            content.get(name) for name in ("row_names", "col_names", "overall_score")
        )
        return _matrix(path, rows, columns, content[key], key, stated)
    named = {name: value for name, value in content.items() if isinstance(name, str)}
    if len(named) < len(content):
        return _other(path, content)
    if any(name.startswith("fold_") and isinstance(v, dict) for name, v in named.items()):
        return _folds(path, named)
    # One damaged entry does not make it another kind of file.
    if 2 * sum(_is_detections(value) for value in named.values()) > len(named):
        return _entries(path, DETECTIONS, named, _is_detections)
    if 2 * sum(_is_box(value) for value in named.values()) >= len(named):
        return _entries(path, BOXES, named, _is_box)
    return _other(path, content)


def _entries(
    path: Path, kind: str, content: Mapping[str, object], fits: Callable[[object], bool]
) -> Content:
    bad = [name for name, value in content.items() if not fits(value)]
    faults = tuple(f"photo {name}: its entry is none of {kind}" for name in bad)
    return Content(path, kind, {n: v for n, v in content.items() if fits(v)}, faults)


def _folds(path: Path, content: Mapping[str, object]) -> Content[Splits]:
    splits: Splits = {}
    faults = []
    for number in range(folds.FOLDS):
        try:
            fold = folds.require_fold(content, number, path.name)
        except UserError as reason:
            faults.append(str(reason))
            continue
        train, valid = ([stem(str(name)) for name in fold[part]] for part in ("train", "val"))
        splits[f"fold {number}"] = train, valid
    return Content(path, FOLDS, splits, tuple(faults))


def _are_names(side: object) -> TypeGuard[Iterable[object]]:
    listed = isinstance(side, Iterable) and not isinstance(side, str | bytes | Mapping)
    return listed and getattr(side, "ndim", 1) == 1


def _matrix(
    path: Path,
    rows: object,
    columns: object,
    scores: Any,  # what has no types: an array, or a sparse matrix
    key: str,
    stated: float | None,
) -> Content[Scores]:
    if len(getattr(scores, "shape", ())) != 2 or scores.dtype.kind not in "biufc":
        raise UserError(f"{path} holds names with what is no matrix of numbers; make it again")
    if not (_are_names(rows) and _are_names(columns)):
        raise UserError(f"{path} holds a matrix with what are no names; make it again")
    wrong = scores.dtype != np.float32
    faults = (f"scores that are {scores.dtype}, expected float32",) * wrong
    if sparse.issparse(scores):
        scores = scores.tocsr()
    row_names, column_names = ([stem(str(name)) for name in side] for side in (rows, columns))
    matrix = ScoreMatrix(scores, row_names, column_names)
    return Content(path, MATRIX, Scores(matrix, key, stated), faults)


def _of_table(path: Path) -> Content:
    rows = (cells for _, cells in csv_rows(path))
    header = next(rows, [])
    if header == COLUMNS and any(" " in row[1] for row in rows if len(row) > 1):
        return Content(path, SUBMISSION, None)
    if set(IMPORT_COLUMNS) <= set(header):  # its identities may be empty
        return Content(path, IMPORTED, read_import_table(path))
    if set(COLUMNS) <= set(header):
        return Content(path, LABELS, None)
    if tuple(header) in (DECISION_COLUMNS, FORMER_COLUMNS):
        return Content(path, DECISIONS, DecisionLog(path).rows())
    if {"epoch", "loss"} <= set(header):
        return Content(path, HISTORY, _history(path))
    if _is_annotation(header):
        return _annotations(path, [header, *rows])
    return Content(path, OTHER, None, described=f"{path.suffix[1:] or 'text'} file")


def _history(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (ValueError, OSError) as reason:  # Pandas' own faults are such
        raise UserError(f"{path} is not a table with a header: {str(reason).strip()}") from reason


def _annotations(path: Path, rows: Sequence[Sequence[str]]) -> Content[dict[str, Box]]:
    """Boxes of the detector's tables: lines `path,x1,y1,x2,y2,class`, no header."""
    boxes: dict[str, Box] = {}
    faults = []
    for line, row in enumerate(rows, start=1):
        if not row:
            continue
        name = stem(row[0])
        if not _is_annotation(row):
            faults.append(f"line {line}: expected path,x1,y1,x2,y2,class")
        elif name in boxes:
            faults.append(f"line {line}: photo {name} stands twice")
        else:
            boxes[name] = tuple(int(field) for field in row[1:5])
    return Content(path, BOXES, boxes, tuple(faults))


def _is_annotation(row: Sequence[str]) -> bool:
    return len(row) == _ANNOTATION and all(
        field.strip().removeprefix("-").isdecimal() for field in row[1:5]
    )


def _is_box(value: object) -> TypeGuard[Sequence[float]]:
    return (
        isinstance(value, list | tuple | np.ndarray)
        and len(value) == 4
        and all(isinstance(number, Real) for number in value)
    )


def _is_detections(value: object) -> TypeGuard[list[Sequence[float]]]:
    if not isinstance(value, list):
        return False
    return all(
        isinstance(entry, list | tuple)
        and len(entry) == 6
        and all(isinstance(number, Real) for number in entry)
        for entry in value
    )


def _is_split(value: object) -> TypeGuard[Sequence[Sequence[str]]]:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(part, list | tuple) for part in value)
        and all(isinstance(name, str) for part in value for name in part)
    )


def _other(path: Path, content: object) -> Content[None]:
    size = f" of {len(content):,}" if isinstance(content, Sized) else ""
    return Content(path, OTHER, None, described=f"{type(content).__name__}{size}")
