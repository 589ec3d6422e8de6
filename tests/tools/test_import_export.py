"""Other people's data in, answers out, and both ways round; every expected table is written by hand."""

import csv
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import pyvips
from helpers import refused, write_lines

from retinanet.detector import find_flukes
from whales.base.pickles import load, save
from whales.exchange.drawing import draw_playground, draw_test
from whales.exchange.exporting import capture_histories
from whales.exchange.forms import Form, Record, records_of
from whales.exchange.sightings import read_decisions, read_sightings
from whales.files.dataset import crop_tables, training_data, training_reads
from whales.files.workspace import Workspace
from whales.scores.query_results import results_of_table

WIDTH, HEIGHT = 60, 40
RED, BLUE = (200, 30, 30), (20, 20, 200)


def photo(path, value=100, size=(WIDTH, HEIGHT), patch=None, **options):
    """Write a photo of one colour; `patch`: x1, y1, x2, y2 painted red."""
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    if patch:
        pixels[patch[1] : patch[3], patch[0] : patch[2]] = RED
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    if options:
        image = image.copy()
        for name, setting in options.items():
            image.set_type(pyvips.GValue.gint_type, name, setting)
    image.write_to_file(str(path))
    return path


def grey_photos(folder, count):
    """Write photos `p0.jpg` and on, each of its own grey; their folder."""
    for i in range(count):
        photo(folder / f"p{i}.jpg", 240 // count * i)
    return folder


@pytest.fixture
def photos(tmp_path):
    """Twelve photos `p0.jpg` .. `p11.jpg`, each of its own grey."""
    return grey_photos(tmp_path / "photos", 12)


@pytest.fixture
def import_dataset(script, tmp_path):
    """Run the script on a source; returns the new work root."""

    def run(source, *options, root="imported"):
        arguments = [source, tmp_path / root, "--workers", 2, *options]
        script("tools/import_dataset.py").main([*map(str, arguments)])
        return tmp_path / root

    return run


def rows(path):
    with open(path, newline="", encoding="utf-8") as source:
        return list(csv.reader(source))


# --- what is read -------------------------------------------------------------------------------


def test_a_table_with_names_of_its_own(photos, import_dataset):
    table = write_lines(
        photos / "catalogue.csv",
        "File;Animal;Seen;Use;X;Y;Wide;High",
        "p0.jpg;Bobby Lee;2019-05-01;learn;1;2;30;20",
        ";;;;;;;",
        "p1.jpg;Bobby_Lee;2019;learn;0;0;60;40",
        "p2.jpg;nobody;;learn;0.5;0.5;10.2;10.2",
        "p3.jpg;;2020-06;ask;-1;0;60;41",
    )
    root = import_dataset(
        table, "--photo-column", "File", "--identity-column", "Animal", "--date-column", "Seen",
        "--split-column", "Use", "--box-columns", "X", "Y", "Wide", "High", "--unknown", "nobody",
        "--train-words", "learn", "--test-words", "ask",
    )  # fmt: skip
    # A space would cut the answer in two, and `Bobby_Lee` is another whale.
    assert rows(root / "data/train.csv") == [
        ["Image", "Id"], ["p0.jpg", "Bobby_Lee_2"], ["p1.jpg", "Bobby_Lee"], ["p2.jpg", "new_whale"],
    ]  # fmt: skip
    assert rows(root / "data/sample_submission.csv") == [["Image", "Id"], ["p3.jpg", "new_whale"]]
    assert rows(root / "data/import.csv") == [
        ["Image", "original", "path", "Id", "identity", "date", "split"],
        ["p0.jpg", "p0.jpg", str(photos / "p0.jpg"), "Bobby_Lee_2", "Bobby Lee", "2019-05-01", "train"],
        ["p1.jpg", "p1.jpg", str(photos / "p1.jpg"), "Bobby_Lee", "Bobby_Lee", "2019", "train"],
        ["p2.jpg", "p2.jpg", str(photos / "p2.jpg"), "new_whale", "", "", "train"],
        ["p3.jpg", "p3.jpg", str(photos / "p3.jpg"), "", "", "2020-06", "test"],
    ]  # fmt: skip
    assert load(root / "modified_data/p2bb_v5.pkl") == {
        "p0": (1, 2, 31, 22),
        "p1": (0, 0, 60, 40),
        "p2": (0, 0, 11, 11),
        "p3": (0, 0, 59, 40),
    }
    # A query that is not labelled has no true answer.
    assert not (root / "test_labels.csv").exists()
    for name, folder in (("p0", "train"), ("p3", "test")):
        copied = (root / "data" / folder / f"{name}.jpg").read_bytes()
        assert copied == (photos / f"{name}.jpg").read_bytes()


def test_a_workbook_is_a_table(photos, import_dataset):
    frame = pd.DataFrame(
        {
            "photo": ["p0.jpg", "p1.jpg", "p2.jpg"],
            "identity": [7, 8, 7],
            "date": [pd.Timestamp("2019-05-01"), 2018, "2020-01-02 10:20:30"],
            "split": ["train", "train", "test"],
        }
    )
    frame.to_excel(photos / "catalogue.xlsx", index=False)
    root = import_dataset(photos / "catalogue.xlsx", "--whole-frame-boxes")
    assert [row[3:] for row in rows(root / "data/import.csv")[1:]] == [
        ["7", "7", "2019-05-01", "train"],
        ["8", "8", "2018", "train"],
        ["7", "7", "2020-01-02", "test"],
    ]
    assert load(root / "modified_data/p2bb_v5.pkl")["p1"] == (0, 0, WIDTH, HEIGHT)
    assert rows(root / "test_labels.csv") == [["Image", "Id"], ["p2.jpg", "7"]]


def test_a_folder_per_identity(tmp_path, import_dataset):
    source = tmp_path / "whales"
    for i, name in enumerate(
        ("Ann/1.jpg", "Ann/left/2.JPG", "Bob/1.jpg", "unmatched/9.jpg", "8.jpg", ".trash/7.jpg")
    ):
        photo(source / name, 30 * i)
    write_lines(source / "Ann/notes.txt", "a scar")
    queries = tmp_path / "queries"
    photo(queries / "1.jpg", 222)
    root = import_dataset(source, "--test", queries, "--whole-frame-boxes")
    assert rows(root / "data/train.csv")[1:] == [
        ["8.jpg", "new_whale"],
        ["1.jpg", "Ann"],
        ["2.jpg", "Ann"],
        ["1_2.jpg", "Bob"],
        ["9.jpg", "new_whale"],
    ]
    assert rows(root / "data/sample_submission.csv")[1:] == [["1_3.jpg", "new_whale"]]
    assert (root / "data/train/1_2.jpg").read_bytes() == (source / "Bob/1.jpg").read_bytes()
    assert (root / "data/test/1_3.jpg").read_bytes() == (queries / "1.jpg").read_bytes()
    assert rows(root / "data/import.csv")[-1][1] == "1.jpg"


def test_two_sources_with_a_photo_of_one_name(photos, import_dataset, tmp_path):
    queries = write_lines(
        tmp_path / "queries.csv", "photo,identity", "p0.jpg,a", "p1.jpg,c", "p2.jpg,unknown"
    )
    for i in range(3):
        photo(tmp_path / f"p{i}.jpg", 33)
    table = write_lines(photos / "t.csv", "photo,identity", "p0.jpg,a", "p3.jpg,b")
    root = import_dataset(table, "--test", queries, "--whole-frame-boxes")
    assert [row[:4] for row in rows(root / "data/import.csv")[1:]] == [
        ["p0.jpg", "p0.jpg", str(photos / "p0.jpg"), "a"],
        ["p3.jpg", "p3.jpg", str(photos / "p3.jpg"), "b"],
        ["p0_2.jpg", str(tmp_path / "p0.jpg"), str(tmp_path / "p0.jpg"), "a"],
        ["p1.jpg", "p1.jpg", str(tmp_path / "p1.jpg"), "c"],
        ["p2.jpg", "p2.jpg", str(tmp_path / "p2.jpg"), "new_whale"],
    ]
    # The right answer for an identity that train does not have is new_whale.
    assert rows(root / "test_labels.csv")[1:] == [
        ["p0_2.jpg", "a"], ["p1.jpg", "new_whale"], ["p2.jpg", "new_whale"],
    ]  # fmt: skip


COCO = {
    "images": [
        {"id": 5, "file_name": "p0.jpg", "date_captured": "2019-05-01 10:00:00", "split": "train"},
        {"id": 6, "file_name": "p1.jpg", "split": "test"},
        {"id": 7, "file_name": "p2.jpg", "split": "train"},
    ],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 1, "bbox": [1, 2, 30, 20], "name": "x"},
        {"id": 2, "image_id": 5, "category_id": 2, "bbox": [40, 5, 10, 10], "name": "y"},
        {"id": 3, "image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "name": "z"},
    ],
    "categories": [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}],
}


