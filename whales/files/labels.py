"""train.csv and sample_submission.csv: read in file order and checked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from whales.base.errors import UserError
from whales.base.tables import read_csv, separator_tip
from whales.files.names import NEW_WHALE as NEW_WHALE  # readers of labels need it
from whales.files.names import identity_fault, look, photo_fault, quoted, stem
from whales.files.names import with_jpg as with_jpg


def read_labels(path: Path | str) -> pd.DataFrame:
    """Read a table `Image,Id`.

    Returns columns `Image` (file name) and `Id` (identity or `new_whale`), strings, in file order.
    Raises `UserError` for a missing file or column and, naming the line, for an empty field, a photo
    listed twice, and a name or identity that `whales.files.names` refuses.
    """
    rows = _rows(path, ("Image", "Id"))
    _check_identities(rows)
    return _frame(rows)


def read_answer_rows(path: Path | str) -> list[tuple[str, str, str]]:
    """Rows of a submission: (file and line, for messages; photo's file name; answers as they stand).

    Raises `UserError` as `read_labels`, but for the answers, of which any text will do.
    """
    rows = _rows(path, ("Image", "Id"))
    return [(where, row["Image"], row["Id"]) for where, row in rows]


def read_submission_names(path: Path | str) -> list[str]:
    """Photo names (file names) of a submission table, in file order.

    Raises `UserError` as `read_labels`, but for the column of identities, which may be missing.
    """
    return [row["Image"] for _, row in _rows(path, ("Image",))]


def lines_of(path: Path | str) -> dict[str, str]:
    """Photo stem -> file and line, for messages; `UserError` as `read_submission_names`."""
    return {stem(row["Image"]): where for where, row in _rows(path, ("Image",))}


def checked_labels(rows: Iterable[tuple[str, str]], source: object) -> None:
    """`UserError` where a table of these rows (photo, identity) is one that `read_labels` refuses.

    source: of the rows, for the message, which goes on with the line.
    """
    placed = [
        (f"{source}, line {line}", {"Image": image, "Id": identity})
        for line, (image, identity) in enumerate(rows, start=2)
    ]
    _check_photos(placed)
    _check_identities(placed)


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


def boxed_photos_by_identity(path: Path | str, boxed: Collection[str]) -> dict[str, list[str]]:
    """Identity (`new_whale` included) -> photo names in a table `Image,Id`, all in file order.

    boxed: the photos (stems) that have a box; the others are left out. `UserError` as `read_labels`.
    """
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


_Rows = list[tuple[str, dict[str, str]]]  # file and line of each row, and column -> text


def _frame(rows: _Rows) -> pd.DataFrame:
    table = pd.DataFrame([row for _, row in rows], columns=["Image", "Id"], dtype=object)
    return table.reset_index(drop=True)


def _rows(path: Path | str, columns: tuple[str, ...]) -> _Rows:
    """Rows of a table that has these columns, blank lines left out; photos checked."""
    table, places = read_csv(path, complete=False)  # an empty field is named by its column
    header = list(table.columns)
    for column in columns:
        if header.count(column) != 1:
            fault = "stands twice" if column in header else "is missing"
            raise UserError(
                f"{path}: column {column} {fault}; expected {','.join(columns)}, "
                f"received {quoted(','.join(header))}{separator_tip(','.join(header))}"
            )
    cells = table.itertuples(index=False, name=None)
    rows = [
        (place, dict(zip(header, row, strict=True)))
        for place, row in zip(places, cells, strict=True)
    ]
    _check_photos(rows)
    return rows


def _check_photos(rows: _Rows) -> None:
    first: dict[str, tuple[str, str]] = {}
    for where, row in rows:
        name = row["Image"]
        if name.strip() == "":
            raise UserError(f"{where}: Image is empty; fill it in")
        fault = photo_fault(name)
        if fault:
            raise UserError(f"{where}: photo {quoted(name)} {fault}")
        before, other = first.setdefault(look(stem(name)), (where, name))
        if before != where:
            line = before.rsplit(" ", 1)[-1], where.rsplit(" ", 1)[-1]
            lines = f"(lines {line[0]} and {line[1]})"
            source = where.rsplit(", line ", 1)[0]
            if stem(name) == stem(other):
                raise UserError(f"{source}: photo {name} is listed twice {lines}; keep one")
            raise UserError(
                f"{source}: photos {quoted(other)} and {quoted(name)} {lines} differ by case or by the "
                "form of a letter alone; rename one"
            )


def _check_identities(rows: _Rows) -> None:
    first: dict[str, tuple[str, str]] = {}
    seen: set[str] = set()
    for where, row in rows:
        identity = row["Id"]
        if identity in seen:
            continue
        seen.add(identity)
        if identity.strip() == "":
            raise UserError(f"{where}: Id is empty; fill it in")
        fault = identity_fault(identity)
        if fault:
            raise UserError(f"{where}: identity {quoted(identity)} {fault}")
        before, other = first.setdefault(look(identity), (where, identity))
        if before != where:
            raise UserError(
                f"{where}: identities {quoted(other)} (line {before.rsplit(' ', 1)[-1]}) and "
                f"{quoted(identity)} differ by case or by the form of a letter alone; write one of them"
            )
