"""What people bring and how it is odd: each oddity named before anything is written, each option works."""

import shutil

import numpy as np
import pytest
from helpers import refused, write_lines
from hypothesis import given
from hypothesis import strategies as st
from test_import_export import grey_photos, photo, rows

from whales.base.pickles import load
from whales.exchange.drawing import draw_test
from whales.exchange.forms import Form, Record
from whales.exchange.oddities import merge_alike, odd_identities
from whales.files.import_table import written_names
from whales.files.workspace import Workspace


@pytest.fixture
def photos(tmp_path):
    """Twelve photos `p0.jpg` .. `p11.jpg`, each of its own grey."""
    return grey_photos(tmp_path / "photos", 12)


@pytest.fixture
def import_dataset(script, tmp_path):
    """Run the script on a source, whole frames as boxes; returns the new work root."""

    def run(source, *options, root="imported"):
        arguments = [source, tmp_path / root, "--workers", 2, "--whole-frame-boxes", *options]
        script("tools/import_dataset.py").main([*map(str, arguments)])
        return tmp_path / root

    return run


def table(photos, *identities, header="photo,identity"):
    lines = [f"p{i}.jpg,{identity}" for i, identity in enumerate(identities)]
    return write_lines(photos / "t.csv", header, *lines)


def identities(root):
    """The identities of an imported root as people wrote them, in file order."""
    return [row[4] for row in rows(root / "data/import.csv")[1:]]


# --- identities -----------------------------------------------------------------------------------

WORDS = "NA", "N/A", "nan", "None", "?", "____", "unknown", "Unidentified", "blank", "", "n.a."


def test_words_that_mean_nobody_known_are_no_animals(photos, import_dataset, capsys):
    source = table(photos, "Ann", *WORDS[:9], "Nobody")
    root = import_dataset(source, "--unknown", "nobody", "Ann?")
    assert identities(root) == ["Ann"] + [""] * 10
    said = capsys.readouterr().out
    # `unknown` is what everybody writes.
    assert "9 photos are of nobody known" in said
    assert f"the first in {source}, line 3" in said
    kept = import_dataset(source, "--known", "nan", "blank", root="kept")
    assert identities(kept) == [
        "Ann", "", "", "nan", "", "", "", "", "", "blank", "Nobody",
    ]  # fmt: skip


def test_strict_refuses_what_is_odd_and_writes_nothing(photos, import_dataset, tmp_path):
    source = table(photos, "Ann", "ann", "NA")
    refused(lambda: import_dataset(source, "--strict"), "2 things look odd", "--strict", "NA (1)")
    assert not (tmp_path / "imported").exists()
    import_dataset(table(photos, "Ann", "Bob", "unknown", ""), "--strict")


def test_a_dry_run_says_all_and_writes_nothing(photos, import_dataset, tmp_path, capsys):
    import_dataset(table(photos, "Ann", "ann"), "--dry-run")
    said = capsys.readouterr().out
    assert "Ann (1) / ann (1)" in said
    assert "train: 2 photos" in said
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Ann", "ann"), ("Mc Coy", "McCoy"), ("Ann", "A.nn"), ("W_1", "W-1"), ("W001", "W1"),
        ("Zo\u00e9", "Zoe"), ("7", "7.0"), ("Ann", "\u0410nn"), ("W 1", "W-01"),
    ],
)  # fmt: skip
def test_names_that_are_alike_are_told_and_merged_on_demand(
    photos, import_dataset, capsys, first, second
):
    source = table(photos, first, second, second, "Bob")
    assert identities(import_dataset(source)) == [first, second, second, "Bob"]
    said = capsys.readouterr().out
    assert "differ by case" in said
    assert f"{source}, line 2 and {source}, line 3" in said
    merged = import_dataset(source, "--same-names", root="merged")
    assert identities(merged) == [second] * 3 + ["Bob"]
    said = capsys.readouterr().out
    assert f"{first} is taken for {second}" in said
    assert "looks odd" not in said


@pytest.mark.parametrize(
    ("first", "second"),
    [("W1", "W2"), ("1-11", "11-1"), ("W10", "W1"), ("A1B", "AB1"), ("1.5", "15")],
)
def test_names_that_differ_are_not_called_alike(photos, import_dataset, capsys, first, second):
    import_dataset(table(photos, first, second))
    assert "looks odd" not in capsys.readouterr().out


def test_names_that_are_not_certain_are_told(photos, import_dataset, capsys):
    import_dataset(table(photos, "Ann", "Bob", "cf. Eve", "Dan?", "Ann/Bob", "Cfar", "A/B"))
    said = capsys.readouterr().out
    assert "not certain, or name several animals: cf. Eve, Dan?, Ann/Bob (the first" in said


def test_forms_of_letters_are_one_animal_and_told(photos, import_dataset, capsys):
    root = import_dataset(table(photos, "Zoe\u0308", "Zo\u00eb", "Mc  Coy", "Mc Coy", "Bob "))
    assert identities(root) == ["Zo\u00eb", "Zo\u00eb", "Mc Coy", "Mc Coy", "Bob"]
    said = capsys.readouterr().out
    assert "identity Zo\u00eb is written in 2 ways" in said
    assert "identity Mc Coy is written in 2 ways" in said


