"""What a detector's training keeps, says and needs: snapshots, progress, memory; no network is built."""

import contextlib
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers import write_lines

from retinanet import r30_train_backbone_resnet152_kfold as r30
from retinanet.detector import evaluation, training
from retinanet.detector.first_boxes import degenerate_boxes
from retinanet.detector.geometry import FULL, SMOKE
from retinanet.detector.photos import TrainingPhotos
from retinanet.detector.training import DetectorProgress, DetectorRun
from whales.base.errors import UserError
from whales.base.writing import WriteError
from whales.files.boxes import whole_pixels
from whales.files.workspace import Workspace
from whales.stages.job import Job
from whales.stages.options import RunOptions

# --- snapshots ------------------------------------------------------------------------------------

IOUS = (0.1, 0.3, 0.2, 0.4, 0.5, 0.45, 0.6)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A training of fold 1 whose model files are their notes."""
    tables = [
        write_lines(tmp_path / f"modified_data/retinanet/fold_1_{part}.csv", "a.jpg,1,2,3,4,whale")
        for part in ("train", "valid")
    ]

    def save_model(path, model, note):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(note))

    monkeypatch.setattr(training, "save_model", save_model)
    options = RunOptions(Workspace(tmp_path), "smoke")
    job = Job(options, r30.__file__, tables, [], numbers={}, fold=1)
    return DetectorRun(options, r30.SMOKE, job, fold=1)


def end_epoch(run, progress, iou):
    """What `train_detector` does with a measured IOU."""
    progress.epoch += 1
    improved = iou > progress.best
    progress.best = max(progress.best, iou)
    run.save(None, progress, improved)


def snapshots(run):
    names = [path.name for path in run.last.parent.iterdir()]
    return sorted(name.removeprefix("resnet152_fold_1_") for name in names)


def test_the_three_best_snapshots_and_the_last_are_kept(run):
    progress = DetectorProgress()
    for iou in IOUS[:4]:
        end_epoch(run, progress, iou)
    assert snapshots(run) == ["01_0.1000.h5", "02_0.3000.h5", "04_0.4000.h5", "last.h5"]
    for iou in IOUS[4:]:
        end_epoch(run, progress, iou)
    assert snapshots(run) == ["04_0.4000.h5", "05_0.5000.h5", "07_0.6000.h5", "last.h5"]
    assert json.loads(run.last.read_text())["progress"]["epoch"] == 7


def test_a_resumed_training_knows_its_snapshots(run):
    progress = DetectorProgress()
    for iou in IOUS[:5]:
        end_epoch(run, progress, iou)
    progress = DetectorProgress(**json.loads(run.checkpoint.read_text())["progress"])
    for iou in IOUS[5:]:
        end_epoch(run, progress, iou)
    assert snapshots(run) == ["04_0.4000.h5", "05_0.5000.h5", "07_0.6000.h5", "last.h5"]


def test_snapshots_of_others_stay(run):
    """Of an earlier run, of another fold, of a checkpoint of a version that kept no list."""
    folder = run.last.parent
    others = ["01_0.0500.h5", "01_0.1000.h5.bak", "09_0.9999.h5", "last_converted.h5"]
    for name in others:
        write_lines(folder / f"resnet152_fold_1_{name}", "mine")
    write_lines(folder / "resnet152_fold_2_01_0.1000.h5", "fold 2")
    former = {"epoch": 1, "best": 0.05, "plateau": {}, "history": []}
    progress = DetectorProgress(**former)
    for iou in (0.1, 0.2, 0.3, 0.4):
        end_epoch(run, progress, iou)
    kept = ["03_0.2000.h5", "04_0.3000.h5", "05_0.4000.h5", "last.h5"]
    assert snapshots(run) == sorted([*kept, *others, "resnet152_fold_2_01_0.1000.h5"])


def test_a_training_from_a_snapshot_leaves_those_of_the_training_before(run, monkeypatch):
    before = DetectorProgress(epoch=2, best=0.1, snapshots=["resnet152_fold_1_02_0.1000.h5"])
    monkeypatch.setattr(DetectorRun, "_loaded", lambda self, path: (None, before))
    snapshot = write_lines(run.last.with_name("resnet152_fold_1_02_0.1000.h5"), "a model")
    run.snapshot = snapshot
    _, progress = run.start()
    for iou in (0.2, 0.3, 0.4):
        end_epoch(run, progress, iou)
    assert snapshot.exists()
    assert len(snapshots(run)) == 5


@pytest.mark.parametrize("fails", ["04_0.4000.h5", "last.h5", "checkpoints"])
def test_nothing_goes_before_the_newer_one_is_safe(run, monkeypatch, fails):
    progress = DetectorProgress()
    for iou in IOUS[:3]:
        end_epoch(run, progress, iou)
    progress.snapshots.insert(0, "resnet152_fold_1_00_0.0100.h5")
    write_lines(run.last.with_name("resnet152_fold_1_00_0.0100.h5"), "older")
    before = snapshots(run)

    def failing(function, target):
        def call(*arguments):
            if fails in str(arguments[target]):
                raise WriteError("the disk is full")
            return function(*arguments)

        return call

    monkeypatch.setattr(training, "_copy", failing(training._copy, 1))
    monkeypatch.setattr(training, "save_model", failing(training.save_model, 0))
    with pytest.raises(WriteError):
        end_epoch(run, progress, 0.4)
    assert set(before) <= set(snapshots(run))


# --- evaluation -----------------------------------------------------------------------------------


def test_the_evaluation_shows_how_far_it_is(monkeypatch):
    """Seven photos of two shapes; the third cannot be read. Every photo that was seen counts."""
    bars = []

    @contextlib.contextmanager
    def progress_bar(name, total, unit="photo"):
        bars.append((name, total, unit))
        yield SimpleNamespace(update=seen.append)

    def photo(path, box, detector):
        if path.name == "2.jpg":
            raise UserError("photo 2.jpg cannot be read")
        return (0.0, 0.0, 1.0, 1.0), np.zeros((4, 4 + int(path.stem) % 2, 3), np.float32)

    def predict(images):
        count = len(images)
        return np.zeros((count, 1, 4)), np.full((count, 1), -1.0), np.zeros((count, 1))

    seen = []
    monkeypatch.setattr(evaluation, "progress_bar", progress_bar)
    monkeypatch.setattr(evaluation, "_valid_photo", photo)
    rows = [(f"{i}.jpg", (0, 0, 9, 9)) for i in range(7)]
    options = SimpleNamespace(skip_broken_photos=True, workers=1)
    measured = evaluation.evaluate_detector(predict, rows, SMOKE, options, {})
    assert measured["not_found"] == 6
    assert bars == [("evaluation", 7, "photo")]
    assert sum(seen) == 6
    assert len(seen) == 2  # as it goes, not at the end


# --- anchors --------------------------------------------------------------------------------------


def anchor_bytes(height, width):
    """By hand: a cell every 8 to 128 pixels, 6 ratios x 4 scales in each, four float64 an anchor."""
    cells = 0
    for stride in (8, 16, 32, 64, 128):
        cells += -(-height // stride) * -(-width // stride)
    return cells * 24 * 4 * 8


def test_a_box_outside_of_its_photo_is_told(tmp_path):
    boxes = {"in": (1, 1, 9, 9), "over": (5, 2, 90, 9), "out": (40, 2, 90, 9)}
    rows = []
    for name, box in boxes.items():
        path = tmp_path / f"{name}.jpg"
        cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
        rows.append((str(path), box))
    photos = TrainingPhotos(rows, SMOKE, 1, 0, False, False)
    found = [photos._read(row)[1].tolist() for row in rows]
    assert found == [[[1, 1, 9, 9]], [[5, 2, 30, 9]], []]
    assert photos.outside == {str(tmp_path / "out.jpg")}


def test_a_box_without_a_whole_pixel_is_none():
    boxes = {"thin": (10.2, 5, 10.9, 50), "turned": (9, 9, 3, 20), "whole": (10.2, 5, 11.1, 50)}
    assert degenerate_boxes(boxes, [*boxes, "absent"]) == ["thin", "turned"]
    assert whole_pixels(boxes["whole"]) == (10, 5, 11, 50)


def test_anchors_of_few_shapes_are_kept(monkeypatch):
    assert anchor_bytes(600, 800) == 7_710_720
    made = []

    def anchors_for(height, width):
        made.append((height, width))
        return np.empty(anchor_bytes(height, width) // 8)

    monkeypatch.setattr(TrainingPhotos, "_anchors_for", lambda self, *shape: anchors_for(*shape))
    photos = TrainingPhotos([], FULL, 1, 0, False, False)
    for width in range(600, 800):
        photos._anchors(600, width)
        photos._anchors(600, 800)  # a shape of many photos stays
    assert made.count((600, 800)) == 1
    kept = photos._anchors.cache_info().currsize
    assert kept * anchor_bytes(600, 800) < 130e6
