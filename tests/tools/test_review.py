"""Review by people: the table of decisions, the page, and new labels; roots and tables made by hand."""

import csv
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import refused, write_lines
from scipy import sparse

from whales.base.pickles import save
from whales.exchange.sightings import read_decisions
from whales.files import decisions as decisions_module
from whales.files.decisions import (
    DECISION_COLUMNS,
    DECISIONS,
    FORMER_COLUMNS,
    Decision,
    DecisionLog,
    checked_name,
    last_of_each,
    name_and_content,
    standing,
)
from whales.files.matrices import ScoreMatrix, save_dict, save_tuple
from whales.files.workspace import Workspace
from whales.identifying.identification import Answer, Fluke
from whales.identifying.result_page import COLUMNS, write_csv
from whales.reviewing.album import Album
from whales.reviewing.relabelling import relabel, summary_path
from whales.reviewing.review_app import PAGE, open_socket, review_app
from whales.reviewing.review_views import jpeg, outline
from whales.scores.best_photos import Candidate
from whales.scores.query_results import (
    ReviewQuery,
    decided_photos,
    results_of_root,
    results_of_table,
)
from whales.stages.stage import run

HEADER = ",".join(DECISION_COLUMNS)
FORMER = ",".join(FORMER_COLUMNS)
LABELS = {"k1": "ann", "k2": "ann", "k3": "bob", "k4": "cat", "k5": "new_whale", "k6": "dot&<b>"}
KNOWN = ["k1", "k2", "k3", "k4", "k6"]
TESTS = ["q1", "q2", "q3", "q4"]  # q4 has no box
WIDTH, HEIGHT = 60, 40
BOX = (10, 12, 50, 28)
# The three nets as the ensemble blends them.
PARTS = (
    ("features_test_v5", "test_vs_train_mat_sparse", 0.3),
    ("features_test_v6", "test_vs_train_mat_sparse", 0.3),
    ("features_test_kernel", "score", 0.4),
)
V5 = [[0.5, 0.9, 0.4, 0, 0.1], [0, 0, 0.2, 0.8, 0], [0, 0, 0, 0, 0.6]]
V6 = [[0.1, 0.1, 0.8, 0, 0], [0, 0.3, 0, 0.6, 0], [0, 0, 0, 0, 0.4]]
KERNEL = [[0, 0.5, 0.5, 0, 0], [0.1, 0, 0, 0.7, 0], [0, 0, 0, 0, 0]]
OPTIONS = ["--no-browser", "--port", "0", "--who", "anna"]


def photo(path, value=100, size=(WIDTH, HEIGHT)):
    """A JPEG with a white patch where `BOX` is."""
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def root(work_root):
    """A finished work root: six known photos, four test photos, three nets."""
    ws = Workspace(work_root)
    for name in LABELS:
        photo(ws.train_photo(name))
    for name in TESTS:
        photo(ws.test_photo(name), 40)
    write_lines(
        ws.file("train_csv"), "Image,Id", *(f"{name}.jpg,{who}" for name, who in LABELS.items())
    )
    write_lines(
        ws.file("sample_submission"), "Image,Id", *(f"{name}.jpg,new_whale" for name in TESTS)
    )
    write_lines(ws.file("playground_train_csv"), "Image,Id", "p1.jpg,New_0001")
    save(ws.file("boxes_averaged"), dict.fromkeys([*KNOWN, "k5", "q1", "q2", "q3"], BOX))
    save(ws.file("boxes_averaged_playground"), {})
    for (key, scores, _), values in zip(PARTS, (V5, V6, KERNEL), strict=True):
        content = sparse.csr_matrix(np.array(values, np.float32))
        save_dict(ws.file(key), ScoreMatrix(content, TESTS[:3], KNOWN), scores)
    return ws


def rows(path):
    with open(path, newline="", encoding="utf-8") as source:
        return list(csv.reader(source))


# --- the table of decisions ---------------------------------------------------------------------


@pytest.fixture
def book(tmp_path):
    """A table of decisions that is not there yet."""
    return DecisionLog(tmp_path / "review" / "decisions.csv")


def row(query, decision, candidate="", who="anna", score=""):
    return Decision(who, "2020-01-02T03:04:05+00:00", query, decision, candidate, score)


def test_decisions_are_appended_under_one_header(book):
    assert book.rows() == []
    book.append(row("q1.jpg", "same", "k1.jpg", score="0.900000"))
    book.append(row("q2.jpg", "new", who='Ann "A", B'))
    assert rows(book.path) == [
        list(DECISION_COLUMNS),
        ["anna", "2020-01-02T03:04:05+00:00", "q1.jpg", "same", "k1.jpg", "0.900000", "", ""],
        ['Ann "A", B', "2020-01-02T03:04:05+00:00", "q2.jpg", "new", "", "", "", ""],
    ]
    assert [(one.query, one.line) for one in book.rows()] == [("q1.jpg", 2), ("q2.jpg", 3)]


def test_time_is_utc():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", decisions_module.now())


@pytest.mark.parametrize("torn", [b"anna,2020,q2.jpg,sa", b"\0\0\0", "ü".encode()[:1], b'an"na,"'])
def test_half_written_line_is_kept_aside(book, torn, capsys):
    book.append(row("q1.jpg", "new"))
    whole = book.path.read_bytes()
    book.path.write_bytes(whole + torn)
    assert [one.query for one in book.rows()] == ["q1.jpg"]
    assert "half-written" in capsys.readouterr().out
    book.append(row("q3.jpg", "skip"))
    assert book.path.read_bytes().startswith(whole)
    assert [one.query for one in book.rows()] == ["q1.jpg", "q3.jpg"]
    assert book.path.with_name("decisions.csv.torn").read_bytes() == torn + b"\n"


def test_half_written_header_is_written_anew(book):
    book.path.parent.mkdir()
    book.path.write_bytes(b"who,wh")
    book.append(row("q1.jpg", "new"))
    assert rows(book.path)[0] == list(DECISION_COLUMNS)
    assert len(book.rows()) == 1


def test_last_line_without_its_end_stays(book):
    """Editors leave the newline out."""
    write_lines(book.path, HEADER)
    book.path.write_text(f"{FORMER}\nanna,2020,q1.jpg,same,k1.jpg,0.5", encoding="utf-8")
    book.mend()
    book.append(row("q2.jpg", "new"))
    assert [one.query for one in book.rows()] == ["q1.jpg", "q2.jpg"]
    assert not book.path.with_name("decisions.csv.torn").exists()


