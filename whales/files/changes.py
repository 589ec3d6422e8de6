"""`review/changes.csv`: what was changed in the catalogue, when and by whom; a table that only grows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from whales.base.errors import UserError
from whales.base.tables import csv_text, read_table
from whales.files.labels import stem
from whales.files.workspace import Workspace

ADD, MERGE, SPLIT, RENAME, UNDO = KINDS = ("add", "merge", "split", "rename", "undo")


class Change(NamedTuple):
    """What became of one photo, all text.

    number: of the change, which is of one photo or more; when: UTC, ISO; who: called the command; change: one
    of `KINDS`; photo: file name in the work root, of `undo` the number that it takes back; before, after: its
    identity in train.csv, before "" for a photo that was not in it; name: the individual as people wrote it;
    decided_by: of `add`, the people who decided; content: of `add`, the fluke as decisions know it.
    """

    number: str
    when: str
    who: str
    change: str
    photo: str
    before: str = ""
    after: str = ""
    name: str = ""
    decided_by: str = ""
    content: str = ""


def read_changes(workspace: Workspace) -> list[Change]:
    """All rows, in file order; none where nothing was changed. `UserError` naming the file or the line."""
    path = workspace.file("changes")
    if not path.exists():
        return []
    table, positions = read_table(path)
    if tuple(table.columns) != Change._fields:
        raise UserError(
            f"{path}: expected the columns {','.join(Change._fields)}, received "
            f"{','.join(table.columns)}; put them back"
        )
    rows = [Change(*row) for row in table.itertuples(index=False, name=None)]
    for row, where in zip(rows, positions, strict=True):
        if row.change not in KINDS or not row.number.isdecimal():
            raise UserError(f"{where}: {row.number} {row.change} is no change; mend the row")
    return rows


def changes_text(rows: Iterable[Change]) -> str:
    """The table of these rows."""
    return csv_text(Change._fields, rows)


def standing_changes(rows: Sequence[Change]) -> list[Change]:
    """Those that no later row has undone."""
    undone = {row.photo for row in rows if row.change == UNDO}
    return [row for row in rows if row.change != UNDO and row.number not in undone]


def next_number(rows: Sequence[Change]) -> int:
    """The number of the next change."""
    return max((int(row.number) for row in rows), default=0) + 1


def deciders(workspace: Workspace) -> dict[str, str]:
    """Photo (stem) -> who decided whom it shows, as the changes that stand say.

    Whoever merges two individuals decides on photos that nobody decided on before; a name is no decision.
    """
    found: dict[str, str] = {}
    for row in standing_changes(read_changes(workspace)):
        name = stem(row.photo)
        if row.change in (ADD, SPLIT):
            found[name] = row.decided_by or row.who
        elif row.change == MERGE:
            found.setdefault(name, row.who)
    return found


def present_names(workspace: Workspace) -> dict[str, str]:
    """Identity of former tables -> what it is called now, of those that were merged or renamed."""
    now: dict[str, str] = {}
    for row in standing_changes(read_changes(workspace)):
        if row.change in (MERGE, RENAME) and row.before != row.after:
            now = {old: row.after if who == row.before else who for old, who in now.items()}
            now[row.before] = row.after
            now.pop(row.after, None)
    return now


def stems_of_contents(workspace: Workspace) -> dict[str, str]:
    """Content of a fluke -> the photo (stem) that it became in the catalogue."""
    rows = standing_changes(read_changes(workspace))
    return {row.content: stem(row.photo) for row in rows if row.change == ADD and row.content}
