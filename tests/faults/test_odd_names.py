"""Names of photos and identities that would be read back as others: refused by line, or never written."""

import csv
import unicodedata

import pytest
from helpers import refused, write_lines
from hypothesis import given
from hypothesis import strategies as st

from whales.base.errors import UserError
from whales.base.folders import unique_names
from whales.exchange.forms import Form, read_source
from whales.files.dataset import test_photos as photos_of_the_test
from whales.files.dataset import training_identities
from whales.files.import_table import IMPORT_COLUMNS, imported
from whales.files.labels import checked_labels, read_labels, read_submission_names
from whales.files.names import identity_fault, means_new_whale, photo_fault
from whales.files.workspace import Workspace

NEW = "new_whale"
LONG = "x" * 250
UNSEEN = (
    "\u200b",
    "\u200d",
    "\ufeff",
    "\u00ad",
    "\u202e",
    "\u2066",
    "\u2060",
    "\x00",
    "\x1b",
    "\x7f",
)
UNSEEN += ("\u034f", "\ufe0f", "\u3164", "\u2800", "\ue000")
BLANKS = (" ", "\t", "\u00a0", "\u2003", "\u3000", "\u1680")
BAD_IDENTITIES = [
    "w 1", "w,1", 'w"1', "w;1", "w\n1", "w\r1", "w/1", "w\\1", "..", ".w", "-w", LONG, "é" * 61,
    *(f"w{letter}1" for letter in (*UNSEEN, *BLANKS)),
    *(f"w1{blank}" for blank in BLANKS), *(f"{blank}w1" for blank in BLANKS),
    f"{NEW} ", f" {NEW}", "New_Whale", "NEW_WHALE", "new whale", "new-whale", "new\u200b_whale",
    "n\u0435w_whale", "\uff4e\uff45\uff57_whale",
]  # fmt: skip
GOOD_IDENTITIES = [
    "w_1",
    "nan",
    "NA",
    "NULL",
    "None",
    "1.0",
    "001",
    "1e5",
    "O'Brien",
    "Zoë",
    "鯨",
    NEW,
]
BAD_PHOTOS = [
    "../a.jpg", "a/b.jpg", "/data/a.jpg", r"C:\a.jpg", "..", ".a.jpg", "-a.jpg", ".jpg", "a,b.jpg",
    'a"b.jpg', "a.b.jpg", "a.1", "a .jpg", f"{LONG}.jpg", f"{'é' * 61}.jpg", "a\nb.jpg",
    *(f"a{letter}b.jpg" for letter in (*UNSEEN, *BLANKS[1:])), *(f"a.jpg{blank}" for blank in BLANKS),
]  # fmt: skip
GOOD_PHOTOS = ["0a1b.jpg", "IMG 0001.JPG", "nan", "001.npy", "Zoë_1.jpeg", "x#2.jpg"]


