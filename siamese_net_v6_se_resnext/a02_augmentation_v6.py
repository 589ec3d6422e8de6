"""Augmentation of net v6's training photos (method, section 4)."""

from whales.augment import Transforms, fluke_transforms

EXTRA_CROP = False


def transforms() -> Transforms:
    """The transforms in order; all v5 and v6 differ in stands in this call."""
    return fluke_transforms(flip=0.002, rotate=30, rgb=30, lowest_jpeg=45)
