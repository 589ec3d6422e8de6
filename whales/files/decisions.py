"""Decisions of people on photos: a table that only grows, so that several people lose no row."""

from __future__ import annotations

import contextlib
import csv
import getpass
import io
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.tables import csv_text
from whales.base.writing import WriteError, require_writable
from whales.files.labels import NEW_WHALE, stem, with_jpg

try:
    import fcntl
except ImportError:  # not a POSIX system: a lock file stands in
    fcntl = None

DECISION_COLUMNS = ("who", "when", "query", "decision", "candidate", "score")
SAME, NEW, SKIP, UNDO = DECISIONS = ("same", "new", "skip", "undo")
_WAIT = 10.0  # seconds for another process's lock file


class Decision(NamedTuple):
    """One row of the table, all text, and its line.

    who: the person's name; when: UTC, ISO; query: the photo's name; decision: one of `DECISIONS`;
    candidate: for `same`, the known photo of the same whale, or the identity; score: that the person
    saw; line: in the file, from 1, 0 for a row that is not written yet.
    """

    who: str
    when: str
    query: str
    decision: str
    candidate: str = ""
    score: str = ""
    line: int = 0


def now() -> str:
    """The time in UTC to the second, ISO."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def checked_name(who: str) -> str:
    """A person's name without spaces around it.

    `UserError` where it is empty, longer than 60 letters, or has letters that would break the table.
    """
    name = who.strip()
    if not name or len(name) > 60 or not name.isprintable():
        raise UserError(
            f"who decides is a name of 1 to 60 printable letters; received {name[:60]!r}"
        )
    return name


def login_name() -> str:
    """The login name of the person at work; `UserError` where the system knows none."""
    try:
        return checked_name(getpass.getuser())
    except (ImportError, KeyError, OSError):
        raise UserError("the login name is not known; name who decides with --who") from None


def standing(rows: Sequence[Decision]) -> dict[str, list[Decision]]:
    """Query (stem) -> its decisions that were not undone, oldest first; an undo takes back the last.

    rows: in file order. Queries whose decisions are all undone are left out.
    """
    stacks: dict[str, list[Decision]] = {}
    for row in rows:
        stack = stacks.setdefault(stem(row.query), [])
        if row.decision != UNDO:
            stack.append(row)
        elif stack:
            stack.pop()
    return {query: stack for query, stack in stacks.items() if stack}


def last_of_each(stack: Sequence[Decision]) -> dict[str, Decision]:
    """Person -> the last of their decisions on one photo."""
    return {row.who: row for row in stack}


def words_of(
    stack: Sequence[Decision], labels: Mapping[str, str], known: Collection[str], source: Path | str
) -> dict[str, str]:
    """Person -> the identity or `new_whale` that their last decision on one photo gives it.

    A person whose last decision is a skip is left out; two different values mean that people disagree.
    stack: the photo's decisions, as in `standing`; labels: stem -> identity of the training photos;
    known: the identities among them; source: the rows' file, for messages. `UserError` naming the line
    of a candidate that is neither an identity nor a photo.
    """
    return {
        who: candidate_identity(row.candidate, labels, known, f"{source}, line {row.line}")
        if row.decision == SAME
        else NEW_WHALE
        for who, row in last_of_each(stack).items()
        if row.decision != SKIP
    }


def candidate_identity(
    text: str, labels: Mapping[str, str], known: Collection[str], where: str
) -> str:
    """The identity of a candidate: an identity, or a training photo with or without `.jpg`.

    labels: stem -> identity of the training photos; known: the identities among them. Raises
    `UserError`, which begins with `where`, for anything else.
    """
    photo_identity = labels.get(stem(text))
    if photo_identity in (None, NEW_WHALE) and text not in known:
        raise UserError(
            f"{where}: candidate {text or 'is empty and'} is neither an identity of train.csv nor "
            "one of its photos with an identity"
        )
    if text in known:
        # `1` may be a photo and an identity; its extension marks the photo.
        if photo_identity not in (None, text):
            raise UserError(
                f"{where}: candidate {text} is an identity and a photo of {photo_identity}; "
                f"write {with_jpg(text)} for the photo"
            )
        return text
    return photo_identity


class DecisionLog:
    """The table of decisions, columns `DECISION_COLUMNS`; each call reads the file as it is now."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._torn_logged = False

    def rows(self) -> list[Decision]:
        """All whole rows, in file order; none where there is no file.

        A last line that a power cut left half-written is passed over, and named in the log once.
        `UserError` naming the line of any other fault.
        """
        try:
            with open(self.path, "rb") as source:
                if fcntl is not None:
                    # Without the lock a row that is being written looks torn.
                    fcntl.flock(source, fcntl.LOCK_SH)
                data = source.read()
        except FileNotFoundError:
            return []
        except OSError as reason:
            raise self._fault(reason) from reason
        return self._parsed(data)

    def append(self, row: Decision) -> None:
        """Add a row; it is on the disk when this returns. `UserError` where it cannot be written."""
        with self._locked() as file:
            self._append(file, row)

    def undo(self, who: str, queries: Collection[str]) -> Decision:
        """Take back a person's last standing decision on any of `queries` (stems).

        It appends an `undo` row and returns the decision taken back. `UserError` where there is none,
        or somebody else has decided on that photo since.
        """
        with self._locked() as file:
            stacks = standing(self._parsed(_read(file)))
            asked = [stack for query, stack in stacks.items() if query in queries]
            rows = [row for stack in asked for row in stack if row.who == who]
            if not rows:
                raise UserError(f"{who} has no decision to undo")
            row = max(rows, key=lambda decision: decision.line)
            last = stacks[stem(row.query)][-1]
            if last is not row:
                raise UserError(
                    f"{last.who} has decided on this photo after {who}; decide again instead of undoing"
                )
            self._append(file, row._replace(when=now(), decision=UNDO))
            return row

    def mend(self) -> None:
        """Move a half-written last line aside, if there is one, and check all rows.

        Where the table cannot be written, the log says so: it can be shown, and no decision be kept.
        """
        try:
            require_writable(self.path)
        except WriteError as reason:
            log(f"decisions can be seen and not made: {reason}")
            self.rows()
            return
        if self.path.exists():
            with self._locked() as file:
                self._end(file)
                self._parsed(_read(file))

    def _parsed(self, data: bytes) -> list[Decision]:
        whole, torn = _split(data)
        if torn and not self._torn_logged:
            self._torn_logged = True
            log(f"{self.path}: the last line is half-written and is passed over: {torn!r}")
        try:
            lines = csv.reader(io.StringIO(whole.decode("utf-8-sig"), newline=""))
            table = [(lines.line_num, cells) for cells in lines if cells]
        except (UnicodeDecodeError, csv.Error) as reason:
            raise UserError(f"{self.path} is not CSV in UTF-8 ({reason}); mend it") from reason
        if table and tuple(table[0][1]) != DECISION_COLUMNS:
            raise UserError(
                f"{self.path}, line 1: expected {','.join(DECISION_COLUMNS)}, "
                f"received {','.join(table[0][1])}; name another file with --decisions"
            )
        for line, cells in table[1:]:
            if len(cells) != len(DECISION_COLUMNS):
                raise UserError(
                    f"{self.path}, line {line}: expected {len(DECISION_COLUMNS)} fields, "
                    f"received {len(cells)}; mend the row or take it out"
                )
            if cells[3] not in DECISIONS:
                raise UserError(
                    f"{self.path}, line {line}: decision is {cells[3]}, "
                    f"expected one of {', '.join(DECISIONS)}"
                )
        return [Decision(*cells, line=line) for line, cells in table[1:]]

    def _append(self, file: int, row: Decision) -> None:
        size = self._end(file)
        header = DECISION_COLUMNS if size == 0 else None
        text = csv_text(header, [row[: len(DECISION_COLUMNS)]])
        try:
            _write(file, text.encode())
            if size == 0 and fcntl is not None:
                _sync_folder(self.path.parent)
        except OSError as reason:  # a full disk: no half row may stay
            os.ftruncate(file, size)
            raise self._fault(reason) from reason

    def _end(self, file: int) -> int:
        """The size of the file once its last line is whole: ended, or moved to `.torn` beside it."""
        data = _read(file)
        whole, torn = _split(data)
        if torn:
            aside = self.path.with_name(f"{self.path.name}.torn")
            with open(aside, "ab") as kept:
                kept.write(torn + b"\n")
                kept.flush()
                os.fsync(kept.fileno())
            os.ftruncate(file, len(whole))
            log(f"{self.path}: the last line was half-written; it is now in {aside}")
        elif len(whole) > len(data):
            _write(file, b"\n")
        return len(whole)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Open the file, made if need be, and hold it against all other processes."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                if fcntl is None:
                    stack.enter_context(_lock_file(self.path.with_name(f"{self.path.name}.lock")))
                while True:
                    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
                    file = os.open(self.path, flags, 0o666)
                    stack.callback(os.close, file)
                    if fcntl is not None:
                        fcntl.flock(file, fcntl.LOCK_EX)
                    if _still_there(file, self.path):
                        break  # else somebody replaced the file during the wait for the lock
                yield file
        except OSError as reason:
            raise self._fault(reason) from reason

    def _fault(self, reason: OSError) -> UserError:
        return UserError(f"{self.path}: {reason.strerror or reason}; no decision can be kept there")


def _split(data: bytes) -> tuple[bytes, bytes]:
    """The whole lines of a table, each with its line feed, and a half-written line behind them.

    A last line with all its commas is whole: a decision's meaning comes before its last field, the score.
    """
    end = data.rfind(b"\n") + 1
    tail = data[end:]
    if not tail:
        return data, b""
    cells = next(csv.reader([tail.decode("utf-8", "replace")]), [])
    if len(cells) == len(DECISION_COLUMNS):
        return data + b"\n", b""
    return data[:end], tail


def _read(file: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    chunks = []
    while chunk := os.read(file, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    """Put a new file's name on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _still_there(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _lock_file(path: Path) -> Iterator[None]:
    """Hold a lock by a file that only one process can make; `UserError` after ten seconds."""
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{path} is held by another process; if none runs, delete it"
                ) from None
            time.sleep(0.02)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
