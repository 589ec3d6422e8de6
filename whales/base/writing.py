"""Writing: a file appears whole or not at all, survives a power cut, and a fault of the disk is one line.

What is written goes into a temporary file beside its target, on the disk before it takes the target's
name. A temporary's name says host, process and a random part: `.STEM.HOST.PID.RANDOM.part.SUFFIX`. One
that a killed process left is removed when another process first writes into its folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from whales.base.console import log
from whales.base.errors import UserError


class WriteError(UserError):
    """A file cannot be written: the disk is full or damaged, or the place will not do."""


_SPACE = "free some space, then run it again"
_RIGHTS = "make the place writable, or name another"
_NAME = "name another file"
_DISK = "see to the disk, then run it again"
# Faults of a disk, of rights and of names, and what to do about them. Not every system has them all.
_ADVICE = {
    getattr(errno, name): advice
    for names, advice in {
        "ENOSPC EDQUOT EFBIG": _SPACE,
        "EROFS EACCES EPERM": _RIGHTS,
        "EISDIR ENOTDIR ENAMETOOLONG ELOOP": _NAME,
        "EIO ESTALE ENODEV ENXIO ETIMEDOUT EREMOTEIO": _DISK,
        "EMFILE ENFILE": "allow more open files (ulimit -n)",
    }.items()
    for name in names.split()
    if hasattr(errno, name)
}
# Of these a file that is only read cannot be the cause, whatever name the error bears.
_OF_WRITING = {number for number, advice in _ADVICE.items() if advice == _SPACE} | {errno.EROFS}

_TRIAL = 4096  # bytes that are written to try a place
_NAME_BYTES = 143  # of a file's name on every usual system, encrypted ones too
_TEMPORARY = re.compile(
    r"\..*?(?:\.(?P<host>[\w-]+))?\.(?P<pid>\d+)(?:\.[0-9a-f]{8})?\.part(?:\..*)?", re.DOTALL
)
# What another host, or a process that may be alive, has not touched for so long is nobody's any more.
_FORGOTTEN_S = 7 * 24 * 3600

_swept: set[str] = set()  # folders that this process has written into
_said: set[str] = set()  # caches that cannot be kept


def _host() -> str:
    """A name of this machine, since its last start, as processes see it: `[A-Za-z0-9-]+`.

    Containers may bear one host name, and share folders but no process numbers.
    """
    parts = [platform.node()]
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            is_link = os.path.islink(source)
            parts.append(os.readlink(source) if is_link else Path(source).read_text())
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()
    return re.sub(r"[^A-Za-z0-9]+", "-", parts[0])[:20] + f"-{digest}"


HOST = _host()


def unique_mark() -> str:
    """A text that no other process or call has: `HOST.PID.RANDOM`."""
    return f"{HOST}.{os.getpid()}.{secrets.token_hex(4)}"


def temporary_path(path: Path) -> Path:
    """A new name beside `path` that no reader takes for a file of its own; the suffix stays.

    However long the name of `path` is, this one is no longer than a name may be.
    """
    suffix = path.suffix if len(path.suffix.encode()) < 32 else ""
    end = f".{unique_mark()}.part{suffix}"
    return path.with_name(f".{shortened(path.stem, _NAME_BYTES - len(end.encode()) - 1)}{end}")


def shortened(text: str, size: int) -> str:
    """The beginning of a text that takes at most `size` bytes in UTF-8.

    >>> shortened("whale", 3), shortened("wäl", 2)
    ('wha', 'w')
    """
    return os.fsencode(text)[:size].decode(errors="ignore")


def is_temporary(path: Path) -> bool:
    """Whether a file or folder is a temporary of `atomic_path` or `new_folder`, whoever made it."""
    return _TEMPORARY.fullmatch(path.name) is not None


def is_abandoned(host: str | None, process: int, path: Path) -> bool:
    """Whether nobody writes a file any more: its process on this host is gone, or it is a week old.

    host: as in `HOST`, None where it is not known.
    """
    if host == HOST and not _alive(process):
        return True
    return time.time() - path.lstat().st_mtime > _FORGOTTEN_S


def _alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is alive, under another user
        return True
    return True


def sweep(folder: Path) -> None:
    """Remove the temporaries that killed processes left in a folder; once in a process and folder."""
    key = os.path.abspath(folder)
    if key in _swept:
        return
    _swept.add(key)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if not match:
                continue
            with contextlib.suppress(OSError):
                if not is_abandoned(match["host"], int(match["pid"]), Path(entry.path)):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)


@contextlib.contextmanager
def atomic_path(path: Path | str, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to `path` if the block ends well.

    The suffix is kept, since some writers choose the format by it. Parents are created. Whatever goes
    wrong, a file that is there stays as it is. Raises `WriteError` where the disk is full or damaged, or
    the place will not do. durable: False where a file lost in a power cut only costs time, and a torn
    one is known by a checksum of its own.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        with _faults_of(path, temporary):
            _refuse_odd(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent)
            yield temporary
            if durable:
                _sync(temporary, os.O_RDWR)
            os.replace(temporary, path)
            if durable:
                sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which takes its place if the block ends well.

    path: does not exist, or is an empty folder. Parents are created. `WriteError` as `atomic_path`.
    """
    temporary = temporary_path(path)
    try:
        with _faults_of(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent)
            temporary.mkdir()
            yield temporary
            if hasattr(os, "sync"):
                os.sync()  # once, not for each of many thousand files
            if path.exists():
                path.rmdir()
            temporary.rename(path)
            sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file atomically, newlines as given."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_bytes(path: Path | str, content: bytes | memoryview) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def _faults_of(path: Path, temporary: Path) -> Iterator[None]:
    """What the disk does to a temporary is told of its target."""
    try:
        yield
    except OSError as reason:
        if not _concerns(reason, path, temporary):
            raise
        raise write_fault(path, reason) from reason


