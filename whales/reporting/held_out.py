"""Numbers of the folds' held-out photos, which the nets that score them have not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from whales.files.folds import FOLDS
from whales.files.labels import NEW_WHALE
from whales.files.matrices import ScoreMatrix
from whales.files.root_matrices import RootMatrices
from whales.files.sides import Sides
from whales.files.workspace import Workspace, require
from whales.nets.net import title_of
from whales.reporting.gallery import AnsweredQuery, queries
from whales.reporting.look_alikes import Likeness
from whales.reporting.report_parts import (
    BINS,
    THRESHOLDS,
    Judged,
    Tradeoff,
    blocks,
    judge,
    score_counts,
    together,
    tradeoff,
)
from whales.scores.best_photos import KnownPhotos, own_columns, zero_own
from whales.scores.calibration import CalibrationPairs, joined, pairs_of
from whales.scores.ranking import ENSEMBLE_THRESHOLD, VALIDATION_THRESHOLD

NETS = ("v5", "v6")
BOTH = f"mean of {' and '.join(map(title_of, NETS))}"


class _ScoredFold(NamedTuple):
    """One fold's valid matrices: of the nets that have one, and their mean."""

    fold: int
    nets: dict[str, ScoreMatrix]
    mean: ScoreMatrix


@dataclass
class HeldOut:
    """The numbers of all folds that are scored, by net: v5, v6, and the mean where both are there.

    judged: answers by net and fold; counts: net -> (2, bins) int64 as `score_counts`; tradeoffs: by net;
    queries: with the mean's answers; pairs: of each fold, for the calibration, a photo in the first fold
    that holds it out; likeness: of identities, by the mean; absent: matrices that are not there, in words.
    """

    judged: list[Judged] = field(default_factory=list)
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    tradeoffs: dict[str, Tradeoff] = field(default_factory=dict)
    queries: list[AnsweredQuery] = field(default_factory=list)
    pairs: list[CalibrationPairs] = field(default_factory=list)
    likeness: Likeness = field(default_factory=Likeness)
    absent: list[str] = field(default_factory=list)


def held_out(workspace: Workspace, identity_of: Mapping[str, str]) -> HeldOut:
    """Go through the folds' valid-vs-known matrices, a fold in memory at a time.

    identity_of: stem -> identity. The mean's ranking takes the ensemble's threshold, the nets' that of
    validation. `UserError` where no fold of any net is scored.
    """
    result = HeldOut(absent=_absent(workspace))
    trades: dict[str, list[tuple[Judged, Tradeoff]]] = {}
    paired: set[str] = set()
    grid = sorted({*THRESHOLDS, ENSEMBLE_THRESHOLD, VALIDATION_THRESHOLD})
    read = RootMatrices(workspace, dict(identity_of))
    sides = read.sides
    for fold, nets, mean in _folds(read, workspace):
        for net, matrix in nets.items():
            judged = judge(net, f"fold {fold}", matrix, identity_of, VALIDATION_THRESHOLD, sides)
            result.judged.append(judged)
            counts = result.counts.setdefault(net, np.zeros((2, BINS), np.int64))
            counts += score_counts(matrix, identity_of, sides)
            trade = tradeoff([matrix], identity_of, grid, sides)
            trades.setdefault(net, []).append((judged, trade))
        both = judge(BOTH, f"fold {fold}", mean, identity_of, ENSEMBLE_THRESHOLD, sides)
        if len(nets) == len(NETS):
            result.judged.append(both)
        answers = [both.answers[name] for name in mean.rows]
        result.queries += queries(mean, answers, identity_of, f"fold {fold}", sides)
        in_all = set.intersection(*(set(matrix.rows) for matrix in nets.values()))
        rows = [name for name in mean.rows if name in in_all - paired]
        if rows:
            scored = mean.aligned(rows, mean.columns, "the mean")
            result.pairs.append(_pairs(scored, identity_of, sides))
        paired |= in_all
        result.likeness.add(mean, identity_of, sides)
    result.tradeoffs = {net: _averaged(folds) for net, folds in trades.items()}
    _add_all_folds(result)
    return result


