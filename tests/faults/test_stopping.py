"""Signals: a process ends where nothing is lost, in one line, with 128 + signal, and leaves no process."""

import os
import signal
import time

import pytest
from processes import alive, end_of, gone_within_seconds, start, wait_for

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")

BEGIN = """
import sys, time
from whales.base import stopping
from whales.stages.stage import run
def ready():
    print("ready", flush=True)
"""

# What the main thread is at when the signal comes.
WAITING = "def main():\n    ready()\n    time.sleep(600)"
COMPUTING = "def main():\n    ready()\n    while True: sum(range(1000))"
# The import of a module in Python that itself hides every error.
IMPORTING = """
import pathlib, tempfile
folder = tempfile.mkdtemp()
pathlib.Path(folder, "slow_module.py").write_text(
    "import time, __main__\\n__main__.ready()\\nend = time.monotonic() + 1\\n"
    "while time.monotonic() < end: time.sleep(.01)\\n"
)
def main():
    sys.path.insert(0, folder)
    try:
        import slow_module
    except BaseException:
        print("an import was broken", file=sys.stderr)
        raise
    time.sleep(600)
"""
DELETING = """
class Slow:
    def __del__(self):
        ready()
        time.sleep(1)
def main():
    Slow()
    time.sleep(600)
"""
IN_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from whales.base.concurrency import read_ahead
def main():
    ready()
    for _ in read_ahead(lambda _: time.sleep(.05), range(100_000), 4): pass
"""
SWALLOWED = """
stopping._GRACE = .3
def main():
    ready()
    while True:
        try: time.sleep(600)
        except BaseException: pass
"""
MOMENTS = {
    "waiting": WAITING,
    "computing": COMPUTING,
    "importing": IMPORTING,
    "deleting": DELETING,
    "in threads": IN_THREADS,
    "swallowed": SWALLOWED,
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_stage_whatever_it_is_at(moment, number):
    process = start(f"{BEGIN}{MOMENTS[moment]}\nrun(main)")
    wait_for(process, "ready")
    process.send_signal(number)
    code, lines = end_of(process)
    assert code == 128 + number
    assert len(lines) == 1
    assert lines[0].startswith(f"stopped by {number.name}: ")


HELD = """
from pathlib import Path
def main():
    with stopping.Hold() as hold:
        hold.begin()
        ready()
        time.sleep({seconds})
        Path(sys.argv[1]).write_text("whole")
        stopping.would_keep("the file is kept")
    Path(sys.argv[1]).write_text("went on")
run(main)
"""


def test_a_hold_ends_whole_and_twice_the_same_stop_is_one(tmp_path):
    """`timeout` sends its signal to the process, and at once to the group."""
    process = start(BEGIN + HELD.format(seconds=1.5), str(tmp_path / "file"))
    wait_for(process, "ready")
    os.kill(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    code, lines = end_of(process)
    assert code == 130
    assert len(lines) == 1
    assert "the file is kept" in lines[0]
    assert (tmp_path / "file").read_text() == "whole"


WORKERS = """
from concurrent.futures import ProcessPoolExecutor
from whales.base import concurrency
def main():
    context = concurrency.fresh_processes([])
    pool = ProcessPoolExecutor(2, context, concurrency.follow_parent)
    try:
        with stopping.Hold() as hold:
            if {held}: hold.begin()
            waiting = [concurrency.begin_call(pool, time.sleep, s) for s in (0, 0, 600, 600)]
            waiting[1].result()
            ready()
            waiting[2].result()
    finally:
        concurrency.end_processes(pool, at_once=bool(stopping.requested()))
run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_leave_a_signal_to_their_parent_and_end_with_it(number):
    process = start(BEGIN + WORKERS.format(held=False))
    wait_for(process, "ready")
    assert len(alive(process.pid)) == 5  # two workers, and Python's two helpers
    os.killpg(process.pid, number)  # as Ctrl-C and `timeout` do
    code, lines = end_of(process)
    assert code == 128 + number
    assert len(lines) == 1


def test_a_second_signal_ends_at_once():
    process = start(BEGIN + WORKERS.format(held=True))
    wait_for(process, "ready")
    os.killpg(process.pid, signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None  # it waits for its workers, which are alive
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 143
    assert len(errors) == 1
    gone_within_seconds(process.pid)


def test_a_killed_process_takes_its_workers_along_without_a_word():
    process = start(BEGIN + WORKERS.format(held=False))
    wait_for(process, "ready")
    process.kill()
    assert process.communicate(timeout=60)[1] == ""
    gone_within_seconds(process.pid)


def test_a_signal_that_nohup_ignores_stays_ignored():
    process = start(f"{BEGIN}{WAITING}\nrun(main)", before=("nohup",))
    wait_for(process, "ready")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    code, lines = end_of(process)
    assert code == 143
    assert lines[-1].startswith("stopped by SIGTERM")


def test_a_fault_on_the_way_to_a_stop_is_said_as_such():
    fault = """
from whales.base.errors import UserError
def main():
    with stopping.Hold() as hold:
        hold.begin()
        ready()
        while not stopping.requested(): time.sleep(.01)
        raise UserError("the disk is full")
run(main)
"""
    process = start(BEGIN + fault)
    wait_for(process, "ready")
    process.send_signal(signal.SIGINT)
    assert end_of(process) == (2, ["error: the disk is full"])


def test_handlers_are_put_back_where_nothing_stopped():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    from whales.stages.stage import run

    run(lambda: None)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
