"""The report's numbers by hand, its page on whole, partial and empty roots, and in a real browser."""

import base64
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import combinations

import cv2
import h5py
import numpy as np
import pytest
import pyvips
from scipy import sparse
from whales_tools.nets import NETS

import whales.stages.pipeline  # noqa: F401, it names the stages that make what is missing
from whales.base import web_page
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.base.writing import write_text
from whales.files.changes import Change, changes_text
from whales.files.dataset import training_identities
from whales.files.labels import NEW_WHALE
from whales.files.matrices import ScoreMatrix, save_dict, save_tuple
from whales.files.workspace import Workspace
from whales.nets.teaching import Lesson, written
from whales.reporting import charts, gallery
from whales.reporting.answers_picture import answers_picture
from whales.reporting.gallery import AnsweredQuery, Thumbnails, chosen, queries
from whales.reporting.held_out import BOTH, held_out, mean_of
from whales.reporting.look_alikes import Likeness, Twins, identical_photos
from whales.reporting.report_page import write_report
from whales.reporting.report_parts import (
    BINS,
    by_photos,
    changes,
    detector_check,
    judge,
    quality,
    score_counts,
    together,
    tradeoff,
    trainings,
)
from whales.reporting.report_sources import Sources
from whales.scores import root_scores
from whales.scores.best_photos import Candidate
from whales.scores.ensemble import blended
from whales.scores.ranking import validation_map

BROWSERS = ("chromium", "google-chrome", "chrome-headless-shell", "chromium-headless-shell")

# Two photos of w_a, two of w_b, one of w_c, two new whales.
WHO = {
    "a0": "w_a",
    "a1": "w_a",
    "b0": "w_b",
    "b1": "w_b",
    "c0": "w_c",
    "n0": NEW_WHALE,
    "n1": NEW_WHALE,
}
KNOWN = ["a0", "a1", "b0", "b1", "c0"]


def matrix(rows, *scores, columns=KNOWN):
    return ScoreMatrix(np.array(scores, np.float32), list(rows), list(columns))


VALID = matrix(
    ["a0", "b0", "n0"],
    [1.0, 0.8, 0.2, 0.9, 0.0],
    [0.3, 0.6, 1.0, 0.1, 0.0],
    [0.4, 0.0, 0.0, 0.0, 0.75],
)


# --- numbers ------------------------------------------------------------------------------------


def test_trainings(tmp_path):
    folder = tmp_path / "cache/history"
    folder.mkdir(parents=True)
    for name, text in {
        "kernel_snn.k_fold_0_plan_2": "loss,map5\n0.25,0.5\n",
        "kernel_snn.k_fold_0_plan_1": "loss,map5\n1,\n0.5,0.25\n",
        "siamese_x.r10_warmstart": "loss,map5\n2,\n",
        "retinanet.r30_kfold_fold_1": "epoch,loss,IOU\n1,3,0.125\n",
    }.items():
        (folder / f"{name}.csv").write_text(text)
    detector, warm, kernel = trainings(Workspace(tmp_path))
    assert (detector.stage, detector.fold) == ("retinanet/r30_kfold", "1")
    assert (detector.measure, detector.measured) == ("mean average precision", [0.125])
    assert (warm.stage, warm.fold, warm.losses) == ("siamese_x/r10_warmstart", "", [2.0])
    assert math.isnan(warm.measured[0])
    assert (kernel.stage, kernel.fold, kernel.measure) == ("kernel_snn/k", "0", "MAP@5")
    assert kernel.losses == [1.0, 0.5, 0.25]
    assert kernel.measured[1:] == [0.25, 0.5]


def test_judge_and_together():
    # a0: w_b .9, w_a .8 (itself does not count); b0: w_a .6, nothing else above .5; n0: w_c .75.
    first = judge("v5", "fold 0", VALID, WHO, 0.5)
    assert first.truth == {"a0": "w_a", "b0": "w_b", "n0": NEW_WHALE}
    assert first.answers == {
        "a0": ["w_b", "w_a", NEW_WHALE, "w_c"],
        "b0": ["w_a", NEW_WHALE, "w_b", "w_c"],
        "n0": ["w_c", NEW_WHALE, "w_a", "w_b"],
    }
    assert first.others == {"a0": 1, "b0": 1, "n0": 0}
    measures = {one.name: one for one in quality(first, 50)}
    assert measures["MAP@5"].value == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)
    assert [measures[f"top {k}"].value for k in range(1, 6)] == pytest.approx([0, 2 / 3, 1, 1, 1])
    assert 1 / 3 <= measures["MAP@5"].low <= measures["MAP@5"].high <= 1 / 2
    both = together([first, first._replace(photos="fold 1")], "all folds")
    assert both.photos == "all folds"
    assert list(both.truth) == [f"fold {f}/{name}" for f in (0, 1) for name in ("a0", "b0", "n0")]
    assert both.answers["fold 1/n0"] == first.answers["n0"]


