"""Photos dropped into a folder: waited for until they are whole, answered once, named once if broken."""

import csv
import os

import pytest
from helpers import refused
from small_root import draw
from whales_tools import identify

from whales.identifying import watching
from whales.identifying.request import Request
from whales.identifying.watching import PATIENCE, SETTLED, KeptAnswers, NewPhotos, watch


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def drop(tmp_path):
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def clock():
    return Clock()


def test_a_photo_is_given_out_once_when_it_stays_as_it_is(drop, clock):
    photos = NewPhotos([drop], clock)
    assert photos.look() == []
    draw(drop / "cam1/a.jpg", 1)
    assert photos.look() == []
    clock.wait(SETTLED)
    assert photos.look() == [drop / "cam1/a.jpg"]
    clock.wait(SETTLED)
    assert photos.look() == []
    draw(drop / "cam1/a.jpg", 2, size=(110, 70))  # another photo under its name
    assert photos.look() == []
    clock.wait(SETTLED)
    assert photos.look() == [drop / "cam1/a.jpg"]


def test_a_half_copied_photo_is_waited_for(drop, clock, capsys):
    photos = NewPhotos([drop], clock)
    whole = draw(drop / "x.jpg", 1) is not None and (drop / "x.jpg").read_bytes()
    (drop / "x.jpg").write_bytes(whole[: len(whole) // 2])
    for _ in range(3):
        assert photos.look() == []
        clock.wait(PATIENCE / 4)
    (drop / "x.jpg").write_bytes(whole)
    assert photos.look() == []
    clock.wait(SETTLED)
    assert photos.look() == [drop / "x.jpg"]
    assert capsys.readouterr().err == ""


def test_a_broken_photo_is_named_once_and_again_when_it_changes(drop, clock, capsys):
    photos = NewPhotos([drop], clock)
    (drop / "bad.jpg").write_text("no photo")
    for _ in range(10):
        assert photos.look() == []
        clock.wait(PATIENCE / 3)
    assert capsys.readouterr().err.count("bad.jpg cannot be read") == 1
    draw(drop / "bad.jpg", 1)
    photos.look()
    clock.wait(SETTLED)
    assert photos.look() == [drop / "bad.jpg"]


def test_other_files_hidden_ones_and_a_folder_that_goes(drop, clock, capsys):
    photos = NewPhotos([drop, drop.parent / "card"], clock)
    (drop / "notes.txt").write_text("x")
    draw(drop / ".hidden.jpg", 1)
    for _ in range(3):
        assert photos.look() == []
        clock.wait(PATIENCE)
    assert capsys.readouterr().err.count("card cannot be read") == 1
    draw(drop.parent / "card/b.jpg", 2)  # the card is in again
    photos.look()
    clock.wait(SETTLED)
    assert photos.look() == [drop.parent / "card/b.jpg"]


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as source:
        return [(os.path.basename(row["query"]), row["rank"]) for row in csv.DictReader(source)]


def watched(root, request, steps, monkeypatch):
    """Watch until the steps, one a pause, are done; then Ctrl-C."""
    waiting = iter(steps)

    def sleep(_):
        step = next(waiting, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    with monkeypatch.context() as patch:
        patch.setattr(watching.time, "sleep", sleep)
        patch.setattr(watching, "SETTLED", 0.0)
        patch.setattr(watching, "PATIENCE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            watch(request, lambda: identify.open_identifier(root, profile="smoke", workers=1))


def test_what_comes_is_answered_and_an_earlier_table_goes_on(
    trained_root, small_nets, drop, tmp_path, monkeypatch, capsys
):
    out, page = tmp_path / "found.csv", tmp_path / "found.html"
    drop = drop / "-".join(["a folder whose path is wider than a terminal"] * 3)
    draw(drop / "one.jpg", 90)
    request = Request([drop], top=2, csv=out, html=page, watch=True)
    steps = [
        lambda: draw(drop / "two.jpg", 91),
        lambda: (drop / "bad.jpg").write_text("x"),
        lambda: None,
    ]
    watched(trained_root, request, steps, monkeypatch)
    answered = [("one.jpg", "1"), ("one.jpg", "2"), ("two.jpg", "1"), ("two.jpg", "2")]
    assert rows(out) == answered
    assert page.read_text().count("<section") == 2
    assert capsys.readouterr().err.count("bad.jpg cannot be read") == 1
    first = out.read_bytes()
    steps = [lambda: draw(drop / "one.jpg", 92), lambda: None]  # a new photo under an old name
    watched(trained_root, request, steps, monkeypatch)
    said = capsys.readouterr().out
    assert "2 photos are answered in" in said
    assert said.count("one.jpg #1") == 1
    assert rows(out) == [*answered[2:], *answered[:2]]
    assert out.read_bytes() != first


def test_many_photos_are_kept_as_they_are_answered(
    trained_root, small_nets, drop, tmp_path, monkeypatch, capsys
):
    """A stop in the middle loses no more than what was being asked; an earlier page stays."""
    out, page = tmp_path / "found.csv", tmp_path / "found.html"
    page.write_text("of an earlier call")
    for number in range(5):
        draw(drop / f"{number}.jpg", 90 + number)
    request = Request([drop], top=1, csv=out, html=page, watch=True)
    asked = []
    answer = watching._answer

    def stopped(request, identifier, kept, photos):
        asked.append([photo.name for photo in photos])
        if len(asked) == 3:
            raise KeyboardInterrupt
        answer(request, identifier, kept, photos)

    monkeypatch.setattr(watching, "_AT_ONCE", 2)
    monkeypatch.setattr(watching, "_answer", stopped)
    monkeypatch.setattr(watching, "_WRITING_SHARE", 1e-9)  # as if both took long to write
    watched(trained_root, request, [lambda: None, lambda: None], monkeypatch)
    assert asked == [["0.jpg", "1.jpg"], ["2.jpg", "3.jpg"], ["4.jpg"]]
    assert [name for name, _ in rows(out)] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert page.read_text().count("<section") == 4
    assert (tmp_path / "found.html.1").read_text() == "of an earlier call"
    assert "kept as" in capsys.readouterr().out


def test_a_photo_that_is_gone_or_written_otherwise(
    trained_root, small_nets, drop, tmp_path, monkeypatch
):
    """Of an earlier table, whose paths another call wrote from another folder."""
    out = tmp_path / "found.csv"
    (tmp_path / "found_among.csv").write_text("pairs of an earlier call")
    for number in range(2):
        draw(drop / f"{number}.jpg", 90 + number)
    watched(trained_root, Request([drop], top=1, csv=out, watch=True), [lambda: None], monkeypatch)
    assert (tmp_path / "found_among.csv.1").read_text() == "pairs of an earlier call"
    assert not (tmp_path / "found_among.csv").exists()
    monkeypatch.chdir(tmp_path)
    kept = KeptAnswers(Request([drop], csv=out))
    here = drop.relative_to(tmp_path)
    assert [kept.waits(folder / "0.jpg") for folder in (drop, here)] == [False, False]
    draw(drop / "2.jpg", 92)
    assert kept.waits(here / "2.jpg")
    (drop / "1.jpg").unlink()
    assert not kept.waits(drop / "1.jpg")
    assert not kept.waits(drop / "never.jpg")
    watched(trained_root, Request([here], top=1, csv=out, watch=True), [lambda: None], monkeypatch)
    assert rows(out) == [("0.jpg", "1"), ("1.jpg", "1"), ("2.jpg", "1")]


def test_a_disk_that_fills_up_costs_no_answer(
    trained_root, small_nets, drop, tmp_path, monkeypatch
):
    from whales.base.writing import WriteError
    from whales.identifying import result_page

    full = [True]
    write = result_page.write_csv

    def write_csv(*arguments):
        if full[0]:
            raise WriteError("the disk is full")
        write(*arguments)

    monkeypatch.setattr(result_page, "write_csv", write_csv)
    draw(drop / "one.jpg", 90)
    request = Request([drop], top=1, csv=tmp_path / "f.csv", watch=True)
    steps = [lambda: None, lambda: full.__setitem__(0, False), lambda: None]
    watched(trained_root, request, steps, monkeypatch)
    assert rows(tmp_path / "f.csv") == [("one.jpg", "1")]


def test_what_cannot_be_watched(tmp_path):
    refused(
        lambda: watch(Request([tmp_path / "none"], watch=True), lambda: None), "none is no folder"
    )
    refused(lambda: Request([tmp_path], box="1,2,3,4", watch=True), "--box")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    refused(
        lambda: KeptAnswers(Request([tmp_path], csv=tmp_path / "t.csv")),
        "t.csv",
        "no table of identify",
    )


def test_folds_choose(trained_root, small_nets, drop):
    draw(drop / "one.jpg", 90)
    scores = {}
    for folds in ((), (0,), (2,)):
        identifier = identify.open_identifier(trained_root, profile="smoke", workers=1, folds=folds)
        [answer] = identifier.identify(drop, top=5)
        scores[folds] = {c.identity: c.score for c in answer.candidates}
    assert scores[0,] != scores[2,]
    assert scores[()].keys() == scores[0,].keys()
    refused(
        lambda: identify.open_identifier(trained_root, folds=(1,)), "no net has weights of fold 1"
    )
