"""The one place that opens photos: what counts as a photo, and its pixels as one kind of array.

A photo is a regular file whose first bytes are those of a raster format of `FORMATS`, of a size that
`whales.photos.limits` allows, and which decodes to its end. All else is an error of one line. The table
in docs/data.md says what becomes of each kind.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyvips

from whales.base.errors import UserError, shown
from whales.photos.limits import size_fault
from whales.photos.other_formats import (
    BMP,
    HEIC,
    OTHER_FORMATS,
    RAW,
    OtherFormatError,
    OtherPhoto,
    open_other,
)

# Format -> libvips's loader. The content decides, not the extension; others are never called, but those
# of `whales.photos.other_formats`.
FORMATS = {
    "JPEG": "jpegload_source",
    "PNG": "pngload_source",
    "TIFF": "tiffload_source",
    "WebP": "webpload_source",
    "GIF": "gifload_source",
    "AVIF": "heifload_source",
}
# Extensions of files that are taken for photos in a folder, in any case; what they hold is seen later.
# Cameras' raw files: often beside a photo of the same name, which then counts.
RAW_SUFFIXES = (
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw",
)  # fmt: skip
PHOTO_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".gif", ".avif", ".heic",
    ".heif", ".hif", ".bmp", *RAW_SUFFIXES,
)  # fmt: skip
# Part of the keys of pixels kept on disk; another number where photos are decoded in another way.
DECODING = 2
# Of damage in a photo's middle decoders only warn, and go on with grey or shifted blocks.
_FAIL_ON = "warning"
_OTHER_FORMATS = (
    (b"%PDF", "PDF"),
    (b"BM", BMP),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIU\0", RAW),  # Panasonic
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"MMOR", RAW),  # Olympus
    (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"\0\x05\x16\x07", "AppleDouble (notes that macOS leaves beside a photo)"),
    (b"\x89HDF", "HDF5"),
    (b"\x08\xf2\xa6\xb6", "VIPS"),
    (b"\xb6\xa6\xf2\x08", "VIPS"),
    (b"\x93NUMPY", "NumPy"),
)
_LARGEST = 1 << 30  # bytes of a file that is read as a whole, of formats that libvips does not read
_HEAD = 4096  # bytes that tell the format
_NO_NAME = ("Cc", "Cs", "Zl", "Zp")  # Unicode's controls, bytes that are no UTF-8, line ends
_INTEGERS = {"uchar": 255.0, "ushort": 65535.0}
_DTYPES = {
    "char": "int8", "short": "int16", "uint": "uint32", "int": "int32", "float": "float32",
    "double": "float64", "complex": "complex64", "dpcomplex": "complex128",
}  # fmt: skip


class PhotoHeader(NamedTuple):
    """What a photo says of itself before it is decoded.

    width, height: of the stored pixels; format: one of `FORMATS`; turn: EXIF orientation, 1 to 8.
    """

    width: int
    height: int
    format: str
    turn: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) of the photo held upright, pixels."""
        return (self.height, self.width) if self.turn > 4 else (self.width, self.height)


def read_photo(path: Path | str, upright: bool = False) -> np.ndarray:
    """Decode a photo to (h, w, 3) uint8 RGB.

    Of a photo of several pages or pictures the first counts. Grey is repeated, CMYK converted to sRGB by
    the photo's profile (a usual one where it has none), transparency is ignored, and of 16 bits the upper
    8 count. RGB is taken as it is stored. The photo is not turned, since boxes are in the
    stored pixels, unless `upright` asks for the rotation that the camera noted in its EXIF data.
    Raises `UserError` with path and reason where the file is no photo or cannot be read to its end.
    """
    try:
        pixels = photo_image(path, upright).numpy()
    except pyvips.Error as error:
        raise _broken(path, _reason(error)) from error
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels)


def photo_image(path: Path | str, upright: bool = False) -> pyvips.Image:
    """A photo as `read_photo` gives it, before its pixels are computed: 1 or 3 bands of 8 bits.

    `UserError` as `read_photo` for what its header says; `pyvips.Error` may follow when pixels are asked
    for.
    """
    header, decode = _opened(path)
    image = decode()
    if upright and header.turn > 1:
        image = image.copy_memory().autorot()  # turning needs the pixels in any order
    return image


def photo_header(path: Path | str) -> PhotoHeader:
    """Size, format and orientation from the file's header alone; `UserError` as `read_photo`."""
    return _opened(path)[0]


def photo_size(path: Path | str) -> tuple[int, int]:
    """(width, height) of the stored pixels, from the file's header alone; `UserError` as `read_photo`."""
    return photo_header(path)[:2]