def test_coco_with_two_animals_in_a_photo(photos, import_dataset):
    (photos / "coco.json").write_text(json.dumps(COCO))
    root = import_dataset(photos / "coco.json", "--whole-frame-boxes")
    assert rows(root / "data/train.csv")[1:] == [
        ["p0.jpg", "Ann"], ["p0_2.jpg", "Bob"], ["p2.jpg", "Ann"],
    ]  # fmt: skip
    assert load(root / "modified_data/p2bb_v5.pkl") == {
        "p0": (1, 2, 31, 22),
        "p0_2": (40, 5, 50, 15),
        "p2": (0, 0, 9, 9),
        "p1": (0, 0, WIDTH, HEIGHT),
    }
    assert [row[5:] for row in rows(root / "data/import.csv")] == [
        ["date", "split", "name"], ["2019-05-01", "train", "x"], ["2019-05-01", "train", "y"],
        ["", "train", "z"], ["", "test", ""],
    ]  # fmt: skip
    other = import_dataset(
        photos / "coco.json", "--whole-frame-boxes", "--identity-column", "name", root="other"
    )
    assert [row[1] for row in rows(other / "data/train.csv")[1:]] == ["x", "y", "z"]


WILDLIFE = {
    "image_id": [1, 2, 3, 4],
    "identity": ["t1", "unknown", "t2", "t1"],
    "path": ["p0.jpg", "p1.jpg", "p2.jpg", "p3.jpg"],
    "bbox": [[1.0, 2.0, 30.0, 20.0], None, [0.0, 0.0, 9.0, 9.0], None],
    "date": ["2010-01-01", np.nan, "2011-01-01 00:00:00", None],
    "original_split": ["train", "train", "database", "query"],
}


def test_metadata_of_wildlife_datasets(photos, import_dataset):
    frame = pd.DataFrame(WILDLIFE)
    frame.to_csv(photos / "metadata.csv")
    records = records_of(frame, "frame", Form(), photos)
    assert [(r.original, r.identity, r.box, r.date, r.split) for r in records] == [
        ("p0.jpg", "t1", (1, 2, 31, 22), "2010-01-01", "train"),
        ("p1.jpg", "new_whale", None, "", "train"),
        ("p2.jpg", "t2", (0, 0, 9, 9), "2011-01-01", "train"),
        ("p3.jpg", "t1", None, "", "test"),
    ]
    root = import_dataset(photos / "metadata.csv", "--whole-frame-boxes")
    assert rows(root / "data/train.csv")[1:] == [
        ["p0.jpg", "t1"], ["p1.jpg", "new_whale"], ["p2.jpg", "t2"],
    ]  # fmt: skip
    assert load(root / "modified_data/p2bb_v5.pkl")["p0"] == (1, 2, 31, 22)
    assert rows(root / "test_labels.csv")[1:] == [["p3.jpg", "t1"]]
    # The form of competitions: nobody says who the test photos show.
    frame.loc[3, "identity"] = "unknown"
    frame.to_csv(photos / "metadata.csv")
    root = import_dataset(photos / "metadata.csv", "--whole-frame-boxes", root="unlabelled")
    assert not (root / "test_labels.csv").exists()