def test_spreadsheets_leave_a_mark_and_returns(book):
    book.path.parent.mkdir()
    book.path.write_bytes(f"\ufeff{FORMER}\r\n\r\nanna,x,q1.jpg,new,,\r\n".encode())
    book.append(row("q2.jpg", "skip"))
    assert [(one.query, one.score) for one in book.rows()] == [("q1.jpg", ""), ("q2.jpg", "")]


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (["query,decision,candidate", "q1,new,"], ["line 1", f"expected {HEADER}", "--decisions"]),
        ([FORMER, "anna,x,q1.jpg,new"], ["line 2", "expected 6 fields, received 4"]),
        ([HEADER, "anna,x,q1.jpg,new,,"], ["line 2", "expected 8 fields, received 6"]),
        ([FORMER, "anna,x,q1.jpg,maybe,,"], ["line 2", "decision is maybe"]),
        ([HEADER, "anna,x,q1.jpg,new,,,12ab,"], ["line 2", "query_content is 12ab"]),
    ],
)
def test_other_tables_are_refused_and_left_alone(book, lines, parts):
    write_lines(book.path, *lines)
    before = book.path.read_bytes()
    refused(book.rows, str(book.path), *parts)
    refused(book.mend, *parts)
    assert book.path.read_bytes() == before


def test_undo_is_a_row(book):
    for one in (row("q1.jpg", "same", "k1.jpg"), row("q1.jpg", "new"), row("q2.jpg", "skip")):
        book.append(one)
    reviewed = {("q1", ""): 1, ("q2", ""): 2}

    def photo_of(one):
        return reviewed.get(name_and_content(one))

    assert [one.query for one in book.undo("anna", photo_of)] == ["q2.jpg"]
    assert [one.decision for one in book.undo("anna", photo_of)] == ["new"]
    assert [one.decision for one in book.rows()] == ["same", "new", "skip", "undo", "undo"]
    stacks = standing(book.rows(), photo_of)
    assert [one.decision for one in stacks[1]] == ["same"]
    refused(lambda: book.undo("ben", photo_of), "ben has no decision to undo")
    refused(lambda: book.undo("anna", lambda one: None), "no decision to undo")
    book.append(row("q1.jpg", "new", who="ben"))
    refused(lambda: book.undo("anna", photo_of), "ben has decided on this photo after anna")
    assert last_of_each(standing(book.rows(), photo_of)[1]).keys() == {"anna", "ben"}


def test_full_disk_leaves_no_half_row(book, monkeypatch):
    book.append(row("q1.jpg", "new"))
    before, write = book.path.read_bytes(), os.write

    def full(file, data):
        if len(data) < 5:
            raise OSError(28, "No space left on device")
        return write(file, data[:5])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        refused(lambda: book.append(row("q2.jpg", "new")), "No space left")
    assert book.path.read_bytes() == before


def test_without_posix_locks(book, monkeypatch):
    monkeypatch.setattr(decisions_module, "fcntl", None)
    book.append(row("q1.jpg", "new"))
    book.append(row("q2.jpg", "new"))
    assert len(book.rows()) == 2
    assert [path.name for path in book.path.parent.iterdir()] == ["decisions.csv"]
    monkeypatch.setattr(decisions_module, "_WAIT", 0.05)
    lock = write_lines(book.path.with_name("decisions.csv.lock"))
    refused(lambda: book.append(row("q3.jpg", "new")), str(lock), "delete it")


def test_a_folder_in_the_way(tmp_path):
    refused(DecisionLog(tmp_path).rows, str(tmp_path))
    refused(lambda: DecisionLog(tmp_path).append(row("q1.jpg", "new")), str(tmp_path))


@pytest.mark.parametrize("who", ["", "  ", "a\nb", "x" * 61])
def test_names_that_break_the_table(who):
    refused(lambda: checked_name(who), "1 to 60")
    assert checked_name(" Åsa ") == "Åsa"


def write_many(path, who, barrier):
    """A process of its own, which starts when the others do."""
    barrier.wait(timeout=30)
    for i in range(100):
        DecisionLog(path).append(row(f"q{i}.jpg", "same", "k1.jpg", who=who))


def test_processes_that_write_at_once_lose_nothing(book):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("needs processes that fork")
    context, people = multiprocessing.get_context("fork"), ("anna", "ben", "cleo")
    barrier = context.Barrier(len(people))
    writers = [context.Process(target=write_many, args=(book.path, who, barrier)) for who in people]
    for one in writers:
        one.start()
    for one in writers:
        one.join(timeout=60)
    assert [one.exitcode for one in writers] == [0, 0, 0]
    assert rows(book.path)[0] == list(DECISION_COLUMNS)
    found = book.rows()
    assert len(found) == 300
    for who in people:
        assert [one.query for one in found if one.who == who] == [f"q{i}.jpg" for i in range(100)]


# --- what is reviewed ---------------------------------------------------------------------------


def named(candidates):
    return [(one.identity, one.photo, round(one.value, 4)) for one in candidates]


def test_root_is_ranked_by_each_net_and_by_their_blend(root):
    results = results_of_root(root, PARTS)
    assert list(results.nets) == ["ensemble", "v5", "v6", "kernel"]
    assert [query.name for query in results.queries] == [f"{name}.jpg" for name in TESTS]
    blended = results.candidates("ensemble")
    # ann by k2: .3 * .9 + .3 * .1 + .4 * .5
    assert named(blended[0]) == [
        ("bob", "k3", 0.56),
        ("ann", "k2", 0.5),
        ("dot&<b>", "k6", 0.03),
    ]
    assert named(results.candidates("v5")[1]) == [("cat", "k4", 0.8), ("bob", "k3", 0.2)]
    assert results.candidates("kernel")[2] == []
    assert blended[3] == []
    refused(lambda: results.candidates("v7"), "v7", "ensemble")


def test_root_with_some_matrices(root):
    for key in ("features_test_v5", "features_test_kernel"):
        root.file(key).unlink()
    dense = np.array([*V5, [0] * len(KNOWN)], np.float32)
    save_tuple(root.file("test_matrix_v5"), ScoreMatrix(dense, TESTS, KNOWN))
    results = results_of_root(root, PARTS)
    assert list(results.nets) == ["v5", "v6"]
    assert named(results.candidates("v5")[0])[0] == ("ann", "k2", 0.9)
    for key in ("features_test_v6", "test_matrix_v5"):
        root.file(key).unlink()
    refused(lambda: results_of_root(root, PARTS), "r20_prepare_matrices_for_ensemble.py")


