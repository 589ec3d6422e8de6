"""What files hold, as short digests: two files are the same input if their contents are equal.

A digest is remembered while the file's size and both its times stay the same, so that a stage that is
run again need not read gigabytes to say "up to date". Touched or copied files are read once more.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from whales.base.errors import UserError
from whales.base.locks import in_turn
from whales.base.plain_json import read_json
from whales.base.writing import for_speed_alone, write_text

# A file changed less than this ago may change again without its times showing it.
_SETTLED_NS = 2_000_000_000
_THREADS = 8  # hashing leaves Python's lock to the others


class Digests:
    """Digests of a work root's files, remembered in one file of its cache."""

    def __init__(self, root: Path, memory: Path) -> None:
        """root: the work root, which paths are kept relative to; memory: the file that remembers."""
        self._root, self._memory = root, memory
        self._known: dict[str, list[object]] | None = None
        self._new: dict[str, list[object]] = {}

    def of(self, path: Path) -> str:
        """32 hexadecimal digits that stand for a file's content; "" for a folder.

        Raises `UserError` where the file cannot be read.
        """
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                return ""
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
                raise UserError(f"{path} cannot be read (it is a pipe, socket or device, no file)")
            key = os.path.relpath(path, self._root)
            state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            kept = self._new.get(key) or self._remembered().get(key)
            if kept and kept[:-1] == state and isinstance(kept[-1], str):
                return kept[-1]
        except OSError as reason:
            raise UserError(f"{path} cannot be read ({reason.strerror or reason})") from reason
        content = file_digest(path)
        if time.time_ns() - max(state[1:]) > _SETTLED_NS:
            self._new[key] = [*state, content]
        return content

    def of_photos(self, photos: Mapping[str, Path]) -> dict[str, str]:
        """Digest of each photo's file; "" for one that is missing or cannot be read."""

        def one_digest(path: Path) -> str:
            try:
                return self.of(path)
            except UserError:  # the stage that reads its pixels says so, or leaves it out
                return ""

        self._remembered()
        with ThreadPoolExecutor(_THREADS) as pool:
            return dict(zip(photos, pool.map(one_digest, photos.values()), strict=True))

    def remember(self) -> None:
        """Write what is new; where that fails, it only costs the time to read again."""
        if not self._new:
            return
        with in_turn(self._memory.with_suffix(".lock"), "memory of digests"):
            self._known = {**self._read(), **self._new}  # other stages may have written meanwhile
            self._new = {}
            with for_speed_alone("digests of files"):
                write_text(self._memory, json.dumps(self._known))

    def _remembered(self) -> dict[str, list[object]]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> dict[str, list[object]]:
        try:
            content = read_json(self._memory)
        except (FileNotFoundError, UserError):  # none yet, or damaged
            return {}
        if not isinstance(content, dict):
            return {}
        return {k: v for k, v in content.items() if isinstance(v, list) and len(v) == 4}


def file_digest(path: Path) -> str:
    """32 hexadecimal digits that stand for a file's content; `UserError` where it cannot be read."""
    try:
        with open(path, "rb") as source:
            return hashlib.file_digest(source, _hash).hexdigest()
    except OSError as reason:
        raise UserError(f"{path} cannot be read ({reason.strerror or reason})") from reason


def bytes_digest(content: bytes) -> str:
    """`file_digest` of a file of this content."""
    return _hash(content).hexdigest()


def text_digest(parts: Iterable[object]) -> str:
    """32 hexadecimal digits that stand for values whose `repr` says all."""
    digest = _hash()
    for part in parts:
        digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _hash(content: bytes = b"") -> hashlib._Hash:
    return hashlib.blake2b(content, digest_size=16)
