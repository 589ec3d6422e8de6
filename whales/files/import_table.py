"""`data/import.csv`: which photo of an imported work root came from where, and under which name."""

from __future__ import annotations

from whales.base.errors import UserError
from whales.base.tables import read_table
from whales.files.labels import stem
from whales.files.workspace import Workspace

IMPORT_COLUMNS = ("Image", "original", "path", "Id", "identity", "date", "split")
TRAIN, TEST, PLAYGROUND = PARTS = ("train", "test", "playground")  # what `split` says
UNMATCHED = "unmatched"  # what exports call a photo of none of the known


def imported(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Rows of `data/import.csv` by the photo's stem in the work root; none where nothing was imported."""
    path = workspace.file("import_table")
    if not path.exists():
        return {}
    table, _ = read_table(path)
    missing = [column for column in IMPORT_COLUMNS if column not in table]
    if missing:
        raise UserError(f"{path}: column {missing[0]} is missing; import the data again")
    return {stem(row["Image"]): row for row in table.to_dict("records")}


def imported_identities(workspace: Workspace) -> set[str]:
    """Identities that the import table names, in the work root and where it came from; none without it."""
    path = workspace.file("import_table")
    if not path.exists():
        return set()
    table, _ = read_table(path)
    named = [column for column in ("Id", "identity") if column in table]
    return {name for column in named for name in table[column]}