def identified(folder, *flukes):
    """The CSV of identify.py: flukes as (photo, number, box, candidates)."""
    answers = [
        Answer(
            Fluke(photo(path), number, box, np.zeros((1, 1, 3), np.uint8), {}),
            0.25,
            [Candidate(*one) for one in candidates],
        )
        for path, number, box, candidates in flukes
    ]
    write_csv(folder / "found.csv", answers)
    return folder / "found.csv"


def test_table_of_identify(root, tmp_path):
    ann, bob = ("ann", "k2", 0.9, 0.75), ("bob", "k3", 0.5, 0.125)
    source = identified(
        tmp_path,
        (tmp_path / "z.jpg", 1, (1, 2, 30, 20), [ann, bob]),
        (tmp_path / "z.jpg", 2, (30, 2, 59, 20), [bob]),
        (tmp_path / "a.jpg", 1, None, [bob, ann]),
    )
    results = results_of_table(root, source)
    told = [(one.name, one.box, one.shared, one.new) for one in results.queries]
    assert told == [
        ("z.jpg", (1, 2, 30, 20), True, 0.25),
        ("z#2.jpg", (30, 2, 59, 20), True, 0.25),
        ("a.jpg", None, False, 0.25),
    ]
    assert list(results.nets) == ["results"]
    ranked = results.candidates("results")
    assert named(ranked[0]) == [("ann", "k2", 0.75), ("bob", "k3", 0.125)]
    assert ranked[0][0].score == pytest.approx(0.9)
    assert {"query", "fluke", "x1", "new_whale", "rank", "probability", "score"} <= {*COLUMNS}


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (["photo,identity", "k1.jpg,ann"], ["column query is missing", "identify.py --csv"]),
        (["query,identity,photo"], ["has no rows"]),
        (["query,identity,photo", "gone.jpg,ann,k1.jpg"], ["line 2", "gone.jpg is not there"]),
        (["query,identity,photo", "q.jpg,ann,k9.jpg"], ["line 2", "k9 is not in train.csv"]),
        (["query,identity,photo", "q.jpg,bob,k1.jpg"], ["line 2", "is of ann in train.csv"]),
        (["query,identity,photo,score", "q.jpg,ann,k1,x"], ["line 2", "score is x"]),
        (["query,identity,photo,x1", "q.jpg,ann,k1,nan"], ["line 2", "x1 is nan"]),
        (
            ["query,identity,photo,content", f"q.jpg,ann,k1,{'0' * 32}"],
            ["line 2", "q.jpg is not the one that was identified"],
        ),
    ],
)
def test_tables_that_are_refused(root, tmp_path, lines, parts):
    photo(tmp_path / "q.jpg")
    photo(tmp_path / "b" / "q.jpg")
    source = write_lines(tmp_path / "found.csv", *lines)
    refused(lambda: results_of_table(root, source), str(source), *parts)


def test_views_and_outline(tmp_path):
    path = photo(tmp_path / "a.jpg")
    whole = cv2.imdecode(np.frombuffer(jpeg(path, BOX, False, 2.15, "whole"), np.uint8), 1)
    assert whole.shape == (HEIGHT, WIDTH, 3)  # never larger than the photo
    # The box grows by 5% a side and a pixel: 8..53 across, of the height that 2.15 asks for.
    crop = cv2.imdecode(np.frombuffer(jpeg(path, BOX, False, 2.15, "crop"), np.uint8), 1)
    assert crop.shape == (20, 45, 3)
    assert outline(path, BOX, False, 2.15, "whole") == pytest.approx([1 / 6, 0.3, 2 / 3, 0.4])
    assert outline(path, None, False, 2.15, "whole") is None
    left, top, width, height = outline(path, BOX, False, 2.15, "crop")
    assert (left, width) == pytest.approx((2 / 45, 40 / 45))
    assert 0 < top < top + height < 1
    # 10 x 8 grows to 12 x 9.8, and to a square of 12.
    square = cv2.imdecode(
        np.frombuffer(jpeg(path, (20, 6, 30, 14), False, 1.0, "crop"), np.uint8), 1
    )
    assert square.shape == (12, 12, 3)
    big = photo(tmp_path / "b.jpg", size=(1500, 300))
    small = cv2.imdecode(np.frombuffer(jpeg(big, None, False, 2.15, "crop"), np.uint8), 1)
    assert small.shape == (128, 640, 3)


# --- the page -----------------------------------------------------------------------------------


@pytest.fixture
def client(root):
    """A browser's side of the application, with what its page carries."""
    app = review_app(
        root, results_of_root(root, PARTS), DecisionLog(root.file("decisions")), "anna"
    )
    return Visitor(app.test_client())


class Visitor:
    def __init__(self, client):
        self.client = client
        self.page = client.get("/").get_data(as_text=True)
        self.token = re.search(r'name="review-token" content="([^"]+)"', self.page)[1]

    def get(self, path):
        return self.client.get(path)

    def listed(self, **filters):
        answer = self.client.get("/api/queries", query_string=filters)
        assert answer.status_code == 200
        return [(one["number"], one["state"]) for one in answer.json["queries"]]

    def post(self, path, **body):
        return self.client.post(path, json=body, headers={"X-Review-Token": self.token})

    def decide(self, number, decision, photo="", who="anna", net="ensemble"):
        body = {"number": number, "decision": decision, "photo": photo, "who": who, "net": net}
        return self.post("/api/decisions", **body)


def test_whole_loop(client, root):
    assert client.listed() == [(1, ""), (2, ""), (3, ""), (4, "")]
    told = client.get("/api/queries/1?net=ensemble").json
    assert [one["identity"] for one in told["candidates"]] == ["bob", "ann", "dot&<b>"]
    assert client.decide(1, "same", told["candidates"][1]["photo"]).json["state"] == "same"
    assert client.decide(2, "new").status_code == 200
    assert client.decide(3, "skip").status_code == 200
    assert client.listed() == [(1, "same"), (2, "new"), (3, "skip"), (4, "")]
    assert client.listed(undecided="1") == [(3, "skip"), (4, "")]  # skipped is for later
    assert client.post("/api/undo", who="anna").json == {
        "decision": "undo",
        "number": 3,
        "numbers": [3],
    }
    assert client.listed(undecided="1") == [(3, ""), (4, "")]
    kept = rows(root.file("decisions"))
    assert [one[0:1] + one[2:6] for one in kept[1:]] == [
        ["anna", "q1.jpg", "same", "k2.jpg", "0.500000"],
        ["anna", "q2.jpg", "new", "", ""],
        ["anna", "q3.jpg", "skip", "", ""],
        ["anna", "q3.jpg", "undo", "", ""],
    ]
    settled = read_decisions(root.file("decisions"), dict.fromkeys(TESTS), LABELS, root)
    assert settled == {"q1": "ann", "q2": "new_whale"}


