"""The detector's stages on a tiny drawn competition: bright flukes on dark water."""

import json
import os
import pickle
import pickletools
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from retinanet import (
    r10_create_csv_for_retinanet,
    r30_train_backbone_resnet152_kfold,
    r31_convert_retinanet_model,
    r31_get_vectors_backbone_resnet152_kfold,
    r32_average_boxes,
)
from retinanet.detector.detections import (
    Cache,
    PhotosToDetect,
    collect,
    save_detections,
)
from retinanet.detector.first_boxes import read_annotations
from retinanet.detector.geometry import DETECTORS
from retinanet.detector.network import MAX_WAITING, by_shape
from retinanet.detector.training import former_key
from whales.base.concurrency import read_ahead
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.files.boxes import Detection, agreement
from whales.files.workspace import Workspace
from whales.stages.stage import run

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 120, 66
IDENTITIES = 14
TEST, PLAYGROUND_TRAIN, PLAYGROUND_TEST = 6, 4, 2

# Short trainings of the smoke detector; the rest is the stage's own.
SHORT = """
from dataclasses import replace
from retinanet import r30_train_backbone_resnet152_kfold as r30
r30.PROFILES["smoke"] = replace(
    r30.SMOKE, epochs={epochs}, steps={steps}, learning_rate={rate}, epoch_rate=0.5
)
"""
SMOKE = ["--profile", "smoke", "--workers", "1"]