def test_by_photos():
    parts = by_photos(judge("v5", "fold 0", VALID, WHO, 0.5), 50)
    assert [(group, measures[0].photos) for group, measures in parts] == [("none", 1), ("1", 2)]
    assert [measures[0].value for _, measures in parts] == pytest.approx([1 / 2, 5 / 12])


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_score_counts(convert):
    counts = score_counts(VALID._replace(scores=convert(VALID.scores)), WHO)
    same, other = np.zeros(BINS), np.zeros(BINS)
    same[[32, 4]] = 1  # a0-a1 .8, b0-b1 .1
    for score in (0.2, 0.9, 0.0, 0.3, 0.6, 0.0, 0.4, 0.0, 0.0, 0.0, 0.75):
        other[int(np.float32(score) * BINS)] += 1
    assert counts.tolist() == [same.tolist(), other.tolist()]


def test_tradeoff_against_plain_ranking():
    random = np.random.default_rng(3)
    rows = list(WHO)
    one = matrix(rows, *random.random((7, 5)))
    trade = tradeoff([one], WHO, [0.2, 0.5, 0.9])
    for place, threshold in enumerate((0.2, 0.5, 0.9)):
        assert trade.map5[place] == pytest.approx(validation_map(*one, WHO, threshold))
        firsts = []
        for row, name in enumerate(rows):
            sums = dict.fromkeys(("w_a", "w_b", "w_c"), 0.0)
            for column, known in enumerate(KNOWN):
                if known != name and one.scores[row, column] > threshold:
                    sums[WHO[known]] += float(one.scores[row, column])
            best = max(sums, key=sums.get)
            firsts.append(best if sums[best] > 0 else NEW_WHALE)
        right = [first == WHO[name] for first, name in zip(firsts, rows, strict=True)]
        assert trade.new_recall[place] == pytest.approx(sum(right[5:]) / 2)
        assert trade.known_first[place] == pytest.approx(sum(right[:5]) / 5)
    assert np.isnan(tradeoff([matrix(["a0"], VALID.scores[0])], WHO, [0.5]).new_recall).all()


def test_changes():
    # Nothing is above .7, so that new_whale is first; a0's photo claims t0, b0's t1, and c0's t2.
    test = matrix(
        ["t0", "t1", "t2"],
        [0.6, 0.1, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.65, 0.1, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.5],
    )
    truth = {"t0": "w_a", "t1": NEW_WHALE, "t2": "w_a"}
    before, after, swapped = changes(test, WHO, truth)
    assert [(c.photo, c.before, c.after, c.verdict) for c in swapped] == [
        ("t0", NEW_WHALE, "w_a", "mended"),
        ("t1", NEW_WHALE, "w_b", "broken"),
        ("t2", NEW_WHALE, "w_c", "wrong before and after"),
    ]
    assert [before.answers[name][0] for name in truth] == [NEW_WHALE] * 3
    assert [after.answers[name][0] for name in truth] == ["w_a", "w_b", "w_c"]
    nothing, neither, unjudged = changes(test, WHO, None)
    assert nothing is neither is None
    assert [change.verdict for change in unjudged] == ["not known"] * 3


def test_mean_of():
    first = matrix(["a0", "b0"], [0.5] * 5, [0.25] * 5)
    second = matrix(["b0", "c0"], [0.75] * 5, [1.0] * 5)
    mean = mean_of([first, second])
    assert mean.rows == ["a0", "b0", "c0"]
    assert mean.scores[:, 0].tolist() == [0.5, 0.5, 1.0]
    with pytest.raises(UserError, match="no column for photo c0"):
        mean_of([first, matrix(["a0"], [0.5] * 4, columns=KNOWN[:4])])