def test_nobody_can_tell(client, root):
    assert client.decide(1, "unsure").json["state"] == "unsure"
    assert client.listed(undecided="1") == [(2, ""), (3, ""), (4, "")]
    other = DecisionLog(root.file("decisions"))
    other.append(row("q1.jpg", "same", "k3.jpg", who="ben"))  # who can tell says so
    assert client.get("/api/queries/1").json["state"] == "same"
    client.decide(2, "same", client.get("/api/queries/2").json["candidates"][0]["photo"])
    client.decide(2, "unsure")
    settled = read_decisions(root.file("decisions"), dict.fromkeys(TESTS), LABELS, root)
    assert settled == {"q1": "bob"}


def test_anybody_by_name(client, root):
    """One who is no candidate of the photo, and new ones: rows of one name are one individual."""

    def named(number, identity):
        body = {"number": number, "identity": identity, "who": "anna"}
        return client.post("/api/decisions", **body)

    assert client.get("/api/names").json == {"known": ["ann", "bob", "cat", "dot&<b>"], "new": []}
    assert named(4, " cat ").json["state"] == "same"
    assert named(1, "Moon 7").json["state"] == "new"
    assert named(2, "Moon 7").json["state"] == "new"
    assert client.get("/api/names").json["new"] == ["Moon 7"]
    assert client.get("/api/queries/2").json["decided"][0]["identity"] == "Moon 7"
    for text, part in (("CAT", "taken"), ("new_whale", "no name"), ("??", "no name")):
        answer = named(3, text)
        assert (answer.status_code, part in answer.json["error"]) == (400, True)
    settled = read_decisions(root.file("decisions"), dict.fromkeys(TESTS), LABELS, root)
    assert settled == {"q1": "Moon 7", "q2": "Moon 7", "q4": "cat"}
    results = results_of_root(root, PARTS)
    rows = DecisionLog(root.file("decisions")).rows()
    added = relabel(
        rows, results.queries, LABELS, set(), root.file("decisions"), decided_photos(root, results)
    ).added
    assert added == {"q4.jpg": "cat", "q1.jpg": "Moon_7", "q2.jpg": "Moon_7"}


def test_no_number_is_a_name_that_somebody_typed(tmp_path):
    """A new whale without a name never gets the name that a later photo's whale was given."""
    decided = [row("q1.jpg", "new"), row("q2.jpg", "new", "New_0001"), row("q3.jpg", "new")]
    queries = [query(name) for name in ("q1", "q2", "q3")]
    added = relabel(decided, queries, LABELS, set(), tmp_path / "d.csv").added
    assert added == {"q1.jpg": "new_0002", "q2.jpg": "New_0001", "q3.jpg": "new_0003"}


def test_an_individual_that_is_called_like_a_photo(root):
    labels = {"k1": "ann", "k2": "bob", "ann": "bob"}
    assert Album(root, labels).meant("ann") == ("same", "k1.jpg")
    assert Album(root, labels).meant("bob") == ("same", "bob")


def test_all_photos_of_an_individual(client, root):
    columns = "Image,original,path,Id,identity,date,split,place"
    lines = ("k1.jpg,a.jpg,a,ann,Ann O,2019-07,train,Tonga", "k2.jpg,b.jpg,b,ann,Ann O,2020,train,")
    write_lines(root.file("import_table"), columns, *lines)
    results = results_of_root(root, PARTS)
    app = review_app(root, results, DecisionLog(root.file("decisions")), "anna")
    visitor = Visitor(app.test_client())
    told = visitor.get("/api/photos?identity=Ann+O").json["photos"]
    assert [(one["photo"], one["details"]) for one in told] == [
        ("k2.jpg", {"date": "2020"}),
        ("k1.jpg", {"date": "2019-07", "place": "Tonga"}),
    ]
    assert visitor.get(told[0]["views"]["crop"]).mimetype == "image/jpeg"
    assert visitor.get("/api/photos?identity=nobody").status_code == 400


def test_people_see_each_other(client, root):
    """Another program writes to the same file, and the next answer knows it."""
    client.decide(1, "same", "k1.jpg", net="v6")
    assert (
        client.decide(1, "same", "k2.jpg", net="v6").status_code == 400
    )  # k1 ties and comes first
    other = DecisionLog(root.file("decisions"))
    other.append(row("q1", "same", "ann", who="ben"))  # another way to say the same
    assert client.get("/api/queries/1").json["state"] == "same"
    other.append(row("q1.jpg", "same", "k3.jpg", who="ben"))
    told = client.get("/api/queries/1").json
    assert told["state"] == "conflict"
    assert told["decided"] == [
        {"who": "anna", "decision": "same", "identity": "ann"},
        {"who": "ben", "decision": "same", "identity": "bob"},
    ]
    refused = client.post("/api/undo", who="anna")
    assert (refused.status_code, "ben has decided" in refused.json["error"]) == (400, True)


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({"net": "v5"}, [1, 2, 3, 4]),
        ({"min": "0.5"}, [1, 2]),
        ({"min": "0.5", "net": "v5"}, [1, 2, 3]),
        ({"max": "0.6"}, [1, 3, 4]),
        ({"min": "0.2", "max": "0.4"}, [3]),
        ({"identity": " CAT "}, [2]),
        ({"identity": "dot&<b>", "net": "v6"}, [3]),
        ({"identity": "zzz"}, []),
    ],
)
def test_filters(client, filters, numbers):
    assert [number for number, _ in client.listed(**filters)] == numbers


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/api/queries?net=v7", "there is no net v7"),
        ("/api/queries?min=x", "min is x"),
        ("/api/queries/1?net=v7", "there is no net v7"),
    ],
)
def test_questions_that_are_refused(client, path, part):
    answer = client.get(path)
    assert answer.status_code == 400
    assert part in answer.json["error"]


def test_photos_are_jpeg(client):
    told = client.get("/api/queries/1").json
    for views in (told["views"], told["candidates"][0]["views"]):
        for view in ("crop", "large", "whole"):
            answer = client.get(views[view])
            assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
            assert answer.data.startswith(b"\xff\xd8")
        assert client.get(views["outline"]).json["whole"] == pytest.approx([1 / 6, 0.3, 2 / 3, 0.4])


