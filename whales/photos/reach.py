"""The region of a photo whose pixels can reach a crop, through the transforms between the two.

A fluke fills a third of its photo, and noise, filters and colours that the crop never shows need not be
computed. For each transform the functions below give the region that it reads to make another region.
A region is x1, y1, x2, y2 in whole pixels of a photo.
"""

from __future__ import annotations

import albumentations as A
import cv2
import numpy as np

Region = tuple[int, int, int, int]

# Transforms that read nothing but the pixel that they change.
POINTWISE = (
    A.GaussNoise,
    A.HueSaturationValue,
    A.RandomBrightnessContrast,
    A.RGBShift,
    A.ToGray,
)
# Filters of at most 7 x 7 pixels.
FILTERS = (A.Blur, A.Emboss, A.MedianBlur, A.MotionBlur, A.Sharpen)
FILTER_REACH = 3
# It reads histograms of the whole photo.
WHOLE = (A.CLAHE,)
# JPEG codes blocks, colour at half the resolution; decoding smooths colour across their borders.
JPEG_BLOCK, JPEG_REACH = 16, 4


def known(transform: A.BasicTransform) -> bool:
    """Whether `reached` knows the region that a transform without geometry reads."""
    return isinstance(transform, (*POINTWISE, *FILTERS, *WHOLE, A.ImageCompression))


def reached(transform: A.BasicTransform, region: Region, width: int, height: int) -> Region:
    """The region that `transform`, one of the `known`, reads to make `region`.

    width, height: of the photo, pixels.

    >>> reached(A.Sharpen(), (100, 2, 200, 50), width=202, height=80)
    (97, 0, 202, 53)
    """
    if isinstance(transform, POINTWISE):
        return region
    if isinstance(transform, WHOLE):
        return 0, 0, width, height
    if isinstance(transform, FILTERS):
        return _clipped(_grown(region, FILTER_REACH), width, height)
    x1, y1, x2, y2 = _grown(region, JPEG_REACH)
    blocks = (
        x1 // JPEG_BLOCK * JPEG_BLOCK,
        y1 // JPEG_BLOCK * JPEG_BLOCK,
        -(-x2 // JPEG_BLOCK) * JPEG_BLOCK,
        -(-y2 // JPEG_BLOCK) * JPEG_BLOCK,
    )
    return _clipped(blocks, width, height)


def reached_by_affine(matrix: np.ndarray, region: Region, width: int, height: int) -> Region:
    """The region that an affine map with mirrored borders reads to make `region`.

    matrix: (3, 3), from the pixels of the old photo to those of the new one; width, height: of both,
    pixels.
    """
    low, high = _read_range(matrix, region)
    left, right = _mirrored(low[0], high[0], width)
    top, bottom = _mirrored(low[1], high[1], height)
    return left, top, right, bottom


def _read_range(matrix: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Lowest (x, y) that an affine map reads to make `region`, and one past the highest.

    Both may lie outside the photo.
    """
    x1, y1, x2, y2 = region
    corners = np.array([(x, y, 1) for x in (x1, x2 - 1) for y in (y1, y2 - 1)], np.float64)
    origins = corners @ np.linalg.inv(matrix).T
    # Bilinear interpolation reads the next pixel; one more for OpenCV's rounded coordinates.
    return np.floor(origins.min(0)).astype(int)[:2] - 1, np.ceil(origins.max(0)).astype(int)[:2] + 3


def warped(pixels: np.ndarray, matrix: np.ndarray, source: Region, target: Region) -> np.ndarray:
    """The region `target` of a photo moved by an affine map.

    pixels: (h, w, 3) uint8, the region `source` of the photo before, which must contain what
    `reached_by_affine` gives for `target`; matrix: (3, 3) as there. Returns uint8 RGB of target's size.
    """
    from_source, to_target = np.eye(3), np.eye(3)
    from_source[:2, 2], to_target[:2, 2] = source[:2], (-target[0], -target[1])
    moved = to_target @ matrix @ from_source
    size = (target[2] - target[0], target[3] - target[1])
    low, high = _read_range(matrix, target)
    inside = (low >= source[:2]).all() and (high <= source[2:]).all()
    # The same pixels as from three channels and, inside, as with mirrors; but OpenCV has vector
    # instructions for four channels and a constant border.
    four = cv2.warpAffine(
        cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA),
        moved[:2],
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT if inside else cv2.BORDER_REFLECT_101,
    )
    return cv2.cvtColor(four, cv2.COLOR_RGBA2RGB)


def subregion(pixels: np.ndarray, source: Region, wanted: Region) -> np.ndarray:
    """The region `wanted` of a photo, cut out of `pixels`, which show its region `source`."""
    x, y = source[:2]
    return pixels[wanted[1] - y : wanted[3] - y, wanted[0] - x : wanted[2] - x]


def _grown(region: Region, margin: int) -> Region:
    x1, y1, x2, y2 = region
    return x1 - margin, y1 - margin, x2 + margin, y2 + margin


def _clipped(region: Region, width: int, height: int) -> Region:
    x1, y1, x2, y2 = region
    return max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)


def _mirrored(low: int, high: int, length: int) -> tuple[int, int]:
    """The range inside 0..length whose mirror images fill low..high, ends excluded."""
    begin, end = max(low, 0), min(high, length)
    if low < 0:
        begin, end = 0, max(end, 1 - low)
    if high > length:
        begin, end = min(begin, 2 * length - 1 - high), length
    if begin < 0 or end > length:
        return 0, length  # a mirror in a mirror
    return int(begin), int(end)
