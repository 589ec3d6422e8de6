"""The numbers of a report: training, detection, answers, and what post-processing changed."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from whales.base.pickles import load
from whales.files.boxes import Box
from whales.files.labels import NEW_WHALE
from whales.files.matrices import ScoreMatrix, dense
from whales.files.workspace import Workspace, require
from whales.scores.best_photos import mark_own, own_columns
from whales.scores.evaluation import Measure, measures
from whales.scores.metrics import average_precision
from whales.scores.ranking import ENSEMBLE_THRESHOLD, post_process, rank
from whales.scores.root_scores import detection_overlaps, reference_boxes

# Thresholds that the trade-off is drawn for.
THRESHOLDS = (0.05, *(step / 10 for step in range(1, 10)), 0.95, 0.99, 0.999)
BINS = 40
_ORDER = ("retinanet", "siamese", "kernel")  # of trainings: how their stages' names begin
SAMPLES = 500  # of the bootstrap
_SEED = 0
# Least number of an identity's other known photos in each group, and the group's name.
PHOTO_GROUPS = ((0, "none"), (1, "1"), (2, "2"), (3, "3 to 4"), (5, "5 to 9"), (10, "10 or more"))
_ROWS = 512  # that are dense at a time


class Training(NamedTuple):
    """One net's training on one fold; one number an epoch, NaN where it was not measured."""

    stage: str
    fold: str  # empty for a warm start
    measure: str  # MAP@5, or the detector's mean average precision
    losses: list[float]
    scores: list[float]


def trainings(workspace: Workspace) -> list[Training]:
    """Every training that has a history, in the order of stages and folds; plans of one fold joined."""
    joined: dict[tuple[str, str], list[dict[str, str]]] = {}
    for path in sorted(workspace.found("history"), key=_in_order):
        name = path.stem.replace(".", "/", 1)
        stage, fold = re.fullmatch(r"(.+?)(?:_fold_(\d+))?(?:_plan_\d+)?", name).groups()
        with open(path, newline="", encoding="utf-8") as source:
            joined.setdefault((stage, fold or ""), []).extend(csv.DictReader(source))
    found = []
    for (stage, fold), rows in joined.items():
        column = "IOU" if rows and "IOU" in rows[0] else "map5"
        measure = "mean average precision" if column == "IOU" else "MAP@5"
        numbers = [[float(row.get(name) or "nan") for row in rows] for name in ("loss", column)]
        found.append(Training(stage, fold, measure, *numbers))
    return found


def _in_order(path: Path) -> tuple[int, str]:
    places = [path.name.startswith(start) for start in _ORDER]
    return places.index(True) if any(places) else len(_ORDER), path.name


class Detection(NamedTuple):
    """How well the detector's boxes fit others; `reference`: where those come from."""

    reference: str
    found: Mapping[str, Box]
    truth: Mapping[str, Box]
    overlaps: dict[str, float]  # IoU by photo (stem), 0 where nothing was found
    missed: set[str]


def detection(workspace: Workspace) -> Detection:
    """The detector against the true boxes where the root has them, else against the first ones."""
    path = reference_boxes(workspace)
    if not path.exists():
        path = require(workspace, workspace.file("boxes_v5"))
    truth = load(path)
    overlaps, missed = detection_overlaps(workspace, truth)
    keys = ("boxes_retinanet_playground", "boxes_retinanet")
    files = [workspace.file(key) for key in keys if workspace.file(key).exists()]
    found = {name: box for file in files for name, box in load(file).items()}
    return Detection(path.name, found, truth, overlaps, missed & set(truth))


class Judged(NamedTuple):
    """A net's answers to one set of photos whose identities are known.

    photos: which ones, in words; truth, answers: by photo; others: how many known photos show the
    same identity, the photo itself not counted.
    """

    net: str
    photos: str
    truth: dict[str, str]
    answers: dict[str, list[str]]
    others: dict[str, int]


def judge(
    net: str, photos: str, matrix: ScoreMatrix, who: Mapping[str, str], threshold: float
) -> Judged:
    """Rank a matrix; `who`: stem -> identity of rows and columns."""
    identities = [who[name] for name in matrix.columns]
    answers = rank(matrix.scores, identities, threshold, own_columns(matrix.rows, matrix.columns))
    return judged(net, photos, dict(zip(matrix.rows, answers, strict=True)), who, matrix.columns)


def judged(
    net: str,
    photos: str,
    answers: Mapping[str, list[str]],
    who: Mapping[str, str],
    known: Iterable[str],
) -> Judged:
    """Answers that are there already; `known`: stems of the known photos."""
    known = set(known)
    counts = Counter(who[name] for name in known)
    truth = {name: who[name] for name in answers}
    others = {name: counts[identity] - (name in known) for name, identity in truth.items()}
    return Judged(net, photos, truth, dict(answers), others)


def together(parts: Sequence[Judged], photos: str) -> Judged:
    """Answers of several folds; a photo that is valid in two of them counts twice."""
    fields = [
        {f"{part.photos}/{name}": value for part in parts for name, value in part[place].items()}
        for place in (2, 3, 4)
    ]
    return Judged(parts[0].net, photos, *fields)


