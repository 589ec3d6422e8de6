"""Stages in sessions of their own, so that every process that they leave behind is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def start(code: str, *arguments: str, before: tuple[str, ...] = (), **environment: str):
    """Python code in a process and session of its own; before: a command that starts Python."""
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [*before, sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process, line):
    """Read the process's output up to a line that begins so; the process must not end before."""
    for said in process.stdout:
        if said.startswith(line):
            return
    raise AssertionError(process.communicate()[1])


def end_of(process):
    """Wait for the end: exit code, and the lines on stderr.

    Nothing that it started may be alive then.
    """
    errors = process.communicate(timeout=300)[1]
    assert alive(process.pid) == []
    return process.returncode, errors.splitlines()


def alive(session: int) -> list[str]:
    """Command lines of the processes of a session; those that wait to be buried are not alive."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, owner = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:4]
            if int(owner) == session and state not in "ZX":
                found.append((folder / "cmdline").read_bytes().decode(errors="replace"))
        except (OSError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


def gone_within_seconds(session: int) -> None:
    """Wait until no process of a session is alive."""
    end = time.monotonic() + 60
    while alive(session):
        assert time.monotonic() < end, alive(session)
        time.sleep(0.02)
