"""One GPU for each stage of a machine, for engines that count GPUs and hand out no numbers."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from whales.base.console import log
from whales.base.errors import UserError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

_AGAIN = 1.0  # seconds between two looks


def gpu_numbers(devices: Path = Path("/dev")) -> list[str]:
    """The GPUs that this process may use: those that CUDA_VISIBLE_DEVICES names, else all of the machine."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [part.strip() for part in named.split(",") if part.strip()]
    numbers = [path.name.removeprefix("nvidia") for path in devices.glob("nvidia[0-9]*")]
    return sorted(filter(str.isdecimal, numbers), key=int)


@contextlib.contextmanager
def gpu_of_ones_own(numbers: list[str]) -> Iterator[tuple[str, int]]:
    """The number of a GPU that no other process has from here, and its lock's descriptor; one is waited for.

    It is given back at the block's end, or with the last process that has the descriptor. `UserError` where
    there are none.
    """
    if not numbers or fcntl is None:
        raise UserError("this machine has no GPU to hand out; leave hand_out_gpus out")
    # Of the machine, whatever the work root: two roots share its GPUs.
    folder = Path(tempfile.gettempdir()) / f"whales_gpus_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    waited = False
    while True:
        for number in numbers:
            with open(folder / f"{number}.lock", "a") as file:
                if _locked(file):
                    yield number, file.fileno()
                    return
        if not waited:
            log(f"waiting for one of the GPUs {', '.join(numbers)}")
        waited = True
        time.sleep(_AGAIN)


def _locked(file: IO[str]) -> bool:
    """Lock a file, if nobody else has it; the lock ends with the file or the process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
