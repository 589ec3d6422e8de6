"""Feed a net with crops: threads that read, cut and augment photos ahead of it, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from whales.errors import UserError
from whales.photos import Box, read_crop, read_photo
from whales.stage import log

Task = TypeVar("Task")
Result = TypeVar("Result")

# Unaugmented crops are kept in memory up to this many bytes.
KEPT_BYTES = 2 << 30
# Photos of one call of a branch without gradients, by the crop's area: 64 at 224 px.
_INFERENCE_PIXELS = 64 * 224 * 224


class PhotoFeed:
    """Crops of named photos at one size, plain or augmented.

    All that is random comes in as seeds, so the number of workers does not change a single pixel.
    """

    def __init__(
        self,
        path_of: Callable[[str], Path],
        boxes: dict[str, Box],
        size: int,
        workers: int = 1,
        augmenter: Callable[[], Any] | None = None,
    ) -> None:
        """`path_of`: photo stem -> file; `boxes`: stem -> x1, y1, x2, y2 (absent: whole frame).

        `augmenter` makes a `whales.augment.Augmenter`, one for each thread.
        """
        self.size, self.boxes = size, boxes
        self._path_of, self._make_augmenter = path_of, augmenter
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers)
        self._kept: dict[str, np.ndarray] = {}
        self._own = threading.local()

    def plain(self, name: str) -> np.ndarray:
        """The unaugmented crop of a photo: (size, size, 3) uint8."""
        crop = self._kept.get(name)
        if crop is None:
            crop = read_crop(self._path_of(name), self.boxes.get(name), self.size)
            if (len(self._kept) + 1) * crop.nbytes <= KEPT_BYTES:
                self._kept[name] = crop
        return crop

    def augmented(self, name: str, seed: int) -> np.ndarray:
        """An augmented crop of a photo: (size, size, 3) uint8, the same for the same seed."""
        if not hasattr(self._own, "augmenter"):
            self._own.augmenter = self._make_augmenter()
        pixels = read_photo(self._path_of(name))
        return self._own.augmenter.crop(pixels, self.boxes.get(name), self.size, seed)

    def plain_batches(self, names: Sequence[str], batch: int) -> Iterator[np.ndarray]:
        """Unaugmented crops in order: (<= batch, size, size, 3) uint8."""
        yield from _stacked(self._ahead(self.plain, names, 2 * batch), batch)

    def pair_batches(
        self, names: Sequence[str], pairs: np.ndarray, seeds: np.ndarray, batch: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Augmented crops of both sides of pairs: two (<= batch, size, size, 3) uint8 a step.

        `pairs`: (n, 2) int indices into `names`, `seeds`: (n, 2) int.
        """
        tasks = (
            (names[photo], int(seed))
            for photo, seed in zip(pairs.ravel(), seeds.ravel(), strict=True)
        )
        crops = self._ahead(lambda task: self.augmented(*task), tasks, 4 * batch)
        for both in _stacked(crops, 2 * batch):
            yield both[0::2], both[1::2]

    def readable(self, names: Sequence[str]) -> list[str]:
        """The photos among `names` that can be read; the others are named in the log and counted."""

        def fault(name: str) -> str | None:
            try:
                self.plain(name)
            except UserError as error:
                return str(error)
            return None

        kept, lost = [], 0
        for name, reason in zip(names, self._ahead(fault, names, 64), strict=True):
            if reason is None:
                kept.append(name)
            else:
                lost += 1
                log(f"left out: {reason}")
        if lost:
            log(f"{lost} of {len(names)} photos left out because they cannot be read")
        return kept

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _ahead(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], ahead: int
    ) -> Iterator[Result]:
        """Results in the order of tasks, at most `ahead` (and two a worker) begun before wanted."""
        waiting: deque[Any] = deque()
        try:
            for task in tasks:
                waiting.append(self._pool.submit(function, task))
                if len(waiting) > max(ahead, 2 * self._workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def branch_features(
    network: Any, feed: PhotoFeed, names: Sequence[str], progress: str | None = None
) -> np.ndarray:
    """Features of unaugmented photos: (n, d) float32, the branch's outputs after its last rectifier."""
    batch = max(1, min(256, _INFERENCE_PIXELS // feed.size**2))
    parts = []
    with tqdm(total=len(names), desc=progress, disable=None, leave=False) as bar:
        for crops in feed.plain_batches(names, batch):
            count = len(crops)
            if count < batch:  # one shape only: another one would be traced anew
                crops = np.concatenate([crops, np.repeat(crops[-1:], batch - count, axis=0)])
            features = network.branch.predict_on_batch(network.preprocess(crops))
            parts.append(np.asarray(features)[:count])
            bar.update(count)
    if not parts:
        return np.zeros((0, network.branch.output_shape[-1]), np.float32)
    return np.concatenate(parts).astype(np.float32)


def _stacked(items: Iterable[np.ndarray], batch: int) -> Iterator[np.ndarray]:
    waiting: list[np.ndarray] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == batch:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)
