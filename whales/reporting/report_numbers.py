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
from whales.nets.net import title_of
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
from whales.scores.calibration import (
    FITTED_IDENTITIES,
    Bin,
    cross_fitted,
    evidence,
    fit_curves,
    joined,
)
from whales.scores.evaluation import CONFIDENCE, Measure
from whales.scores.ranking import CLAIM_SCORE, ENSEMBLE_THRESHOLD, VALIDATION_THRESHOLD
from whales.scores.root_scores import kernel_fold_map5

FEW_PHOTOS = 10  # fewer are marked: their numbers are hints
MOST_SWAPPED = 200  # photos in the table of what post-processing changed
_WHOLE = ("test", "all folds")
_BEST = ("ensemble", BOTH)  # what comes first


def opening(sources: Sources) -> str:
    """How often the right whale is named, in one sentence that a person can repeat; "" without answers."""
    judged, _ = _judged(sources)
    if not judged:
        return ""
    best = judged[0]
    measured = {measure.name: measure.value for measure in quality(best)}
    number = len(best.truth)
    photos = f"{number:,} test photo" if best.photos == "test" else f"{number:,} validation photo"
    asked = "" if best.photos in _WHOLE else f" of {best.photos}"
    few = " So few photos give a hint, no measure." if number < FEW_PHOTOS else ""
    text = (
        f"The right whale is first for {measured['top 1']:.0%} and among the first five for "
        f"{measured['top 5']:.0%} of {photos}{'s' * (number != 1)}{asked} ({title_of(best.net)}).{few}"
    )
    return f'<p class="sentence">{escape(text)}</p>'


def _judged(sources: Sources) -> tuple[list[Judged], list[str]]:
    """All answers to photos whose identity is known, the ensemble's and those to most photos first; what
    is missing, in words.
    """
    judged, absent = sources.tested
    if sources.truth is None:
        absent = [*absent, "the true identities of the test photos (test_labels.csv)"]
    try:
        judged = [*sources.held_out.judged, *judged]
        absent = [*sources.held_out.absent, *absent]
    except UserError as reason:
        absent = [str(reason), *absent]

    def order(row: Judged) -> tuple[bool, bool, int]:
        rank = _BEST.index(row.net) if row.net in _BEST else len(_BEST)
        return row.photos not in _WHOLE, row.photos != "test", rank

    return sorted((row for row in judged if row.truth), key=order), absent


