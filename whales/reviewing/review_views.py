"""Photos as the review page shows them: the fluke in two sizes and the whole photo, JPEG."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from whales.files.boxes import Box
from whales.photos.crops import crop_window
from whales.photos.photos import read_photo

# Longest sides in pixels; width and height of a crop keep their proportion.
VIEWS = {"crop": 640, "large": 2000, "whole": 2000}
_JPEG_QUALITY = 88


@lru_cache(maxsize=256)
def jpeg(path: Path, box: Box | None, upright: bool, anisotropy: float, view: str) -> bytes:
    """A photo in one of `VIEWS`, never larger than it is. `UserError` where it cannot be read.

    box: x1, y1, x2, y2 in pixels, None for the whole frame; upright: as in `read_photo`,
    anisotropy: as in `crop_window`.
    """
    pixels = _pixels(path, upright)
    x1, y1, x2, y2 = _window(pixels, box, anisotropy, view)
    shown = pixels[y1:y2, x1:x2]
    share = min(1.0, VIEWS[view] / max(shown.shape[:2]))
    if share < 1:
        size = max(1, round(shown.shape[1] * share)), max(1, round(shown.shape[0] * share))
        shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    return cv2.imencode(".jpg", shown[..., ::-1], options)[1].tobytes()


def outline(
    path: Path, box: Box | None, upright: bool, anisotropy: float, view: str
) -> list[float] | None:
    """Where the fluke's box lies in a view: left, top, width, height as shares of it; None without one."""
    if box is None or box[2] <= box[0] or box[3] <= box[1]:
        return None
    x1, y1, x2, y2 = _window(_pixels(path, upright), box, anisotropy, view)
    across = np.clip([(x - x1) / (x2 - x1) for x in (box[0], box[2])], 0, 1).tolist()
    down = np.clip([(y - y1) / (y2 - y1) for y in (box[1], box[3])], 0, 1).tolist()
    return [across[0], down[0], across[1] - across[0], down[1] - down[0]]


# Some 40 MB each at 12 megapixels: a query and its first candidates.
@lru_cache(maxsize=8)
def _pixels(path: Path, upright: bool) -> np.ndarray:
    return read_photo(path, upright=upright)


def _window(
    pixels: np.ndarray, box: Box | None, anisotropy: float, view: str
) -> tuple[int, int, int, int]:
    height, width = pixels.shape[:2]
    if view == "whole":
        return 0, 0, width, height
    return crop_window(box, width, height, anisotropy=anisotropy)
