"""Augmentation of net v5's training photos (method, section 4)."""

from whales.augment import Transforms, fluke_transforms

EXTRA_CROP = False


def transforms() -> Transforms:
    """The transforms in order; all v5 and v6 differ in stands in this call."""
    return fluke_transforms(flip=0.001, rotate=20, rgb=20, lowest_jpeg=55)
