"""Progress of long work: a bar on a terminal, a line every half minute where output goes to a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tqdm import tqdm

from whales.base.console import is_quiet, log
from whales.base.errors import shown

# Seconds between two lines where there is no terminal; shorter work prints nothing there.
_PAUSE = 30


def progress_bar(
    name: str | None, total: int, unit: str = "photo", items: Iterable[object] | None = None
) -> tqdm:
    """A tqdm bar that counts to `total`.

    name: what the work is called, None for a silent bar, as with --quiet; unit: the singular of what
    is counted; items: what to pass through, for a bar that is a loop's iterable.
    """
    options = {
        "iterable": items,
        "total": total,
        "desc": name and shown(name),
        "unit": unit,
        "leave": False,
    }
    if not name or is_quiet():
        return tqdm(**options, disable=True)
    if sys.stderr.isatty():
        return tqdm(**options)
    return _Lines(**options, mininterval=_PAUSE, maxinterval=_PAUSE)


class _Lines(tqdm):
    """Plain lines in place of a bar that draws over itself."""

    def display(self, *_: object, **__: object) -> bool:
        """Log how many are done, unless none are."""
        if self.n:
            share = f" ({self.n / self.total:.0%})" if self.total else ""
            more = f"; {self.postfix}" if self.postfix else ""
            log(f"{self.desc}: {self.n:,} of {self.total:,} {self.unit}s{share}{more}")
        return True

    def close(self) -> None:
        """End without the carriage return that clears a bar."""
        self.sp = None  # tqdm's printer: it writes that character
        super().close()
