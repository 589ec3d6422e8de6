"""What the simulator draws with: the frame of a flat fluke, smooth noise, lines and discs.

The canonical frame has the notch at its origin, x to the right and y downwards, in units of half the
fluke's width: tips at x = -1 and 1, the trailing edge above. `UNIT` is near the size at which competition
photos show a fluke.
"""

from __future__ import annotations

import cv2
import numpy as np

UNIT = 120.0  # pixels of the frame per canonical unit
WIDTH, HEIGHT = 264, 224  # of the frame, pixels
ORIGIN_X, ORIGIN_Y = 132.0, 84.0  # pixel of the canonical origin
_SHIFT = 4  # fractional bits of cv2's drawing coordinates


def grid_noise(
    rng: np.random.Generator, knots: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Smooth noise of about unit variance, float32 of `shape`, from so many knots."""
    field = rng.standard_normal(knots, np.float32)
    return cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC)


def fixed(points: np.ndarray) -> np.ndarray:
    """Canonical (n, 2) points in cv2's drawing coordinates."""
    pixels = points * UNIT + (ORIGIN_X - 0.5, ORIGIN_Y - 0.5)
    return np.round(pixels * (1 << _SHIFT)).astype(np.int32)


def fill(canvas: np.ndarray, points: np.ndarray, tone: int) -> None:
    """A polygon of canonical (n, 2) points, in place on uint8 grey."""
    cv2.fillPoly(canvas, [fixed(points)], tone, cv2.LINE_AA, _SHIFT)


def lines(canvas: np.ndarray, tracks: list[np.ndarray], tone: int, width: int) -> None:
    """Lines through canonical (n, 2) points, in place on uint8 grey; width: in pixels."""
    cv2.polylines(canvas, list(map(fixed, tracks)), False, tone, width, cv2.LINE_AA, _SHIFT)


def discs(
    canvas: np.ndarray, places: np.ndarray, radii: np.ndarray, tones: list[int], width: int
) -> None:
    """Discs, or rings of a `width`, in place on uint8 grey; radii: in pixels of the frame."""
    sizes = np.maximum(np.round(radii * (1 << _SHIFT)).astype(int), 1).tolist()
    for (x, y), size, tone in zip(fixed(places).tolist(), sizes, tones, strict=True):
        cv2.circle(canvas, (x, y), size, tone, width, cv2.LINE_AA, _SHIFT)
