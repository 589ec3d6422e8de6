"""Which part of a photo can reach a crop of it, through the transforms between the two.

A fluke fills a third of its photo. Noise, filters and colours that the crop will never show need
not be computed; geometry and filters tell how far the crop's pixels look. A region is x1, y1, x2, y2
in whole pixels of a photo.
"""

from __future__ import annotations

import albumentations as A
import cv2
import numpy as np

Region = tuple[int, int, int, int]

# Transforms whose every pixel depends on that pixel alone (noise: on nothing but chance).
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
# Evens out contrast by histograms of the whole photo.
WHOLE = (A.CLAHE,)
# JPEG's blocks, with colour at half the resolution, which decoding smooths across their borders.
JPEG_BLOCK, JPEG_REACH = 16, 4


def known(transform: A.BasicTransform) -> bool:
    """Whether `reached` knows how far a transform without geometry looks."""
    return isinstance(transform, (*POINTWISE, *FILTERS, *WHOLE, A.ImageCompression))


def reached(transform: A.BasicTransform, region: Region, width: int, height: int) -> Region:
    """What `transform`, one of the `known`, reads for `region` of a photo of `width` x `height`."""
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
    """What an affine map with mirrored borders reads for `region` of a photo of `width` x `height`.

    `matrix`: (3, 3), from the pixels of the old photo to those of the new one.
    """
    low, high = _looked_at(matrix, region)
    left, right = _mirrored(low[0], high[0], width)
    top, bottom = _mirrored(low[1], high[1], height)
    return left, top, right, bottom


def _looked_at(matrix: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """First (x, y) and past the last that an affine map reads for `region`, beyond the photo too."""
    x1, y1, x2, y2 = region
    corners = np.array([(x, y, 1) for x in (x1, x2 - 1) for y in (y1, y2 - 1)], np.float64)
    found = corners @ np.linalg.inv(matrix).T
    # Bilinear interpolation looks at the next pixel; one more for OpenCV's rounded coordinates.
    return np.floor(found.min(0)).astype(int)[:2] - 1, np.ceil(found.max(0)).astype(int)[:2] + 3


def warped(pixels: np.ndarray, matrix: np.ndarray, source: Region, target: Region) -> np.ndarray:
    """The `target` region of an affine map of a photo of which `pixels` shows the `source` region.

    `source` must hold what `reached_by_affine` tells.
    """
    here, there = np.eye(3), np.eye(3)
    here[:2, 2], there[:2, 2] = source[:2], (-target[0], -target[1])
    moved = there @ matrix @ here
    size = (target[2] - target[0], target[3] - target[1])
    low, high = _looked_at(matrix, target)
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


def part(pixels: np.ndarray, of: Region, wanted: Region) -> np.ndarray:
    """The `wanted` region of a photo of which `pixels` shows the region `of`."""
    x, y = of[:2]
    return pixels[wanted[1] - y : wanted[3] - y, wanted[0] - x : wanted[2] - x]


def _grown(region: Region, by: int) -> Region:
    x1, y1, x2, y2 = region
    return x1 - by, y1 - by, x2 + by, y2 + by


def _clipped(region: Region, width: int, height: int) -> Region:
    x1, y1, x2, y2 = region
    return max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)


def _mirrored(low: int, high: int, length: int) -> tuple[int, int]:
    """Pixels of 0..length-1 that stand for low..high-1 where the borders are mirrors."""
    begin, end = max(low, 0), min(high, length)
    if low < 0:
        begin, end = 0, max(end, 1 - low)
    if high > length:
        begin, end = min(begin, 2 * length - 1 - high), length
    if begin < 0 or end > length:
        return 0, length  # a mirror in a mirror
    return int(begin), int(end)
