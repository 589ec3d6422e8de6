"""What libraries say of themselves: held back, and shown with --verbose or by a process that fails."""

import signal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from processes import start

from whales.base.chatter import is_chatter

CHATTER = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795822320.034310   16450 cudart_stub.cc:31] Could not find cuda drivers on your machine",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the flags.",
    "E0000 00:00:1795822327.861507   16450 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error",
    "E0000 00:00:1731940131.104239    4083 cuda_dnn.cc:8310] Unable to register cuDNN factory: Attempting",
    "W0000 00:00:1731940131.104239    4083 gpu_device.cc:2344] Cannot dlopen some GPU libraries.",
    "2026-01-31 12:00:00.123456: I tensorflow/core/platform/cpu_feature_guard.cc:182] This binary",
    "2026-01-31 12:00:00.123456: E external/local_xla/xla/cuda_fft.cc:477] Unable to register cuFFT factory:",
]
REAL = [
    "error: photo a.jpg does not exist",
    "F0000 00:00:1795822327.861507   16450 tensor.cc:852] Check failed: dtype() == expected",
    "E0000 00:00:1795822327.861507   16450 cuda_blas.cc:53] failed to create cublas handle",
    "2026-01-31 12:00:00.123456: F tensorflow/core/framework/tensor.cc:852] Check failed",
    "malloc(): corrupted top size",
    "  File stage.py:12] I0000",
]
SAY = """
import os, signal, sys, time
from whales.base.errors import UserError
from whales.stages.stage import run
def say(*lines):
    for line in lines:
        os.write(2, (line + os.linesep).encode())
def main():
    say(*{chatter!r}, *{real!r})
    time.sleep(0.05)
    {end}
run(main)
"""


@pytest.mark.parametrize("line", CHATTER)
def test_chatter_is_known(line):
    assert is_chatter(f"{line}\n".encode())


@given(st.binary())
@example(b"")
@example(b"I0000\n")
@example(b"I am no log line: 3]")
def test_other_lines_are_not(line):
    assert not is_chatter(line)


@pytest.mark.parametrize("line", REAL)
def test_real_errors_are_not(line):
    assert not is_chatter(line.encode())


def said(end, *arguments, chatter=CHATTER, real=REAL, **environment):
    """Exit code and lines on stderr of a process that says both kinds of lines and then ends somehow."""
    code = SAY.format(chatter=chatter, real=real, end=end)
    process = start(code, *arguments, **environment)
    errors = process.communicate(timeout=100)[1]
    return process.returncode, errors.splitlines()


def test_a_process_that_ends_well_shows_the_rest_alone():
    assert said("pass") == (0, REAL)
    assert said("sys.exit(1)") == (1, REAL)


def test_bad_input_is_one_line():
    code, lines = said("raise UserError('no such photo')", real=[])
    assert (code, lines) == (2, ["error: no such photo"])


def test_verbose_shows_all():
    assert said("pass", "--verbose") == (0, CHATTER + REAL)


def test_a_process_that_fails_shows_what_was_held_back():
    code, lines = said("raise RuntimeError('boom')")
    assert code == 1
    assert lines[: len(REAL)] == REAL
    assert lines[len(REAL) : len(REAL + CHATTER)] == CHATTER
    assert lines[-1] == "RuntimeError: boom"


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL, signal.SIGSEGV])
def test_what_kills_a_process_does_not_hide_its_last_words(number):
    code, lines = said(f"os.kill(os.getpid(), {int(number)})")
    assert code == -number
    assert lines == REAL + CHATTER


def test_a_stop_is_one_line_and_no_failure():
    code, lines = said("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", real=[])
    assert code == 128 + signal.SIGTERM
    assert len(lines) == 1
    assert lines[0].startswith("stopped by SIGTERM: ")


def test_two_stops_are_no_failure_either():
    """The second one ends the process on the spot."""
    end = "\n    ".join(
        [
            "from whales.base import stopping",
            "stopping._ONE_STOP = 0",
            "with stopping.Hold() as hold:",
            "    hold.begin()",
            "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.05)",
            "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
        ]
    )
    code, lines = said(end, real=[])
    assert code == 128 + signal.SIGTERM
    assert [line.split(":")[0] for line in lines] == ["stopped by SIGTERM"]


def test_lines_that_nobody_ends_are_passed_on():
    code, lines = said(
        "os.write(2, b'half a line'); time.sleep(0.5); os.write(2, b', ended')", real=[]
    )
    assert (code, lines) == (0, ["half a line, ended"])


def test_processes_that_it_starts_are_heard_too():
    end = "import subprocess; subprocess.run(['sh', '-c', 'echo I am the child >&2'], check=True)"
    assert said(end, real=[]) == (0, ["I am the child"])


def test_python_prints_where_it_printed_before():
    """A bar of progress asks whether it is a terminal's, and is no line."""
    end = "print('a bar', end=chr(13), file=sys.stderr); print(sys.stderr.fileno() != 2, file=sys.stderr)"
    assert said(end, real=[], chatter=[]) == (0, ["a bar", "True"])


def test_without_a_process_more_all_is_shown():
    code = SAY.format(chatter=CHATTER, real=[], end="pass").replace(
        "run(main)", "sys.executable = '/none'; run(main)"
    )
    process = start(code)
    assert process.communicate(timeout=100)[1].splitlines() == CHATTER
