"""A disk that fails at the n-th write: every place where Python can write is counted, and one fails."""

import builtins
import errno
import io
import os
from contextlib import contextmanager

import h5py

MODES = set("wax+")


class _File:
    """A file open for writing whose writes and end are counted."""

    def __init__(self, disk, file):
        self._disk, self._file = disk, file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.close()

    def __iter__(self):
        return iter(self._file)

    def write(self, content):
        self._disk.count("write", self._file.name)
        return self._file.write(content)

    def close(self):
        if not self._file.closed:
            try:
                self._disk.count("close", self._file.name)
            finally:
                self._file.close()


class FailingDisk:
    """Counts what is written below a folder; from the n-th time on, or at it alone, it fails.

    root: the folder; at: the number of the write that fails, from 1, None for none; error: its errno;
    for_good: whether all later ones fail too, as on a disk that stays full.
    """

    def __init__(self, root, at=None, error=errno.ENOSPC, for_good=True):
        self.root, self.at, self.error, self.for_good = os.path.realpath(root), at, error, for_good
        self.done = []  # (what, path) of every write, the failed ones too
        self.failed = False

    def count(self, what, path):
        """One more write of a path; it fails if its turn has come."""
        path = os.fsdecode(path) if not isinstance(path, int) else _path_of(path)
        if path is None or not os.path.abspath(path).startswith(self.root + os.sep):
            return
        self.done.append((what, os.path.relpath(path, self.root)))
        number = len(self.done)
        if self.at is not None and (number == self.at or (self.for_good and number > self.at)):
            self.failed = True
            raise OSError(self.error, os.strerror(self.error), path)

    @contextmanager
    def in_use(self):
        """The disk while the block runs, in the process and all its threads."""
        opened, made, wrote, synced = io.open, os.mkdir, os.write, os.fsync
        replaced, renamed = os.replace, os.rename
        hdf5, closed = h5py.File.__init__, h5py.File.close

        def open_file(file, mode="r", *more, **named):
            if not MODES & set(mode) or isinstance(file, int):
                return opened(file, mode, *more, **named)
            self.count("open", file)
            return _File(self, opened(file, mode, *more, **named))

        def counted(what, function):
            def call(path, *more, **named):
                self.count(what, path)
                return function(path, *more, **named)

            return call

        def open_hdf5(file, name, mode="r", *more, **named):
            if mode != "r":
                self.count("open", name)
            return hdf5(file, name, mode, *more, **named)

        def close_hdf5(file):
            writes, name = bool(file.id) and file.mode != "r", file.filename if file.id else ""
            closed(file)
            if writes:
                self.count("close", name)

        builtins.open = io.open = open_file
        os.mkdir, os.write = counted("mkdir", made), counted("write", wrote)
        # Counted and not done: tests need not wait for the real disk.
        os.fsync = counted("fsync", lambda handle: None)
        os.replace = counted("replace", replaced)
        os.rename, h5py.File.__init__ = counted("rename", renamed), open_hdf5
        h5py.File.close = close_hdf5
        try:
            yield self
        finally:
            builtins.open = io.open = opened
            os.mkdir, os.write, os.fsync = made, wrote, synced
            os.replace, os.rename = replaced, renamed
            h5py.File.__init__, h5py.File.close = hdf5, closed


def _path_of(handle):
    """Path of an open file's number, None where the system does not tell."""
    try:
        return os.readlink(f"/proc/self/fd/{handle}")
    except OSError:
        return None
