"""What TensorFlow, CUDA and their like say of themselves, kept from people who did not ask for it.

Their C++ parts write to the process's stderr before any setting of theirs is heeded. So another process reads
all that is written there: known kinds of lines are held back, everything else goes on at once. A process that
fails shows what was held back, and so does one that is killed, since the reader outlives it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import subprocess
import sys
from types import TracebackType
from typing import TextIO

VERBOSE = "--verbose"
_MOST_HELD = 1000  # lines
_PATIENCE = 0.2  # seconds for the rest of a line
_WAIT = 0.3  # seconds for the reader's end, which workers that still run put off
_ALL_IS_WELL = b"\0all is well\n"
# `I0000 00:00:1795822320.034310  16450 file.cc:31] text`, `2026-01-31 12:00:00.123456: I file.cc:31] text`
_SOURCE = rb"[\w./+-]+\.(?:cc|h|cpp|cu):\d+\]"
_STAMPED = rb"(?:%b\d{4} [\d:.]+ +\d+|[\d-]+ [\d:.]+: %b) "
_CHATTER = re.compile(
    _STAMPED % (b"[IW]", b"[IW]") + _SOURCE + rb"|"
    # Said as errors where there is no GPU, or several parts of the library register the same one.
    + _STAMPED % (b"E", b"E") + _SOURCE + rb" (?:failed call to cuInit|Unable to register cu\w+ factory"
    rb"|computation placer already registered)"
    rb"|WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|To enable the following instructions: "
)  # fmt: skip


def is_chatter(line: bytes) -> bool:
    """Whether a line on stderr tells nothing that a person who did not ask needs.

    >>> is_chatter(b"I0000 00:00:1.5  7 cpu_feature_guard.cc:2] This binary"), is_chatter(b"error: no photo")
    (True, False)
    """
    return _CHATTER.match(line) is not None


class Quieted:
    """In this `with` block the chatter of libraries is held back, and shown only where the block fails.

    `SystemExit` is no failure. With `--verbose` among the process's arguments, or where stderr is no file of
    the process's own (as in a test), nothing is held back.
    """

    def __init__(self) -> None:
        self._reader: subprocess.Popen[bytes] | None = None
        self._python: TextIO | None = None

    def __enter__(self) -> Quieted:
        try:
            if VERBOSE in sys.argv or sys.stderr.fileno() != 2:
                return self
        except (AttributeError, ValueError, OSError):  # none, closed, or one without a file
            return self
        command = [sys.executable, "-I", "-S", __file__]
        nowhere = subprocess.DEVNULL
        with contextlib.suppress(OSError):  # without a process more, all is shown
            # In a session of its own: it ends with those that write to it, not by a signal to them all.
            self._reader = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=nowhere, bufsize=0, start_new_session=True
            )
        if self._reader is None or self._reader.stdin is None:
            return self
        sys.stderr.flush()
        self._python = sys.stderr
        own = os.dup(2)
        os.dup2(self._reader.stdin.fileno(), 2)
        # Python's own lines, and bars of progress, need no reader.
        raw = io.FileIO(own, "w")
        sys.stderr = io.TextIOWrapper(
            raw, self._python.encoding, "backslashreplace", line_buffering=True, write_through=True
        )
        return self

    def all_is_well(self) -> None:
        """Say that the process ends as it is meant to, whatever way: what was held back stays so."""
        if self._reader and self._reader.stdin and not self._reader.stdin.closed:
            with contextlib.suppress(OSError):
                os.write(self._reader.stdin.fileno(), _ALL_IS_WELL)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is None or self._reader.stdin is None or self._python is None:
            return
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(sys.stderr.fileno(), 2)
        sys.stderr.close()
        sys.stderr = self._python
        if kind is None or issubclass(kind, SystemExit):
            self.all_is_well()
        self._reader.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._reader.wait(_WAIT)


def _pass_on() -> None:
    """Read stdin to its end: write to stderr what is no chatter; the rest at the end, unless all was well."""
    held: list[bytes] = []
    rest, well = b"", False
    while True:
        ready = select.select([0], [], [], _PATIENCE if rest else None)[0]
        data = os.read(0, 1 << 16) if ready else b""
        rest += data
        if _ALL_IS_WELL in rest:  # perhaps in the middle of a line that nobody ended
            rest, well = rest.replace(_ALL_IS_WELL, b""), True
        *lines, rest = rest.splitlines(keepends=True) or [b""]
        if rest.endswith((b"\n", b"\r")) or not data:  # a whole line, or one that nobody ends
            lines, rest = [*lines, rest], b""
        for line in lines:
            if is_chatter(line):
                held = [*held[1 - _MOST_HELD :], line]
            else:
                _write(line)
        if ready and not data:
            break
    if not well:
        _write(b"".join(held))


def _write(data: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more
        while data:
            data = data[os.write(2, data) :]


if __name__ == "__main__":
    _pass_on()
