"""Decode photos of every format to one kind of array; an unreadable one is an error of one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyvips

from whales.base.errors import UserError


def read_photo(path: Path | str, upright: bool = False) -> np.ndarray:
    """Decode a photo to (h, w, 3) uint8 RGB.

    Photos of one or two channels repeat the first, those of more than three lose the rest. Colours are
    not converted; the photo is not turned, since boxes are in the stored pixels, unless `upright` asks
    for the rotation that the camera noted in its EXIF data.
    Raises `UserError` with path and reason where the file cannot be read to its end.
    """
    access = "random" if upright else "sequential"  # turning needs the pixels in any order
    try:
        image = pyvips.Image.new_from_file(str(path), access=access, fail_on="truncated")
        pixels = (image.autorot() if upright else image).numpy()
    except pyvips.Error as error:
        raise UserError(_unreadable(path, error)) from error
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise UserError(
            f"{path}: expected 8 or 16 bits a channel, received {pixels.dtype}; "
            "convert the photo to JPEG"
        )
    if pixels.shape[2] < 3:
        pixels = np.repeat(pixels[..., :1], 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def photo_size(path: Path | str) -> tuple[int, int]:
    """(width, height) in pixels, from the file's header alone; `UserError` as `read_photo`."""
    try:
        image = pyvips.Image.new_from_file(str(path))
    except pyvips.Error as error:
        raise UserError(_unreadable(path, error)) from error
    return image.width, image.height


def _unreadable(path: Path | str, error: Exception) -> str:
    reason = " ".join(str(getattr(error, "detail", error) or error).split())
    return (
        f"photo {path} cannot be read ({reason}); "
        "replace it, or leave it out with --skip-broken-photos"
    )
