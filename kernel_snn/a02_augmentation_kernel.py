"""Augmentation of the kernel net's training photos (method, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whales.photos.augment import Transforms


def transforms() -> Transforms:
    """The transforms in order: stronger than those of v5 and v6."""
    import albumentations as A  # takes a second, and --help needs none

    from whales.photos.augment import (
        ShiftScaleRotate,
        blurs,
        brightness,
        colours,
        contrast,
        details,
        jpeg,
        noises,
    )

    return [
        ShiftScaleRotate(shift=0.1, scale=0.3, rotate=5, p=0.2),
        A.HorizontalFlip(p=0.005),
        A.VerticalFlip(p=0.005),
        ShiftScaleRotate(shift=0, scale=0, rotate=30, p=0.7),
        A.RandomRotate90(p=0.02),
        A.OneOf([*noises(), contrast(0.9, p=0.9)], p=0.5),
        A.OneOf(blurs(), p=0.1),
        A.OneOf(details(), p=0.1),
        A.OneOf([*colours(30), brightness(0.2)], p=0.95),
        jpeg(20, p=0.4),
        A.ToGray(p=0.3),
    ]
