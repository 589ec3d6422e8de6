"""Decisions know photos by content: names lent out twice, changed photos, tables of former versions."""

import csv
import re
import shutil

import cv2
import numpy as np
import pytest
from helpers import write_lines
from hypothesis import given
from hypothesis import strategies as st

from whales.base.pickles import save
from whales.exchange.sightings import read_decisions
from whales.files.decided_photos import DecidedPhotos
from whales.files.decisions import (
    DECISION_COLUMNS,
    FORMER_COLUMNS,
    Decision,
    DecisionLog,
    fluke_content,
)
from whales.files.digests import file_digest
from whales.files.labels import identities_of, read_labels
from whales.files.workspace import Workspace
from whales.reviewing.desk import Desk, Filter
from whales.reviewing.relabelling import apply_decisions
from whales.reviewing.review_app import review_app
from whales.scores.query_results import decided_photos, results_of_table

FORMER = ",".join(FORMER_COLUMNS)
KNOWN = {"k1": "ann", "k2": "bob"}
BOX = (1, 1, 30, 20)


def photo(path, value):
    """A grey JPEG of a content that `value` alone decides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((24, 40, 3), value, np.uint8))
    return path


@pytest.fixture
def root(work_root):
    """A work root with two known whales and one test photo, IMG_1."""
    ws = Workspace(work_root)
    for number, name in enumerate(KNOWN):
        photo(ws.train_photo(name), 200 + number)
    photo(ws.test_photo("IMG_1"), 10)
    write_lines(ws.file("train_csv"), "Image,Id", *(f"{n}.jpg,{who}" for n, who in KNOWN.items()))
    write_lines(ws.file("sample_submission"), "Image,Id", "IMG_1.jpg,new_whale")
    save(ws.file("boxes_averaged"), dict.fromkeys([*KNOWN, "IMG_1"], BOX))
    save(ws.file("boxes_averaged_playground"), {})
    return ws


def found(folder, *photos, fluke="1"):
    """A table of identify.py on photos."""
    lines = [f"{path},{fluke},{who},{name}.jpg" for path in photos for name, who in KNOWN.items()]
    return write_lines(folder / "found.csv", "query,fluke,identity,photo", *lines)


def desk(root, table):
    return Desk(root, results_of_table(root, table), DecisionLog(root.file("decisions")))


def decide(page, number, decision, photo=""):
    body = {"number": number, "decision": decision, "photo": photo, "who": "anna", "net": "results"}
    return page.decide(body)


def states(page):
    return [one["state"] for one in page.listed(Filter("results"))["queries"]]


def applied(root, table, out, capsys):
    """What --apply --yes writes besides train.csv, and all that it says."""
    results = results_of_table(root, table)
    capsys.readouterr()
    apply_decisions(out, root, results, DecisionLog(root.file("decisions")), write=True)
    labels = identities_of(read_labels(out))
    return {name: who for name, who in labels.items() if name not in KNOWN}, capsys.readouterr().out


def test_two_cards_with_one_name_each(root, tmp_path, capsys):
    cards = [photo(tmp_path / card / "IMG_7.jpg", i) for i, card in enumerate(("cam1", "cam2"))]
    table = found(tmp_path, *cards)
    page = desk(root, table)
    decide(page, 1, "same", "k2.jpg")
    assert states(page) == ["same", ""]
    decide(page, 2, "new")
    assert states(page) == ["same", "new"]
    assert page.undo("anna") == {"number": 2, "numbers": [2], "decision": "undo"}
    assert states(desk(root, table)) == ["same", ""]
    # One table of labels cannot hold both names: nothing is guessed, and the remedy is named.
    added, said = applied(root, table, tmp_path / "labels.csv", capsys)
    assert added == {}
    assert str(cards[0]) in said
    assert "rename them" in said
    # Renamed, as it says: the decision goes with the photo.
    cards[0].rename(cards[0].with_name("first.jpg"))
    again = found(tmp_path, cards[0].with_name("first.jpg"), cards[1])
    assert applied(root, again, tmp_path / "more.csv", capsys)[0] == {"first": "bob"}


def test_a_decision_of_one_trip_is_not_exported_for_another(root, tmp_path, capsys):
    trip = photo(tmp_path / "trip1/IMG_1.jpg", 99)
    decide(desk(root, found(tmp_path, trip)), 1, "same", "k1.jpg")
    queries, labels = {"IMG_1": []}, dict(KNOWN)
    assert read_decisions(root.file("decisions"), queries, labels, root) == {}
    assert "line 2 (IMG_1.jpg)" in capsys.readouterr().out
    # The same table, read for the photo that it is on.
    shutil.copy(trip, root.test_photo("IMG_1"))
    assert read_decisions(root.file("decisions"), queries, labels, root) == {"IMG_1": "ann"}


@pytest.mark.parametrize("what", ["query", "candidate"])
def test_a_photo_changed_since(root, tmp_path, capsys, what):
    query = photo(tmp_path / "q.jpg", 5)
    table = found(tmp_path, query)
    page = desk(root, table)
    decide(page, 1, "new")
    decide(page, 1, "same", "k1.jpg")
    photo(query if what == "query" else root.train_photo("k1"), 77)
    # Neither the changed one nor the older one beneath it.
    assert states(desk(root, table)) == [""]
    added, said = applied(root, table, tmp_path / "labels.csv", capsys)
    assert added == {}
    assert "not applied, since the photo has other content" in said
    # Deciding again settles it.
    decide(desk(root, table), 1, "same", "k2.jpg")
    assert applied(root, table, tmp_path / "labels.csv", capsys)[0] == {"q": "bob"}


def test_former_tables_are_read_by_name_and_said_so(root, tmp_path, capsys):
    cards = [photo(tmp_path / card / "IMG_7.jpg", i) for i, card in enumerate(("cam1", "cam2"))]
    other = photo(tmp_path / "b.jpg", 40)
    rows = "anna,x,IMG_7.jpg,same,k1.jpg,", "anna,x,b.jpg,same,k2.jpg,"
    write_lines(root.file("decisions"), FORMER, *rows)
    table = found(tmp_path, *cards, other)
    assert states(desk(root, table)) == ["", "", "same"]
    added, said = applied(root, table, tmp_path / "labels.csv", capsys)
    assert added == {"b": "bob"}
    assert "line 2 (IMG_7.jpg)" in said
    assert "several photos have the name" in said
    assert "applied by the photo's name, having no content: line 3 (b.jpg)" in said


def test_the_first_new_row_gives_a_former_table_its_columns(root, tmp_path):
    book = DecisionLog(root.file("decisions"))
    lines = f'{FORMER}\r\n\r\n"A, B",x,q 1.jpg,same,k1.jpg,.5\r\nb,y,"q\n2.jpg",new,,\r\n'
    book.path.parent.mkdir()
    book.path.write_bytes(lines.encode())
    elsewhere = book.path.rename(tmp_path / "kept.csv")
    book.path.symlink_to(elsewhere)
    before = [row._replace(line=0) for row in book.rows()]
    page = desk(root, found(tmp_path, photo(tmp_path / "z.jpg", 3)))
    decide(page, 1, "same", "k2.jpg")
    assert book.path.is_symlink()
    with open(book.path, newline="", encoding="utf-8") as source:
        assert next(csv.reader(source)) == list(DECISION_COLUMNS)
    *former, row = book.rows()
    assert [one._replace(line=0) for one in former] == before
    contents = file_digest(tmp_path / "z.jpg"), file_digest(root.train_photo("k2"))
    assert (row.query_content, row.candidate_content) == contents
    assert sorted(path.name for path in book.path.parent.iterdir()) == ["decisions.csv"]


def test_a_line_cut_within_its_content_is_torn(tmp_path):
    book = DecisionLog(tmp_path / "d.csv")
    row = Decision("anna", "x", "q.jpg", "same", "k1.jpg", "", "a" * 32, "b" * 32)
    book.append(row._replace(query="p.jpg"))
    first = book.path.read_bytes()
    book.append(row)
    whole = book.path.read_bytes()
    for end in range(len(first) + 1, len(whole)):
        book.path.write_bytes(whole[:end])
        read = [one._replace(line=0) for one in book.rows()]
        # Only the line feed may be missing.
        assert read[1:] == ([row] if end == len(whole) - 1 else []), end


def test_flukes_of_one_photo_are_told_apart(root, tmp_path):
    path = photo(tmp_path / "two.jpg", 8)
    # A name that looks like the second fluke of another photo.
    alike = photo(tmp_path / "two#2.jpg", 9)
    lines = [f"{path},1,ann,k1.jpg", f"{path},2,ann,k1.jpg", f"{alike},1,ann,k1.jpg"]
    table = write_lines(tmp_path / "found.csv", "query,fluke,identity,photo", *lines)
    page = desk(root, table)
    decide(page, 2, "new")
    assert states(page) == ["", "new", ""]
    decide(page, 3, "skip")
    assert states(page) == ["", "new", "skip"]


def test_a_second_copy_of_one_file_is_shown_once(root, tmp_path, capsys):
    copies = [photo(tmp_path / folder / "a.jpg", 8) for folder in ("one", "two")]
    results = results_of_table(root, found(tmp_path, *copies))
    assert [query.path for query in results.queries] == [copies[0]]
    assert f"{copies[1]} is the same file as {copies[0]}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "name"), [(10, "IMG_1.jpg"), (11, "DSC_1.jpg"), (60, "DSC_1.jpg")]
)
def test_the_next_card_at_the_path_of_an_import(root, tmp_path, capsys, value, name):
    """The path of an imported photo may be that of another photo now."""
    card = photo(tmp_path / "card/DSC_1.jpg", value)
    # Encoded anew at the import, the same picture has other bytes.
    pixels = np.full((24, 40, 3), 10, np.uint8)
    pixels[8:16] = 255 if value == 11 else 10
    cv2.imwrite(str(root.test_photo("IMG_1")), pixels, [cv2.IMWRITE_JPEG_QUALITY, 70])
    line = f"IMG_1.jpg,DSC_1.jpg,{card},,,,test"
    write_lines(root.file("import_table"), "Image,original,path,Id,identity,date,split", line)
    table = found(tmp_path, card)
    page = desk(root, table)
    assert [query.name for query in page.results.queries] == [name]
    decide(page, 1, "new")
    said = "is not the photo that was imported from there" in capsys.readouterr().out
    assert said == (name == "DSC_1.jpg")
    settled = read_decisions(root.file("decisions"), {"IMG_1": []}, KNOWN, root)
    assert settled == ({"IMG_1": "new_whale"} if name == "IMG_1.jpg" else {})


def test_a_photo_that_changes_under_the_page(root, tmp_path):
    query = photo(tmp_path / "q.jpg", 5)
    results, book = results_of_table(root, found(tmp_path, query)), DecisionLog(tmp_path / "d.csv")
    client = review_app(root, results, book, "anna").test_client()
    token = re.search(r'review-token" content="([^"]+)"', client.get("/").get_data(as_text=True))[1]
    body = {"number": 1, "decision": "new", "who": "anna"}

    def post():
        return client.post("/api/decisions", json=body, headers={"X-Review-Token": token})

    client.get("/api/queries/1")
    photo(query, 6)
    assert post().status_code == 400
    assert "q.jpg has changed" in post().json["error"]
    assert book.rows() == []
    photo(query, 5)
    assert post().status_code == 200


STEMS, CONTENTS = ["a", "b", "c"], ["1" * 32, "2" * 32, "3" * 32]
PHOTOS = st.lists(
    st.tuples(st.sampled_from(STEMS), st.sampled_from(CONTENTS)), unique=True, max_size=5
)


@given(PHOTOS, st.sampled_from(STEMS), st.sampled_from(["", *CONTENTS]))
def test_no_decision_goes_to_a_photo_of_other_content(photos, name, content):
    reviewed = DecidedPhotos([f"{stem}.jpg" for stem, _ in photos], lambda i: photos[i][1])
    index = reviewed.index_of(Decision("x", "", f"{name}.JPG", "new", query_content=content))
    same_name = [i for i, (stem, _) in enumerate(photos) if stem == name]
    same_content = [i for i, (_, digest) in enumerate(photos) if digest == content]
    if not content:
        assert index == (same_name[0] if len(same_name) == 1 else None)
    elif {*same_name} & {*same_content}:
        assert {index} == {*same_name} & {*same_content}
    else:
        assert index == (same_content[0] if len(same_content) == 1 else None)


def test_contents_of_what_is_under_review(root, tmp_path):
    path = photo(tmp_path / "q.jpg", 8)
    results = results_of_table(root, found(tmp_path, path, fluke="2"))
    content = fluke_content(file_digest(path), "2")
    row = Decision("x", "", "renamed.jpg", "new", query_content=content)
    assert decided_photos(root, results).index_of(row) == 0
    assert decided_photos(root, results).index_of(row._replace(query_content=content[:32])) is None
