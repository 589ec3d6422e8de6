"""How much the caches of photos may take: the most that the user allows, on a disk that keeps some free."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from pathlib import Path

from whales.base.errors import UserError
from whales.base.numbers import as_number

# Gigabytes (1e9 bytes) that each of the folders may take unless the user says otherwise.
MOST_GB = 50.0
# The variable that keeps the user's number: the worker processes inherit it.
VARIABLE = "WHALES_CACHE_GB"
# Nothing more is kept once less than this share of the disk is free.
LEAST_FREE = 0.1
# Bytes written between two looks at the folder, into which other processes write too.
_MEASURE = 1 << 28


def most_gb() -> float:
    """Gigabytes that each folder may take; `UserError` where the environment's number is none."""
    text = os.environ.get(VARIABLE)
    if not text:
        return MOST_GB
    number = as_number(text)
    if not 0 <= number < math.inf:
        raise UserError(f"{VARIABLE} takes a number of gigabytes, 0 for none; received {text}")
    return number


class CacheRoom:
    """Room in one folder, for one process; others may overdraw it by `_MEASURE` bytes each.

    fault: why nothing more is kept, in words; empty while there is room.
    """

    def __init__(self, folder: Path) -> None:
        """`UserError` as `most_gb`."""
        self._folder, self._most = folder, most_gb()
        self._used = 0  # bytes in the folder
        self._since = math.inf  # bytes written since it was measured
        self.fault = ""

    def allows(self, size: int) -> bool:
        """Whether so many more bytes may be written, which count from now on; once not, never again."""
        if self.fault:
            return False
        if self._since + size > _MEASURE:
            self._used, self._since = _bytes_of(self._folder), 0
        disk = shutil.disk_usage(self._folder)
        if self._used + size > self._most * 1e9:
            held = f"{self._folder} holds {self._used / 1e9:.1f}"
            self.fault = f"{held} of at most {self._most:g} GB ({VARIABLE})"
        elif disk.free - size < LEAST_FREE * disk.total:
            self.fault = f"less than {LEAST_FREE:.0%} of the disk of {self._folder} would be free"
        self._used, self._since = self._used + size, self._since + size
        return not self.fault


def _bytes_of(folder: Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += entry.stat(follow_symlinks=False).st_size
    return total
