"""Unaugmented crops kept on disk between stages, so that a photo is decoded once for each size.

Every process appends its crops to one shard, a file of raw uint8 that other processes map into memory;
the shard's index, a pickle, appears only once the crops are written. A crop counts only while its
photo's size and modification time, its box and the crops' anisotropy are the same.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.photos.photos import DECODING, require_file

# Crops between two writes of the index.
_PUBLISH = 2000
# No more crops are kept once less than this share of the disk is free.
_LEAST_FREE = 0.1

Key = tuple[object, ...]


def key_of(path: Path, box: Sequence[float] | None, anisotropy: float) -> Key:
    """What a crop depends on besides its side: box, anisotropy, the file's size and modification time.

    path: of the photo; box: pixels, None for the whole frame. `UserError` as of `require_file`.
    """
    status = require_file(path)
    corners = None if box is None else tuple(float(value) for value in box)
    return corners, anisotropy, status.st_size, status.st_mtime_ns, DECODING


class CropStore:
    """Crops of one size; safe to share between threads and between processes."""

    def __init__(self, folder: Path, size: int) -> None:
        """`folder`: of all shards; `size`: of the crops, pixels a side."""
        self._shape = (size, size, 3)
        self._name = f"{size}px_{os.getpid()}_{uuid.uuid4().hex[:8]}"
        self._folder = folder
        self._crops: dict[tuple[str, Key], np.ndarray] = {}
        self._written: dict[tuple[str, Key], int] = {}
        self._rows = self._published = 0
        self._file = None
        self._full = False
        self._lock = threading.Lock()
        for data in sorted(folder.glob(f"{size}px_*.u8")):
            index = data.with_suffix(".pkl")
            if index.exists():
                self._read(index, data)
            elif not _alive(int(data.stem.split("_")[1])):
                data.unlink(missing_ok=True)  # its process was killed

    def get(self, name: str, key: Key) -> np.ndarray | None:
        """The crop of a photo (stem), (size, size, 3) uint8, read-only; None where none is kept."""
        return self._crops.get((name, key))

    def put(self, name: str, key: Key, crop: np.ndarray) -> None:
        """Keep a crop (size, size, 3) uint8 of a photo (stem) for later processes."""
        with self._lock:
            if self._full:
                return
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = open(self._folder / f"{self._name}.u8", "wb")
            self._file.write(np.ascontiguousarray(crop).data)
            self._written[name, key] = self._rows
            self._rows += 1
            if self._rows - self._published >= _PUBLISH:
                self._publish()

    def close(self) -> None:
        """Write what is not written yet; later crops are not kept."""
        with self._lock:
            if self._file is not None:
                self._publish()
                self._file.close()
                self._file = None
                self._full = True

    def _publish(self) -> None:
        self._file.flush()
        save(self._folder / f"{self._name}.pkl", self._written)
        self._published = self._rows
        disk = shutil.disk_usage(self._folder)
        self._full = disk.free < _LEAST_FREE * disk.total

    def _read(self, index: Path, data: Path) -> None:
        try:
            entries = load(index)
        except UserError:  # damaged: these crops are made anew
            return
        if not isinstance(entries, dict) or not all(isinstance(i, int) for i in entries.values()):
            return
        length = int(np.prod(self._shape))
        rows = data.stat().st_size // length
        if rows:
            crops = np.memmap(data, np.uint8, "r", shape=(rows, *self._shape))
            self._crops |= {key: crops[row] for key, row in entries.items() if row < rows}


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is alive, under another user
        return True
    return True
