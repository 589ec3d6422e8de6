"""Feed a net with crops: workers read, cut and augment photos before the net asks for them.

Plain crops are made by threads and kept in memory; augmentation is mostly Python, so processes do it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from whales.base.concurrency import (
    begin_call,
    end_processes,
    follow_parent,
    fresh_processes,
    map_ahead,
)
from whales.base.console import configure, is_quiet, log
from whales.base.errors import UserError
from whales.base.stopping import requested
from whales.base.writing import for_speed_alone, require_writable_folder
from whales.files.boxes import Box
from whales.files.settings import ANISOTROPY
from whales.photos import limits
from whales.photos.crop_store import CropStore, key_of
from whales.photos.crops import read_crop
from whales.photos.photo_store import PhotoStore

if TYPE_CHECKING:
    from whales.photos.augment import Augmenter

Result = TypeVar("Result")

# Unaugmented crops are kept in memory up to this many bytes.
KEPT_BYTES = 2 << 30
# Augmented crops that one call of a worker process makes.
_CHUNK = 8


class PhotoFeed:
    """Crops of named photos at one size, plain or augmented.

    Random choices depend on the seeds given alone, so the number of workers does not change a pixel.
    """

    def __init__(
        self,
        path_of: Callable[[str], Path],
        boxes: dict[str, Box],
        size: int,
        workers: int = 1,
        augmenter: Callable[[], Augmenter] | None = None,
        store: Path | None = None,
        decoded: Path | None = None,
        anisotropy: float = ANISOTROPY,
    ) -> None:
        """`path_of`: photo stem -> file; `boxes`: stem -> x1, y1, x2, y2 (absent: whole frame).

        `size`: of the crops, pixels a side; `augmenter`: makes an augmenter in each worker process, and
        must be picklable, like `path_of`; `store`: folder that keeps unaugmented crops for other
        processes; `decoded`: folder that keeps decoded photos for training; `anisotropy`:
        width : height of plain crops.
        """
        self.size, self.boxes, self.anisotropy = size, boxes, anisotropy
        self._store = CropStore(store, size) if store else None
        self._path_of = path_of
        self._workers = workers
        self._threads = ThreadPoolExecutor(workers)
        photos = PhotoStore(decoded)
        with for_speed_alone("decoded photos", photos.stop):  # said here, not by every worker
            require_writable_folder(decoded)
        self._source = _Source(path_of, boxes, size, augmenter, photos, is_quiet())
        self._told = False
        self._made: ProcessPoolExecutor | None = None
        self._kept: dict[str, np.ndarray] = {}

    @property
    def _processes(self) -> ProcessPoolExecutor:
        """The worker processes, begun when first needed: photos that are only scored need none."""
        if self._made is None:
            self._made = _processes(self._workers, self._source)
        return self._made

    def plain(self, name: str) -> np.ndarray:
        """The unaugmented crop of a photo (stem): (size, size, 3) uint8; `UserError` as `read_photo`."""
        crop = self._kept.get(name)
        if crop is None:
            crop = self._stored(name)
            if (len(self._kept) + 1) * crop.nbytes <= KEPT_BYTES:
                self._kept[name] = crop
        return crop

    def _stored(self, name: str) -> np.ndarray:
        path, box = self._path_of(name), self.boxes.get(name)
        if self._store is None:
            return read_crop(path, box, self.size, self.anisotropy)
        key = key_of(path, box, self.anisotropy)
        crop = self._store.get(name, key)
        if crop is None:
            crop = read_crop(path, box, self.size, self.anisotropy)
            self._store.put(name, key, crop)
        return crop

    def plain_batches(self, names: Sequence[str], batch: int) -> Iterator[np.ndarray]:
        """Unaugmented crops of photos (stems) in order: batches (<= batch, size, size, 3) uint8."""
        yield from _stacked(map_ahead(self._threads, self.plain, names, 2 * batch), batch)

    def pair_batches(
        self, names: Sequence[str], pairs: np.ndarray, seeds: np.ndarray, batch: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Augmented crops of both sides of pairs: two arrays (<= batch, size, size, 3) uint8 a step.

        `pairs`: (n, 2) int, indices into `names` (stems); `seeds`: (n, 2) int, of each crop.
        """
        tasks = [
            (names[photo], int(seed))
            for photo, seed in zip(pairs.ravel(), seeds.ravel(), strict=True)
        ]
        chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
        limit = 2 * self._workers + 4 * batch // _CHUNK
        made = map_ahead(self._processes, _augmented, chunks, limit)
        crops = chain.from_iterable(self._without_fault(*result) for result in made)
        for sides in _stacked(crops, 2 * batch):
            yield sides[0::2], sides[1::2]

    def _without_fault(self, crops: list[np.ndarray], fault: str) -> list[np.ndarray]:
        """The crops; what keeps workers from keeping photos is said here, once for all of them."""
        if fault and not self._told:
            self._told = True
            log(f"no more decoded photos are kept, which only costs time: {fault}")
        return crops

    def submit(self, function: Callable[..., Result], *args: object) -> Future[Result]:
        """Call a function in one of the worker processes, between their crops."""
        return begin_call(self._processes, function, *args)

    def readable(self, names: Sequence[str]) -> list[str]:
        """The photos (stems) among `names` that can be read; the log names and counts the others."""

        def fault(name: str) -> str | None:
            try:
                self.plain(name)
            except UserError as error:
                return str(error)
            return None

        kept, lost = [], 0
        for name, reason in zip(names, map_ahead(self._threads, fault, names, 64), strict=True):
            if reason is None:
                kept.append(name)
            else:
                lost += 1
                log(f"left out: {reason}")
        if lost:
            log(f"{lost} of {len(names)} photos left out because they cannot be read")
        return kept

    def close(self) -> None:
        """End the workers, and write crops that the store does not have yet."""
        self._threads.shutdown(cancel_futures=True)
        if self._made is not None:
            # At a stop: an assignment may take minutes, and nobody waits for it any more.
            end_processes(self._made, at_once=bool(requested()))
        if self._store:
            self._store.close()


