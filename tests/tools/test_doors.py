"""The tools as doors: short, alike, and with one line for a wrong option."""

import importlib

import pytest

from whales.base.console import open_log
from whales.stages.stage import run

TOOLS = (
    "identify", "review", "report", "inspect_pickle", "evaluate", "import_dataset", "export_results",
    "weights", "plan",
)  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
def test_a_door_has_20_to_60_lines(repository, name):
    assert 20 <= len((repository / f"tools/{name}.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize("name", TOOLS)
def test_a_wrong_option_is_refused_in_one_line(name, capsys):
    tool = importlib.import_module(f"whales_tools.{name}")
    with pytest.raises(SystemExit) as left:
        run(lambda: tool.main(["--no-such-option"]))
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.endswith("; see --help\n")
    assert err.count("\n") == 1


def test_a_tool_leaves_the_log_of_a_stage_alone(work_root, tmp_path):
    from whales_tools import report

    log = tmp_path / "stage.log"
    open_log(log)
    report.main(["--out", str(tmp_path / "page.html")])
    assert not log.exists()
