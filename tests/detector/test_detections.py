"""Detections of photos: what is cached, done again, merged and averaged; the network stands outside."""

import json
import os

import cv2
import numpy as np
import pytest

from retinanet.detector.detections import (
    BATCH,
    Cache,
    PhotosToDetect,
    both_views,
    collect,
    photo_file,
    save_detections,
    views,
)
from retinanet.detector.model_files import digest
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.files.boxes import Detection, agreement
from whales.files.folds import detector_held_out
from whales.files.workspace import Workspace

WIDTH, HEIGHT = 120, 66


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


@pytest.fixture
def cache(workspace):
    """Of test photos t0, t1, t2 by fold 2; the photos are there."""
    made = Cache(workspace, "test", 2)
    for name in ("t0", "t1", "t2"):
        made.photo(name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(made.photo(name)), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return made


def entry(*boxes, mirrored=()):
    """A cache entry from (x1, y1, x2, y2, score) of the photo, and of its mirror image."""
    made = np.full((2, 300, 4), -1, np.float32), np.full((2, 300), -1, np.float32)
    for view, rows in enumerate((boxes, mirrored)):
        for row, (*box, score) in enumerate(rows):
            made[0][view, row], made[1][view, row] = box, score
    return (*made, np.where(made[1] > 0, 0, -1).astype(np.int32))


def keep(cache, name, *boxes, weights="one", mirrored=(), digest=""):
    """digest: of the photo, "" for that of its file."""
    digest = digest or cache.workspace.digests.of(cache.photo(name))
    cache.prepare(weights, "", [name], {name: digest})
    save(cache.path(name), entry(*boxes, mirrored=mirrored))


def digests(*names):
    return dict.fromkeys(names, "d")


# --- which photos a fold predicts, and where its entries lie ----------------------------------------


def table(path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("Image,Id\n" + "".join(f"{name},w_1\n" for name in names))


def test_a_fold_predicts_the_photos_it_holds_out_and_all_others(workspace):
    keys = (
        "train_csv",
        "sample_submission",
        "playground_train_csv",
        "playground_sample_submission",
    )
    contents = (["a.jpg", "b.jpg", "c.jpg"], ["t.jpg"], ["p.jpg"], ["q.jpg"])
    for key, names in zip(keys, contents, strict=True):
        table(workspace.file(key), names)
    folds = workspace.file("retinanet_folds")
    rest = [(["a.jpg", "b.jpg", "c.jpg"], [])] * 3
    save(folds, [(["b.jpg", "c.jpg"], ["a.jpg"]), (["a.jpg"], ["b.jpg", "c.jpg"]), *rest])
    known = set("abc")
    assert detector_held_out(folds, known) == {1: ["a"], 2: ["b", "c"], 3: [], 4: [], 5: []}
    with pytest.raises(UserError, match="expected 6 pairs of train and valid"):
        detector_held_out(folds, known, 6)
    with pytest.raises(UserError, match="photo c is not in train"):
        detector_held_out(folds, known - {"c"})
    assert PhotosToDetect.tables(workspace) == [folds, *map(workspace.file, keys)]
    photos = PhotosToDetect.read(workspace)
    assert photos.valid == {1: ["a"], 2: ["b", "c"], 3: [], 4: [], 5: []}
    assert photos.names("train", 1) == ["a"]
    assert photos.names("train", 2) == ["b", "c"]
    assert photos.names("test", 1) == photos.names("test", 2) == ["t"]
    root = workspace.root
    assert photos.files(workspace, 1) == {
        "a": root / "data/train/a.jpg",
        "t": root / "data/test/t.jpg",
        "p": root / "data/playground/train/p.jpg",
        "q": root / "data/playground/test/q.jpg",
    }


def test_entries_of_training_photos_are_named_without_their_fold(workspace):
    assert Cache(workspace, "train", 3).path("a").name == "a.pklz"
    assert Cache(workspace, "test", 3).path("a").name == "a_fold_3.pklz"
    assert Cache(workspace, "test", 3).photo("a") == workspace.root / "data/test/a.jpg"
    assert photo_file(workspace, "train", "a") == workspace.root / "data/train/a.jpg"


# --- what is done again ----------------------------------------------------------------------------


def test_only_photos_without_a_fresh_entry_are_predicted(cache, capsys):
    names = ["t0", "t1", "t2"]
    assert cache.note().weights is None
    assert cache.prepare("one", "", names, digests(*names)) == names
    assert cache.note().weights == "one"
    save(cache.path("t0"), entry())
    save(cache.path("t2"), entry())
    assert cache.prepare("one", "", names, digests(*names)) == ["t1"]
    assert cache.path("t0").exists()
    assert capsys.readouterr().out == ""
    # Another content of t0; t2's disk is away, so its entry counts.
    assert cache.prepare("one", "", names, {"t0": "e", "t1": "d", "t2": ""}) == ["t0", "t1"]
    assert not cache.path("t0").exists()
    assert cache.path("t2").exists()
    # What is known of t2 is kept while its disk is away.
    assert cache.prepare("one", "", ["t2"], {"t2": "d"}) == []
    assert cache.prepare("one", "", ["t2"], {"t2": "f"}) == ["t2"]


def test_entries_of_other_weights_are_dropped_and_counted(cache, capsys):
    names = ["t0", "t1", "t2"]
    keep(cache, "t0", digest="d")
    keep(cache, "t2", digest="d")
    assert cache.prepare("two", "", names, digests(*names)) == names
    assert "test: 2 cached photos are of another detector" in capsys.readouterr().out
    assert not cache.path("t0").exists()
    assert not cache.path("t2").exists()
    assert cache.note().weights == "two"
    # Without an entry nothing is said.
    assert cache.prepare("three", "", names, digests(*names)) == names
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "note", ["", "{", "[]", "{}", '{"weights": 3}', '{"weights": null}', '"one"', "\xff\x00"]
)
def test_a_damaged_note_is_as_none(cache, note):
    keep(cache, "t0", digest="d")
    path = cache._note()
    expected = {"weights": "one", "photos": {"t0": "d"}, "made_by": ""}
    assert json.loads(path.read_text()) == expected
    path.write_text(note, encoding="latin-1")
    assert cache.note().weights is None
    assert cache.prepare("one", "", ["t0"], digests("t0")) == ["t0"]


def test_an_entry_without_a_digest_counts_from_the_time_of_its_photo_on(cache):
    """The very same time is new enough; of a photo that is away nothing newer is known."""
    keep(cache, "t0", digest="d")
    time = cache.photo("t0").stat().st_mtime_ns
    for later, again in ((0, []), (1, []), (-1, ["t0"])):
        save(cache.path("t0"), entry())
        cache._note().write_text('{"weights": "one"}')
        os.utime(cache.path("t0"), ns=(time + later, time + later))
        assert cache.prepare("one", "", ["t0"], digests("t0")) == again
    save(cache.path("t0"), entry())
    os.utime(cache.path("t0"), ns=(0, 0))
    cache._note().write_text('{"weights": "one"}')
    cache.photo("t0").unlink()
    assert cache.prepare("one", "", ["t0"], digests("t0")) == []


# --- two views --------------------------------------------------------------------------------------


def test_both_views_reach_the_network_in_one_batch_and_part_again():
    """The network stands for itself here: its scores are the first pixels of each image's first row."""
    batches = []

    def predict(images):
        batches.append(len(images))
        assert images.flags.c_contiguous
        first = images[:, 0, :4, 0]
        return first[:, None], first[:, :1], np.arange(len(images))[:, None]

    rng = np.random.default_rng(0)
    photos = {number: rng.random((5, 4, 3)) for number in range(BATCH + 3)}
    found = dict(both_views(predict, photos.items()))
    assert list(found) == list(photos)
    assert batches == [2 * BATCH, 6]
    for number, (boxes, scores, labels) in found.items():
        row = photos[number][0, :, 0]
        np.testing.assert_array_equal(boxes, [[row], [row[::-1]]])
        np.testing.assert_array_equal(scores, [[row[0]], [row[-1]]])
        index, size = (number, BATCH) if number < BATCH else (number - BATCH, 3)
        assert labels.tolist() == [[index], [size + index]]


def test_views_of_an_entry():
    boxes, scores, labels = entry((0, 0, 0.5, 0.5, 0.9), mirrored=[(0.25, 0, 1, 1, 0.7)])
    upright, mirrored = views((boxes, scores, labels))
    assert [part[0].tolist() for part in upright] == [[0, 0, 0.5, 0.5], pytest.approx(0.9), 0]
    assert [part[0].tolist() for part in mirrored] == [[0.25, 0, 1, 1], pytest.approx(0.7), 0]
    upright, mirrored = views((boxes, scores, np.array([[3], [4]])))
    assert (upright[2].tolist(), mirrored[2].tolist()) == ([3], [4])


# --- from entries to boxes -------------------------------------------------------------------------


def test_the_first_box_of_each_fold_is_averaged_and_cut_to_whole_pixels(cache, workspace, capsys):
    other = Cache(workspace, "test", 3)
    # One view alone: scores .9 / 2 and .8 / 2, the first of the list counts, not the best.
    keep(cache, "t0", (0.25, 0.0, 0.5, 1.0, 0.8), (0, 0, 0.125, 0.125, 0.9))
    keep(other, "t0", (0.5, 0.25, 1.0, 0.5, 0.7))
    keep(cache, "t1")
    photos = PhotosToDetect({"test": ["t0", "t1", "t2"]}, {1: [], 2: [], 3: []})
    # x1 (.25 + .5) / 2 * 120 = 45; y1 .125 * 66 = 8.25; x2 .75 * 120 = 90; y2 .75 * 66 = 49.5.
    assert collect(workspace, "test", photos, "") == {"t0": (45, 8, 90, 49), "t1": None}
    assert capsys.readouterr().out == ""
    # A converted detector of other weights: its fold is left out, and that is said.
    converted = workspace.file("retinanet_converted", fold=2)
    converted.parent.mkdir(parents=True)
    converted.write_bytes(b"others")
    assert collect(workspace, "test", photos, "") == {"t0": (60, 16, 120, 33)}
    assert "test: fold 2's detections are of another detector, left out" in capsys.readouterr().out
    # The same weights: it counts again.
    cache._note().write_text(json.dumps({"weights": digest(converted)}))
    assert collect(workspace, "test", photos, "") == {"t0": (45, 8, 90, 49), "t1": None}


def test_entries_whose_weights_nobody_knows_do_not_count(cache, workspace):
    keep(cache, "t0", (0.25, 0.0, 0.5, 1.0, 0.8))
    photos = PhotosToDetect({"test": ["t0"]}, {2: []})
    assert collect(workspace, "test", photos, "") == {"t0": (30, 0, 60, 66)}
    cache._note().unlink()
    assert collect(workspace, "test", photos, "") == {}


def test_training_photos_come_from_the_fold_that_holds_them_out(workspace):
    for fold, name in ((1, "a"), (2, "b")):
        cache = Cache(workspace, "train", fold)
        cache.photo(name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(cache.photo(name)), np.zeros((10, 20, 3), np.uint8))
        keep(cache, name, (0, 0, 0.5 * fold, 0.5, 0.9))
    photos = PhotosToDetect({"train": ["a", "b"]}, {1: ["a"], 2: ["b"]})
    assert collect(workspace, "train", photos, "") == {"a": (0, 0, 10, 5), "b": (0, 0, 20, 5)}


def test_detections_are_written_by_photo(tmp_path):
    rows = {
        "a": [Detection(0, 0.75, (0.125, 0.25, 0.5, 1.0)), Detection(1, 0.5, (0, 0, 1, 1))],
        "b": [],
    }
    save_detections(tmp_path / "found.pkl", rows)
    assert load(tmp_path / "found.pkl") == {
        "a": [[0, 0.75, 0.125, 0.25, 0.5, 1.0], [1, 0.5, 0, 0, 1, 1]], "b": [],
    }  # fmt: skip


def test_agreement_of_boxes():
    # IoU 1, .8, .79, 0 of the photo without a box, and 1; e is in the reference alone.
    whole = (0, 0, 100, 10)
    found = {
        "a": whole,
        "b": (0, 0, 80, 10),
        "c": (0, 0, 79, 10),
        "d": None,
        "f": whole,
        "here": whole,
    }
    reference = dict.fromkeys("abcdef", whole)
    assert agreement(found, reference).lines() == [
        "mean IoU 0.718000 of 5 photos; 2 under 0.8, 1 not found"
    ]
    assert agreement({}, reference).lines() == [
        "mean IoU: no photo has both a detected box and a first one"
    ]
