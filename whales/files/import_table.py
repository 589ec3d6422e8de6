"""`data/import.csv`: where each photo of an imported work root came from, its original name, and what else
its source said of it (place, photographer, side, ..): the carried columns. Of these the library itself heeds
the side alone (`whales.files.sides`)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from whales.base.dates import date_in_cell
from whales.base.errors import UserError
from whales.base.tables import read_table
from whales.files.labels import stem
from whales.files.names import photo_fault, quoted
from whales.files.workspace import Workspace

IMPORT_COLUMNS = ("Image", "original", "path", "Id", "identity", "date", "split")
TRAIN, TEST, PLAYGROUND = PARTS = ("train", "test", "playground")  # values of `split`
UNMATCHED = "unmatched"  # in exports, the identity of a photo of no known whale


def imported(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Rows of `data/import.csv`, column -> text, by the photo's stem in the work root.

    Dates are ISO. Empty where nothing was imported. `UserError` for a table without one of `IMPORT_COLUMNS`,
    and naming the line, for a photo that is listed twice or whose name no table may have, and for a date
    whose order is not certain, as spreadsheets may leave it.
    """
    path = workspace.file("import_table")
    return read_import_table(path) if path.exists() else {}


def read_import_table(path: Path) -> dict[str, dict[str, str]]:
    """`imported` of the file at `path`, which must be there."""
    table, positions = read_table(path)
    missing = [column for column in IMPORT_COLUMNS if column not in table]
    if missing:
        raise UserError(f"{path}: column {missing[0]} is missing; import the data again")
    rows: dict[str, dict[str, str]] = {}
    for where, row in zip(positions, table.to_dict("records"), strict=True):
        name = row["Image"]
        fault = "is listed twice; keep one" if stem(name) in rows else photo_fault(name)
        if fault:
            raise UserError(f"{where}: photo {quoted(name)} {fault}")
        rows[stem(name)] = {**row, "date": date_in_cell(row["date"], where)}
    return rows


def carried(workspace: Workspace) -> dict[str, dict[str, str]]:
    """The carried columns, column -> text, by the photo's stem in the work root.

    All photos have the same columns, in the order of the table; "" where a source said nothing. Empty
    where nothing was imported. `UserError` as `imported`.
    """
    return {
        name: {column: text for column, text in row.items() if column not in IMPORT_COLUMNS}
        for name, row in imported(workspace).items()
    }


def written_names(workspace: Workspace) -> dict[str, str]:
    """Identity in the work root -> the name that people gave the animal, of those that differ."""
    return {
        row["Id"]: row["identity"]
        for row in imported(workspace).values()
        if row["identity"] and row["identity"] != row["Id"]
    }


def known_names(workspace: Workspace, known: Iterable[str]) -> dict[str, str]:
    """What people call the identities `known` -> identity, of those that the work root writes otherwise.

    A name that two of them have, as a table edited by hand may say, means neither: it stands for itself.
    """
    known, found = {*known}, dict[str, str]()
    for who, name in written_names(workspace).items():
        if who in known:
            found[name] = name if name in found else who
    return found


def imported_identities(workspace: Workspace) -> set[str]:
    """Identities that the import table names: in the work root and in the imported data set.

    Empty where nothing was imported.
    """
    path = workspace.file("import_table")
    if not path.exists():
        return set()
    table, _ = read_table(path)
    named = [column for column in ("Id", "identity") if column in table]
    return {name for column in named for name in table[column]}