def _pairs(matrix: ScoreMatrix, identity_of: Mapping[str, str], sides: Sides) -> CalibrationPairs:
    known = KnownPhotos(matrix.columns, identity_of)
    own_column = own_columns(matrix.rows, matrix.columns)
    groups = []
    for start, block in blocks(matrix):
        rows = slice(start, start + len(block))
        scores = zero_own(block.copy(), own_column[rows])
        scores = sides.of(matrix.rows[rows], matrix.columns).hidden(scores, -np.inf)
        groups.append(pairs_of(scores, matrix.rows[rows], known, identity_of))
    return joined(groups)


def _absent(workspace: Workspace) -> list[str]:
    absent = []
    for net in NETS:
        paths = {f: workspace.file(f"valid_matrix_{net}", fold=f) for f in range(FOLDS)}
        missing = [fold for fold, path in paths.items() if not path.exists()]
        if missing:
            folds = ", ".join(map(str, missing))
            absent.append(f"{net}, fold {folds}: {workspace.origin(paths[missing[0]])}")
    return absent


def _folds(read: RootMatrices, workspace: Workspace) -> Iterator[_ScoredFold]:
    paths = {
        fold: {net: workspace.file(f"valid_matrix_{net}", fold=fold) for net in NETS}
        for fold in range(FOLDS)
    }
    present = {
        fold: {net: path for net, path in nets.items() if path.exists()}
        for fold, nets in paths.items()
    }
    if not any(present.values()):
        require(workspace, paths[0][NETS[0]])
    for fold, nets in present.items():
        if nets:
            matrices = {net: read.validation(path) for net, path in nets.items()}
            yield _ScoredFold(fold, matrices, mean_of(list(matrices.values())))


def mean_of(matrices: Sequence[ScoreMatrix]) -> ScoreMatrix:
    """Mean of dense matrices, one or more; a row that only some have is the mean of those.

    Rows are sorted by name, columns as in the first; scores are float32. `UserError` where another
    matrix lacks a column.
    """
    if len(matrices) == 1:
        return matrices[0]
    columns = matrices[0].columns
    rows = sorted(set().union(*(matrix.rows for matrix in matrices)))
    row_of = {name: row for row, name in enumerate(rows)}
    total = np.zeros((len(rows), len(columns)), np.float32)
    counts = np.zeros((len(rows), 1), np.float32)
    for matrix in matrices:
        indices = np.array([row_of[name] for name in matrix.rows], np.int64)
        total[indices] += matrix.aligned(matrix.rows, columns, "the valid matrices").scores
        counts[indices] += 1
    return ScoreMatrix(total / counts, rows, columns)


def _averaged(folds: Sequence[tuple[Judged, Tradeoff]]) -> Tradeoff:
    """Mean of the folds' trade-offs, weighted by the number of photos that each is a share of."""
    news = [list(judged.truth.values()).count(NEW_WHALE) for judged, _ in folds]
    totals = [len(judged.truth) for judged, _ in folds]
    knowns = [total - new for total, new in zip(totals, news, strict=True)]
    means = []
    for name, weights in (("map5", totals), ("new_recall", news), ("known_first", knowns)):
        values = np.nan_to_num([getattr(trade, name) for _, trade in folds])
        total = sum(weights)
        means.append(np.dot(weights, values) / total if total else values[0] * np.nan)
    map5, new_recall, known_first = means
    return Tradeoff(folds[0][1].thresholds, map5, new_recall, known_first)


def _add_all_folds(result: HeldOut) -> None:
    for net in (*NETS, BOTH):
        folds = [judged for judged in result.judged if judged.net == net]
        if len(folds) > 1:
            result.judged.append(together(folds, "all folds"))
