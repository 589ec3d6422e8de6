"""Decisions of people on photos: a table that only grows, so that several people lose no row."""

from __future__ import annotations

import contextlib
import csv
import getpass
import io
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self, TypeVar

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import look
from whales.base.tables import csv_text, from_text
from whales.base.writing import WriteError, require_writable
from whales.files.labels import NEW_WHALE, stem, with_jpg
from whales.files.names import cleaned, means_new_whale

try:
    import fcntl
except ImportError:  # not a POSIX system: a lock file stands in
    fcntl = None

# Before 0.3 a decision named its photo by file name alone.
FORMER_COLUMNS = ("who", "when", "query", "decision", "candidate", "score")
_CONTENTS = ("query_content", "candidate_content")
DECISION_COLUMNS = (*FORMER_COLUMNS, *_CONTENTS)
SAME, NEW, UNSURE, SKIP, UNDO = DECISIONS = ("same", "new", "unsure", "skip", "undo")
HELD_BACK = (UNSURE, SKIP)  # name nobody: the photo cannot be told, or is left for later
_WAIT = 10.0  # seconds for another process's lock file
# The digest of a photo's file, and the fluke's number where it is not the first.
_QUERY_CONTENT = re.compile(r"(?:[0-9a-f]{32}(?:#[1-9]\d*)?)?")
_CANDIDATE_CONTENT = re.compile(r"(?:[0-9a-f]{32})?")
_CONTENT_PATTERNS = (_QUERY_CONTENT, _CANDIDATE_CONTENT)

Key = TypeVar("Key", bound=Hashable)


class Decision(NamedTuple):
    """One row of the table, all text, and its line.

    who: the person's name; when: UTC, ISO; query: the photo's name; decision: one of `DECISIONS`;
    candidate: for `same`, the known photo of the same whale, or the identity; for `new`, what the new
    individual is to be called, or ""; score: that the person saw; query_content: `fluke_content` of the
    query, candidate_content: digest of the known photo's file, each "" where the row knows the photo by name
    alone; line: in the file, from 1, 0 for a row that is not written yet.
    """

    who: str
    when: str
    query: str
    decision: str
    candidate: str = ""
    score: str = ""
    query_content: str = ""
    candidate_content: str = ""
    line: int = 0


def fluke_content(digest: str, fluke: str = "1") -> str:
    """What tells a fluke from every other: the digest of its photo's file, and its number from the second on.

    >>> fluke_content("0f", "1"), fluke_content("0f", "2")
    ('0f', '0f#2')
    """
    return digest if fluke == "1" else f"{digest}#{fluke}"


def now() -> str:
    """The time in UTC to the second, ISO."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def now_together() -> str:
    """The time to the microsecond, which rows of one act have in common: an undo takes them back together."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def of_one_act(row: Decision, other: Decision) -> bool:
    """Whether a person decided on two photos at once; a time to the second is that of one row alone.

    >>> one = Decision("anna", "2020-01-02T03:04:05.000006+00:00", "a.jpg", "new", "Moon")
    >>> of_one_act(one, one._replace(query="b.jpg")), of_one_act(one, one._replace(who="ben"))
    (True, False)
    """
    return row is other or (row[:2] == other[:2] and "." in row.when)


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


def name_and_content(row: Decision) -> tuple[str, str]:
    """The photo of a decision as the row itself names it: stem and content."""
    return stem(row.query), row.query_content


def spelled_alike(rows: Sequence[Decision]) -> list[Decision]:
    """The rows with names of new individuals that look alike spelled as the first of them: one animal."""
    first: dict[str, str] = {}
    return [
        row._replace(candidate=first.setdefault(look(cleaned(row.candidate)), row.candidate))
        if row.decision == NEW and row.candidate
        else row
        for row in rows
    ]


def standing(
    rows: Sequence[Decision], photo_of: Callable[[Decision], Key]
) -> dict[Key, list[Decision]]:
    """Photo -> its decisions that were not undone, oldest first; an undo takes back the last.

    rows: in file order; photo_of: what tells the photos apart. Photos whose decisions are all undone are
    left out.
    """
    stacks: dict[Key, list[Decision]] = {}
    for row in rows:
        stack = stacks.setdefault(photo_of(row), [])
        if row.decision != UNDO:
            stack.append(row)
        elif stack:
            stack.pop()
    return {photo: stack for photo, stack in stacks.items() if stack}


def last_of_each(stack: Sequence[Decision]) -> dict[str, Decision]:
    """Person -> the last of their decisions on one photo."""
    return {row.who: row for row in stack}


