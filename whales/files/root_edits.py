"""Changes of a work root's tables and photos that are made whole, or taken back.

Each change has a folder `review/changes/NUMBER`: `change.json` says what it is made of, `before/` holds the
tables as they were. One that a killed process left half-made is taken back when the next one begins.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from whales.base import locks
from whales.base.console import log
from whales.base.errors import UserError
from whales.base.plain_json import read_json
from whales.base.writing import require_space, require_writable, write_bytes, write_text
from whales.files.digests import file_digest
from whales.files.workspace import Workspace

BEGUN, DONE, UNDOING, UNDONE = "begun", "done", "undoing", "undone"
_RECORD, _BEFORE = "change.json", "before"


@dataclass
class RootEdit:
    """What a change is made of.

    tables: file -> its new content; copies: new photo -> what writes it, called with its path; moves: photo
    -> its new path. New photos must not be there.
    """

    tables: dict[Path, bytes] = field(default_factory=dict)
    copies: dict[Path, Callable[[Path], None]] = field(default_factory=dict)
    moves: dict[Path, Path] = field(default_factory=dict)

    def apply(self, workspace: Workspace, number: int) -> None:
        """Make the change; whatever goes wrong, nothing of it stays.

        To be called in `editing`. Raises `UserError` where a file cannot be written.
        """
        folder = workspace.file("change", number=number)
        require_writable(folder / _RECORD, *self.tables, *self.copies)
        require_space(folder, sum(map(len, self.tables.values())) * 2)
        for target in (*self.copies, *self.moves.values()):
            if os.path.lexists(target):
                raise UserError(f"{target} is there already; move it away")
        root = workspace.root
        for path in self.tables:
            if path.exists():
                kept = folder / _BEFORE / path.relative_to(root)
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, kept)
        record = {
            "state": BEGUN,
            "tables": {_named(root, path): "" for path in self.tables},
            "copies": {_named(root, path): "" for path in self.copies},
            "moves": {_named(root, old): _named(root, new) for old, new in self.moves.items()},
        }
        _write(folder, record)
        done = False
        try:
            self._make()
            made = {
                "tables": {_named(root, path): file_digest(path) for path in self.tables},
                "copies": {_named(root, path): file_digest(path) for path in self.copies},
            }
            _write(folder, {**record, **made, "state": DONE})
            done = True
        finally:
            if not done:
                _take_back(workspace, folder, record)
                shutil.rmtree(folder, ignore_errors=True)

    def _make(self) -> None:
        for path, write in self.copies.items():
            write(path)
        for path, content in self.tables.items():
            write_bytes(path, content)
        for old, new in self.moves.items():
            old.rename(new)


def _named(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _write(folder: Path, record: Mapping[str, object]) -> None:
    write_text(folder / _RECORD, json.dumps(record, indent=1) + "\n")


def _read(folder: Path) -> dict:
    record = read_json(folder / _RECORD)
    if not isinstance(record, dict) or not {"state", "tables", "copies", "moves"} <= {*record}:
        raise UserError(f"{folder / _RECORD} is damaged; the change cannot be taken back")
    return record


def _take_back(workspace: Workspace, folder: Path, record: Mapping[str, dict[str, str]]) -> None:
    """Put tables and photos back as they were, however far the change came."""
    root = workspace.root
    for old, new in record["moves"].items():
        if (root / new).exists() and not (root / old).exists():
            (root / new).rename(root / old)
    for name in record["tables"]:
        kept = folder / _BEFORE / name
        if kept.exists():
            write_bytes(root / name, kept.read_bytes())
        else:
            (root / name).unlink(missing_ok=True)
    for name in record["copies"]:
        (root / name).unlink(missing_ok=True)


@contextmanager
def editing(workspace: Workspace) -> Iterator[None]:
    """A block in which a change may be made: no stage is at work, and no half-made change is left.

    `UserError` where a stage is at work, and for the root of a rehearsal, whose tables are another root's.
    """
    data = workspace.root / "data"
    if workspace.root.parent.name == "rehearsal" and data.is_symlink():
        raise UserError(
            f"{workspace.root} is of a rehearsal, and its tables are those of {data.resolve().parent}; name "
            "that work root"
        )
    with ExitStack() as stack:
        for path in {workspace.file("lock", name="catalogue"), *workspace.found("lock")}:
            held = path.stem
            try:
                locks.take(path, held)
            except OSError as reason:
                raise UserError(f"{path}: {reason.strerror or reason}") from reason
            stack.callback(locks.release, path)
        for record_file in sorted(workspace.root.glob(f"review/changes/*/{_RECORD}")):
            record = _read(record_file.parent)
            if record["state"] == BEGUN:
                _take_back(workspace, record_file.parent, record)
                shutil.rmtree(record_file.parent)
                log(f"change {record_file.parent.name} was left half-made; it is taken back")
            elif record["state"] == UNDOING:
                _end_undo(workspace, record_file.parent)
                log(f"the undo of change {record_file.parent.name} was left half-made; it is ended")
        yield


def require_unchanged(workspace: Workspace, number: int) -> None:
    """`UserError` naming the first file that is no longer as change `number` left it."""
    folder = workspace.file("change", number=number)
    record = _read(folder) if (folder / _RECORD).exists() else {}
    if record.get("state") != DONE:
        raise UserError(f"{folder} does not hold change {number}; it cannot be taken back")
    for name, digest in {**record["tables"], **record["copies"]}.items():
        path = workspace.root / name
        if path == workspace.file("changes"):  # it grows by every change and every undo
            continue
        if not path.exists() or file_digest(path) != digest:
            raise UserError(
                f"{path} has been changed since change {number} was made, which an undo would lose; merge, "
                "split or rename instead"
            )
    for name in record["moves"].values():
        if not (workspace.root / name).exists():
            raise UserError(f"{workspace.root / name} is gone; change {number} cannot be undone")


def undo(workspace: Workspace, number: int, trace: str) -> None:
    """Take a change back; to be called in `editing`, after `require_unchanged`.

    trace: what `review/changes.csv` says from now on.
    """
    folder = workspace.file("change", number=number)
    record = _read(folder)
    _write(folder, {**record, "state": UNDOING, "trace": trace})
    _end_undo(workspace, folder)


def _end_undo(workspace: Workspace, folder: Path) -> None:
    record = _read(folder)
    _take_back(workspace, folder, record)
    write_text(workspace.file("changes"), str(record.pop("trace", "")))
    _write(folder, {**record, "state": UNDONE})
