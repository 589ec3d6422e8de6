"""Boxes in plain NumPy: overlap, merging the detections of two views, averaging, precision.

Every box is (x1, y1, x2, y2), x to the right and y down: in pixels of the original photo unless a
docstring says shares of the sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np

from whales.base.errors import UserError

Box = Sequence[float]  # x1, y1, x2, y2 in pixels of the original photo
ShareBox = Sequence[float]  # the same in shares of the photo's sides
# What the network returns for one view of a photo: boxes (n, 4), scores (n,), labels (n,); padding is -1.
RawDetections = tuple[np.ndarray, np.ndarray, np.ndarray]

MIN_SCORE = 0.01  # below it lies only the detector's padding (-1)
JOIN_IOU = 0.55
VIEW_WEIGHT = 0.5  # of each of the two views
MAX_MERGED = 4
PRECISION_IOUS = tuple(step / 100 for step in range(50, 100, 5))
MAX_DETECTIONS = 100
LOW_IOU = 0.8  # of a photo
# Mean of all photos, below which the detector has learnt too little (published: .927).
POOR_IOU = 0.5


class Detection(NamedTuple):
    """What the detector sees at one place of a photo.

    label: class number, 0 for a whale; score: confidence, above 1 where three or more boxes were
    merged; box: in shares of the photo's sides.
    """

    label: int
    score: float
    box: ShareBox


def checked_boxes(content: object, source: object) -> dict[str, Box]:
    """The content of a file of boxes, stem -> (x1, y1, x2, y2); inverted boxes are boxes too.

    `UserError` naming `source` and the photo where an entry is no box of four finite numbers.
    """
    if not isinstance(content, dict):
        raise UserError(f"{source}: expected a dict of boxes by photo; make it again")
    for name, box in content.items():
        sound = (
            isinstance(name, str)
            and isinstance(box, list | tuple | np.ndarray)
            and len(box) == 4
            and all(isinstance(side, Real) and is_finite(side) for side in box)
        )
        if not sound:
            raise UserError(
                f"{source}: photo {name}: expected x1, y1, x2, y2, received {box}; mend or remove it"
            )
    return content


def is_finite(number: Real) -> bool:
    """Whether a number is finite as a float too.

    >>> is_finite(10**400), is_finite(3)
    (False, True)
    """
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair.

    first: (n, 4), second: (m, 4), both in one unit. Returns (n, m) float64 in [0, 1]; 0 where a
    box is empty or inverted.

    >>> iou([(0, 0, 4, 2)], [(0, 0, 4, 1), (2, 0, 6, 2), (9, 9, 10, 10)]).round(3).tolist()
    [[0.5, 0.333, 0.0]]
    """
    first = np.asarray(first, np.float64).reshape(-1, 1, 4)
    second = np.asarray(second, np.float64).reshape(1, -1, 4)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = _area(first) + _area(second) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)


@dataclass(frozen=True)
class Agreement:
    """How well the detector's boxes fit the first boxes, over the photos that have both.

    mean: IoU, NaN without photos; low: photos under LOW_IOU; missing: photos without a detection, IoU 0.
    """

    mean: float
    photos: int
    low: int
    missing: int

    def lines(self) -> list[str]:
        """What to log: the numbers, and where the mean is under POOR_IOU a warning."""
        if not self.photos:
            return ["mean IoU: no photo has both a detected box and a first one"]
        lines = [
            f"mean IoU {self.mean:.6f} of {self.photos} photos; {self.low} under {LOW_IOU}, "
            f"{self.missing} not found"
        ]
        if self.mean < POOR_IOU:
            lines.append(
                f"warning: the detector's boxes are poor, their mean IoU with p2bb_v5 is {self.mean:.2f} (a "
                f"trained one has over {POOR_IOU}); train it anew (retinanet/r30) before boxes are averaged"
            )
        return lines


def agreement(detected: Mapping[str, Box | None], reference: Mapping[str, Box]) -> Agreement:
    """The detector's boxes against the reference's; None is a photo without a detection."""
    common = {name: box for name, box in detected.items() if name in reference}
    overlaps = [
        iou(np.array(box), np.array(reference[name]))[0, 0] if box is not None else 0.0
        for name, box in common.items()
    ]
    return Agreement(
        float(np.mean(overlaps)) if overlaps else math.nan,
        len(overlaps),
        sum(overlap < LOW_IOU for overlap in overlaps),
        sum(box is None for box in common.values()),
    )


def mirror(boxes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4), in shares of the photo's sides, as they lie in the photo's mirror image: float64.

    >>> mirror([(0.0, 0.25, 0.5, 1.0)]).tolist()
    [[0.5, 0.25, 1.0, 1.0]]
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=1)


def merge_views(upright: RawDetections, mirrored: RawDetections) -> list[Detection]:
    """Merge the detections in a photo with those in its mirror image (method, section 1.4).

    Boxes in shares of the sides, each view's in its own frame, padding (score -1) included. Returns
    at most four detections, the photo's box first; none where nothing was detected.
    """
    merged = [_Merged(detection) for detection in _detections(*upright)]
    boxes, scores, labels = mirrored
    for detection in _detections(mirror(boxes), scores, labels):
        match = _best_match(merged, detection)
        if match is None:
            merged.append(_Merged(detection))
        else:
            match.join(detection)
    result = [entry.weighted() for entry in merged]
    if len(result) > MAX_MERGED:
        result = sorted(result, key=lambda detection: -detection.score)[:MAX_MERGED]
    return result


