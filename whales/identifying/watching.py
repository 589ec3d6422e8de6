"""Photos answered as they are dropped into folders: loaded once, then seconds for each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from whales.base.console import is_quiet, log, log_error
from whales.base.errors import UserError, shown
from whales.base.folders import numbered
from whales.base.stopping import would_keep
from whales.base.tables import read_table
from whales.files.digests import file_digest
from whales.files.import_table import written_names
from whales.files.workspace import Workspace
from whales.identifying import agreement, result_page
from whales.identifying.among import set_pairs_aside
from whales.identifying.identification import Answer
from whales.identifying.identifier import Identifier
from whales.identifying.request import Request
from whales.photos.photo_folders import photos_below
from whales.photos.photos import read_photo

_CONTENT = result_page.COLUMNS.index("content")
PAUSE = 0.5  # seconds between two looks
SETTLED = 1.0  # seconds that a file must stay as it is before it is opened
PATIENCE = 15.0  # seconds that one which cannot be read must stay so before it counts as broken
_AT_ONCE = 8  # photos that are asked, and their answers written, together
_WRITING_SHARE = 0.1  # of the time at most, for each of table and page while more photos wait


class _State(NamedTuple):
    """A file as it was seen: its size and time of change, and since when it is so (the watch's clock)."""

    size: int
    changed: int
    since: float


@dataclass
class NewPhotos:
    """The photos of folders that are whole and were not given out yet, at any depth.

    A file that still grows is waited for; one that stays unreadable is named once, and again only after it
    was changed. clock: seconds.
    """

    folders: Sequence[Path]
    clock: Callable[[], float] = time.monotonic
    _seen: dict[Path, _State] = field(default_factory=dict)
    _done: dict[Path, _State] = field(default_factory=dict)
    _named: set[str] = field(default_factory=set)

    def look(self) -> list[Path]:
        """The photos that are new and whole now; what is wrong with others is named in the log."""
        now = self.clock()
        present: set[Path] = set()
        ready = []
        for folder in self.folders:
            try:
                found = photos_below(folder).photos
            except UserError as fault:  # a card that was pulled out may come again
                self._name(str(fault))
                continue
            present |= {*found}
            ready += [path for path in found if self._is_ready(path, now)]
        for kept in (self._seen, self._done):
            for path in kept.keys() - present:
                del kept[path]
        return list(dict.fromkeys(ready))

    def _is_ready(self, path: Path, now: float) -> bool:
        try:
            status = path.stat()
        except OSError:  # gone meanwhile
            return False
        before = self._seen.get(path)
        if before is None or before[:2] != (status.st_size, status.st_mtime_ns):
            before = self._seen[path] = _State(status.st_size, status.st_mtime_ns, now)
        if self._done.get(path) == before or now - before.since < SETTLED:
            return False
        try:
            read_photo(path)
        except UserError as fault:
            if now - before.since < PATIENCE:
                return False  # a copy may have been interrupted for a while
            self._done[path] = before
            log_error(str(fault))
            return False
        self._done[path] = before
        return True

    def _name(self, fault: str) -> None:
        if fault not in self._named:
            self._named.add(fault)
            log_error(fault)


class KeptAnswers:
    """The answers of a watch in the files that the request names, always whole.

    Both are written after every few photos, large ones less often while more photos wait. The table of an
    earlier watch goes on: its rows stay, and its photos are not asked again. Its page is set aside: a table
    does not hold what a page shows.
    """

    def __init__(self, request: Request) -> None:
        """`UserError` where the table is there and is none of identify."""
        self.request = request
        self._rows: list[list[str]] = []
        self._answers: dict[Path, list[Answer]] = {}
        self._unwritten: set[Path] = set()  # of the files
        self._due: dict[Path, float] = {}  # when each may be written again while more photos wait
        self._names: tuple[object, dict[str, str]] = (None, {})
        if request.csv and request.csv.exists():
            table, _ = read_table(request.csv)
            columns = result_page.COLUMNS
            forms = (columns, result_page.WITH_SIDES, result_page.FORMER_COLUMNS)
            if tuple(table.columns) not in forms:
                raise UserError(f"{request.csv} is there and is no table of identify; name another")
            more = [""] * (len(columns) - len(table.columns))
            self._rows = [[*row, *more] for row in table.itertuples(index=False, name=None)]
        self._contents = {os.path.abspath(row[0]): row[_CONTENT] for row in self._rows}
        if request.csv:
            set_pairs_aside(request.csv)
        if request.html and request.html.exists():
            log(f"the page of an earlier call is kept as {numbered(request.html)}")

    def waits(self, photo: Path) -> bool:
        """Whether a photo is to be asked: it is there, and not in the table of an earlier watch as it is."""
        answered = self._contents.get(os.path.abspath(photo))
        try:
            return photo.exists() if answered is None else answered != file_digest(photo)
        except UserError:  # taken away since it was seen
            return False

    def names(self, workspace: Workspace) -> dict[str, str]:
        """`written_names`, read again when their table has changed."""
        table = workspace.file("import_table")
        status = table.stat() if table.exists() else None
        state = status and (status.st_mtime_ns, status.st_size)
        if state != self._names[0]:
            self._names = state, written_names(workspace)
        return self._names[1]

    def add(self, answers: Iterable[Answer]) -> None:
        """Take answers to photos, in place of former ones to the same paths."""
        fresh: dict[Path, list[Answer]] = {}
        for answer in answers:
            fresh.setdefault(answer.fluke.photo, []).append(answer)
        again = {os.path.abspath(photo) for photo in fresh} & self._contents.keys()
        if again:
            self._rows = [row for row in self._rows if os.path.abspath(row[0]) not in again]
        for path in again:
            del self._contents[path]
        self._answers |= fresh
        if fresh:
            self._unwritten = {path for path in (self.request.csv, self.request.html) if path}

    def write(self, identifier: Identifier, more_wait: bool = False) -> None:
        """Write what is not written yet; where that fails it is said, and tried again at the next call.

        more_wait: what took long may come later.
        """
        table, page, workspace = self.request.csv, self.request.html, identifier.options.workspace
        for path in (table, page):
            begin = time.monotonic()
            if path not in self._unwritten or (more_wait and begin < self._due.get(path, 0)):
                continue
            answers = [answer for group in self._answers.values() for answer in group]
            try:
                if path == table:
                    result_page.write_csv(path, answers, self.names(workspace), self._rows)
                else:
                    boxes = identifier.catalogue.boxes
                    result_page.write_html(path, answers, workspace, boxes, table)
            except UserError as fault:
                log_error(str(fault))
                return
            self._unwritten.discard(path)
            end = time.monotonic()
            self._due[path] = end + (end - begin) / _WRITING_SHARE
            if path == table:
                photos = len(self._answers) + len({row[0] for row in self._rows})
                would_keep(f"{table} holds the answers to {photos} photos")


def watch(
    request: Request,
    open_identifier: Callable[[], Identifier],
    before_loading: Callable[[], object] = lambda: None,
) -> None:
    """Answer photos that lie in the request's folders, and those that come, until a signal ends it.

    open_identifier, before_loading: called once the folders are there. `UserError` for what is no folder.
    """
    for folder in request.photos:
        if not folder.is_dir():
            raise UserError(f"{shown(folder)} is no folder; --watch takes folders")
    kept = KeptAnswers(request)
    begin = time.monotonic()
    identifier = open_identifier()
    identifier.check_side(request.side)
    before_loading()
    _ = identifier.catalogue  # loaded before the first photo comes
    log(f"loaded in {time.monotonic() - begin:.1f} s")
    names = ", ".join(shown(folder) for folder in request.photos)
    log(f"watching {names}: drop photos in; Ctrl-C ends it")
    photos = NewPhotos(request.photos)
    try:
        while True:
            found = [photo for photo in photos.look() if photo.exists()]
            fresh = [photo for photo in found if kept.waits(photo)]
            if len(fresh) < len(found):
                log(f"{len(found) - len(fresh)} photos are answered in {request.csv} already")
            for start in range(0, len(fresh), _AT_ONCE):
                _answer(request, identifier, kept, fresh[start : start + _AT_ONCE])
                kept.write(identifier, more_wait=start + _AT_ONCE < len(fresh))
            kept.write(identifier)
            time.sleep(PAUSE)
    finally:
        kept.write(identifier)  # what had to wait


def _answer(
    request: Request, identifier: Identifier, kept: KeptAnswers, photos: Sequence[Path]
) -> None:
    begin = time.monotonic()
    faults: list[str] = []
    boxes = identifier.find_boxes(photos, identifier.options, request.all_flukes)
    names, answers = kept.names(identifier.options.workspace), []
    for answer in identifier.answers(photos, boxes, request.top, faults, request.side):
        if not is_quiet():
            result_page.show(answer, names=names)
        answers.append(answer)
    kept.add(answers)
    if request.why:
        faults += agreement.draw_all(
            identifier.catalogue, answers, identifier.options.workspace, request.why
        )
    for fault in faults:
        log_error(fault)
    log(f"flukes compared: {len(answers)}, in {time.monotonic() - begin:.1f} s")
