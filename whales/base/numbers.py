"""Numbers that people write: on the command line, in the environment."""

from __future__ import annotations

import math


def as_number(text: str) -> float:
    """The number that a text is, NaN where it is none.

    >>> as_number("1e3"), as_number("many")
    (1000.0, nan)
    """
    try:
        return float(text)
    except ValueError:
        return math.nan
