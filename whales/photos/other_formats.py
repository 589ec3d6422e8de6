"""Formats that libvips's wheel does not read: HEIC (libheif), camera raw such as DNG (LibRaw), BMP (Pillow).

Sizes and pixels are those of the photo held upright, as the libraries give them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL.BmpImagePlugin import BmpImageFile

HEIC, RAW, BMP = OTHER_FORMATS = ("HEIC", "camera raw", "BMP")
_TIFF_MARKS = (b"II*\0", b"MM\0*")
_FAULTS = (
    ValueError, RuntimeError, OSError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError,
    MemoryError, struct.error,
)  # fmt: skip


class OtherFormatError(ValueError):
    """Why a file of one of `OTHER_FORMATS` cannot be decoded, in one line."""


class OtherPhoto(NamedTuple):
    """width, height: pixels, upright; pixels: decodes to (h, w, 1 to 4) uint8; exif: its notes, or b""."""

    width: int
    height: int
    pixels: Callable[[], np.ndarray]
    exif: bytes


def open_other(found: str, content: bytes) -> OtherPhoto:
    """A photo's header, not decoded yet; found: one of `OTHER_FORMATS`; content: of the whole file.

    `OtherFormatError` here, and from `pixels`, where it cannot be read.
    """
    return _checked(lambda: _OPENERS[found](content))


def _heic(content: bytes) -> OtherPhoto:
    import pi_heif

    photo = pi_heif.open_heif(io.BytesIO(content))  # its first picture; turned as the file says
    width, height = photo.size
    # A copy: the decoder's memory goes with `photo`.
    return OtherPhoto(width, height, lambda: np.array(photo), photo.info.get("exif") or b"")


def _raw(content: bytes) -> OtherPhoto:
    import rawpy

    def opened(use: Callable[[Any], Any]) -> Any:
        try:
            with rawpy.imread(io.BytesIO(content)) as photo:
                return use(photo)
        except rawpy.LibRawError as error:
            reason = error.args[0] if error.args else error
            raise OtherFormatError(
                reason.decode(errors="replace") if isinstance(reason, bytes) else reason
            ) from error

    def pixels() -> np.ndarray:
        return opened(lambda photo: photo.postprocess(use_camera_wb=True, output_bps=8))

    sizes = opened(lambda photo: photo.sizes)
    width, height = sizes.iwidth, sizes.iheight
    if sizes.flip in (5, 6):  # LibRaw's numbers of a quarter turn
        width, height = height, width
    return OtherPhoto(width, height, pixels, content if content[:4] in _TIFF_MARKS else b"")


def _bmp(content: bytes) -> OtherPhoto:
    photo = BmpImageFile(io.BytesIO(content))  # `whales.photos.limits` bounds its size, not Pillow
    return OtherPhoto(*photo.size, lambda: np.asarray(photo.convert("RGB")), b"")


_OPENERS = {HEIC: _heic, RAW: _raw, BMP: _bmp}


def _checked(opener: Callable[[], OtherPhoto]) -> OtherPhoto:
    def pixels() -> np.ndarray:
        return _told(photo.pixels)

    photo = _told(opener)
    return photo._replace(pixels=pixels)


def _told(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except OtherFormatError:
        raise
    except _FAULTS as error:
        raise OtherFormatError(" ".join(str(error).split()) or type(error).__name__) from error
