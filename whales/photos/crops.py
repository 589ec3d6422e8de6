"""Cut the fluke out of a photo: the window, and the size it is squeezed to (method, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from whales.base.console import log
from whales.files.boxes import Box
from whales.files.settings import ANISOTROPY
from whales.photos.photos import read_photo

# A crop leaves this margin around the box, as a share of its sides.
CROP_MARGIN = 0.05


def crop_window(
    box: Box | None,
    width: int,
    height: int,
    margin: float = CROP_MARGIN,
    anisotropy: float = ANISOTROPY,
) -> tuple[int, int, int, int]:
    """Window to cut out of a photo for a fluke's box (method, section 4).

    `box`: x1, y1, x2, y2 in pixels, or None for the whole frame; an inverted or empty one means the
    whole frame too. The box grows by `margin` of its sides (and one pixel right and below), is
    clipped, widened about its centre to width:height `anisotropy` on its too small side, clipped and
    truncated.
    Returns x1, y1, x2, y2, integers inside the photo, never empty.

    >>> crop_window((100, 100, 300, 180), width=400, height=300)
    (90, 89, 311, 191)
    >>> crop_window(None, width=400, height=300)
    (0, 0, 400, 300)
    """
    if box is None or box[2] <= box[0] or box[3] <= box[1]:
        box = (0, 0, width, height)
    x1, y1, x2, y2 = (float(value) for value in box)
    grow_x, grow_y = (x2 - x1) * margin, (y2 - y1) * margin
    x1, x2 = max(x1 - grow_x, 0.0), min(x2 + grow_x + 1, float(width))
    y1, y2 = max(y1 - grow_y, 0.0), min(y2 + grow_y + 1, float(height))
    if x2 - x1 > (y2 - y1) * anisotropy:
        half = ((x2 - x1) / anisotropy - (y2 - y1)) / 2
        y1, y2 = y1 - half, y2 + half
    else:
        half = ((y2 - y1) * anisotropy - (x2 - x1)) / 2
        x1, x2 = x1 - half, x2 + half
    window = int(max(x1, 0)), int(max(y1, 0)), int(min(x2, width)), int(min(y2, height))
    if window[2] <= window[0] or window[3] <= window[1]:
        return 0, 0, width, height  # the box lies outside the photo
    return window


def cut(
    pixels: np.ndarray, window: Sequence[int], width: int, height: int | None = None
) -> np.ndarray:
    """Cut a window (x1, y1, x2, y2) out of (h, w, 3) uint8 and squeeze it to (height, width, 3).

    Without `height` the result is square, as the nets want it.
    """
    x1, y1, x2, y2 = window
    return cv2.resize(
        pixels[y1:y2, x1:x2], (width, height or width), interpolation=cv2.INTER_LINEAR
    )


def read_crop(
    path: Path | str, box: Box | None, size: int, anisotropy: float = ANISOTROPY
) -> np.ndarray:
    """The unaugmented crop of one photo: (size, size, 3) uint8 RGB.

    `box` and `anisotropy` as in `crop_window`.
    """
    pixels = read_photo(path)
    height, width = pixels.shape[:2]
    return cut(pixels, crop_window(box, width, height, anisotropy=anisotropy), size)


def check_boxes(boxes: Mapping[str, Box], photos: Sequence[str]) -> None:
    """Log every photo (stem) of `photos` whose box is inverted or empty: its whole frame is used."""
    for photo in photos:
        box = boxes.get(photo)
        if box is not None and (box[2] <= box[0] or box[3] <= box[1]):
            log(f"photo {photo}: box {tuple(box)} is empty, the whole frame is used")
