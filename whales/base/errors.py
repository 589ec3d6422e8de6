"""The one error that the user can mend, and names as its line shows them."""

from __future__ import annotations

import os


class UserError(Exception):
    """Bad input, described in one line: what is wrong, where, and what to do.

    `whales.stages.stage.run` prints it to stderr and exits with code 2; any other exception is a defect of
    the program and keeps its traceback.
    """


def shown(name: str | os.PathLike[str]) -> str:
    r"""A file's name as one line can show it: what cannot be printed is escaped.

    >>> shown("a\nb.jpg"), shown("caf\udce9.jpg"), shown("café.jpg")
    ('a\\nb.jpg', 'caf\\xe9.jpg', 'café.jpg')
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in os.fspath(name))


def _escaped(character: str) -> str:
    code = ord(character)
    # Python holds a byte that is no UTF-8 as one of these.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
