"""Folders that are made whole or not at all, names that any system can hold, results that are kept aside."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.writing import atomic_folder, require_writable, write_fault

# Cyrillic and Greek letters, casefolded, that look like Latin ones.
_TWINS = str.maketrans("аеорсухіјѕһԁԛԝοανρ", "aeopcyxijshdqwoavp")  # noqa: RUF001
# What is no letter, no digit and no dash; fillers, which nobody sees, are letters to Unicode.
_UNSAFE = re.compile(r"(?:[^\w-]|[\u115f\u1160\u3164\uffa0])+")
_MOST_BYTES = 100  # of a safe name; a number may follow


def require_new(path: Path | str) -> Path:
    """The absolute path of a folder to make; nothing is made yet.

    `UserError` where it exists and is not an empty folder, is a disk of its own, or cannot be made.
    """
    path = Path(path).resolve()
    try:
        there = path.exists()
        if there and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"{path} is there and not empty; name a new folder, or empty it")
    except OSError as reason:
        raise write_fault(path, reason) from reason
    if there and os.path.ismount(path):
        raise UserError(f"{path} is the top of a disk; name a new folder in it")
    require_writable(path / "file" if there else path)
    return path


@contextlib.contextmanager
def new_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, renamed to `path` if the block ends well.

    `UserError` where `path` exists and is not an empty folder, or cannot be made. Parents are created.
    """
    with atomic_folder(require_new(path)) as temporary:
        yield temporary


def look(text: str) -> str:
    """What a name looks like: two names of one look are one name to people and to some disks.

    >>> look("W_1") == look("w_\\uff11"), look("w_1") == look("w_2")
    (True, False)
    """
    if text.isascii():
        return text.lower()
    # Twice, since a casefolded letter may be composed anew.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.translate(_TWINS)


def unique_names(names: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """A different safe name for each name: letters, digits, `_` and `-`, different in any case and form.

    Safe names stay as they are; among names equal but for case the first does, the others get `_2`,
    `_3`, ... There is no dot, since readers of tables take what follows it for an extension, no `-` at
    the beginning, since it looks like an option, and no more than 100 bytes, so that suffixes fit.

    names: of any characters; taken: safe names that are in use already.

    >>> unique_names(["fluke 1", "a", "A"], taken=["b"])
    ['fluke_1', 'a', 'A_2']
    """
    safe = [_safe(name) for name in names]
    used = {look(name) for name in taken}
    result: dict[int, str] = {}
    # First those that can stay, so that `a_2` keeps its name where `a` comes twice.
    for i, (name, safe_name) in enumerate(zip(names, safe, strict=True)):
        if name == safe_name and look(safe_name) not in used:
            used.add(look(safe_name))
            result[i] = safe_name
    last: Counter[str] = Counter()
    for i, safe_name in enumerate(safe):
        if i in result:
            continue
        candidate = safe_name
        while look(candidate) in used:
            last[look(safe_name)] += 1
            candidate = f"{safe_name}_{last[look(safe_name)] + 1}"
        used.add(look(candidate))
        result[i] = candidate
    return [result[i] for i in range(len(safe))]


def _safe(name: str) -> str:
    # One form of each letter: those that look alike count as equal.
    name = _UNSAFE.sub("_", unicodedata.normalize("NFKC", name)) or "_"
    name = f"_{name}" if name.startswith("-") else name
    return name.encode()[:_MOST_BYTES].decode(errors="ignore")


def set_aside(path: Path, reason: str) -> None:
    """Keep the checkpoint (a file or folder) of an interrupted training as PATH.1, .2, .., and say so."""
    kept = numbered(path)
    log(f"the checkpoint of an interrupted training is kept as {kept} ({reason}); starting anew")


def numbered(path: Path) -> Path:
    """Rename a file or folder to PATH.1, or the first number that is free; returns its new name."""
    names = (path.with_name(f"{path.name}.{number}") for number in count(1))
    return path.rename(next(name for name in names if not name.exists()))


def move_to_earlier(path: Path) -> None:
    """Move a result of an earlier run to `earlier/` beside it, and say so: no later stage takes it."""
    folder = path.parent / "earlier"
    folder.mkdir(exist_ok=True)
    path.replace(folder / path.name)
    log(f"{path.name} of an earlier run moved to {folder}")
