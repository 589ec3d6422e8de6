"""Folds of the detector's photos, and the tables of photos and boxes that it trains on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from retinanet.detector.geometry import DETECTOR_FOLDS
from whales.base.errors import UserError
from whales.base.tables import csv_rows, csv_text
from whales.files.boxes import whole_pixels
from whales.files.labels import NEW_WHALE

FOLD_SEED = 66  # of the shuffles of identities and of `new_whale`
CLASS = "whale"

Annotation = tuple[str, tuple[int, int, int, int]]  # path, (x1, y1, x2, y2) in pixels


def split_by_identity(labels: pd.DataFrame) -> list[list[list[str]]]:
    """Five `[train photos, valid photos]`, no identity in both; file order, `new_whale` last.

    labels: columns Image, Id, in file order. Raises UserError with fewer than five identities or,
    if there are any, fewer than five photos of `new_whale`.
    """
    known = labels[labels.Id != NEW_WHALE]
    identities = np.array(sorted(known.Id.unique()))
    unknown = labels.Image[labels.Id == NEW_WHALE].to_numpy()
    _check_enough(len(identities), "identities")
    kfold = KFold(DETECTOR_FOLDS, shuffle=True, random_state=FOLD_SEED)
    folds = [
        [known.Image[known.Id.isin(identities[indices])].tolist() for indices in train_and_valid]
        for train_and_valid in kfold.split(identities)
    ]
    if len(unknown):
        _check_enough(len(unknown), f"photos of {NEW_WHALE}")
        for fold, train_and_valid in zip(folds, kfold.split(unknown), strict=True):
            for photos, indices in zip(fold, train_and_valid, strict=True):
                photos.extend(unknown[indices].tolist())
    return folds


def _check_enough(count: int, kind: str) -> None:
    least = DETECTOR_FOLDS
    if count < least:
        raise UserError(
            f"train.csv has {count} {kind}; {least} folds need at least {least}: add photos"
        )


def degenerate_boxes(boxes: Mapping[str, Sequence[float]], names: Iterable[str]) -> list[str]:
    """The photos (stems) of `names` whose box is empty or inverted in whole pixels, in their order."""
    found = []
    for name in names:
        if name in boxes:
            x1, y1, x2, y2 = whole_pixels(boxes[name])
            if x2 <= x1 or y2 <= y1:
                found.append(name)
    return found


def annotation_table(rows: Iterable[Annotation]) -> str:
    """Rows as `path,x1,y1,x2,y2,whale`, without a header."""
    return csv_text(None, ([path, *box, CLASS] for path, box in rows), contract=True)


def read_annotations(path: Path) -> list[Annotation]:
    """Read a table `path,x1,y1,x2,y2,class`, no header; UserError names a bad row and its line."""
    rows: list[Annotation] = []
    for line, fields in csv_rows(path):
        if not fields:
            continue
        try:
            photo, x1, y1, x2, y2, _ = fields
            rows.append((photo, (int(x1), int(y1), int(x2), int(y2))))
        except ValueError:
            raise UserError(
                f"{path}, line {line}: expected path,x1,y1,x2,y2,{CLASS} with whole "
                f"pixels, received {','.join(fields)}"
            ) from None
    return rows
