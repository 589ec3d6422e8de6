"""Two processes at one thing: the second is told who is first, and a lock dies with its process."""

import errno
import json
import os
import signal
import threading
import time

import pytest
from processes import end_of, start, wait_for

from whales.base import locks
from whales.base.errors import UserError
from whales.files.workspace import Workspace
from whales.stages.job import Job
from whales.stages.options import RunOptions

# A stage that writes its output, then waits until it may end.
STAGE = """
import sys, time
from pathlib import Path
from whales.files.workspace import Workspace
from whales.stages.job import Job
from whales.stages.options import RunOptions
from whales.stages.stage import run
def main():
    root = Path(sys.argv[1])
    options = RunOptions(Workspace(root), force="force" in sys.argv)
    job = Job(options, "/pages/stage.py", [root / "in"], [root / "out"], numbers={}, fold=3)
    if job.up_to_date():
        return
    print("ready", flush=True)
    while not (root / "end").exists(): time.sleep(.02)
    (root / "out").write_text("done")
    job.done()
run(main)
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "in").write_text("x")
    return tmp_path


def test_the_second_start_of_a_stage_is_refused_with_who_runs_it(root):
    first = start(STAGE, str(root))
    wait_for(first, "ready")
    code, lines = end_of(start(STAGE, str(root)))
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: stage fold 3 is at work already: ")
    assert f"process {first.pid} on {os.uname().nodename}, since 20" in lines[0]
    assert not (root / "out").exists()
    (root / "end").touch()
    assert end_of(first) == (0, [])
    assert end_of(start(STAGE, str(root))) == (0, [])  # up to date
    assert end_of(start(STAGE, str(root), "force")) == (0, [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_a_lock_lives_as_long_as_its_process(root, number):
    first = start(STAGE, str(root))
    wait_for(first, "ready")
    first.send_signal(number)
    if number == signal.SIGSTOP:  # it is alive, though it does nothing
        code, lines = end_of(start(STAGE, str(root)))
        assert (code, len(lines)) == (2, 1)
        first.kill()
    first.communicate()
    (root / "end").touch()
    assert end_of(start(STAGE, str(root))) == (0, [])
    assert (root / "out").read_text() == "done"


def test_of_many_starts_at_once_one_works_and_the_others_lose_nothing(root):
    (root / "end").touch()
    ends = [end_of(process) for process in [start(STAGE, str(root), "force") for _ in range(6)]]
    assert {code for code, _ in ends} <= {0, 2}
    assert 0 in {code for code, _ in ends}
    assert all("is at work already" in line for code, lines in ends if code for line in lines)


@pytest.fixture
def quick(monkeypatch):
    """Renewals and watches that take moments, and no lock left behind."""
    monkeypatch.setattr(locks, "RENEWAL", 0.05)
    monkeypatch.setattr(locks, "WATCH", 0.5)
    monkeypatch.setattr(locks, "_AGAIN", 0.05)
    yield
    locks.release_all()


def left_by(machine, path):
    """A lock's file as a holder on a machine leaves it that ends suddenly."""
    holder = {"machine": machine, "host": "far", "process": 7, "since": "then", "claim": "c"}
    path.write_text(json.dumps(holder))


@pytest.mark.usefixtures("quick")
def test_a_holder_of_another_host_counts_while_its_file_is_renewed(tmp_path, capsys):
    """Where locks do not reach other hosts, as with local locks of a network file system."""
    path = tmp_path / "a.lock"
    left_by("another", path)
    stop = threading.Event()

    def renew():
        while not stop.wait(0.05):
            os.utime(path)

    holder = threading.Thread(target=renew)
    holder.start()
    with pytest.raises(UserError, match="a is at work already: process 7 on far, since then"):
        locks.take(path, "a")
    stop.set()
    holder.join()
    locks.take(path, "a")
    assert "looking" in capsys.readouterr().out
    assert json.loads(path.read_text())["process"] == os.getpid()
    before = path.stat().st_mtime_ns
    end = time.monotonic() + 30
    while path.stat().st_mtime_ns == before:  # now this process renews it
        assert time.monotonic() < end
        time.sleep(0.02)
    locks.release(path)
    assert path.read_text() == ""


@pytest.mark.usefixtures("quick")
def test_a_holder_long_silent_or_of_this_machine_is_not_waited_for(tmp_path, capsys):
    path = tmp_path / "a.lock"
    left_by(locks._machine(), path)
    locks.take(path, "a")
    locks.release(path)
    left_by("another", path)
    os.utime(path, (time.time() - 1e5,) * 2)
    locks.take(path, "a")
    locks.release(path)
    path.write_bytes(b"\xff{damaged")
    locks.take(path, "a")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("quick")
def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    path = tmp_path / "a.lock"
    left_by("another", path)  # and is not renewed
    locks.take(path, "a")
    other = dict(locks._held)
    locks._held.clear()  # as another process sees it
    with pytest.raises(UserError, match="a is at work already"):
        locks.take(path, "a")
    locks._held.update(other)
    locks.release(path)
    locks.take(path, "a")


def test_a_root_that_cannot_hold_locks_is_no_reason_to_stop(root, capsys):
    (root / "cache").mkdir()
    (root / "cache/locks").write_text("a file where the folder should be")
    job = Job(RunOptions(Workspace(root)), "/pages/stage.py", [], [root / "out"], numbers={})
    assert not job.up_to_date()
    assert "no lock" in capsys.readouterr().out


TURNS = """
import sys, time
from pathlib import Path
from whales.base import locks
path = Path(sys.argv[1])
for _ in range(20):
    with locks.in_turn(path.with_suffix(".lock"), "counting"):
        count = int(path.read_text())
        time.sleep(.002)
        path.write_text(str(count + 1))
"""


def test_what_several_stages_write_is_written_in_turn(tmp_path):
    path = tmp_path / "count"
    path.write_text("0")
    ends = [end_of(process) for process in [start(TURNS, str(path)) for _ in range(3)]]
    assert ends == [(0, [])] * 3
    assert path.read_text() == "60"


DIGESTS = """
import sys
from pathlib import Path
from whales.files.workspace import Workspace
root = Path(sys.argv[1])
for name in sys.argv[2:]:
    digests = Workspace(root).digests
    digests.of(root / name)
    digests.remember()
"""


def test_digests_that_two_stages_learn_at_once_are_all_remembered(tmp_path):
    names = [f"file{number}" for number in range(12)]
    for name in names:
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1e9, 1e9))
    time.sleep(2.1)  # a file changed just now may change again unseen
    ends = [
        end_of(process)
        for process in [start(DIGESTS, str(tmp_path), *names[i::3]) for i in range(3)]
    ]
    assert ends == [(0, [])] * 3
    assert set(json.loads((tmp_path / "cache/digests.json").read_text())) == set(names)
