"""When a training keeps where it stands: after every epoch, and within one by time or for a stop."""

from __future__ import annotations

import os
import time

from whales.base.errors import UserError
from whales.base.numbers import as_number
from whales.base.stopping import requested

# Seconds between two checkpoints within an epoch, unless the environment has another value.
SECONDS = 600.0
VARIABLE = "WHALES_CHECKPOINT_SECONDS"


class CheckpointClock:
    """Says whether a checkpoint is due; `UserError` for a wrong value in the environment."""

    def __init__(self) -> None:
        text = os.environ.get(VARIABLE) or str(SECONDS)
        self._seconds = as_number(text)
        if not self._seconds >= 0:
            raise UserError(f"{VARIABLE} is a number of seconds from 0, received {text!r}")
        self.reset()

    def reset(self) -> None:
        """A checkpoint has just been written, or the one that was read stands for now."""
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether a stop was asked for, or the last checkpoint is too old."""
        return bool(requested()) or time.monotonic() - self._last >= self._seconds
