"""What size a photo may have, and the one number of it that the user may change."""

from __future__ import annotations

import math
import os

from whales.base.errors import UserError
from whales.base.numbers import as_number

# Megapixels that a photo may have unless the user says otherwise; cameras make up to 150.
MOST_MEGAPIXELS = 200.0
# The variable that keeps the user's number: the worker processes and the detector's inherit it.
VARIABLE = "WHALES_MAX_MEGAPIXELS"
# Pixels of a photo's shorter side: below, there is nothing to see.
SHORTEST_SIDE = 8
# Pixels of its longer side: OpenCV moves no picture that is larger.
LONGEST_SIDE = 32_766
# Its longer side over its shorter one: beyond, the detector's copy has no pixel left across.
MOST_OBLONG = 100


def most_megapixels() -> float:
    """Megapixels that a photo may have; `UserError` where the environment's number is none."""
    text = os.environ.get(VARIABLE)
    return MOST_MEGAPIXELS if text is None else megapixels(text, VARIABLE)


def megapixels(text: str, name: str) -> float:
    """A number above 0; `UserError` for other text, which `name` was given.

    >>> megapixels("12.5", "--max-megapixels")
    12.5
    """
    number = as_number(text)
    if not 0 < number < math.inf:
        raise UserError(f"{name} takes a number of megapixels above 0, received {text}")
    return number


def size_fault(width: int, height: int) -> str | None:
    """Why a photo of so many pixels is not read; None where it is.

    >>> size_fault(20000, 1)
    '20000 x 1 pixels; photos have 8 pixels or more a side'
    >>> size_fault(4000, 3000)
    """
    short, long = sorted((width, height))
    size = f"{width} x {height} pixels"
    if short < SHORTEST_SIDE:
        return f"{size}; photos have {SHORTEST_SIDE} pixels or more a side"
    if long > MOST_OBLONG * short:
        return f"{size}; the sides of photos are at most {MOST_OBLONG} to 1"
    if long > LONGEST_SIDE:
        return f"{size}; photos have at most {LONGEST_SIDE} pixels a side: make it smaller"
    if width * height > most_megapixels() * 1e6:
        return (
            f"{size}, more than {most_megapixels():g} megapixels: make it smaller, or allow it "
            "with --max-megapixels"
        )
    return None
