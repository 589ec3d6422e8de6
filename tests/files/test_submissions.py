"""Submissions: written, read back, and what the competition would refuse them for."""

import csv

import pytest
from helpers import refused, write_lines

from whales.base.errors import UserError
from whales.files.submissions import (
    read_answers,
    read_known_answers,
    read_submission,
    read_submission_of_any,
    unknown_identities,
    write_submission,
)

NEW = "new_whale"


FIVE = ["w_1", "w_2", NEW, "w_3", "w_4"]
KNOWN = ["w_1", "w_2", "w_3", "w_4", "w_5"]


def table(path, rows, header="Image,Id"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["a.jpg,w_1 w_2 w_3 w_4 w_5 w_6", "b.jpg,x"], "line 2: photo a.jpg has more than 5"),
        (["a.jpg,", "b.jpg,x"], "line 2: photo a.jpg has no answer"),
        (["a.jpg,x", "b.jpg,x", "a.jpg,y"], "1 photos that stand twice: a"),
        (["a.jpg,x"], "1 photos without a line: b"),
        (["a.jpg,x", "b.jpg,x", "z.jpg,x"], "1 photos that nobody asked for: z"),
        (["a.jpg,x\u00a0y", "b.jpg,x"], "line 2: photo a.jpg has more than spaces between"),
        (["a.jpg,x\u200by", "b.jpg,x"], "line 2: photo a.jpg has more than spaces between"),
        (["a.jpg,x,y", "b.jpg,x"], "line 2: expected 2 fields, received 3"),
        (["a.jpg,x", "b.jpg"], "line 3: expected 2 fields, received 1"),
    ],
)
def test_what_would_be_refused(tmp_path, rows, told):
    refusals = read_submission(table(tmp_path / "s.csv", rows), ["a", "b"]).refusals
    assert any(told in reason for reason in refusals), refusals


def test_no_table(tmp_path):
    with pytest.raises(UserError, match="expected the columns Image,Id, received name,who"):
        read_submission(table(tmp_path / "s.csv", [], "name,who"), [])
    (tmp_path / "empty.csv").write_text("")
    refused(
        lambda: read_submission(table(tmp_path / "s.csv", [], "Id,Image"), []), "received Id,Image"
    )
    refused(lambda: read_submission(tmp_path / "empty.csv", []), "submission (it is empty)")
    refused(lambda: read_submission(tmp_path / "none.csv", []), "none.csv is missing")
    (tmp_path / "photo.csv").write_bytes(b"\xff\xd8\xff\xe0")
    refused(lambda: read_submission(tmp_path / "photo.csv", []), "photo.csv is not a table")


def test_submissions_of_the_pipeline_are_valid(tmp_path):
    write_submission(tmp_path / "x.csv", ["a", "b"], {"a": ["w_1", NEW]}, ["w_1"])
    read = read_submission(tmp_path / "x.csv", ["a", "b"])
    assert read.refusals == []
    assert read.answers["b"] == [NEW] * 5
    assert next(csv.reader(open(tmp_path / "x.csv"))) == ["Image", "Id"]


def test_answers_are_read_back_in_file_order(tmp_path):
    write_submission(tmp_path / "x.csv", ["b", "a"], {"a": ["w_1", NEW]}, ["w_1"])
    found = read_answers(tmp_path / "x.csv")
    assert list(found.items()) == [("b", [NEW] * 5), ("a", ["w_1", NEW])]
    assert read_known_answers(tmp_path / "x.csv", ["w_1"]) == found
    message = "x.csv, line 3: w_1 of photo a is no identity"
    refused(lambda: read_known_answers(tmp_path / "x.csv", ["w_2"]), message)
    assert unknown_identities(found, ["w_2"]) == ["w_1"]
    assert unknown_identities({"a": ["w_3", "w_1"], "b": ["w_2"]}, ["w_1"]) == ["w_2", "w_3"]


def test_the_first_of_several_unknown_answers_is_named(tmp_path):
    path = table(tmp_path / "s.csv", ["a.jpg,w_1", "b.jpg,w_1 w_8 new_whale w_9"])
    refused(lambda: read_known_answers(path, ["w_1"]), "line 3: w_8 of photo b is no identity")


@pytest.mark.parametrize(
    ("count", "said"), [(5, "p0, p1, p2, p3, p4"), (11, "p0, p1, p2, p3, p4 and 6 more")]
)
def test_five_photos_are_named_and_the_others_counted(tmp_path, count, said):
    names = [f"p{number}" for number in range(count)]
    path = table(tmp_path / "s.csv", ["a.jpg,x"])
    refusals = [f"{count} photos without a line: {said}"]
    assert read_submission(path, ["a", *names]).refusals == refusals


