"""New photos that may show one animal: compared with each other, joined, decided in groups, given out."""

import csv
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import refused, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from test_review import LABELS, OPTIONS, Reader, Visitor, photo, root, row

from whales.exchange.sightings import read_sightings
from whales.files.decided_photos import DecidedPhotos
from whales.files.decisions import DecisionLog, standing
from whales.files.digests import file_digest
from whales.files.encounters import encounter_of
from whales.files.import_table import IMPORT_COLUMNS
from whales.files.sides import PairSides
from whales.files.workspace import pairs_path
from whales.identifying.among import set_pairs_aside, write_pairs
from whales.identifying.identification import Answer, Fluke
from whales.identifying.request import Request
from whales.identifying.result_page import write_csv
from whales.reviewing.additions import additions
from whales.reviewing.joining import NamePattern, join
from whales.reviewing.relabelling import apply_decisions, relabel
from whales.reviewing.review_app import review_app
from whales.scores.best_photos import Candidate
from whales.scores.calibration import Curve
from whales.scores.head import HeadWeights
from whales.scores.pair_scores import score_matrix
from whales.scores.query_pairs import PAIR_COLUMNS, clusters, most_alike
from whales.scores.query_results import decided_photos, results_of_table

__all__ = ["root"]  # a fixture of the review's tests

BOOK = "decisions"
# a and b, b and c are linked; d and e are; f is most like the known cat.
PHOTOS = "abcdef"
SCORES = {"ab": 0.9, "bc": 0.7, "ac": 0.2, "de": 0.8, "cd": 0.15, "af": 0.6, "ef": 0.3}


