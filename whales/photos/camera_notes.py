"""When and where a photo was taken, as its camera noted."""

from __future__ import annotations

import math
import re
import struct
from datetime import date
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from whales.base.errors import UserError
from whales.photos.photos import read_exif

_EXIF, _GPS = 0x8769, 0x8825  # pointers to the directories
_TAKEN, _OFFSETS = 36867, (1, 2, 3, 4)  # DateTimeOriginal; latitude and longitude with their signs
_FIRST_YEAR = 1990  # clocks that were never set say 1970 or 1980
_DAY = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)(?:[ T].*)?", re.DOTALL)
_FAULTS = (
    ValueError, TypeError, LookupError, ArithmeticError, SyntaxError, OSError, EOFError, struct.error,
    AttributeError, RecursionError, MemoryError,
)  # fmt: skip


class CameraNotes(NamedTuple):
    """date: YYYY-MM-DD, "" for none that can be true; latitude, longitude: degrees as text, or "".

    doubtful: a date that cannot be true, such as that of a clock that was never set.
    """

    date: str = ""
    latitude: str = ""
    longitude: str = ""
    doubtful: str = ""


def camera_notes(path: Path | str) -> CameraNotes:
    """What the camera noted in a photo; damaged notes are none, and so are those of what is no photo."""
    try:
        content = read_exif(path)
        if not content:
            return CameraNotes()
        exif = Image.Exif()
        exif.load(content)
        taken = exif.get_ifd(_EXIF).get(_TAKEN) or exif.get(
            _TAKEN
        )  # DNG has it in the first directory
        places = exif.get_ifd(_GPS)
    except (UserError, *_FAULTS):
        return CameraNotes()
    day, doubtful = _day(taken)
    south, latitude, west, longitude = (places.get(number) for number in _OFFSETS)
    where = _degrees(latitude, south, "S", 90), _degrees(longitude, west, "W", 180)
    if not all(where) or where == ("0", "0"):  # of a receiver that has not found itself
        where = "", ""
    return CameraNotes(day, *where, doubtful)


def noted(path: Path | str) -> dict[str, str]:
    """The same by the names of columns: date, latitude, longitude, those that are known."""
    notes = camera_notes(path)._asdict()
    return {name: notes[name] for name in ("date", "latitude", "longitude") if notes[name]}


def _day(taken: object) -> tuple[str, str]:
    text = taken.decode(errors="replace") if isinstance(taken, bytes) else str(taken or "")
    match = _DAY.fullmatch(text.strip("\0 "))
    if not match:
        return "", ""
    try:
        day = date(*map(int, match.groups()))
    except ValueError:
        return "", ""
    iso = day.isoformat()
    return ("", iso) if day.year < _FIRST_YEAR or day > date.today() else (iso, "")


def _degrees(parts: object, side: object, negative: str, most: int) -> str:
    try:
        degrees, minutes, seconds = (float(part) for part in parts)  # type: ignore[attr-defined]
    except _FAULTS:
        return ""
    value = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(value) or not 0 <= value <= most:
        return ""
    name = side.decode(errors="replace") if isinstance(side, bytes) else str(side)
    return f"{-value if name.strip(chr(0)).upper() == negative else value:.6f}".rstrip("0").rstrip(
        "."
    )
