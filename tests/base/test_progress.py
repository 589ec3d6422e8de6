"""Progress: plain lines where output goes to a file, nothing with --quiet; log files of stages."""

import re
import sys

import pytest
from helpers import refused

from whales.base import progress
from whales.base.console import log
from whales.base.errors import UserError
from whales.base.progress import progress_bar
from whales.stages import stage
from whales.stages.job import Job
from whales.stages.options import parse_arguments


@pytest.fixture
def no_pause(monkeypatch):
    """A line at each update instead of twice a minute."""
    monkeypatch.setattr(progress, "_PAUSE", 0)


def test_plain_lines_without_a_terminal(no_pause, capsys):
    with progress_bar("features", 4) as bar:
        for _ in range(2):
            bar.update(2)
    assert capsys.readouterr() == (
        "features: 2 of 4 photos (50%)\nfeatures: 4 of 4 photos (100%)\n",
        "",
    )


def test_items_pass_through(no_pause, capsys):
    assert list(progress_bar("epoch 1", 3, "step", iter("abc"))) == ["a", "b", "c"]
    assert capsys.readouterr().out.splitlines()[0] == "epoch 1: 1 of 3 steps (33%)"


def test_short_work_says_nothing(capsys):
    list(progress_bar("features", 3, items=range(3)))
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar("features", 4) as bar:
        bar.update(4)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "features" in shown.err


@pytest.mark.parametrize("arguments", [[], ["--quiet"]])
def test_quiet_leaves_everything_to_the_log_file(work_root, no_pause, capsys, arguments):
    options, _ = parse_arguments("doc", arguments)
    Job(options, "/x/r97.py", [], [], numbers={})
    log("it began")
    list(progress_bar("features", 1, items=[0]))
    expected = "" if arguments else "it began\nfeatures: 1 of 1 photos (100%)\n"
    assert capsys.readouterr() == (expected, "")
    (line,) = (work_root / "logs" / "x.r97.log").read_text().splitlines()[:1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  it began", line)
    parse_arguments("doc", [])  # the next stage of this process is not quiet


def test_runs_follow_each_other_in_a_log_file(work_root):
    for text in ("first", "second"):
        Job(parse_arguments("doc", [])[0], "/x/r97.py", [], [], fold=2, numbers={})
        log(text)
    lines = (work_root / "logs" / "x.r97_fold_2.log").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["first", "second"]


def test_a_refusal_is_in_the_log_file_too(work_root, capsys):
    def main():
        Job(parse_arguments("doc", ["--quiet"])[0], "/x/r97.py", [], [], numbers={})
        raise UserError("photo x is missing; put it there")

    with pytest.raises(SystemExit):
        stage.run(main)
    assert capsys.readouterr().err == "error: photo x is missing; put it there\n"
    assert "error: photo x is missing" in (work_root / "logs" / "x.r97.log").read_text()
    parse_arguments("doc", [])


def test_a_root_that_is_not_there_is_not_made(work_root, monkeypatch):
    monkeypatch.setenv("WHALES_ROOT", str(work_root / "typo"))
    refused(lambda: parse_arguments("doc", []), "there is no work root")
    log("not in a file")
    assert not (work_root / "typo").exists()
