"""The one log: what a process says, on the terminal and in the log file of a work root."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class _Output:
    """Where lines go: `quiet` leaves the terminal out, `file` is the log file, if there is one."""

    quiet: bool = False
    file: Path | None = None


_output = _Output()


def configure(quiet: bool) -> None:
    """Set up the log of a stage or tool: `quiet` as its option says, and no file until `open_log`."""
    _output.quiet, _output.file = quiet, None


def open_log(path: Path) -> None:
    """Log to this file from now on, after what earlier runs wrote. Its folder is made."""
    # In a root that cannot be written to, what needs no writing goes on without a log file.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    _output.file = path


def is_quiet() -> bool:
    """Whether nothing but errors is to be shown."""
    return _output.quiet


def log(text: str) -> None:
    """Print one line at once, so that a killed stage has said all it knew; to the log file as well."""
    _write(text)
    if not _output.quiet:
        print(f"{text}\n", end="", flush=True)  # one string, or lines of two threads would mix


def log_error(text: str) -> None:
    """Print `error: text` to stderr, `--quiet` or not; to the log file as well."""
    print(f"error: {text}", file=sys.stderr, flush=True)
    _write(f"error: {text}")


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