@dataclass
class _Source:
    """What a worker process needs to augment photos: the feed's arguments, and its augmenter."""

    path_of: Callable[[str], Path]
    boxes: dict[str, Box]
    size: int
    make_augmenter: Callable[[], Augmenter] | None
    photos: PhotoStore
    quiet: bool = False
    augmenter: Augmenter | None = None
    # As it is here: Python's own helper, which starts workers, may be older than the option.
    megapixels: float = field(default_factory=limits.most_megapixels)


_source: _Source | None = None  # of this worker process


def _processes(workers: int, source: _Source) -> ProcessPoolExecutor:
    """A pool of processes that end with this one."""
    context = fresh_processes(["whales.photos.augment", "whales.training.mining"])
    return ProcessPoolExecutor(workers, context, _begin, (source,))


def _begin(source: _Source) -> None:
    """Set up a worker process."""
    global _source
    _source = source
    configure(source.quiet)
    os.environ[limits.VARIABLE] = str(source.megapixels)
    cv2.setNumThreads(1)  # the cores are shared out among the processes
    follow_parent()


def _augmented(tasks: Sequence[tuple[str, int]]) -> tuple[list[np.ndarray], str]:
    """Augmented crops of (stem, seed): (size, size, 3) uint8 each, the same for the same seed.

    With them, why no more decoded photos are kept; empty while there is room.
    """
    if _source.augmenter is None:
        _source.augmenter = _source.make_augmenter()
    crops = []
    for name, seed in tasks:
        pixels = _source.photos.read(_source.path_of(name))
        box = _source.boxes.get(name)
        crops.append(_source.augmenter.crop(pixels, box, _source.size, seed))
    return crops, _source.photos.fault


def _stacked(items: Iterable[np.ndarray], batch: int) -> Iterator[np.ndarray]:
    """Items of one shape in batches, the last one shorter."""
    waiting: list[np.ndarray] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == batch:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)