# --- look-alikes --------------------------------------------------------------------------------


def test_likeness_by_hand():
    likeness = Likeness()
    likeness.add(VALID, WHO)  # a0 with w_b: .9, with w_c: 0; b0 with w_a: .6; n0 is of no identity
    likeness.add(matrix(["a1"], [0.9, 1.0, 0.3, 0.0, 0.45]), WHO)
    first, second = likeness.pairs()
    assert first[:2] == ("w_a", "w_b")
    assert first.likeness == pytest.approx((0.9 + 0.6 + 0.3) / 3)
    assert first.photos == 3
    assert first.example == (pytest.approx(0.9), "a0", "b1")
    assert second[:2] == ("w_a", "w_c")
    assert second.likeness == pytest.approx(0.45 / 2)
    assert second.example == (pytest.approx(0.45), "a1", "c0")
    # w_b with w_c rests on one photo, and on a score of 0.
    assert likeness.pairs(most=1) == [first]
    assert likeness.pairs(least=3) == [first]
    assert Likeness().pairs() == []


def test_likeness_against_loops():
    random = np.random.default_rng(5)
    columns = [f"p{i}" for i in range(30)]
    who = {name: f"w_{random.integers(8)}" for name in columns}
    parts = [
        matrix(rows, *random.random((len(rows), 30)), columns=columns)
        for rows in (columns[:12], columns[9:20])
    ]
    likeness = Likeness()
    for part in parts:
        likeness.add(part, who)
    expected = []
    for one, other in combinations(sorted(set(who.values())), 2):
        best = []
        for part in parts:
            for row, name in enumerate(part.rows):
                if who[name] in (one, other):
                    towards = other if who[name] == one else one
                    place = [i for i, column in enumerate(columns) if who[column] == towards]
                    best.append(float(part.scores[row, place].max()))
        if len(best) >= 2:
            expected.append((-np.mean(best), one, other, len(best), max(best)))
    expected = sorted(expected)[:20]
    found = likeness.pairs()
    assert [pair[:2] for pair in found] == [row[1:3] for row in expected]
    assert [pair.likeness for pair in found] == pytest.approx([-row[0] for row in expected])
    assert [pair.photos for pair in found] == [row[3] for row in expected]
    assert [pair.example[0] for pair in found] == pytest.approx([row[4] for row in expected])


def photo(path, seed, size=(96, 64), **notes):
    """A JPEG of coarse noise, told by its seed."""
    small = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), np.uint8)
    pixels = cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)
    image = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    if notes:
        image = image.copy()
        image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-ImageDescription", notes["note"])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.write_to_file(str(path))
    return path


def test_identical_photos(tmp_path):
    train, test = tmp_path / "train", tmp_path / "test"
    one, other = photo(train / "b.jpg", 1), photo(test / "c.jpg", 2)
    again = shutil.copy(one, train / "d.jpg")
    noted = photo(test / "e.jpg", 2, note="the same sea")
    third = shutil.copy(one, test / "f.jpg")
    photo(train / "x.jpg", 3)
    for name, grey in (("y", 0), ("z", 0)):  # alike once small, as any two black photos are
        cv2.imwrite(str(train / f"{name}.jpg"), np.full((40 + ord(name) % 2, 64), grey, np.uint8))
    (train / "broken.jpg").write_bytes(b"no photo")
    assert noted.read_bytes() != other.read_bytes()
    assert identical_photos([train, test]) == [
        Twins([other, noted], False),
        Twins([third, one, again], True),
    ]
    # A third name for one of two that differ in their notes joins both.
    alias = shutil.copy(noted, test / "g.jpg")
    assert identical_photos([train, test])[0] == Twins([other, noted, alias], False)
    assert identical_photos([tmp_path / "nowhere"]) == []


# --- gallery ------------------------------------------------------------------------------------


def test_queries():
    answers = [["w_b", "w_a"], ["w_a", NEW_WHALE], [NEW_WHALE, "w_c"]]
    first, second, third = queries(VALID, answers, WHO, "fold 0")
    assert first == AnsweredQuery(
        "a0", "fold 0", "w_a",
        [Candidate("w_b", "b1", pytest.approx(0.9)), Candidate("w_a", "a1", pytest.approx(0.8))],
        None,
    )  # fmt: skip
    assert (first.rank, second.rank, third.rank) == (2, 6, 1)
    assert second.candidates[1] == Candidate(NEW_WHALE, None, None)
    assert second.missed == Candidate("w_b", "b1", pytest.approx(0.1))
    assert third.best_score == pytest.approx(0.75)


