"""The numbers of a report: training, detection, answers, and what post-processing changed."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from whales.base.errors import UserError
from whales.base.pickles import load
from whales.base.tables import read_table
from whales.files.boxes import Box, checked_boxes
from whales.files.labels import NEW_WHALE
from whales.files.matrices import ScoreMatrix, dense
from whales.files.sides import NO_SIDES, Sides
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
    """One net's training on one fold.

    fold: empty for a warm start; measure: MAP@5, or the detector's mean average precision; losses,
    measured: a number an epoch, NaN where it was not measured.
    """

    stage: str
    fold: str
    measure: str
    losses: list[float]
    measured: list[float]


def trainings(workspace: Workspace) -> list[Training]:
    """Every training that has a history, in the order of stages and folds; plans of one fold joined."""
    joined: dict[tuple[str, str], list[dict[str, str]]] = {}
    for path in sorted(workspace.found("history"), key=_in_order):
        name = path.stem.replace(".", "/", 1)
        parsed = re.fullmatch(r"(.+?)(?:_fold_(\d+))?(?:_plan_\d+)?", name)
        stage, fold = parsed.groups() if parsed else (name, "")
        joined.setdefault((stage, fold or ""), []).extend(_epochs(path))
    every = []
    for (stage, fold), rows in joined.items():
        column = "IOU" if rows and "IOU" in rows[0] else "map5"
        measure = "mean average precision" if column == "IOU" else "MAP@5"
        losses, measured = ([row.get(name, math.nan) for row in rows] for name in ("loss", column))
        every.append(Training(stage, fold, measure, losses, measured))
    return every


def _epochs(path: Path) -> list[dict[str, float]]:
    """The rows of a history as numbers, NaN where a field is empty; `UserError` naming another."""
    table, places = read_table(path)
    rows = []
    for row, place in zip(table.to_dict("records"), places, strict=True):
        try:
            rows.append({str(name): float(text or "nan") for name, text in row.items()})
        except ValueError:
            raise UserError(f"{place}: expected numbers; run the stage again") from None
    return rows


def _in_order(path: Path) -> tuple[int, str]:
    begins = [path.name.startswith(start) for start in _ORDER]
    return begins.index(True) if any(begins) else len(_ORDER), path.name


class DetectorCheck(NamedTuple):
    """How well the detector's boxes fit those of a reference; all by photo (stem).

    reference: file name of the true boxes; boxes: the detector's; truth: the reference's; overlaps: IoU,
    0 where the detector found nothing; missed: the photos where it did not.
    """

    reference: str
    boxes: Mapping[str, Box]
    truth: Mapping[str, Box]
    overlaps: dict[str, float]
    missed: set[str]


def detector_check(workspace: Workspace) -> DetectorCheck:
    """The detector against the true boxes where the root has them, else against the first ones."""
    path = reference_boxes(workspace)
    if not path.exists():
        path = require(workspace, workspace.file("boxes_v5"))
    truth = checked_boxes(load(path), path)
    overlaps, missed = detection_overlaps(workspace, truth)
    keys = ("boxes_retinanet_playground", "boxes_retinanet")
    files = [workspace.file(key) for key in keys if workspace.file(key).exists()]
    boxes: dict[str, Box] = {}
    for file in files:
        boxes |= checked_boxes(load(file), file)
    return DetectorCheck(path.name, boxes, truth, overlaps, missed & set(truth))


class Judged(NamedTuple):
    """A net's answers to one set of photos whose identities are known.

    photos: which ones, in words; truth, answers: by photo; others: how many known photos show the
    same identity and can be compared, the photo itself not counted.
    """

    net: str
    photos: str
    truth: dict[str, str]
    answers: dict[str, list[str]]
    others: dict[str, int]


def judge(
    net: str,
    photos: str,
    matrix: ScoreMatrix,
    identity_of: Mapping[str, str],
    threshold: float,
    sides: Sides = NO_SIDES,
) -> Judged:
    """The answers that a matrix gives, ranked; identity_of, sides: stem -> those of rows and columns."""
    identities = [identity_of[name] for name in matrix.columns]
    own_column = own_columns(matrix.rows, matrix.columns)
    pairs = sides.of(matrix.rows, matrix.columns)
    ranked = rank(matrix.scores, identities, threshold, own_column, pairs)
    answers = dict(zip(matrix.rows, ranked, strict=True))
    return judge_answers(net, photos, answers, identity_of, matrix.columns, sides)


def judge_answers(
    net: str,
    photos: str,
    answers: Mapping[str, list[str]],
    identity_of: Mapping[str, str],
    known: Iterable[str],
    sides: Sides = NO_SIDES,
) -> Judged:
    """Answers of photos (stems); identity_of, sides: of these and of the `known` photos (stems)."""
    known = set(known)
    truth = {name: identity_of[name] for name in answers}
    counts = Counter((identity_of[name], sides.side_of.get(name, "")) for name in known)
    alone = Counter(identity_of[name] for name in known)

    def comparable(name: str, identity: str) -> int:
        side = sides.side_of.get(name, "")
        return counts[identity, side] + counts[identity, ""] if side else alone[identity]

    others = {name: comparable(name, who) - (name in known) for name, who in truth.items()}
    return Judged(net, photos, truth, dict(answers), others)


def together(folds: Sequence[Judged], photos: str) -> Judged:
    """Answers of several folds as one; a photo that is valid in two of them counts twice."""
    truth, answers, others = {}, {}, {}
    for fold in folds:
        for name in fold.truth:
            key = f"{fold.photos}/{name}"
            truth[key], answers[key] = fold.truth[name], fold.answers[name]
            others[key] = fold.others[name]
    return Judged(folds[0].net, photos, truth, answers, others)


def quality(judged: Judged, samples: int = SAMPLES) -> list[Measure]:
    """MAP@5, top 1 to 5 and the rest of `evaluation.measures`, the same numbers every time."""
    return measures(judged.truth, judged.answers, samples, np.random.default_rng(_SEED))


def by_photos(judged: Judged, samples: int = SAMPLES) -> list[tuple[str, list[Measure]]]:
    """`quality` by the number of other known photos of the identity; groups without photos left out."""
    groups: dict[str, list[str]] = {name: [] for _, name in PHOTO_GROUPS}
    for photo, count in judged.others.items():
        groups[[name for least, name in PHOTO_GROUPS if count >= least][-1]].append(photo)
    table = []
    for group, names in groups.items():
        if names:
            truth = {name: judged.truth[name] for name in names}
            table.append((group, quality(judged._replace(truth=truth), samples)))
    return table


def score_counts(
    matrix: ScoreMatrix, identity_of: Mapping[str, str], sides: Sides = NO_SIDES
) -> np.ndarray:
    """Histogram of pair scores, (2, BINS) int64 over [0, 1]: pairs of one identity, and other pairs.

    identity_of, sides: stem -> those of rows and columns. A photo with itself is left out, and so are unlike
    sides; new whales differ from every known one.
    """
    codes = {identity: code for code, identity in enumerate(dict.fromkeys(identity_of.values()))}
    columns = np.array([codes[identity_of[name]] for name in matrix.columns])
    row_codes = np.array([codes[identity_of[name]] for name in matrix.rows])
    own_column = own_columns(matrix.rows, matrix.columns)
    shown = sides.of(matrix.rows, matrix.columns)
    counts = np.zeros((2, BINS), np.int64)
    for start, block in blocks(matrix):
        rows = slice(start, start + len(block))
        bins = np.clip(block * BINS, 0, BINS - 1).astype(np.uint8)
        same = row_codes[rows, None] == columns
        other = ~same
        mark_own(same, own_column[rows], False)
        if sides:
            hidden = shown.unlike(rows)
            same, other = same & ~hidden, other & ~hidden
        for group, pairs in enumerate((same, other)):
            counts[group] += np.bincount(bins[pairs], minlength=BINS)
    return counts


def blocks(matrix: ScoreMatrix) -> Iterable[tuple[int, np.ndarray]]:
    """The matrix in blocks of rows: index of the first row, and dense scores (rows, m) float32."""
    for start in range(0, len(matrix.rows), _ROWS):
        block = matrix.scores[start : start + _ROWS]
        yield start, dense(block)


class Tradeoff(NamedTuple):
    """What each threshold costs and brings; all (thresholds,) float64, NaN without such photos.

    new_recall: share of new whales answered `new_whale` first; known_first: share of known whales whose
    own identity is first.
    """

    thresholds: np.ndarray
    map5: np.ndarray
    new_recall: np.ndarray
    known_first: np.ndarray


def tradeoff(
    matrices: Iterable[ScoreMatrix],
    identity_of: Mapping[str, str],
    thresholds: Sequence[float],
    sides: Sides = NO_SIDES,
) -> Tradeoff:
    """Rank matrices with each of the thresholds; their rows count alike.

    identity_of, sides: stem -> those of rows and columns.
    """
    sums, counts = np.zeros((len(thresholds), 3)), np.zeros(3)
    for matrix in matrices:
        identities = [identity_of[name] for name in matrix.columns]
        truth = [identity_of[name] for name in matrix.rows]
        new = np.array([identity == NEW_WHALE for identity in truth], bool)
        counts += [len(truth), new.sum(), (~new).sum()]
        own_column = own_columns(matrix.rows, matrix.columns)
        pairs = sides.of(matrix.rows, matrix.columns)
        for index, threshold in enumerate(thresholds):
            answers = rank(matrix.scores, identities, threshold, own_column, pairs)
            answered = list(zip(truth, answers, strict=True))
            first = np.array([row[0] == identity for identity, row in answered], bool)
            precision = sum(average_precision(identity, row) for identity, row in answered)
            sums[index] += [precision, (first & new).sum(), (first & ~new).sum()]
    means = np.divide(sums, counts, out=np.full_like(sums, math.nan), where=counts > 0)
    return Tradeoff(np.array(thresholds, np.float64), means[:, 0], means[:, 1], means[:, 2])


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
    matrix: ScoreMatrix,
    identity_of: Mapping[str, str],
    truth: Mapping[str, str] | None,
    sides: Sides = NO_SIDES,
) -> tuple[Judged | None, Judged | None, list[Change]]:
    """The ensemble's answers before and after post-processing, and the photos where they differ.

    identity_of: stem -> identity of the columns; truth: stem -> identity of rows, where it is known; the
    answers are judged on these, and are None without any; sides: of the photos.
    """
    identities = [identity_of[name] for name in matrix.columns]
    pairs = sides.of(matrix.rows, matrix.columns)
    before = rank(matrix.scores, identities, ENSEMBLE_THRESHOLD, sides=pairs)
    after, _ = post_process(before, matrix.scores, identities)
    truth = truth or {}
    swapped = [
        Change(name, old[0], new[0], truth.get(name))
        for name, old, new in zip(matrix.rows, before, after, strict=True)
        if old != new
    ]
    if not truth:
        return None, None, swapped
    identity_of = {**identity_of, **truth}

    def judged(name: str, rows: Sequence[list[str]]) -> Judged:
        ranked = zip(matrix.rows, rows, strict=True)
        answers = {photo: row for photo, row in ranked if photo in truth}
        return judge_answers(name, "test", answers, identity_of, matrix.columns, sides)

    return judged("before", before), judged("after", after), swapped