def test_five_answers_are_allowed_and_rows_of_other_lengths_are_no_answers(tmp_path):
    path = table(tmp_path / "s.csv", ["a.jpg,v w x y z", "b.jpg", "", "c.jpg,x", "d.jpg,x,y"])
    read = read_submission(path, ["a", "c"])
    assert read.answers == {"a": list("vwxyz"), "c": ["x"]}
    fields = {3: 1, 4: 0, 6: 3}
    assert read.refusals == [
        f"line {line}: expected 2 fields, received {count}" for line, count in fields.items()
    ]


def test_an_empty_answer_is_refused_where_answers_must_be_known(tmp_path):
    path = table(tmp_path / "s.csv", ["a.jpg,w_1  w_2"])
    refused(lambda: read_known_answers(path, ["w_1", "w_2"]), "an empty answer of photo a")
    assert read_submission(path, ["a"]).answers == {"a": ["w_1", "w_2"]}


def test_held_against_the_photos_that_it_answers(tmp_path):
    path = table(tmp_path / "s.csv", ["a.jpg,x", "b.jpg,x"])
    assert read_submission_of_any(path, (["c", "d"], ["a", "b", "e"])).refusals == [
        "1 photos without a line: e"
    ]
    assert read_submission_of_any(path, (None, [])).refusals == []


# --- proven before they are written, and when they are read -----------------------------------


@pytest.mark.parametrize(
    ("names", "answers", "known", "said"),
    [
        ([], {}, KNOWN, "there is no test photo"),
        (["a", "a"], {"a": FIVE}, KNOWN, "test photo a is there twice"),
        (["a", "b", "c", "b", "c"], {"a": FIVE}, KNOWN, "test photo b is there twice"),
        (["a"], {"b": FIVE}, KNOWN, "photo b has answers and is no test photo"),
        (["a"], {"a": FIVE[:4]}, KNOWN, "photo a: expected 5 different answers"),
        (["a"], {"a": [*FIVE, "w_5"]}, KNOWN, "photo a: expected 5 different answers"),
        (["a"], {"a": [*FIVE[:4], "w_1"]}, KNOWN, "photo a: expected 5 different answers"),
        (["a"], {"a": [*FIVE[:4], "w_9"]}, KNOWN, "photo a: w_9 is no known identity"),
        (["a"], {"a": [*FIVE[:4], "w 9"]}, [*KNOWN, "w 9"], "identity w 9 has a blank inside"),
        (["a"], {"a": [*FIVE[:4], "w,9"]}, [*KNOWN, "w,9"], "identity w,9 has a comma"),
        (
            ["a"],
            {"a": FIVE},
            ["w_4", *KNOWN, "w;5 "],
            "identity 'w;5 ' begins or ends with a blank",
        ),
        (["a", "b"], {"a": FIVE, "b": FIVE[:2]}, KNOWN, "photo b: expected 5 different answers"),
        (["a"], {"a": ["w_1"]}, ["w_1"], "photo a: expected 2 different answers"),
        (["a,b"], {}, KNOWN, "photo a,b has a comma"),
        (["a.b"], {}, KNOWN, "photo a.b has a dot"),
    ],
)
def test_a_submission_that_would_be_refused_is_not_written(tmp_path, names, answers, known, said):
    path = write_lines(tmp_path / "s.csv", "old")
    refused(lambda: write_submission(path, names, answers, known), str(path), said)
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("w_1  w_2", "an empty answer"),
        ("w_1 ", "an empty answer"),
        ("", "an empty answer"),
        ("w_1 w_2 w_3 w_4 w_5 w_6", "6 answers, more than 5"),
        ("w_1 w_2 w_1", "answer w_1, which stands twice"),
        ("w_1\u00a0w_2", "which has a blank inside"),
        ("w_1 New_Whale", "which looks like new_whale"),
    ],
)
def test_odd_answers_are_refused_by_line(tmp_path, answers, said):
    path = table(tmp_path / "s.csv", ["a.jpg," + " ".join(FIVE), f"b.jpg,{answers}"])
    refused(lambda: read_answers(path), f"{path}, line 3", said, "of photo b.jpg")


@pytest.mark.parametrize("answers", [[NEW] * 5, [NEW], [NEW, NEW], FIVE, ["w_1"]])
def test_sound_answers_are_read(tmp_path, answers):
    path = table(tmp_path / "s.csv", [f"a.jpg,{' '.join(answers)}"])
    assert read_answers(path) == {"a": answers}