def query(name, place, sure=0.5):
    identities = ["w_1", "w_2", "w_3", "w_4", "w_5", "w_6"]
    given = [Candidate(identity, "p", sure) for identity in identities[:5]]
    return AnsweredQuery(name, "test", identities[place - 1], given, None)


def test_chosen():
    found = [
        query("r", 1),
        query("s", 2, 0.9),
        query("t", 6, 0.1),
        query("u", 6, 0.4),
        query("q", 1, 0.9),
    ]
    assert [one.photo for one in chosen(found)] == ["u", "t", "s", "q", "r"]
    # At most so many errors where there are right ones to show as well.
    assert [one.photo for one in chosen(found, most=3, errors=2)] == ["u", "t", "q"]
    assert [one.photo for one in chosen(found, most=4, errors=1)] == ["u", "t", "q", "r"]
    assert [one.photo for one in chosen(found[1:4], most=3, errors=1)] == ["u", "t", "s"]


def test_gallery_keeps_to_its_room(tmp_path):
    photo(tmp_path / "data/train/p.jpg", 1)
    thumbnails = Thumbnails(Workspace(tmp_path), {})
    found = [query(f"q{i}", 2) for i in range(5)]
    whole = gallery.gallery(found, thumbnails)
    assert whole.count("<article") == 5
    part = gallery.gallery(found, thumbnails, most_bytes=len(whole) // 2)
    assert part.count("<article") == 2
    assert "2 of 5 queries are shown (5 of all are errors" in part
    assert whole.count('class="answer right"') == 5
    assert whole.count("no photo") == 5  # q0 .. q4 lie nowhere


# --- pages and charts ---------------------------------------------------------------------------


def test_charts_are_plain_and_alike():
    panels = {
        "loss": {"fold 0": ([1, 2, 3], [1.0, math.nan, 0.5])},
        "MAP@5": {"none": ([1], [math.nan])},
    }
    drawn = [charts.lines("A & B", "epoch", panels, {"here": 2}) for _ in range(2)]
    drawn += [charts.histogram("C", "x", "y", {"one": np.zeros(4), "two": np.ones(4)}, log=True)]
    assert drawn[0] == drawn[1]
    for svg in drawn:
        assert svg.startswith('<svg role="img" aria-label="')
        assert "://" not in svg
    assert 'aria-label="A &amp; B"' in drawn[0]


def test_picture_comes_back():
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :, 0] = 255
    uri = re.search(r'src="data:image/jpeg;base64,([^"]+)"', web_page.image(pixels, 'a "b"'))[1]
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(uri), np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (20, 30, 3)
    assert np.abs(decoded[..., ::-1].astype(int) - pixels).max() < 10


