"""A fluke's box drawn by hand: checked, looked into, kept, undone, given out; nets of random weights."""

import json
import threading
import time

import numpy as np
import pytest
from helpers import refused, write_lines
from small_root import draw
from test_joining import BOOK, post, table
from test_review import PARTS, TESTS, Reader, Visitor, photo, root, row, rows
from whales_tools import identify
from whales_tools.box_nets import box_nets

from whales.base.errors import UserError
from whales.exchange.sightings import read_sightings
from whales.files.decisions import DECISION_COLUMNS, DecisionLog
from whales.files.digests import file_digest
from whales.files.workspace import Workspace
from whales.identifying.identification import Answer, Fluke
from whales.identifying.result_page import write_csv
from whales.reviewing.additions import additions
from whales.reviewing.review_app import review_app
from whales.scores.basis import Basis
from whales.scores.best_photos import Candidate
from whales.scores.drawn_boxes import BoxAnswer, BoxLog, checked_box
from whales.scores.query_results import results_of_root, results_of_table

__all__ = ["root", "table"]  # fixtures of the review's tests

CAT = [Candidate("cat", "k4", 0.75, 0.5), Candidate("ann", "k2", 0.25, 0.125)]
SEEN = BoxAnswer(0.375, CAT, Basis("kernel net, fold 0", warning="Untrained start"))


class Nets:
    """Answers as it is told to, once it may."""

    def __init__(self, answer=SEEN):
        self.answer, self.asked, self.may = answer, [], threading.Event()
        self.may.set()

    def __call__(self, path, box, side):
        self.asked.append((path.name, box, side))
        self.may.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def nets():
    return Nets()


def unlike(root):
    """Give each test photo a content of its own: copies of one file have their boxes in common."""
    for shade, name in enumerate(TESTS):
        photo(root.test_photo(name), 40 + shade)


def visit(root, nets, table=None):
    """A page that was started now, on the root's test photos unless there is a table."""
    results = results_of_table(root, table) if table else results_of_root(root, PARTS)
    app = review_app(root, results, DecisionLog(root.file(BOOK)), "anna", ask_nets=nets)
    return Visitor(app.test_client())


@pytest.fixture
def page(root, nets, table):
    """A page on the new photos a to f, of 60 x 40 pixels, found without a box."""
    return visit(root, nets, table)


def box(page, number, corners, who="anna"):
    answer = page.post("/api/boxes", number=number, who=who, box=corners)
    deadline = time.monotonic() + 120
    while answer.status_code == 200 and answer.json["waiting"] and time.monotonic() < deadline:
        time.sleep(0.05)
        answer = page.get(f"/api/boxes/{number}/answer")
    return answer


def seen(page, number):
    told = page.get(f"/api/queries/{number}").json
    found = [(c["identity"], c["probability"], c["photo"]) for c in told["candidates"]]
    return found, told["new"], told["drawn"] and told["drawn"]["who"]


FRESH = [("cat", 0.5, "k4.jpg"), ("ann", 0.125, "k2.jpg")], 0.375, "anna"
FOUND = [("bob", 0.125, "k3.jpg")], 0.5, None


def log(root):
    return BoxLog.beside(root.file(BOOK))


