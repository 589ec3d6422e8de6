"""Thumbnails: the fluke of a photo, small, with the anisotropy of the work root."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from whales.files.boxes import Box
from whales.files.workspace import Workspace
from whales.photos.crops import crop_window, cut
from whales.photos.photos import read_photo

HEIGHT = 100  # of a thumbnail, pixels
# Two pictures are one where thumbnails of this side differ by no more than a JPEG's losses, of 255.
_COMPARED, _LOSSES = 128, 3.0


def thumbnail(workspace: Workspace, boxes: Mapping[str, Box], name: str) -> np.ndarray:
    """The fluke of a photo (stem), squeezed as `fluke` does: (100, w, 3) uint8 RGB.

    boxes: stem -> box; `UserError` where the photo is missing or unreadable.
    """
    pixels = read_photo(workspace.photo(name))
    return fluke(pixels, boxes.get(name), workspace.settings.anisotropy)


def fluke(pixels: np.ndarray, box: Box | None, anisotropy: float) -> np.ndarray:
    """The fluke in a photo (h, w, 3) uint8: (100, 100 * anisotropy, 3) uint8.

    `box` and `anisotropy` as in `crop_window`.
    """
    window = crop_window(box, pixels.shape[1], pixels.shape[0], anisotropy=anisotropy)
    return cut(pixels, window, *thumbnail_size(anisotropy))


def thumbnail_size(anisotropy: float) -> tuple[int, int]:
    """(width, height) of a thumbnail, pixels.

    >>> thumbnail_size(2.15)
    (215, 100)
    """
    return max(1, round(HEIGHT * anisotropy)), HEIGHT


def same_picture(first: Path, second: Path) -> bool:
    """Whether two files show one photo, turned or encoded anew; held upright, of one size.

    `UserError` where one cannot be read.
    """
    photos = [read_photo(path, upright=True) for path in (first, second)]
    if photos[0].shape != photos[1].shape:
        return False
    size = (_COMPARED, _COMPARED)
    small = [cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) for pixels in photos]
    return float(np.abs(small[0].astype(np.float32) - small[1]).mean()) <= _LOSSES