class Parsed(HTMLParser):
    """Elements that are opened must be closed, in turn; addresses and texts are kept."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.alts, self.ids = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.addresses += [given[name] for name in ("src", "href", "action") if given.get(name)]
        self.ids += [given["id"]] if "id" in given else []
        self.alts += [given.get("alt")] if tag == "img" else []
        if tag not in ("meta", "link", "img", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        if "id" in dict(attrs):
            self.ids.append(dict(attrs)["id"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def put(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A work root by hand: three folds of v5, one of v6, six test photos, all answers there."""
    root = tmp_path_factory.mktemp("finished") / "a <b> root"
    workspace = Workspace(root)
    test = [f"t{i}" for i in range(6)]
    put(
        workspace.file("train_csv"), "Image,Id", *(f"{name}.jpg,{who}" for name, who in WHO.items())
    )
    put(workspace.file("sample_submission"), "Image,Id", *(f"{name}.jpg,x" for name in test))
    truth = dict(zip(test, ["w_a", "w_b", "w_c", NEW_WHALE, "w_b", "w_a"], strict=True))
    put(workspace.file("test_labels"), "Image,Id", *(f"{n}.jpg,{who}" for n, who in truth.items()))
    for seed, name in enumerate(WHO):
        photo(workspace.train_photo(name), seed)
    for seed, name in enumerate(test[:5], 20):  # the last test photo is lost
        photo(workspace.test_photo(name), seed)
    shutil.copy(workspace.train_photo("a0"), workspace.train_photo("b1"))
    boxes = dict.fromkeys([*WHO, *test], (10, 10, 90, 50))
    for key in ("boxes_averaged", "boxes_v5"):
        save(workspace.file(key), boxes)
    save(workspace.file("boxes_averaged_playground"), {})
    found = {**boxes, "t0": (10, 10, 50, 50), "t1": (10, 10, 90, 30)}
    save(workspace.file("boxes_retinanet"), {n: box for n, box in found.items() if n != "t2"})
    random = np.random.default_rng(0)
    for fold in range(3):
        rows = ["a0", "a1", "b0", "n0"][: 4 - fold]
        save_tuple(
            workspace.file("valid_matrix_v5", fold=fold),
            matrix(rows, *random.random((len(rows), 5))),
        )
    save_tuple(workspace.file("valid_matrix_v6", fold=0), VALID)
    scores = matrix(test, *random.random((6, 5)))
    tested = scores._replace(scores=sparse.csr_matrix(scores.scores))
    for key, rows in (("features_test_v5", test), ("features_test_v6", test[::-1])):
        turned = tested.aligned(rows, tested.columns, key)  # no two files of a root are equal
        save_dict(workspace.file(key), turned, "test_vs_train_mat_sparse")
    save_dict(workspace.file("features_test_kernel"), tested, "score")
    answers = [f"{name}.jpg,w_a {NEW_WHALE} w_b w_c w_d" for name in test]
    for key in ("submission", "submission_v5", "submission_v6"):
        put(workspace.file(key), "Image,Id", *answers)
    put(workspace.file("history", stage="siamese_x.r15_fold_0"), "loss,map5", "0.5,", "0.25,0.75")
    return workspace


@pytest.fixture
def root(finished, tmp_path):
    """A copy of the finished root, to take things out of."""
    return Workspace(shutil.copytree(finished.root, tmp_path / "root"))


def write(workspace, path):
    write_report(path, workspace, NETS)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole(finished, tmp_path_factory):
    """The page of the finished root: its path and its text."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    return path, write(finished, path)


def test_answers_picture_shows_lines_of_answers(finished, tmp_path):
    path = tmp_path / "answers.png"
    answers_picture(
        finished, path, blended(finished, NETS), root_scores.test_answers(finished), lines=3
    )
    pixels = cv2.imread(str(path))
    assert pixels.shape[:2] == (300, 1040)  # 13 inches by 1.25 a line, 80 dots an inch
    right = np.array([0x4E, 0x9D, 0x2A])  # the frame of a right answer, BGR
    assert (pixels == right).all(axis=2).any()
    answers_picture(finished, path, blended(finished, NETS), None, lines=3)
    assert not (cv2.imread(str(path)) == right).all(axis=2).any()


def section(text, name):
    return re.search(rf'<section id="{name}">.*?</section>', text, re.DOTALL)[0]


def all_rows(part):
    """Cells of the table rows, without the headers."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in re.findall(r"<tr>.*?</tr>", part)]
    return [cells for cells in rows if cells]


def row(part, *starts):
    """Cells of the table row that begins with these."""
    return next(cells for cells in all_rows(part) if tuple(cells[: len(starts)]) == starts)


def test_page_opens_with_a_sentence(whole, root, tmp_path):
    said = (
        '<p class="sentence">The right whale is first for 33% and among the first five for 100% of 6 test '
        "photos (ensemble). So few photos give a hint, no measure.</p>"
    )
    assert said in whole[1]
    assert whole[1].index(said) < whole[1].index("<nav")
    root.file("test_labels").unlink()
    text = re.search('<p class="sentence">(.*?)</p>', write(root, tmp_path / "page.html"))[1]
    # One fold alone was scored by both nets: the whole is told of by one of them.
    assert re.fullmatch(
        r"The right whale is first for \d+% and among the first five for \d+% of 9 validation photos "
        r"\(DenseNet121 \(v5\)\)\. So few photos give a hint, no measure\.",
        text,
    )