def test_columns_called_by_their_corners(photos):
    frame = pd.DataFrame(
        [["p0.jpg", "a", 1, 2, 5, 9]], columns=["Image", "Id", "x1", "y1", "x2", "y2"]
    )
    assert records_of(frame, "frame", Form(), photos)[0].box == (1, 2, 5, 9)
    assert records_of(frame, "frame", Form(box_format="xywh"), photos)[0].box == (1, 2, 6, 11)
    assert records_of(frame, "frame", Form(box=()), photos)[0].box is None


# --- photos -------------------------------------------------------------------------------------


def test_photos_are_turned_upright_and_boxes_stay(tmp_path, import_dataset):
    folder = tmp_path / "photos"
    # Stored lying; upright it is 40 wide and 60 high, and the patch's upper left corner is (8, 10).
    photo(folder / "turned.jpg", 100, patch=(10, 16, 30, 32), orientation=6)
    photo(folder / "plain.jpg", 50, orientation=1)
    photo(folder / "grey.png", 150)
    table = write_lines(
        folder / "table.csv",
        "photo,identity,bbox,split",
        'turned.jpg,a,"[8, 10, 16, 20]",train',
        'plain.jpg,a,"[0, 0, 60, 40]",train',
        'grey.png,a,"(0, 0, 60, 40)",test',
    )
    root = import_dataset(table)
    image = pyvips.Image.new_from_file(str(root / "data/train/turned.jpg"))
    assert (image.width, image.height) == (HEIGHT, WIDTH)
    assert "orientation" not in image.get_fields() or image.get("orientation") == 1
    x1, y1, x2, y2 = load(root / "modified_data/p2bb_v5.pkl")["turned"]
    assert (x1, y1, x2, y2) == (8, 10, 24, 30)
    pixels = image.numpy().astype(int)
    assert np.abs(pixels[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] - RED).max() < 25
    outside = np.ones(pixels.shape[:2], bool)
    outside[y1 - 3 : y2 + 3, x1 - 3 : x2 + 3] = False
    assert np.abs(pixels[outside] - 100).max() < 25
    assert (root / "data/train/plain.jpg").read_bytes() == (folder / "plain.jpg").read_bytes()
    made = pyvips.Image.new_from_file(str(root / "data/test/grey.jpg"))
    assert made.get("vips-loader").startswith("jpegload")
    assert np.abs(made.numpy().astype(int) - 150).max() < 4


def test_an_upright_box_must_fit_the_upright_photo(tmp_path, import_dataset):
    folder = tmp_path / "photos"
    photo(folder / "turned.jpg", orientation=6)
    table = write_lines(folder / "t.csv", "photo,identity,bbox", "turned.jpg,a,0 0 60 40")
    refused(lambda: import_dataset(table, "--test", folder), f"{table}, line 2", "40 x 60")


def test_transparent_and_deep_photos(tmp_path, import_dataset):
    folder = tmp_path / "photos"
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[..., :3], pixels[:, 30:, 3] = BLUE, 255
    pyvips.Image.new_from_array(pixels, interpretation="srgb").write_to_file(
        str(photo(folder / "a/clear.png"))
    )
    deep = np.full((HEIGHT, WIDTH, 3), 128 * 256, np.uint16)
    pyvips.Image.new_from_array(deep, interpretation="rgb16").write_to_file(
        str(folder / "a/deep.tif")
    )
    photo(tmp_path / "test/q.jpg")
    root = import_dataset(folder, "--test", tmp_path / "test", "--whole-frame-boxes")
    clear = pyvips.Image.new_from_file(str(root / "data/train/clear.jpg")).numpy().astype(int)
    assert clear.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(clear - BLUE).max() < 12  # transparent or not, the colours count
    deep = pyvips.Image.new_from_file(str(root / "data/train/deep.jpg")).numpy()
    assert deep.dtype == np.uint8
    assert np.abs(deep.astype(int) - 128).max() < 4


def test_photos_can_be_linked(tmp_path, import_dataset):
    photo(tmp_path / "train/a/1.jpg")
    photo(tmp_path / "train/a/2.png")
    photo(tmp_path / "test/3.jpg")
    root = import_dataset(
        tmp_path / "train", "--test", tmp_path / "test", "--whole-frame-boxes", "--link"
    )
    assert (root / "data/train/1.jpg").resolve() == tmp_path / "train/a/1.jpg"
    assert not (root / "data/train/2.jpg").is_symlink()
    assert (root / "data/test/3.jpg").is_symlink()