def draw(path, box, rng):
    """A photo with a bright ellipse that fills its box (x1, y1, x2, y2)."""
    pixels = rng.integers(20, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    x1, y1, x2, y2 = box
    middle, axes = ((x1 + x2) // 2, (y1 + y2) // 2), ((x2 - x1) // 2, (y2 - y1) // 2)
    cv2.ellipse(pixels, middle, axes, 0, 0, 360, (210, 220, 230), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def make_root(root):
    """A work root with photos, tables and first boxes. Returns the true boxes by photo."""
    rng = np.random.default_rng(5)
    data, boxes = root / "data", {}

    def photos(folder, prefix, count):
        for i in range(count):
            x1, y1 = int(rng.integers(2, 30)), int(rng.integers(2, 20))
            box = (x1, y1, x1 + int(rng.integers(60, 85)), y1 + int(rng.integers(26, 40)))
            boxes[f"{prefix}{i:02d}"] = box
            draw(data / folder / f"{prefix}{i:02d}.jpg", box, rng)
        return [f"{prefix}{i:02d}.jpg" for i in range(count)]

    train = photos("train", "a", 3 * IDENTITIES)
    owners = [f"w_{i % IDENTITIES:02d}" if i % 3 else "new_whale" for i in range(len(train))]
    table(data / "train.csv", zip(train, owners, strict=True))
    test = photos("test", "t", TEST)
    table(data / "sample_submission.csv", ((name, "new_whale") for name in test))
    playground = photos("playground/train", "p", PLAYGROUND_TRAIN)
    table(data / "playground/train.csv", ((name, "w_p") for name in playground))
    rest = photos("playground/test", "q", PLAYGROUND_TEST)
    table(data / "playground/sample_submission.csv", ((name, "w_p") for name in rest))
    first = {name: box for name, box in boxes.items() if name[0] in "at"}
    save(root / "modified_data/p2bb_v5.pkl", first)
    drawn = root / "modified_data/retinanet/cropping_train_v2.csv"
    drawn.parent.mkdir(parents=True, exist_ok=True)
    drawn.write_text("E:\\whales\\input/playground/train/p01.jpg,4,5,96,46,whale\n")
    return boxes


def table(path, rows):
    path.write_text("Image,Id\n" + "".join(f"{name},{owner}\n" for name, owner in rows))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("WHALES_ROOT", str(tmp_path))
    make_root(tmp_path)
    return tmp_path


def refusal(main, arguments, capsys):
    """The one line that a stage says before it exits with code 2."""
    with pytest.raises(SystemExit) as stopped:
        run(lambda: main(arguments))
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def parts_of(count):
    """KFold(5, shuffle=True, random_state=66) written out: five index arrays."""
    order = np.arange(count)
    np.random.RandomState(66).shuffle(order)
    return [sorted(part) for part in np.array_split(order, 5)]


def test_r10_makes_the_folds_of_the_recipe(root):
    r10_create_csv_for_retinanet.main([])
    rows = [line.split(",") for line in (root / "data/train.csv").read_text().split()[1:]]
    identities = sorted({owner for _, owner in rows if owner != "new_whale"})
    unknown = [name for name, owner in rows if owner == "new_whale"]
    expected = []
    for known_part, unknown_part in zip(
        parts_of(len(identities)), parts_of(len(unknown)), strict=True
    ):
        held = {identities[i] for i in known_part}
        valid = [name for name, owner in rows if owner in held]
        train = [name for name, owner in rows if owner not in held | {"new_whale"}]
        valid += [unknown[i] for i in unknown_part]
        train += [name for i, name in enumerate(unknown) if i not in unknown_part]
        expected.append([train, valid])
    with open(root / "modified_data/retinanet/classes.txt") as classes:
        assert classes.read() == "whale,0\n"
    assert load(root / "modified_data/kfold_retinanet_5.pklz") == expected
    for fold in range(5):
        for part, names in zip(("train", "valid"), expected[fold], strict=True):
            written = read_annotations(root / f"modified_data/retinanet/fold_{fold + 1}_{part}.csv")
            assert [path for path, _ in written] == [str(root / "data/train" / n) for n in names]


def test_r10_leaves_out_photos_without_a_usable_box(root, capsys):
    boxes = load(root / "modified_data/p2bb_v5.pkl")
    del boxes["a00"]
    boxes |= {"a01": (9, 5, 9, 8), "a02": (5, 20, 30, 10)}
    save(root / "modified_data/p2bb_v5.pkl", boxes)
    r10_create_csv_for_retinanet.main([])
    assert (
        "2 photos left out, their boxes are empty or inverted: a01, a02" in capsys.readouterr().out
    )
    tables = [
        read_annotations(root / f"modified_data/retinanet/fold_1_{part}.csv")
        for part in ("train", "valid")
    ]
    written = {Path(path).stem: box for rows in tables for path, box in rows}
    assert written == {
        name: box for name, box in boxes.items() if name[0] == "a" and name not in ("a01", "a02")
    }
    # The folds themselves keep every photo.
    folds = load(root / "modified_data/kfold_retinanet_5.pklz")
    assert {"a00.jpg", "a01.jpg"} <= {*folds[0][0], *folds[0][1]}


def test_r10_twice_is_up_to_date(root, capsys):
    r10_create_csv_for_retinanet.main([])
    capsys.readouterr()
    r10_create_csv_for_retinanet.main([])
    assert "up to date" in capsys.readouterr().out


def test_r10_with_too_few_identities(root, capsys):
    table(root / "data/train.csv", [(f"a{i:02d}.jpg", f"w_{i % 4}") for i in range(8)])
    assert "4 identities" in refusal(r10_create_csv_for_retinanet.main, [], capsys)
    assert not (root / "modified_data/kfold_retinanet_5.pklz").exists()


def test_r10_without_first_boxes(root, capsys):
    (root / "modified_data/p2bb_v5.pkl").unlink()
    line = refusal(r10_create_csv_for_retinanet.main, [], capsys)
    assert "p2bb_v5.pkl is missing; download" in line


@pytest.mark.parametrize(
    "stage",
    [
        r30_train_backbone_resnet152_kfold,
        r31_convert_retinanet_model,
        r31_get_vectors_backbone_resnet152_kfold,
    ],
)
@pytest.mark.parametrize("fold", ["0", "6", "one"])
def test_folds_run_from_one_to_five(stage, fold, root, capsys):
    assert f"from 1 to 5, received {fold}" in refusal(stage.main, [fold], capsys)


def test_stages_name_who_makes_what_is_missing(root, capsys):
    line = refusal(r30_train_backbone_resnet152_kfold.main, ["2"], capsys)
    assert "fold_2_train.csv is missing; run retinanet/r10_create_csv_for_retinanet.py" in line
    line = refusal(r31_convert_retinanet_model.main, ["2"], capsys)
    assert "run retinanet/r30_train_backbone_resnet152_kfold.py 2" in line
    line = refusal(r31_get_vectors_backbone_resnet152_kfold.main, ["2"], capsys)
    assert "run retinanet/r31_convert_retinanet_model.py 2" in line
    line = refusal(r32_average_boxes.main, [], capsys)
    assert "run retinanet/r31_get_vectors_backbone_resnet152_kfold.py" in line


def test_a_missing_snapshot_is_refused_at_once(root, capsys):
    for option in ("--snapshot", "--weights"):
        line = refusal(r30_train_backbone_resnet152_kfold.main, [option, "nowhere.h5"], capsys)
        assert "nowhere.h5 is missing" in line


def test_a_bad_row_is_named(tmp_path):
    bad = tmp_path / "fold.csv"
    bad.write_text("a.jpg,1,2,3,4,whale\nb.jpg,1,2,x,4,whale\n")
    with pytest.raises(UserError, match=r"fold\.csv, line 2: .*received b\.jpg,1,2,x,4,whale"):
        read_annotations(bad)


def average_inputs(root):
    modified = root / "modified_data"
    save(modified / "p2bb_v5.pkl", {"a00": (0, 1, 2, 3), "a01": (5, 6, 7, 8)})
    detected = {"a00": (1, 2, 3, 4), "t00": (9, 9, 19, 19)}
    save(modified / "p2bb_retinanet_resnet152_cropping.pkl", detected)
    playground = {"p00": (10, 10, 20, 20), "p01": (1, 1, 2, 2), "p02": (3, 3, 6, 6)}
    save(modified / "p2bb_retinanet_resnet152_cropping_playground.pkl", playground)
    return modified


def test_r32_averages_and_lets_drawn_boxes_win(root):
    modified = average_inputs(root)
    r32_average_boxes.main([])
    assert load(modified / "p2bb_averaged_v1.pkl") == {"a00": (0, 2, 2, 4), "a01": (5, 6, 7, 8)}
    # Without first boxes of the playground: the detector's, but for the drawn one.
    assert load(modified / "p2bb_averaged_playground_v1.pkl") == {
        "p00": (10, 10, 20, 20), "p01": (4, 5, 96, 46), "p02": (3, 3, 6, 6),
    }  # fmt: skip


def cached(cache, name, box, weights, made_by="", digest="d"):
    """A cache entry in which both views saw one box (x1, y1, x2, y2), in shares of the sides."""
    boxes, scores = np.full((2, 300, 4), -1, np.float32), np.full((2, 300), -1, np.float32)
    x1, y1, x2, y2 = box
    boxes[:, 0] = [box, (1 - x2, y1, 1 - x1, y2)]
    scores[:, 0] = 0.8
    assert cache.prepare(weights, made_by, [name], {name: digest}) == [name]
    save(cache.path(name), (boxes, scores, scores.astype(np.int32)))
    assert cache.prepare(weights, made_by, [name], {name: digest}) == []


def test_folds_that_predicted_one_photo_are_averaged(root, capsys):
    """In shares of the sides, before scaling: x1 .28 * 120 = 33.6, y2 .55 * 66 = 36.3."""
    workspace, name = Workspace(root), "t01"
    first, second = (Cache(workspace, "test", fold) for fold in (1, 2))
    digest = workspace.digests.of(first.photo(name))
    cached(first, name, (0.25, 0.125, 0.75, 0.5), "one", "numbers", digest)
    both = PhotosToDetect({"test": [name, "t02"]}, {1: [], 2: []})

    def collected():
        return collect(workspace, "test", both, "numbers")

    assert collected() == {name: (30, 8, 90, 33)}
    cached(second, name, (0.31, 0.125, 0.96, 0.6), "two", "numbers", digest)
    assert collected() == {name: (33, 8, 102, 36)}
    assert collect(workspace, "test", both, "other numbers") == {}
    # Fold 2 is converted again: its detections are of another detector now.
    converted = workspace.file("retinanet_converted", fold=2)
    converted.parent.mkdir(parents=True)
    converted.write_bytes(b"other weights")
    assert collected() == {name: (30, 8, 90, 33)}
    assert "fold 2's detections are of another detector" in capsys.readouterr().out
    converted.unlink()
    # The photo is another one now, and only fold 1 has looked at it since.
    first.photo(name).write_bytes(first.photo("t02").read_bytes())
    digest = workspace.digests.of(first.photo(name))
    assert first.prepare("one", "numbers", [name], {name: digest}) == [name]
    cached(first, name, (0.125, 0.125, 0.75, 0.5), "one", "numbers", "other")
    first.prepare("one", "numbers", [], {})
    note = workspace.file("detections_weights", part="test", fold=1)
    note.write_text(note.read_text().replace("other", digest))
    assert collected() == {name: (15, 8, 90, 33)}
    assert "1 of fold 2's detections are of other photos, left out" in capsys.readouterr().out


def test_detections_are_made_again_by_force_and_for_other_numbers(root):
    cache = Cache(Workspace(root), "test", 1)
    box = (0.25, 0.125, 0.75, 0.5)
    cached(cache, "t01", box, "one", "numbers")
    assert cache.prepare("one", "numbers", ["t01"], {"t01": "d"}, anew=True) == ["t01"]
    cached(cache, "t01", box, "one", "numbers")
    assert cache.prepare("one", "other numbers", ["t01"], {"t01": "d"}) == ["t01"]
    # An entry that the note does not know, whatever its age: that of another fold's detector.
    cached(cache, "t01", box, "one", "numbers")
    cached(cache, "t02", box, "one", "numbers")
    note = cache.workspace.file("detections_weights", part="test", fold=1)
    content = json.loads(note.read_text())
    del content["photos"]["t02"]
    note.write_text(json.dumps(content))
    assert cache.prepare("one", "numbers", ["t02"], {"t02": "d"}) == ["t02"]


def test_a_photo_that_changed_is_predicted_again(root):
    cache = Cache(Workspace(root), "train", 3)
    cached(cache, "a05", (0.25, 0.125, 0.75, 0.5), "one")
    assert cache.path("a05").name == "a05.pklz"
    later = cache.path("a05").stat().st_mtime_ns + 10**9
    os.utime(cache.photo("a05"), ns=(later, later))
    assert cache.prepare("one", "", ["a05"], {"a05": "d"}) == []  # touched, but the same
    assert cache.prepare("one", "", ["a05"], {"a05": ""}) == []  # its disk is not there today
    assert cache.prepare("one", "", ["a05"], {"a05": "d"}) == []
    assert cache.prepare("one", "", ["a05"], {"a05": "e"}) == ["a05"]
    assert not cache.path("a05").exists()


def test_entries_without_digests_count_unless_older_than_their_photo(root):
    workspace = Workspace(root)
    cache = Cache(workspace, "train", 3)
    cached(cache, "a05", (0.25, 0.125, 0.75, 0.5), "one")
    note = workspace.file("detections_weights", part="train", fold=3)
    note.write_text(json.dumps({"weights": "one"}))  # as versions before 0.2 wrote it
    assert cache.prepare("one", "", ["a05"], {"a05": "e"}) == []
    note.write_text(json.dumps({"weights": "one"}))
    later = cache.path("a05").stat().st_mtime_ns + 10**9
    os.utime(cache.photo("a05"), ns=(later, later))
    assert cache.prepare("one", "", ["a05"], {"a05": "e"}) == ["a05"]


def test_agreement_counts_photos_without_a_box_as_zero():
    # IoU 1, .5 and, for the photo without a box, 0.
    found = {"a": (0, 0, 10, 10), "b": (0, 0, 10, 5), "c": None, "only here": (1, 1, 2, 2)}
    reference = {"a": (0, 0, 10, 10), "b": (0, 0, 10, 10), "c": (0, 0, 1, 1), "d": (0, 0, 1, 1)}
    assert agreement(found, reference).lines() == [
        "mean IoU 0.500000 of 3 photos; 2 under 0.8, 1 not found"
    ]


def test_poor_boxes_are_warned_of():
    """IoU .4 and, for the photo without a box, 0: .2 is under .5."""
    reference = {"a": (0, 0, 10, 10), "b": (0, 0, 10, 10)}
    first, warning = agreement({"a": (0, 0, 10, 4), "b": None}, reference).lines()
    assert first == "mean IoU 0.200000 of 2 photos; 2 under 0.8, 1 not found"
    assert warning.startswith("warning: the detector's boxes are poor, ")
    assert "p2bb_v5 is 0.20" in warning


def test_detections_are_written_as_lists_of_plain_numbers(tmp_path):
    path = tmp_path / "boxes.pkl"
    first, second = Detection(0, 0.75, (0.125, 0.25, 0.5, 1.0)), Detection(0, 0.5, (0, 0, 1, 1))
    save_detections(path, {"a": [first, second], "b": [first]})
    row = [0, 0.75, 0.125, 0.25, 0.5, 1.0]
    assert load(path) == {"a": [row, [0, 0.5, 0, 0, 1, 1]], "b": [row]}
    classes = {"GLOBAL", "STACK_GLOBAL"}
    assert not classes & {code.name for code, _, _ in pickletools.genops(path.read_bytes())}


@pytest.mark.parametrize(
    ("profile", "seed", "snapshot", "key"),
    [
        ("smoke", 3, None, "3559ca90dd588ceb9d8b46b714d1f26f64275c1307737011c9fc01e1af8a7e47"),
        ("full", 0, "/root/models/snapshot.h5",
         "bd59e76398f074871a73a855b4380c53f7b005a37ba0821ef146d01626a6c664"),
    ],
)  # fmt: skip
def test_checkpoints_of_former_versions_are_known_by_the_digest_they_kept(
    profile, seed, snapshot, key
):
    """The digests are of `repr` of a tuple whose records were called Settings and Detector."""
    plan = r30_train_backbone_resnet152_kfold.PROFILES[profile]
    tables = b"a.jpg,1,2,3,4,whale\n", b"b.jpg,5,6,7,8,whale\n"
    assert former_key(plan, DETECTORS[profile], seed, snapshot, *tables) == key


def test_photos_of_one_shape_are_batched_and_few_wait():
    shapes = [(4, 6), (4, 6), (5, 6), (4, 6)] + [(1, width) for width in range(1, 100)]
    photos = [(number, np.full((*shape, 3), number)) for number, shape in enumerate(shapes)]
    seen, ahead = [], []

    def feed():
        for photo in photos:
            ahead.append(photo[0])
            yield photo

    for keys, images in by_shape(feed(), 2):
        seen.extend(keys)
        assert [image[0, 0, 0] for image in images] == keys
        assert len(keys) <= 2
        assert len(ahead) - len(seen) <= MAX_WAITING
    assert sorted(seen) == list(range(len(shapes)))
    assert seen[:2] == [0, 1]


def test_reading_ahead_keeps_the_order_and_passes_errors_on():
    assert list(read_ahead(lambda n: n * n, range(50), 3)) == [n * n for n in range(50)]

    def fail(number):
        if number == 7:
            raise UserError("photo 7")
        return number

    with pytest.raises(UserError, match="photo 7"):
        list(read_ahead(fail, range(50), 2))


@pytest.mark.parametrize(("box", "poor"), [((0, 0, 10, 5), False), ((0, 0, 10, 4), True)])
def test_r32_names_the_iou_and_warns_of_poor_boxes(root, capsys, box, poor):
    """Both boxes of 10 x 10 pixels: IoU .5 or .4, over the photos that have both."""
    modified = average_inputs(root)
    first = {"a00": (0, 0, 10, 10), "a01": (0, 0, 10, 10), "only first": (0, 0, 5, 5)}
    save(modified / "p2bb_v5.pkl", first)
    detected = {"a00": box, "a01": box, "t00": (9, 9, 19, 19)}
    save(modified / "p2bb_retinanet_resnet152_cropping.pkl", detected)
    r32_average_boxes.main([])
    out = capsys.readouterr().out
    assert f"mean IoU {0.4 if poor else 0.5:.6f} of 2 photos; 2 under 0.8, 0 not found\n" in out
    assert out.count("warning: the detector's boxes are poor") == poor


def test_a_random_backbone_is_refused_in_the_full_profile(root, capsys):
    r10_create_csv_for_retinanet.main([])
    line = refusal(r30_train_backbone_resnet152_kfold.main, ["--weights", "none"], capsys)
    assert line.startswith("error: --weights none: ")
    assert "batch normalization is frozen" in line
    assert not (root / "models").exists()


def test_r32_with_first_boxes_of_the_playground(root):
    modified = average_inputs(root)
    r32_average_boxes.main([])
    first = {"p00": (13, 10, 23, 20), "p01": (0, 0, 9, 9), "p03": (1, 2, 3, 4)}
    save(modified / "p2bb_playground_v2.pkl", first)
    r32_average_boxes.main([])  # not up to date: a new input
    assert load(modified / "p2bb_averaged_playground_v1.pkl") == {
        "p00": (12, 10, 22, 20), "p01": (4, 5, 96, 46), "p03": (1, 2, 3, 4),
    }  # fmt: skip


# The stages below load Keras 2, so each runs in a process of its own.


def make_folds(root, monkeypatch):
    monkeypatch.setenv("WHALES_ROOT", str(root))
    r10_create_csv_for_retinanet.main([])


def python(root, code, status=0, seconds=""):
    """Run code on a work root; returns stdout, checks the exit status.

    seconds: between two checkpoints within an epoch, instead of the usual.
    """
    environment = {**os.environ, "WHALES_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
    environment["WHALES_CHECKPOINT_SECONDS"] = seconds
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def training(arguments, epochs=2, steps=2, rate=1e-3, before=""):
    short = SHORT.format(epochs=epochs, steps=steps, rate=rate)
    return f"{short}{before}\nfrom whales.stages.stage import run\nrun(lambda: r30.main({arguments!r}))\n"


def weights_of(path):
    """Every array of an HDF5 model file, optimizer included, by its place in the file.

    Keras drops the optimizer's name from the places when it saves a loaded model again.
    """
    arrays = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name.replace("Adam/", ""): item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return arrays


@pytest.mark.slow
def test_a_rehearsal_trains_beside_the_real_files(root, monkeypatch):
    make_folds(root, monkeypatch)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    python(root, training([*SMOKE, "--steps", "2"], epochs=5, steps=9))
    after = {path: path.read_bytes() for path in root.rglob("*")
             if path.is_file() and "rehearsal" not in path.parts}  # fmt: skip
    assert after == before
    rehearsal = root / "rehearsal/smoke"
    assert (rehearsal / "models/retinanet2/resnet152_fold_1_last.h5").is_file()
    rows = next((rehearsal / "cache/history").glob("*.csv")).read_text().splitlines()
    assert len(rows) == 1 + 2  # two epochs
    said = next((rehearsal / "logs").glob("*r30*")).read_text()
    assert "px, batch 4, whole net: " in said
    assert "; left: epoch " in said
    assert "peak memory of the process " in said


# A signal within the second epoch, as its second step of three begins.
STOP = """
import os, signal
from retinanet.detector import training
train, calls = training._train_epoch, []
def stop_in_the_second_epoch(model, train_step, *arguments):
    calls.append(1)
    steps = []
    def step(*batch):
        steps.append(1)
        if len(calls) == len(steps) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_step(*batch)
    return train(model, step, *arguments)
training._train_epoch = stop_in_the_second_epoch
"""
# The same run goes on and is killed in the evaluation that follows.
KILL = """
import os
from retinanet.detector import training
training.evaluate_detector = lambda *arguments: os._exit(9)
"""


@pytest.mark.slow
def test_a_killed_training_resumes_in_a_moved_root_and_ends_the_same(tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for place in (whole, killed):
        make_root(place)
        make_folds(place, monkeypatch)
    arguments = ["2", *SMOKE, "--seed", "3"]
    said = python(killed, training(arguments, steps=3, before=STOP), status=143)
    kept = "stopped by SIGTERM: the training is kept after epoch 1, step 2 of the next; "
    assert said.strip().splitlines()[-1].startswith(kept)
    python(killed, training(arguments, steps=3, before=KILL), status=9, seconds="0")
    edited = shutil.copytree(killed, tmp_path / "edited")
    killed = killed.rename(tmp_path / "moved")  # its tables name photos that are no longer there
    checkpoints = killed / "cache/checkpoints"
    assert len(list(checkpoints.iterdir())) == 1
    # Both in one process, since loading TensorFlow takes longest.
    move = f"import os; os.environ['WHALES_ROOT'] = {str(whole)!r}; r30.main({arguments!r})"
    said = python(killed, f"{training(arguments, steps=3)}\n{move}")
    assert "resuming after epoch 1, step 3 of the next of an interrupted run" in said
    models = [place / "models/retinanet2" for place in (whole, killed)]
    names = [sorted(path.name for path in folder.iterdir()) for folder in models]
    assert names[0] == names[1]
    assert "resnet152_fold_2_last.h5" in names[0]
    assert not list(checkpoints.iterdir())
    straight, resumed = (weights_of(folder / "resnet152_fold_2_last.h5") for folder in models)
    assert straight.keys() == resumed.keys()
    assert any("optimizer" in name for name in straight)
    for name, values in straight.items():
        np.testing.assert_allclose(resumed[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    histories = [
        (place / "cache/history").glob("*.csv").__next__().read_text().splitlines()
        for place in (whole, killed)
    ]
    assert len(histories[0]) == len(histories[1]) == 3
    losses = [[float(x) for x in lines[2].split(",")[1:5]] for lines in histories]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert histories[0][1].split(",")[0] == "1"

    (former,) = (edited / "cache/checkpoints").iterdir()
    content = former.read_bytes()
    output = python(edited, training(arguments, epochs=1, steps=3, rate=2e-3))
    assert f"is kept as {former}.1" in output
    assert "numbers.training.learning_rate 0.001 -> 0.002" in output
    assert former.with_name(f"{former.name}.1").read_bytes() == content


DETECT = """
from retinanet import r31_convert_retinanet_model as convert
from retinanet import r31_get_vectors_backbone_resnet152_kfold as vectors
from whales.stages.stage import run
def both():
    convert.main({arguments!r})
    vectors.main({arguments!r})
run(both)
"""


def test_from_training_to_boxes(tmp_path, monkeypatch):
    """A few dozen steps find drawn flukes; caches, merged lists and pixel boxes fit together."""
    truth = make_root(tmp_path)
    modified = tmp_path / "modified_data"
    make_folds(tmp_path, monkeypatch)
    broken = tmp_path / "data/test/t03.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    train = training(["1", *SMOKE], epochs=2, steps=80, rate=2e-3)
    detect = DETECT.format(arguments=["1", *SMOKE])
    assert f"photo {broken} cannot be read" in python(tmp_path, train + detect, status=2)
    history = next((tmp_path / "cache/history").glob("*.csv")).read_text()
    assert [line.split(",")[0] for line in history.split()] == ["epoch", "1", "2"]
    skipping = DETECT.format(arguments=["1", *SMOKE, "--skip-broken-photos"])
    output = python(tmp_path, skipping)
    assert f"left out: photo {broken} cannot be read" in output
    assert "mean IoU" in output
    check_boxes(modified, truth)
    check_new_weights_are_noticed(tmp_path, skipping)


def check_boxes(modified, truth):
    found = load(modified / "p2bb_retinanet_resnet152_cropping.pkl")
    valid = {name[:-4] for name in load(modified / "kfold_retinanet_5.pklz")[0][1]}
    assert found.keys() <= valid | {f"t{i:02d}" for i in range(TEST) if i != 3}
    assert len(found) >= 0.8 * (len(valid) + TEST - 1)
    overlaps = [overlap(found[name], truth[name]) for name in found]
    frame = [overlap((0, 0, WIDTH, HEIGHT), truth[name]) for name in found]
    assert np.mean(overlaps) > np.mean(frame) + 0.1
    lists = load(modified / "boxes/retinanet_resnet152_boxes_test_fold_1.pkl")
    for name, entries in lists.items():
        label, score, x1, y1, x2, y2 = entries[0]
        assert label == 0
        assert 0 < score <= 1.5
        assert found[name] == (int(x1 * WIDTH), int(y1 * HEIGHT), int(x2 * WIDTH), int(y2 * HEIGHT))
    folder = "cache_retinanet_resnet152_kfold_"
    assert not (modified / f"{folder}test/t03_fold_1.pklz").exists()
    assert len(list((modified / f"{folder}train").iterdir())) == len(valid)
    boxes, scores, labels = load(modified / f"{folder}playground_train/p00_fold_1.pklz")
    assert boxes.shape == (2, 300, 4)
    assert scores.shape == labels.shape == (2, 300)
    assert (scores[0][scores[0] > 0] > 0.05).all()
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (boxes[scores < 0] == -1).all()


def overlap(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (first, second)]
    return shared / (sum(areas) - shared)


def check_new_weights_are_noticed(root, detect):
    """Detections of the old weights are not taken for those of changed ones."""
    entry = root / "modified_data/cache_retinanet_resnet152_kfold_test/t00_fold_1.pklz"
    before = load(entry)
    with h5py.File(root / "models/retinanet2/resnet152_fold_1_last.h5", "a") as file:
        bias = file["model_weights/regression_submodel/pyramid_regression/bias:0"]
        bias[...] += 0.5
    output = python(root, detect)
    assert f"test: {TEST - 1} cached photos are of another detector, done again" in output
    assert not np.array_equal(load(entry)[0], before[0])


def test_full_profile_refuses_a_smoke_model(tmp_path):
    make_root(tmp_path)
    model = tmp_path / "models/retinanet2/resnet152_fold_1_last.h5"
    model.parent.mkdir(parents=True)
    with h5py.File(model, "w") as file:
        file.attrs["whales"] = json.dumps({"profile": "smoke"})
    code = DETECT.format(arguments=["1"])
    assert "was made with --profile smoke, not full" in python(tmp_path, code, status=2)


def test_outputs_need_nothing_of_this_project(root):
    r10_create_csv_for_retinanet.main([])
    average_inputs(root)
    r32_average_boxes.main([])
    with open(root / "modified_data/p2bb_averaged_v1.pkl", "rb") as file:
        assert pickle.load(file)["a00"] == (0, 2, 2, 4)
