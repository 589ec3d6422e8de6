"""train.csv and sample_submission.csv: read in file order and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from whales.base.errors import UserError
from whales.base.tables import read_csv

NEW_WHALE = "new_whale"


def stem(name: str) -> str:
    """Photo name without folder and extension; Windows paths too.

    >>> stem("data/train/0a1b.jpg"), stem(r"E:\\photos\\25e1.fluke.npy"), stem("0a1b")
    ('0a1b', '25e1.fluke', '0a1b')
    """
    return name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]


def with_jpg(name: str) -> str:
    """Photo name with `.jpg`, whatever extension and folder it had.

    >>> with_jpg("0a1b.npy")
    '0a1b.jpg'
    """
    return f"{stem(name)}.jpg"


def read_labels(path: Path | str) -> pd.DataFrame:
    """Read a table `Image,Id`.

    Returns columns `Image` (file name) and `Id` (identity or `new_whale`), strings, in file order.
    Raises `UserError` for a missing file or column and, naming the row, for an empty field or a photo
    listed twice.
    """
    table = _read(path, ("Image", "Id"))
    for column in ("Image", "Id"):
        empty = table.index[table[column].str.strip() == ""]
        if len(empty):
            raise UserError(f"{path}, line {empty[0] + 2}: {column} is empty; fill it in")
    return table


def read_submission_names(path: Path | str) -> list[str]:
    """Photo names (file names) of a submission table, in file order.

    Raises `UserError` for a missing file or column, or a name listed twice.
    """
    return _read(path, ("Image",))["Image"].tolist()


def identities_of(labels: pd.DataFrame) -> dict[str, str]:
    """Photo stem -> identity, in file order; labels: as `read_labels` returns."""
    return {stem(image): identity for image, identity in zip(labels.Image, labels.Id, strict=True)}


def photos_by_identity(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group (photo, identity) pairs: identities by first appearance, photos in the given order.

    >>> photos_by_identity([("a", "w_2"), ("b", "w_1"), ("c", "w_2")])
    {'w_2': ['a', 'c'], 'w_1': ['b']}
    """
    groups: dict[str, list[str]] = {}
    for photo, identity in pairs:
        groups.setdefault(identity, []).append(photo)
    return groups


def boxed_photos_by_identity(
    path: Path | str, boxes: Iterable[dict[str, object]]
) -> dict[str, list[str]]:
    """Identity (`new_whale` included) -> photo names in a table `Image,Id`, all in file order.

    boxes: tables stem -> box; photos with a box in none of them are left out. `UserError` as
    `read_labels`.
    """
    boxed = set().union(*boxes)
    labels = read_labels(path)
    rows = zip(labels.Image, labels.Id, strict=True)
    return photos_by_identity((name, identity) for name, identity in rows if stem(name) in boxed)


def check_labelled(names: Iterable[str], identity_of: Mapping[str, str], source: object) -> None:
    """Raise `UserError` naming `source` if one of `names` (stems) has no label."""
    unknown = [name for name in names if name not in identity_of]
    if unknown:
        raise UserError(
            f"{source}: photo {unknown[0]} is not in train.csv; run the stage that makes it again"
        )


def _read(path: Path | str, columns: tuple[str, ...]) -> pd.DataFrame:
    table, _ = read_csv(path, complete=False)  # an empty field is named by its column
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(
            f"{path}: column {missing[0]} is missing; expected {','.join(columns)}, "
            f"received {','.join(table.columns)}"
        )
    stems = table.Image.map(stem)
    repeated = stems[stems.duplicated(keep=False)]
    if len(repeated):
        rows = table.index[stems == repeated.iloc[0]] + 2
        raise UserError(
            f"{path}: photo {table.Image[rows[0] - 2]} is listed twice "
            f"(lines {rows[0]} and {rows[1]}); keep one"
        )
    return table
