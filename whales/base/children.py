"""Programs that end before the process that started them: a stop is passed on to them and waited for."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self

from whales.base import stopping


class Children:
    """Programs in groups of their own, so that Ctrl-C, which reaches whole groups, comes to them once."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen] = set()
        self._ending = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        stopping.at_once(self.kill)
        return self

    def __exit__(self, *_: object) -> None:
        self.end(stopping.requested() or signal.SIGTERM)
        self._pool.shutdown()

    def run(
        self,
        command: Sequence[str],
        output: IO[str] | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        keep: Sequence[int] = (),
    ) -> int:
        """Run a program to its end; its exit code, 128 + signal where a signal ended it.

        output: takes what it prints and its errors; None leaves them where they are; folder: it runs in;
        keep: descriptors that it has too.
        """
        # In a thread: a stop, which rises in the main thread, cannot come between a start and its note.
        return self._pool.submit(self._run, command, output, environment, folder, keep).result()

    def _run(
        self,
        command: Sequence[str],
        output: IO[str] | None,
        environment: Mapping[str, str] | None,
        folder: Path | None,
        keep: Sequence[int],
    ) -> int:
        with self._lock:
            if self._ending:
                return 128 + self._ending
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output and subprocess.STDOUT,
                env=environment,
                cwd=folder,
                process_group=0,
                pass_fds=keep,
            )
            self._running.add(process)
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code if code >= 0 else 128 - code

    def end(self, number: int) -> None:
        """Send a signal to what runs, begin nothing more, and wait."""
        with self._lock:
            self._ending = number
            running = list(self._running)
        for process in running:
            process.send_signal(number)
        for process in running:
            process.wait()

    def kill(self) -> None:
        """Kill what runs, without waiting."""
        for process in list(self._running):
            process.kill()
