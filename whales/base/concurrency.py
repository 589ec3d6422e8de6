"""Work begun before its results are asked for: results in order, only a few items in advance.

Worker processes end with their parent, and with nothing else: a signal to the whole group, as Ctrl-C
sends it, is the parent's to answer, who may still need what they make.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import TypeVar

from whales.base.stopping import SIGNALS, Hold

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
) -> Generator[Result, None, None]:
    """`read` of every item, in order, by `workers` threads that run two items each in advance."""
    with ThreadPoolExecutor(workers) as pool:
        yield from map_ahead(pool, read, items, limit=2 * workers)


def fresh_processes(preload: Sequence[str]) -> BaseContext:
    """A context whose processes start from a fresh one: a fork of a process with TensorFlow can hang.

    preload: modules that they find loaded. Call `follow_parent` in each process.
    """
    if os.name != "posix":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    # Python's own helpers keep blocked what is blocked now; theirs is the time before handlers stand.
    with _blocked_signals():
        with _no_leak_warnings():
            resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the call above frees two of them
        forkserver.ensure_running()
    return context


def begin_call(
    pool: Executor, function: Callable[..., Result], *arguments: object
) -> Future[Result]:
    """`pool.submit`, which may start a process: a stop waits until that is started whole."""
    with Hold() as hold:
        hold.begin()
        return pool.submit(function, *arguments)


def end_processes(pool: ProcessPoolExecutor, at_once: bool) -> None:
    """End the processes of a pool of `fresh_processes`; `at_once`: whatever they are at."""
    pool.shutdown(wait=not at_once, cancel_futures=True)
    for process in multiprocessing.active_children() if at_once else ():
        process.kill()
        process.join()


def end_helpers() -> None:
    """End the processes that Python itself keeps for `fresh_processes`, and wait for them.

    Else they would end a moment after this process.
    """
    gc.collect()  # of pools that have ended: their semaphores are given back first
    for helper in (forkserver._forkserver, resource_tracker._resource_tracker):
        helper._stop()  # pyright: ignore[reportAttributeAccessIssue]


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _no_leak_warnings() -> Iterator[None]:
    """Of a process that was killed the tracker sweeps the semaphores away; it need not say so."""
    name, before = "PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS")
    quiet = "ignore::UserWarning:multiprocessing.resource_tracker"
    os.environ[name] = f"{before},{quiet}" if before else quiet
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def follow_parent() -> None:
    """Let this worker process end with its parent, even a killed one, and at no signal but its."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("a worker process is started by `fresh_processes`")
    sentinel = parent.sentinel

    def follow() -> None:
        wait([sentinel])
        os._exit(1)

    def obey() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:
            pass  # another process's signal is for the stage, which decides
        os._exit(1)

    if sys.platform == "linux":
        import fcntl

        # While an assignment holds the interpreter the thread cannot run; a signal ends the process.
        fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(sentinel, fcntl.F_GETFL)
        fcntl.fcntl(sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
    threading.Thread(target=follow, daemon=True).start()
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=obey, daemon=True).start()
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
