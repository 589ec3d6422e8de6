"""Decoded photos kept on disk, so that training decodes a photo once, not four times an epoch.

Each photo's pixels are one file that the workers of every stage map into memory: only the rows that a
crop needs are read. A file counts only while its photo's size and both its times are the same. A cache
that is full, or cannot be written to, costs the time to decode again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from whales.base.writing import atomic_path, for_speed_alone, shortened
from whales.photos.cache_room import CacheRoom
from whales.photos.photos import DECODING, read_photo, require_file


class PhotoStore:
    """Reads photos through a folder of decoded ones; safe to share between threads and processes."""

    def __init__(self, folder: Path | None) -> None:
        """`folder`: keeps the decoded photos; None: nothing is kept, every photo is decoded."""
        self._folder, self._full = folder, False
        self._room = CacheRoom(folder) if folder else None

    @property
    def fault(self) -> str:
        """Why no more photos are kept for want of room, in words; empty while there is some."""
        return self._room.fault if self._room else ""

    def stop(self) -> None:
        """Keep no more photos; those that are there are read."""
        self._full = True

    def read(self, path: Path) -> np.ndarray:
        """The pixels of a photo, as from `read_photo`: (h, w, 3) uint8, read-only. `UserError` as there."""
        if self._folder is None:
            return read_photo(path)
        kept = self._kept_file(path)
        try:
            pixels = np.asarray(np.load(kept, mmap_mode="r"))
        except (OSError, EOFError, ValueError):  # not there yet, or damaged
            return self._decoded(path, kept)
        whole = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        return pixels if whole else self._decoded(path, kept)

    def _decoded(self, path: Path, kept: Path) -> np.ndarray:
        pixels = read_photo(path)
        if self._full:
            return pixels
        with for_speed_alone("decoded photos", self.stop):
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._room.allows(pixels.nbytes):
                with atomic_path(kept) as temporary, open(temporary, "wb") as out:
                    np.save(out, pixels)
        return pixels

    def _kept_file(self, path: Path) -> Path:
        status = require_file(path)
        times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
        key = f"{path.resolve()} {status.st_size} {times} {DECODING}"
        digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
        return self._folder / f"{shortened(path.stem, 200)}_{digest}.npy"
