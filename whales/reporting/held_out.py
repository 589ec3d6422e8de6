"""What the folds' valid photos tell, which the nets that score them have not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from whales.files.folds import FOLDS
from whales.files.labels import NEW_WHALE, check_labelled
from whales.files.matrices import ScoreMatrix, load_tuple
from whales.files.workspace import Workspace, require
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
BOTH = "mean of v5 and v6"


class _Scored(NamedTuple):
    """One fold's matrices: of the nets that have one, and their mean."""

    fold: int
    nets: dict[str, ScoreMatrix]
    mean: ScoreMatrix


@dataclass
class HeldOut:
    """The numbers of all folds that are scored; by net: v5, v6, and the mean where both are there.

    counts: (2, bins) int64 as `score_counts`; queries: with the mean's answers; pairs: of each
    fold, what probabilities are learnt from, a photo once; absent: matrices
    that are not there, in words.
    """

    judged: list[Judged] = field(default_factory=list)
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    tradeoffs: dict[str, Tradeoff] = field(default_factory=dict)
    queries: list[AnsweredQuery] = field(default_factory=list)
    pairs: list[CalibrationPairs] = field(default_factory=list)
    likeness: Likeness = field(default_factory=Likeness)
    absent: list[str] = field(default_factory=list)


def held_out(workspace: Workspace, who: Mapping[str, str]) -> HeldOut:
    """Go through the folds' valid-vs-known matrices, a fold in memory at a time.

    who: stem -> identity. The mean's ranking takes the ensemble's threshold, the nets' that of
    validation. `UserError` where no fold of any net is scored.
    """
    result = HeldOut(absent=_absent(workspace))
    trades: dict[str, list[tuple[Judged, Tradeoff]]] = {}
    paired: set[str] = set()
    grid = sorted({*THRESHOLDS, ENSEMBLE_THRESHOLD, VALIDATION_THRESHOLD})
    for fold, nets, mean in _folds(workspace):
        check_labelled(mean.rows + mean.columns, who, f"valid matrices of fold {fold}")
        for net, matrix in nets.items():
            part = judge(net, f"fold {fold}", matrix, who, VALIDATION_THRESHOLD)
            result.judged.append(part)
            counts = result.counts.setdefault(net, np.zeros((2, BINS), np.int64))
            counts += score_counts(matrix, who)
            trade = tradeoff([matrix], who, grid)
            trades.setdefault(net, []).append((part, trade))
        both = judge(BOTH, f"fold {fold}", mean, who, ENSEMBLE_THRESHOLD)
        if len(nets) == len(NETS):
            result.judged.append(both)
        answers = [both.answers[name] for name in mean.rows]
        result.queries += queries(mean, answers, who, f"fold {fold}")
        alike = set.intersection(*(set(matrix.rows) for matrix in nets.values()))
        rows = [name for name in mean.rows if name in alike - paired]
        if rows:
            result.pairs.append(_pairs(mean.aligned(rows, mean.columns, "the mean"), who))
        paired |= alike
        result.likeness.add(mean, who)
    result.tradeoffs = {net: _averaged(parts) for net, parts in trades.items()}
    _add_all_folds(result)
    return result


def _pairs(matrix: ScoreMatrix, who: Mapping[str, str]) -> CalibrationPairs:
    known, own = KnownPhotos(matrix.columns, who), own_columns(matrix.rows, matrix.columns)
    parts = []
    for start, block in blocks(matrix):
        here = slice(start, start + len(block))
        block, rows = zero_own(block.copy(), own[here]), matrix.rows[here]
        parts.append(pairs_of(block, rows, known, who))
    return joined(parts)


def _absent(workspace: Workspace) -> list[str]:
    absent = []
    for net in NETS:
        paths = {f: workspace.file(f"valid_matrix_{net}", fold=f) for f in range(FOLDS)}
        missing = [fold for fold, path in paths.items() if not path.exists()]
        if missing:
            folds = ", ".join(map(str, missing))
            absent.append(f"{net}, fold {folds}: {workspace.origin(paths[missing[0]])}")
    return absent


def _folds(workspace: Workspace) -> Iterator[_Scored]:
    paths = {
        fold: {net: workspace.file(f"valid_matrix_{net}", fold=fold) for net in NETS}
        for fold in range(FOLDS)
    }
    there = {
        fold: {net: path for net, path in nets.items() if path.exists()}
        for fold, nets in paths.items()
    }
    if not any(there.values()):
        require(workspace, paths[0][NETS[0]])
    for fold, nets in there.items():
        if nets:
            matrices = {net: load_tuple(path) for net, path in nets.items()}
            yield _Scored(fold, matrices, mean_of(list(matrices.values())))


def mean_of(matrices: Sequence[ScoreMatrix]) -> ScoreMatrix:
    """Mean of dense matrices; a row that only some have is the mean of those.

    Rows sorted by name, columns as in the first; `UserError` where another lacks a column.
    """
    if len(matrices) == 1:
        return matrices[0]
    columns = matrices[0].columns
    rows = sorted(set().union(*(matrix.rows for matrix in matrices)))
    place_of = {name: place for place, name in enumerate(rows)}
    total = np.zeros((len(rows), len(columns)), np.float32)
    counts = np.zeros((len(rows), 1), np.float32)
    for matrix in matrices:
        places = np.array([place_of[name] for name in matrix.rows], np.int64)
        total[places] += matrix.aligned(matrix.rows, columns, "the valid matrices").scores
        counts[places] += 1
    return ScoreMatrix(total / counts, rows, columns)


def _averaged(parts: Sequence[tuple[Judged, Tradeoff]]) -> Tradeoff:
    """Folds' trade-offs, each by the number of photos that it is a share of."""
    news = [sum(who == NEW_WHALE for who in part.truth.values()) for part, _ in parts]
    totals = [len(part.truth) for part, _ in parts]
    knowns = [total - new for total, new in zip(totals, news, strict=True)]
    means = []
    for name, weights in (("map5", totals), ("new_recall", news), ("known_first", knowns)):
        values = np.nan_to_num([getattr(trade, name) for _, trade in parts])
        whole = sum(weights)
        means.append(np.dot(weights, values) / whole if whole else values[0] * np.nan)
    return Tradeoff(parts[0][1].thresholds, *means)


def _add_all_folds(result: HeldOut) -> None:
    for net in (*NETS, BOTH):
        parts = [part for part in result.judged if part.net == net]
        if len(parts) > 1:
            result.judged.append(together(parts, "all folds"))