def test_broken_photos_are_named_or_left_out(photos, import_dataset, tmp_path, capsys):
    whole = photos.joinpath("p1.jpg").read_bytes()
    photos.joinpath("p1.jpg").write_bytes(whole[: len(whole) // 2])
    table = write_lines(
        photos / "t.csv",
        "photo,identity,split",
        "p0.jpg,a,train",
        "p1.jpg,a,train",
        "p2.jpg,a,test",
    )
    refused(lambda: import_dataset(table, "--whole-frame-boxes"), f"{table}, line 3", "p1.jpg")
    assert not (tmp_path / "imported").exists()
    root = import_dataset(table, "--whole-frame-boxes", "--skip-broken-photos")
    assert "left out" in capsys.readouterr().out
    assert rows(root / "data/train.csv")[1:] == [["p0.jpg", "a"]]


# --- what is drawn ------------------------------------------------------------------------------


def herd():
    """40 identities of five photos on three days, 40 seen once, 50 not labelled."""
    days = ("2019-01-01", "2019-01-01", "2019-01-01", "2019-02-01", "2019-03-01")
    several = [(f"w{i}", day) for i in range(40) for day in days]
    once = [(f"s{i}", "") for i in range(40)]
    listed = [*several, *once, *[("", "")] * 50]
    return [
        Record(str(n), f"{n}.jpg", None, who, None, date) for n, (who, date) in enumerate(listed)
    ]


def test_test_photos_are_drawn_with_regard_to_identity_and_day():
    records = herd()
    drawn = draw_test(records, 0.3, np.random.default_rng(1))
    assert [r.where for r in drawn] == [r.where for r in records]
    assert drawn == draw_test(records, 0.3, np.random.default_rng(1))
    assert drawn != draw_test(records, 0.3, np.random.default_rng(2))
    test = [r for r in drawn if r.split == "test"]
    kept = {r.identity for r in drawn if r.split != "test"}
    assert {f"w{i}" for i in range(40)} <= kept
    day_splits = {(r.identity, r.date, r.split) for r in drawn if r.date}
    assert len(day_splits) == len({(who, date) for who, date, _ in day_splits})
    # .3 of the 90 photos of identities seen once and of nobody; some 1.5 of each five.
    alone = [r for r in test if not r.date]
    assert len(alone) == 27
    assert {r.identity for r in alone} - {""}
    counts = Counter(r.identity for r in test if r.date)
    assert max(counts.values()) <= 2
    assert 30 < sum(counts.values()) < 75


def test_an_identity_is_never_drawn_whole():
    records = [Record(f"{i}", f"{i}.jpg", None, f"w{i // 3}") for i in range(90)]
    drawn = draw_test(records, 0.95, np.random.default_rng(1))
    assert len({r.identity for r in drawn if r.split != "test"}) == 30


def test_the_playground_takes_whole_identities_without_test_photos():
    records = herd()
    records[0] = Record("0", "0.jpg", None, "w0", None, "2019-01-01", "test")
    drawn = draw_playground(records, 0.5, np.random.default_rng(1))
    playground = {r.identity for r in drawn if r.split == "playground"}
    assert 19 <= len(playground) <= 20
    assert "w0" not in playground
    assert all(who.startswith("w") for who in playground)
    assert not playground & {r.identity for r in drawn if r.split != "playground"}


def test_animals_of_another_shape(photos, import_dataset, tmp_path):
    table = write_lines(
        photos / "t.csv",
        "photo,identity,split",
        "p0.jpg,a,train",
        "p1.jpg,a,train",
        "p2.jpg,b,test",
    )
    options = "--whole-frame-boxes", "--anisotropy"
    root = import_dataset(table, *options, "1.5")
    assert json.loads((root / "data/settings.json").read_text()) == {"anisotropy": 1.5}
    workspace = Workspace(root)
    assert workspace.settings.anisotropy == 1.5
    for stage_reads in (training_reads(workspace, "folds_v1", 0), crop_tables(workspace)):
        assert root / "data/settings.json" in stage_reads
    for wrong in ("0", "-1", "inf", "wide"):
        said = f"expected a number above 0, received {wrong}"
        refused(lambda wrong=wrong: import_dataset(table, *options, wrong, root="refused"), said)
    assert not (tmp_path / "refused").exists()


def test_missing_boxes_are_found_by_another_roots_detector(
    photos, import_dataset, tmp_path, monkeypatch, capsys
):
    table = write_lines(
        photos / "t.csv", "photo,identity,split,bbox",
        'p0.jpg,a,train,"[1, 2, 30, 20]"', "p1.jpg,a,train,", "p2.jpg,b,test,",
    )  # fmt: skip
    trained = tmp_path / "trained"
    options = "--detector", str(trained), "--profile", "smoke"
    refused(lambda: import_dataset(table, *options), "no converted detector there", str(trained))
    write_lines(trained / "models/retinanet2/resnet152_fold_1_last_converted.h5", "")
    asked = []

    def find(paths, profile, workers, workspace):
        asked.append(([path.name for path in paths], profile, workspace.root))
        # Of the second photo only padding is found.
        fluke = find_flukes.DetectedFluke(0.9, (5, 6, 40, 30))
        return {path: [fluke] * (path.name == "p1.jpg") for path in paths}

    monkeypatch.setattr(find_flukes, "find_flukes", find)
    boxes = load(Workspace(import_dataset(table, *options)).file("boxes_v5"))
    assert boxes == {"p0": (1, 2, 31, 22), "p1": (5, 6, 40, 30), "p2": (0, 0, WIDTH, HEIGHT)}
    assert asked == [(["p1.jpg", "p2.jpg"], "smoke", trained)]
    assert "flukes found in 1 of 2 photos" in capsys.readouterr().out


def test_decisions_carry_the_names_that_photos_have_in_the_root(tmp_path, import_dataset):
    for number, folder in enumerate(("catalogue/ann", "catalogue/bob", "new")):
        photo(tmp_path / folder / "IMG 1.jpg", 50 * number)
    new = tmp_path / "new/IMG 1.jpg"
    options = "--whole-frame-boxes", "--without-detector"
    workspace = Workspace(
        import_dataset(tmp_path / "catalogue", "--test", str(new.parent), *options)
    )
    labels = dict(rows(workspace.file("train_csv"))[1:])
    assert labels == {"IMG_1.jpg": "ann", "IMG_1_2.jpg": "bob"}
    for key, boxes in (("boxes_averaged", load(workspace.file("boxes_v5"))),
                       ("boxes_averaged_playground", {})):  # fmt: skip
        save(workspace.file(key), boxes)
    found = write_lines(tmp_path / "found.csv", "query,identity,photo", f"{new},bob,IMG_1_2.jpg")
    (query,) = results_of_table(workspace, found).queries
    assert (query.name, query.path) == ("IMG_1_3.jpg", new)
    other = photo(tmp_path / "elsewhere/IMG 1.jpg")
    write_lines(found, "query,identity,photo", f"{other},bob,IMG_1_2.jpg")
    assert results_of_table(workspace, found).queries[0].name == "IMG 1.jpg"


# --- the stages accept it -----------------------------------------------------------------------


@pytest.fixture
def many(tmp_path):
    """Ten identities of six photos and ten photos of nobody, in folders."""
    folder = tmp_path / "many"
    for i in range(10):
        for j in range(6):
            photo(folder / f"w {i}" / f"{j}.jpg", 20 * i)
        photo(folder / "unknown" / f"u{i}.jpg", 20 * i)
    return folder


def test_stages_run_on_an_imported_root(many, import_dataset, script, monkeypatch):
    root = import_dataset(
        many, "--test-share", ".2", "--playground-share", ".3", "--whole-frame-boxes",
        "--without-detector", "--link",
    )  # fmt: skip
    assert not (root / "data/settings.json").exists()
    monkeypatch.setenv("WHALES_ROOT", str(root))
    for stage in (
        "retinanet/r10_create_csv_for_retinanet.py", "retinanet/r32_average_boxes.py",
        "r10_create_kfold_split.py", "kernel_snn/kfold_splits_for_kernel.py",
    ):  # fmt: skip
        script(stage).main(["--profile", "smoke"])
    workspace = Workspace(root)
    boxes = {
        **load(workspace.file("boxes_averaged")),
        **load(workspace.file("boxes_averaged_playground")),
    }
    assert len(boxes) == 70
    known = {who for _, who in rows(root / "data/train.csv")[1:]}
    warm = training_data(workspace, "folds_v1", None, boxes)
    assert len(warm.train) == 18  # three identities of the ten, six photos each
    assert len(training_data(workspace, "folds_v1", 0, boxes).rows) > 0
    assert not set(warm.train.values()) & known
    truth = {who for _, who in rows(root / "test_labels.csv")[1:]}
    assert truth <= known | {"new_whale"}
    assert "new_whale" in truth


# --- refusals -----------------------------------------------------------------------------------

HEADER = "photo,identity,date,split,bbox"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("none.jpg,a,,train,", "none.jpg is not in"),
        (",a,,train,", "photo is empty"),
        ("p1.jpg,a,yesterday,train,", "date is yesterday"),
        ("p1.jpg,a,2019-02-30,train,", "date is 2019-02-30"),
        ("p1.jpg,a,2019-13-1,train,", "date is 2019-13-1"),
        ("p1.jpg,a,1/5/2019,train,", "--date-format %d/%m/%Y or --date-format %m/%d/%Y"),
        ("p1.jpg,a,,val,", "split is val"),
        ("p1.jpg,a,,,", "split is empty"),
        ('p1.jpg,a,,train,"[1, 2, 3]"', "expected four numbers"),
        ('p1.jpg,a,,train,"[1, 2, x, 4]"', "expected four numbers"),
        ('p1.jpg,a,,train,"[1, 2, inf, 4]"', "expected four numbers"),
        ('p1.jpg,a,,train,"[1, 2, -3, 4]"', "inverted"),
        ('p1.jpg,a,,train,"[.1, .2, .5, .5]"', "under a pixel"),
        ('p1.jpg,a,,train,"[1, 2, 90, 4]"', "leaves the upright photo of 60 x 40"),
        ('p1.jpg,a,,train,"[60, 2, 2, 4]"', "leaves the upright photo"),
        ("p1.jpg,a,,train,", "has no box"),
        ('p0.jpg,a,,train,"[0, 0, 9, 9]"', "listed twice"),
        ("words.jpg,a,,train,", "cannot be read"),
    ],
)
def test_a_bad_row_is_named_and_nothing_written(photos, import_dataset, tmp_path, row, said):
    write_lines(photos / "words.jpg", "no photo")
    first = 'p0.jpg,a,2019,train,"[0, 0, 9, 9]"'
    table = write_lines(photos / "t.csv", HEADER, first, row, first.replace("p0", "p2"))
    before = sorted(tmp_path.rglob("*"))
    refused(lambda: import_dataset(table), f"{table}, line 3", said)
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_sources(photos, import_dataset, tmp_path):
    table = write_lines(photos / "t.csv", "bild,wer", "p0.jpg,a")
    refused(lambda: import_dataset(table), "no column of the photo", "received bild, wer")
    named = ["--photo-column", "bild"]
    refused(lambda: import_dataset(table, *named), "no column of the identity")
    refused(lambda: import_dataset(table, "--photo-column", "image"), "column image is missing")
    named += ["--identity-column", "wer"]
    refused(lambda: import_dataset(table, *named, "--box-columns", "x", "y"), "one column or four")
    first = write_lines(photos / "first.csv", "0,p0.jpg", "1,p1.jpg")
    for options in ((), ("--photo-column", "p0.jpg", "--identity-column", "0")):
        refused(lambda o=options: import_dataset(first, *o), "--columns identity photo")
    refused(lambda: import_dataset(tmp_path / "none.csv"), "none.csv is missing")
    refused(lambda: import_dataset(tmp_path / "none.json"), "none.json is missing")
    refused(lambda: import_dataset(write_lines(tmp_path / "w.xlsx", "text")), "is not a table")
    refused(lambda: import_dataset(write_lines(tmp_path / "w.json", "{}")), "none of the JSON")
    refused(
        lambda: import_dataset(write_lines(tmp_path / "e.csv", "photo,identity")), "has no photos"
    )
    wrong = {**COCO, "annotations": [{"id": 3, "image_id": 99, "category_id": 1}]}
    (photos / "w.json").write_text(json.dumps(wrong))
    refused(lambda: import_dataset(photos / "w.json"), "annotation 3", "no image 99")
    wrong["annotations"] = [{"id": 3, "image_id": 5, "category_id": 9}]
    (photos / "w.json").write_text(json.dumps(wrong))
    refused(lambda: import_dataset(photos / "w.json"), "annotation 3", "no category 9")
    assert not (tmp_path / "imported").exists()
    (tmp_path / "imported").mkdir()
    write_lines(tmp_path / "imported/mine.txt", "keep")
    refused(lambda: import_dataset(table), "not empty")


