"""Decoded photos kept on disk, so that training decodes a photo once, not four times an epoch.

Each photo's pixels are one file that the workers of every stage map into memory: only the rows that a
crop needs are read. A file counts only while its photo's size and modification time are the same. A disk
that is full or cannot be written to costs the time to decode again.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np

from whales.base.writing import atomic_path, for_speed_alone, shortened
from whales.photos.photos import DECODING, read_photo, require_file

# No more photos are kept once less than this share of the disk is free.
LEAST_FREE = 0.1


class PhotoStore:
    """Reads photos through a folder of decoded ones; safe to share between threads and processes."""

    def __init__(self, folder: Path | None) -> None:
        """`folder`: keeps the decoded photos; None: nothing is kept, every photo is decoded."""
        self._folder, self._full = folder, False

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
            disk = shutil.disk_usage(self._folder)
            if disk.free - pixels.nbytes > LEAST_FREE * disk.total:
                with atomic_path(kept) as temporary, open(temporary, "wb") as out:
                    np.save(out, pixels)
        return pixels

    def _kept_file(self, path: Path) -> Path:
        status = require_file(path)
        key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {DECODING}"
        digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
        return self._folder / f"{shortened(path.stem, 200)}_{digest}.npy"
