"""The demo: what it says, what it does when a stage fails, and how it stops."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from processes import alive, end_of, gone_within_seconds, start
from proof import quick_stage

PROOF = Path(quick_stage.__file__)
PYTHON = f"{sys.executable} {PROOF}"
V5 = "siamese_net_v5_densenet121.r10_seamese_net_warmstart_from_scratch_224px"
V6 = "siamese_net_v6_se_resnext.r11_seamese_net_warmstart_from_scratch_224px"
# The demo itself, with stages that are over in a moment, and the scores of no net.
DEMO = """
import sys
import demo
from whales.stages.stage import run
original = demo.run_stages
demo.run_stages = lambda workspace, profile, jobs: original(workspace, profile, jobs, sys.argv[2])
demo.log_scores = lambda workspace: (1.0, 1.0)
demo.heed_interrupts()
run(lambda: demo.main(["--root", sys.argv[1], "--jobs", "2"]))
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A root of which all is done that comes before the nets; the first stages of v5 and v6 are to run."""
    monkeypatch.setenv("WHALES_ROOT", str(tmp_path / "root"))
    root = quick_stage.make_root(tmp_path / "root")
    quick_stage.by_hand(root, "smoke", until="r10_create_kfold_split.py", marked=True)
    return root


def demo_of(root, **more):
    return start(DEMO, str(root), PYTHON, **more)


def waiting(root, *keys):
    """Have stages wait, as in a long training."""
    for key in keys:
        (root / f"quick/{key}.wait").touch()


def wait_for_begin(process, root, *keys):
    while not all((root / f"quick/{key}.begun").exists() for key in keys):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_progress_failure_and_going_on(root):
    """One stage fails and stops the other; the next run goes on and says what is up to date."""
    waiting(root, V6)
    (root / f"quick/{V5}.fail").write_text("photo a.jpg is broken")
    (root / "quick/kernel_snn.kfold_splits_for_kernel.fail").write_text("not reached")
    process = demo_of(root)
    output, errors = process.communicate(timeout=300)
    name = V5.split(".")[1]
    assert process.returncode == 2, errors
    assert "[ 1/22] r10_create_csv_for_retinanet: up to date\n" in output
    assert f"[ 7/22] {name} ...\n" in output
    assert f"[ 7/22] {name}: failed\nerror: photo a.jpg is broken\nits whole output: " in output
    assert f"{V6.split('.')[1]}: failed" not in output
    if (root / f"quick/{V6}.begun").exists():
        assert (root / f"quick/{V6}.kept").exists()  # it was stopped, not killed
    log = root / f"logs/demo/{name}.log"
    assert log.read_text().endswith("error: photo a.jpg is broken\n")
    assert alive(process.pid) == []
    for path in (root / "quick").glob("*.[fw]a*"):
        path.unlink()
    process = demo_of(root)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, (output, errors)
    assert "[22/22] final_ensemble_with_post_proc: " in output
    assert (root / "submission/final_submit_with_post_proc.csv").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_passed_on_once_and_waited_for(root, number):
    waiting(root, V5, V6)
    process = demo_of(root)
    wait_for_begin(process, root, V5, V6)
    code, lines = end_of(demo_of(root))
    assert code == 2
    assert lines[0].startswith(f"error: the demo in {root} is at work already: ")
    begun = set((root / "quick").glob("*.begun"))
    os.killpg(process.pid, number)  # as Ctrl-C does
    code, lines = end_of(process)
    assert code == 128 + number
    assert len(lines) == 1
    assert lines[0].startswith(f"stopped by {number.name}: the stages that ran have kept")
    for key in (V5, V6):
        assert (root / f"quick/{key}.told").read_text().split() == [str(int(number))]
        assert (root / f"quick/{key}.kept").exists()
    assert set((root / "quick").glob("*.begun")) == begun  # no stage was begun meanwhile


def test_an_interrupt_is_heeded_in_the_background_too(root):
    """A shell starts `demo &` with the signal ignored."""
    waiting(root, V5, V6)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = demo_of(root)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    wait_for_begin(process, root, V5, V6)
    process.send_signal(signal.SIGINT)
    code, lines = end_of(process)
    assert code == 130
    assert lines[0].startswith("stopped by SIGINT: ")
    assert (root / f"quick/{V5}.told").read_text().split() == ["2"]


def test_a_second_signal_ends_the_stages_too(root):
    waiting(root, V5, V6)
    (root / f"quick/{V5}.stubborn").touch()
    process = demo_of(root)
    wait_for_begin(process, root, V5, V6)
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    gone_within_seconds(process.pid)


def test_a_fault_of_snakemake_is_one_line(root):
    (root / "cache/workflow/.snakemake").write_text("no folder")
    code, lines = end_of(demo_of(root))
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: Snakemake failed (")
    assert lines[0].endswith(f"its whole output: {root}/logs/demo/snakemake.log")
