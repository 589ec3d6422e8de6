"""Sections of a report that are charts and tables: training, results, scores, post-processing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np

from whales.base.errors import UserError
from whales.base.web_page import note, side_by_side, table
from whales.files.folds import FOLDS
from whales.files.labels import with_jpg
from whales.reporting import charts
from whales.reporting.held_out import BOTH
from whales.reporting.report_parts import (
    SAMPLES,
    THRESHOLDS,
    Change,
    Judged,
    Tradeoff,
    Training,
    by_photos,
    changes,
    quality,
    score_counts,
    tradeoff,
    trainings,
)
from whales.reporting.report_sources import Sources
from whales.scores.calibration import FITTED_IDENTITIES, Bin, cross_fitted
from whales.scores.evaluation import CONFIDENCE, Measure
from whales.scores.ranking import CLAIM_SCORE, ENSEMBLE_THRESHOLD, VALIDATION_THRESHOLD
from whales.scores.root_scores import kernel_fold_map5

MOST_SWAPPED = 200  # photos in the table of what post-processing changed
_WHOLE = ("test", "all folds")


def training(sources: Sources) -> str:
    """Curves of each stage's loss and measure, a line a fold."""
    found = trainings(sources.workspace)
    if not found:
        folder = sources.workspace.file("history", stage="*").parent
        raise UserError(f"{folder} holds no history of a training; run the training stages")
    stages: dict[str, list[Training]] = {}
    for one in found:
        stages.setdefault(one.stage, []).append(one)
    drawn = [_curves(stage, runs) for stage, runs in stages.items()]
    told = "Loss of each epoch, and the measure on the fold's valid photos where it was taken."
    return note(told) + "".join(drawn)


def _curves(stage: str, runs: Sequence[Training]) -> str:
    def line(numbers: list[float]) -> tuple[Sequence[int], list[float]]:
        return range(1, len(numbers) + 1), numbers

    names = [f"fold {one.fold}" if one.fold else "warm start" for one in runs]
    panels = {
        "loss": {n: line(one.losses) for n, one in zip(names, runs, strict=True)},
        runs[0].measure: {n: line(one.scores) for n, one in zip(names, runs, strict=True)},
    }
    drawn = [
        charts.lines(f"{stage}: {what} by epoch", "epoch", {what: panel})
        for what, panel in panels.items()
    ]
    return f"<h3>{escape(stage)}</h3>{side_by_side(drawn)}"


def results(sources: Sources) -> str:
    """MAP@5, top 1 to 5 and how new whales are told, by net, fold and number of known photos."""
    parts: list[str] = []
    found, absent = sources.tested
    if sources.truth is None:
        absent = [*absent, "the true identities of the test photos (test_labels.csv)"]
    try:
        found = [*sources.held_out.judged, *found]
        absent = [*sources.held_out.absent, *absent]
    except UserError as reason:
        absent = [str(reason), *absent]
    parts.append(sources.absent(absent))
    # What is said of most photos comes first.
    kept = sorted((one for one in found if one.truth), key=lambda one: one.photos not in _WHOLE)
    if kept:
        told = (
            f"Each number with its {CONFIDENCE:.0%} interval (bootstrap over photos, {SAMPLES} samples). "
            f"Folds are ranked with the threshold {VALIDATION_THRESHOLD}, the {BOTH} with "
            f"{ENSEMBLE_THRESHOLD}. Top k: the right answer is among the first k."
        )
        parts += [note(told), _quality_table(kept), _groups_table(kept)]
    kernel = [kernel_fold_map5(sources.workspace, fold) for fold in range(FOLDS)]
    rows = [(f"fold {s.fold}", f"{s.photos:,}", f"{s.map5:.4f}") for s in kernel if s]
    if rows:
        caption = "The kernel net on its folds, as the names of its weights tell"
        parts.append(table(caption, ("photos", "number", "MAP@5"), rows))
    return "".join(parts)


def _interval(one: Measure) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" if one.photos else "no photos"


def _quality_table(found: Sequence[Judged]) -> str:
    qualities = [quality(one) for one in found]
    header = ["net", "photos", "number", *(one.name for one in qualities[0])]
    rows = [
        (one.net, one.photos, f"{len(one.truth):,}", *map(_interval, measures))
        for one, measures in zip(found, qualities, strict=True)
    ]
    return table("By net and photos", header, rows, text=2)


def _groups_table(found: Sequence[Judged]) -> str:
    whole = [one for one in found if one.photos in _WHOLE] or list(found)
    rows = []
    for one in whole:
        for group, measures in by_photos(one):
            by_name = {measure.name: measure for measure in measures}
            cells = [_interval(by_name[name]) for name in ("MAP@5", "top 1", "top 5")]
            rows.append((one.net, one.photos, group, f"{measures[0].photos:,}", *cells))
    header = ("net", "photos", "others known", "number", "MAP@5", "top 1", "top 5")
    told = "By the number of other known photos of the same whale (none: new whales)"
    return table(told, header, rows, text=3)


