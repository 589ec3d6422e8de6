"""Augmentation of net v5's training photos (method, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whales.photos.augment import Transforms


def transforms() -> Transforms:
    """The transforms in order; v5 and v6 differ only in the numbers of this call."""
    from whales.photos.augment import fluke_transforms

    return fluke_transforms(flip=0.001, rotate=20, rgb=20, lowest_jpeg=55)
