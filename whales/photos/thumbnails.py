"""Thumbnails: the fluke of a photo, small and in its own shape."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from whales.files.boxes import Box
from whales.files.workspace import Workspace
from whales.photos.crops import crop_window, cut
from whales.photos.photos import read_photo

HEIGHT = 100  # of a thumbnail, pixels


def thumbnail(workspace: Workspace, boxes: Mapping[str, Box], name: str) -> np.ndarray:
    """The fluke of a photo (stem), in its own shape: (100, w, 3) uint8."""
    pixels = read_photo(workspace.photo(name))
    return fluke(pixels, boxes.get(name), workspace.settings.anisotropy)


def fluke(pixels: np.ndarray, box: Box | None, anisotropy: float) -> np.ndarray:
    """The fluke of (h, w, 3) uint8, in its own shape: (100, 100 * anisotropy, 3).

    `box` and `anisotropy` as in `crop_window`.
    """
    window = crop_window(box, pixels.shape[1], pixels.shape[0], anisotropy=anisotropy)
    return cut(pixels, window, *thumbnail_size(anisotropy))


def thumbnail_size(anisotropy: float) -> tuple[int, int]:
    """(width, height) of a thumbnail, pixels."""
    return max(1, round(HEIGHT * anisotropy)), HEIGHT