def test_nets_and_what_they_were_taught_are_said(root, tmp_path):
    path = root.file("models_v5") / "ft_v5_512px_finetune_0_final_v2_0.900000.model_weights"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file.attrs["taught_on"] = written((Lesson(30, 9, True),))
    text = write(root, tmp_path / "page.html")
    opening = text[: text.index("<nav")]
    assert (
        "know no real whale" in re.search('<p class="warning" role="alert">(.*?)</p>', opening)[1]
    )
    assert (
        "Nets: DenseNet121 (v5), fold 0. Taught on 30 generated photos of 9 individuals." in opening
    )


def test_no_detector_no_section(root, tmp_path):
    for path in root.found("boxes_retinanet"):
        path.unlink()
    text = write(root, tmp_path / "page.html")
    assert 'id="detection"' not in text
    assert 'href="#detection"' not in text
    Parsed(text)


def test_page_stands_alone(whole, finished, tmp_path):
    path, text = whole
    parsed = Parsed(text)
    outside = [a for a in parsed.addresses if not a.startswith(("#", "data:"))]
    assert outside == []
    assert "://" not in text
    assert parsed.alts
    assert all(parsed.alts)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {a[1:] for a in parsed.addresses if a.startswith("#")} <= set(parsed.ids)
    assert "Report of the work root a &lt;b&gt; root" in text
    assert str(finished.root.parent) not in text
    assert path.stat().st_size < 1e6
    assert write(finished, tmp_path / "again.html") == text


def test_page_tells_the_numbers(whole):
    text = whole[1]
    results = section(text, "results")
    # w_a is first of every answer, w_b third, w_c fourth, new_whale second: 1, 1/3, 1/4, 1/2, 1/3, 1.
    told = row(results, "ensemble", "test", "6 *")
    assert told[3].startswith(f"{(1 + 1 / 3 + 1 / 4 + 1 / 2 + 1 / 3 + 1) / 6:.3f} (")
    assert [cell.split()[0] for cell in told[4:]] == ["0.333", "1.000"]
    ranks = results[results.index("<caption>Top 2 to 4") :]
    told = row(ranks, "ensemble", "test", "6 *")
    assert [cell.split()[0] for cell in told[3:]] == ["0.500", "0.833", "1.000"]
    assert "<caption>Known and new whales" in results
    assert row(results, "ensemble", "test", "none", "1 *")[4].startswith("0.500")
    assert "*: fewer than 10 photos" in results
    assert row(results, "DenseNet121 (v5)", "all folds", "9 *")
    assert row(results, BOTH, "fold 0", "4 *")
    assert BOTH == "mean of DenseNet121 (v5) and SE-ResNeXt50 (v6)"
    # The ensemble is first, then the whole, then folds.
    order = [cells[:2] for cells in all_rows(results[: results.index("<details>")])]
    assert order[0] == ["ensemble", "test"]
    assert [what for _, what in order] == ["test"] * 4 + ["all folds"] + [
        "fold 0",
        "fold 0",
        "fold 0",
        "fold 1",
        "fold 2",
    ]
    assert "v6, fold 1, 2, 3: run siamese_net_v6_se_resnext/r16" in results
    detected = section(text, "detection")
    # t0 and t1 are half covered, t2 not found, 10 of 13 found as they are.
    assert (
        f"mean IoU {(10 + 0.5 + 0.5 + 0) / 13:.4f} on 13 photos, 3 under .8, 1 not found"
        in detected
    )
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", detected)
    assert captions[:3] == [
        "t2.jpg, IoU 0.000, not found",
        "t0.jpg, IoU 0.500",
        "t1.jpg, IoU 0.500",
    ]
    assert len(captions) == 10
    shown = section(text, "gallery")
    assert "6 of 6 queries are shown (4 of all are errors" in shown
    assert shown.count('class="answer right"') == 6
    same = section(text, "identical-photos")
    assert "1 groups of equal photos" in same
    assert "1 carry more than one identity" in same
    assert "train/a0.jpg, train/b1.jpg<br>equal files; w_a, w_b" in same
    assert "<b>w_a</b> and <b>w_b</b>: likeness" in section(text, "identities-that-look-alike")
    for name in ("training", "scores", "probabilities"):
        assert "<svg" in section(text, name)
    tables = section(text, "probabilities").split("<table>")[1:]
    counts = [re.findall(r"<td>(\d+)(?: \*)?</td></tr>", part) for part in tables]
    # a0, b0, n0 of fold 0, where both nets have scored them, and a1 of fold 1; three identities each. Of
    # new whales a1, a known one, tells nothing.
    assert [sum(map(int, numbers)) for numbers in counts] == [12, 1]
    assert "rest on 4 validation photos, 1 of them of new whales" in section(text, "probabilities")


