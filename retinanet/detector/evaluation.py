"""The detector on a fold's valid photos: average precision, overlap of the best box, photos not found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retinanet.detector.first_boxes import Annotation
from retinanet.detector.geometry import Detector
from retinanet.detector.network import Predict, by_shape, network_input
from whales.base.concurrency import read_ahead
from whales.base.errors import UserError
from whales.base.progress import progress_bar
from whales.files.boxes import iou, mean_average_precision
from whales.photos.photos import read_photo
from whales.stages.options import RunOptions

EVALUATION_BATCH = 8  # photos of one size


def evaluate_detector(
    predict: Predict,
    rows: Sequence[Annotation],
    detector: Detector,
    options: RunOptions,
    broken: dict[str, str],
) -> dict[str, float]:
    """Compare the detections in the photos of `rows` with their boxes.

    Returns IOU (mean average precision over IoU .50:.05:.95), box_iou (mean IoU of the best box, 0
    where there is none) and not_found (photos without a detection). Broken photos are added to
    `broken` (path -> reason) if they are to be skipped. Raises `UserError` where none can be read.
    """

    def read(row: Annotation) -> tuple[tuple[float, ...], np.ndarray] | None:
        path, box = row
        try:
            return _valid_photo(Path(path), box, detector)
        except UserError as reason:
            if not options.skip_broken_photos:
                raise
            broken[path] = str(reason)
            return None

    truths: list[tuple[float, ...]] = []
    detections: list[tuple[np.ndarray, np.ndarray]] = []
    photos = (photo for photo in read_ahead(read, rows, options.workers) if photo is not None)
    with progress_bar("evaluation", len(rows)) as bar:
        for true_boxes, images in by_shape(photos, EVALUATION_BATCH):
            truths += true_boxes
            for boxes, scores, _ in zip(*predict(images), strict=True):
                detections.append((boxes[scores > 0], scores[scores > 0]))
            bar.update(len(true_boxes))
    if not truths:
        raise UserError("none of the valid photos can be read")
    truth = np.array(truths)
    overlaps = [
        iou(boxes[:1], box)[0, 0] if len(boxes) else 0.0
        for (boxes, _), box in zip(detections, truth, strict=True)
    ]
    return {
        "IOU": mean_average_precision(detections, truth),
        "box_iou": float(np.mean(overlaps)),
        "not_found": sum(not len(boxes) for boxes, _ in detections),
    }


def _valid_photo(
    path: Path, box: Sequence[float], detector: Detector
) -> tuple[tuple[float, ...], np.ndarray]:
    """A photo's box in shares of the sides, and its network input (h, w, 3) float32."""
    pixels = read_photo(path)
    height, width = pixels.shape[:2]
    share = np.array(box) / [width, height, width, height]
    return tuple(share), network_input(pixels, detector)
