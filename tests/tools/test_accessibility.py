"""No page has a fault of level A or AA that axe finds: review, results, report, wide and as on a phone."""

import os
from importlib import util
from pathlib import Path

import pytest
from test_report import WHO, finished
from test_result_page import page_of
from test_review import Reader
from test_two_seasons import root
from test_whole_story import ask, photograph
from whales_tools.box_nets import box_nets
from whales_tools.nets import NETS

from whales.files.decisions import DecisionLog
from whales.files.workspace import Workspace
from whales.reporting.report_page import write_report
from whales.reviewing.review_app import review_app
from whales.scores.query_results import results_of_table

__all__ = ["finished", "root"]  # fixtures of the report and of the two seasons

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PHONE, WIDE = (390, 844), (1400, 900)
# What opens a part of the review: keys, and what the page says then.
PARTS = {
    "first": ("", ("title", "Photo 1")),
    "names": ("o", ("candidates", "Mc Coy")),
    "pair": ("p", ("title", "Photo 1")),
    "album": ("a", ("right-title", "All photos of candidate 1")),
    "listed": ("ap", ("right-title", "Candidates")),
    "draw": ("f", ("drawing-title", "photo 1")),
    "drawn": ("\ue00c", ("title", "Photo 1")),
    "next": ("\ue014", ("title", "Photo 2")),
    "decided": ("1", ("title", "Photo 3")),
    "new": ("n", ("title", "Photo 4")),
    "groups": ("g", ("groups-title", "Groups of new photos")),
}


@pytest.fixture(scope="module")
def axe():
    """axe-core's script: of the file that AXE names, or of the package axe-core-python."""
    package = util.find_spec("axe_core_python")
    found = os.environ.get("AXE") or (package and Path(package.origin).parent / "axe.min.js")
    if not found:
        pytest.skip("needs axe-core: AXE names its axe.min.js, or pip install axe-core-python")
    return Path(found).read_text(encoding="utf-8")


@pytest.fixture
def faults(axe, browser):
    """Call to have the page judged, wide and narrow: a line for each element at fault."""

    def judge():
        lines = []
        for width, height in (PHONE, WIDE):
            browser.set_window_size(width, height)
            browser.execute_script(axe)
            found = browser.execute_async_script(
                "axe.run({runOnly: arguments[0]}).then(arguments[1])", LEVELS
            )
            assert found["passes"]
            lines += [
                f"{width}: {fault['id']}: {node['target']} {node['html'][:200]}"
                for fault in found["violations"]
                for node in fault["nodes"]
            ]
        return lines

    return judge


def test_a_fault_is_found(browser, faults, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><html lang=en><title>x</title><main><h1>x</h1><img src=a.png></main>"
    )
    browser.get(page.as_uri())
    assert any("image-alt" in line for line in faults())


def test_review_can_be_used_by_everybody(root, tmp_path, serving, browser, faults):
    photograph(tmp_path / "one")
    ask(root, tmp_path / "one", tmp_path / "one.csv")
    workspace, nets = Workspace(root), box_nets(root)

    def start():
        results = results_of_table(workspace, tmp_path / "one.csv")
        book = DecisionLog(workspace.file("decisions"))
        return review_app(workspace, results, book, "ann", ask_nets=nets)

    reader = Reader(browser, serving(start))
    reader.until(("title", "Photo 1"))
    browser.execute_script(
        "for (const part of document.querySelectorAll('details')) part.open = true"
    )
    found = {}
    for part, (keys, says) in PARTS.items():
        reader.press(keys, says) if keys else reader.until(says)
        if lines := faults():
            found[part] = lines
    text = [f"{part}: {line}" for part, lines in found.items() for line in lines]
    assert not text, "\n".join(text)


def test_results_and_report_can_be_used_by_everybody(finished, tmp_path, browser, faults):
    report = tmp_path / "report.html"
    write_report(report, finished, NETS)
    assert next(iter(WHO)) in report.read_text(encoding="utf-8")
    for page in (page_of(tmp_path, tmp_path / "found.csv"), report):
        browser.get(page.as_uri())
        lines = faults()
        assert not lines, "\n".join(lines)
