"""Who is on a photo: catalogue, calibration, flukes of any photo, and what people get to read."""

import base64
import csv
import html.parser
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import h5py
import numpy as np
import pytest
import pyvips
from rich.console import Console
from small_root import IDENTITY_OF, SIZE, V5, draw
from whales_tools.nets import NETS, nets_named

from retinanet.detector import find_flukes
from retinanet.detector.find_flukes import boxes_of, converted_detector, fluke_boxes
from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.files.workspace import Workspace
from whales.identifying import catalogue
from whales.identifying.agreement import CELLS, POSITIONS, agreement, occluded, spread
from whales.identifying.catalogue import (
    Catalogue,
    FoldNet,
    Judge,
    calibration_pairs,
    held_out_scores,
    trained,
)
from whales.identifying.identification import (
    Answer,
    Fluke,
    cut_flukes,
    identify,
    parse_box,
    photo_files,
)
from whales.identifying.result_page import COLUMNS, show, write_csv, write_html
from whales.photos.crops import read_crop
from whales.photos.photos import read_photo
from whales.scores import calibration
from whales.scores.basis import Basis
from whales.scores.best_photos import Candidate, KnownPhotos
from whales.scores.calibration import Curve, reliability
from whales.scores.feature_files import FeatureTable
from whales.scores.head import HeadWeights
from whales.scores.pair_scores import gallery_scorer, score_matrix
from whales.stages.options import RunOptions
from whales.stages.stage import run

BOX = (6, 4, 90, 44)


# --- calibration ----------------------------------------------------------------------------------


def test_reliability_bins_by_hand():
    predicted, right = [0.05, 0.15, 0.12, 1.0, 0.95], [False, True, False, True, True]
    found = reliability(predicted, right)
    np.testing.assert_allclose(found, [(0.05, 0, 1), (0.135, 0.5, 2), (0.975, 1, 2)])
    assert reliability([], []) == []


# --- scores of held-out photos and of queries -----------------------------------------------------


def fold_net(gallery, valid):
    """A fold whose score is the product of features."""
    matrix = np.array(gallery, np.float32)[None]
    values = np.reshape([*valid.values()], (-1, 1)).astype(np.float32)
    held_out = FeatureTable(values, {name: row for row, name in enumerate(valid)})
    return FoldNet(Path("w"), [], None, lambda queries, part: queries @ matrix[:, part], held_out)


def judge(share, *folds):
    return Judge(SimpleNamespace(share=share), 32, None, list(folds))