@pytest.mark.parametrize("from_table", [True, False])
def test_a_drawn_box_replaces_the_found_one_and_outlives_a_restart(root, nets, table, from_table):
    table = table if from_table else None
    unlike(root)
    page = visit(root, nets, table)
    first, views = seen(page, 1), page.get("/api/queries/1").json["views"]
    found = [] if from_table else [10, 12, 50, 28]
    told = page.get("/api/boxes/1").json
    assert told == {"number": 1, "box": found, "size": [60, 40], "drawn_by": ""}
    assert box(page, 1, [5, 8, 35, 38]).json == {"number": 1, "waiting": ""}
    assert nets.asked == [("a.jpg" if from_table else "q1.jpg", (5, 8, 35, 38), "")]
    for visitor in (page, visit(root, nets, table)):
        assert seen(visitor, 1) == FRESH
        assert seen(visitor, 2)[2] is None
        told = visitor.get("/api/queries/1").json
        assert told["views"]["crop"].split("run")[0] == views["crop"].split("run")[0]
        assert "box=5,8,35,38" in told["views"]["crop"].replace("%2C", ",")
        outline = visitor.get(told["views"]["outline"]).json["whole"]
        assert outline == pytest.approx([5 / 60, 8 / 40, 30 / 60, 30 / 40])
        assert told["drawn"]["nets"] == "kernel net, fold 0"
        assert "Untrained start" in told["drawn"]["warning"]
        assert visitor.get("/api/boxes/1").json["drawn_by"] == "anna"
    # Filters go by the candidates of the drawn box.
    assert 1 in dict(page.listed(identity="cat"))
    assert box(page, 1, None, "ben").json["waiting"] == ""
    assert seen(page, 1) == first
    assert seen(visit(root, nets, table), 1) == first
    assert box(page, 1, None).json["error"] == "the box is as it was detected already"


def test_the_table_says_who_and_when_and_on_which_photo(page, root, tmp_path):
    box(page, 2, [1, 2, 30, 20])
    assert log(root).path.name == "decisions_boxes.csv"
    header, one = rows(log(root).path)
    assert header == list(DECISION_COLUMNS)
    assert one[:1] + one[2:5] == ["anna", "b.jpg", "box", "1,2,30,20"]
    assert one[6] == file_digest(tmp_path / "b.jpg")
    assert json.loads(one[5])["candidates"][0] == ["k4.jpg", 0.75, 0.5]
    assert not root.file(BOOK).exists()  # a box decides nothing


def test_undo_takes_back_the_last_act(page, root):
    book = DecisionLog(root.file(BOOK))
    book.append(row("b.jpg", "new"))  # long ago
    box(page, 1, [5, 8, 35, 38])
    box(page, 1, [0, 0, 60, 40])
    assert page.get("/api/boxes/1").json["box"] == [0, 0, 60, 40]
    undone = page.post("/api/undo", who="anna").json
    assert (undone["numbers"], undone["what"]) == ([1], "the drawn box")
    assert page.get("/api/boxes/1").json["box"] == [5, 8, 35, 38]
    post(page, 3, decision="new")  # in the second of the box, or later
    assert page.post("/api/undo", who="anna").json["numbers"] == [3]
    assert page.post("/api/undo", who="anna").json["what"] == "the drawn box"
    assert seen(page, 1) == FOUND
    assert page.post("/api/undo", who="anna").json["numbers"] == [2]
    assert page.post("/api/undo", who="anna").status_code == 400
    box(page, 1, [5, 8, 35, 38])
    box(page, 1, [5, 8, 36, 38], "ben")
    refusal = page.post("/api/undo", who="anna")
    assert (refusal.status_code, "ben has" in refusal.json["error"]) == (400, True)


def test_a_decision_stays_and_another_program_sees_the_box(page, root, nets, table):
    other = visit(root, nets, table)
    post(page, 1, decision="new")
    box(page, 1, [5, 8, 35, 38])
    assert page.get("/api/queries/1").json["state"] == "new"
    assert seen(other, 1) == FRESH
    assert [c["photo"] for c in other.get("/api/queries/1").json["candidates"]] == [
        "k4.jpg",
        "k2.jpg",
    ]
    assert post(other, 1, decision="same", photo="k4.jpg").json["state"] == "same"
    assert DecisionLog(root.file(BOOK)).rows()[-1].score == "0.750000"