def _number(photos: int) -> str:
    """How many photos, with a mark where they are few."""
    return f"{photos:,}" + " *" * (photos < FEW_PHOTOS)


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
    kept, absent = _judged(sources)
    elements = [sources.absent(absent)]
    if kept:
        text = (
            f"Each number with its {CONFIDENCE:.0%} interval (bootstrap over photos, {SAMPLES} samples). "
            f"Folds are ranked with the threshold {VALIDATION_THRESHOLD}, the {BOTH} with "
            f"{ENSEMBLE_THRESHOLD}. Top k: the right answer is among the first k. "
            f"*: fewer than {FEW_PHOTOS} photos, so that the number is a hint and no measure."
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
    names = [measure.name for measure in qualities[0]]

    def drawn(caption: str, shown: Sequence[str]) -> str:
        rows = []
        for row, measures in zip(judged, qualities, strict=True):
            cells = [_interval(measure) for measure in measures if measure.name in shown]
            rows.append((title_of(row.net), row.photos, _number(len(row.truth)), *cells))
        return table(caption, ("net", "photos", "number", *shown), rows, text=2)

    # No wider than a window: what is asked first, and the rest on demand.
    first, ranks = ["MAP@5", "top 1", "top 5"], ["top 2", "top 3", "top 4"]
    others = [name for name in names if name not in first + ranks]
    more = drawn("Top 2 to 4", ranks) + drawn("Known and new whales", others)
    summary = "<summary>Top 2 to 4, known and new whales</summary>"
    return drawn("By net and photos", first) + f"<details>{summary}{more}</details>"


def _groups_table(judged: Sequence[Judged]) -> str:
    whole = [row for row in judged if row.photos in _WHOLE] or list(judged)
    rows = []
    for row in whole:
        for group, measures in by_photos(row):
            by_name = {measure.name: measure for measure in measures}
            cells = [_interval(by_name[name]) for name in ("MAP@5", "top 1", "top 5")]
            rows.append((title_of(row.net), row.photos, group, _number(measures[0].photos), *cells))
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
    net = title_of(net)
    title = f"{net}: scores of pairs of one whale and of two whales"
    return f"<figcaption>{escape(net)}</figcaption>" + charts.histogram(
        title, f"pair score ({net})", "share of pairs", groups, log=True
    )


def _trade_chart(net: str, trade: Tradeoff, in_force: Mapping[str, float]) -> str:
    net = title_of(net)
    drawn = {name: (trade.thresholds, values) for name, values in _measures(trade).items()}
    title = f"{net}: new_whale trade-off"
    return charts.lines(title, f"threshold ({net})", {"share": drawn}, in_force)


def _trade_table(net: str, trade: Tradeoff) -> str:
    measures = _measures(trade)
    rows = [
        (f"{threshold:g}", *(f"{values[index]:.3f}" for values in measures.values()))
        for index, threshold in enumerate(trade.thresholds)
    ]
    caption = f"{title_of(net)}: what each threshold gives"
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
        f"Venn-Abers predictors make probabilities of the valid photos' scores ({BOTH}); "
        "<code>tools/identify.py</code> does the same with all nets that it has. Here each fold's photos are "
        "judged by the curves of the other folds (a photo counts in the first that holds it out), the "
        f"{FITTED_IDENTITIES} best identities of each photo. Well calibrated, what is said comes true as "
        "often: the diagonal lies within the intervals (Wilson, 95%), which are wide where photos are few. "
        + escape(evidence(*fit_curves(joined(folds))))
    )
    same, new = cross_fitted(folds)
    kinds = {"the same whale": same, "a new whale": new}
    drawn = {
        name: ([group.predicted for group in bins], [group.right for group in bins])
        for name, bins in kinds.items()
    }
    panel = {"share that came true": {**drawn, "as said": ([0.0, 1.0], [0.0, 1.0])}}
    intervals = {name: [group.interval for group in bins] for name, bins in kinds.items()}
    chart = charts.lines(
        "Reliability of probabilities", "probability that was said", panel, intervals=intervals
    )
    tables = "".join(_reliability_table(kind, bins) for kind, bins in kinds.items())
    return note(text) + side_by_side([chart]) + tables


def _reliability_table(kind: str, bins: Sequence[Bin]) -> str:
    if not bins:
        return note(
            f"Probability of {kind}: no information, since these photos tell nothing of it."
        )
    rows = []
    for one in bins:
        low, high = one.interval
        came_true = f"{one.right:.3f} ({low:.3f} to {high:.3f})"
        rows.append((f"{one.predicted:.3f}", came_true, _number(one.count)))
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
        elements.append(_swapped(swapped, sources.names))
    return "".join(elements)


def _swapped(swapped: Sequence[Change], names: Mapping[str, str]) -> str:
    """How many swaps mended or broke an answer, and the photos, folded away; names: as people write them."""
    verdicts = Counter(change.verdict for change in swapped)
    counts = ", ".join(f"{verdicts[verdict]:,} {verdict}" for verdict in sorted(verdicts))
    rows = []
    for c in swapped[:MOST_SWAPPED]:
        called = [names.get(who, who) for who in (c.before, c.after, c.truth or "not known")]
        rows.append((with_jpg(c.photo), *called, c.verdict))
    header = ("photo", "first before", "first after", "true identity", "verdict")
    caption = f"Photos whose first answer changed ({len(rows):,} of {len(swapped):,})"
    drawn = table(caption, header, rows, text=5)
    summary = note(f"First answers: {counts}.")
    return f"{summary}<details><summary>{escape(caption)}</summary>{drawn}</details>"
