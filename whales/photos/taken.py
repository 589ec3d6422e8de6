"""When a photo was taken, as its camera noted."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from PIL import Image

_NOTES, _TAKEN = 0x8769, 36867  # EXIF's own directory, and DateTimeOriginal in it
_DAY = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)")
_FIRST_YEAR = 1990  # clocks that were never set say 1970 or 1980


def date_taken(path: Path) -> str:
    """YYYY-MM-DD of EXIF's DateTimeOriginal; "" where there is none, it cannot be true, or it is damaged."""
    try:
        with Image.open(path) as image:
            taken = image.getexif().get_ifd(_NOTES).get(_TAKEN)
        match = _DAY.match(str(taken or ""))
        day = date(*map(int, match.groups())) if match else None
    except (OSError, ValueError, TypeError, SyntaxError, ArithmeticError, LookupError,
            Image.DecompressionBombError):  # fmt: skip
        return ""
    known = day is not None and day.year >= _FIRST_YEAR and day <= date.today()
    return day.isoformat() if known else ""