@pytest.mark.parametrize(
    "path",
    [
        "/known/..%2f..%2ftrain/crop.jpg",
        "/known/../../train.csv",
        "/known/%2e%2e/crop.jpg",
        "/known/..%5c..%5ctrain/crop.jpg",
        "/known/q1/crop.jpg",  # a photo, but not a known one
        "/known/k1/..%2f..%2fcrop.jpg",
        "/known/k1/huge.jpg",
        "/query/0/crop.jpg",
        "/query/5/crop.jpg",
        "/query/-1/crop.jpg",
        "/query/5/outline",
        "/known/k9/outline",
        "/page/../decisions.py",
        "/page/%2e%2e/decisions.py",
        "/page/..%2fdecisions.py",
        "/api/queries/0",
        "/api/queries/99",
    ],
)
def test_nothing_else_is_served(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "error" in answer.json


def test_unreadable_photo_is_told(client, root):
    root.test_photo("q1").write_bytes(b"no photo")
    answer = client.get("/query/1/crop.jpg")
    assert answer.status_code == 400
    assert "cannot be read" in answer.json["error"]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"number": 1, "decision": "maybe", "who": "anna"}, "same, new, unsure or skip; received maybe"),
        ({"number": 1, "decision": "undo", "who": "anna"}, "unsure or skip; received undo"),
        ({"number": 1, "decision": "new"}, "who decides is a name"),
        ({"number": 1, "decision": "new", "who": "a\nb,c"}, "who decides is a name"),
        ({"number": 1, "decision": "same", "who": "anna", "net": "v5", "photo": "k4.jpg"}, "k4.jpg is no"),
        ({"number": 1, "decision": "same", "who": "anna", "net": "v5"}, "is no candidate"),
        ({"number": "1", "decision": "new", "who": "anna"}, "no photo number 1"),
        ({"number": True, "decision": "new", "who": "anna"}, "no photo number"),
        ({"number": 5, "decision": "new", "who": "anna"}, "no photo number 5"),
    ],
)  # fmt: skip
def test_decisions_that_are_refused(client, root, body, part):
    answer = client.post("/api/decisions", **body)
    assert answer.status_code in (400, 404)
    assert part in answer.json["error"]
    assert not root.file("decisions").exists()


def test_other_sites_are_refused(client, root):
    body, token = {"number": 1, "decision": "new", "who": "x"}, {"X-Review-Token": client.token}
    post = client.client.post
    for headers in (
        {},
        {"X-Review-Token": "guess"},
        {**token, "Origin": "http://evil.example"},
        {**token, "Origin": "null"},
        {**token, "Host": "evil.example"},
    ):
        assert post("/api/decisions", json=body, headers=headers).status_code == 403
        assert post("/api/undo", json=body, headers=headers).status_code == 403
    assert client.client.get("/", headers={"Host": "evil.example:8765"}).status_code == 403
    # A form of another site cannot send JSON.
    assert post("/api/decisions", data="x=1", headers=token).status_code == 400
    assert post("/api/decisions", data=b"x" * 20_000, headers=token).status_code in (400, 413)
    assert not root.file("decisions").exists()
    own = {**token, "Origin": "http://127.0.0.1:8765", "Host": "127.0.0.1:8765"}
    assert post("/api/decisions", json=body, headers=own).status_code == 200