def quality(of: Judged, samples: int = SAMPLES) -> list[Measure]:
    """MAP@5, top 1 to 5 and the rest of `evaluation.measures`, the same numbers every time."""
    return measures(of.truth, of.answers, samples, np.random.default_rng(_SEED))


def by_photos(of: Judged, samples: int = SAMPLES) -> list[tuple[str, list[Measure]]]:
    """`quality` by the number of other known photos of the identity; groups without photos left out."""
    groups: dict[str, list[str]] = {name: [] for _, name in PHOTO_GROUPS}
    for photo, count in of.others.items():
        groups[[name for least, name in PHOTO_GROUPS if count >= least][-1]].append(photo)
    return [
        (group, quality(of._replace(truth={name: of.truth[name] for name in names}), samples))
        for group, names in groups.items()
        if names
    ]


def score_counts(matrix: ScoreMatrix, who: Mapping[str, str]) -> np.ndarray:
    """Histogram of pair scores, (2, BINS) int64 over [0, 1]: pairs of one identity, and other pairs.

    A photo with itself is left out; new whales differ from every known one.
    """
    codes = {identity: code for code, identity in enumerate(dict.fromkeys(who.values()))}
    columns = np.array([codes[who[name]] for name in matrix.columns])
    rows = np.array([codes[who[name]] for name in matrix.rows])
    own = own_columns(matrix.rows, matrix.columns)
    counts = np.zeros((2, BINS), np.int64)
    for start, block in blocks(matrix):
        part = slice(start, start + len(block))
        bins = np.clip(block * BINS, 0, BINS - 1).astype(np.uint8)
        same = rows[part, None] == columns
        other = ~same
        mark_own(same, own[part], False)
        for group, pairs in enumerate((same, other)):
            counts[group] += np.bincount(bins[pairs], minlength=BINS)
    return counts


def blocks(matrix: ScoreMatrix) -> Iterable[tuple[int, np.ndarray]]:
    """First row and dense scores of some rows at a time, float32."""
    for start in range(0, len(matrix.rows), _ROWS):
        block = matrix.scores[start : start + _ROWS]
        yield start, dense(block)


class Tradeoff(NamedTuple):
    """What a threshold costs and brings, (thresholds,) float64 each; NaN without such photos."""

    thresholds: np.ndarray
    map5: np.ndarray
    new_recall: np.ndarray  # share of new whales answered `new_whale` first
    known_first: np.ndarray  # share of known whales whose own identity is first


def tradeoff(
    matrices: Iterable[ScoreMatrix], who: Mapping[str, str], thresholds: Sequence[float]
) -> Tradeoff:
    """Rank matrices with each of the thresholds; their rows count alike."""
    sums, counts = np.zeros((len(thresholds), 3)), np.zeros(3)
    for matrix in matrices:
        identities = [who[name] for name in matrix.columns]
        truth = [who[name] for name in matrix.rows]
        new = np.array([identity == NEW_WHALE for identity in truth], bool)
        counts += [len(truth), new.sum(), (~new).sum()]
        own = own_columns(matrix.rows, matrix.columns)
        for place, threshold in enumerate(thresholds):
            answers = rank(matrix.scores, identities, threshold, own)
            pairs = list(zip(truth, answers, strict=True))
            first = np.array([given[0] == identity for identity, given in pairs], bool)
            precision = sum(average_precision(*pair) for pair in pairs)
            sums[place] += [precision, (first & new).sum(), (first & ~new).sum()]
    means = np.divide(sums, counts, out=np.full_like(sums, math.nan), where=counts > 0)
    return Tradeoff(np.array(thresholds, np.float64), *means.T)


class Change(NamedTuple):
    """A photo whose first and second answers were swapped; `truth`: None where not known."""

    photo: str
    before: str
    after: str
    truth: str | None

    @property
    def verdict(self) -> str:
        """What the swap did to the first answer."""
        if self.truth is None:
            return "not known"
        if self.truth == self.after:
            return "mended"
        return "broken" if self.truth == self.before else "wrong before and after"


def changes(
    matrix: ScoreMatrix, who: Mapping[str, str], truth: Mapping[str, str] | None
) -> tuple[Judged | None, Judged | None, list[Change]]:
    """The ensemble's answers before and after post-processing, judged where `truth` is known."""
    identities = [who[name] for name in matrix.columns]
    before = rank(matrix.scores, identities, ENSEMBLE_THRESHOLD)
    after, _ = post_process(before, matrix.scores, identities)
    truth = truth or {}
    swapped = [
        Change(name, old[0], new[0], truth.get(name))
        for name, old, new in zip(matrix.rows, before, after, strict=True)
        if old != new
    ]
    if not truth:
        return None, None, swapped
    everyone = {**who, **truth}
    both = []
    for name, rows in (("before", before), ("after", after)):
        answers = dict(zip(matrix.rows, rows, strict=True))
        answers = {photo: row for photo, row in answers.items() if photo in truth}
        both.append(judged(name, "test", answers, everyone, matrix.columns))
    return both[0], both[1], swapped