def test_refusals_end_with_code_2_and_need_no_framework(run_python, tmp_path):
    done = run_python("tools/import_dataset.py", tmp_path / "none", tmp_path / "root")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"error: {tmp_path / 'none'}" in done.stderr
    lines = (
        "import sys; from whales_tools import import_dataset; "
        "from whales_tools.export_results import main; from whales.stages.stage import run; "
        "print('tensorflow' in sys.modules, flush=True); run(lambda: main(['--csv', 'x.csv']))"
    )
    done = run_python("-c", lines, WHALES_ROOT=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert "final_submit_with_post_proc.csv is missing; run final_ensemble" in done.stderr


# --- what is given out --------------------------------------------------------------------------


@pytest.fixture
def answered(tmp_path, photos, import_dataset, monkeypatch):
    """A work root with four train photos, four queries, answers and no decisions."""
    table = write_lines(
        photos / "t.csv",
        "photo,identity,date,split,x1,y1,x2,y2",
        "p0.jpg,Ann Lee,2018-01-01,train,0,0,10,10",
        "p1.jpg,Ann Lee,2019-02-01,train,1,1,11,11",
        "p2.jpg,Bob,2018-01-02,train,2,2,12,12",
        "p3.jpg,,2018-03-03,train,3,3,13,13",
        "p4.jpg,,2019-01-01,test,4,4,14,14",
        "p5.jpg,,2019-01-02,test,5,5,15,15",
        "p6.jpg,,,test,6,6,16,16",
        "p7.jpg,,2020-01-01,test,7,7,17,17",
    )
    root = import_dataset(table)
    (root / "submission").mkdir()
    write_lines(
        root / "submission/final_submit_with_post_proc.csv",
        "Image,Id",
        "p4.jpg,Ann_Lee new_whale Bob",
        "p5.jpg,new_whale Bob Ann_Lee",
        "p6.jpg,Bob new_whale Ann_Lee",
        "p7.jpg,new_whale Ann_Lee Bob",
    )
    monkeypatch.setenv("WHALES_ROOT", str(root))
    return root


DECISIONS = (
    "who,when,query,decision,candidate,score",
    "me,1,p4,new,,",
    "me,1,p5,new,,",
    "me,2,p5.jpg,same,p2.jpg,.9",
    "me,3,p6,same,Ann_Lee,.9",
    "me,4,p6,undo,,",
    "me,5,p7,skip,,",
    "me,6,p4,same,Bob,.2",
    "me,7,p4,undo,,",
    "me,8,p7,undo,,",
    "me,9,p7,undo,,",
    "me,10,p7,skip,,",
)


def decide(root, *lines):
    (root / "review").mkdir(exist_ok=True)
    return write_lines(root / "review/decisions.csv", *lines)


def test_a_decision_wins_and_an_undo_takes_it_back(answered, tmp_path):
    decide(answered, *DECISIONS)
    found = {s.image: (s.individual, s.source) for s in read_sightings(Workspace(answered))}
    assert found == {
        "p0.jpg": ("Ann Lee", "label"),
        "p1.jpg": ("Ann Lee", "label"),
        "p2.jpg": ("Bob", "label"),
        "p3.jpg": ("unmatched", "label"),
        "p4.jpg": ("unmatched", "decision"),
        "p5.jpg": ("Bob", "decision"),
        "p6.jpg": ("Bob", "answer"),
        "p7.jpg": ("unmatched", "answer"),
    }


def test_where_people_differ_the_answer_stands(answered, capsys):
    decide(
        answered, DECISIONS[0],
        "ann,1,p4,same,Bob,", "ben,2,p4,new,,", "ann,3,p5,same,Bob,", "ben,4,p5,skip,,",
        "ann,5,p6,new,,", "ben,6,p6,same,p0,", "ann,7,p6,same,Ann_Lee,",
    )  # fmt: skip
    found = {s.image: (s.individual, s.source) for s in read_sightings(Workspace(answered))}
    assert found["p4.jpg"] == ("Ann Lee", "answer")
    assert found["p5.jpg"] == ("unmatched", "answer")  # skipped last
    assert found["p6.jpg"] == ("Ann Lee", "decision")
    assert "people differ on p4: no decision there" in capsys.readouterr().out


def test_a_half_written_decision_is_passed_over(answered, capsys):
    path = decide(answered, DECISIONS[0], "me,1,p4,same,Bob,")
    path.write_text(path.read_text() + "me,2,p5,same,Ann_L")
    found = {s.image: s.individual for s in read_sightings(Workspace(answered))}
    assert (found["p4.jpg"], found["p5.jpg"]) == ("Bob", "unmatched")
    assert "the last line is half-written and is passed over" in capsys.readouterr().out


def test_without_a_submission_decided_photos_are_given_out(answered, capsys):
    (answered / "submission/final_submit_with_post_proc.csv").unlink()
    decide(answered, *DECISIONS)
    found = {s.image: s for s in read_sightings(Workspace(answered)) if s.split == "test"}
    assert {name: (s.individual, s.source, s.answers) for name, s in found.items()} == {
        "p4.jpg": ("unmatched", "decision", ()),
        "p5.jpg": ("Bob", "decision", ()),
    }
    assert "only those that people decided on" in capsys.readouterr().out
    named = answered / "none.csv"
    refused(lambda: read_sightings(Workspace(answered), named), f"{named} is missing")
    refused(lambda: read_sightings(Workspace(answered), None, named), f"{named} is missing")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("me,2,p9,new,,", "query p9 is no test photo"),
        ("me,2,p4,maybe,,", "decision is maybe"),
        ("me,2,p4,same,Carl,", "candidate Carl"),
        ("me,2,p4,same,,", "candidate is empty"),
        ("me,2,p4,same,p3.jpg,", "candidate p3.jpg"),
    ],
)
def test_a_bad_decision_is_named(answered, script, tmp_path, row, said):
    path = decide(answered, DECISIONS[0], DECISIONS[1], row)
    out = tmp_path / "out.csv"
    refused(
        lambda: script("tools/export_results.py").main(["--csv", str(out)]), f"{path}, line 3", said
    )
    assert not out.exists()


