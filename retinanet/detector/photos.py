"""Training batches of the detector: augmented photos, and the targets of every anchor."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from functools import lru_cache
from pathlib import Path

import albumentations as A
import numpy as np

from retinanet.detector.first_boxes import Annotation
from retinanet.detector.geometry import Detector
from retinanet.detector.network import network_input, resized
from whales.base.concurrency import read_ahead
from whales.base.errors import UserError
from whales.photos.augment import blurs, colours, details, jpeg, noises
from whales.photos.photos import read_photo

# Photo shapes whose anchors are kept. In the full profile a photo of 600 x 800 pixels has 10,040 cells with
# 24 anchors of four float64, 7.7 MB; photos of one shape are common, and other anchors take some 20 ms.
KEPT_SHAPES = 16

Batch = tuple[np.ndarray, dict[str, np.ndarray]]


def pipeline() -> A.Compose:
    """The detector's augmentation (method, section 1.2); only the flip moves the box."""
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.OneOf(noises(), p=0.2),
            A.OneOf(blurs(each=0.1), p=0.2),
            A.OneOf([*details(), A.RandomBrightnessContrast()], p=0.2),
            A.OneOf(colours(20), p=0.5),
            A.ToGray(p=0.3),
            jpeg(25, p=0.3),
        ],
        bbox_params=A.BboxParams(format="pascal_voc", label_fields=[]),
        strict=True,
    )


class TrainingPhotos:
    """Batches as a function of their number alone: a resumed run sees what it would have seen.

    Photos are drawn in shuffled passes over all of them, whatever the length of an epoch.
    """

    def __init__(
        self,
        rows: Sequence[Annotation],
        detector: Detector,
        batch: int,
        seed: int,
        small: bool,
        skip: bool,
    ) -> None:
        """rows: path and box (x1, y1, x2, y2) in pixels of each photo.

        small: resize before augmenting and keep the photos in memory (few photos, many passes).
        skip: replace a broken photo by another; the broken ones gather in `broken`. Photos whose box lies
        outside of them gather in `outside`: they are trained as background.
        """
        self.rows, self.detector, self.batch = rows, detector, batch
        self.seed, self.skip = seed, skip
        self.broken: dict[str, str] = {}
        self.outside: set[str] = set()
        self._small = small
        self._kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._local = threading.local()
        self._anchors = lru_cache(maxsize=KEPT_SHAPES)(self._anchors_for)

    def batches(
        self, epoch: int, steps: int, workers: int, first: int = 0
    ) -> Generator[Batch, None, None]:
        """The batches of one epoch (from 0) from `first` on, prepared by `workers` threads, in order."""
        return read_ahead(self.make, range(epoch * steps + first, (epoch + 1) * steps), workers)

    def make(self, number: int) -> Batch:
        """Batch `number` of the whole training.

        Returns images (n, h, w, 3) float32, photos of different sizes in the upper left corner of
        zeros, and the targets `regression` (n, anchors, 5), `classification` (n, anchors, 2); the
        last column is 1 for an object, 0 for background, -1 for anchors that do not count.
        """
        from keras_retinanet.utils.anchors import anchor_targets_bbox

        first = number * self.batch
        photos = [self._example(position) for position in range(first, first + self.batch)]
        height, width = (max(pixels.shape[axis] for pixels, _ in photos) for axis in (0, 1))
        images = np.zeros((len(photos), height, width, 3), np.float32)
        for image, (pixels, _) in zip(images, photos, strict=True):
            image[: pixels.shape[0], : pixels.shape[1]] = pixels
        annotations = [{"bboxes": boxes, "labels": np.zeros(len(boxes))} for _, boxes in photos]
        regression, classification = anchor_targets_bbox(
            self._anchors(height, width), [pixels for pixels, _ in photos], annotations, 1
        )
        return images, {"regression": regression, "classification": classification}

    def _example(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Network input and boxes (0 or 1, 4) of a position in the endless shuffled list."""
        pixels, boxes = self._readable(position)
        if not hasattr(self._local, "pipeline"):
            self._local.pipeline = pipeline()
        augment = self._local.pipeline
        augment.set_random_seed(int(np.random.default_rng([self.seed, position]).integers(2**31)))
        moved = augment(image=pixels, bboxes=boxes)
        pixels, boxes = moved["image"], np.asarray(moved["bboxes"], np.float64).reshape(-1, 4)
        image = network_input(pixels, self.detector)
        return image, boxes * _scale(pixels, image)

    def _readable(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and boxes (0 or 1, 4) of the first photo from `position` on that can be read."""
        total = len(self.rows)
        for skipped in range(total):
            shuffle, index = divmod(position, total)
            order = np.random.default_rng([self.seed, shuffle, 1]).permutation(total)
            row = self.rows[order[(index + skipped) % total]]
            try:
                return self._read(row)
            except UserError as reason:
                if not self.skip:
                    raise
                self.broken[row[0]] = str(reason)
        raise UserError("none of the training photos can be read")

    def _read(self, row: Annotation) -> tuple[np.ndarray, np.ndarray]:
        """(h, w, 3) uint8 pixels and boxes (0 or 1, 4), resized if photos are to be small."""
        path, box = row
        if path in self._kept:
            return self._kept[path]
        pixels = read_photo(Path(path))
        boxes = _inside(box, pixels)
        if not len(boxes):
            self.outside.add(path)
        if self._small:
            whole = pixels
            pixels = resized(whole, self.detector)
            boxes = boxes * _scale(whole, pixels)
            self._kept[path] = pixels, boxes
        return pixels, boxes

    def _anchors_for(self, height: int, width: int) -> np.ndarray:
        from keras_retinanet.utils.anchors import anchors_for_shape

        return anchors_for_shape(
            (height, width, 3), list(self.detector.levels), self.detector.anchor_parameters()
        )


def _inside(box: Sequence[float], pixels: np.ndarray) -> np.ndarray:
    """The box clipped to the photo, (1, 4); (0, 4), a photo of background, if it lies outside."""
    height, width = pixels.shape[:2]
    x1, x2 = np.clip([box[0], box[2]], 0, width)
    y1, y2 = np.clip([box[1], box[3]], 0, height)
    return np.array([[x1, y1, x2, y2]] if x2 > x1 and y2 > y1 else [], np.float64).reshape(-1, 4)


def _scale(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Factors (x, y, x, y) from one picture's size to another's."""
    (height, width), (new_height, new_width) = before.shape[:2], after.shape[:2]
    return np.array([new_width / width, new_height / height] * 2)
