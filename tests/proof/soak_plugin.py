"""For pytest in a soak: a line of JSON for each test that ended, so that a run cut short tells its part."""

from __future__ import annotations

import json
import os
import re

import pytest


def _write(entry: dict[str, object]) -> None:
    with open(os.environ["SOAK_RESULTS"], "a") as out:
        out.write(json.dumps(entry) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Write the names of all tests that there are."""
    _write({"all": [item.nodeid for item in items]})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Write what became of a test, and how many examples Hypothesis tried."""
    report = yield
    if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
        counts = re.findall(
            r"(\d+) (?:passing|failing)", getattr(item, "hypothesis_statistics", "")
        )
        said = report.longreprtext[-1500:] if report.failed else ""
        tries = sum(map(int, counts)) or int(report.outcome != "skipped")
        _write({"test": item.nodeid, "outcome": report.outcome, "tries": tries, "said": said})
    return report
