"""Stopping on request: SIGINT, SIGTERM and SIGHUP end a stage or tool where nothing is lost.

The first signal raises `Stopped` in the main thread: at once, or where a `Hold` ends. A second one ends
the process on the spot. Both exit with 128 + signal and say one line. What a stop raises on its way up
does not matter: whoever swallows it only delays it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType, TracebackType

from whales.base.console import log_to_stderr
from whales.base.errors import UserError

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]

# Senders such as `timeout` signal a process and then its group: within so many seconds it is one stop.
_ONE_STOP = 0.3
# An import is not interrupted, since modules in C turn any exception into errors of their own.
_LOOK_AGAIN = 0.1
# Seconds for the way up (threads that end, folders that are swept) before the process ends anyhow.
_GRACE = 30.0


class Stopped(KeyboardInterrupt):
    """A signal asks the process to end."""


@dataclass
class _State:
    """Of this process: the signal that asked for the stop, 0 for none, and what is to be done then."""

    signal: int = 0
    since: float = 0.0
    raised: bool = False
    holds: int = 0
    kept: str = ""
    at_once: list[Callable[[], object]] = field(default_factory=list)


_state = _State()


def requested() -> int:
    """The signal that asked for a stop, 0 for none."""
    return _state.signal


def look() -> None:
    """Raise `Stopped` if a stop was asked for, inside a `Hold` too: all that counts is kept."""
    if _state.signal:
        _raise()


def would_keep(text: str) -> None:
    """Say what a stop would leave from now on, beside whole files; "" for nothing more."""
    _state.kept = text


def at_once(function: Callable[[], object]) -> None:
    """Call a function if the process ends on the spot; it must be short and wait for nothing."""
    _state.at_once.append(function)


class Hold:
    """A block in which, from `begin` on, a stop waits for its end, or for `look`."""

    def __init__(self) -> None:
        self._begun = False

    def begin(self) -> None:
        """From now on there is something to lose; again, or in another thread, it does nothing."""
        if not self._begun and threading.current_thread() is threading.main_thread():
            self._begun = True
            _state.holds += 1

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._begun:
            _state.holds -= 1
            if kind is None:
                look()


class Heeded:
    """A block, such as a whole stage, that the signals end with exit code 128 + signal and one line.

    A `UserError` on the way passes. The signals' handlers are put back where no stop was asked for.
    Signals that the process ignores, as `nohup` has it, stay ignored; outside the main thread, where
    Python takes no signals, nothing happens.
    """

    def __init__(self) -> None:
        self._before: dict[int, object] = {}

    def __enter__(self) -> Heeded:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _on_signal)
        if hasattr(signal, "setitimer"):
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _on_alarm)
        self._hook, sys.unraisablehook = sys.unraisablehook, _unraisable
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._before:
            return
        if _state.signal and not isinstance(error, UserError):
            log_to_stderr(_farewell())
            _bound_the_end()
            raise SystemExit(128 + _state.signal)
        if not _state.signal:
            sys.unraisablehook = self._hook
            for number, handler in self._before.items():
                signal.signal(number, handler)  # pyright: ignore[reportArgumentType]


def _on_signal(number: int, frame: FrameType | None) -> None:
    if not _state.signal:
        _state.signal, _state.since = number, time.monotonic()
        if not _state.holds:
            _raise(frame)
    elif time.monotonic() - _state.since > _ONE_STOP:
        _end_at_once()


def _on_alarm(_: int, frame: FrameType | None) -> None:
    if _state.raised:
        _end_at_once()
    elif not _state.holds:
        _raise(frame)


def _raise(frame: FrameType | None = None) -> None:
    """Raise `Stopped`, a little later if `frame` runs inside an import."""
    later = hasattr(signal, "setitimer") and _imports(frame)
    _state.raised = not later
    _alarm(_LOOK_AGAIN if later else _GRACE)
    if not later:
        raise Stopped(signal.Signals(_state.signal).name)


def _alarm(seconds: float) -> None:
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _unraisable(fault: sys.UnraisableHookArgs) -> None:
    """A stop that came while an object was deleted could not rise: it is raised again."""
    if fault.exc_type is not None and issubclass(fault.exc_type, Stopped):
        _state.raised = False
        _alarm(_LOOK_AGAIN)
    elif not _state.signal:
        sys.__unraisablehook__(fault)


def _end_at_once() -> None:
    for function in _state.at_once:
        function()
    for child in multiprocessing.active_children():
        child.kill()
    os.write(2, f"{_farewell()}\n".encode())  # the main thread may be inside of `print`
    os._exit(128 + _state.signal)


def _bound_the_end() -> None:
    """What the interpreter does last, it does in `_GRACE` seconds; then it takes no alarm any more."""
    _alarm(0)
    last = threading.Timer(_GRACE, os._exit, [128 + _state.signal])
    last.daemon = True
    last.start()


def _farewell() -> str:
    kept = _state.kept or "what was finished is kept, no file is half written"
    name = signal.Signals(_state.signal).name
    return f"stopped by {name}: {kept}; the same command again goes on from there"
