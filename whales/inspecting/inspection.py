"""Whether a file of the pipeline is sound: its names against the work root's tables, and its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from whales.base.errors import UserError
from whales.files.boxes import MIN_SCORE, Box, mirror
from whales.files.changes import present_names, stems_of_contents
from whales.files.dataset import PHOTO_TABLES, check_apart
from whales.files.decisions import (
    Decision,
    name_and_content,
    spelled_alike,
    standing,
    words_of,
)
from whales.files.import_table import IMPORT_COLUMNS, known_names
from whales.files.labels import NEW_WHALE, identities_of, read_labels, stem
from whales.files.submissions import read_submission_of_any, unknown_identities
from whales.files.workspace import Workspace
from whales.inspecting import contents
from whales.inspecting.contents import Content, ImportRows
from whales.inspecting.findings import Finding, Panel, Percent, Range, Share
from whales.inspecting.matrix_checks import check_matrix, twice
from whales.inspecting.root_tables import RootTables, subject
from whales.scores.metrics import mapk

_ROUNDING = 1e-6  # by which a share may pass 1
# Columns of a training's history, and what people read; MAP@5 is not measured after every epoch.
_MEASURED = {
    "loss": "loss", "accuracy": "accuracy", "map5": "MAP@5", "IOU": "IOU", "seconds": "seconds",
}  # fmt: skip
_EVERY_EPOCH = ("loss", "accuracy")


def inspect(content: Content, tables: RootTables, head: int = 0) -> Finding:
    """What a file is and whether it is sound, with its first `head` entries."""
    name = subject(tables.workspace, content.path)
    finding = Finding(name, content.kind, faults=list(content.faults))
    _KINDS[content.kind](finding, content, tables, head)
    return finding


def inspect_all(
    paths: Iterable[Path], tables: RootTables, head: int = 0
) -> tuple[list[Finding], list[UserError]]:
    """Findings of files, one file in memory at a time, and a fault for each that cannot be read."""
    findings, errors = [], []
    for path in paths:
        try:
            findings.append(inspect(contents.read(path), tables, head))
        except UserError as reason:
            errors.append(reason)
    return findings, errors


# --- boxes ----------------------------------------------------------------------------------------


def _boxes(
    finding: Finding, content: Content[dict[str, Box]], tables: RootTables, head: int
) -> None:
    names = list(content.value)
    boxes = np.array(list(content.value.values()), np.float64).reshape(-1, 4)
    finding.facts["photos"] = len(names)
    tables.cover(finding, names)
    sides = boxes[:, 2:] - boxes[:, :2]
    sound = _sound_boxes(finding, names, boxes)
    if sound.any():
        for column, side in enumerate(("width px", "height px")):
            finding.facts[side] = _range(sides[sound, column], whole=True)
        areas = np.prod(sides[sound], axis=1)
        finding.panel = Panel(
            "histogram", "side of a square of the box's area, px", np.sqrt(areas), "boxes"
        )
    sizes = tables.sizes(names)
    limits = np.array([sizes.get(name, (np.inf, np.inf)) for name in names]).reshape(-1, 2)
    outside = np.isfinite(boxes).all(axis=1) & (
        (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > limits).any(axis=1)
    )
    seen = np.isfinite(limits).all(axis=1)
    finding.facts["inside photo"] = (
        Share(int((seen & ~outside).sum()), int(seen.sum())) if seen.any() else "no photos"
    )
    finding.blame(
        "photos with a box outside them", [n for n, out in zip(names, outside, strict=True) if out]
    )
    for name, box in list(content.value.items())[:head]:
        size = " in {} x {}".format(*sizes[name]) if name in sizes else ""
        finding.head.append((name, f"{' '.join(f'{side:g}' for side in box)}{size}"))


def _sound_boxes(finding: Finding, names: Sequence[str], boxes: np.ndarray) -> np.ndarray:
    """Which boxes are finite and not empty; the others become faults of the photos `names`.

    boxes: (n, 4). Returns (n,) bool.
    """
    finite = np.isfinite(boxes).all(axis=1)
    filled = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    pairs = list(zip(names, finite, filled, strict=True))
    finding.blame(
        "photos with NaN in a box", dict.fromkeys(name for name, good, _ in pairs if not good)
    )
    empty = dict.fromkeys(name for name, good, full in pairs if good and not full)
    finding.blame("photos with an empty or inverted box", empty)
    return finite & filled


def _detections(
    finding: Finding, content: Content[contents.Entries], tables: RootTables, head: int
) -> None:
    owners = [name for name, entries in content.value.items() for _ in entries]
    entries_of_all = [entry for entries in content.value.values() for entry in entries]
    rows = np.array(entries_of_all, np.float64).reshape(-1, 6)
    counts = [len(entries) for entries in content.value.values()]
    finding.facts["photos"] = len(counts)
    tables.cover(finding, content.value)
    finding.facts["boxes"] = len(rows)
    if counts:
        finding.facts["a photo"] = Range(min(counts), max(counts))
    # Joining detections of the two views can raise a score above 1.
    _check_detections(finding, owners, rows[:, 2:], rows[:, 1], most=np.inf)
    for name, entries in list(content.value.items())[:head]:
        lines = [f"{e[1]:.4f} at {' '.join(f'{v:.3f}' for v in e[2:])}" for e in entries]
        finding.head.append((name, "\n".join(lines)))


def _check_detections(
    finding: Finding,
    owners: Sequence[str],
    boxes: np.ndarray,
    scores: np.ndarray,
    most: float = 1 + _ROUNDING,
) -> None:
    """Check detections; owners: the photo (stem) of each, boxes: (n, 4) in shares of the sides, scores:
    (n,) confidences, from 0 to `most`.
    """
    _sound_boxes(finding, owners, boxes)
    outside = ((boxes < -_ROUNDING) | (boxes > 1 + _ROUNDING)).any(axis=1)
    named = dict.fromkeys(name for name, out in zip(owners, outside, strict=True) if out)
    finding.blame("photos with a box outside them", named)
    wrong = ~((scores >= 0) & (scores <= most))
    named = dict.fromkeys(name for name, bad in zip(owners, wrong, strict=True) if bad)
    finding.blame("photos with a score out of range", named)
    if len(scores):
        finding.facts["scores"] = _range(scores)
        finding.panel = Panel("histogram", "score of a detection", scores, "detections")


def _detection_cache(
    finding: Finding, content: Content[contents.Views], tables: RootTables, head: int
) -> None:
    boxes, scores, labels = map(np.asarray, content.value)
    if boxes.shape != (*scores.shape, 4) or labels.shape != scores.shape:
        shapes = ", ".join(str(np.shape(array)) for array in content.value)
        finding.faults.append(
            f"boxes, scores and labels should be (2, n, 4), (2, n), (2, n), not {shapes}"
        )
        return
    finding.facts["shape"] = " x ".join(map(str, boxes.shape))
    real = ~(scores < MIN_SCORE)  # padding has the score -1
    finding.facts["detections"] = " + ".join(str(int(view.sum())) for view in real)
    owners = [content.path.stem] * int(real.sum())
    _check_detections(finding, owners, boxes[real], scores[real])
    for view, title in enumerate(("upright", "mirrored")[: len(boxes)]):
        upright = mirror(boxes[view]) if view else boxes[view]
        for index in np.argsort(-scores[view], kind="stable")[:head]:
            if real[view, index]:
                sides = " ".join(f"{value:.3f}" for value in upright[index])
                finding.head.append((title, f"{scores[view, index]:.4f} at {sides}"))


# --- folds ----------------------------------------------------------------------------------------


def _folds(
    finding: Finding, content: Content[contents.Splits], tables: RootTables, head: int
) -> None:
    held_out = {name for _, valid in content.value.values() for name in valid}
    photos = held_out | {name for train, _ in content.value.values() for name in train}
    finding.facts["photos"] = len(photos)
    if tables.train is not None:
        finding.facts["train"] = Share(len(photos & tables.train.keys()), len(tables.train))
        strange = sorted(photos - tables.train.keys())
        finding.blame("photos that are not in train.csv", strange)
    finding.facts["in a valid part"] = Share(len(held_out), len(photos))
    for fold, (train, valid) in content.value.items():
        counts = {"train": len(train), "valid": len(valid)}
        if tables.train is not None:
            counts["new"] = sum(tables.train.get(name) == NEW_WHALE for name in valid)
        finding.facts[fold] = counts
        finding.blame(f"photos in train and valid of {fold}", sorted({*train} & {*valid}))
        for side, names in (("train", train), ("valid", valid)):
            twice(finding, f"photos in {side} of {fold}", names)
            if head:
                finding.head.append((f"{fold} {side}", " ".join(names[:head])))
    sizes = {fold.split()[-1]: len(valid) for fold, (_, valid) in content.value.items()}
    finding.panel = Panel("bars", "fold", sizes, "valid photos")


# --- tables ---------------------------------------------------------------------------------------


def _submission(finding: Finding, content: Content[None], tables: RootTables, head: int) -> None:
    answers, refusals = read_submission_of_any(content.path, tables.test_groups)
    finding.facts["photos"] = len(answers)
    finding.faults += [f"it would be refused: {reason}" for reason in refusals]
    groups = {"test": tables.test, "playground": tables.playground_test}
    for group, names in groups.items():
        count = len(answers.keys() & {*(names or ())})
        if names and count:
            finding.facts[group] = Share(count, len(names))
    counts = [len(ids) for ids in answers.values()]
    finding.facts["answers"] = Range(min(counts, default=0), max(counts, default=0))
    finding.facts["identities"] = len({identity for ids in answers.values() for identity in ids})
    new_ranks = Counter(ids.index(NEW_WHALE) + 1 for ids in answers.values() if NEW_WHALE in ids)
    if answers:
        finding.facts["new first"] = Percent(new_ranks[1] / len(answers))
    if tables.train is not None:
        strange = unknown_identities(answers, set(tables.train.values()))
        strange = set(strange) - set((tables.playground or {}).values())
        finding.facts["unknown ids"] = len(strange)
    truth = tables.truth
    if answers and answers.keys() <= truth.keys():
        truths = [truth[name] for name in answers]
        finding.facts["MAP@5"] = mapk(truths, list(answers.values()))
    bars = {str(rank): new_ranks[rank] for rank in range(1, 6)}
    bars["none"] = len(answers) - sum(new_ranks.values())
    finding.panel = Panel("bars", "rank of new_whale", bars, "photos")
    finding.head = [(name, " ".join(ids)) for name, ids in list(answers.items())[:head]]


def _labels(finding: Finding, content: Content[None], tables: RootTables, head: int) -> None:
    try:
        labels = identities_of(read_labels(content.path))
        keys = [
            key for key in PHOTO_TABLES if tables.workspace.file(key) == content.path.absolute()
        ]
        for key in keys:
            check_apart(tables.workspace, key, labels)
    except UserError as reason:
        finding.faults.append(str(reason))
        return
    groups = Counter(labels.values())
    new = groups.pop(NEW_WHALE, 0)
    finding.facts |= {"photos": len(labels), "identities": len(groups), "new_whale": new}
    finding.facts["seen once"] = sum(count == 1 for count in groups.values())
    if groups:
        finding.facts["photos each"] = Range(min(groups.values()), max(groups.values()))
        finding.panel = Panel(
            "histogram", "photos of an identity", list(groups.values()), "identities"
        )
    tables.cover(finding, labels)
    finding.head = list(labels.items())[:head]


def _history(
    finding: Finding, content: Content[pd.DataFrame], tables: RootTables, head: int
) -> None:
    table = content.value
    finding.facts["epochs"] = len(table)
    numbers = {}
    for column in _MEASURED if len(table) else ():
        if column in table and is_numeric_dtype(table[column]):
            numbers[column] = table[column].to_numpy(np.float64)
        elif column in table:
            finding.faults.append(f"column {column} holds what is no number")
    minutes = numbers.pop("seconds", np.zeros(0)).sum() / 60
    lines = {}
    for column, values in numbers.items():
        if column in _EVERY_EPOCH:
            if column == "loss":
                finding.facts["first loss"] = float(values[0])
            finding.facts[f"last {column}"] = float(values[-1])
            if not np.isfinite(values).all():
                finding.faults.append(f"{column} is NaN or infinite")
            lines[column] = values
        elif np.isfinite(values).any():
            finding.facts[f"best {_MEASURED[column]}"] = float(np.nanmax(values))
            lines[_MEASURED[column]] = values
    if minutes:
        finding.facts["minutes"] = round(float(minutes))
    if lines:
        finding.panel = Panel("lines", "epoch", lines, "loss, and share or MAP@5")
    for number, row in enumerate(table.head(head).to_dict("records"), start=1):
        text = ", ".join(f"{name} {value}" for name, value in row.items() if value == value)
        finding.head.append((str(number), text))


def _decisions(
    finding: Finding, content: Content[list[Decision]], tables: RootTables, head: int
) -> None:
    stacks = standing(content.value, name_and_content)
    last = Counter(stack[-1].decision for stack in stacks.values())
    finding.facts |= {"rows": len(content.value), "photos": len(stacks), "last words": dict(last)}
    finding.facts["people"] = dict(Counter(row.who for row in content.value))
    if tables.test is not None and stacks:
        finding.facts["test photos"] = Share(
            sum(name in {*tables.test} for name, _ in stacks), len(stacks)
        )
    if tables.train is not None:
        finding.facts["people differ"] = Share(
            _differing(finding, content, tables.workspace, tables.train), len(stacks)
        )
    if last:
        finding.panel = Panel("bars", "last words on a photo", dict(last), "photos")
    for (query, _), stack in list(stacks.items())[:head]:
        words = [f"{row.who}: {row.decision} {row.candidate}".strip() for row in stack]
        finding.head.append((query, ", ".join(words)))


def _differing(
    finding: Finding,
    content: Content[list[Decision]],
    workspace: Workspace,
    labels: Mapping[str, str],
) -> int:
    """On how many photos people differ that are not in the catalogue yet; what is no decision is a fault."""
    try:
        present, taken_in = present_names(workspace), stems_of_contents(workspace)
        written = known_names(workspace, labels.values())
    except UserError as reason:
        finding.faults.append(str(reason))
        return 0
    differing, known = 0, {*labels.values(), *present} - {NEW_WHALE}
    for stack in standing(spelled_alike(content.value), name_and_content).values():
        if any(row.query_content in taken_in for row in stack) or stem(stack[-1].query) in labels:
            continue
        try:
            words = words_of(stack, labels, known, content.path.name, written)
        except UserError as reason:
            finding.faults.append(str(reason))
            continue
        differing += len({present.get(word, word) for word in words.values()}) > 1
    return differing


def _imported(
    finding: Finding, content: Content[ImportRows], tables: RootTables, head: int
) -> None:
    rows = content.value
    finding.facts |= {
        "photos": len(rows),
        "parts": dict(Counter(r["split"] for r in rows.values())),
    }
    finding.facts["dated"] = Share(sum(bool(row["date"]) for row in rows.values()), len(rows))
    carried = [column for column in next(iter(rows.values()), {}) if column not in IMPORT_COLUMNS]
    finding.facts["carried columns"] = ", ".join(carried) or "none"
    for name, row in list(rows.items())[:head]:
        finding.head.append((name, f"{row['identity'] or 'nobody known'}, from {row['original']}"))


def _other(finding: Finding, content: Content[None], tables: RootTables, head: int) -> None:
    if tables.workspace.origin(content.path):
        finding.kind = "file of the pipeline that is not looked into"
    finding.facts["type"] = content.described
    if not content.path.is_dir():
        finding.facts["bytes"] = content.path.stat().st_size


def _range(values: np.ndarray, whole: bool = False) -> Range:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return Range(int(low), int(high)) if whole else Range(low, high)


_KINDS: dict[str, Callable[[Finding, Content, RootTables, int], None]] = {
    contents.BOXES: _boxes,
    contents.DETECTIONS: _detections,
    contents.DETECTION_CACHE: _detection_cache,
    contents.FOLDS: _folds,
    contents.DETECTOR_FOLDS: _folds,
    contents.MATRIX: check_matrix,
    contents.SUBMISSION: _submission,
    contents.LABELS: _labels,
    contents.IMPORTED: _imported,
    contents.HISTORY: _history,
    contents.DECISIONS: _decisions,
    contents.OTHER: _other,
}
