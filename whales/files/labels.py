"""train.csv and sample_submission.csv: read in file order and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from whales.base.errors import UserError

NEW_WHALE = "new_whale"


def stem(name: str) -> str:
    """Photo name without folder and extension: `a/0a1b.jpg` -> `0a1b`; Windows paths too."""
    return name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]


def with_jpg(name: str) -> str:
    """Photo name with `.jpg`, whatever extension it had."""
    return f"{stem(name)}.jpg"


def read_labels(path: Path | str) -> pd.DataFrame:
    """Read a table `Image,Id`.

    Returns columns `Image` (file name) and `Id` (identity or `new_whale`), strings, in file order.
    Raises `UserError` naming the row for a missing column, an empty field or a photo listed twice.
    """
    table = _read(path, ("Image", "Id"))
    for column in ("Image", "Id"):
        empty = table.index[table[column].str.strip() == ""]
        if len(empty):
            raise UserError(f"{path}, line {empty[0] + 2}: {column} is empty; fill it in")
    return table


def read_submission_names(path: Path | str) -> list[str]:
    """Photo names of a submission table, in file order; a name listed twice is a `UserError`."""
    return _read(path, ("Image",))["Image"].tolist()


def identities_of(labels: pd.DataFrame) -> dict[str, str]:
    """Dict from photo stem to identity, in file order."""
    return {stem(image): identity for image, identity in zip(labels.Image, labels.Id, strict=True)}


def photos_by_identity(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group (photo, identity) pairs: identities by first appearance, photos in the given order."""
    groups: dict[str, list[str]] = {}
    for photo, identity in pairs:
        groups.setdefault(identity, []).append(photo)
    return groups


def boxed_photos_by_identity(
    path: Path | str, boxes: Iterable[dict[str, object]]
) -> dict[str, list[str]]:
    """Photo names of each identity (`new_whale` included) of a table `Image,Id`, all in file order.

    Photos with a box in none of the `boxes` dicts (keyed by stem) are left out.
    """
    boxed = set().union(*boxes)
    labels = read_labels(path)
    rows = zip(labels.Image, labels.Id, strict=True)
    return photos_by_identity((name, who) for name, who in rows if stem(name) in boxed)


def check_labelled(names: Iterable[str], identity_of: Mapping[str, str], source: object) -> None:
    """Raise `UserError` naming `source` if one of `names` (stems) has no label."""
    unknown = [name for name in names if name not in identity_of]
    if unknown:
        raise UserError(
            f"{source}: photo {unknown[0]} is not in train.csv; run the stage that makes it again"
        )


def _read(path: Path | str, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as reason:
        raise UserError(f"{path} is not a table with a header: {str(reason).strip()}") from reason
    if not isinstance(table.index, pd.RangeIndex):  # else pandas takes the first field for an index
        raise UserError(f"{path}, line 2: more fields than the header has; take them out")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(
            f"{path}: column {missing[0]} is missing; expected {','.join(columns)}, "
            f"received {','.join(table.columns)}"
        )
    stems = table.Image.map(stem)
    twice = stems[stems.duplicated(keep=False)]
    if len(twice):
        rows = table.index[stems == twice.iloc[0]] + 2
        raise UserError(
            f"{path}: photo {table.Image[rows[0] - 2]} is listed twice "
            f"(lines {rows[0]} and {rows[1]}); keep one"
        )
    return table
