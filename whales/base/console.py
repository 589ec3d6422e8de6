"""The one log: what a process says, on the terminal and in the log file of a work root."""

from __future__ import annotations

import contextlib
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
    if not _output.quiet:
        print(f"{text}\n", end="", flush=True)  # one string, or lines of two threads would mix
    _write(text)


def log_error(text: str) -> None:
    """Print `error: text` to stderr, `--quiet` or not; to the log file as well."""
    log_to_stderr(f"error: {text}")


def log_to_stderr(text: str) -> None:
    """Print one line to stderr, `--quiet` or not; to the log file as well."""
    print(f"{text}\n", end="", file=sys.stderr, flush=True)
    _write(text)


def _write(text: str) -> None:
    if not _output.file:
        return
    # A full disk ends the log, not the work.
    with contextlib.suppress(OSError), open(_output.file, "a", encoding="utf-8") as out:
        out.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
