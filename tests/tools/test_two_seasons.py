"""Two seasons of a catalogue without a browser: what was decided in the first is known by name in the second.

The net's branch has random weights; its head is set by hand to a falling function of the features' distance,
so that a photo's own whale comes first for a reason.
"""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers import write_lines
from small_root import FOLD_PAGES, with_folds_and_nets
from whales_tools import catalogue, export_results, identify

from whales.base.pickles import load
from whales.files.workspace import Workspace

KNOWN = ("Alba", "Mc Coy", "Brava", "Cala", "Dora")
WHALES = (*KNOWN, "Nova", "Lone", "Water")
FOLDS = ("folds_v1", "folds_v2", "folds_kernel")


def animal(path, whale, photo):
    """A photo of a whale: coloured squares of its own, and a little noise of the photo's own."""
    squares = np.random.default_rng(WHALES.index(whale)).integers(30, 225, (5, 8, 3))
    noise = np.random.default_rng(100 + photo).integers(-6, 7, (5, 8, 3))
    pixels = cv2.resize((squares + noise).astype(np.uint8), (120, 60), interpolation=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def root(tmp_path, script, monkeypatch, small_nets):
    """A catalogue of five whales with three photos each, imported, with boxes, folds and two folds' nets."""
    # Oddities of the import, each named, belong here: names that differ by a blank, unknown words, HEIC.
    lines, number = [], 0
    for whale in KNOWN:
        for year in (2017, 2018, 2019):
            animal(tmp_path / f"catalogue/{number}.jpg", whale, number)
            lines.append(f"{number}.jpg,{whale},{year}-07-14,Bay {year}")
            number += 1
    table = write_lines(tmp_path / "catalogue/t.csv", "photo,identity,date,place", *lines)
    made = tmp_path / "root"
    options = ["--whole-frame-boxes", "--without-detector", "--workers", "1"]
    script("tools/import_dataset.py").main([str(table), str(made), *options])
    with_folds_and_nets(made, script, monkeypatch, (0, 2), anisotropy=2.15)
    return made


def identified(folder, out):
    """The rows of identify's table, by file name, best first."""
    identify.main([str(folder), "--csv", str(out), "--top", "3", "--workers", "1"])
    found = {}
    with open(out, newline="", encoding="utf-8-sig") as source:
        for row in csv.DictReader(source):
            found.setdefault(Path(row["query"]).name, []).append(row)
    return found


def decide(path, found, *decisions):
    """Write what people decided, photos known by their content as the review page writes it."""
    lines = [
        f"{who},2020-01-01T00:00:00+00:00,{name},{what},{candidate},,{found[name][0]['content']},"
        for who, name, what, candidate in decisions
    ]
    header = "who,when,query,decision,candidate,score,query_content,candidate_content"
    path.parent.mkdir(exist_ok=True)
    old = path.read_text().splitlines()[1:] if path.exists() else []
    write_lines(path, header, *old, *lines)


def tables(root):
    """Every table, box file, fold and photo of a root, byte for byte."""
    files = [
        *root.glob("data/**/*"),
        *root.glob("modified_data/**/*"),
        *root.glob("cache/stages/*"),
    ]
    return {path.relative_to(root): path.read_bytes() for path in files if path.is_file()}


def split_of(root, key):
    """Fold and part -> photos."""
    folds = load(Workspace(root).file(key))
    return {(fold, part): names for fold, split in folds.items() for part, names in split.items()}


def individuals(path):
    with open(path, newline="", encoding="utf-8-sig") as source:
        return {
            row["image"]: (row["identity"], row["decided_by"]) for row in csv.DictReader(source)
        }


def test_the_second_season_meets_the_first_ones_new_whales_by_name(root, tmp_path, script, capsys):
    one = tmp_path / "one"
    for name, whale, photo in (
        ("a", "Mc Coy", 50),
        ("b", "Nova", 51),
        ("c", "Nova", 52),
        ("d", "Lone", 53),
    ):
        animal(one / f"{name}.jpg", whale, photo)
    found = identified(one, tmp_path / "one.csv")
    assert found["a.jpg"][0]["identity"] == "Mc_Coy"
    decide(
        root / "review/decisions.csv", found,
        ("ann", "a.jpg", "same", found["a.jpg"][0]["photo"]), ("ann", "b.jpg", "new", "Nova"),
        ("ben", "c.jpg", "new", "Nova"),
    )  # fmt: skip
    # Nobody looked at d.
    lines = [f"{name}.jpg,2020-7-{day},Cove" for day, name in enumerate("abcd", 1)]
    dates = write_lines(tmp_path / "one/dates.csv", "photo,date,place", *lines)
    season = ["--results", str(tmp_path / "one.csv"), "--details", str(dates)]
    out = tmp_path / "out"
    export_results.main([
        *season, "--decided-only", "--csv", str(out / "s.csv"), "--xlsx", str(out / "s.xlsx"), "--coco",
        str(out / "s.json"), "--folders", str(out / "whales"), "--wildbook", str(out / "wildbook"),
        "--capture-histories", str(out / "c.csv"), "--occasions", "year",
    ])  # fmt: skip
    expected = {"a.jpg": ("Mc Coy", "ann"), "b.jpg": ("Nova", "ann"), "c.jpg": ("Nova", "ben")}
    assert individuals(out / "s.csv") == expected
    assert pd.read_excel(out / "s.xlsx")["place"].tolist() == ["Cove"] * 3
    content = json.loads((out / "s.json").read_text(encoding="utf-8"))
    assert sorted(row["name"] for row in content["categories"]) == ["Mc Coy", "Nova"]
    assert {p.parent.name for p in (out / "whales").rglob("*.jpg")} == {"Mc_Coy", "Nova"}
    bulk = pd.read_excel(out / "wildbook/bulk_import.xlsx", dtype=str)
    assert bulk["Encounter.individualID"].tolist() == ["Mc Coy", "Nova", "Nova"]
    assert bulk["Encounter.verbatimLocality"].tolist() == ["Cove"] * 3
    assert (bulk["Encounter.year"] + bulk["Encounter.day"]).tolist() == ["20201", "20202", "20203"]
    capsys.readouterr()
    export_results.main(
        [*season, "--capture-histories", str(out / "all.inp"), "--occasions", "year"]
    )
    said = capsys.readouterr().out
    # Three a known whale, one each of Mc Coy and Nova in 2020, and the first answer to d, of another whale.
    assert "capture histories: 18 captures, 1 of which nobody looked at" in said
    assert (
        "/* 1 of 18 captures are answers that nobody looked at */" in (out / "all.inp").read_text()
    )

    before = tables(root)
    add = ["add", "--results", str(tmp_path / "one.csv"), "--details", str(dates), "--who", "ann"]
    catalogue.main(add)
    assert tables(root) == before
    old_folds = {key: split_of(root, key) for key in FOLDS}
    catalogue.main([*add, "--yes"])
    for key in FOLDS:
        for place, names in split_of(root, key).items():
            assert [name for name in names if name in old_folds[key][place]] == old_folds[key][
                place
            ]
    capsys.readouterr()
    for page in FOLD_PAGES[1:]:
        script(page).main(["--profile", "smoke"])
    assert capsys.readouterr().out.count("up to date") == 3

    two = tmp_path / "two"
    animal(two / "e.jpg", "Nova", 60)
    animal(two / "f.jpg", "Alba", 61)
    found = identified(two, tmp_path / "two.csv")
    # Two folds' nets, each on the three photos that are new.
    assert capsys.readouterr().out.count("features of 3 photos") == 2
    assert [found[n][0]["identity"] for n in ("e.jpg", "f.jpg")] == ["Nova", "Alba"]
    decide(
        root / "review/decisions.csv", found,
        ("ann", "e.jpg", "same", found["e.jpg"][0]["photo"]), ("ann", "f.jpg", "same", "Alba"),
    )  # fmt: skip
    later = write_lines(
        tmp_path / "two/dates.csv", "photo,date", "e.jpg,2021-07-01", "f.jpg,20210702"
    )
    export_results.main([
        "--results", str(tmp_path / "one.csv"), str(tmp_path / "two.csv"), "--details", str(later),
        "--decided-only", "--csv", str(out / "both.csv"), "--capture-histories", str(out / "both_c.csv"),
        "--occasions", "year",
    ])  # fmt: skip
    assert individuals(out / "both.csv") == {
        **expected,
        "e.jpg": ("Nova", "ann"),
        "f.jpg": ("Alba", "ann"),
    }
    with open(out / "both_c.csv", newline="", encoding="utf-8-sig") as source:
        assert list(csv.reader(source)) == [
            ["individual", "2017", "2018", "2019", "2020", "2021"],
            ["Alba", "1", "1", "1", "0", "1"],
            ["Brava", "1", "1", "1", "0", "0"],
            ["Cala", "1", "1", "1", "0", "0"],
            ["Dora", "1", "1", "1", "0", "0"],
            ["Mc Coy", "1", "1", "1", "1", "0"],
            ["Nova", "0", "0", "0", "1", "1"],
        ]
    catalogue.main(["undo", "--who", "ann", "--yes"])
    assert tables(root) == before