class _Merged:
    """The weighted mean of detections that were joined; each weighs as one of the two views."""

    def __init__(self, detection: Detection) -> None:
        self.mean, self.weight = detection, VIEW_WEIGHT

    def join(self, detection: Detection) -> None:
        """Move score and box to the weighted mean with `detection`, and let the weight grow."""
        weight, total = self.weight, self.weight + VIEW_WEIGHT

        def mean(present: float, added: float) -> float:
            return (present * weight + added * VIEW_WEIGHT) / total

        score = mean(self.mean.score, detection.score)
        box = tuple(map(mean, self.mean.box, detection.box))
        self.mean, self.weight = Detection(self.mean.label, score, box), total

    def weighted(self) -> Detection:
        """The mean with its score times its weight."""
        return self.mean._replace(score=self.mean.score * self.weight)


def _detections(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> list[Detection]:
    """Every detection that is not padding, as plain Python numbers."""
    return [
        Detection(int(label), float(score), tuple(float(value) for value in box))
        for box, score, label in zip(boxes, scores, labels, strict=True)
        if score >= MIN_SCORE
    ]


def _best_match(merged: list[_Merged], detection: Detection) -> _Merged | None:
    """The entry of the same label with the highest IoU; None where no IoU is above JOIN_IOU."""
    same = [entry for entry in merged if entry.mean.label == detection.label]
    if not same:
        return None
    overlaps = iou(np.array([detection.box]), np.array([entry.mean.box for entry in same]))[0]
    best = int(np.argmax(overlaps))
    return same[best] if overlaps[best] > JOIN_IOU else None


def to_pixels(box: ShareBox, width: int, height: int) -> tuple[int, int, int, int]:
    """A box in shares of the sides, in pixels, truncated (not rounded) to whole numbers.

    width, height: of the photo, pixels.

    >>> to_pixels((0.1, 0.25, 0.5, 0.999), width=105, height=10)
    (10, 2, 52, 9)
    """
    sides = np.array([width, height, width, height])
    x1, y1, x2, y2 = (np.asarray(box, np.float64) * sides).astype(np.int32).tolist()
    return x1, y1, x2, y2


def whole_pixels(box: Box) -> tuple[int, int, int, int]:
    """A box in pixels, truncated to whole numbers.

    >>> whole_pixels((1.9, 2, 30.5, 4))
    (1, 2, 30, 4)
    """
    x1, y1, x2, y2 = (int(value) for value in box)
    return x1, y1, x2, y2


def average_boxes(first: Mapping[str, Box], second: Mapping[str, Box]) -> dict[str, Box]:
    """For each photo of `first`, the mean with its box in `second`, in whole pixels.

    Halves go to the even neighbour (Python's `round`). A photo that only `first` has keeps its box;
    one that only `second` has is left out.

    >>> average_boxes({"a": (0, 0, 9, 5), "b": (1, 2, 3, 4)}, {"a": (2, 1, 10, 6)})
    {'a': (1, 0, 10, 6), 'b': (1, 2, 3, 4)}
    """
    return {
        name: _mean_box(box, second[name]) if name in second else box for name, box in first.items()
    }


def _mean_box(first: Box, second: Box) -> tuple[int, ...]:
    return tuple(round((float(a) + float(b)) / 2) for a, b in zip(first, second, strict=True))


def mean_average_precision(
    detections: Sequence[tuple[np.ndarray, np.ndarray]], truths: np.ndarray
) -> float:
    """Average precision of one-box photos, averaged over IoU .50, .55, .. .95 (COCO's measure).

    detections: for each photo its boxes (n, 4) and confidences (n,), of which the 100 best count;
    truths: (photos, 4), the true boxes in the same unit. Precision is made monotonous from the right
    and integrated over recall. 0 without photos.

    >>> found = np.array([[0, 0, 4, 2], [5, 5, 6, 6]]), np.array([0.9, 0.3])
    >>> mean_average_precision([found], np.array([[0, 0, 4, 2]]))
    1.0
    """
    scores, overlaps, photos = [], [], []
    for photo, (boxes, photo_scores) in enumerate(detections):
        order = np.argsort(-photo_scores, kind="stable")[:MAX_DETECTIONS]
        scores.append(photo_scores[order])
        overlaps.append(iou(boxes[order], truths[photo])[:, 0])
        photos.append(np.full(len(order), photo))
    if not scores or not sum(map(len, scores)):
        return 0.0
    order = np.argsort(-np.concatenate(scores), kind="stable")
    overlap, photo = np.concatenate(overlaps)[order], np.concatenate(photos)[order]
    precisions = [
        _average_precision(overlap >= least, photo, len(truths)) for least in PRECISION_IOUS
    ]
    return float(np.mean(precisions))


def _average_precision(hits: np.ndarray, photos: np.ndarray, truths: int) -> float:
    """Average precision at one IoU.

    hits: (n,) bool, whether a detection overlaps its photo's box enough; photos: (n,) int; both by
    falling confidence. Only a photo's first hit is true; truths: how many true boxes there are.
    """
    true = np.zeros(len(hits), bool)
    indices = np.flatnonzero(hits)
    true[indices[np.unique(photos[indices], return_index=True)[1]]] = True
    precision = np.cumsum(true) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[true].sum() / truths)
