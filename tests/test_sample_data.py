"""The built-in sample: sound, deterministic, neither trivial nor hopeless."""

import hashlib
import pickle
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from sample_data import competition
from sample_data.__main__ import main
from sample_data.flukes import Fluke, draw_fluke
from sample_data.scene import take_photo
from whales.base.errors import UserError
from whales.photos.photos import read_photo

PARTS = ("data/train", "data/test", "data/playground/train", "data/playground/test")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "root"
    main([str(folder)])
    return folder


def table(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def unpickle(path):
    return pickle.loads(Path(path).read_bytes())


def header(path):
    """Width, height and channels from the JPEG's frame header, read by hand."""
    data, at = Path(path).read_bytes(), 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    height, width = (int.from_bytes(data[at + k : at + k + 2], "big") for k in (5, 7))
    return width, height, data[at + 9]


def iou(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def photo_paths(root):
    return {path.stem: path for part in PARTS for path in (root / part).glob("*.jpg")}


def test_counts_and_size(root):
    counts = [len(list((root / part).glob("*.jpg"))) for part in PARTS]
    assert counts == [155, 50, 100, 6]
    assert len(photo_paths(root)) == sum(counts)  # no name twice
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < 8e6
    assert not [path for path in root.rglob("*") if ".part" in path.name]


def test_tables_name_every_photo_once(root):
    for part in ("data", "data/playground"):
        for name, folder in (("train.csv", "train"), ("sample_submission.csv", "test")):
            images = table(root / part / name).Image.tolist()
            assert images == sorted(path.name for path in (root / part / folder).glob("*.jpg"))
    answers = table(root / "test_labels.csv")
    assert answers.Image.tolist() == table(root / "data/sample_submission.csv").Image.tolist()


def test_identities_are_spread_as_promised(root):
    train = Counter(table(root / "data/train.csv").Id)
    playground = Counter(table(root / "data/playground/train.csv").Id)
    test = Counter(table(root / "test_labels.csv").Id)
    assert train.pop("new_whale") == 25
    assert playground.pop("new_whale") == 4
    assert test.pop("new_whale") == 13
    assert {1, 2, 3} <= set(train.values())
    assert sum(4 <= times <= 9 for times in train.values()) == 18
    assert set(test) == set(train)  # every other test photo has a known identity
    assert not set(train) & set(playground)
    for name in [*train, *playground]:
        assert len(name) == 9
        assert name.startswith("w_")
        int(name[2:], 16)


def test_sample_submission_is_one_constant_guess_of_five(root):
    guesses = set(table(root / "data/sample_submission.csv").Id)
    assert len(guesses) == 1
    answers = guesses.pop().split(" ")
    assert answers[0] == "new_whale"
    assert len(set(answers)) == 5


def test_no_constant_guess_scores_well(root):
    # The best constant list is the five commonest answers: MAP@5 = sum of share / position.
    commonest = Counter(table(root / "test_labels.csv").Id).most_common(5)
    assert commonest[0][0] == "new_whale"
    assert sum(times / 50 / place for place, (_, times) in enumerate(commonest, 1)) < 0.35


def test_boxes_lie_inside_the_photos_and_cover_all(root):
    paths = photo_paths(root)
    boxes = unpickle(root / "reference_boxes.pkl")
    assert set(boxes) == set(paths)
    widths = []
    for name, (x1, y1, x2, y2) in boxes.items():
        width, height, _ = header(paths[name])
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        widths.append((x2 - x1) / width)
    assert min(widths) > 0.2
    assert 0.6 < np.mean(widths) < 0.85
    assert np.std(widths) > 0.08  # a constant box must not do


def test_first_boxes_are_near_but_not_true(root):
    true = unpickle(root / "reference_boxes.pkl")
    main_boxes = unpickle(root / "modified_data/p2bb_v5.pkl")
    playground = unpickle(root / "modified_data/p2bb_playground_v2.pkl")
    assert len(main_boxes) == 205
    assert len(playground) == 106
    assert not set(main_boxes) & set(playground)
    scores = [iou(true[name], box) for name, box in {**main_boxes, **playground}.items()]
    assert min(scores) > 0.75
    assert 0.85 < np.mean(scores) < 0.97
    assert all(type(side) is int for box in main_boxes.values() for side in box)


def test_hand_drawn_boxes_have_windows_paths_of_playground_photos(root):
    true = unpickle(root / "reference_boxes.pkl")
    lines = (root / "modified_data/retinanet/cropping_train_v2.csv").read_text().splitlines()
    assert len(lines) == 30
    for line in lines:
        path, *sides, what = line.split(",")
        folder, name = path.rsplit("/", 1)
        assert folder == r"E:\photos\input/playground/train"
        assert (root / "data/playground/train" / name).exists()
        assert what == "whale"
        assert iou(true[name[:-4]], [int(side) for side in sides]) > 0.9


def test_odd_files(root):
    headers = {name: header(path) for name, path in photo_paths(root).items()}
    assert Counter(channels for *_, channels in headers.values()) == {3: 307, 1: 2, 4: 2}
    assert [size[:2] for size in headers.values() if size[0] > 300] == [(600, 110)]
    decoded = {name: read_photo(path) for name, path in photo_paths(root).items()}
    scans = [
        name for name, pixels in decoded.items()
        if headers[name][2] == 3 and np.ptp(pixels.astype(int), axis=2).max() <= 2
    ]  # fmt: skip
    assert 10 <= len(scans) <= 60


def test_photos_in_four_inks_look_right(root):
    shots = [shot for shot in competition.plan(1) if shot.odd == "cmyk"]
    assert len(shots) == 2
    for shot in shots:
        rng = np.random.default_rng([1, 2, shot.number])
        rng.random()  # the one that decides on a scan
        expected = take_photo(rng, draw_fluke(1, shot.individual)).pixels
        stored = read_photo(root / "data/train" / f"{shot.name}.jpg")
        assert np.abs(stored.astype(int) - expected).mean() < 8


def test_a_photo_has_the_same_bytes_whenever_it_is_made(root, tmp_path):
    shots = {shot.number: shot for shot in competition.plan(1)}
    odd = [number for number, shot in shots.items() if shot.odd]
    for number in (200, 3, 120, *odd):
        shot = shots[number]
        path = tmp_path / f"{shot.name}.jpg"
        box = competition.shoot(1, shot, path, lambda individual: draw_fluke(1, individual))
        first = photo_paths(root)[shot.name]
        digests = [hashlib.sha256(p.read_bytes()).hexdigest() for p in (first, path)]
        assert digests[0] == digests[1]
        assert box == unpickle(root / "reference_boxes.pkl")[shot.name]


def test_seeds_differ():
    first, second = competition.plan(1), competition.plan(2)
    assert not {shot.name for shot in first} & {shot.name for shot in second}
    assert first == competition.plan(1)


@pytest.mark.parametrize("number", range(6))
def test_box_bounds_what_changes_with_the_fluke(number):
    # The same photo of a black and of a white fluke differs where fluke is to be seen, only there.
    fluke = draw_fluke(5, number)
    pictures = [
        take_photo(
            np.random.default_rng([5, number]),
            Fluke(colour, fluke.alpha, fluke.outline, fluke.thickness),
        )
        for colour in (np.zeros_like(fluke.colour), np.ones_like(fluke.colour))
    ]
    assert pictures[0].box == pictures[1].box
    difference = np.abs(pictures[0].pixels.astype(int) - pictures[1].pixels).max(axis=2)
    ys, xs = np.nonzero(difference > 0.5 * difference.max())
    seen = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert iou(pictures[0].box, seen) > 0.85


def test_identity_is_in_the_pattern_not_in_the_colour(root):
    boxes = unpickle(root / "reference_boxes.pkl")
    train, test = table(root / "data/train.csv"), table(root / "test_labels.csv")
    known, asked = train[train.Id != "new_whale"], test[test.Id != "new_whale"]

    def features(folder, images):
        crops, colours = [], []
        for image in images:
            x1, y1, x2, y2 = boxes[image[:-4]]
            crop = read_photo(root / "data" / folder / image)[y1:y2, x1:x2]
            colours.append(crop.mean(axis=(0, 1)))
            small = cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA).mean(axis=2).ravel()
            crops.append((small - small.mean()) / small.std())
        return np.array(crops), np.array(colours)

    def top_1(gallery, queries):
        nearest = ((queries[:, None] - gallery[None]) ** 2).sum(axis=2).argmin(axis=1)
        return (known.Id.to_numpy()[nearest] == asked.Id.to_numpy()).mean()

    crops, colours = zip(features("train", known.Image), features("test", asked.Image), strict=True)
    assert 0.4 < top_1(*crops) < 0.9
    assert top_1(*colours) < 0.25


def test_second_run_is_up_to_date(root, capsys):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    main([str(root)])
    assert "up to date" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_refuses_what_is_not_a_sample(root, tmp_path):
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(UserError, match="holds no sample"):
        main([str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(UserError, match="is a file"):
        main([str(tmp_path / "letter.txt")])
    with pytest.raises(UserError, match="another seed"):
        main([str(root), "--seed", "2"])
    with pytest.raises(UserError, match="received -1"):
        main([str(tmp_path / "new"), "--seed", "-1"])


def test_force_keeps_other_files_and_replaces_a_former_sample(tmp_path, monkeypatch):
    # A few photos of each part are enough here.
    keep = [shot for shot in competition.plan(1) if shot.number % 7 == 0]
    other = [shot for shot in competition.plan(2) if shot.number % 7 == 0]
    monkeypatch.setattr(competition, "plan", lambda seed: {1: keep, 2: other}[seed])
    (tmp_path / "letter.txt").write_text("keep me")
    assert competition.make(tmp_path, 1, force=True)
    assert set(photo_paths(tmp_path)) == {shot.name for shot in keep}
    assert competition.make(tmp_path, 2, force=True)
    assert set(photo_paths(tmp_path)) == {shot.name for shot in other}
    assert (tmp_path / "letter.txt").read_text() == "keep me"
    gone = next(iter(photo_paths(tmp_path).values()))
    gone.unlink()
    assert competition.make(tmp_path, 2)  # an incomplete sample is completed
    assert gone.exists()