def test_a_candidate_that_may_mean_two_things(tmp_path):
    path = write_lines(tmp_path / "d.csv", DECISIONS[0], "me,1,q,same,1,")
    labels = {"1": "2", "2": "1"}
    refused(lambda: read_decisions(path, {"q": []}, labels), "line 2", "write 1.jpg")
    write_lines(path, DECISIONS[0], "me,1,q,same,1.jpg,")
    assert read_decisions(path, {"q": []}, labels) == {"q": "2"}


def test_answers_of_another_root_are_refused(answered, script, tmp_path):
    path = write_lines(tmp_path / "a.csv", "Image,Id", "p4.jpg,Bob", "p5.jpg,w_1 Bob")
    refused(
        lambda: script("tools/export_results.py").main(["--answers", str(path), "--csv", "x.csv"]),
        f"{path}, line 3", "w_1",
    )  # fmt: skip


def test_tables(answered, script, tmp_path):
    decide(answered, *DECISIONS)
    out = tmp_path / "out.csv"
    script("tools/export_results.py").main(
        ["--csv", str(out), "--xlsx", str(tmp_path / "out.xlsx")]
    )
    expected = [
        ["photo", "image", "identity", "source", "decided_by", "date", "split", "x", "y", "w", "h",
         "answer_1", "answer_2", "answer_3", "answer_4", "answer_5"],
        ["p4.jpg", "p4.jpg", "unmatched", "decision", "me", "2019-01-01", "test", "4", "4", "10", "10",
         "Ann Lee", "unmatched", "Bob", "", ""],
        ["p5.jpg", "p5.jpg", "Bob", "decision", "me", "2019-01-02", "test", "5", "5", "10", "10",
         "unmatched", "Bob", "Ann Lee", "", ""],
        ["p6.jpg", "p6.jpg", "Bob", "answer", "", "", "test", "6", "6", "10", "10",
         "Bob", "unmatched", "Ann Lee", "", ""],
        ["p7.jpg", "p7.jpg", "unmatched", "answer", "", "2020-01-01", "test", "7", "7", "10", "10",
         "unmatched", "Ann Lee", "Bob", "", ""],
    ]  # fmt: skip
    assert rows(out) == expected
    frame = pd.read_excel(tmp_path / "out.xlsx", dtype=str, keep_default_na=False)
    assert [[*frame.columns], *frame.to_numpy().tolist()] == expected


