"""Unaugmented crops kept on disk between stages, so that a photo is decoded once for each size.

Every process appends its crops to one shard, a file of raw uint8 that other processes map into memory;
the shard's index, a pickle, appears only once the crops are written, and keeps a checksum of each. A crop
counts only while its photo's size and both its times, its box and the crops' anisotropy are the same.
A cache that is full, or cannot be written to, costs the time to make crops again.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.base.writing import HOST, for_speed_alone, is_abandoned, sweep
from whales.photos.cache_room import CacheRoom
from whales.photos.photos import DECODING, require_file

# Crops between two writes of the index.
_PUBLISH = 2000

# Versions before 0.3 named no host.
_SHARD = re.compile(r"\d+px_(?:([\w-]+)_)?(\d+)_[0-9a-f]{8}")

Key = tuple[object, ...]
Entry = tuple[int, int]  # a crop's row in its shard, and the CRC-32 of its bytes


def key_of(path: Path, box: Sequence[float] | None, anisotropy: float) -> Key:
    """What a crop depends on besides its side: box, anisotropy, the file's size and both its times.

    path: of the photo; box: pixels, None for the whole frame. `UserError` as of `require_file`.
    """
    status = require_file(path)
    corners = None if box is None else tuple(float(value) for value in box)
    times = status.st_mtime_ns, status.st_ctime_ns
    return corners, anisotropy, status.st_size, *times, DECODING


class CropStore:
    """Crops of one size; safe to share between threads and between processes."""

    def __init__(self, folder: Path, size: int) -> None:
        """`folder`: of all shards; `size`: of the crops, pixels a side."""
        self._shape = (size, size, 3)
        self._name = f"{size}px_{HOST}_{os.getpid()}_{secrets.token_hex(4)}"
        self._folder = folder
        self._crops: dict[tuple[str, Key], tuple[np.ndarray, int]] = {}
        self._written: dict[tuple[str, Key], Entry] = {}
        self._rows = self._published = 0
        self._file = None
        self._room, self._full = CacheRoom(folder), False
        self._lock = threading.Lock()
        sweep(folder)
        for data in sorted(folder.glob(f"{size}px_*.u8")):
            if not self._read(data.with_suffix(".pkl"), data):
                _remove_abandoned(data)

    def get(self, name: str, key: Key) -> np.ndarray | None:
        """The crop of a photo (stem), (size, size, 3) uint8, read-only; None where none is kept whole."""
        crop, checksum = self._crops.get((name, key), (None, 0))
        # After a power cut a shard can have its size and nothing in it.
        return crop if crop is not None and zlib.crc32(crop) == checksum else None

    def put(self, name: str, key: Key, crop: np.ndarray) -> None:
        """Keep a crop (size, size, 3) uint8 of a photo (stem) for later processes."""
        with self._lock:
            if self._full:
                return
            with for_speed_alone("crops", self._stop):
                crop = np.ascontiguousarray(crop)
                self._folder.mkdir(parents=True, exist_ok=True)
                if not self._room.allows(crop.nbytes):
                    self._stop()
                    size, fault = self._shape[0], self._room.fault
                    log(f"no more crops of {size} px are kept, which only costs time: {fault}")
                    return
                self._append(crop)
                self._written[name, key] = self._rows - 1, zlib.crc32(crop)
                if self._rows - self._published >= _PUBLISH:
                    self._publish()

    def _stop(self) -> None:
        self._full = True

    def _append(self, crop: np.ndarray) -> None:
        if self._file is None:
            # Without a buffer: what is written is known to be written.
            self._file = open(self._folder / f"{self._name}.u8", "wb", buffering=0)
        content = memoryview(crop).cast("B")
        while content:
            content = content[self._file.write(content) :]
        self._rows += 1

    def close(self) -> None:
        """Write what is not written yet; later crops are not kept."""
        with self._lock:
            self._full = True
            if self._file is not None:
                with for_speed_alone("crops"), contextlib.closing(self._file):
                    self._publish()
                self._file = None

    def _publish(self) -> None:
        save(self._folder / f"{self._name}.pkl", self._written, durable=False)
        self._published = self._rows

    def _read(self, index: Path, data: Path) -> bool:
        """Take over the crops of another process's shard; whether it has any."""
        try:
            entries = load(index)
            rows = data.stat().st_size // int(np.prod(self._shape))
        except (UserError, OSError):  # not there yet, damaged, or gone: these crops are made anew
            return False
        if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())) or not rows:
            return False
        with contextlib.suppress(OSError):
            crops = np.memmap(data, np.uint8, "r", shape=(rows, *self._shape))
            self._crops |= {
                key: (crops[row], checksum)
                for key, (row, checksum) in entries.items()
                if 0 <= row < rows
            }
        return True


def _is_entry(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, int) for v in value)


def _remove_abandoned(data: Path) -> None:
    """Remove a shard without crops, if nobody writes it any more; who does on another host is not known."""
    match = _SHARD.fullmatch(data.stem)
    with contextlib.suppress(OSError):
        if match and is_abandoned(match[1], int(match[2]), data):
            data.unlink(missing_ok=True)
            data.with_suffix(".pkl").unlink(missing_ok=True)
