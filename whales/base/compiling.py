"""Loops compiled by Numba, the compiled code kept for later processes where there is a place for it."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache

from whales.base.writing import for_speed_alone

_DAMAGED = (
    EOFError, pickle.UnpicklingError, ValueError, TypeError, AttributeError, ImportError, IndexError,
    KeyError,
)  # fmt: skip


class _Cache(FunctionCache):
    """Numba's cache; a full disk, a place without rights and a torn file cost the time to compile."""

    def load_overload(self, *arguments: object) -> object:
        """The compiled code of a signature; None where none is kept, or it is damaged."""
        try:
            return super().load_overload(*arguments)
        except (OSError, *_DAMAGED):
            with contextlib.suppress(OSError):
                self.flush()  # else the damaged index would keep all new code out
            return None

    def save_overload(self, *arguments: object) -> None:
        """Keep the compiled code of a signature, if that can be."""
        with for_speed_alone("compiled loops"), contextlib.suppress(*_DAMAGED):
            super().save_overload(*arguments)


def cached_njit(**options: Any) -> Callable[[Callable], Callable]:
    """Decorator of a function that Numba compiles and keeps; options: of `numba.njit` but `cache`."""

    def decorate(function: Callable) -> Callable:
        dispatcher: Any = numba.njit(**options)(function)
        # No folder for it can be written to, neither the package's nor the user's.
        with contextlib.suppress(RuntimeError, OSError):
            dispatcher._cache = _Cache(function)
        return dispatcher

    return decorate