def test_capture_histories(answered, script, tmp_path):
    decide(answered, *DECISIONS)
    main = script("tools/export_results.py").main
    main(["--capture-histories", str(tmp_path / "h.csv"), "--occasions", "year"])
    # 2020's only photo was matched with nobody: an occasion all the same.
    assert rows(tmp_path / "h.csv") == [
        ["individual", "2018", "2019", "2020"], ["Ann Lee", "1", "1", "0"], ["Bob", "1", "1", "0"],
    ]  # fmt: skip
    main(["--capture-histories", str(tmp_path / "h.inp"), "--occasions", "year"])
    assert (tmp_path / "h.inp").read_text() == (
        "/* occasions: 2018 2019 2020 */\n/* Ann Lee */ 110 1;\n/* Bob */ 110 1;\n"
    )
    table, left_out = capture_histories(read_sightings(Workspace(answered)))
    assert table.columns.tolist() == [
        "2018-01-01", "2018-01-02", "2018-03-03", "2019-01-01", "2019-01-02", "2019-02-01", "2020-01-01",
    ]  # fmt: skip
    assert table.loc["Bob"].tolist() == [0, 1, 0, 0, 1, 0, 0]
    assert left_out == {"without a date": 1, "unmatched": 3}


def test_identities_lent_to_the_playground_are_captured_too(
    photos, import_dataset, script, monkeypatch
):
    table = write_lines(
        photos / "t.csv",
        "photo,identity,date,split",
        "p0.jpg,a,2018,train",
        "p1.jpg,b,2018,playground",
        "p2.jpg,b,2019,playground",
        "p3.jpg,,2020,test",
    )
    root = import_dataset(table, "--whole-frame-boxes")
    assert rows(root / "data/playground/train.csv")[1:] == [["p1.jpg", "b"], ["p2.jpg", "b"]]
    monkeypatch.setenv("WHALES_ROOT", str(root))
    answers = write_lines(photos / "answers.csv", "Image,Id", "p3.jpg,a new_whale")
    out = photos / "h.csv"
    script("tools/export_results.py").main(
        ["--capture-histories", str(out), "--answers", str(answers)]
    )
    assert rows(out) == [
        ["individual", "2018", "2019", "2020"], ["a", "1", "0", "1"], ["b", "1", "1", "0"],
    ]  # fmt: skip


