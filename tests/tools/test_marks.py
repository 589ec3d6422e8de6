"""Quality and distinctiveness: marked on the page, kept with who and when, given out."""

import csv

import pytest
from helpers import refused
from test_joining import BOOK, desk, post, table
from test_review import PARTS, Reader, Visitor, root

from whales.exchange.exporting import sightings_table
from whales.exchange.sightings import read_sightings
from whales.files.decisions import DecisionLog
from whales.files.marks import MarkLog
from whales.reviewing.additions import addition_edit, additions
from whales.reviewing.review_app import review_app
from whales.scores.query_results import results_of_root

__all__ = ["desk", "root", "table"]  # fixtures of the review's tests


def mark(visitor, number, kind, value, who="anna"):
    return visitor.post("/api/marks", number=number, who=who, kind=kind, value=value)


def test_the_last_mark_of_anybody_counts(desk, root):
    mark(desk, 1, "quality", "Q3")
    mark(desk, 1, "quality", "Q2", who="ben")
    assert mark(desk, 1, "distinctiveness", "D1").json["marks"] == {
        "quality": "Q2", "distinctiveness": "D1", "marked_by": "ben, anna"
    }  # fmt: skip
    mark(desk, 2, "quality", "Q1")
    assert mark(desk, 2, "quality", "").json["marks"] == {}
    assert desk.get("/api/queries/1").json["marks"]["quality"] == "Q2"
    book = MarkLog.beside(root.file(BOOK))
    assert book.path.name == "decisions_marks.csv"
    assert [(r.who, r.query, r.decision, r.candidate) for r in book.rows()] == [
        ("anna", "a.jpg", "quality", "Q3"),
        ("ben", "a.jpg", "quality", "Q2"),
        ("anna", "a.jpg", "distinctiveness", "D1"),
        ("anna", "b.jpg", "quality", "Q1"),
        ("anna", "b.jpg", "quality", ""),
    ]
    assert not root.file(BOOK).exists()  # a mark decides nothing


def test_marks_go_into_exports_and_into_the_catalogue(desk, root, table):
    post(desk, 1, decision="new")
    post(desk, 2, identity="ann")
    mark(desk, 1, "quality", "Q2")
    seen = read_sightings(root, decisions=root.file(BOOK), results=[table])
    rows = sightings_table([s for s in seen if s.asked]).set_index("image")
    told = rows.loc[["a.jpg", "b.jpg"], ["quality", "marked_by"]].to_numpy().tolist()
    assert told == [["Q2", "anna"], ["", ""]]
    added = additions(root, root.file(BOOK), [table])
    marks = MarkLog.beside(root.file(BOOK)).standing()
    wanted, _ = addition_edit(root, added, "anna", marks=marks)
    assert {name: row.get("quality") for name, row in wanted.rows.items()} == {"a": "Q2", "b": None}


def test_marks_of_test_photos_are_given_out(root):
    results = results_of_root(root, PARTS)
    visitor = Visitor(review_app(root, results, DecisionLog(root.file(BOOK)), "anna").test_client())
    visitor.decide(1, "new")
    mark(visitor, 1, "distinctiveness", "D3")
    found = {s.image: s.details for s in read_sightings(root, decisions=root.file(BOOK)) if s.asked}
    assert found == {"q1.jpg": {"distinctiveness": "D3", "marked_by": "anna"}}


@pytest.mark.parametrize(
    ("kind", "value"), [("quality", "D1"), ("beauty", "Q1"), ("quality", "Q4")]
)
def test_odd_marks_are_refused(desk, root, kind, value):
    answer = mark(desk, 1, kind, value)
    assert (answer.status_code, "a mark is one of Q1" in answer.json["error"]) == (400, True)
    assert not MarkLog.beside(root.file(BOOK)).path.exists()


def test_a_table_that_was_edited_wrongly_names_its_line(desk, root):
    mark(desk, 1, "quality", "Q1")
    book = MarkLog.beside(root.file(BOOK))
    with open(book.path, newline="", encoding="utf-8") as source:
        rows = list(csv.reader(source))
    rows[1][4] = "Q7"
    with open(book.path, "w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows(rows)
    refused(book.standing, "line 2", "quality is Q7", "Q1, Q2, Q3")


def test_marks_by_key_in_a_browser(root, serving, browser):
    results = results_of_root(root, PARTS)
    reader = Reader(
        browser, serving(lambda: review_app(root, results, DecisionLog(root.file(BOOK)), "anna"))
    )
    reader.until(("title", "Photo 1"))
    reader.press("q", ("status", "quality: 1, 2 or 3"))
    reader.press("2", ("status", "Photo 1: quality Q2"), ("title", "Photo 1"))
    reader.press("d3", ("status", "Photo 1: distinctiveness D3"))
    reader.press("q0", ("status", "Photo 1: quality not marked"))
    reader.press("qn", ("title", "Photo 2"), ("status", "Photo 1: new individual"))
    assert [r.decision for r in DecisionLog(root.file(BOOK)).rows()] == ["new"]
    browser.execute_script("history.replaceState(null, '', '#1')")
    browser.refresh()
    reader.until(("title", "Photo 1"))
    chosen = "return document.getElementById('distinctiveness').value"
    assert browser.execute_script(chosen) == "D3"