@pytest.mark.parametrize(
    ("corners", "part"),
    [
        ([5, 8, 5, 38], "inverted or empty"),
        ([35, 8, 5, 38], "inverted"),
        ([5, 8, 12, 38], "too small; each side has 8 pixels"),
        ([-1, 8, 35, 38], "does not lie in the photo of 60 x 40 pixels"),
        ([5, 8, 35, 41], "does not lie in the photo"),
        ([5, 8, 35], "four numbers"),
        ([5, 8, 35, None], "four numbers"),
        ([5, 8, True, 38], "four numbers"),
        ([5, 8, "35", 38], "four numbers"),
        ([5, 8, 10**39, 38], "does not lie"),
        ([[5], 8, 35, 38], "four numbers"),
        ("5,8,35,38", "four numbers"),
        ({"x1": 5}, "four numbers"),
    ],
)
def test_boxes_that_are_refused(page, root, nets, corners, part):
    answer = box(page, 1, corners)
    assert (answer.status_code, part in answer.json["error"]) == (400, True), answer.json
    assert "\n" not in answer.json["error"]
    assert not log(root).path.exists()
    assert nets.asked == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 50])
def test_numbers_that_are_none(page, root, number):
    body = f'{{"number": 1, "who": "anna", "box": [1, 2, {number}, 30]}}'
    headers = {"X-Review-Token": page.token, "Content-Type": "application/json"}
    answer = page.client.post("/api/boxes", data=body, headers=headers)
    assert (answer.status_code, answer.json["error"].count("\n")) == (400, 0)
    assert not log(root).path.exists()


def test_posts_need_the_token_a_name_and_a_photo(page):
    body = {"number": 1, "who": "anna", "box": [5, 8, 35, 38]}
    assert page.client.post("/api/boxes", json=body).status_code == 403
    assert box(page, 7, [5, 8, 35, 38]).status_code == 404
    assert box(page, 1, [5, 8, 35, 38], who=" ").status_code == 400
    assert page.post("/api/boxes", number=1, who="anna").status_code == 400
    assert page.get("/api/boxes/9").status_code == 404


def test_floats_beyond_all_bounds():
    for odd in (10**400, float("nan"), float("inf"), np.nan):
        refused(lambda odd=odd: checked_box([1, 2, odd, 30]), "four numbers")


def test_the_page_goes_on_while_nets_are_loaded(page, nets, root):
    nets.may.clear()
    assert page.post("/api/boxes", number=1, who="anna", box=[5, 8, 35, 38]).json["waiting"] == (
        "the nets are being loaded"
    )
    again = page.post("/api/boxes", number=1, who="anna", box=[5, 8, 36, 38])
    assert (again.status_code, "still looking" in again.json["error"]) == (400, True)
    assert seen(page, 1) == FOUND
    assert post(page, 2, decision="new").json["state"] == "new"
    nets.may.set()
    for _ in range(100):
        if not page.get("/api/boxes/1/answer").json["waiting"]:
            break
        time.sleep(0.02)
    assert seen(page, 1) == FRESH


def test_a_box_is_drawn_again_though_nobody_waited_for_the_first(page, nets, root):
    """A page that was closed, or lost its connection, while the nets were loaded."""
    nets.may.clear()
    assert page.post("/api/boxes", number=1, who="anna", box=[5, 8, 35, 38]).json["waiting"]
    nets.may.set()
    for _ in range(500):
        if log(root).path.exists() and len(log(root).rows()) == 1:
            break
        time.sleep(0.02)
    time.sleep(0.1)  # the thread's last lines
    assert page.post("/api/boxes", number=1, who="anna", box=[5, 8, 36, 38]).status_code == 200


def test_nothing_is_kept_where_nets_cannot_answer(root, table):
    page = visit(root, Nets(UserError("no net has weights")), table)
    answer = box(page, 1, [5, 8, 35, 38])
    assert answer.json["error"] == "the box is not kept: no net has weights"
    assert not log(root).path.exists()
    assert page.get("/api/boxes/1/answer").json["waiting"] == ""  # said once


