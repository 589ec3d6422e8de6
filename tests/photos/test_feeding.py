"""Worker processes of a feed: they end with the process that started them."""

import os
import signal
import subprocess
import sys
import time

import pytest

BUSY = """
import os, sys
from pathlib import Path
from whales.photos.feeding import PhotoFeed

if __name__ == "__main__":
    feed = PhotoFeed(Path, {}, 8)
    print(feed.submit(os.getpid).result(), flush=True)
    feed.submit(sum, range(10**12))  # one call into C, which never lets another thread run
    sys.stdin.read()
"""


def runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal is Linux's")
def test_a_worker_that_holds_the_interpreter_ends_with_a_killed_parent(repository, tmp_path):
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository)},
        text=True,
    )
    worker = int(parent.stdout.readline())
    time.sleep(0.5)  # until the worker has taken its endless task
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    patience = time.monotonic() + 20
    while runs(worker) and time.monotonic() < patience:
        time.sleep(0.05)
    survived = runs(worker)
    if survived:
        os.kill(worker, signal.SIGKILL)
    assert not survived