def test_answers_of_before_a_merge_and_a_rename_are_judged_as_the_same_whales(root, tmp_path):
    """w_b and w_c are one whale by now, called w_z: its photos t1, t2 and t4 have their answer."""
    for key in ("train_csv", "test_labels"):
        text = root.file(key).read_text()
        root.file(key).write_text(text.replace("w_b", "w_z").replace("w_c", "w_z"))
    rows = (
        Change("1", "", "ann", "merge", "c0.jpg", "w_c", "w_b"),
        Change("2", "", "ann", "rename", "b0.jpg", "w_b", "w_z"),
    )
    write_text(root.file("changes"), changes_text(rows))
    judged, absent = Sources(root, NETS).tested
    assert not absent
    ensemble = judged[-1]
    assert set(map(tuple, ensemble.answers.values())) == {("w_a", NEW_WHALE, "w_z", "w_d")}
    # Right at place 1 of w_a's two photos, at 2 of the new whale's, at 3 of the three others.
    expected = (2 * 1 + 1 / 2 + 3 / 3) / 6
    truth = root_scores.test_answers(root)
    assert root_scores.submission_map5(root, "submission", truth).map5 == pytest.approx(expected)
    write(root, tmp_path / "report.html")


def test_a_fold_without_valid_photos(root, tmp_path):
    none = ScoreMatrix(np.zeros((0, 5), np.float32), [], KNOWN)
    save_tuple(root.file("valid_matrix_v5", fold=3), none)
    assert "<svg" in section(write(root, tmp_path / "page.html"), "probabilities")


def test_probabilities_need_two_folds(root, tmp_path):
    for fold in (1, 2):
        root.file("valid_matrix_v5", fold=fold).unlink()
    part = section(write(root, tmp_path / "page.html"), "probabilities")
    assert "run the inference of a second one" in part
    assert "<svg" not in part


def test_without_true_answers_valid_photos_are_shown(root, tmp_path):
    root.file("test_labels").unlink()
    text = write(root, tmp_path / "page.html")
    shown = section(text, "gallery")
    held = held_out(root, WHO)
    assert f"{len(held.queries)} of {len(held.queries)} queries" in shown
    assert "Valid photos of the folds" in shown
    assert "test_labels.csv" in section(text, "results")
    assert row(section(text, "results"), "DenseNet121 (v5)", "fold 0", "4 *")
    assert "ensemble, test" not in section(text, "scores")
    assert "Post-processing swapped" in section(text, "post-processing")


def test_missing_inputs_name_their_stage(root, tmp_path):
    keys = "features_test_kernel", "submission", "history"
    for key in (*keys, "valid_matrix_v5", "valid_matrix_v6"):
        for path in root.found(key):
            path.unlink()
    text = write(root, tmp_path / "page.html")
    Parsed(text)
    kernel, ensemble = "snn_inference_kernel_1024.py", "final_ensemble_with_post_proc.py"
    for name, told in {
        "results": ("r26_seamese_net_inference_v5_512px.py", kernel, ensemble),
        "training": ("run the training stages",),
        "scores": ("r26_seamese_net_inference_v5_512px.py", f"run kernel_snn/{kernel}"),
        "probabilities": ("r26_seamese_net_inference_v5_512px.py",),
        "post-processing": (f"run kernel_snn/{kernel}",),
        "gallery": ("r26_seamese_net_inference_v5_512px.py",),
        "identities-that-look-alike": ("r26_seamese_net_inference_v5_512px.py",),
    }.items():
        absent = re.findall(r'<p class="absent">(.*?)</p>', section(text, name))
        assert all(any(part in line for line in absent) for part in told), (name, absent)
    assert str(root.root) not in text


def test_empty_root(tmp_path):
    (tmp_path / "empty").mkdir()
    text = write(Workspace(tmp_path / "empty"), tmp_path / "page.html")
    Parsed(text)
    names = re.findall(r'<section id="([^"]+)"', text)
    assert len(names) == 8
    for name in names:
        assert '<p class="absent">Not there yet: ' in section(text, name)
    assert 'class="sentence"' not in text


