"""A photo of any kind laid into a work root: upright, a JPEG, read to its end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyvips

from whales.base.errors import UserError
from whales.base.writing import atomic_path
from whales.photos.photos import photo_header, photo_image, read_photo

_QUALITY = 95  # of photos that must be encoded anew; from 90 on libvips keeps the full colour


def copy_upright(source: Path, target: Path) -> None:
    """Copy a photo; one that is no JPEG, or is turned by its EXIF note, becomes an upright JPEG.

    `UserError` where it cannot be read to its end, or the target cannot be written.
    """
    read_photo(source)
    header = photo_header(source)
    with atomic_path(target) as temporary:
        if header.format == "JPEG" and header.turn == 1:
            shutil.copyfile(source, temporary)
            return
        temporary.write_bytes(upright_jpeg(source))


def upright_jpeg(source: Path) -> bytes:
    """A photo held upright, as a JPEG; `UserError` where it cannot be made one."""
    try:
        image = photo_image(source, upright=True).colourspace("srgb")
        return image.jpegsave_buffer(Q=_QUALITY, keep="icc")
    except pyvips.Error as error:
        reason = " ".join(str(error).split())
        raise UserError(f"photo {source} cannot be made a JPEG ({reason})") from error