def table(path, *rows):
    """Write a table as any program would: quoted where need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("Image", "Id"), *rows])
    return path


@pytest.mark.parametrize("identity", BAD_IDENTITIES, ids=ascii)
def test_identities_that_cannot_stand_in_an_answer_are_refused(tmp_path, identity):
    path = table(tmp_path / "train.csv", ("a.jpg", "w_1"), ("b.jpg", identity))
    refused(lambda: read_labels(path), f"{path}, line ")
    with pytest.raises(UserError) as caught:
        read_labels(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", BAD_PHOTOS, ids=ascii)
@pytest.mark.parametrize("read", [read_labels, read_submission_names])
def test_photo_names_that_are_no_file_of_the_root_are_refused(tmp_path, name, read):
    path = table(tmp_path / "t.csv", ("z.jpg", "w_1"), (name, "w_1"))
    refused(lambda: read(path), f"{path}, line ")


def test_what_looks_like_a_number_or_nothing_stays_text(tmp_path):
    rows = list(zip([f"p{i}.jpg" for i in range(99)], GOOD_IDENTITIES, strict=False))
    assert read_labels(table(tmp_path / "t.csv", *rows)).Id.tolist() == GOOD_IDENTITIES
    rows = [(name, "w_1") for name in GOOD_PHOTOS]
    assert read_labels(table(tmp_path / "t.csv", *rows)).Image.tolist() == GOOD_PHOTOS


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("w_a", "W_A"),
        ("zo\u00eb", "zoe\u0308"),
        ("w_1", "w_\uff11"),
        ("w_a", "w_\u0430"),
        ("ß", "ss"),
    ],
)
def test_names_that_look_alike_are_refused_with_both_lines(tmp_path, first, second):
    path = table(tmp_path / "t.csv", ("a.jpg", first), ("b.jpg", "x"), ("c.jpg", second))
    refused(lambda: read_labels(path), f"{path}, line 4", "line 2", "by case or by the form")
    path = table(tmp_path / "u.csv", (f"{first}.jpg", "x"), ("b.jpg", "x"), (f"{second}.jpg", "x"))
    refused(lambda: read_submission_names(path), "(lines 2 and 4)")


@pytest.mark.parametrize("second", ["w_1", "w_2"])
def test_a_photo_listed_twice_is_refused_whatever_its_identity(tmp_path, second):
    path = table(tmp_path / "t.csv", ("a.jpg", "w_1"), ("b.jpg", "w_1"), ("a.JPG", second))
    refused(lambda: read_labels(path), "a.JPG is listed twice (lines 2 and 4)")


def test_lines_are_those_of_the_file(tmp_path):
    path = write_lines(tmp_path / "t.csv", "Image,Id", "", "a.jpg,w_1", "", "b.jpg,w 2")
    refused(lambda: read_labels(path), f"{path}, line 5")
    path = write_lines(tmp_path / "t.csv", "Image,Id", 'a.jpg,"w_1')
    refused(lambda: read_labels(path), "is not a table with a header")


OTHERS = ("sample_submission", "playground_train_csv", "playground_sample_submission")


@pytest.mark.parametrize("other", OTHERS)
def test_a_photo_of_two_tables_is_refused_with_both_lines(tmp_path, other):
    workspace = Workspace(tmp_path)
    train = table(workspace.file("train_csv"), ("a.jpg", "w_1"), ("b.jpg", "w_1"))
    tables = {key: table(workspace.file(key), (f"{key}.jpg", "w_1")) for key in OTHERS}
    assert len(training_identities(workspace)) == 2
    table(tables[other], ("c.jpg", "w_1"), ("d.jpg", "w_1"), ("b.npy", "w_1"))
    said = f"{train}, line 3: photo b is in {tables[other]}, line 4"
    refused(lambda: training_identities(workspace), said)
    if other == "sample_submission":
        refused(lambda: photos_of_the_test(workspace), "photo b is in")


def test_the_real_competition_is_taken(shared):
    for folder in ("competition", "flukes"):
        workspace = Workspace(shared / folder)
        assert len(training_identities(workspace)) > 800
        assert len(photos_of_the_test(workspace)) > 180
        assert len(read_labels(workspace.file("playground_train_csv"))) > 400


# --- import ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        (" Mc\u00a0 Coy\n", "Mc Coy"), ("\ufeffMc\u200b Coy", "Mc Coy"), ("zoe\u0308", "zo\u00eb"),
        ("New Whale", NEW), ("new_whale\u200b", NEW), ("UNKNOWN ", NEW), ("nan", NEW), ("N/A", NEW),
        ("____", NEW), ("Unidentified", NEW), ("Nana", "Nana"), ("001", "001"),
        ("1.0", "1.0"),
    ],
)  # fmt: skip
def test_import_takes_identities_as_they_were_meant(tmp_path, text, identity):
    (tmp_path / "a.jpg").write_bytes(b"not looked into")
    path = tmp_path / "t.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("photo", "identity"), ("a.jpg", text)])
    assert [record.identity for record in read_source(path, Form())] == [identity]


@pytest.mark.parametrize("text", ["-", "?", "\u200b", "...", "//"])
def test_import_takes_identities_without_a_letter_for_nobody(tmp_path, text):
    (tmp_path / "a.jpg").write_bytes(b"not looked into")
    path = write_lines(tmp_path / "t.csv", "photo,identity", f"a.jpg,{text}")
    assert [record.identity for record in read_source(path, Form())] == [NEW]


@pytest.mark.parametrize("name", [f"{'x' * 5000}.jpg", "a\x00.jpg", "\x1b[31m.jpg"])
def test_import_refuses_photos_that_no_disk_can_hold(tmp_path, name):
    path = tmp_path / "t.csv"
    path.write_text(f"photo,identity\n{name},w_1\n")
    said = "value 0" if "\x00" in name else "is not in"
    refused(lambda: read_source(path, Form()), f"{path}, line 2", said)


@pytest.mark.parametrize(
    ("name", "said"), [("a.png", "a.png is listed twice"), ("b/c.jpg", "has a /")]
)
def test_an_import_table_names_each_photo_once(tmp_path, name, said):
    workspace = Workspace(tmp_path)
    rows = [f"{image},x,/x,w_1,w_1,,train" for image in ("a.jpg", name)]
    path = write_lines(workspace.file("import_table"), ",".join(IMPORT_COLUMNS), *rows)
    refused(lambda: imported(workspace), f"{path}, line 3", said)


TEXTS = st.lists(
    st.text(max_size=300) | st.sampled_from([*BAD_IDENTITIES, *GOOD_IDENTITIES]), max_size=8
)


@given(TEXTS)
def test_names_that_import_makes_are_names_of_every_table(texts):
    kept = [text for text in texts if not means_new_whale(text)]  # those it maps to new_whale
    names = unique_names(kept, [NEW])
    assert all(photo_fault(f"{name}.jpg") is None for name in names)
    assert all(identity_fault(name) is None for name in names)
    assert len({unicodedata.normalize("NFKC", name).casefold() for name in names}) == len(kept)
    checked_labels([(f"{name}.jpg", name) for name in names], "the table")
