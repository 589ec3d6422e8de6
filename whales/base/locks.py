"""Locks in a shared folder: what one process does there, no other does at the same time.

A lock is the system's, on a file that stays: it ends with its process, however that ends, and network file
systems pass it on to other hosts. For those that do not, or have no locks at all, the holder renews the
file's time; a holder that does not for a while has ended.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.plain_json import JSONFaultError, parse_json

try:
    import fcntl
except ImportError:  # not a POSIX system: the file's time alone tells
    fcntl = None

# Seconds between two renewals; so long is a file watched for one before its holder counts as ended.
RENEWAL, WATCH = 5.0, 30.0
# A file that was not renewed for so many seconds need not be watched: clocks differ by less.
_LONG_AGO = 3600.0
# Seconds between two tries of a lock that is waited for, and between a claim and the look at it.
_AGAIN = 0.5
_SILENT_TRIES = 5
# What a file system without locks answers.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


class HeldError(UserError):
    """Another process has the lock; the message says which."""


@dataclass(frozen=True)
class _Held:
    """A lock that this process has: its open file, and what ends its renewal."""

    file: int
    ended: threading.Event


_held: dict[Path, _Held] = {}


def take(path: Path, what: str) -> None:
    """Take a lock until `release` or the process's end; what this process has it may take again.

    path: of the lock's file, whose folder is made; what: is done under it, for messages. `HeldError`
    where another process has it; `OSError` where the file cannot be written.
    """
    if path in _held:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    with contextlib.ExitStack() as refused:
        refused.callback(os.close, file)
        locked = _system_lock(file)
        holder = _holder(path)
        if locked is False or (holder and _lives(path, holder, bool(locked), what)):
            raise HeldError(f"{what} is at work already: {_words(holder)}; wait for it, or stop it")
        claim = _claim(file)
        if locked is None:
            time.sleep(_AGAIN)
            holder = _holder(path)
            if holder.get("claim") != claim:
                raise HeldError(f"{what} has just been begun elsewhere: {_words(holder)}")
        refused.pop_all()
    _held[path] = _Held(file, threading.Event())
    threading.Thread(target=_renew, args=(path, _held[path].ended), daemon=True).start()


def release(path: Path) -> None:
    """Give a lock back, if this process has it."""
    held = _held.pop(path, None)
    if held:
        held.ended.set()
        with contextlib.suppress(OSError):
            os.ftruncate(held.file, 0)
        os.close(held.file)


def release_all() -> None:
    """Give back every lock of this process."""
    for path in list(_held):
        release(path)


@contextlib.contextmanager
def in_turn(path: Path, what: str) -> Iterator[None]:
    """A block that waits for other processes' blocks of the same lock, as long as they live.

    path, what: as in `take`. Where the lock's file cannot be written the block runs all the same.
    """
    tries = 0
    while True:
        try:
            take(path, what)
        except HeldError as reason:
            tries += 1
            if tries == _SILENT_TRIES:
                log(f"waiting: {reason}")
            time.sleep(_AGAIN)
        except OSError:
            break
        else:
            break
    try:
        yield
    finally:
        release(path)


def _system_lock(file: int) -> bool | None:
    """Whether the system's lock was free, and is this process's now; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        # It goes with the open file: other openings may be closed, and no new program inherits it.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as reason:
        if reason.errno in _NO_LOCKS:
            return None
        if reason.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _claim(file: int) -> str:
    """Write who holds the lock; returns what tells this claim from all others."""
    claim = uuid4().hex
    holder = {
        "machine": _machine(),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "claim": claim,
    }
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(holder).encode(), 0)
    return claim


def _holder(path: Path) -> dict[str, object]:
    """Who holds the lock, or held it until a sudden end; empty where nobody does."""
    try:
        holder = parse_json(path.read_bytes())
    except (OSError, JSONFaultError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _lives(path: Path, holder: dict[str, object], locked: bool, what: str) -> bool:
    """Whether a holder that did not end in order is still at work.

    locked: whether this process has the system's lock: on one machine that is proof enough.
    """
    if locked and holder.get("machine") == _machine():
        return False
    before = _renewed(path)
    if time.time() - before / 1e9 > _LONG_AGO:
        return False
    log(f"{what} was at work: {_words(holder)}; looking {WATCH:.0f} s for a sign of life")
    end = time.monotonic() + WATCH
    while time.monotonic() < end:
        time.sleep(_AGAIN)
        if _renewed(path) != before:
            return True
    return False


def _renewed(path: Path) -> int:
    """When a lock's file was last renewed, ns; a network file system asks its server at each opening."""
    with open(path, "rb") as file:
        return os.fstat(file.fileno()).st_mtime_ns


def _renew(path: Path, ended: threading.Event) -> None:
    while not ended.wait(RENEWAL):
        with contextlib.suppress(OSError):
            os.utime(path)


def _machine() -> str:
    """What tells this machine, since its start, from others; containers on it are not others."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return socket.gethostname()


def _words(holder: dict[str, object]) -> str:
    if not holder:
        return "by a process that has not said who it is"
    return (
        f"process {holder.get('process')} on {holder.get('host')}, since {holder.get('since')} UTC"
    )
