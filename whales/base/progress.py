"""How far long work has come: a bar on a terminal, a line now and then where output goes to a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from whales.base.console import is_quiet, log

# Seconds between two lines where there is no terminal; shorter work says nothing there.
_PAUSE = 30


def progress_bar(
    what: str | None, total: int, unit: str = "photo", items: Iterable[Any] | None = None
) -> tqdm:
    """A tqdm bar that counts to `total`, over `items` if given; silent without `what` or with --quiet."""
    options = {"iterable": items, "total": total, "desc": what, "unit": unit, "leave": False}
    if not what or is_quiet():
        return tqdm(**options, disable=True)
    if sys.stderr.isatty():
        return tqdm(**options)
    return _Lines(**options, mininterval=_PAUSE, maxinterval=_PAUSE)


class _Lines(tqdm):
    """Plain lines in place of a bar that draws over itself."""

    def display(self, *_: Any, **__: Any) -> bool:
        """Say how many are done, unless none are."""
        if self.n:
            share = f" ({self.n / self.total:.0%})" if self.total else ""
            log(f"{self.desc}: {self.n:,} of {self.total:,} {self.unit}s{share}")
        return True

    def close(self) -> None:
        """End without the carriage return that clears a bar."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)
