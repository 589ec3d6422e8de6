"""The demo's order of stages, and what it does when one of them fails."""

import json
import os
import signal
import time

import pytest
from processes import end_of, gone_within_seconds, start

import demo


@pytest.fixture
def chains(monkeypatch, tmp_path):
    """Put small scripts in the place of the stages; returns the folder where they stand."""

    def put(*described):
        made = []
        for name, after, sources in described:
            stages = []
            for number, source in enumerate(sources):
                (tmp_path / f"{name}{number}.py").write_text(source)
                stages.append(f"{name}{number}.py")
            made.append(demo.Chain(name, after, tuple(stages)))
        monkeypatch.setattr(demo, "HERE", tmp_path)
        monkeypatch.setattr(demo, "CHAINS", tuple(made))
        monkeypatch.setattr(demo, "STAGES", tuple(stage for c in made for stage in c.stages))
        return tmp_path

    return put


def test_a_chain_waits_for_those_it_needs():
    names = [chain.name for chain in demo.CHAINS]
    for number, chain in enumerate(demo.CHAINS):
        assert set(chain.after) <= set(names[:number])


SAY = "import sys; open('said', 'a').write(sys.argv[0].split('/')[-1] + ' ')"


def test_order_of_chains(chains, capsys):
    root = chains(("a", (), (SAY, SAY)), ("b", ("a",), (SAY,)), ("c", ("a", "b"), (SAY,)))
    demo.Runner(root, "smoke").run(jobs=2)
    assert (root / "said").read_text().split() == ["a0.py", "a1.py", "b0.py", "c0.py"]
    out = capsys.readouterr().out
    assert "[ 1/4] a0 ..." in out
    assert "[ 4/4] c0: " in out


def test_side_by_side(chains):
    wait_for_the_other = (
        "import pathlib, sys, time\n"
        "me = pathlib.Path(sys.argv[0]).stem; other = {'a0': 'b0', 'b0': 'a0'}[me]\n"
        "pathlib.Path(me).touch()\n"
        "while not pathlib.Path(other).exists(): time.sleep(.01)\n"
    )
    root = chains(("a", (), (wait_for_the_other,)), ("b", (), (wait_for_the_other,)))
    demo.Runner(root, "smoke").run(jobs=2)


def test_failure_stops_the_others(chains, capsys):
    root = chains(
        ("a", (), ("print('broken'); raise SystemExit(3)",)),
        ("b", (), ("import time; time.sleep(600)", SAY)),
        ("c", ("a",), (SAY,)),
    )
    begin = time.monotonic()
    with pytest.raises(SystemExit) as stopped:
        demo.Runner(root, "smoke").run(jobs=2)
    assert stopped.value.code == 3
    assert time.monotonic() - begin < 300
    assert not (root / "said").exists()
    out = capsys.readouterr().out
    assert "a0: failed\nbroken\n" in out
    assert "b0: failed" not in out


# The demo itself, with small scripts in the place of its stages.
DEMO = """
import json, sys
from pathlib import Path
import demo
from whales.stages.stage import run
demo.HERE = root = Path(sys.argv[1])
demo.CHAINS = tuple(demo.Chain(name, (), (f"{name}.py",)) for name in json.loads(sys.argv[2]))
demo.STAGES = tuple(stage for chain in demo.CHAINS for stage in chain.stages)
demo.log_scores = lambda workspace: (1.0, 1.0)
run(lambda: demo.main(["--root", str(root), "--jobs", "2"]))
"""
# A stage that keeps what it had when it was stopped, and how often it was told so.
KEEPS = """
import sys, time
from pathlib import Path
from whales.base import stopping
from whales.stages.stage import run
name = Path(sys.argv[0]).stem
on_signal = stopping._on_signal
def counting(number, frame):
    with open(name + ".told", "a") as told: told.write(str(int(number)) + " ")
    on_signal(number, frame)
stopping._on_signal = counting
def main():
    if Path(name + ".kept").exists():
        return
    with stopping.Hold() as hold:
        hold.begin()
        Path(name + ".begun").touch()
        while not stopping.requested(): time.sleep(.01)
        time.sleep(.5)
        Path(name + ".kept").touch()
run(main)
"""
NEVER_ENDS = "import time, pathlib; pathlib.Path('b.begun').touch()\nwhile True: time.sleep(.1)"


def demo_of(root, **stages):
    """Start the demo on a root with stages of these sources, as many chains; wait until all are at work."""
    (root / "data").mkdir(exist_ok=True)
    (root / "data/train.csv").touch()
    for name, source in stages.items():
        (root / f"{name}.py").write_text(source)
    return start(DEMO, str(root), json.dumps(list(stages)))


def wait_for_files(process, *paths):
    while not all(path.exists() for path in paths):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_passed_on_once_and_waited_for(tmp_path, number):
    process = demo_of(tmp_path, a=KEEPS, b=KEEPS)
    wait_for_files(process, tmp_path / "a.begun", tmp_path / "b.begun")
    code, lines = end_of(demo_of(tmp_path, a=KEEPS, b=KEEPS))
    assert code == 2
    assert lines[0].startswith(f"error: the demo in {tmp_path} is at work already: ")
    os.killpg(process.pid, number)  # as Ctrl-C does
    code, lines = end_of(process)
    assert code == 128 + number
    assert len(lines) == 1
    assert lines[0].startswith(f"stopped by {number.name}: the stages that ran have kept")
    for name in ("a", "b"):
        assert (tmp_path / f"{name}.told").read_text().split() == [str(int(number))]
        assert (tmp_path / f"{name}.kept").exists()
    assert end_of(demo_of(tmp_path, a=KEEPS, b=KEEPS)) == (0, [])


def test_a_second_signal_ends_the_stages_too(tmp_path):
    ignores = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + NEVER_ENDS
    process = demo_of(tmp_path, b=ignores)
    wait_for_files(process, tmp_path / "b.begun")
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    gone_within_seconds(process.pid)