def scores(sources: Sources) -> str:
    """Pair scores of one and of two whales, and what each threshold gives."""
    single = {net.threshold for net in sources.nets if net.threshold is not None}
    counts, trades, absent = {}, {}, []
    try:
        counts.update(sources.held_out.counts)
        trades.update(sources.held_out.tradeoffs)
        absent += sources.held_out.absent
    except UserError as reason:
        absent.append(str(reason))
    if sources.truth is not None:
        try:
            grid = sorted({*THRESHOLDS, *single, ENSEMBLE_THRESHOLD})
            matrix = sources.labelled_ensemble
            counts["ensemble, test"] = score_counts(matrix, sources.who)
            trades["ensemble, test"] = tradeoff([matrix], sources.who, grid)
        except UserError as reason:
            absent.append(str(reason))
    force = {
        f"validation {VALIDATION_THRESHOLD}": VALIDATION_THRESHOLD,
        **{f"one net {threshold}": threshold for threshold in sorted(single)},
        f"ensemble {ENSEMBLE_THRESHOLD}": ENSEMBLE_THRESHOLD,
        f"claim {CLAIM_SCORE}": CLAIM_SCORE,
    }
    parts = [sources.absent(absent)]
    if counts:
        parts += [
            note(_SCORES_NOTE),
            side_by_side([_score_chart(*item) for item in counts.items()]),
        ]
        drawn = [_trade_chart(*item, force) for item in trades.items()]
        parts += [note(_TRADE_NOTE), side_by_side(drawn)]
        parts += [_trade_table(*item) for item in trades.items()]
    return "".join(parts)


_SCORES_NOTE = (
    "Pair scores of two photos of one whale, and of two whales: share of all pairs of that kind. Valid "
    "photos against known ones; new whales differ from all known ones."
)
_TRADE_NOTE = (
    "Scores above the threshold name a known whale; without one <code>new_whale</code> comes first. A "
    "higher threshold finds more new whales and loses known ones. Upright lines: thresholds in force."
)


def _score_chart(net: str, counts: np.ndarray) -> str:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    groups = {"one whale": shares[0], "two whales": shares[1]}
    groups = {name: share for name, share in groups.items() if share.any()}
    title = f"{net}: scores of pairs of one whale and of two whales"
    return f"<figcaption>{escape(net)}</figcaption>" + charts.histogram(
        title, f"pair score ({net})", "share of pairs", groups, log=True
    )


def _trade_chart(net: str, trade: Tradeoff, force: dict[str, float]) -> str:
    drawn = {name: (trade.thresholds, values) for name, values in _measures(trade).items()}
    title = f"{net}: new_whale trade-off"
    return charts.lines(title, f"threshold ({net})", {"share": drawn}, force)


def _trade_table(net: str, trade: Tradeoff) -> str:
    measures = _measures(trade)
    rows = [
        (f"{threshold:g}", *(f"{values[place]:.3f}" for values in measures.values()))
        for place, threshold in enumerate(trade.thresholds)
    ]
    caption = f"{net}: what each threshold gives"
    drawn = table(caption, ("threshold", *measures), rows)
    return f"<details><summary>{escape(caption)}</summary>{drawn}</details>"


def _measures(trade: Tradeoff) -> dict[str, np.ndarray]:
    return {
        "MAP@5": trade.map5,
        "new whales: new_whale first": trade.new_recall,
        "known whales: own identity first": trade.known_first,
    }


def probabilities(sources: Sources) -> str:
    """How far the probabilities that scores are turned into come true on photos they were not learnt on."""
    folds = sources.held_out.pairs
    if len(folds) < 2:
        raise UserError(
            f"folds with scored valid photos: {len(folds)}; probabilities are tried on a fold they were "
            "not learnt on; run the inference of a second one"
        )
    told = (
        f"Isotonic regression on the valid photos' scores ({BOTH}) makes probabilities of them; "
        "<code>tools/identify.py</code> does the same with all nets that it has. Here each fold's photos are "
        "judged by the curves of the other folds (a photo counts in the first that holds it out), the "
        f"{FITTED_IDENTITIES} best identities of each photo. Well calibrated, what is said comes true as "
        "often: points lie on the diagonal."
    )
    same, new = cross_fitted(folds)
    kinds = {"the same whale": same, "a new whale": new}
    drawn = {
        name: ([one.predicted for one in bins], [one.right for one in bins])
        for name, bins in kinds.items()
    }
    panel = {"share that came true": {**drawn, "as said": ([0.0, 1.0], [0.0, 1.0])}}
    chart = charts.lines("Reliability of probabilities", "probability that was said", panel)
    tables = "".join(_reliability_table(*item) for item in kinds.items())
    return note(told) + side_by_side([chart]) + tables


def _reliability_table(kind: str, bins: Sequence[Bin]) -> str:
    rows = [(f"{one.predicted:.3f}", f"{one.right:.3f}", f"{one.count:,}") for one in bins]
    return table(f"Probability of {kind}", ("said, mean", "came true", "number"), rows, text=0)


def post_processing(sources: Sources) -> str:
    """What the swaps of first and second answers did to the ensemble."""
    before, after, swapped = changes(sources.ensemble, sources.who, sources.truth)
    told = (
        f"Post-processing swapped the first two answers of {len(swapped):,} of "
        f"{len(sources.ensemble.rows):,} test photos (claims from {CLAIM_SCORE} on)."
    )
    parts = [note(told)]
    if before and after and before.truth:
        names = ("MAP@5", "top 1")
        rows = [
            (one.net, *(_interval(measure) for measure in quality(one) if measure.name in names))
            for one in (before, after)
        ]
        parts.append(table("The ensemble before and after", ("", *names), rows))
    if swapped:
        parts.append(_swapped(swapped))
    return "".join(parts)


def _swapped(found: Sequence[Change]) -> str:
    """What the swaps did, and the photos, folded away."""
    verdicts = Counter(change.verdict for change in found)
    told = ", ".join(f"{verdicts[verdict]:,} {verdict}" for verdict in sorted(verdicts))
    rows = [
        (with_jpg(one.photo), one.before, one.after, one.truth or "not known", one.verdict)
        for one in found[:MOST_SWAPPED]
    ]
    header = ("photo", "first before", "first after", "true identity", "verdict")
    caption = f"Photos whose first answer changed ({len(rows):,} of {len(found):,})"
    drawn = table(caption, header, rows, text=5)
    first = note(f"First answers: {told}.")
    return f"{first}<details><summary>{escape(caption)}</summary>{drawn}</details>"