def test_held_out_scores_blend_only_what_held_a_photo_out():
    known = ["a", "b", "c"]
    first = judge(0.3, fold_net([1, 2, 3], {"a": 0.1}), fold_net([4, 5, 6], {"a": 0.1, "n": 0.2}))
    second = judge(0.4, fold_net([1, 1, 1], {"n": 0.5}))
    found = held_out_scores([first, second], ["a", "n"], known, slice(None))
    # a: mean of both folds of the first net alone, itself 0; n: .3 and .4 of two nets, over .7.
    expected = [
        [0, (0.2 + 0.5) / 2, (0.3 + 0.6) / 2],
        [(0.3 * 0.8 + 0.4 * 0.5) / 0.7, (0.3 * 1 + 0.4 * 0.5) / 0.7, (0.3 * 1.2 + 0.4 * 0.5) / 0.7],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for part in (slice(0, 2), slice(2, 3)):
        of_part = held_out_scores([first, second], ["a", "n"], known, part)
        np.testing.assert_array_equal(of_part, found[:, part])


def test_calibration_pairs_are_the_best_identities_and_whether_they_are_right(monkeypatch):
    monkeypatch.setattr(calibration, "FITTED_IDENTITIES", 2)
    identity_of = {"a": "w_1", "b": "w_1", "c": "w_2", "d": "w_3", "n": "new_whale"}
    known = KnownPhotos(["a", "b", "c", "d"], identity_of)
    judges = [judge(1, fold_net([0.1, 0.2, 0.9, 0.4], {"a": 1.0, "n": 0.5}))]
    pairs = calibration_pairs(judges, known, ["a", "n"], identity_of)
    np.testing.assert_allclose(pairs.scores, [0.9, 0.4, 0.45, 0.2], rtol=1e-6)
    assert pairs.right.tolist() == [False, False, False, False]
    np.testing.assert_allclose(pairs.best, [0.9, 0.45], rtol=1e-6)
    assert pairs.new.tolist() == [False, True]
    judges = [judge(1, fold_net([0.1, 0.95, 0.9, 0.4], {"a": 1.0}))]
    pairs = calibration_pairs(judges, known, ["a"], identity_of)
    assert pairs.right.tolist() == [True, False]


def test_a_query_is_blended_over_the_nets_there_are_and_ranked():
    def scoring(size, share, scores):
        return SimpleNamespace(
            net=SimpleNamespace(share=share),
            size=size,
            features=lambda crops: [],
            scores=lambda features, part: np.array([scores], np.float32)[:, part],
        )

    known = KnownPhotos(["a", "b", "c"], {"a": "w_1", "b": "w_2", "c": "w_1"})
    judges = [scoring(8, 0.3, [0.1, 0.6, 0.2]), scoring(9, 0.4, [0.9, 0.4, 0.2])]
    same = Curve(np.array([0.0, 1.0]), np.array([0.0, 0.5]))
    new = Curve(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    crops = {size: np.zeros((size, size, 3), np.uint8) for size in (8, 9)}
    of = Fluke(Path("q.jpg"), 1, None, np.zeros((100, 215, 3), np.uint8), crops)
    (answer,) = identify(Catalogue(known, {}, 2.15, judges, same, new), [of], top=5)
    (by_blocks,) = identify(Catalogue(known, {}, 2.15, judges, same, new, block=2), [of], top=5)
    assert by_blocks == answer
    best, second = (0.03 + 0.36) / 0.7, (0.18 + 0.16) / 0.7
    assert [(one.identity, one.photo) for one in answer.candidates] == [
        ("w_1", "a"),
        ("w_2", "b"),
    ]
    np.testing.assert_allclose([one.score for one in answer.candidates], [best, second], rtol=1e-6)
    np.testing.assert_allclose(
        [one.probability for one in answer.candidates], [best / 2, second / 2], rtol=1e-6
    )
    assert answer.new == pytest.approx(1 - best)


@pytest.mark.parametrize("count", [1, 3, 300])
def test_a_prepared_gallery_scores_as_the_matrix_does(count):
    rng = np.random.default_rng(count)
    head = HeadWeights(
        rng.normal(size=(5, 32)).astype(np.float32),
        rng.normal(size=32).astype(np.float32),
        rng.normal(size=6).astype(np.float32) / 9,
        np.float32(0.1),
    )
    gallery, queries = rng.random((200, 6), np.float32), rng.random((300, 6), np.float32)
    whole = score_matrix(head, queries, gallery)
    np.testing.assert_array_equal(gallery_scorer(head, gallery)(queries[:count]), whole[:count])
    with pytest.raises(ValueError, match=r"expected features \(n, 6\)"):
        gallery_scorer(head, gallery)(queries[:, :5])


# --- photos ---------------------------------------------------------------------------------------


def save_turned(path, pixels):
    """Save a TIFF that is stored on its side, with the note how to hold it."""
    turned = pyvips.Image.new_from_array(np.ascontiguousarray(np.rot90(pixels, -1)))
    turned = turned.copy(interpretation="srgb")
    turned.set_type(pyvips.GValue.gint_type, "orientation", 8)  # turn it left by a quarter
    turned.tiffsave(str(path))


def test_photos_are_held_upright_and_cut_as_the_stages_cut_them(tmp_path):
    pixels = draw(tmp_path / "upright.png", 3)
    save_turned(tmp_path / "turned.tif", pixels)
    assert read_photo(tmp_path / "turned.tif").shape == (100, 60, 3)
    np.testing.assert_array_equal(read_photo(tmp_path / "turned.tif", upright=True), pixels)
    (turned,) = cut_flukes(tmp_path / "turned.tif", [BOX], [32, 48])
    assert (turned.number, turned.box, turned.view.shape) == (1, BOX, (100, 215, 3))
    for size in (32, 48):
        expected = read_crop(tmp_path / "upright.png", BOX, size)
        np.testing.assert_array_equal(turned.crops[size], expected)
    (whole,) = cut_flukes(tmp_path / "turned.tif", [], [32])
    assert whole.box is None
    np.testing.assert_array_equal(whole.crops[32], read_crop(tmp_path / "upright.png", None, 32))
    (square,) = cut_flukes(tmp_path / "upright.png", [BOX], [32], anisotropy=1.0)
    assert square.view.shape == (100, 100, 3)
    expected = read_crop(tmp_path / "upright.png", BOX, 32, anisotropy=1.0)
    np.testing.assert_array_equal(square.crops[32], expected)
    both = cut_flukes(tmp_path / "upright.png", [BOX, (1, 2, 30, 40)], [32])
    assert [one.number for one in both] == [1, 2]


def test_a_box_must_lie_in_the_photo(tmp_path):
    draw(tmp_path / "a.png", 1)
    with pytest.raises(UserError, match=r"box 0,0,101,50 does not lie in .*a\.png of 100 x 60"):
        cut_flukes(tmp_path / "a.png", [(0, 0, 101, 50)], [32])


@pytest.mark.parametrize(
    "text", ["1,2,3", "a,b,c,d", "5,1,5,9", "1,9,5,9", "-1,0,5,5", "0,0,inf,1", ""]
)
def test_a_wrong_box_is_refused(text):
    with pytest.raises(UserError, match="--box takes x1,y1,x2,y2"):
        parse_box(text)


def test_a_box_by_hand():
    assert parse_box("1,2.5,30,40") == (1, 2.5, 30, 40)


def test_files_and_folders_of_photos(tmp_path):
    for name in ("b.jpg", "a.PNG", "sub/c.jpg"):
        draw(tmp_path / name, 0)
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jpg").write_text("no photo")
    photos, faults = photo_files(
        [tmp_path, tmp_path / "b.jpg", tmp_path / "empty", tmp_path / "none.jpg"]
    )
    assert [photo.name for photo in photos] == ["a.PNG", "b.jpg", "c.jpg"]
    assert len(faults) == 3
    assert "empty holds no photo" in faults[0]
    assert "none.jpg does not exist" in faults[1]
    assert "broken.jpg cannot be read" in faults[2]


# --- the detector ---------------------------------------------------------------------------------


def test_which_detections_are_flukes():
    first, shifted, other = (0, 0, 100, 50), (30, 0, 130, 50), (200, 0, 300, 50)
    scored = ((0.6, other), (0.9, first), (0.7, shifted), (0.49, (400, 0, 500, 50)))
    found = [find_flukes.DetectedFluke(*pair) for pair in scored]
    assert fluke_boxes(found) == [(0, 0, 100, 50)]
    # `shifted` shares 70 / 130 with the best one; the last is too uncertain for another fluke.
    assert fluke_boxes(found, every=True) == [(0, 0, 100, 50), (200, 0, 300, 50)]
    assert fluke_boxes([find_flukes.DetectedFluke(0.3, first)]) == [(0, 0, 100, 50)]
    assert fluke_boxes([find_flukes.DetectedFluke(0.29, first)], every=True) == []
    assert fluke_boxes([]) == []


def detecting(workspace):
    return RunOptions(workspace, profile="smoke", workers=1)


def test_without_a_detector_the_whole_frame_is_used(work_root, capsys):
    args = detecting(Workspace(work_root))
    assert boxes_of([Path("a.jpg")], args) == {Path("a.jpg"): []}
    assert "retinanet/r31_convert_retinanet_model.py" in capsys.readouterr().out


def test_a_detector_of_the_other_profile_is_refused(work_root):
    ws = Workspace(work_root)
    for fold in (1, 3):
        path = ws.file("retinanet_converted", fold=fold)
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file.attrs["whales"] = json.dumps({"profile": "full"})
    assert converted_detector(ws) == path  # of the highest fold
    draw(work_root / "a.png", 1)
    with pytest.raises(UserError, match="was made with --profile full, not smoke"):
        boxes_of([work_root / "a.png"], detecting(ws))


def bright_parts(images):
    """A detector by hand: the box around what is bright, in shares of the sides; and padding."""
    boxes, scores = np.full((len(images), 2, 4), -1.0), np.full((len(images), 2), -1.0)
    for image, box, score in zip(images, boxes[:, 0], scores, strict=True):
        height, width = image.shape[:2]
        rows, columns = np.nonzero(image[..., 0] > 100)
        box[0::2] = columns.min() / width, (columns.max() + 1) / width
        box[1::2] = rows.min() / height, (rows.max() + 1) / height
        score[0] = 0.9
    return boxes, scores, np.where(scores < 0, -1, 0)


def test_flukes_are_found_in_the_photo_held_upright(work_root, monkeypatch, capsys):
    """All of the detector's process but the net itself, which the tests of its stages run."""
    ws = Workspace(work_root)
    ws.file("retinanet_converted", fold=2).parent.mkdir(parents=True)
    ws.file("retinanet_converted", fold=2).write_bytes(b"")
    monkeypatch.setattr(find_flukes, "load_model", lambda path, profile: None)
    monkeypatch.setattr(find_flukes, "predictor", lambda model: bright_parts)
    monkeypatch.setattr(find_flukes, "network_input", lambda pixels, detector: pixels * 1.0)

    def in_this_process(command, **_):
        assert command[1:3] == ["-m", "retinanet.detector.find_flukes"]
        find_flukes.main(command[3:])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(find_flukes.subprocess, "run", in_this_process)
    pixels = np.full((90, 160, 3), 20, np.uint8)
    pixels[10:60, 40:152] = 200
    cv2.imwrite(str(work_root / "upright.png"), pixels)
    save_turned(work_root / "turned.tif", pixels)
    (work_root / "broken.jpg").write_text("no photo")
    photos = [work_root / name for name in ("upright.png", "turned.tif", "broken.jpg")]
    found = boxes_of(photos, detecting(ws), all_flukes=True)
    assert list(found) == photos
    assert found[photos[2]] == []
    for photo in photos[:2]:
        # Shares to pixels cuts fractions off, which may cost one.
        np.testing.assert_allclose(found[photo], [(40, 10, 152, 60)], atol=1)
    assert "fold_2_last_converted.h5: flukes found in 2 of 3 photos" in capsys.readouterr().out


# --- what people read -----------------------------------------------------------------------------


@pytest.fixture
def told(work_root):
    """An answer with names that want escaping, and the root of its known photos."""
    draw(work_root / "data/train/k1.jpg", 1)
    draw(work_root / "data/train/k2.jpg", 2)
    candidates = [
        Candidate("w_<1>", "k1", 0.9, 0.75),
        Candidate("w_[2]", "k2", 0.4, 0.125),
    ]
    view = np.full((100, 215, 3), 200, np.uint8)
    boxed = Answer(Fluke(Path("a & b.jpg"), 2, (1, 2, 30, 40), view, {}), 0.25, candidates)
    whole = Answer(Fluke(Path("c.jpg"), 1, None, view, {}), 0.5, candidates[:1])
    return Workspace(work_root), [boxed, whole]


def test_the_csv_has_a_row_for_each_query_fluke_and_rank(told, tmp_path):
    write_csv(tmp_path / "rows.csv", told[1], {"w_<1>": "Zoë 1"})
    rows = list(csv.reader((tmp_path / "rows.csv").read_text("utf-8-sig").splitlines()))
    assert rows[0] == list(COLUMNS)
    first = ["a & b.jpg", "2", "1", "2", "30", "40", "0.250000"]
    assert rows[1:] == [
        [*first, "1", "w_<1>", "0.750000", "0.900000", "k1.jpg", "", "Zoë 1", *[""] * 4],
        [*first, "2", "w_[2]", "0.125000", "0.400000", "k2.jpg", "", "w_[2]", *[""] * 4],
        [
            "c.jpg",
            "1",
            "",
            "",
            "",
            "",
            "0.500000",
            "1",
            "w_<1>",
            "0.750000",
            "0.900000",
            "k1.jpg",
            "",
            "Zoë 1",
            *[""] * 4,
        ],
    ]


BASIS = Basis(
    "the net", "30 generated photos", 12, "It rests on 12 photos.", "It knows <no> whale."
)


def test_what_answers_rest_on_is_said_with_each(told, tmp_path, capsys):
    answers = [answer._replace(basis=BASIS) for answer in told[1]]
    answers[0] = answers[0]._replace(new=None)
    write_csv(tmp_path / "rows.csv", answers)
    rows = list(csv.DictReader((tmp_path / "rows.csv").read_text("utf-8-sig").splitlines()))
    names = "nets", "taught_on", "validation_photos", "warning"
    said = ["the net", "30 generated photos", "12", "It knows <no> whale."]
    assert [[row[name] for name in names] for row in rows] == [said] * 3
    assert [row["new_whale"] for row in rows] == ["", "", "0.500000"]
    write_html(tmp_path / "page.html", answers, told[0], {"k1": BOX, "k2": BOX})
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text).text
    assert text.count('<p class="warning" role="alert">It knows &lt;no&gt; whale.</p>') == 2
    for part in ("Nets: the net.", "Taught on 30 generated photos.", "It rests on 12 photos."):
        assert page.count(part) == 1
    assert "new whale: no information" in page
    for answer in answers:
        show(answer)
    assert capsys.readouterr().out.count("WARNING: It knows <no> whale.") == 2


class Page(html.parser.HTMLParser):
    """What a browser would show: images, and text."""

    def __init__(self, text):
        super().__init__()
        self.images, self.links, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.images.append(attributes["src"])
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_its_pictures_and_escapes_names(told, tmp_path):
    write_html(tmp_path / "page.html", told[1], told[0], {"k1": BOX, "k2": BOX})
    source = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(source)
    assert len(page.images) == 5  # two queries, two candidates and one
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.images)
    assert all(link.startswith("data:") for link in page.links)
    data = np.frombuffer(base64.b64decode(page.images[0].split(",")[1]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture.shape == (100, 215, 3)
    assert abs(picture.astype(int) - 200).max() <= 2
    for text in (
        "a & b.jpg",
        "w_<1>",
        "75%",
        "used the whole frame",
        "fluke at 1,2,30,40",
        "k2.jpg",
    ):
        assert text in page.text, text
    assert "new whale: 25%" in page.text
    assert 'name="viewport"' in source
    assert "http" not in source


def test_the_terminal_shows_every_row(told, capsys):
    for answer in told[1]:
        show(answer, Console(width=100))
    text = capsys.readouterr().out
    assert "a & b.jpg #2: fluke at 1,2,30,40" in text
    assert "c.jpg #1: used the whole frame" in text
    assert "probability of a new whale: 0.25" in text
    (row,) = [line for line in text.splitlines() if "w_[2]" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "2",
        "w_[2]",
        "0.12",
        "0.4000",
        "k2.jpg",
    ]


def test_names_are_whole_through_a_pipe(told, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "a_long_name_" * 12 + "end"
    long = Candidate("w_1", name, 0.9, 0.75)
    show(told[1][0]._replace(candidates=[long]), names={"w_1": name})
    lines = capsys.readouterr().out.splitlines()
    assert sum(f"│ {name} " in line and f" {name}.jpg │" in line for line in lines) == 1


# --- where two flukes agree -----------------------------------------------------------------------


def test_the_square_visits_every_place():
    crop = np.zeros((16, 16, 3), np.uint8)
    crop[:8] = 100
    hidden = occluded(crop)
    assert hidden.shape == (POSITIONS**2, 16, 16, 3)
    assert (hidden[0, :4, :4] == 50).all()
    changed = (hidden != crop).any(axis=(0, 3))
    assert changed.all()
    np.testing.assert_array_equal(np.argwhere((hidden[-1] != crop).any(2)).min(0), [12, 12])
    drops = np.zeros(POSITIONS**2)
    drops[0] = 4
    shares = spread(drops)
    assert shares.shape == (CELLS, CELLS)
    # The corner is covered by the first square alone, its neighbours by two and by four.
    np.testing.assert_allclose(shares[:3, :3], [[4, 2, 0], [2, 1, 0], [0, 0, 0]])


class Halves:
    """A network whose features are the brightest value of the left and of the right half."""

    size, branch, preprocess = 32, SimpleNamespace(weights=()), staticmethod(np.asarray)

    @staticmethod
    def features(crops):
        half = crops.shape[2] // 2
        sides = crops[:, :, :half], crops[:, :, half:]
        return np.stack([side.max(axis=(1, 2, 3)) for side in sides], axis=1) / np.float32(255)


def test_agreement_lies_where_both_crops_have_what_the_score_needs():
    rows = np.zeros((5, 1), np.float32)
    rows[0] = 1  # the product alone
    head = HeadWeights(rows, np.ones(1, np.float32), np.full(2, 4, np.float32), np.float32(-2))
    fold = FoldNet(Path("w"), [], head, None, {})
    judges = [Judge(SimpleNamespace(share=0.3), 32, Halves, [fold])]
    query, other = np.zeros((2, 32, 32, 3), np.uint8)
    query[12:16, 8:12] = other[20:24, 8:12] = 255  # both in the left half
    query[20:24, 24:28] = 255  # in the right half of the query alone
    first, second = agreement(judges, {32: query}, {32: other})
    assert np.unravel_index(first.argmax(), first.shape) == (3, 2)
    assert np.unravel_index(second.argmax(), second.shape) == (5, 2)
    assert first[5, 6] == pytest.approx(0, abs=1e-5)
    assert first.max() > 0.5


# --- a whole work root ----------------------------------------------------------------------------


@pytest.fixture
def root(trained_root, small_nets, monkeypatch):
    monkeypatch.setenv("WHALES_ROOT", str(trained_root))
    return trained_root


SMOKE = ("--profile", "smoke", "--workers", "1")


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_command_from_photo_to_rows(root, script, tmp_path, capsys):
    """Against the two-sided Keras model itself, pair by pair."""
    draw(tmp_path / "query.jpg", 99)
    out = tmp_path / "out.csv"
    page, why = tmp_path / "page.html", tmp_path / "why"
    given = ("--box", "6,4,90,44", "--top", "9", "--csv", out, "--html", page, "--why", why)
    script("tools/identify.py").main([*map(str, (tmp_path / "query.jpg", *given)), *SMOKE])
    told = capsys.readouterr().out
    assert "no weights of SE-ResNeXt50 (v6), kernel net\n" in told
    assert "Nets: DenseNet121 (v5), folds 0, 2.\nTaught on photos that are not known.\n" in told
    assert "Probabilities rest on 5 validation photos, 2 of them of new whales" in told
    boxes = load(root / "modified_data/p2bb_averaged_v1.pkl")
    known = [name for name, who in IDENTITY_OF.items() if who != "new_whale"]
    crops = [read_crop(root / f"data/train/{name}.jpg", boxes[name], SIZE) for name in known]
    query = np.stack([read_crop(tmp_path / "query.jpg", BOX, SIZE)] * len(known))
    scores = []
    for fold in (0, 2):
        network = NET.network(SIZE, root / V5.format(fold=fold, score="0.900000"), "smoke")
        sides = network.preprocess(query), network.preprocess(np.stack(crops))
        scores.append(network.model.predict_on_batch(sides)[:, 0])
    mean = dict(zip(known, np.mean(scores, axis=0), strict=True))
    best = {
        who: max((mean[name], name) for name in known if IDENTITY_OF[name] == who)
        for who in ("w_a", "w_b", "w_c")
    }
    rows = rows_of(out)
    order = sorted(best, key=lambda who: -best[who][0])
    assert [row["identity"] for row in rows] == order
    assert [row["photo"] for row in rows] == [f"{best[who][1]}.jpg" for who in order]
    np.testing.assert_allclose(
        [float(row["score"]) for row in rows], [best[who][0] for who in order], atol=2e-6
    )
    assert {row["x2"] for row in rows} == {"90"}
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(Page(page.read_text()).images) == 4
    assert read_photo(why / "query_fluke_1.png").shape[2] == 3


def test_a_known_photo_that_is_like_everybody_is_said(root, script, tmp_path, capsys):
    """Twenty copies of one photo have one best match; nineteen are too few to say so."""
    for number in range(20):
        draw(tmp_path / f"new/{number:02}.jpg", 99)
    photos = sorted((tmp_path / "new").iterdir())
    for given, said in ((photos, True), (photos[1:], False)):
        script("tools/identify.py").main([*map(str, given), *SMOKE])
        told = capsys.readouterr().out
        assert (
            "is the best match of 20 of 20 photos: unless these show one animal" in told
        ) == said


@pytest.mark.slow
def test_nothing_but_errors_reaches_stderr(trained_root, run_python, repository, tmp_path):
    """A process of its own: TensorFlow says a dozen lines of itself when it is loaded."""
    draw(tmp_path / "query.jpg", 99)
    command = repository / "tools/identify.py", tmp_path / "query.jpg", "--box", "6,4,90,44", *SMOKE
    done = run_python(*command, WHALES_ROOT=str(trained_root))
    assert done.returncode == 0, done.stderr
    assert "Nets: DenseNet121 (v5), folds 0, 2." in done.stdout
    lines = re.split("[\r\n]+", done.stderr.strip())
    assert all(line == "" or "%|" in line for line in lines), done.stderr  # bars of progress


def opened(root, **changes):
    options = RunOptions(Workspace(root), profile="smoke", workers=1, **changes)
    return catalogue.open_catalogue(options, trained(options.workspace, [NET]))


def test_features_are_kept_until_what_they_come_from_changes(root, capsys):
    first = opened(root)
    capsys.readouterr()
    again = opened(root)
    told = capsys.readouterr().out
    assert "features" not in told
    assert "calibration" not in told
    np.testing.assert_array_equal(first.same.scores, again.same.scores)
    path = root / "modified_data/p2bb_averaged_v1.pkl"
    boxes = load(path)
    save(path, {**boxes, "a1": (30, 20, 60, 40)})
    moved = opened(root)
    told = capsys.readouterr().out
    assert told.count("features of 1 photos") == 2
    assert "calibration: scores of 5 valid photos" in told
    save(path, boxes)
    weights = [root / V5.format(fold=fold, score="0.900000") for fold in (0, 2)]
    os.utime(weights[0], (1, 1))
    former = weights[1].read_bytes()
    weights[1].write_bytes(weights[0].read_bytes())
    opened(root)
    told = capsys.readouterr().out
    assert "finetune_2_final_v2_0.900000.model_weights: features of 8 photos" in told
    assert "finetune_0_final_v2_0.900000.model_weights: features of 1 photos" in told
    weights[1].write_bytes(former)
    back = opened(root)
    query = {SIZE: np.zeros((1, SIZE, SIZE, 3), np.uint8)}
    first, back, moved = (
        next(found.scores(found.features(query)))[1][0] for found in (first, back, moved)
    )
    np.testing.assert_allclose(first, back, atol=1e-6)
    assert moved[0] != first[0]
    np.testing.assert_array_equal(moved[1:], first[1:])


def test_a_catalogue_larger_than_memory_gives_the_same_bytes(
    root, script, tmp_path, capsys, monkeypatch
):
    """Features stay in their files and known photos come in blocks of two; calibration too."""
    for number in range(3):
        draw(tmp_path / f"in/{number}.jpg", number)
    calibrated, written = root / "cache/features/calibration.npz", []
    for memory in ("", "1e-9"):
        monkeypatch.setenv("WHALES_MEMORY_GB", memory)
        monkeypatch.setattr(catalogue, "BLOCK", 2)
        calibrated.unlink(missing_ok=True)
        out = tmp_path / "out"
        script("tools/identify.py").main(
            [str(tmp_path / "in"), "--csv", f"{out}.csv", "--html", f"{out}.html", *SMOKE]
        )
        told = capsys.readouterr().out
        assert "calibration: scores of" in told
        assert ("are compared by blocks" in told) == bool(memory)
        files = f"{out}.csv", f"{out}.html", calibrated
        written.append([Path(file).read_bytes() for file in files])
    assert written[0] == written[1]


def test_new_labels_ask_for_a_new_calibration_alone(root, capsys):
    opened(root)
    table = root / "data/train.csv"
    text = table.read_text()
    try:
        table.write_text(text.replace("a3.jpg,w_a", "a3.jpg,w_c"))
        capsys.readouterr()
        found = opened(root)
        told = capsys.readouterr().out
        assert "features" not in told
        assert "calibration" in told
        assert found.known.identities[found.known.codes[2]] == "w_c"
    finally:
        table.write_text(text)


def test_a_damaged_cache_is_made_again(root, capsys):
    opened(root)
    path = root / "cache/features/v5_fold_0.npz"
    path.write_bytes(path.read_bytes()[:200])
    capsys.readouterr()
    opened(root)
    assert "finetune_0_final_v2_0.900000.model_weights: features of" in capsys.readouterr().out


def test_a_broken_known_photo_is_named_or_left_out(root, capsys):
    path = root / "data/train/a2.jpg"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:400])
        with pytest.raises(UserError, match=r"a2\.jpg cannot be read"):
            opened(root)
        found = opened(root, skip_broken_photos=True)
        assert found.known.photos == ["a1", "a3", "b1", "b2", "b3", "c1"]
        assert "left out" in capsys.readouterr().out
    finally:
        path.write_bytes(whole)


def refusal(main, arguments, capsys):
    """What a call says on stderr, line by line, before it exits with code 2."""
    with pytest.raises(SystemExit) as stopped:
        run(lambda: main([*map(str, arguments), *SMOKE]))
    assert stopped.value.code == 2
    return capsys.readouterr().err.strip().splitlines()


def test_several_photos_one_of_them_broken(root, script, tmp_path, capsys):
    for name in ("one.jpg", "two.jpg"):
        draw(tmp_path / "in" / name, 5)
    (tmp_path / "in/three.jpg").write_text("no photo")
    whole = (tmp_path / "in/one.jpg").read_bytes()
    (tmp_path / "in/four.jpg").write_bytes(whole[: len(whole) * 2 // 3])  # its header is whole
    given = tmp_path / "in", "--csv", tmp_path / "out.csv", "--top", "2"
    lines = refusal(script("tools/identify.py").main, given, capsys)
    assert len(lines) == 2
    assert "three.jpg cannot be read" in lines[0]
    assert "four.jpg cannot be read" in lines[1]
    rows = rows_of(tmp_path / "out.csv")
    assert [(Path(row["query"]).name, row["rank"]) for row in rows] == [
        ("one.jpg", "1"), ("one.jpg", "2"), ("two.jpg", "1"), ("two.jpg", "2"),
    ]  # fmt: skip
    assert {row["x1"] for row in rows} == {""}
    script("tools/identify.py").main([*map(str, given), *SMOKE, "--skip-broken-photos"])
    assert "left out: photo" in capsys.readouterr().out


def test_refusals_are_one_line(root, script, tmp_path, capsys):
    main = script("tools/identify.py").main
    draw(tmp_path / "a.jpg", 1)
    draw(tmp_path / "b.jpg", 1)
    (tmp_path / "no.txt").write_text("no photo")  # a folder's photos are told by their suffix
    cases = {
        "nowhere.jpg does not exist": [tmp_path / "nowhere.jpg"],
        "no.txt cannot be read": [tmp_path / "no.txt"],
        "does not lie in photo": [tmp_path / "a.jpg", "--box", "0,0,500,20"],
        "--box is for a single photo, received 2": [tmp_path, "--box", "0,0,50,20"],
        "--box takes": [tmp_path / "a.jpg", "--box", "x"],
        "expected a whole number from 1": [tmp_path / "a.jpg", "--top", "0"],
        "required: PHOTO": [],
        "there is no net 'v7'; choose among v5, v6, kernel": [
            tmp_path / "a.jpg",
            "--nets",
            "v5,v7",
        ],
        "no net has weights": [tmp_path / "a.jpg", "--nets", "kernel"],
    }
    for text, arguments in cases.items():
        lines = refusal(main, arguments, capsys)
        assert len(lines) == 1, lines
        assert text in lines[0]


def test_without_any_weights_the_stages_are_named(work_root, script, tmp_path, capsys):
    draw(tmp_path / "a.jpg", 1)
    folds = [tmp_path / "a.jpg", "--folds", "0"]  # else the untrained start would answer
    (line,) = refusal(script("tools/identify.py").main, folds, capsys)
    for stage in (
        "siamese_net_v5_densenet121/r15_seamese_net_train_v5_finetune_512px.py",
        "siamese_net_v6_se_resnext/r15_seamese_net_train_v6_finetune_384px.py",
        "kernel_snn/snn_train_kernel_384_to_1024.py",
    ):
        assert stage in line


def test_help_is_there_before_any_framework(run_python):
    code = (
        "import sys\nimport whales_tools.identify as identify\n"
        "try: identify.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('tensorflow', 'keras', 'tf_keras') if name in sys.modules])"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "need not add up to 1" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_nets_are_those_of_the_ensemble_in_its_order_or_those_named():
    assert [net.name for net in NETS] == ["v5", "v6", "kernel"]
    assert [net.name for net in nets_named(())] == ["v5", "v6", "kernel"]
    assert [net.name for net in nets_named(("kernel", "v5"))] == ["v5", "kernel"]