def test_histories_need_dates_as_fine_as_the_occasions(answered, script, tmp_path):
    text = (answered / "data/import.csv").read_text()
    (answered / "data/import.csv").write_text(text.replace("2019-02-01", "2019"))
    sightings = read_sightings(Workspace(answered))
    assert capture_histories(sightings)[0].columns.tolist() == ["2018", "2019", "2020"]
    refused(lambda: capture_histories(sightings, "month"), "p1.jpg", "2019 has no month")
    (answered / "data/import.csv").unlink()
    refused(
        lambda: script("tools/export_results.py").main(
            ["--capture-histories", str(tmp_path / "h.csv")]
        ),
        "no photo has a date",
    )


def test_without_an_import_table_photos_have_their_names_in_the_root(answered):
    (answered / "data/import.csv").unlink()
    found = [(s.photo, s.individual) for s in read_sightings(Workspace(answered))]
    assert found[0] == ("train/p0.jpg", "Ann_Lee")
    assert found[4] == ("test/p4.jpg", "Ann_Lee")


def test_nothing_asked_and_wrong_names_are_refused(answered, script, tmp_path):
    main = script("tools/export_results.py").main
    refused(lambda: main([]), "nothing to write")
    refused(lambda: main(["--xlsx", "x.csv"]), "must end in .xlsx")
    refused(lambda: main(["--folders", str(answered)]), "not empty")


# --- round trips --------------------------------------------------------------------------------

TRUE = {
    "p0": ("Ann Lee", (0, 0, 10, 10), "2018-01-01"),
    "p1": ("Ann Lee", (1, 1, 11, 11), "2019-02-01"),
    "p2": ("Bob", (2, 2, 12, 12), "2018-01-02"),
    "p3": ("", (3, 3, 13, 13), "2018-03-03"),
    "p4": ("Ann Lee", (4, 4, 14, 14), "2019-01-01"),
    "p5": ("", (5, 5, 15, 15), "2019-01-02"),
    "p6": ("Bob", (6, 6, 16, 16), ""),
    "p7": ("", (7, 7, 17, 17), "2020-01-01"),
}


def contents(root):
    """Stem -> identity, box and date of an imported root."""
    boxes = load(root / "modified_data/p2bb_v5.pkl")
    table = rows(root / "data/import.csv")[1:]
    return {row[0][:-4]: (row[4], boxes[row[0][:-4]], row[5]) for row in table}


@pytest.mark.parametrize(
    ("option", "name"), [("--csv", "out.csv"), ("--xlsx", "out.xlsx"), ("--coco", "out.json")]
)
def test_tables_and_coco_come_back(
    answered, script, import_dataset, tmp_path, photos, option, name
):
    script("tools/export_results.py").main([option, str(tmp_path / name), "--with-labelled"])
    again = import_dataset(tmp_path / name, "--photos", photos, root="again")
    assert contents(again) == TRUE
    splits = [row[6] for row in rows(again / "data/import.csv")[1:]]
    assert splits == ["train"] * 4 + ["test"] * 4


def test_folders_come_back(answered, script, import_dataset, tmp_path, capsys):
    out = tmp_path / "sorted"
    script("tools/export_results.py").main(["--folders", str(out), "--with-labelled"])
    listed = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.jpg"))
    assert listed == [
        "Ann_Lee/p0.jpg", "Ann_Lee/p1.jpg", "Ann_Lee/p4.jpg", "Bob/p2.jpg", "Bob/p6.jpg",
        "unmatched/p3.jpg", "unmatched/p5.jpg", "unmatched/p7.jpg",
    ]  # fmt: skip
    assert (out / "Bob/p6.jpg").read_bytes() == (answered / "data/test/p6.jpg").read_bytes()
    queries = photo(tmp_path / "queries/q.jpg").parent
    again = import_dataset(out, "--test", queries, "--whole-frame-boxes", root="again")
    found = {stem: who.replace(" ", "_") for stem, (who, _, _) in TRUE.items()}
    assert {stem: who for stem, (who, _, _) in contents(again).items() if stem != "q"} == found
    assert "train: 8 photos, 2 identities" in capsys.readouterr().out


def test_coco_keeps_two_animals_of_a_photo_together(photos, import_dataset, script, monkeypatch):
    (photos / "coco.json").write_text(json.dumps(COCO))
    root = import_dataset(photos / "coco.json", "--whole-frame-boxes")
    monkeypatch.setenv("WHALES_ROOT", str(root))
    answers = write_lines(photos / "answers.csv", "Image,Id", "p1.jpg,Bob new_whale")
    out = photos / "out.json"
    script("tools/export_results.py").main(
        ["--coco", str(out), "--with-labelled", "--answers", str(answers)]
    )
    content = json.loads(out.read_text())
    assert content["categories"] == [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}]
    assert [(i["id"], i["file_name"], i["width"], i["height"]) for i in content["images"]] == [
        (1, "p0.jpg", 60, 40), (2, "p2.jpg", 60, 40), (3, "p1.jpg", 60, 40),
    ]  # fmt: skip
    assert [(a["image_id"], a["category_id"], a["bbox"]) for a in content["annotations"]] == [
        (1, 1, [1, 2, 30, 20]), (1, 2, [40, 5, 10, 10]), (2, 1, [0, 0, 9, 9]), (3, 2, [0, 0, 60, 40]),
    ]  # fmt: skip
    again = import_dataset(out, "--photos", photos, root="again")
    assert rows(again / "data/train.csv") == rows(root / "data/train.csv")
    assert load(again / "modified_data/p2bb_v5.pkl") == load(root / "modified_data/p2bb_v5.pkl")
