"""Work done ahead of whoever takes its results: in order, and only a few items ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Iterator[Result]:
    """Results in the order of items, at most `most` begun before they are wanted."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`read` of every item, in order, by threads of their own that run only a few items ahead."""
    with ThreadPoolExecutor(workers) as pool:
        yield from ahead(pool, read, items, 2 * workers)