def test_equal_pixels_under_two_identities_are_told(photos, import_dataset, capsys):
    shutil.copy(photos / "p0.jpg", photos / "p2.jpg")
    pixels = photo(photos / "plain.png", 77)
    photo(photos / "turned.png", 77)
    lines = ["p0.jpg,Ann", "p1.jpg,Bob", "p2.jpg,Bob", "plain.png,Eve", "turned.png,NA"]
    import_dataset(write_lines(photos / "t.csv", "photo,identity", *lines))
    said = capsys.readouterr().out
    assert pixels.read_bytes() == (photos / "turned.png").read_bytes()
    assert "2 photos are there under two identities" in said
    assert "Ann (p0.jpg) and Bob (p2.jpg); Eve (plain.png) and nobody known (turned.png)" in said


def test_a_photo_listed_under_two_identities_is_refused_with_both(photos, import_dataset):
    source = write_lines(photos / "t.csv", "photo,identity", "p0.jpg,Ann", "p0.jpg,Bob")
    refused(lambda: import_dataset(source), f"{source}, line 3", "as Ann and as Bob", "line 2")


def test_names_are_shown_as_people_wrote_them(photos, import_dataset):
    workspace = Workspace(import_dataset(table(photos, "Zo\u00eb M.", "Bob", "Zo\u00eb M.")))
    assert written_names(workspace) == {"Zo\u00eb_M_": "Zo\u00eb M."}


@given(st.lists(st.sampled_from(["Ann", "ann", "A.nn", "Bob", "BOB", "Eve"]), min_size=1))
def test_merged_names_are_alike_no_more(names):
    records = [Record(f"row {i}", f"{i}.jpg", None, name) for i, name in enumerate(names)]
    merged, lines = merge_alike(records)
    groups = {name.replace(".", "").casefold() for name in names}
    assert len({record.identity for record in merged}) == len(groups)
    assert {record.identity for record in merged} <= {*names}
    assert len(lines) == len({*names}) - len(groups)
    assert not any("differ by case" in line for line in odd_identities(merged, Form()))


# --- folders --------------------------------------------------------------------------------------


def tree(folder, *names):
    for i, name in enumerate(names):
        photo(folder / name, 10 * i)
    return folder


def test_seasons_taken_for_animals_are_told_and_the_level_helps(tmp_path, import_dataset, capsys):
    names = [f"{year}/{who}/{who}{year}.jpg" for year in (2018, 2019) for who in ("Ann", "Bob")]
    source = tree(tmp_path / "cat", *names)
    import_dataset(source)
    said = capsys.readouterr().out
    assert "2018, 2019 look like years or seasons" in said
    assert "--identity-level 2" in said
    for level in ("2", "-1"):
        root = import_dataset(source, "--identity-level", level, root=f"level{level}")
        assert identities(root) == ["Ann", "Bob", "Ann", "Bob"]
        assert "looks odd" not in capsys.readouterr().out
    refused(lambda: import_dataset(source, "--identity-level", "0"), "expected 1, 2")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Azores/A/1.jpg", "Azores/B/2.jpg", "Faroe/A/3.jpg"], "the folders in them repeat (A)"),
        (["2018/1.jpg", "2019/2.jpg", "2020/3.jpg"], "look like years or seasons"),
        (["Season 1/1.jpg", "Season 2/2.jpg"], "look like years or seasons"),
        (["Ann/2018/1.jpg", "Bob/2018/2.jpg"], ""),
        (["Ann/left/1.jpg", "Bob/left/2.jpg", "Bob/right/3.jpg"], ""),
    ],
)
def test_which_folders_look_odd(tmp_path, import_dataset, capsys, names, said):
    import_dataset(tree(tmp_path / "cat", *names), "--dry-run")
    printed = capsys.readouterr().out
    assert said in printed
    assert ("looks odd" in printed) == bool(said)


def test_folders_of_new_photos_are_no_identities_unless_known(tmp_path, import_dataset, capsys):
    source = tree(tmp_path / "cat", "Ann/1.jpg", "Bob/2.jpg")
    cards = tree(tmp_path / "new", "card1/IMG_1.jpg", "card2/IMG_1.jpg")
    root = import_dataset(source, "--test", cards)
    assert "none of its folders is a known identity" in capsys.readouterr().out
    assert not (root / "test_labels.csv").exists()
    assert len(rows(root / "data/sample_submission.csv")) == 3
    known = tree(tmp_path / "named", "Ann/3.jpg", "Eve/4.jpg")
    root = import_dataset(source, "--test", known, root="named_root")
    assert rows(root / "test_labels.csv")[1:] == [["3.jpg", "Ann"], ["4.jpg", "new_whale"]]


def test_a_catalogue_without_new_photos_is_a_catalogue(tmp_path, import_dataset, capsys):
    root = import_dataset(tree(tmp_path / "cat", "Ann/1.jpg", "Bob/2.jpg"))
    assert rows(root / "data/sample_submission.csv") == [["Image", "Id"]]
    assert not (root / "test_labels.csv").exists()
    assert "test: no photos" in capsys.readouterr().out