def read_eighth(path: Path | str) -> np.ndarray:
    """A photo at an eighth of its size, for comparing photos: (about h/8, about w/8, 3 or 1) uint8.

    JPEGs are decoded at that size, which is fast. `UserError` as `read_photo`, but for damage that only a
    full decode shows.
    """
    header = photo_header(path)
    try:
        if header.format == "JPEG":
            pixels = _opened(path, shrink=8)[1]().numpy()
        else:
            pixels = photo_image(path).shrink(8, 8).numpy()
    except pyvips.Error as error:
        raise _broken(path, _reason(error)) from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def require_file(path: Path | str) -> os.stat_result:
    """Status of a photo's file; `UserError` where it is none that can be opened without harm.

    Opening a pipe would wait for its writer; a device is no photo; a name with line ends, or one that is
    no text, breaks the tables that name the photo.
    """
    name = os.fspath(path)
    if any(unicodedata.category(character) in _NO_NAME for character in name):
        raise _broken(path, "its name is no plain text", "rename it")
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise _broken(path, _system_reason(error)) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "pipe, socket or device"
        raise _broken(path, f"it is a {kind}, no file")
    if not status.st_size:
        raise _broken(path, "the file is empty")
    return status


def read_exif(path: Path | str) -> bytes:
    """What the camera noted in a photo's EXIF data, b"" for nothing; `UserError` as `read_photo`.

    Of TIFFs and raw files it is the file itself, whose directories are those of EXIF.
    """
    with _content(path) as (found, descriptor):
        if found == "TIFF":
            return _all(path, descriptor)
        if found in OTHER_FORMATS:
            return _other(path, found, descriptor).exif
        try:
            image = pyvips.Operation.call(FORMATS[found], _source(descriptor), access="sequential")
            return bytes(image.get("exif-data")) if image.get_typeof("exif-data") else b""
        except pyvips.Error as error:
            raise _broken(path, _reason(error)) from error


@contextlib.contextmanager
def _content(path: Path | str) -> Iterator[tuple[str, int]]:
    """The format of a photo, one that is read, and its open file; `UserError` as `read_photo`."""
    require_file(path)
    try:
        # Should a pipe have taken the file's place meanwhile, this does not wait either.
        descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", getattr(os, "O_BINARY", 0))
        )
        try:
            found = _format(descriptor)
            os.lseek(descriptor, 0, os.SEEK_SET)
            if found not in FORMATS and found not in OTHER_FORMATS:
                raise _broken(
                    path, f"it is {found}, no raster photo", "convert it to JPEG, replace it"
                )
            yield found, descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _broken(path, _system_reason(error)) from error


def _source(descriptor: int) -> pyvips.Source:
    return pyvips.Source.new_from_descriptor(descriptor)  # it keeps a copy


def _all(path: Path | str, descriptor: int) -> bytes:
    if os.fstat(descriptor).st_size > _LARGEST:
        raise _broken(path, f"the file is larger than {_LARGEST >> 30} GB", "convert it to JPEG")
    with open(descriptor, "rb", closefd=False) as source:
        return source.read(_LARGEST)


def _opened(path: Path | str, shrink: int = 1) -> tuple[PhotoHeader, Callable[[], pyvips.Image]]:
    """A photo's header, and what makes its image of 1 or 3 bands of 8 bits, in stored pixels.

    shrink: of a JPEG, whose header then has the smaller size.
    """
    with _content(path) as (found, descriptor):
        if found in OTHER_FORMATS:
            other = _other(path, found, descriptor)
            return _other_header(path, found, other), lambda: _other_image(path, found, other)
        source = _source(descriptor)
    options = {"access": "sequential", "fail_on": _FAIL_ON}
    options |= {"shrink": shrink} if shrink > 1 else {}
    try:
        image = pyvips.Operation.call(FORMATS[found], source, **options)
        turn = image.get("orientation") if image.get_typeof("orientation") else 1
        header = PhotoHeader(image.width, image.height, found, turn if 1 <= turn <= 8 else 1)
        fault = size_fault(header.width, header.height) if shrink == 1 else None
        fault = fault or _pixel_fault(image)
        if fault:
            raise _broken(path, fault)
        return header, lambda: _rgb(image)
    except pyvips.Error as error:
        raise _broken(path, _reason(error)) from error


def _other(path: Path | str, found: str, descriptor: int) -> OtherPhoto:
    try:
        return open_other(found, _all(path, descriptor))
    except OtherFormatError as error:
        raise _undecoded(path, found, error) from error


def _other_header(path: Path | str, found: str, other: OtherPhoto) -> PhotoHeader:
    fault = size_fault(other.width, other.height)
    if fault:
        raise _broken(path, fault)
    return PhotoHeader(other.width, other.height, found, 1)


