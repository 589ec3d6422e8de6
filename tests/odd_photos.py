"""Odd photos of every kind, made by code: what must be refused, and what must be read, and as what."""

from __future__ import annotations

import base64
import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyvips
from PIL import Image

Make = Callable[[Path], object]
WIDTH, HEIGHT = 96, 64


def scene(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(h, w, 3) uint8: soft colours that JPEG keeps, bright enough to tell from black."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 220, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def grainy() -> np.ndarray:
    """A photo whose JPEG is long enough to be damaged in its middle."""
    noise = np.random.default_rng(7).normal(0, 12, (400, 600, 3))
    return np.clip(scene(7, 600, 400) + noise, 0, 255).astype(np.uint8)


def vips(pixels: np.ndarray, interpretation: str = "srgb") -> pyvips.Image:
    return pyvips.Image.new_from_array(pixels, interpretation=interpretation)


def encoded(pixels: np.ndarray, form: str = "JPEG", **options: object) -> bytes:
    """A picture's file by Pillow, not by the library under test."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, form, **options)
    return target.getvalue()


def content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def damaged(data: bytes, length: int = 1024) -> bytes:
    """The file with zeros in its middle."""
    middle = len(data) // 2
    return data[:middle] + bytes(length) + data[middle + length :]


def without_adobe(data: bytes) -> bytes:
    """A JPEG without the segment that says that its inks are inverted."""
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0] :]


def png(width: int, height: int) -> bytes:
    """A grey PNG of any size, all of its pixels black, in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def raw_tiff() -> bytes:
    """A TIFF whose first picture says that it is a smaller copy, as in a camera's raw file."""
    entries = [
        (254, 4, 1, 1), (256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1),
        (262, 3, 1, 1), (273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, 16), (279, 4, 1, 256),
    ]  # fmt: skip
    data = b"II*\0" + struct.pack("<IH", 8, len(entries))
    data += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return data.ljust(200, b"\0") + bytes(range(256))


def quarters() -> np.ndarray:
    """(h, w, 3) uint8: four plain colours, the upper right one last but one."""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2], pixels[: HEIGHT // 2, WIDTH // 2 :] = (
        (200, 40, 40),
        (40, 180, 60),
    )
    pixels[HEIGHT // 2 :, : WIDTH // 2], pixels[HEIGHT // 2 :, WIDTH // 2 :] = (40, 60, 200), 128
    return pixels


def dng(turn: int = 1, pixels: np.ndarray | None = None) -> bytes:
    """A camera's raw file: linear light behind red, green and blue filters, 16 bits, nothing packed."""
    pixels = quarters() if pixels is None else pixels
    height, width = pixels.shape[:2]
    light = np.round((pixels / 255.0) ** 2.2 * 60000).astype("<u2")
    mosaic = light[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = light[::2, ::2, 0], light[1::2, 1::2, 2]
    to_camera = np.linalg.inv(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    matrix = b"".join(struct.pack("<ii", round(x * 10000), 10000) for x in to_camera.ravel())
    when = b"2019:07:14 10:22:33\0"
    entries: list[tuple[int, int, int, int | bytes]] = [
        (254, 4, 1, 0), (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 16), (259, 3, 1, 1),
        (262, 3, 1, 32803), (271, 2, 5, b"Test\0"), (272, 2, 5, b"Test\0"), (273, 4, 1, -1),
        (274, 3, 1, turn), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, mosaic.nbytes),
        (306, 2, 20, when), (33421, 3, 2, struct.pack("<HH", 2, 2)), (33422, 1, 4, bytes([0, 1, 1, 2])),
        (36867, 2, 20, when), (50706, 1, 4, bytes([1, 4, 0, 0])), (50708, 2, 5, b"Test\0"),
        (50717, 4, 1, 65535), (50721, 10, 9, matrix), (50728, 5, 3, struct.pack("<6I", *[1] * 6)),
        (50778, 3, 1, 21),
    ]  # fmt: skip
    begin = 8 + 2 + 12 * len(entries) + 4
    directory, values = struct.pack("<H", len(entries)), b""
    size = sum(len(v) for *_, v in entries if isinstance(v, bytes) and len(v) > 4)
    for tag, kind, count, value in entries:
        if not isinstance(value, bytes):
            field = struct.pack("<I", begin + size if value < 0 else value)
        elif len(value) <= 4:
            field = value
        else:
            field, values = struct.pack("<I", begin + len(values)), values + value
        directory += struct.pack("<HHI", tag, kind, count) + field
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + values + mosaic.tobytes()


# `scene` by x265, which nothing that the project needs brings along; taken on 2019:07:14 10:22:33.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAZZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAABugABAAAAAAAABMoAAgAAAAAGhAABAAAAAAAAAEoAAAA4aWluZgAAAAAA"
    "AgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA1WlwcnAAAAC2"
    "aXBjbwAAAHdodmNDAQQIAAAAnjgAAAAAHvAA/P/4+AAADwNgAAEAF0ABDAH//wQIAAADAJ44AAADAAAeugJAYQABACpC"
    "AQEECAAAAwCeOAAAAwAAHpAGECCy3UklNc3AQ0GBAAADABkAAAMAAQhiAAEACEQBwXKGDAIkAAAAE2NvbHJuY2x4AAEA"
    "DQAGgAAAABRpc3BlAAAAAAAAAGAAAABAAAAAEHBpeGkAAAAAAwgICAAAABdpcG1hAAAAAAAAAAEAAQSBAgMEAAAAGmly"
    "ZWYAAAAAAAAADmNkc2MAAgABAAEAAAUcbWRhdAAABMYoAa8GOORAGH7yIUfpIyoZT7F1hWDWN9AyIStvko4CQjlF+6oO"
    "RaEa57GkfDhruIVgYf8Iy+h5NLd9odkFYvwqBXIsEZmCVvAR/xpIR9Q8YL5ZFPNA2+8i3Cnfc10Th2YazeC52sl5Xp7V"
    "RudrnKwKORx29D59Z5vJX2b5Yta6+q2nesMluZHR+ZxX5frmSyt3Ia2yvWC5PVqXl0Q5g2Omx7yfkG0odnJuxnZ6xjP+"
    "e13JkqBrY5YF3EllSv2dcYvzpFMmVmj/N6JLaGI/lw83oH1lZ8g2Rcoyfw41LZugB3tinKapBrwCZs2t9V4t7/eaONfS"
    "vFsOmqunI+LICgLm+lpjBYPk7V8hjEH71foSenRmm10MBXuoHdH7xPx/V4KhFLz/hUn4l4H9cnriDCeJOINz7nIAEq7L"
    "K5aCmK7ktsg6zdn1P8/pVzYVi0PdY5u84eUWVu4FCCkW8IcaUcGMU/VK7XJ3A5Y7Fd94AzmFzASWA/xI5tgbxGTFBBv5"
    "pIf4/ja/vSNglKPlHXaGVtymm5Dx6c9Fp4LO3qUZc3CajED1KvtyOWJNioZfPQ0w9Yz9kvykaIL2DCG3Jll0mzr5KYAX"
    "2Ph/PyaHgqbdnZOL/7kkTZ8BkcofWgO8wF+1FKhoBCScRSyySVVJEN8hVn1fWNUPVN/Pb/hl+evzul6/6Um8yf8vdOzk"
    "KfgDVEiUA6QFNX2EAYJTdeGYy9ozGQ95L18B66VbAusJIaZJBpf2/tXYevuWuRu+H7YyCvRPa3FdZ+PU83GsJQPKcCyg"
    "7+j4/fQYyBuCum+I00GeOP/YyoUTgmTRNsAMyGsn89B/yXYy1L/VvD2oBUucURqKHZMe6CZsfUc7UiSlyOirdRIOp65m"
    "knzYBgIfVy8v9u2SsFoDTujkxQegxAfiy1KDZAHtlS/GhEvoqO7IH4MBQOmC5D3i6lscJsLgG+ZE3GbSyf4U6gziz5c8"
    "XxowxDEvPuy81oGNqFDeesJmVnNltKZ0hp2DU6pablPo9czScerY3+67keD0j0Pg3vKqCHqZ4tM6isgi6uUgH3+dl/Vf"
    "deTgi7Xvq2qIM5IBLNvcIUr8oHYiYpGxCnUUK1UAXIcv9mVxc3qGqlqLN9cQVLzXYlrehZnKFl9YSWwg7KhvwQUJcjzP"
    "z20591Cvcbs44INutzpAwGGpOxxr37Wv1t/4OhNEJLxqb888BLni36VYyK3t9Rj+/r6Ojm7Gf+Yg4GeSf6cT3i+SEllc"
    "XiPQCq+DvNgTmN4N7xtY+PlAXyLRxP2jAUHxpcLOU+CwJuAs7+8qGUktHGJjD53ge3uDhuxk7QQ4bxQT/P3RNi3LCCAR"
    "kHuWfRV4Cpaw0uxt9s5XaLFOuRHmpzKrk1KJB/FJtNjeQux+2Pl5ceYn5tFvHSqweKcL72uzMTeFteTboMA6K2Ejyc90"
    "atYq3p80dh2Mok2FAxz6veTID6krADLaXF1zvTy9AOJMkzdRpw/5d3lf/xCpfI7oZA8Z6gI1ellJmaqPAXWks40qW+Yh"
    "EvySCkqChWJFReN66cPwAlYRgC+hSAoPDx4Ges7akJawxWDFJnYlI9VPv8qFo1o3oYZncNla0SgTlmH/epjF02QGaJ6R"
    "PnUir8LAY/CbWkeAAAAABkV4aWYAAE1NACoAAAAIAAGHaQAEAAAAAQAAABoAAAAAAAGQAwACAAAAFAAAACwAAAAAMjAx"
    "OTowNzoxNCAxMDoyMjozMwA="
)


def jpeg_size(width: int, height: int) -> bytes:
    """A JPEG whose header names another size than it holds."""
    data = bytearray(encoded(scene()))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_size(width: int, height: int) -> bytes:
    """A BMP whose header names another size than it holds."""
    data = bytearray(encoded(scene(), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def listening(path: Path) -> None:
    """A socket; its name is bound from its folder, since a socket's path is short."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def float_tiff() -> bytes:
    return vips(scene().astype(np.float32) / 255, "scrgb").tiffsave_buffer()


SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"/>'
FILM = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic"

# Kind -> how to make it, and what its refusal says. All are named .jpg: the content decides.
BROKEN: dict[str, tuple[Make, str]] = {
    "one_pixel": (content(encoded(scene()[:1, :1])), "1 x 1 pixels"),
    "two_pixels": (content(encoded(scene()[:2, :2], "PNG")), "2 x 2 pixels"),
    "very_wide": (content(png(20000, 1)), "20000 x 1 pixels"),
    "very_tall": (content(png(1, 20000)), "1 x 20000 pixels"),
    "wide_strip": (content(png(2000, 16)), "at most 100 to 1"),
    "long_side": (content(png(40000, 420)), "at most 32766 pixels"),
    "bomb": (content(png(20000, 10001)), "more than 200 megapixels"),
    "bomb_jpeg": (content(jpeg_size(30000, 30000)), "more than 200 megapixels"),
    "folder": (lambda path: path.mkdir(), "it is a folder"),
    "pipe": (os.mkfifo, "pipe, socket or device"),
    "socket": (listening, "pipe, socket or device"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "pipe, socket or device"),
    "dangling": (lambda path: path.symlink_to("nowhere.jpg"), "No such file"),
    "loop": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "empty": (content(b""), "empty"),
    "zeros": (content(bytes(5000)), "nothing but zeros"),
    "svg": (content(SVG), "SVG"),
    "bare_svg": (content(SVG[22:]), "SVG"),
    "pdf": (content(b"%PDF-1.7\n%%EOF"), "PDF"),
    "html": (content(b"\n<!DOCTYPE html><title>Not found</title>"), "HTML"),
    "text": (content("kein Foto, öde\n".encode()), "text"),
    "csv": (content(b"1,2,3\n4,5,6\n7,8,9\n"), "text"),
    "noise": (content(np.random.default_rng(1).bytes(4000)), "no known format"),
    "ppm": (content(encoded(scene(), "PPM")), "no raster photo"),
    "vips": (content(vips(scene()).write_to_memory()), "no raster photo"),
    "jp2": (content(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(90)), "JPEG 2000"),
    "jxl": (content(b"\xff\x0a" + bytes(90)), "JPEG XL"),
    "psd": (content(b"8BPS" + bytes(90)), "Photoshop"),
    "gzip": (content(b"\x1f\x8b" + bytes(90)), "gzip"),
    "mac_notes": (content(b"\0\x05\x16\x07" + bytes(4000)), "AppleDouble"),
    "cut_heic": (content(HEIC[:-40]), "HEIC, which cannot be decoded"),
    "cut_bmp": (content(encoded(grainy(), "BMP")[:9000]), "BMP, which cannot be decoded"),
    "cut_dng": (content(dng()[:-2]), "camera raw, which cannot be decoded"),
    "small_bmp": (content(encoded(scene()[:4, :4], "BMP")), "4 x 4 pixels"),
    "bomb_bmp": (content(bmp_size(30000, 9000)), "more than 200 megapixels"),
    "cr3": (content(struct.pack(">I", 24) + b"ftypcrx " + bytes(300)), "camera raw"),
    "heic": (content(FILM + bytes(300)), "HEIC"),
    "raw": (content(raw_tiff()), "camera raw"),
    "cr2": (content(b"II*\0\x10\0\0\0CR\x02\0" + bytes(300)), "camera raw"),
    "cut": (content(encoded(grainy())[:9000]), "premature end"),
    "cut_at_the_end": (content(encoded(grainy())[:-2]), "premature end"),
    "cut_progressive": (content(encoded(grainy(), progressive=True)[:9000]), "premature end"),
    "header_alone": (content(encoded(grainy())[:300]), "cannot be read"),
    "damaged": (content(damaged(encoded(grainy()))), "orrupt"),
    "damaged_progressive": (content(damaged(encoded(grainy(), progressive=True))), "orrupt"),
    "damaged_png": (content(damaged(encoded(grainy(), "PNG"))), "cannot be read"),
    "cut_png": (content(encoded(grainy(), "PNG")[:9000]), "cannot be read"),
    "cut_tiff": (content(encoded(grainy(), "TIFF")[:9000]), "cannot be read"),
    "cut_webp": (content(encoded(grainy(), "WEBP")[:5000]), "cannot be read"),
    "cut_gif": (content(encoded(grainy(), "GIF")[:9000]), "cannot be read"),
    "float": (content(float_tiff()), "received float32"),
    "bits_32": (content(vips(scene().astype(np.uint32)).tiffsave_buffer()), "received uint32"),
    "lab": (content(vips(scene()).colourspace("lab").tiffsave_buffer()), "received float32"),
    "channels": (content(vips(np.dstack([scene(), scene()])).tiffsave_buffer()), "received 6"),
}  # fmt: skip
# Names that no table can hold; the content is sound.
NAMES = {
    "line_end": os.fsdecode(b"a\nb.jpg"),
    "return": os.fsdecode(b"a\rb.jpg"),
    "escape": os.fsdecode(b"a\x1b[2Jb.jpg"),
    "latin_1": os.fsdecode(b"caf\xe9.jpg"),
}
if os.geteuid():  # root may read everything
    BROKEN["forbidden"] = (
        lambda path: (path.write_bytes(encoded(scene())), path.chmod(0)),
        "Permission denied",
    )
# What a header alone shows: the others are found when the pixels are asked for.
SOUND_HEADERS = {n for n in BROKEN if n.startswith(("cut", "damaged"))} - {"cut_gif", "cut_webp"}


def grey(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., [0, 0, 0]]


def fading() -> np.ndarray:
    """(h, w) uint8: transparent at the left, opaque at the right."""
    return np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))


def palette(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels).quantize(16)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def film(form: str, **options: object) -> bytes:
    """Two pictures in one file, the second another scene."""
    frames = [Image.fromarray(scene(seed)) for seed in (0, 5)]
    return saved(frames[0], form, save_all=True, append_images=frames[1:], **options)


def one_bit() -> np.ndarray:
    return np.where(scene()[..., 0] > 140, 255, 0).astype(np.uint8)


RGB, FINE = scene(), np.random.default_rng(3).integers(0, 65536, (HEIGHT, WIDTH, 3), np.uint16)
RGBA = np.dstack([RGB, fading()])
INKS = np.zeros((HEIGHT, WIDTH, 4), np.uint8)  # white paper, then each ink alone and black
INKS[:, 16:32, 0] = INKS[:, 32:48, 1] = INKS[:, 48:64, 2] = INKS[:, 64:, 3] = 255
FEW = palette(RGB)

# Kind -> the file, the pixels wanted, and how far they may be off: 0 for formats without loss.
READ: dict[str, tuple[bytes, np.ndarray, float]] = {
    "jpeg": (encoded(RGB, quality=98, subsampling=0), RGB, 8),
    "progressive": (encoded(RGB, quality=98, subsampling=0, progressive=True), RGB, 8),
    "trailing": (encoded(RGB, quality=98, subsampling=0) + b"more" * 500, RGB, 8),
    "grey_jpeg": (encoded(RGB[..., 0], quality=98), grey(RGB), 8),
    "png": (encoded(RGB, "PNG"), RGB, 0),
    "grey_png": (encoded(RGB[..., 0], "PNG"), grey(RGB), 0),
    "grey_alpha": (
        encoded(np.dstack([RGB[..., 0], fading()]), "PNG"), grey(RGB), 0,
    ),
    "alpha": (encoded(RGBA, "PNG"), RGB, 0),
    "alpha_tiff": (encoded(RGBA, "TIFF"), RGB, 0),
    "alpha_webp": (encoded(RGBA, "WEBP", lossless=True, exact=True), RGB, 0),
    "opaque": (encoded(np.dstack([RGB, np.full_like(fading(), 255)]), "PNG"), RGB, 0),
    "bits_16": (vips(FINE, "rgb16").pngsave_buffer(), FINE >> 8, 0),
    "bits_16_tiff": (vips(FINE, "rgb16").tiffsave_buffer(), FINE >> 8, 0),
    "bits_16_grey": (vips(FINE[..., :1], "grey16").pngsave_buffer(), grey(FINE) >> 8, 0),
    "bits_16_alpha": (
        vips(np.dstack([FINE, fading().astype(np.uint16) * 257]), "rgb16").pngsave_buffer(),
        FINE >> 8, 0,
    ),
    "one_bit": (saved(Image.fromarray(one_bit()).convert("1"), "PNG"), grey(one_bit()[..., None]), 0),
    "one_bit_tiff": (
        saved(Image.fromarray(one_bit()).convert("1"), "TIFF"), grey(one_bit()[..., None]), 0,
    ),
    "palette": (saved(FEW, "PNG"), np.array(FEW.convert("RGB")), 0),
    "palette_tiff": (saved(FEW, "TIFF"), np.array(FEW.convert("RGB")), 0),
    "gif": (saved(FEW, "GIF"), np.array(FEW.convert("RGB")), 0),
    "film_gif": (film("GIF"), np.array(Image.open(io.BytesIO(film("GIF"))).convert("RGB")), 0),
    "film_webp": (film("WEBP", lossless=True), RGB, 0),
    "film_png": (film("PNG"), RGB, 0),
    "pages": (film("TIFF"), RGB, 0),
    "webp": (encoded(RGB, "WEBP", lossless=True), RGB, 0),
    "avif": (vips(RGB).heifsave_buffer(compression="av1", lossless=True, effort=0), RGB, 1),
    "heic": (HEIC, RGB, 12),
    "bmp": (encoded(RGB, "BMP"), RGB, 0),
    "grey_bmp": (encoded(RGB[..., 0], "BMP"), grey(RGB), 0),
    "palette_bmp": (saved(FEW, "BMP"), np.array(FEW.convert("RGB")), 0),
    "mpo": (film("MPO", quality=98, subsampling=0), RGB, 8),
    "lzw": (encoded(RGB, "TIFF", compression="tiff_lzw"), RGB, 0),
    "small": (encoded(scene(4, 8, 8), "PNG"), scene(4, 8, 8), 0),
    "wide": (encoded(scene(4, 1600, 16), "PNG"), scene(4, 1600, 16), 0),
    "tall": (encoded(scene(4, 16, 1600), "PNG"), scene(4, 16, 1600), 0),
}  # fmt: skip
