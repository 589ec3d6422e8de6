"""A small catalogue of turtles with a column `side`, from the import to the export of what was decided.

The nets have random branches; their heads are set by hand to a falling function of the features' distance.
"""

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_training
from helpers import refused, write_lines
from small_root import FOLD_PAGES, with_folds_and_nets
from test_two_seasons import decide
from whales_tools import catalogue, export_results, identify, report

from sample_data import two_sided
from sample_data.two_sided import SHAPES, draw_flank, make
from whales.base.errors import UserError
from whales.base.pickles import load
from whales.files.folds import FOLDS
from whales.files.matrices import load_tuple
from whales.files.sides import read_sides
from whales.files.submissions import read_answers
from whales.files.workspace import Workspace

INFERENCE = "siamese_net_v5_densenet121/r26_seamese_net_inference_v5_512px.py"
SUBMISSION = "siamese_net_v5_densenet121/r28_seamese_net_create_submission_v5_512px.py"
SMOKE = ("--profile", "smoke", "--workers", "1")


def imported(script, table, root, *options):
    given = ["--without-detector", "--anisotropy", "1.4", "--workers", "1", *options]
    script("tools/import_dataset.py").main([str(table), str(root), *given])
    return root


def rewritten(table, change):
    """Write a table anew, each row (column -> text) as `change` returns it."""
    rows = [change(dict(row)) for row in csv.DictReader(open(table))]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [",".join(row.get(column, "") for column in columns) for row in rows]
    name = f"changed_{len([*table.parent.glob('*.csv')])}.csv"
    return write_lines(table.with_name(name), ",".join(columns), *lines)


@pytest.fixture(scope="module")
def turtles(tmp_path_factory):
    """A catalogue of five turtles, three photos of each side; of the last one the right alone is train."""
    table = make("turtle", tmp_path_factory.mktemp("turtles") / "made", animals=5)

    def split(row):
        part = "test" if row["photo"].endswith("_3.jpg") else "train"
        if row["identity"] == "turtle_05" and row["side"] == "left":
            part = "test"
        return {**row, "split": part}

    return rewritten(table, split)


@pytest.fixture
def root(turtles, tmp_path, script, monkeypatch, small_nets):
    """Their work root, with folds and the v5 nets of all folds."""
    made = imported(script, turtles, tmp_path / "root")
    with_folds_and_nets(made, script, monkeypatch, range(FOLDS), anisotropy=1.4)
    return made


@pytest.mark.slow
def test_a_net_trains_on_pairs_of_a_side(root):
    told = tiny_training.finish(tiny_training.start(root))
    train = [
        name.removesuffix(".jpg")
        for name in load(Workspace(root).file("folds_kernel"))["fold_0"]["train"]
    ]
    mated = {
        name for name in train for other in train
        if name != other and name[:10] == other[:10] and side(name) == side(other)
    }  # fmt: skip
    assert 0 < len(mated) < len(train)
    assert f"{len(mated)} photos of 5 identities" in told
    pairs = [int(row["pairs"]) for row in tiny_training.history(root)]
    assert pairs
    assert all(0 < number <= 2 * len(mated) for number in pairs)
    assert "data/import.csv" in next(root.glob("cache/stages/kernel_snn.snn_train*")).read_text()


def side(name):
    return "left" if "_left_" in name else "right"


def test_from_matrices_to_answers(root, script, capsys):
    for page in (INFERENCE, SUBMISSION):
        script(page).main(list(SMOKE))
    ws = Workspace(root)
    files = [ws.file("test_matrix_v5")]
    files += [
        ws.file(f"{kind}_v5", fold=f)
        for kind in ("valid_matrix", "test_matrix_fold")
        for f in range(FOLDS)
    ]
    for path in files:
        scores, rows, columns = load_tuple(path)
        unlike = np.array([[side(row) != side(column) for column in columns] for row in rows])
        assert (scores[unlike] == 0).all()
        own = np.array([[row == column for column in columns] for row in rows])
        assert (scores[~unlike & ~own] > 0).all()
    answers = read_answers(ws.file("submission_v5"))
    for name, row in answers.items():
        # The fifth turtle is known from the right alone: of left ones it comes last, if at all.
        assert len(row) == 5
        if side(name) == "left":
            assert "turtle_05" not in row
    for page in (INFERENCE, SUBMISSION):
        script(page).main(list(SMOKE))
    assert capsys.readouterr().out.count("up to date") >= FOLDS + 2
    # Another word for a side is another input of all that heeds sides.
    table = ws.file("import_table")
    table.write_text(table.read_text().replace(",left\n", ",\n", 1))
    with pytest.raises(SystemExit):
        script(SUBMISSION).main([*SMOKE, "--check"])
    report.main([])
    assert "turtle_01" in (root / "report/report.html").read_text()


def identified(out, *arguments):
    identify.main([*map(str, arguments), "--csv", str(out), "--top", "9", "--workers", "1"])
    return pd.read_csv(out, dtype=str, keep_default_na=False)


def test_queries_meet_photos_of_their_side(root, tmp_path, capsys):
    photo = root / "data/test/turtle_02_left_3.jpg"
    elsewhere = shutil.copy(photo, tmp_path / "new.jpg")
    of_root = identified(tmp_path / "a.csv", photo, "--html", tmp_path / "a.html")
    assert {*of_root["side"]} == {"left"}
    assert {*map(side, of_root["photo"])} == {"left"}
    assert {*of_root["identity"]} == {f"turtle_0{n}" for n in range(1, 5)}
    assert "side: left" in capsys.readouterr().out
    assert "side: left" in (tmp_path / "a.html").read_text()
    right = identified(tmp_path / "b.csv", elsewhere, "--side", "R")
    assert {*map(side, right["photo"])} == {"right"}
    assert len(right) == 5
    either = identified(tmp_path / "c.csv", elsewhere)
    assert {*either["side"]} == {""}
    # Scores do not depend on what else is compared.
    merged = pd.concat([of_root, right]).astype({"score": float})
    best = merged.groupby("identity")["score"].max()
    np.testing.assert_allclose(
        either.set_index("identity")["score"].astype(float), best[either["identity"]]
    )
    refused(lambda: identify.main([str(elsewhere), "--side", "top"]), "--side top", "left, right")