def _concerns(reason: OSError, path: Path, temporary: Path) -> bool:
    if reason.errno in _OF_WRITING or (type(reason) is OSError and reason.errno is None):
        return True  # NumPy says no number where a file ends short
    names = [reason.filename, reason.filename2]
    if names == [None, None]:
        return reason.errno in _ADVICE
    known = (path, path.parent, temporary)
    return any(
        Path(os.fsdecode(name)) in known or Path(os.fsdecode(name)).is_relative_to(temporary)
        or path.is_relative_to(os.fsdecode(name))
        for name in names
        if isinstance(name, str | bytes)
    )  # fmt: skip


def write_fault(path: Path | str, reason: OSError) -> WriteError:
    """The error that says in one line why a file cannot be written, and what to do."""
    words = " ".join(str(reason.strerror or reason).split())
    if "errno = " in words:  # HDF5 tells its whole story
        words = os.strerror(reason.errno) if reason.errno else words
    return WriteError(
        f"{path} cannot be written ({words}); {_ADVICE.get(reason.errno or 0, _NAME)}"
    )


def environment_fault(reason: OSError) -> str | None:
    """One line on a fault of disk, rights or names that nobody expected; None for a defect."""
    words = " ".join(str(reason.strerror or reason).split())
    if words.startswith("No usable temporary directory"):
        return f"{words}; free some space, or name a folder in TMPDIR"
    advice = _ADVICE.get(reason.errno or 0)
    if advice is None:
        return None
    name = (
        reason.filename if reason.filename is not None else "a file without a name, or the output"
    )
    return f"{os.fsdecode(name) if isinstance(name, bytes) else name}: {words}; {advice}"


def _refuse_odd(path: Path) -> None:
    """Refuse a target that is a folder, a device or a pipe, or that is protected against writing."""
    top = Path(os.path.abspath(path)).parts[1:3]
    if top[:1] == ("dev",) and top != ("dev", "shm"):
        raise WriteError(f"{path} is a device; {_NAME}")  # its link would become a file
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise WriteError(f"{path} is a folder; {_NAME}")
    if not stat.S_ISREG(mode):
        raise WriteError(f"{path} is a device or a pipe; {_NAME}")
    # The superuser may write whatever the mode says; a file that nobody may write is meant to stay.
    if not mode & 0o222 or not os.access(path, os.W_OK):
        if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        raise WriteError(f"{path} is protected against writing; {_RIGHTS}")


def require_writable(*paths: Path | str | None) -> None:
    """Prove, before long work begins, that files can be written later; nothing is left behind.

    paths: of the files, those that are None left out. Raises `WriteError` for the first that cannot be
    written, and for one that is named twice.
    """
    given = [Path(path) for path in paths if path is not None]
    places = [os.path.realpath(path) for path in given]
    for i, path in enumerate(given):
        if places[i] in places[:i]:
            raise WriteError(f"{path} is named twice; name a file for each")
        with _faults_of(path, path):
            _refuse_odd(path)
        # Missing folders are tried under another name: another process may be about to make them.
        missing = _missing_folders(path.parent)
        trial = temporary_path(missing[-1] if missing else path)
        with _faults_of(path, trial):
            _refuse_long(trial.parent, [*missing, path])
            sweep(trial.parent)
            try:
                if missing:
                    trial.mkdir()
                (trial / "file" if missing else trial).write_bytes(bytes(_TRIAL))
            finally:
                shutil.rmtree(trial) if missing and trial.exists() else trial.unlink(
                    missing_ok=True
                )


def require_writable_folder(folder: Path | str | None) -> None:
    """As `require_writable`, for files of names not known yet, in a folder that may have to be made."""
    if folder is not None:
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise WriteError(f"{folder} is a file; name a folder")
        require_writable(folder / "file")


def _missing_folders(folder: Path) -> list[Path]:
    """A folder and those of its parents that are not there, the folder first."""
    missing = []
    while not _exists(folder) and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    return missing


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # its name is too long, or a folder on the way is closed to us
        return False


def _refuse_long(folder: Path, paths: Sequence[Path]) -> None:
    limit = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    for path in paths:
        if len(os.fsencode(path.name)) > limit:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))


def require_space(path: Path | str, size: int) -> None:
    """Refuse, before long work begins, a file for which its disk has no room.

    size: bytes that the file will take. `WriteError` where fewer are free.
    """
    path = Path(path).absolute()
    place = [path, *_missing_folders(path.parent)][-1].parent
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(place).free
        if free < size:
            raise WriteError(
                f"{path} needs {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free there; {_SPACE}"
            )


@contextlib.contextmanager
def for_speed_alone(what: str, stop: Callable[[], object] = lambda: None) -> Iterator[None]:
    """What the block writes is only kept to save time: where it cannot be, the log says so once.

    what: is kept, in words; stop: called where it cannot be.
    """
    try:
        yield
        return
    except WriteError as reason:
        fault = str(reason)
    except OSError as reason:
        fault = environment_fault(reason)
        if fault is None:
            raise
    stop()
    if what not in _said:
        _said.add(what)
        log(f"{what} are not kept, which only costs time: {fault}")


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of the system's for temporary files, gone after the block; `WriteError` where it cannot be."""
    try:
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    except OSError as reason:
        raise WriteError(environment_fault(reason) or str(reason)) from reason
    with folder as name:
        yield Path(name)


def sync_folder(folder: Path) -> None:
    """Put the names of a folder's files on the disk too, where the system can."""
    try:
        _sync(folder, os.O_RDONLY)
    except OSError as reason:
        # Some network disks have no such call, and Windows does not open folders.
        if reason.errno == errno.EIO:
            raise


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