def test_page_is_whole_and_needs_no_other_site(client, root):
    assert not re.search("https?:", client.page)
    policy = client.get("/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    for name in re.findall(r'(?:src|href)="(/page/[^"]+)"', client.page):
        assert client.get(name).status_code == 200
    odd = review_app(
        root, results_of_root(root, PARTS), DecisionLog(root.file("decisions")), '"><script>'
    )
    assert "<script>" not in odd.test_client().get("/").get_data(as_text=True)


def test_the_page_says_what_the_answers_rest_on(root, tmp_path):
    """As the table of identify says it, in every row; above all photos stands the warning."""
    results = results_of_root(root, PARTS)
    app = review_app(root, results, DecisionLog(root.file("decisions")), "anna")
    assert "alert" not in app.test_client().get("/").get_data(as_text=True)
    photo(tmp_path / "query.jpg")
    said = "DenseNet121 (v5),9 generated photos,It <knows> none"
    rows = [
        f"{tmp_path / 'query.jpg'},{who},{known}.jpg,{said}"
        for who, known in (("ann", "k2"), ("bob", "k3"))
    ]
    header = "query,identity,photo,nets,taught_on,warning"
    table = write_lines(tmp_path / "found.csv", header, *rows)
    results = results_of_table(root, table)
    assert results.basis.notes() == ["Nets: DenseNet121 (v5).", "Taught on 9 generated photos."]
    app = review_app(root, results, DecisionLog(root.file("decisions")), "anna")
    page = app.test_client().get("/").get_data(as_text=True)
    assert '<p class="warning" role="alert">It &lt;knows&gt; none</p>' in page
    assert "<p>Taught on 9 generated photos.</p>" in page


def test_every_control_has_a_name(client):
    """Each input stands in a label, and each part that the script fills is there."""
    for tag in re.findall(r"<(?:input|select)[^>]*>", client.page):
        before = client.page[: client.page.index(tag)]
        assert before.rfind("<label") > before.rfind("</label>"), tag
    script = (PAGE / "review.mjs").read_text(encoding="utf-8")
    for name in set(re.findall(r'element\("([\w-]+)"\)', script)):
        assert f'id="{name}"' in client.page, name
    assert "innerHTML" not in script  # names of identities are text


def test_every_key_has_a_handler():
    logic = (PAGE / "logic.mjs").read_text(encoding="utf-8")
    listed = logic[logic.index("export const ACTIONS") : logic.index("};")]
    actions = dict(re.findall(r"^  (\w+): \[(\[.*?\]), ", listed, re.MULTILINE))
    keys = [key for text in actions.values() for key in json.loads(text)]
    assert {"1", "2", "3", "4", "5", "n", "s", "u", "o", "ArrowLeft", "ArrowRight"} <= {*keys}
    assert len(keys) == len({*keys})
    script = (PAGE / "review.mjs").read_text(encoding="utf-8")
    block = script[script.index("const handlers = {") : script.index("\n};")]
    handled = set(re.findall(r"^  (\w+)[:,]", block, re.MULTILINE))
    same = re.search(r"for \(const place of \[([\d, ]+)\]\) handlers\[`same\$\{place\}`\]", script)
    handled |= {f"same{place}" for place in same[1].split(", ")}
    assert handled == {*actions}


LOGIC = """
import assert from "node:assert/strict";
import { ACTIONS, LARGEST, PLAIN, actionOf, changed, moved, nextAfter, panBy, pinched, zoomAt } from %s;
const press = (key, more = {}) => ({ key, ...more });
assert.equal(actionOf(press("n"), "BODY"), "new");
assert.equal(actionOf(press("N", { shiftKey: true }), "BODY"), "new");
assert.equal(actionOf(press("3"), "BUTTON", "button"), "same3");
assert.equal(actionOf(press("n"), "INPUT", "text"), undefined);
assert.equal(actionOf(press("n"), "INPUT", "checkbox"), "new");
assert.equal(actionOf(press("n"), "SELECT"), undefined);
assert.equal(actionOf(press("n", { ctrlKey: true }), "BODY"), undefined);
assert.equal(actionOf(press("n", { repeat: true }), "BODY"), undefined);
assert.equal(actionOf(press("ArrowRight", { repeat: true }), "BODY"), "next");
assert.equal(actionOf(press("ArrowRight", { shiftKey: true }), "BODY"), undefined);
assert.equal(actionOf(press("6"), "BODY"), undefined);
assert.equal(actionOf(press("ArrowDown", { repeat: true }), "BODY"), "below");
assert.deepEqual([moved(0, -1, 3), moved(1, 1, 3), moved(2, 1, 3)], [0, 2, 2]);
let eye = PLAIN;
for (const _ of [1, 2, 3, 4, 5]) eye = changed(eye, "turn");
assert.equal(eye.turns, 1);
eye = changed(changed(eye, "mirror"), "light");
assert.deepEqual([eye.mirrored, eye.light > 1, eye.contrast], [true, true, 1]);
for (const _ of [1, 2, 3]) eye = changed(eye, "light");
assert.equal(eye.light, 1);
// Two fingers move apart about (.5, .5): what was there stays there.
const apart = pinched({ zoom: 1, x: 0, y: 0 }, [{ x: 0.4, y: 0.5 }, { x: 0.6, y: 0.5 }],
  [{ x: 0.3, y: 0.5 }, { x: 0.7, y: 0.5 }]);
assert.ok(Math.abs(apart.zoom - 2) < 1e-9 && Math.abs(apart.x + 0.5) < 1e-9);
const keys = Object.values(ACTIONS).flatMap(([keys]) => keys);
assert.equal(new Set(keys).size, keys.length);
const rest = { zoom: 1, x: 0, y: 0 };
assert.deepEqual(zoomAt(rest, 2, 0.5, 0.25), { zoom: 2, x: -0.5, y: -0.25 });
assert.deepEqual(zoomAt(zoomAt(rest, 2, 0.5, 0.25), 0.5, 0.5, 0.25), rest);
assert.deepEqual(zoomAt(rest, 0.5, 0.5, 0.5), rest);
assert.equal(zoomAt(rest, 1000, 0, 0).zoom, LARGEST);
assert.deepEqual(panBy({ zoom: 2, x: -0.5, y: -0.5 }, 0.25, -2), { zoom: 2, x: -0.25, y: -1 });
assert.deepEqual(panBy(rest, 0.3, 0.3), rest);
assert.equal(nextAfter([1, 2, 3], [1, 2, 3], 2), 3);
assert.equal(nextAfter([1, 2, 3], [1, 3], 2), 3);
assert.equal(nextAfter([1, 2, 3], [1, 2], 3), 2);
assert.equal(nextAfter([1, 2, 3], [1, 2, 3], 3), 3);
assert.equal(nextAfter([3], [], 3), undefined);
"""


def test_logic_of_the_page():
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js to run the page's logic")
    text = LOGIC % json.dumps((PAGE / "logic.mjs").as_uri())
    command = [node, "--input-type=module", "-e", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


# --- new labels ---------------------------------------------------------------------------------


def query(name, shared=False):
    return ReviewQuery(f"{name}.jpg", Path(f"{name}.jpg"), None, shared=shared)


def test_relabelling_by_hand():
    queries = [query(f"q{i}") for i in range(1, 8)] + [query("k1"), query("z", shared=True)]
    said_rows = [
        row("q1.jpg", "same", "k3.jpg"),
        row("q2.jpg", "new"),
        row("q3.jpg", "new", who="ben"),
        row("q3.jpg", "same", "k4.jpg"),
        row("q4.jpg", "skip"),
        row("q5.jpg", "same", "k1.jpg"),
        row("q5.jpg", "undo"),
        row("q6.jpg", "same", "k1.jpg"),
        row("q6.jpg", "same", "ann", who="ben"),
        row("k1.jpg", "new"),
        row("z.jpg", "new"),
        row("far.jpg", "new"),
        row("q7.jpg", "new"),
    ]
    found = relabel(said_rows, queries, LABELS, {"NEW_0001"}, Path("decisions.csv"))
    made = {"q2.jpg": "new_0002", "q7.jpg": "new_0003"}
    assert found.added == {"q1.jpg": "bob", **made, "q6.jpg": "ann"}
    assert found.new == ["q2.jpg", "q7.jpg"]
    assert found.conflicts == {"q3.jpg": {"ben": "new_whale", "anna": "cat"}}
    assert (found.skipped, found.labelled, found.shared) == (["q4.jpg"], ["k1.jpg"], ["z.jpg"])
    assert (found.elsewhere, found.undecided, found.undone) == (["far.jpg"], 1, 1)
    assert found.people == {"anna": 8, "ben": 2}


def test_relabelling_agrees_with_the_exports(tmp_path):
    """The same photos get the same identities, or none, as in export_results.py."""
    random = np.random.default_rng(0)
    book = DecisionLog(tmp_path / "decisions.csv")
    candidates = ["k1.jpg", "k2", "k3.jpg", "ann", "cat"]
    lines = [FORMER]
    for _ in range(300):
        decision = str(random.choice(DECISIONS))
        candidate = str(random.choice(candidates)) if decision == "same" else ""
        who = str(random.choice(["anna", "ben"]))
        lines.append(f"{who},x,q{random.integers(60)}.jpg,{decision},{candidate},")
    write_lines(book.path, *lines)
    queries = [query(f"q{i}") for i in range(60)]
    found = relabel(book.rows(), queries, LABELS, set(), book.path)
    settled = read_decisions(book.path, {f"q{i}": None for i in range(60)}, LABELS)
    ours = {name[:-4]: who for name, who in found.added.items()}
    ours |= {name[:-4]: "new_whale" for name in found.new}
    assert ours
    assert found.conflicts
    assert ours == settled


def test_relabelling_names_the_line_of_a_strange_candidate():
    strange = [row("q1.jpg", "same", "nobody")._replace(line=7)]
    refused(lambda: relabel(strange, [query("q1")], LABELS, set(), Path("d.csv")), "d.csv, line 7")


@pytest.fixture
def review(script, root):
    """Run the script on the root."""
    return lambda *arguments: script("tools/review.py").main([*map(str, arguments)])


def test_apply_says_and_then_writes(review, root, tmp_path, capsys):
    book = DecisionLog(root.file("decisions"))
    book.append(row("q1.jpg", "same", "k2.jpg"))
    book.append(row("q2.jpg", "new"))
    before = root.file("train_csv").read_bytes()
    out = tmp_path / "new" / "labels.csv"
    review("--apply", out)
    told = capsys.readouterr().out
    assert "2 photos added: 1 of known whales, 1 of new ones" in told
    assert "nothing is written; add --yes" in told
    assert not out.parent.exists()
    review("--apply", out, "--yes")
    # new_0001 is taken in the playground, in other letters.
    assert rows(out) == [
        ["Image", "Id"], *([f"{name}.jpg", who] for name, who in LABELS.items()),
        ["q1.jpg", "ann"], ["q2.jpg", "new_0002"],
    ]  # fmt: skip
    assert "q2.jpg -> new_0002" in summary_path(out).read_text(encoding="utf-8")
    first = out.read_bytes()
    review("--apply", out, "--yes")
    assert out.read_bytes() == first
    assert root.file("train_csv").read_bytes() == before
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "labels.csv",
        "labels_summary.txt",
    ]


def test_apply_never_writes_over_the_root(review, root, tmp_path, monkeypatch):
    train = root.file("train_csv")
    before = train.read_bytes()
    (tmp_path / "soft.csv").symlink_to(train)
    os.link(train, tmp_path / "hard.csv")
    (tmp_path / "folder").symlink_to(train.parent)
    monkeypatch.chdir(train.parent)
    book = DecisionLog(root.file("decisions"))
    book.append(row("q1.jpg", "new"))
    others = [root.file("playground_train_csv"), book.path, root.file("submission")]
    links = [tmp_path / "soft.csv", tmp_path / "hard.csv", tmp_path / "folder" / "train.csv"]
    for out in (train, "train.csv", *links, *others):
        refused(lambda out=out: review("--apply", out, "--yes"), "is a file of the work root")
    mine = write_lines(tmp_path / "mine.csv", "a,b", "1,2")
    refused(lambda: review("--apply", mine, "--yes"), "no table Image,Id")
    refused(lambda: review("--apply", tmp_path / "x.txt"), "ends in .csv")
    refused(lambda: review("--yes"), "--apply")
    assert train.read_bytes() == before
    assert mine.read_text() == "a,b\n1,2\n"


# --- the program --------------------------------------------------------------------------------


def test_ports_that_cannot_be_had():
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        refused(lambda: open_socket("127.0.0.1", port), f"port {port}", "--port")
    refused(lambda: open_socket("127.0.0.1", 70_000), "port 70000")
    refused(lambda: open_socket("no.such.host.invalid", 0), "no.such.host.invalid")


def test_bad_input_is_one_line(review, root, capsys):
    root.file("boxes_averaged").unlink()
    with pytest.raises(SystemExit) as left:
        run(lambda: review(*OPTIONS))
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "retinanet/r32_average_boxes.py" in error


def test_program_keeps_decisions_when_killed(root, repository, tmp_path):
    """review.py in a process of its own, started from elsewhere."""
    paths = os.pathsep.join(filter(None, [str(repository), os.environ.get("PYTHONPATH")]))
    program = subprocess.Popen(
        [sys.executable, str(repository / "tools/review.py"), *OPTIONS],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": paths, "WHALES_ROOT": str(root.root)},
    )  # fmt: skip
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+/", program.stdout.readline())[0]
        page = urllib.request.urlopen(address, timeout=20).read().decode()
        token = re.search(r'name="review-token" content="([^"]+)"', page)[1]
        body = json.dumps({"number": 2, "decision": "new", "who": "anna"}).encode()
        headers = {"Content-Type": "application/json", "X-Review-Token": token}
        posted = urllib.request.Request(f"{address}api/decisions", body, headers)
        assert json.load(urllib.request.urlopen(posted, timeout=20))["state"] == "new"
    finally:
        program.kill()
        program.wait(timeout=20)
        program.stdout.close()
    assert [one.query for one in DecisionLog(root.file("decisions")).rows()] == ["q2.jpg"]


@pytest.fixture
def served(root, serving):
    """Call to start the application anew: its address."""
    return lambda: serving(
        lambda: review_app(
            root, results_of_root(root, PARTS), DecisionLog(root.file("decisions")), "anna"
        )
    )


class Reader:
    """What a person sees and does in a browser."""

    def __init__(self, browser, address):
        from selenium.webdriver import ActionChains

        self.browser, self.actions = browser, lambda: ActionChains(browser)
        browser.get(address)

    def text(self, name):
        return self.browser.find_element("id", name).text

    def press(self, keys, *expected):
        """Press keys and wait until the page says all of `expected`: (id, text) pairs."""
        self.actions().send_keys(keys).perform()
        self.until(*expected)

    def until(self, *expected, seconds=15):
        from selenium.webdriver.support.wait import WebDriverWait

        def come(_):
            return all(text in self.text(name) for name, text in expected)

        WebDriverWait(self.browser, seconds, 0.05).until(come, f"expected {expected}")

    def style(self, selector, name):
        script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
        return self.browser.execute_script(script, selector, name)

    def shares(self, selector):
        """Zoom, and offset as shares of a pane."""
        script = "return document.querySelector(arguments[0]).clientWidth"
        width = self.browser.execute_script(script, f"{selector} .pane")
        zoom, _, _, _, x, y = map(
            float, self.style(f"{selector} .sheet", "transform")[7:-1].split(",")
        )
        return zoom, x / width, y / width


def test_whole_loop_in_a_browser(served, browser, root):
    reader = Reader(browser, served())
    reader.until(("title", "Photo 1"), ("progress", "0 of 4 photos decided, 4 listed"))
    decide_by_keys(reader)
    assert [(one.query, one.decision, one.candidate) for one in kept(root)] == [
        ("q1.jpg", "same", "k2.jpg"),
        ("q2.jpg", "new", ""),
        ("q3.jpg", "skip", ""),
        ("q3.jpg", "undo", ""),
    ]
    look_closer(reader)
    filter_and_type(reader)
    # Another person's row is there after a reload, and all is there after a restart.
    DecisionLog(root.file("decisions")).append(row("q1.jpg", "new", who="ben"))
    reader = Reader(browser, served())
    reader.until(("title", "Photo 1"), ("progress", "3 of 4"), ("state", "new individual (ben)"))
    assert browser.find_element("css selector", "#list button").get_attribute("data-state") == (
        "conflict"
    )
    faults = [one["message"] for one in browser.get_log("browser") if one["level"] == "SEVERE"]
    assert faults == []


def kept(root):
    return DecisionLog(root.file("decisions")).rows()


def decide_by_keys(reader):
    reader.press("5", ("status", "there is no candidate 5"))
    reader.press("2", ("title", "Photo 2"), ("status", "Photo 1: same as candidate 2"))
    reader.press("n", ("title", "Photo 3"), ("progress", "2 of 4"))
    reader.press("s", ("title", "Photo 4"), ("progress", "2 of 4"), ("candidates", "No candidates"))
    reader.press("u", ("title", "Photo 3"), ("status", "undone"), ("progress", "2 of 4"))
    reader.press("\ue012", ("title", "Photo 2"))  # arrow left
    reader.press("\ue012", ("title", "Photo 1"), ("state", "same"))
    reader.press("\ue014", ("title", "Photo 2"))  # arrow right
    reader.press("\ue012", ("title", "Photo 1"))


def test_large_pairs_names_and_a_reload_in_a_browser(served, browser, root):
    """One photo and one candidate fill the window; each can be turned; what was chosen outlives a reload."""
    reader = Reader(browser, served())
    reader.until(("title", "Photo 1"))
    reader.press("p")
    boxes = "return [...document.querySelectorAll('.pane')].map(p => p.getBoundingClientRect())"
    sizes = [(box["width"], box["height"]) for box in browser.execute_script(boxes)]
    width, height = browser.execute_script("return [innerWidth, innerHeight]")
    seen = [size for size in sizes if size[0]]
    assert len(seen) == 2
    assert all(w > 0.45 * width and h > 0.5 * height for w, h in seen), seen
    sources = "return [...document.images].filter(i => i.clientWidth).map(i => i.src)"
    assert all("large.jpg" in one for one in browser.execute_script(sources))
    reader.press("\ue015")  # arrow down: the second candidate
    assert "k2/" in browser.execute_script(sources)[1]
    # The locked zoom moves both; alone, the pane last touched only.
    reader.press("+")
    assert reader.shares("#query")[0] == reader.shares(".chosen")[0] == pytest.approx(1.25)
    reader.press("l", ("status", "each photo zooms alone"))
    browser.execute_script("document.querySelector('.chosen .pane').focus()")
    reader.press("+r")
    assert reader.shares("#query")[0] == pytest.approx(1.25)
    assert reader.shares(".chosen")[0] == pytest.approx(1.25**2)
    assert "rotate" in browser.execute_script(
        "return document.querySelector('.chosen .frame').style.transform"
    )
    reader.press("0l", ("status", "all photos zoom together"))
    reader.press("a", ("right-title", "All photos of candidate 2: 2"))
    reader.press("a", ("right-title", "Candidates"))
    reader.press("y", ("title", "Photo 2"), ("status", "Photo 1: same as candidate 2"))
    reader.press("t", ("title", "Photo 3"), ("status", "Photo 2: cannot tell"))
    reader.press("i")
    reader.press("Moon\n", ("status", "Nobody is called Moon yet"))
    reader.press("\n", ("title", "Photo 4"), ("status", "Photo 3: new individual Moon"))
    reader.press("i")
    reader.press("Moon\n", ("status", "Photo 4: new individual Moon"), ("progress", "4 of 4"))
    assert [(one.query, one.decision, one.candidate) for one in kept(root)] == [
        ("q1.jpg", "same", "k2.jpg"),
        ("q2.jpg", "unsure", ""),
        ("q3.jpg", "new", "Moon"),
        ("q4.jpg", "new", "Moon"),
    ]
    browser.find_element("css selector", "body").click()
    reader.press("u", ("title", "Photo 4"), ("progress", "3 of 4"))
    browser.find_element("id", "undecided").click()
    reader.until(("progress", "1 listed"))
    browser.refresh()
    reader.until(("title", "Photo 4"), ("progress", "1 listed"))
    assert browser.find_element("id", "undecided").is_selected()
    assert "pair" in browser.find_element("css selector", "body").get_attribute("class")
    faults = [one["message"] for one in browser.get_log("browser") if one["level"] == "SEVERE"]
    assert faults == []


def look_closer(reader):
    """Overlays are hidden at first; zoom and pan move all photos alike."""
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    assert reader.text("query-label") == ""
    assert reader.text("state") == "✓ same (anna)"
    reader.press("o", ("query-label", "q1.jpg"), ("candidates", "bob, score 0.5600, k3.jpg"))
    reader.until(("state", "same as ann"))
    pane = reader.browser.find_element("css selector", "#query .pane")
    origin = ScrollOrigin.from_element(pane, 40, 10)
    for _ in range(3):
        reader.actions().scroll_from_origin(origin, 0, -100).perform()
    before = reader.shares("#query")
    assert before[0] == pytest.approx(1.25**3, rel=1e-3)
    reader.actions().click_and_hold(pane).move_by_offset(30, 12).release().perform()
    query, candidate = reader.shares("#query"), reader.shares("#candidates")
    assert query == pytest.approx(candidate, abs=2e-3)
    assert query[1] > before[1] + 0.01
    assert query[2] > before[2] + 0.005
    assert "large.jpg" in reader.browser.find_element("css selector", "#query img").get_attribute(
        "src"
    )
    marks = reader.browser.find_elements("css selector", ".outline")
    assert len(marks) == 4
    reader.press("0w")
    assert reader.shares("#candidates")[0] == 1
    assert "whole.jpg" in reader.browser.find_element("css selector", "#query img").get_attribute(
        "src"
    )
    reader.press("ow")
    assert reader.text("query-label") == ""


def filter_and_type(reader):
    find = reader.browser.find_element
    find("id", "identity").send_keys("cats\ue003\n")  # a typo, taken back; s decides nothing here
    reader.until(("progress", "2 of 4 photos decided, 1 listed"), ("title", "Photo 2"))
    find("id", "identity").clear()
    find("id", "undecided").click()
    reader.until(("progress", "2 listed"), ("title", "Photo 3"))
    find("css selector", "#list li:last-child button").click()
    reader.until(("title", "Photo 4"))
    find("id", "who").clear()
    find("id", "who").send_keys("ben\n")
    reader.press("n", ("progress", "3 of 4 photos decided, 1 listed"), ("title", "Photo 3"))
    find("id", "undecided").click()
    reader.until(("progress", "4 listed"))
    find("css selector", "#list li:first-child button").click()
    reader.until(("title", "Photo 1"))
