"""What kind of file of the pipeline a file is, told by its content, and the content in one form a kind."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from whales.base.errors import UserError
from whales.base.pickles import load
from whales.files import folds
from whales.files.decisions import DECISION_COLUMNS, DecisionLog
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
HISTORY = "training history"
DECISIONS = "people's decisions"
OTHER = "not a file of the pipeline"

# Under which of these a dict of scores keeps them.
SCORE_KEYS = ("score", "val_vs_train_mat_sparse", "test_vs_train_mat_sparse")

_PICKLES = (".pkl", ".pklz")
_PICKLE_MARK = b"\x80"
_ANNOTATION = 6  # fields of a line `path,x1,y1,x2,y2,class`


class Content(NamedTuple):
    """A file's kind and content.

    `value`: boxes dict stem -> (x1, y1, x2, y2), pixels; detections dict stem -> list of [label,
    score, x1, y1, x2, y2], shares; cache tuple (boxes, scores, labels); folds `Splits`; matrix
    `Scores`; history DataFrame; decisions list of `Decision`; None for the other tables, which
    their readers read.
    `faults`: what was unsound already while reading.
    """

    path: Path
    kind: str
    value: Any = None
    faults: tuple[str, ...] = ()
    described: str = ""  # type of a file of another kind


class Scores(NamedTuple):
    """A score matrix, the key it was kept under ('' in a tuple), and the MAP@5 that the file states."""

    matrix: ScoreMatrix
    key: str
    stated: float | None


Splits = dict[str, tuple[list[str], list[str]]]  # 'fold 0' -> train and valid photos (stems)


def read(path: Path) -> Content:
    """Read any file; `UserError` where it is missing or a damaged pickle."""
    if not path.exists():
        raise UserError(f"{path} is missing")
    if path.is_dir():
        return Content(path, OTHER, described="folder")
    try:
        with open(path, "rb") as source:
            mark = source.read(1)
    except OSError as reason:
        raise UserError(f"{path} cannot be read ({reason.strerror})") from None
    if path.suffix in _PICKLES or mark == _PICKLE_MARK:
        return _of_pickle(path, load(path))
    try:
        return _of_table(path)
    except (UnicodeDecodeError, csv.Error):
        return Content(path, OTHER, described=f"{path.suffix[1:] or 'bytes'} file")


def _of_pickle(path: Path, content: Any) -> Content:
    if isinstance(content, dict):
        return _of_dict(path, content)
    if isinstance(content, tuple) and len(content) == 3:
        first, _, last = content
        if isinstance(first, np.ndarray) and first.ndim == 3:
            return Content(path, DETECTION_CACHE, content)
        if len(getattr(last, "shape", ())) == 2:
            return _matrix(path, *content, "", None)
    if isinstance(content, list) and content and all(map(_is_split, content)):
        splits = {
            f"fold {number}": tuple([stem(name) for name in part] for part in split)
            for number, split in enumerate(content, start=1)
        }
        return Content(path, DETECTOR_FOLDS, splits)
    return _other(path, content)


def _of_dict(path: Path, content: dict[Any, Any]) -> Content:
    key = next((key for key in SCORE_KEYS if key in content), None)
    if key and {"row_names", "col_names"} <= set(content):
        rows, columns = content["row_names"], content["col_names"]
        return _matrix(path, rows, columns, content[key], key, content.get("overall_score"))
    if not all(isinstance(name, str) for name in content):
        return _other(path, content)
    if any(name.startswith("fold_") and isinstance(v, dict) for name, v in content.items()):
        return _folds(path, content)
    # One damaged entry does not make it another kind of file.
    if 2 * sum(_is_detections(value) for value in content.values()) > len(content):
        return _entries(path, DETECTIONS, content, _is_detections)
    if 2 * sum(_is_box(value) for value in content.values()) >= len(content):
        return _entries(path, BOXES, content, _is_box)
    return _other(path, content)


def _entries(path: Path, kind: str, content: dict[str, Any], fits: Any) -> Content:
    bad = [name for name, value in content.items() if not fits(value)]
    faults = tuple(f"photo {name}: its entry is none of {kind}" for name in bad)
    return Content(path, kind, {n: v for n, v in content.items() if fits(v)}, faults)


def _folds(path: Path, content: dict[str, Any]) -> Content:
    splits, faults = {}, []
    for number in range(folds.FOLDS):
        try:
            fold = folds.require_fold(content, number, path.name)
        except UserError as reason:
            faults.append(str(reason))
            continue
        splits[f"fold {number}"] = tuple(
            [stem(str(n)) for n in fold[part]] for part in ("train", "val")
        )
    return Content(path, FOLDS, splits, tuple(faults))


def _matrix(
    path: Path, rows: Any, columns: Any, scores: Any, key: str, stated: float | None
) -> Content:
    names = [[stem(str(name)) for name in side] for side in (rows, columns)]
    if len(getattr(scores, "shape", ())) != 2 or scores.dtype.kind not in "fiu":
        return Content(path, OTHER, described="names with what is no matrix of numbers")
    if sparse.issparse(scores):
        scores = scores.tocsr()
    return Content(path, MATRIX, Scores(ScoreMatrix(scores, *names), key, stated))


def _of_table(path: Path) -> Content:
    with open(path, newline="", encoding="utf-8") as source:
        rows = csv.reader(source)
        header = next(rows, [])
        if header == COLUMNS and any(" " in row[1] for row in rows if len(row) > 1):
            return Content(path, SUBMISSION)
        if set(COLUMNS) <= set(header):
            return Content(path, LABELS)
        if tuple(header) == DECISION_COLUMNS:
            return Content(path, DECISIONS, DecisionLog(path).rows())
        if {"epoch", "loss"} <= set(header):
            return Content(path, HISTORY, _history(path))
        if _is_annotation(header):
            return _annotations(path, [header, *rows])
    return Content(path, OTHER, described=f"{path.suffix[1:] or 'text'} file")


def _history(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as reason:
        raise UserError(f"{path} is not a table with a header: {str(reason).strip()}") from reason


def _annotations(path: Path, rows: Sequence[Sequence[str]]) -> Content:
    """Boxes of the detector's tables: lines `path,x1,y1,x2,y2,class`, no header."""
    boxes: dict[str, tuple[int, ...]] = {}
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
        field.strip().removeprefix("-").isdigit() for field in row[1:5]
    )


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list | tuple | np.ndarray)
        and len(value) == 4
        and all(isinstance(number, Real) for number in value)
    )


def _is_detections(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return all(
        isinstance(entry, list | tuple)
        and len(entry) == 6
        and all(isinstance(number, Real) for number in entry)
        for entry in value
    )


def _is_split(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(part, list | tuple) for part in value)
        and all(isinstance(name, str) for part in value for name in part)
    )


def _other(path: Path, content: Any) -> Content:
    size = f" of {len(content):,}" if hasattr(content, "__len__") else ""
    return Content(path, OTHER, described=f"{type(content).__name__}{size}")