def found(folder, scores=SCORES, photos=PHOTOS):
    """Tables of identify.py: new photos with one candidate each, and their pairs."""
    answers = []
    for shade, name in enumerate(photos):
        path = photo(folder / f"{name}.jpg", 60 + shade)
        known = (
            Candidate("cat", "k4", 0.95, 0.95)
            if name == "f"
            else Candidate("bob", "k3", 0.1, 0.125)
        )
        fluke = Fluke(path, 1, None, np.zeros((1, 1, 3), np.uint8), {}, file_digest(path))
        answers.append(Answer(fluke, 0.5, [known]))
    table = folder / "found.csv"
    write_csv(table, answers)
    rows = []
    for one, other in itertools.permutations(answers, 2):
        names = one.fluke.photo.stem + other.fluke.photo.stem
        score = scores.get(names, scores.get(names[::-1]))
        if score is not None:
            ends = [one.fluke.photo, 1, 1, other.fluke.photo, 1, score, score]
            rows.append([*ends, one.fluke.content, other.fluke.content])
    with open(pairs_path(table), "w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows([PAIR_COLUMNS, *rows])
    return table


@pytest.fixture
def table(root, tmp_path):
    return found(tmp_path)


@pytest.fixture
def desk(root, table):
    """A browser's side of a page on the new photos."""
    results = results_of_table(root, table)
    app = review_app(root, results, DecisionLog(root.file(BOOK)), "anna")
    return Visitor(app.test_client())


def post(desk, number, who="anna", **more):
    return desk.post("/api/decisions", number=number, who=who, net="results", **more)


def kept(root):
    return [(one.query, one.decision, one.candidate) for one in DecisionLog(root.file(BOOK)).rows()]


def offered(desk, number):
    return [one["number"] for one in desk.get(f"/api/queries/{number}").json["among"]]


# --- scores of new photos among themselves -----------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_most_alike_are_those_of_a_sorted_list(n, count, seed):
    """No photo with itself or its other fluke, none of an unlike side; ties to the earlier one."""
    random = np.random.default_rng(seed)
    scores = random.choice(np.linspace(0, 1, 5, dtype=np.float32), (n, n))
    photos = random.integers(0, n, n).tolist()
    codes = random.integers(0, 3, n).astype(np.int32)
    best = most_alike(lambda rows: scores[rows].copy(), photos, PairSides(codes, codes), count)
    for i in range(n):
        may = [
            j
            for j in range(n)
            if photos[i] != photos[j] and (codes[i] == codes[j] or 0 in (codes[i], codes[j]))
        ]
        wanted = sorted(may, key=lambda j: (-scores[i, j], j))[:count]
        assert [j for j in best.columns[i].tolist() if j >= 0] == wanted


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_clusters_are_what_links_reach(links):
    def reached(start):
        seen, ahead = {start}, [start]
        while ahead:
            here = ahead.pop()
            fresh = {b for a, b in links + [p[::-1] for p in links] if a == here} - seen
            seen |= fresh
            ahead += fresh
        return seen

    ends = {end for link in links for end in link}
    wanted = {tuple(sorted(reached(end))) for end in ends if len(reached(end)) > 1}
    assert clusters(links) == [list(group) for group in sorted(wanted)]


def test_identify_writes_the_pairs(tmp_path):
    """Scores by hand from the head of each fold; sides, copies and other flukes are heeded."""
    random = np.random.default_rng(0)
    d = 4
    heads = [
        HeadWeights(
            random.normal(size=(5, 8)).astype(np.float32),
            random.normal(size=8).astype(np.float32),
            random.normal(size=d).astype(np.float32),
            np.float32(0.1),
        )
        for _ in range(3)
    ]
    shares = [0.3, 0.4]
    judges = [
        SimpleNamespace(
            net=SimpleNamespace(share=0.3), folds=[SimpleNamespace(head=h) for h in heads[:2]]
        ),
        SimpleNamespace(net=SimpleNamespace(share=0.4), folds=[SimpleNamespace(head=heads[2])]),
    ]
    told = [("a", 1, "left"), ("a", 2, "left"), ("b", 1, ""), ("c", 1, "right"), ("d", 1, "left")]
    features = random.normal(size=(3, len(told), d)).astype(np.float32)
    nothing = np.zeros((1, 1, 3), np.uint8)
    answers = [
        Answer(
            Fluke(tmp_path / f"{name}.jpg", number, None, nothing, {}, name, side), None, []
        )._replace(features=list(features[:, row]))
        for row, (name, number, side) in enumerate(told)
    ]
    codes = {"": 0, "left": 1, "right": 2}
    catalogue = SimpleNamespace(
        judges=judges,
        sides=SimpleNamespace(codes_of=lambda sides: np.array([codes[s] for s in sides], np.int32)),
        same=Curve(np.array([0.0, 1.0]), np.array([0.0, 0.5])),
    )
    write_pairs(tmp_path / "among.csv", catalogue, answers)
    with open(tmp_path / "among.csv", newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    dense = [score_matrix(head, x, x) for head, x in zip(heads, features, strict=True)]
    blended = (shares[0] * (dense[0] + dense[1]) / 2 + shares[1] * dense[2]) / sum(shares)
    like = [  # sides: a, d are left, c right, b either
        (i, j)
        for i, j in itertools.permutations(range(5), 2)
        if told[i][0] != told[j][0] and not {told[i][2], told[j][2]} >= {"left", "right"}
    ]
    wanted = {
        (told[i][0], str(told[i][1]), told[j][0], str(told[j][1])): blended[i, j] for i, j in like
    }
    got = {
        (r["content"], r["fluke"], r["other_content"], r["other_fluke"]): float(r["score"])
        for r in rows
    }
    assert got.keys() == wanted.keys()
    for key, score in wanted.items():
        assert got[key] == pytest.approx(score, abs=2e-6)
    assert all(
        float(r["probability"]) == pytest.approx(float(r["score"]) / 2, abs=1e-6) for r in rows
    )
    for _, group in itertools.groupby(rows, key=lambda r: (r["query"], r["fluke"])):
        ranked = [float(r["score"]) for r in group]
        assert ranked == sorted(ranked, reverse=True)


def test_pairs_of_an_earlier_call_are_set_aside(tmp_path, capsys):
    set_pairs_aside(tmp_path / "f.csv")
    assert capsys.readouterr().out == ""
    (tmp_path / "f_among.csv").write_text("of other nets")
    set_pairs_aside(tmp_path / "f.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["f_among.csv.1"]
    assert "kept as" in capsys.readouterr().out


def test_table_and_page_need_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(
        lambda: Request([tmp_path], csv=tmp_path / "f", html=Path("f")), "--csv and --html both"
    )


def test_among_needs_a_table_and_all_photos(tmp_path):
    refused(lambda: Request([tmp_path], among=True), "--among", "--csv")
    refused(lambda: Request([tmp_path], csv=tmp_path / "f.csv", among=True, watch=True), "--watch")


def test_stale_pairs_are_left_out(root, table, tmp_path, capsys):
    photo(tmp_path / "b.jpg", 200)
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text(
        "\n".join(line for line in lines if "b.jpg" not in line) + "\n", encoding="utf-8"
    )
    pairs = results_of_table(root, table).pairs
    assert [one.index for one in pairs.of(0)] == [4, 1]  # f, then c
    assert "4 rows are on photos that are not in" in capsys.readouterr().out


def test_without_pairs_the_page_says_how_to_get_them(root, table):
    pairs_path(table).unlink()
    app = review_app(root, results_of_table(root, table), DecisionLog(root.file(BOOK)), "anna")
    told = Visitor(app.test_client()).get("/api/queries/1").json
    assert (told["among"], "--among" in told["note"]) == ([], True)


# --- names ------------------------------------------------------------------------------------------


def test_patterns_of_names():
    assert NamePattern("HB26-###").free(["hb26-001", "HB26-002x"]) == "HB26-002"
    for text in ("none", "a#b#", "?", "#" * 70):
        refused(lambda text=text: NamePattern(text), "--new-names")


def test_joining_by_hand():
    stacks = {
        0: [row("a", "new", "new_0001")],
        1: [row("b", "new", "new_0001")],
        2: [row("c", "new", "Moon")],
        3: [row("d", "new")],
        4: [row("e", "new", "Star", who="ben")],
    }
    pattern = NamePattern()
    assert join([5, 6], stacks, {"new_0001"}, pattern) == ("new_0002", [5, 6])
    assert join([3, 5], stacks, set(), pattern, "Luna") == ("Luna", [3, 5])
    # A made name gives way to one that a person gave, and all of its photos come along.
    assert join([2, 0], stacks, set(), pattern) == ("Moon", [0, 1])
    assert join([1, 5], stacks, set(), pattern) == ("new_0001", [5])
    assert join([0, 1], stacks, set(), pattern) == ("new_0001", [])
    refused(lambda: join([2, 4], stacks, set(), pattern), "Moon and Star")


# --- the page ---------------------------------------------------------------------------------------


def test_new_photos_are_candidates_of_each_other(desk, root):
    assert offered(desk, 1) == [2, 6, 3]  # b .9, f .6, c .2
    assert post(desk, 1, like=2).json == {
        "number": 1, "state": "new", "numbers": [1, 2], "name": "new_0002"
    }  # fmt: skip
    assert post(desk, 3, like=2).json["name"] == "new_0002"  # a chain
    assert kept(root) == [(f"{name}.jpg", "new", "new_0002") for name in "abc"]
    assert post(desk, 4, like=5).json["name"] == "new_0003"
    # Both groups become one, and undo takes that back in one step.
    assert post(desk, 5, like=3).json["numbers"] == [5, 4]
    assert {one[2] for one in desk_names(desk)} == {"new_0002"}
    assert desk.post("/api/undo", who="anna").json["numbers"] == [5, 4]
    assert desk.get("/api/names").json["new"] == ["new_0002", "new_0003"]
    answer = post(desk, 1, like=3)
    assert (answer.status_code, "already, new_0002" in answer.json["error"]) == (400, True)


def desk_names(desk):
    """(number, decision, identity) of all that is decided."""
    told = [desk.get(f"/api/queries/{number}").json for number in range(1, 6)]
    return [(one["number"], d["decision"], d["identity"]) for one in told for d in one["decided"]]


def test_known_ones_and_those_that_cannot_be_told_are_not_offered(desk, root):
    post(desk, 2, identity="ann")
    post(desk, 6, decision="unsure")
    assert offered(desk, 1) == [3]
    answer = post(desk, 1, like=2)
    assert (answer.status_code, "photo 2 is decided as ann by anna" in answer.json["error"]) == (
        400,
        True,
    )
    answer = post(desk, 1, like=1)
    assert answer.status_code == 400
    assert post(desk, 1, like=9).status_code == 404
    assert len(kept(root)) == 2


def test_a_name_of_one_agrees_with_new_of_another(desk, root):
    """Who says "new" and gives no name does not differ from who joins the photo to another."""
    post(desk, 2, who="ben", decision="new")
    post(desk, 1, like=2)
    assert desk.listed()[1] == (2, "new")
    results = results_of_table(root, root.root.parent / "found.csv")
    photos = decided_photos(root, results)
    rows = DecisionLog(root.file(BOOK)).rows()
    added = relabel(rows, results.queries, LABELS, set(), root.file(BOOK), photos).added
    assert added == {"b.jpg": "new_0002", "a.jpg": "new_0002"}


def test_clusters_are_confirmed_at_once(desk, root):
    told = desk.get("/api/clusters").json
    numbers = [[one["number"] for one in group] for group in told["groups"]]
    assert numbers == [[1, 2, 3], [4, 5]]  # f is taken for the known cat
    assert told["groups"][0][0]["best"] == {"identity": "bob", "value": 0.125}
    assert post(desk, 1, decision="new", **{"with": [2, 3]}).json["numbers"] == [1, 2, 3]
    assert post(desk, 4, identity="Moon", **{"with": [5]}).json["name"] == "Moon"
    assert desk.get("/api/clusters").json["groups"] == []
    assert [one["number"] for one in desk.get("/api/clusters?min=.1").json["groups"][0]] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert desk.post("/api/undo", who="anna").json["numbers"] == [4, 5]
    assert [(n, s) for n, s in desk.listed() if s] == [(1, "new"), (2, "new"), (3, "new")]
    assert len(desk.get("/api/clusters").json["groups"]) == 1


def test_all_tables_agree_on_the_name(desk, root, table, tmp_path):
    """Labels, the catalogue and exports; a number is never that of another new whale."""
    post(desk, 6, decision="new")
    post(desk, 1, like=2)
    results, book = results_of_table(root, table), DecisionLog(root.file(BOOK))
    apply_decisions(tmp_path / "labels.csv", root, results, book, write=True, table=table)
    with open(tmp_path / "labels.csv", newline="", encoding="utf-8") as source:
        labels = {one["Image"]: one["Id"] for one in csv.DictReader(source)}
    added = {one.query.name: one.identity for one in additions(root, book.path, [table])}
    seen = {
        s.image: s.individual for s in read_sightings(root, decisions=book.path, results=[table])
    }
    for name in ("a.jpg", "b.jpg"):
        assert {labels[name], added[name], seen[name]} == {"new_0002"}
    assert (
        labels["f.jpg"] == added["f.jpg"] == "new_0003"
    )  # NEW_0001's look is taken by the playground


# --- several photos at once -------------------------------------------------------------------------


def test_a_name_that_is_known_by_now_is_no_new_one(desk, root, table):
    """Joined to a photo whose new individual was taken into the catalogue since."""
    post(desk, 1, identity="Moon 7")
    write_lines(
        root.file("import_table"), ",".join(IMPORT_COLUMNS), "a.jpg,a,/x/a,Moon_7,Moon 7,,train"
    )
    labels = root.file("train_csv").read_text().strip().splitlines()
    write_lines(root.file("train_csv"), *labels, "moon.jpg,Moon_7")
    book = DecisionLog(root.file(BOOK))
    later = Visitor(review_app(root, results_of_table(root, table), book, "anna").test_client())
    assert post(later, 3, like=1).json["numbers"] == [3]
    assert kept(root)[1:] == [("c.jpg", "same", "Moon_7")]


def test_an_encounter_is_decided_at_once(root, table, tmp_path):
    details = write_lines(
        tmp_path / "details.csv", "photo,date,place,encounter",
        "a.jpg,2019-07-01,Tonga,", "c.jpg,2019-07-01,Tonga,", "d.jpg,,,E1", "f.jpg,2019-07-01,Tonga,",
        "e.jpg,2019-07-01,,",
    )  # fmt: skip
    book = DecisionLog(root.file(BOOK))
    app = review_app(root, results_of_table(root, table), book, "anna", details=details)
    desk = Visitor(app.test_client())
    together = [one["number"] for one in desk.get("/api/queries/1").json["together"]]
    assert together == [3, 6]
    assert [desk.get(f"/api/queries/{n}").json["together"] for n in (2, 4, 5)] == [[], [], []]
    assert offered(desk, 1) == [6, 3, 2]  # of one encounter first
    answer = post(desk, 1, decision="same", photo="k3.jpg", **{"with": together})
    assert answer.json["numbers"] == [1, 3, 6]
    rows = book.rows()
    told = [(one.query, one.decision, one.candidate, one.score) for one in rows]
    assert told == [
        ("a.jpg", "same", "k3.jpg", "0.100000"),
        ("c.jpg", "same", "k3.jpg", "0.100000"),
        ("f.jpg", "same", "k3.jpg", ""),  # bob is no candidate of it
    ]
    assert len({one.when for one in rows}) == 1
    assert desk.get("/api/queries/1").json["together"] == []
    post(desk, 2, decision="new")
    assert desk.post("/api/undo", who="anna").json["numbers"] == [2]
    assert desk.post("/api/undo", who="anna").json["numbers"] == [1, 3, 6]
    assert desk.listed() == [(n, "") for n in range(1, 7)]


def test_an_act_is_undone_whole_or_not_at_all(desk, root):
    post(desk, 1, decision="unsure", **{"with": [2]})
    post(desk, 2, who="ben", identity="ann")
    answer = desk.post("/api/undo", who="anna")
    assert (answer.status_code, "ben has decided" in answer.json["error"]) == (400, True)
    assert desk.post("/api/undo", who="ben").json["numbers"] == [2]
    assert desk.post("/api/undo", who="anna").json["numbers"] == [1, 2]
    photos = DecidedPhotos([f"{name}.jpg" for name in PHOTOS])
    assert standing(DecisionLog(root.file(BOOK)).rows(), photos.index_of) == {}


def test_two_flukes_of_one_photo_are_never_one_animal(root, tmp_path):
    photo_file = photo(tmp_path / "two.jpg", 80)
    content = file_digest(photo_file)
    candidate = Candidate("ann", "k1", 0.9, 0.9)
    flukes = [
        Fluke(photo_file, n, None, np.zeros((1, 1, 3), np.uint8), {}, content) for n in (1, 2)
    ]
    write_csv(tmp_path / "two.csv", [Answer(fluke, 0.5, [candidate]) for fluke in flukes])
    details = write_lines(tmp_path / "d.csv", "photo,encounter", "two.jpg,E1")
    results = results_of_table(root, tmp_path / "two.csv")
    book = DecisionLog(root.file(BOOK))
    visitor = Visitor(review_app(root, results, book, "anna", details=details).test_client())
    assert visitor.get("/api/queries/1").json["together"] == []
    for said in ({"identity": "ann"}, {"decision": "same", "photo": "k1.jpg"}):
        answer = post(visitor, 1, **said, **{"with": [2]})
        assert answer.status_code == 400
        assert "two flukes of one photo" in answer.json["error"]
    assert post(visitor, 1, decision="skip", **{"with": [2]}).status_code == 200


@pytest.mark.parametrize("wrong", ["2", [0], [99], [True], {"a": 1}])
def test_odd_lists_of_photos(desk, root, wrong):
    assert post(desk, 1, decision="unsure", **{"with": wrong}).status_code in (400, 404)
    assert not root.file(BOOK).exists()


def test_words_for_nothing_are_no_encounter():
    for word in ("NA", "unknown", " ? ", "n/a", "-"):
        assert encounter_of({"sighting": word, "date": "2019-07-01", "place": word}) == ""
    assert (
        encounter_of({"sighting": "NA", "date": "2019-07-01", "place": "Bay"}) == "2019-07-01, Bay"
    )
    assert encounter_of({"encounter": "0"}) == "0"


def test_encounters_by_hand():
    assert encounter_of({"date": "2019-07-01", "latitude": "-18.651", "longitude": "1"}) == (
        "2019-07-01, -18.65 1.00"
    )
    assert encounter_of({"date": "2019-07", "place": "Tonga"}) == ""
    assert encounter_of({"date": "2019-07-01", "latitude": "18° 3'", "longitude": "1"}) == ""


def test_the_program_takes_a_pattern_and_details(script, root, table, tmp_path):
    review = script("tools/review.py").main
    for more, parts in (
        (["--new-names", "whale"], ["--new-names", "received whale"]),
        (
            ["--details", str(write_lines(tmp_path / "d.csv", "date", "2019"))],
            ["column photo is missing"],
        ),
    ):
        refused(lambda more=more: review([*OPTIONS, "--results", str(table), *more]), *parts)


# --- in a browser -----------------------------------------------------------------------------------


def test_joins_groups_and_encounters_in_a_browser(root, table, tmp_path, browser, serving):
    details = write_lines(
        tmp_path / "details.csv", "photo,encounter", "d.jpg,E1", "e.jpg,E1", "f.jpg,E1"
    )
    address = serving(
        lambda: review_app(
            root,
            results_of_table(root, table),
            DecisionLog(root.file(BOOK)),
            "anna",
            details=details,
        )
    )
    reader = Reader(browser, address)
    reader.until(("title", "Photo 1"), ("candidates", "New photos like this one"))
    reader.press(
        "jy", ("title", "Photo 2"), ("status", "Photos 1 and 2: one new individual with photo 2")
    )
    reader.until(("candidates", "New photo 1, joined already"))
    reader.press("g", ("groups-title", "Groups of new photos: 2"), ("grouped", "Group 2: 2 photos"))
    reader.press("n", ("status", "G closes the groups first"))
    browser.find_element("css selector", "#grouped button").click()
    reader.until(
        ("groups-title", ": 1"), ("status", "Photo 3: one new individual, called new_0002")
    )
    focus = "return document.activeElement.getAttribute('aria-label')"
    assert browser.execute_script(focus) == "Group 1: one new individual"
    reader.press("u", ("groups-title", ": 2"), ("status", "Photo 3: undone"))
    reader.press("g")
    browser.find_element("css selector", "#list li:nth-child(4) button").click()
    reader.until(("title", "Photo 4"))
    reader.press("e", ("together-title", "this photo, and photos 5 and 6"))
    boxes = browser.find_elements("css selector", "#mates input")
    boxes[1].click()
    reader.until(("together-title", "this photo, and photo 5"))
    assert browser.execute_script("return document.activeElement.checked") is False
    reader.press("t", ("status", "Photos 4 and 5: cannot tell"), ("progress", "4 of 6"))
    reader.press("u", ("status", "Photos 4 and 5: undone"), ("progress", "2 of 6"))
    faults = [one["message"] for one in browser.get_log("browser") if one["level"] == "SEVERE"]
    assert faults == []