@pytest.mark.parametrize(
    ("column", "text", "part"),
    [
        ("candidate", "1,2,3", "the box is 1,2,3"),
        ("candidate", "1,2,nan,30", "the box is"),
        ("score", "{", "score"),
        ("score", "[]", "score"),
    ],
)
def test_a_table_that_was_edited_wrongly_names_its_line(page, root, column, text, part):
    box(page, 1, [5, 8, 35, 38])
    [kept] = log(root).rows()
    log(root).path.unlink()
    log(root).append(kept._replace(**{column: text}))
    refused(lambda: log(root).standing({}), "decisions_boxes.csv, line 2", part)
    assert page.get("/api/queries/1").status_code == 400


def test_candidates_follow_the_catalogue(page, root):
    """A photo that changed hands counts for its individual of today; one that is gone is left out."""
    box(page, 1, [5, 8, 35, 38])
    [(_, one)] = log(root).standing({"k4": "new name", "k2": "new name"}).items()
    assert [(c.identity, c.photo) for c in one.answer.candidates] == [("new name", "k4")]
    [(_, one)] = log(root).standing({"k2": "ann", "k4": "new_whale"}).items()
    assert [(c.identity, c.photo) for c in one.answer.candidates] == [("ann", "k2")]


def test_exports_and_the_catalogue_have_the_drawn_boxes(page, root, table, nets):
    post(page, 1, decision="new")
    post(page, 2, decision="new")
    box(page, 1, [5, 8, 35, 38])
    box(page, 3, [6, 8, 35, 38])  # nobody decided
    seen = {
        s.image: s
        for s in read_sightings(root, decisions=root.file(BOOK), results=[table])
        if s.asked
    }
    assert (seen["a.jpg"].box, seen["b.jpg"].box) == ((5, 8, 35, 38), None)
    assert (seen["c.jpg"].individual, seen["c.jpg"].answers) == ("cat", ("cat", "ann"))
    added = {a.query.name: a.box for a in additions(root, root.file(BOOK), [table])}
    assert added == {"a.jpg": (5, 8, 35, 38), "b.jpg": (0, 0, 60, 40)}


def test_test_photos_become_known_with_the_drawn_box(root, nets):
    unlike(root)
    page = visit(root, nets)
    for number in (1, 2):
        page.decide(number, "new")
    box(page, 1, [5, 8, 35, 38])
    assert {a.name: tuple(a.box) for a in additions(root, root.file(BOOK))} == {
        "q1": (5, 8, 35, 38), "q2": (10, 12, 50, 28)
    }  # fmt: skip
    found = {s.image: s.box for s in read_sightings(root, decisions=root.file(BOOK)) if s.asked}
    assert found == {"q1.jpg": (5, 8, 35, 38), "q2.jpg": (10, 12, 50, 28)}


def test_two_flukes_of_one_photo_have_boxes_of_their_own(root, nets, tmp_path):
    path = photo(tmp_path / "z.jpg")
    nothing = np.zeros((1, 1, 3), np.uint8)
    flukes = [Fluke(path, n, (n, 2, 30, 20), nothing, {}, file_digest(path)) for n in (1, 2)]
    write_csv(tmp_path / "two.csv", [Answer(fluke, 0.5, CAT[1:]) for fluke in flukes])
    page = visit(root, nets, tmp_path / "two.csv")
    box(page, 2, [20, 8, 50, 38])
    assert page.get("/api/boxes/1").json["box"] == [1, 2, 30, 20]
    assert page.get("/api/boxes/2").json["box"] == [20, 8, 50, 38]
    assert [r.query_content[-2:] for r in log(root).rows()] == ["#2"]


