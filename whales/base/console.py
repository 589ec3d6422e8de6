"""The one log: what a process says, on the terminal and in the log file of a work root.

Names of files and whales come from strangers: what is no printable character is shown as its escape, so
that no name can move the cursor, turn the direction of writing, or look like a line of its own.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from whales.base.errors import UserError, shown

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH = 100_000  # characters of a line; a table takes what it needs
_LONGEST = 10_000  # characters of an error that are shown
_MOST_FAULTS = 20  # of many, those that are named


@dataclass
class _Output:
    """Where lines go: `quiet` leaves the terminal out, `file` is the log file, if there is one."""

    quiet: bool = False
    file: Path | None = None


_output = _Output()


def configure(quiet: bool) -> None:
    """Set up the log of a stage or tool: `quiet` as its option says, and no file until `open_log`."""
    _output.quiet, _output.file = quiet, None
    if isinstance(
        sys.stdout, io.TextIOWrapper
    ):  # letters that a terminal's encoding lacks end no run
        sys.stdout.reconfigure(errors="backslashreplace")


def open_log(path: Path) -> None:
    """Log to this file from now on, after what earlier runs wrote. Its folder is made."""
    # In a root that cannot be written to, what needs no writing goes on without a log file.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    _output.file = path


def is_quiet() -> bool:
    """Whether nothing but errors is to be shown."""
    return _output.quiet


def log(*lines: str) -> None:
    """Print lines at once, so that a killed stage has said all it knew; to the log file as well."""
    if not lines:
        return
    text = "\n".join(map(shown, lines))
    _write(text)  # first, since printing may fail
    if not _output.quiet:
        _print(text, sys.stdout)


def log_error(text: str) -> None:
    """Print one line `error: text` to stderr, `--quiet` or not; to the log file as well."""
    log_to_stderr(f"error: {text[:_LONGEST]}" + (" ..." if len(text) > _LONGEST else ""))


def refuse(faults: Sequence[str], what: str = "rows are at fault") -> None:
    """`UserError` for what is wrong, if anything: all in one go, each in a line of its own.

    The first twenty are named, then their number; what: completes `N ..`. A single one is the error itself.
    """
    if not faults:
        return
    if len(faults) == 1:
        raise UserError(faults[0])
    for fault in faults[:_MOST_FAULTS]:
        log_error(fault)
    named = (
        ""
        if len(faults) <= _MOST_FAULTS
        else f", of which the first {_MOST_FAULTS} are named above"
    )
    raise UserError(f"{len(faults)} {what}{named}; the first: {faults[0]}")


def log_to_stderr(text: str) -> None:
    """Print one line to stderr, `--quiet` or not; to the log file as well."""
    line = shown(text)
    _print(line, sys.stderr)
    _write(line)


def _print(text: str, stream: TextIO) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    # One string, or lines of two threads would mix.
    print(f"{text}\n", end="", file=stream, flush=True)


def table_console(**options: Any) -> Console:
    """Where tables are printed: as wide as the terminal, or as COLUMNS says.

    Through a pipe or into a file they are as wide as they like, so that no name is broken: another program
    may read it. options: of Rich's console.
    """
    from rich.console import Console

    console = Console(**options)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPED_WIDTH
    return console


def drop_output() -> None:
    """Print nothing more where printing fails, so that the interpreter does not fail by it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(text: str) -> None:
    if not _output.file:
        return
    # A full disk ends the log, not the work.
    with contextlib.suppress(OSError), open(_output.file, "a", encoding="utf-8") as out:
        out.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
