"""Candidates limited by place, season, side and day; by the columns of the import table."""

import pytest
from helpers import write_lines
from hypothesis import given
from hypothesis import strategies as st
from test_review import PARTS, Visitor, root

from whales.files.decisions import DecisionLog
from whales.reviewing.album import AlbumPhoto
from whales.reviewing.limits import Limits
from whales.reviewing.review_app import review_app
from whales.scores.query_results import results_of_root

__all__ = ["root"]  # a fixture of the review's tests


@pytest.fixture
def visitor(root):
    """Of the candidates of photo 1, bob (k3) is of Fiji, ann (k1, k2) of Tonga; the third is of nowhere."""
    columns = "Image,original,path,Id,identity,date,split,place,side"
    lines = (
        "k1.jpg,a,a,ann,ann,2019-12-24,train,Tonga,left", "k2.jpg,b,b,ann,ann,2021-07,train,,right",
        "k3.jpg,c,c,bob,bob,2020,train,Suva (Fiji),left",
    )  # fmt: skip
    write_lines(root.file("import_table"), columns, *lines)
    results = results_of_root(root, PARTS)
    app = review_app(root, results, DecisionLog(root.file("decisions")), "anna")
    return Visitor(app.test_client())


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({}, [("bob", []), ("ann", []), ("dot&<b>", [])]),
        ({"place": "fiji"}, [("bob", []), ("dot&<b>", ["place"])]),
        ({"place": "Tonga"}, [("ann", []), ("dot&<b>", ["place"])]),
        ({"first": "6", "last": "8"}, [("bob", ["season"]), ("ann", []), ("dot&<b>", ["season"])]),
        ({"first": "11", "last": "2"}, [("bob", ["season"]), ("ann", []), ("dot&<b>", ["season"])]),
        ({"first": "9", "last": "11"}, [("bob", ["season"]), ("dot&<b>", ["season"])]),
        ({"side": "R"}, [("ann", []), ("dot&<b>", ["side"])]),
        ({"before": "2020-01-01"}, [("ann", []), ("dot&<b>", ["date"])] ),
        ({"before": "2019-12-24"}, [("dot&<b>", ["date"])]),
        ({"place": "Tonga", "before": "2019"}, [("dot&<b>", ["place", "date"])]),
    ],
)  # fmt: skip
def test_limits_by_hand(visitor, limits, wanted):
    told = visitor.client.get("/api/queries/1", query_string=limits).json
    if limits.get("before") == "2020-01-01":  # bob's 2020 may be any day of it
        wanted = [("bob", []), *wanted]
    assert [(one["identity"], one["unknown"]) for one in told["candidates"]] == wanted
    assert told["left_out"] == 3 - len(wanted)


def test_who_is_limited_out_can_still_be_named(visitor):
    assert visitor.decide(1, "same", "k3.jpg").json["state"] == "same"


@pytest.mark.parametrize(
    ("limits", "part"),
    [
        ({"first": "13"}, "first is 13"),
        ({"last": "x"}, "last is x"),
        ({"before": "soon"}, "before is soon"),
    ],
)
def test_odd_limits_are_refused(visitor, limits, part):
    answer = visitor.client.get("/api/queries/1", query_string=limits)
    assert (answer.status_code, part in answer.json["error"]) == (400, True)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_seasons_go_over_the_turn_of_the_year(first, last, month):
    """Walk from the first month to the last."""
    season, at = [first], first
    while at != last:
        at = at % 12 + 1
        season.append(at)
    seen = [AlbumPhoto("a", {"date": f"2019-{month:02}"})]
    assert (Limits(first=first, last=last).unknown(seen) is not None) == (month in season)
