"""One GPU for each stage: numbers, and who has which."""

import subprocess
import sys
import threading
import time

import pytest

from whales.base.errors import UserError
from whales.stages.gpu_slots import gpu_numbers, gpu_of_ones_own
from whales.stages.graph import is_switched_on


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_numbers_of_the_machine_or_those_that_are_named(tmp_path, monkeypatch):
    for name in ("nvidia10", "nvidia2", "nvidia0", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert gpu_numbers(tmp_path) == ["0", "2", "10"]
    assert gpu_numbers(tmp_path / "none") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 1")
    assert gpu_numbers(tmp_path) == ["3", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_numbers(tmp_path) == []


def test_no_two_have_the_same():
    with gpu_of_ones_own(["0", "1"]) as (first, _):
        with gpu_of_ones_own(["0", "1"]) as (second, _):
            assert (first, second) == ("0", "1")
        with gpu_of_ones_own(["0", "1"]) as (third, _):
            assert third == "1"
    with gpu_of_ones_own(["0", "1"]) as (fourth, _):
        assert fourth == "0"


def test_one_is_waited_for(capsys):
    got = []

    def take():
        with gpu_of_ones_own(["0"]) as (number, _):
            got.append(number)

    with gpu_of_ones_own(["0"]):
        other = threading.Thread(target=take)
        other.start()
        time.sleep(0.2)
        assert got == []
    other.join(30)
    assert got == ["0"]
    assert capsys.readouterr().out == "waiting for one of the GPUs 0\n"


def test_it_is_given_back_by_a_killed_process(tmp_path):
    code = """
import sys, tempfile
tempfile.gettempdir = lambda: sys.argv[1]
from whales.stages.gpu_slots import gpu_of_ones_own
with gpu_of_ones_own(["0"]) as (number, _):
    print(number, flush=True)
    sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "0\n"
    with gpu_of_ones_own(["0", "1"]) as (number, _):
        assert number == "1"
    holder.kill()
    holder.communicate()
    with gpu_of_ones_own(["0", "1"]) as (number, _):
        assert number == "0"


def test_it_stays_with_the_stage_whatever_becomes_of_its_wrapper(tmp_path):
    stage = [sys.executable, "-c", "print(1, flush=True); import sys; sys.stdin.read()"]
    with gpu_of_ones_own(["0"]) as (_, lock):
        running = subprocess.Popen(
            stage, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[lock]
        )
        assert running.stdout.readline()
    with gpu_of_ones_own(["0", "1"]) as (number, _):  # as if the wrapper had been killed
        assert number == "1"
    running.communicate(b"")
    with gpu_of_ones_own(["0", "1"]) as (number, _):
        assert number == "0"


@pytest.mark.parametrize(
    ("text", "on"),
    [("true", True), (True, True), ("1", True), ("false", False), ("False", False), ("", False)],
)
def test_a_setting_comes_as_text(text, on):
    assert is_switched_on("hand_out_gpus", {"hand_out_gpus": text}) is on
    assert not is_switched_on("hand_out_gpus", {})
    with pytest.raises(UserError, match="true or false, received maybe"):
        is_switched_on("hand_out_gpus", {"hand_out_gpus": "maybe"})


def test_a_machine_without_gpus_is_refused():
    with pytest.raises(UserError, match="no GPU to hand out"), gpu_of_ones_own([]):
        pass
