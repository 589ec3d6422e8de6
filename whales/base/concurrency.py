"""Work begun before its results are asked for: results in order, only a few items in advance."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], limit: int
) -> Iterator[Result]:
    """`function` of every item, in order, computed by `pool`.

    limit: so many calls at most are begun before their results are asked for. A call's exception is
    raised where its result would come; calls that have not begun by then are cancelled.

    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(map_ahead(pool, abs, [-1, 2, -3], limit=2))
    [1, 2, 3]
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`read` of every item, in order, by `workers` threads that run two items each in advance."""
    with ThreadPoolExecutor(workers) as pool:
        yield from map_ahead(pool, read, items, limit=2 * workers)
