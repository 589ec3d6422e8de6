"""The one error that the user can mend, and names as its line shows them."""

from __future__ import annotations

import os


class UserError(Exception):
    """Bad input, described in one line: what is wrong, where, and what to do.

    `whales.stages.stage.run` prints it to stderr and exits with code 2; any other exception is a defect of
    the program and keeps its traceback.
    """


def shown(text: str | os.PathLike[str], keep: str = "") -> str:
    r"""A text or a file's name with every character that is not printable as its escape.

    keep: characters that stay as they are.

    >>> shown("a\x1b[2Jb"), shown("caf\udce9.jpg"), shown("\u202egpj.exe"), shown("Å 鯨")
    ('a\\x1b[2Jb', 'caf\\xe9.jpg', '\\u202egpj.exe', 'Å 鯨')
    """
    text = os.fspath(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    # Python holds a byte that is no UTF-8 as one of these.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
