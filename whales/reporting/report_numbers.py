"""Sections of a report that are charts and tables: training, results, scores, post-processing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
    runs = trainings(sources.workspace)
    if not runs:
        folder = sources.workspace.file("history", stage="*").parent
        raise UserError(f"{folder} holds no history of a training; run the training stages")
    stages: dict[str, list[Training]] = {}
    for run in runs:
        stages.setdefault(run.stage, []).append(run)
    drawn = [_curves(stage, group) for stage, group in stages.items()]
    text = "Loss of each epoch, and the measure on the fold's valid photos where it was taken."
    return note(text) + "".join(drawn)


def _curves(stage: str, runs: Sequence[Training]) -> str:
    def line(numbers: list[float]) -> tuple[Sequence[int], list[float]]:
        return range(1, len(numbers) + 1), numbers

    named = {f"fold {run.fold}" if run.fold else "warm start": run for run in runs}
    panels = {
        "loss": {name: line(run.losses) for name, run in named.items()},
        runs[0].measure: {name: line(run.measured) for name, run in named.items()},
    }
    drawn = [
        charts.lines(f"{stage}: {label} by epoch", "epoch", {label: panel})
        for label, panel in panels.items()
    ]
    return f"<h3>{escape(stage)}</h3>{side_by_side(drawn)}"


def results(sources: Sources) -> str:
    """MAP@5, top 1 to 5 and how well new whales are recognized, by net, fold and number of known photos."""
    judged, absent = sources.tested
    if sources.truth is None:
        absent = [*absent, "the true identities of the test photos (test_labels.csv)"]
    try:
        judged = [*sources.held_out.judged, *judged]
        absent = [*sources.held_out.absent, *absent]
    except UserError as reason:
        absent = [str(reason), *absent]
    elements = [sources.absent(absent)]
    # Numbers of most photos come first.
    kept = sorted((row for row in judged if row.truth), key=lambda row: row.photos not in _WHOLE)
    if kept:
        text = (
            f"Each number with its {CONFIDENCE:.0%} interval (bootstrap over photos, {SAMPLES} samples). "
            f"Folds are ranked with the threshold {VALIDATION_THRESHOLD}, the {BOTH} with "
            f"{ENSEMBLE_THRESHOLD}. Top k: the right answer is among the first k."
        )
        elements += [note(text), _quality_table(kept), _groups_table(kept)]
    kernel = [kernel_fold_map5(sources.workspace, fold) for fold in range(FOLDS)]
    rows = [(f"fold {s.fold}", f"{s.photos:,}", f"{s.map5:.4f}") for s in kernel if s]
    if rows:
        caption = "The kernel net on its folds, as the names of its weights tell"
        elements.append(table(caption, ("photos", "number", "MAP@5"), rows))
    return "".join(elements)


def _interval(measure: Measure) -> str:
    if not measure.photos:
        return "no photos"
    return f"{measure.value:.3f} ({measure.low:.3f} to {measure.high:.3f})"


def _quality_table(judged: Sequence[Judged]) -> str:
    qualities = [quality(row) for row in judged]
    header = ["net", "photos", "number", *(measure.name for measure in qualities[0])]
    rows = [
        (row.net, row.photos, f"{len(row.truth):,}", *map(_interval, measures))
        for row, measures in zip(judged, qualities, strict=True)
    ]
    return table("By net and photos", header, rows, text=2)


def _groups_table(judged: Sequence[Judged]) -> str:
    whole = [row for row in judged if row.photos in _WHOLE] or list(judged)
    rows = []
    for row in whole:
        for group, measures in by_photos(row):
            by_name = {measure.name: measure for measure in measures}
            cells = [_interval(by_name[name]) for name in ("MAP@5", "top 1", "top 5")]
            rows.append((row.net, row.photos, group, f"{measures[0].photos:,}", *cells))
    header = ("net", "photos", "others known", "number", "MAP@5", "top 1", "top 5")
    caption = "By the number of other known photos of the same whale (none: new whales)"
    return table(caption, header, rows, text=3)


def scores(sources: Sources) -> str:
    """Pair scores of one and of two whales, and the answers that each threshold gives."""
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
            counts["ensemble, test"] = score_counts(matrix, sources.identity_of, sources.sides)
            trades["ensemble, test"] = tradeoff([matrix], sources.identity_of, grid, sources.sides)
        except UserError as reason:
            absent.append(str(reason))
    in_force = {
        f"validation {VALIDATION_THRESHOLD}": VALIDATION_THRESHOLD,
        **{f"one net {threshold}": threshold for threshold in sorted(single)},
        f"ensemble {ENSEMBLE_THRESHOLD}": ENSEMBLE_THRESHOLD,
        f"claim {CLAIM_SCORE}": CLAIM_SCORE,
    }
    elements = [sources.absent(absent)]
    if counts:
        drawn = [_score_chart(net, histogram) for net, histogram in counts.items()]
        elements += [note(_SCORES_NOTE), side_by_side(drawn)]
        drawn = [_trade_chart(net, trade, in_force) for net, trade in trades.items()]
        elements += [note(_TRADE_NOTE), side_by_side(drawn)]
        elements += [_trade_table(net, trade) for net, trade in trades.items()]
    return "".join(elements)


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


def _trade_chart(net: str, trade: Tradeoff, in_force: Mapping[str, float]) -> str:
    drawn = {name: (trade.thresholds, values) for name, values in _measures(trade).items()}
    title = f"{net}: new_whale trade-off"
    return charts.lines(title, f"threshold ({net})", {"share": drawn}, in_force)


def _trade_table(net: str, trade: Tradeoff) -> str:
    measures = _measures(trade)
    rows = [
        (f"{threshold:g}", *(f"{values[index]:.3f}" for values in measures.values()))
        for index, threshold in enumerate(trade.thresholds)
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
    """Whether the calibrated probabilities come true, on photos that they were not learnt on."""
    folds = sources.held_out.pairs
    if len(folds) < 2:
        raise UserError(
            f"folds with scored valid photos: {len(folds)}; probabilities are tried on a fold they were "
            "not learnt on; run the inference of a second one"
        )
    text = (
        f"Isotonic regression on the valid photos' scores ({BOTH}) makes probabilities of them; "
        "<code>tools/identify.py</code> does the same with all nets that it has. Here each fold's photos are "
        "judged by the curves of the other folds (a photo counts in the first that holds it out), the "
        f"{FITTED_IDENTITIES} best identities of each photo. Well calibrated, what is said comes true as "
        "often: points lie on the diagonal."
    )
    same, new = cross_fitted(folds)
    kinds = {"the same whale": same, "a new whale": new}
    drawn = {
        name: ([group.predicted for group in bins], [group.right for group in bins])
        for name, bins in kinds.items()
    }
    panel = {"share that came true": {**drawn, "as said": ([0.0, 1.0], [0.0, 1.0])}}
    chart = charts.lines("Reliability of probabilities", "probability that was said", panel)
    tables = "".join(_reliability_table(kind, bins) for kind, bins in kinds.items())
    return note(text) + side_by_side([chart]) + tables


def _reliability_table(kind: str, bins: Sequence[Bin]) -> str:
    rows = [(f"{b.predicted:.3f}", f"{b.right:.3f}", f"{b.count:,}") for b in bins]
    return table(f"Probability of {kind}", ("said, mean", "came true", "number"), rows, text=0)


def post_processing(sources: Sources) -> str:
    """The ensemble before and after the swaps of first and second answers."""
    before, after, swapped = changes(
        sources.ensemble, sources.identity_of, sources.truth, sources.sides
    )
    text = (
        f"Post-processing swapped the first two answers of {len(swapped):,} of "
        f"{len(sources.ensemble.rows):,} test photos (claims from {CLAIM_SCORE} on)."
    )
    elements = [note(text)]
    if before and after and before.truth:
        names = ("MAP@5", "top 1")
        rows = []
        for judged in (before, after):
            cells = [_interval(measure) for measure in quality(judged) if measure.name in names]
            rows.append((judged.net, *cells))
        elements.append(table("The ensemble before and after", ("", *names), rows))
    if swapped:
        elements.append(_swapped(swapped))
    return "".join(elements)


def _swapped(swapped: Sequence[Change]) -> str:
    """How many swaps mended or broke an answer, and the photos, folded away."""
    verdicts = Counter(change.verdict for change in swapped)
    counts = ", ".join(f"{verdicts[verdict]:,} {verdict}" for verdict in sorted(verdicts))
    rows = [
        (with_jpg(c.photo), c.before, c.after, c.truth or "not known", c.verdict)
        for c in swapped[:MOST_SWAPPED]
    ]
    header = ("photo", "first before", "first after", "true identity", "verdict")
    caption = f"Photos whose first answer changed ({len(rows):,} of {len(swapped):,})"
    drawn = table(caption, header, rows, text=5)
    summary = note(f"First answers: {counts}.")
    return f"{summary}<details><summary>{escape(caption)}</summary>{drawn}</details>"
