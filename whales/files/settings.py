"""Settings of a whole work root that may differ from the method: its `data/settings.json`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from whales.base.errors import UserError
from whales.base.plain_json import read_json

_LARGEST = 1 << 20  # bytes
ANISOTROPY = 2.15  # width : height of a fluke, from the method


@dataclass(frozen=True)
class Settings:
    """Settings of a work root; each default is the method's number.

    anisotropy: width : height of every crop, before it is squeezed into a square.
    """

    anisotropy: float = ANISOTROPY


def read_settings(path: Path) -> Settings:
    """The settings in a JSON file; the method's numbers where it does not exist or does not name them.

    Raises `UserError` where the file is not an object of known settings, each a number above 0.
    """
    try:
        given = read_json(path, _LARGEST)
    except FileNotFoundError:
        return Settings()
    known = [field.name for field in fields(Settings)]
    if not isinstance(given, dict) or not set(given) <= set(known):
        raise UserError(f"{path}: expected an object with {', '.join(known)}, received {given}")
    for name, value in given.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and 0 < value < math.inf):
            raise UserError(f"{path}: {name} is {value!r}, expected a number above 0")
    return Settings(**given)


def settings_text(settings: Settings) -> str:
    """The JSON that `read_settings` reads."""
    return json.dumps(asdict(settings), indent=1) + "\n"