# --- faults of a table ------------------------------------------------------------------------------


def test_all_faults_are_told_in_one_go(photos, import_dataset, capsys):
    lines = [f"p{i % 12}.jpg,w{i},1/{i + 1}/2019" for i in range(10)]
    lines += [f"none{i}.jpg,w{i},2019" for i in range(15)]
    source = write_lines(photos / "t.csv", "photo,identity,date", *lines, ",w,2019")
    refused(lambda: import_dataset(source), "26 faults", "the first 20 are named above")
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 20
    assert told[0].startswith(f"error: {source}, line 2: date is 1/1/2019; ")
    assert "--date-format %d/%m/%Y or --date-format %m/%d/%Y" in told[0]
    assert told[10].startswith(f"error: {source}, line 12: photo none0.jpg is not in")
    assert "--photos" in told[10]


def test_all_rows_of_another_length_are_told(photos, import_dataset, capsys):
    source = write_lines(photos / "t.csv", "photo,identity", "p0.jpg", "p1.jpg,a,b", "p2.jpg,a")
    refused(lambda: import_dataset(source), "2 rows of", "line 2")
    assert f"{source}, line 3: more fields" in capsys.readouterr().err


def test_all_broken_photos_are_told(photos, import_dataset, capsys):
    for i in (0, 3):
        (photos / f"p{i}.jpg").write_text("no photo")
    source = table(photos, "Ann", "Bob", "Bob", "Eve")
    refused(lambda: import_dataset(source), "2 photos are at fault", f"{source}, line 2")
    assert f"{source}, line 5" in capsys.readouterr().err


# --- what is drawn ----------------------------------------------------------------------------------

ENCOUNTERS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 4), st.booleans()), min_size=2, max_size=60
)


@given(ENCOUNTERS, st.floats(0.05, 0.9), st.integers(0, 9))
def test_whole_encounters_are_drawn_and_somebody_stays_known(listed, share, seed):
    records = [
        Record(f"{i}", f"{i}.jpg", None, f"w{who}", None, f"2019-01-0{day + 1}" if dated else "")
        for i, (who, day, dated) in enumerate(listed)
    ]
    drawn = draw_test(records, share, np.random.default_rng(seed))
    splits = {}
    for record in drawn:
        if record.date:
            splits.setdefault((record.identity, record.date), set()).add(record.split)
    assert all(len(found) == 1 for found in splits.values())
    assert any(record.split != "test" for record in drawn)
    largest = max((sum((r.identity, r.date) == key for r in records) for key in splits), default=1)
    number = sum(record.split == "test" for record in drawn)
    assert number <= share * len(records) + largest


def test_the_share_that_is_asked_for_is_drawn():
    records = [
        Record(f"{i}", f"{i}.jpg", None, f"w{i // 20}", None, f"2019-01-{i % 20 // 2 + 1:02}")
        for i in range(400)
    ]
    drawn = draw_test(records, 0.2, np.random.default_rng(3))
    assert sum(record.split == "test" for record in drawn) == 80


def test_a_survey_of_one_day_gives_whole_animals(photos, import_dataset, capsys):
    lines = [f"p{i}.jpg,w{i // 3},2019-07-14" for i in range(12)]
    source = write_lines(photos / "t.csv", "photo,identity,date", *lines)
    root = import_dataset(source, "--test-share", ".25")
    assert len(rows(root / "data/sample_submission.csv")) == 4
    assert {row[1] for row in rows(root / "test_labels.csv")[1:]} == {"new_whale"}
    said = capsys.readouterr().out
    assert "3 of 12 photos (25%, asked for 25%)" in said
    assert "no whale has two encounters" in said


def test_a_column_of_encounters_decides(photos, import_dataset):
    lines = [f"p{i}.jpg,w{i // 6},2019-07-14,e{i // 3}" for i in range(12)]
    source = write_lines(photos / "t.csv", "photo,identity,date,encounter", *lines)
    root = import_dataset(source, "--test-share", ".5")
    table = rows(root / "data/import.csv")
    splits = {}
    for row in table[1:]:
        splits.setdefault(row[7], set()).add(row[6])
    assert table[0][7] == "encounter"
    assert sorted(map(sorted, splits.values())) == [["test"], ["test"], ["train"], ["train"]]


# --- boxes ------------------------------------------------------------------------------------------


def test_shares_of_the_sides_become_pixels(photos, import_dataset):
    source = write_lines(photos / "t.csv", "photo,identity,bbox", 'p0.jpg,Ann,".1 .25 .5 .5"')
    root = import_dataset(source, "--box-format", "xywh-shares")
    assert load(root / "modified_data/p2bb_v5.pkl") == {"p0": (6, 10, 36, 30)}


def test_photos_that_differ_in_a_patch_are_not_equal(photos, import_dataset, capsys):
    photo(photos / "p0.jpg", 50, patch=(0, 0, 20, 20))
    photo(photos / "p1.jpg", 50, patch=(20, 0, 40, 20))
    import_dataset(table(photos, "Ann", "Bob"))
    assert "looks odd" not in capsys.readouterr().out