def test_a_side_that_nobody_shows_is_a_fault_of_the_photo(root, tmp_path):
    table = Workspace(root).file("import_table")
    lines = table.read_text().splitlines()
    changed = [
        f"{line.removesuffix('left')}top" if "turtle_01_left_3" in line else line for line in lines
    ]
    write_lines(table, *changed)
    photos = [root / f"data/test/turtle_0{n}_left_3.jpg" for n in (1, 2)]
    with pytest.raises(UserError, match=r"turtle_01_left_3.*no known photo shows its side, top"):
        identified(tmp_path / "a.csv", *photos)
    assert {*pd.read_csv(tmp_path / "a.csv")["query"]} == {str(photos[1])}


def test_the_side_goes_along_into_the_catalogue_and_the_export(root, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(root / "data/test/turtle_03_left_3.jpg", new / "a.jpg")
    (root / "data/test/turtle_03_left_3.jpg").unlink()
    identified(tmp_path / "found.csv", new, "--side", "left")
    # As a test photo it is in the root's tables no more.
    ws = Workspace(root)
    for key in ("sample_submission", "import_table", "test_labels"):
        lines = [x for x in ws.file(key).read_text().splitlines() if "turtle_03_left_3" not in x]
        write_lines(ws.file(key), *lines)
    with open(tmp_path / "found.csv", newline="", encoding="utf-8-sig") as source:
        rows = {"a.jpg": list(csv.DictReader(source))}
    decide(ws.file("decisions"), rows, ("ann", "a.jpg", "same", "turtle_03_left_1.jpg"))
    catalogue.main(["add", "--results", str(tmp_path / "found.csv"), "--yes"])
    assert read_sides(Workspace(root)).side_of["a"] == "left"
    folds = load(ws.file("folds_v1"))
    held = [fold for fold, split in folds.items() if "a.npy" in split["val"]]
    assert len(held) <= 1
    export_results.main(["--csv", str(tmp_path / "out.csv"), "--with-labelled", "--decided-only"])
    out = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    shown = {Path(row.photo).name: row.side for row in out.itertuples()}
    assert shown["a.jpg"] == "left"
    assert shown["turtle_01_right_1.jpg"] == "right"


# --- the import -----------------------------------------------------------------------------------


def test_the_import_tells_of_sides(turtles, tmp_path, script, capsys):
    table = rewritten(
        turtles,
        lambda row: {
            **row,
            "side": "lft" if row["photo"] == "turtle_01_left_2.jpg" else row["side"],
        },
    )
    imported(script, table, tmp_path / "root", "--dry-run")
    told = capsys.readouterr().out
    assert "unusual for a side: lft" in told
    assert "sides: 15 right, 14 left, 1 lft; photos of unlike sides are never compared" in told
    refused(
        lambda: imported(script, table, tmp_path / "root", "--strict"),
        "--strict",
        "unusual for a side",
    )
    assert not (tmp_path / "root").exists()


def test_two_columns_of_sides_are_refused(turtles, tmp_path, script):
    table = rewritten(turtles, lambda row: {**row, "View": "dorsal"})
    refused(lambda: imported(script, table, tmp_path / "root"), "side and View", "rename")
    assert not (tmp_path / "root").exists()


def test_without_the_column_nothing_changes(turtles, tmp_path, script, monkeypatch):
    """The root and folds of a table with the same words in a column of another name, but for that name."""
    written = {}
    for name in ("flank", "none"):

        def renamed(row, name=name):
            word = row.pop("side")
            return {**row, "flank": word} if name == "flank" else row

        root = imported(script, rewritten(turtles, renamed), tmp_path / "root")
        monkeypatch.setenv("WHALES_ROOT", str(root))
        for page in FOLD_PAGES:
            script(page).main(["--profile", "smoke", "--quiet"])
        files = [p for p in root.rglob("*") if p.is_file() and not {"logs", "locks"} & {*p.parts}]
        written[name] = {p.relative_to(root).as_posix(): p.read_bytes() for p in files}
        assert b"import.csv" not in b"".join(
            content for path, content in written[name].items() if path.startswith("cache/stages")
        )
        root.rename(tmp_path / name)
    flank, none = written["flank"], written["none"]
    assert flank.pop("data/import.csv") != none.pop("data/import.csv")
    assert flank == none


# --- the generator --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SHAPES)
def test_generated_animals_have_two_sides(kind, tmp_path):
    two_sided.main([kind, str(tmp_path / "made"), "--animals", "2", "--photos", "1"])
    rows = list(csv.DictReader(open(tmp_path / "made/catalogue.csv")))
    assert [(row["identity"], row["side"]) for row in rows] == [
        (f"{kind}_0{n}", shown) for n in (1, 2) for shown in ("left", "right")
    ]
    left, right, again = (draw_flank(kind, 1, 0, s) for s in ("left", "right", "left"))
    np.testing.assert_array_equal(left.colour, again.colour)
    assert (
        np.abs(left.colour - right.colour[:, ::-1]).mean() > 2
    )  # another pattern, not its mirror image
    shape = [(int(r["x2"]) - int(r["x1"])) / (int(r["y2"]) - int(r["y1"])) for r in rows]
    assert abs(np.mean(shape) / SHAPES[kind] - 1) < 0.25