def test_detection_against_true_boxes(root):
    save(root.root / "reference_boxes.pkl", {"t0": (10, 10, 50, 50), "t2": (0, 0, 5, 5)})
    found = detector_check(root)
    assert found.reference == "reference_boxes.pkl"
    assert found.overlaps == {"t0": 1.0, "t2": 0.0}
    assert found.missed == {"t2"}


def test_a_held_out_photo_without_a_detection_counts(root):
    """By hand: of the folds whose boxes are there, the photos held out; the other fold has not run."""
    seen, missed, later = sorted(training_identities(root))[:3]
    splits = [([later], [seen, missed]), ([seen, missed], [later])]
    names = [[[f"{name}.jpg" for name in part] for part in split] for split in splits]
    save(root.file("retinanet_folds"), names)
    save(root.file("retinanet_fold_boxes", part="train", fold=1), {})
    path = root.file("boxes_retinanet")
    boxes = {name: box for name, box in load(path).items() if name not in {missed, later}}
    save(path, {**boxes, seen: (0, 0, 10, 10)})
    truth = dict.fromkeys((seen, missed, later), (0, 0, 10, 20))
    save(root.root / "reference_boxes.pkl", truth)
    found = detector_check(root)
    assert found.overlaps == {seen: 0.5, missed: 0.0}
    assert missed in found.missed
    assert later not in found.missed


# --- the script and the browser -----------------------------------------------------------------


def test_script(finished, tmp_path, run_python, script):
    out = tmp_path / "new/page.html"
    code = (
        "import sys; from whales_tools import report; "
        f"report.main(['--root', {str(finished.root)!r}, '--out', {str(out)!r}]); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"wrote {out} (0.")
    assert out.exists()
    with pytest.raises(UserError, match="nowhere is no folder; name a work root with --root"):
        script("tools/report.py").main(["--root", str(tmp_path / "nowhere")])


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Run a headless Chromium on a file; returns what it printed, and what it logged."""
    named = os.environ.get("CHROMIUM")
    browser = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} on PATH, and CHROMIUM is not set")

    def run(path, *options):
        profile = tmp_path_factory.mktemp("profile")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            *options,
            path.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
        lines = done.stderr.splitlines()
        return done.stdout, [line for line in lines if "CONSOLE" in line]

    return run


@pytest.mark.parametrize("width", [1200, 390])
def test_screenshot(whole, browse, tmp_path, width):
    picture = tmp_path / "page.png"
    _, console = browse(whole[0], f"--window-size={width},2000", f"--screenshot={picture}")
    assert console == []
    pixels = cv2.imread(str(picture))
    assert pixels.shape == (2000, width, 3)
    assert len(np.unique(pixels.astype(int) @ (1, 256, 65536))) > 20  # colours
    assert pixels[:300].min() < 60  # the title's letters


def test_sort_filter_and_width(whole, browse, tmp_path):
    """What a visitor does, done by a script at the end of the page."""
    visit = """<script>
    const seen = [], put = (name, value) => {
      const field = document.getElementById(name);
      field.value = value; field.dispatchEvent(new Event("input", {bubbles: true}));
      const cards = [...document.querySelectorAll("#cards article")].filter(card => !card.hidden);
      seen.push(cards.map(card => card.dataset.photo).join(" "));
    };
    put("sort", "photo"); put("show", "wrong"); put("show", "new"); put("show", "right");
    put("show", "all"); put("find", "T3"); put("find", "nobody");
    seen.push(document.documentElement.scrollWidth <= window.innerWidth);
    seen.push(document.getElementById("count").textContent);
    document.title = seen.join("|");
    </script></body>"""
    page = tmp_path / "visited.html"
    page.write_text(whole[1].replace("</body>", visit), encoding="utf-8")
    text, console = browse(page, "--window-size=600,900", "--dump-dom")
    assert console == []
    seen = re.search(r"<title>(.*?)</title>", text)[1].split("|")
    everyone = "t0 t1 t2 t3 t4 t5"
    assert seen[:6] == [everyone, "t1 t2 t3 t4", "t3", "t0 t5", everyone, "t3"]
    assert seen[6:] == ["", "true", "0 shown"]