def words_of(
    stack: Sequence[Decision],
    labels: Mapping[str, str],
    known: Collection[str],
    source: Path | str,
    written: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Person -> identity, new individual's name, or `new_whale` that their last decision gives one photo.

    A person whose last decision is one of `HELD_BACK` is left out; two different values mean that people
    disagree. Who says "new" without a name agrees with the one name that others give. stack: the photo's
    decisions, as in `standing`; labels: stem -> identity of the training photos; known: the identities
    among them; source: the rows' file, for messages; written: what people call them -> identity. `UserError`
    naming the line of a candidate that is neither an identity nor a photo, or of a new individual's name that
    is taken.
    """
    words = {
        who: candidate_identity(
            _in_root(row.candidate, labels, known, written),
            labels,
            known,
            f"{source}, line {row.line}",
        )
        if row.decision == SAME
        else _new_name(row, (*known, *written), f"{source}, line {row.line}")
        for who, row in last_of_each(stack).items()
        if row.decision not in HELD_BACK
    }
    given = {words[who] for who, row in last_of_each(stack).items() if row.decision == NEW}
    given -= {NEW_WHALE}
    if len(given) == 1:
        [name] = given
        words = {who: name if word == NEW_WHALE else word for who, word in words.items()}
    return words


def _in_root(
    text: str, labels: Mapping[str, str], known: Collection[str], written: Mapping[str, str]
) -> str:
    """The identity that people call so; the text itself where it names a photo or an identity, or nobody."""
    if text in known or stem(text) in labels:
        return text
    return written.get(text) or next(
        (who for name, who in written.items() if look(name) == look(text)), text
    )


def _new_name(row: Decision, known: Collection[str], where: str) -> str:
    """What a new individual is to be called: `new_whale` where the decision does not say."""
    name = cleaned(row.candidate)
    if not name or means_new_whale(name):
        return NEW_WHALE
    twin = {look(other): other for other in known}.get(look(name))
    if twin is not None:
        raise UserError(
            f"{where}: {name} is to be a new individual, and {twin} is known already; decide on the photo "
            "again, or write same, or another name"
        )
    return name


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
    """The table of decisions, columns `DECISION_COLUMNS`; each call reads the file as it is now.

    A table of `FORMER_COLUMNS` is read too; the first row that is added gives it the new columns.
    """

    kinds: tuple[str, ...] = DECISIONS  # what a row may say
    suffix = ""  # of the name of a table that stands beside that of the decisions

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._torn_logged = False

    @classmethod
    def beside(cls, decisions: Path | str) -> Self:
        """The table of this kind of a table of decisions: `decisions.csv` -> `decisions_marks.csv`."""
        path = Path(decisions)
        return cls(path.with_name(f"{path.stem}{cls.suffix}.csv"))

    def state(self) -> tuple[int, ...]:
        """Changes whenever the file does; () where there is none."""
        try:
            status = os.stat(self.path)
        except OSError:
            return ()
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

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
        self.extend(lambda _: [row])

    def extend(self, plan: Callable[[list[Decision]], Sequence[Decision]]) -> list[Decision]:
        """Add the rows that `plan` makes of those that are there, all of them or none, and return them.

        Nobody else writes meanwhile, so that a name that `plan` finds free is free. `UserError` where they
        cannot be written.
        """
        with self._locked() as file:
            rows = list(plan(self._parsed(_read(file))))
            if rows:
                self._append(file, rows)
            return rows

    def undo(self, who: str, photo_of: Callable[[Decision], Hashable]) -> list[Decision]:
        """Take back a person's last standing decision on any photo under review, and those of the same act.

        photo_of: the photo of a decision, None for one that is not under review. It appends `undo`
        rows and returns the decisions taken back. `UserError` where there is none, or somebody else has
        decided on one of these photos since.
        """
        with self._locked() as file:
            stacks = standing(self._parsed(_read(file)), photo_of)
            rows = _of_person(who, stacks)
            if not rows:
                raise UserError(f"{who} has no decision to undo")
            act = [row for row in rows if of_one_act(row, rows[-1])]
            for row in act:
                last = stacks[photo_of(row)][-1]
                if last is not row:
                    raise UserError(
                        f"{last.who} has decided on this photo after {who}; decide again instead of undoing"
                    )
            self._append(file, [row._replace(when=now(), decision=UNDO) for row in act])
            return act

    def last_time(self, who: str, photo_of: Callable[[Decision], Hashable]) -> str:
        """When a person decided what `undo` would take back, to the second; "" for never."""
        rows = _of_person(who, standing(self.rows(), photo_of))
        return rows[-1].when[: len("2020-01-02T03:04:05")] if rows else ""

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
            table = [(lines.line_num, [*map(from_text, cells)]) for cells in lines if cells]
        except (UnicodeDecodeError, csv.Error) as reason:
            raise UserError(f"{self.path} is not CSV in UTF-8 ({reason}); mend it") from reason
        columns = tuple(table[0][1]) if table else DECISION_COLUMNS
        if columns not in (DECISION_COLUMNS, FORMER_COLUMNS):
            raise UserError(
                f"{self.path}, line 1: expected {','.join(DECISION_COLUMNS)}, "
                f"received {','.join(table[0][1])}; name another file with --decisions"
            )
        for line, cells in table[1:]:
            if len(cells) != len(columns):
                raise UserError(
                    f"{self.path}, line {line}: expected {len(columns)} fields, "
                    f"received {len(cells)}; mend the row or take it out"
                )
            if cells[3] not in self.kinds:
                raise UserError(
                    f"{self.path}, line {line}: decision is {cells[3]}, "
                    f"expected one of {', '.join(self.kinds)}"
                )
            given = cells[len(FORMER_COLUMNS) :] or ["", ""]
            contents = zip(_CONTENTS, _CONTENT_PATTERNS, given, strict=True)
            for name, pattern, value in contents:
                if not pattern.fullmatch(value):
                    raise UserError(
                        f"{self.path}, line {line}: {name} is {value}, expected the digest that "
                        "tools/review.py wrote; mend the row or take it out"
                    )
        return [Decision(*cells, line=line) for line, cells in table[1:]]

    def _append(self, file: int, rows: Sequence[Decision]) -> None:
        size = self._end(file)
        former = _read(file)
        if _columns_of(former) == len(FORMER_COLUMNS):
            self._replace([*self._parsed(former), *rows])
            return
        cells = [row[: len(DECISION_COLUMNS)] for row in rows]
        text = csv_text(DECISION_COLUMNS if size == 0 else None, cells)
        try:
            _write(file, text.encode())
            if size == 0 and fcntl is not None:
                _sync_folder(self.path.parent)
        except OSError as reason:  # a full disk: no half row may stay
            os.ftruncate(file, size)
            raise self._fault(reason) from reason

    def _replace(self, rows: Sequence[Decision]) -> None:
        """Put a table of these rows in the file's place; whole or not at all."""
        text = csv_text(DECISION_COLUMNS, [row[: len(DECISION_COLUMNS)] for row in rows])
        path = self.path.resolve()  # a link stays one
        handle, name = tempfile.mkstemp(".part", f".{path.name}.", path.parent)
        try:
            with contextlib.closing(os.fdopen(handle, "wb", buffering=0)):
                os.chmod(name, path.stat().st_mode & 0o777)
                _write(handle, text.encode())
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
        if fcntl is not None:
            _sync_folder(path.parent)

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


def _of_person(who: str, stacks: Mapping[Hashable, Sequence[Decision]]) -> list[Decision]:
    """A person's standing decisions on photos under review (those not None), in the order of the file."""
    asked = [stack for photo, stack in stacks.items() if photo is not None]
    return sorted((r for stack in asked for r in stack if r.who == who), key=lambda row: row.line)


def _split(data: bytes) -> tuple[bytes, bytes]:
    """The whole lines of a table, each with its line feed, and a half-written line behind them.

    A last line with all its fields is whole, as editors leave it; cut off within the last one, the content
    of a candidate, it is not. In a former table the last field is the score, which decides nothing.
    """
    end = data.rfind(b"\n") + 1
    tail = data[end:]
    if not tail:
        return data, b""
    cells = next(csv.reader([tail.decode("utf-8", "replace")]), [])
    whole = len(cells) == _columns_of(data)
    if whole and len(cells) == len(DECISION_COLUMNS) and cells[3] == SAME and cells[6]:
        whole = _CANDIDATE_CONTENT.fullmatch(cells[7]) is not None and cells[7] != ""
    return (data + b"\n", b"") if whole else (data[:end], tail)


def _columns_of(data: bytes) -> int:
    """How many columns the header of a table names; those of a new table where there is no header."""
    header, end, _ = data.partition(b"\n")
    columns = header.decode("utf-8-sig", "replace").count(",") + 1
    return columns if end else len(DECISION_COLUMNS)


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