def _other_image(path: Path | str, found: str, other: OtherPhoto) -> pyvips.Image:
    try:
        pixels = other.pixels()
    except OtherFormatError as error:
        raise _undecoded(path, found, error) from error
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    grey = bands < 3
    return _rgb(
        pyvips.Image.new_from_array(
            np.ascontiguousarray(pixels), interpretation="b-w" if grey else "srgb"
        )
    )


def _undecoded(path: Path | str, found: str, error: OtherFormatError) -> UserError:
    reason = f"it is {found}, which cannot be decoded: {error}"
    return _broken(path, reason, "convert it to JPEG, replace it")


def _format(descriptor: int) -> str:
    """The format of an open file by its content, of `FORMATS` or another: "text", "PDF", .."""
    head = os.read(descriptor, _HEAD)
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return RAW if _is_raw(descriptor, head) else "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[4:8] == b"ftyp":
        return _brand(head)
    for mark, name in _OTHER_FORMATS:
        if head.startswith(mark):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if b"<svg" in text or text.startswith(b"<?xml"):
        return "SVG or other XML"
    if not head.strip(b"\0"):
        return "nothing but zeros"
    return (
        "text" if all(byte in b"\t\n\f\r" or byte >= 32 for byte in head) else "of no known format"
    )


def _brand(head: bytes) -> str:
    """The format of a file of ISO's media boxes, by the brands that its first box names."""
    length = struct.unpack(">I", head[:4])[0]
    words = {head[at : at + 4] for at in range(8, min(length, len(head)), 4)}
    if words & {b"avif", b"avis"}:
        return "AVIF"
    if words & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return HEIC
    return RAW if b"crx " in words else "a film"


def _is_raw(descriptor: int, head: bytes) -> bool:
    """Whether a TIFF is a camera's raw file, whose first picture is a small preview."""
    order = "<" if head.startswith(b"II") else ">"
    if head[8:10] == b"CR":
        return True
    if len(head) < 8 or struct.unpack(f"{order}H", head[2:4])[0] != 42:
        return False
    os.lseek(descriptor, struct.unpack(f"{order}I", head[4:8])[0], os.SEEK_SET)
    count = os.read(descriptor, 2)
    if len(count) < 2:
        return False
    entries = os.read(descriptor, 12 * struct.unpack(f"{order}H", count)[0])
    entries = entries[: len(entries) // 12 * 12]
    for tag, _, _, value in struct.iter_unpack(f"{order}HHII", entries):
        # 254: the kind of picture, bit 0 for a smaller copy of another; 50706: the version of DNG.
        if tag == 50706 or (tag == 254 and value & 1):
            return True
    return False


def _pixel_fault(image: pyvips.Image) -> str | None:
    """Why pixels of this kind are not read; None where they are."""
    if image.format not in _INTEGERS:
        found = _DTYPES.get(str(image.format), image.format)
        return f"expected 8 or 16 bits a channel, received {found}; convert the photo to JPEG"
    most = 5 if image.interpretation == "cmyk" else 4
    if image.bands > most:
        return (
            f"expected at most {most} channels, received {image.bands}; convert the photo to JPEG"
        )
    if image.interpretation in ("lab", "labs", "labq", "lch", "xyz", "hsv", "yxy", "scrgb"):
        return f"its colours are {image.interpretation}; convert the photo to JPEG"
    return None


def _rgb(image: pyvips.Image) -> pyvips.Image:
    """The image as 1 (grey) or 3 bands (sRGB) of 8 bits; what is so already is returned as it is."""
    cmyk = image.interpretation == "cmyk"
    # A band of transparency behind the colours is left out, as the method does (section 4).
    has_alpha = image.bands in ((5,) if cmyk else (2, 4))
    colours = image[: image.bands - 1] if has_alpha else image
    if cmyk:
        deep = 16 if image.format == "ushort" else 8
        colours = colours.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=deep)
    if colours.format == "ushort":
        colours = (colours >> 8).cast("uchar")
        colours = colours.copy(interpretation="b-w" if colours.bands == 1 else "srgb")
    return colours


def _system_reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _reason(error: pyvips.Error) -> str:
    """What libvips says, each line once."""
    lines = dict.fromkeys(line.strip() for line in str(error.detail or error).splitlines())
    return "; ".join(filter(None, lines)) or "damaged"


def _broken(path: Path | str, reason: str, remedy: str = "replace it") -> UserError:
    return UserError(
        f"photo {shown(path)} cannot be read ({shown(reason)}); "
        f"{remedy}, or leave it out with --skip-broken-photos"
    )