def test_the_nets_of_a_root_see_in_a_box_what_identify_sees(trained_root, small_nets, tmp_path):
    """From the page to the nets and back; the scores are those of the command with the box."""
    path = tmp_path / "q.jpg"
    draw(path, 90)
    trained = {"profile": "smoke", "anisotropy": 2.15}
    write_lines(trained_root / "models/trained.json", json.dumps(trained))
    identifier = identify.open_identifier(trained_root, workers=1)
    corners = (20, 10, 80, 50)
    faults = []
    [wanted] = identifier.answers([path], {path: [corners]}, 3, faults)
    [found] = identifier.answers([path], {path: []}, 3, faults)
    write_csv(tmp_path / "found.csv", [found])
    workspace = Workspace(trained_root)
    page = visit(workspace, box_nets(trained_root), tmp_path / "found.csv")
    assert box(page, 1, list(corners)).json["waiting"] == ""
    told = page.get("/api/queries/1").json
    assert {c["photo"]: c["score"] for c in told["candidates"]} == {
        f"{c.photo}.jpg": pytest.approx(c.score, abs=2e-6) for c in wanted.candidates
    }
    assert told["new"] == pytest.approx(wanted.new, abs=2e-6)
    assert wanted.candidates != found.candidates
    assert "folds 0, 2" in told["drawn"]["nets"]
    log(workspace).path.unlink()


def test_a_root_without_nets_is_one_line(root, table, monkeypatch):
    page = visit(root, box_nets(root.root), table)
    monkeypatch.setattr("whales.nets.shipped_weights.ShippedWeights.path", root.root / "none.h5")
    answer = box(page, 1, [5, 8, 35, 38])
    assert (answer.status_code, answer.json["error"].count("\n")) == (400, 0)
    assert answer.json["error"].startswith("the box is not kept: ")


def test_a_box_is_drawn_in_a_browser(root, nets, table, serving, browser):
    def start():
        results = results_of_table(root, table)
        return review_app(root, results, DecisionLog(root.file(BOOK)), "anna", ask_nets=nets)

    reader = Reader(browser, serving(start))
    reader.until(("title", "Photo 1"))
    reader.press("f", ("drawing-title", "photo 1, 60 x 40 pixels"))
    canvas = browser.find_element("id", "canvas-photo")
    width, height = canvas.size["width"], canvas.size["height"]
    drag = reader.actions().move_to_element_with_offset(canvas, -width // 4, -height // 4)
    drag.click_and_hold().move_by_offset(width // 2, height // 2).release().perform()

    def typed():
        return [
            int(browser.find_element("id", one).get_attribute("value"))
            for one in ("x1", "y1", "x2", "y2")
        ]

    assert np.abs(np.subtract(typed(), [15, 10, 45, 30])).max() <= 1
    before = typed()
    reader.press("\ue014")  # arrow right
    assert typed() == [before[0] + 1, before[1], before[2] + 1, before[3]]
    reader.press("\ue00c", ("status", "the box stays as it was"))
    assert nets.asked == []
    nets.may.clear()
    reader.press("f", ("drawing-title", "photo 1"))
    field = browser.find_element("id", "x2")
    field.clear()
    field.send_keys("3\n")
    reader.until(("status", "too small"))
    field.clear()
    field.send_keys("40\n")
    reader.until(("status", "the nets are being loaded"))
    reader.press("\ue00c")
    reader.press("\ue014", ("title", "Photo 2"))  # the page goes on
    nets.may.set()
    reader.until(("status", "Photo 1: the box is kept"))
    assert nets.asked == [("a.jpg", (0, 0, 40, 40), "")]
    reader.press("\ue012", ("title", "Photo 1"), ("query-box", "Box drawn by anna"))
    reader.press("u", ("status", "Photo 1: the drawn box undone"))
    assert reader.text("query-box") == ""
    reader.press("f", ("drawing-title", "photo 1"))
    reader.press("\n", ("query-box", "Box drawn by anna"))
    reader.press("n", ("title", "Photo 2"))
    browser.find_element("css selector", "#list button").click()
    reader.until(("title", "Photo 1"))
    reader.press("f", ("drawing-title", "photo 1"))
    browser.find_element("id", "as-detected").click()
    reader.until(("status", "as it was detected; the decision on it stays"))
    faults = [one["message"] for one in browser.get_log("browser") if one["level"] == "SEVERE"]
    assert all("400" in one for one in faults)  # the refused box alone
