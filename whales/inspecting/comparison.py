"""Differences of two files of one kind, and all that files know of one photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from whales.base.errors import UserError
from whales.files.boxes import Box, iou
from whales.files.labels import NEW_WHALE, identities_of, read_labels, stem
from whales.files.matrices import ScoreMatrix, dense
from whales.files.submissions import ANSWERS, read_submission, read_submission_of_any
from whales.inspecting import contents
from whales.inspecting.contents import Content, ImportRows, read
from whales.inspecting.findings import Finding, Panel, Percent, Range
from whales.inspecting.matrix_checks import MATCHES, ROWS, matches, matches_text, without_own
from whales.inspecting.root_tables import RootTables, subject

_IOUS = (0.5, 0.75, 0.9)  # where the IoU's table is divided
_WITHIN = (5, 10, 100)  # ranks that rank changes are counted to


def compare(first: Content, second: Content, tables: RootTables, head: int = 0) -> Finding:
    """Differences of two files of one kind, with the `head` photos that differ most.

    `UserError` for files of unlike kinds, of a kind that is not compared, or without a common photo.
    """
    names = [subject(tables.workspace, content.path) for content in (first, second)]
    if first.kind != second.kind:
        pair = f"{names[0]} ({first.kind}) and {names[1]} ({second.kind})"
        raise UserError(f"{pair} are unlike: compare two files of one kind")
    if first.kind not in _COMPARED:
        raise UserError(f"{names[0]}: {first.kind}; only {', '.join(_COMPARED)} are compared")
    finding = Finding(f"{names[0]} and {names[1]}", f"{first.kind} compared")
    _COMPARED[first.kind](finding, first, second, tables, head)
    return finding


def _common(finding: Finding, first: Iterable[str], second: Iterable[str], noun: str) -> list[str]:
    """Names that both have, in the order of `first`; counted among the facts. `noun`: for what they name.

    `UserError` where there are none.
    """
    names, others = list(dict.fromkeys(first)), dict.fromkeys(second)
    common = [name for name in names if name in others]
    finding.facts[f"{noun} in both"] = len(common)
    finding.facts[f"{noun} only in the first"] = len(names) - len(common)
    finding.facts[f"{noun} only in the second"] = len(others) - len(common)
    if not common:
        raise UserError(f"{finding.subject} have no {noun} in common")
    return common


def _boxes(
    finding: Finding, first: Content, second: Content, tables: RootTables, head: int
) -> None:
    before, after = _first_boxes(first), _first_boxes(second)
    names = _common(finding, before, after, "photos")
    overlaps = np.array([iou(before[name], after[name])[0, 0] for name in names])
    equal = sum(tuple(before[name]) == tuple(after[name]) for name in names)
    finding.facts |= {"same box": equal, "IoU mean": float(overlaps.mean())}
    finding.facts["IoU median"] = float(np.median(overlaps))
    finding.facts["IoU"] = Range(float(overlaps.min()), float(overlaps.max()))
    edges = (0.0, *_IOUS, np.inf)
    for low, high in pairwise(edges):
        name = f"IoU {low:g} and more" if high == np.inf else f"IoU {low:g} to {high:g}"
        finding.facts[name] = int(((overlaps >= low) & (overlaps < high)).sum())
    finding.panel = Panel("histogram", "IoU of the two boxes", overlaps, "photos")
    for index in np.argsort(overlaps, kind="stable")[:head]:
        name = names[index]
        sides = [" ".join(f"{side:.4g}" for side in boxes[name]) for boxes in (before, after)]
        finding.head.append((name, f"IoU {overlaps[index]:.4f}: {sides[0]} and {sides[1]}"))


def _first_boxes(content: Content) -> Mapping[str, Box]:
    """Photo -> its box; of detections the first, which is the photo's box."""
    if content.kind == contents.DETECTIONS:
        return {name: entries[0][2:] for name, entries in content.value.items() if entries}
    return content.value


def _folds(
    finding: Finding, first: Content, second: Content, tables: RootTables, head: int
) -> None:
    total: Counter[str] = Counter()
    _common(finding, _photos_of(first.value), _photos_of(second.value), "photos")
    for fold in (fold for fold in first.value if fold in second.value):
        before, after = (_sides(content.value[fold]) for content in (first, second))
        names = sorted({*before, *after})
        moves = {name: _move(before.get(name), after.get(name)) for name in names}
        counts = Counter(moves.values())
        total += counts
        finding.facts[fold] = {move: counts[move] for move in _MOVES if counts[move]}
        moved = [f"{name} {move}" for name, move in moves.items() if move != "stay"]
        finding.head += [(fold, ", ".join(moved[:head]))] if moved and head else []
    finding.panel = Panel(
        "bars", "moves, all folds together", {move: total[move] for move in _MOVES}, "photos"
    )


_MOVES = ("stay", "train to valid", "valid to train", "leave", "join")


def _photos_of(splits: contents.Splits) -> set[str]:
    return {name for split in splits.values() for names in split for name in names}


def _sides(split: tuple[list[str], list[str]]) -> dict[str, str]:
    """Photo -> train or valid."""
    train, valid = split
    return dict.fromkeys(train, "train") | dict.fromkeys(valid, "valid")


def _move(before: str | None, after: str | None) -> str:
    if before == after:
        return "stay"
    if after is None:
        return "leave"
    return "join" if before is None else f"{before} to {after}"


def _matrices(
    finding: Finding, first: Content, second: Content, tables: RootTables, head: int
) -> None:
    pair = [content.value.matrix for content in (first, second)]
    for matrix in pair:
        if matrix.scores.shape != (len(matrix.rows), len(matrix.columns)):
            raise UserError(f"{finding.subject}: names and scores do not fit; inspect each alone")
    columns = _common(finding, pair[0].columns, pair[1].columns, "columns")
    rows = _common(finding, pair[0].rows, pair[1].rows, "rows")
    ranks, firsts, total, largest = [], [], 0.0, 0.0
    for start in range(0, len(rows), ROWS):
        names = rows[start : start + ROWS]
        old, new = (without_own(matrix.aligned(names, columns, finding.subject)) for matrix in pair)
        best, best_now = old.argmax(axis=1), new.argmax(axis=1)
        firsts += zip(best, best_now, strict=True)
        kept = np.take_along_axis(new, best[:, None], axis=1)
        ranks.append(1 + (new > kept).sum(axis=1))
        gaps = np.abs(old - new)
        total += gaps.sum(dtype=np.float64)
        largest = max(largest, float(gaps.max()))
    if not np.isfinite(total):
        raise UserError(f"{finding.subject}: scores are NaN or infinite; inspect each alone")
    ranks = np.concatenate(ranks)
    finding.facts["mean difference"] = float(total / (len(rows) * len(columns)))
    finding.facts["largest difference"] = largest
    finding.facts["best match stays"] = Percent((ranks == 1).mean())
    for within in _WITHIN:
        finding.facts[f"within first {within}"] = Percent((ranks <= within).mean())
    finding.facts["rank, median"] = f"{np.median(ranks):g}"
    finding.facts["rank"] = Range(int(ranks.min()), int(ranks.max()))
    finding.panel = Panel(
        "histogram", "log10 of the first's best match's rank", np.log10(ranks), "rows"
    )
    for row in np.argsort(-ranks, kind="stable")[:head]:
        best, best_now = (columns[column] for column in firsts[row])
        text = f"best {best}, now rank {ranks[row]}; best now {best_now}"
        finding.head.append((rows[row], text))


def _submissions(
    finding: Finding, first: Content, second: Content, tables: RootTables, head: int
) -> None:
    pair = [read_submission_of_any(c.path, tables.test_groups) for c in (first, second)]
    before, after = (submission.answers for submission in pair)
    names = _common(finding, before, after, "photos")
    agreement = {}
    for k in range(1, ANSWERS + 1):
        pairs = [({*before[name][:k]}, {*after[name][:k]}) for name in names]
        shares = [len(old & new) / max(len(old), len(new), 1) for old, new in pairs]
        agreement[str(k)] = Percent(np.mean(shares))
        finding.facts[f"agreement at {k}"] = agreement[str(k)]
    differ = [name for name in names if before[name] != after[name]]
    finding.facts["all answers the same"] = Percent(1 - len(differ) / len(names))
    for title, answers in (("first", before), ("second", after)):
        new = sum(answers[name][:1] == [NEW_WHALE] for name in names)
        finding.facts[f"new_whale first in the {title}"] = Percent(new / len(names))
    finding.panel = Panel("bars", "answers that count", agreement, "share that agree")
    for name in differ[:head]:
        finding.head.append((name, f"{' '.join(before[name])}\n{' '.join(after[name])}"))


_COMPARED: dict[str, Callable[[Finding, Content, Content, RootTables, int], None]] = {
    contents.BOXES: _boxes,
    contents.DETECTIONS: _boxes,
    contents.FOLDS: _folds,
    contents.DETECTOR_FOLDS: _folds,
    contents.MATRIX: _matrices,
    contents.SUBMISSION: _submissions,
}


# --- one photo ------------------------------------------------------------------------------------


def photo_finding(
    photo: str, paths: Iterable[Path], tables: RootTables, count: int = MATCHES
) -> tuple[Finding, list[UserError]]:
    """What the tables and files know of a photo, with its `count` best matches in each matrix.

    `photo`: name with or without folder and extension. Files that cannot be read are the second
    result. `UserError` where nothing knows the photo.
    """
    name = stem(photo)
    finding, errors = Finding(name, "photo"), []
    finding.facts |= _of_tables(name, tables)
    boxes: dict[tuple[float, ...], str] = {}  # equal boxes once, by the first file that has it
    size = tables.sizes([name]).get(name)
    if size:
        image = tables.workspace.photo(name)
        finding.facts[subject(tables.workspace, image)] = f"{size[0]} x {size[1]} px"
        finding.panel = Panel("photo", f"{size[0]} x {size[1]} px", (image, boxes), "px")
    for path in paths:
        try:
            content = read(path)
            known = _PHOTO.get(content.kind, _nothing)(content, name, tables, count)
        except UserError as reason:
            errors.append(reason)
            continue
        if known:
            finding.facts[subject(tables.workspace, path)] = known
            if content.kind == contents.BOXES:
                boxes.setdefault(tuple(content.value[name]), path.name)
    if not finding.facts and not errors:
        raise UserError(f"photo {name} is in none of the tables and files")
    return finding, errors


def caches_of(photo: str, tables: RootTables) -> list[Path]:
    """The detector's cache entries of a photo."""
    names = (stem(photo), f"{stem(photo)}_fold_*")
    return [path for n in names for path in tables.workspace.found("detections_cache", name=n)]


def _of_tables(name: str, tables: RootTables) -> dict[str, str]:
    facts = {}
    if name in (tables.train or {}):
        facts["training photo"] = tables.train[name]
    if name in (tables.playground or {}):
        facts["playground photo"] = tables.playground[name]
    if name in (tables.test or []):
        facts["test photo"] = "no identity"
    if name in (tables.playground_test or []):
        facts["playground test photo"] = "no identity"
    return facts


def _box_of(content: Content, name: str, tables: RootTables, count: int) -> str:
    return f"box {_box_text(content.value[name])}" if name in content.value else ""


def _box_text(box: Box) -> str:
    x1, y1, x2, y2 = box
    return f"{x1:g} {y1:g} {x2:g} {y2:g} ({x2 - x1:g} x {y2 - y1:g})"


def _detections_of(content: Content, name: str, tables: RootTables, count: int) -> str:
    return "\n".join(
        f"{entry[1]:.4f} at {' '.join(f'{side:.3f}' for side in entry[2:])}"
        for entry in content.value.get(name, [])
    )


def _cache_of(content: Content, name: str, tables: RootTables, count: int) -> str:
    if content.path.stem.partition("_fold_")[0] != name:
        return ""
    scores = [f"{view.max():.4f}" for view in content.value[1]]
    return f"best scores of the two views {' and '.join(scores)}"


def _folds_of(content: Content, name: str, tables: RootTables, count: int) -> str:
    folds_of_side: dict[str, list[str]] = {}
    for fold, (train, valid) in content.value.items():
        for side, names in (("train", train), ("valid", valid)):
            if name in names:
                folds_of_side.setdefault(side, []).append(fold.split()[-1])
    return ", ".join(f"{side} in {' '.join(folds)}" for side, folds in folds_of_side.items())


def _matches_of(content: Content, name: str, tables: RootTables, count: int) -> str:
    """Best columns of the photo's rows; where it is only a column, its best rows."""
    matrix = content.value.matrix
    if matrix.scores.shape != (len(matrix.rows), len(matrix.columns)):
        return "names and scores do not fit"
    rows = [row for row, photo in enumerate(matrix.rows) if photo == name]
    if not rows and name in matrix.columns:
        turned = _column(matrix, matrix.columns.index(name))
        return "as a column, best row: " + matches_text(matches(turned, 0, 1), tables)
    return "\n".join(matches_text(matches(matrix, row, count), tables, "\n") for row in rows)


def _column(matrix: ScoreMatrix, column: int) -> ScoreMatrix:
    """One column of a matrix as a matrix of one row."""
    scores = dense(matrix.scores[:, [column]])
    return ScoreMatrix(scores.T, [matrix.columns[column]], matrix.rows)


def _answers_of(content: Content, name: str, tables: RootTables, count: int) -> str:
    return " ".join(read_submission(content.path, []).answers.get(name, []))


def _identity_of(content: Content, name: str, tables: RootTables, count: int) -> str:
    return identities_of(read_labels(content.path)).get(name, "")


def _imported_of(content: Content[ImportRows], name: str, tables: RootTables, count: int) -> str:
    row = content.value.get(name)
    return f"{row['identity'] or 'nobody known'}, from {row['original']}" if row else ""


def _nothing(content: Content, name: str, tables: RootTables, count: int) -> str:
    return ""


_PHOTO: dict[str, Callable[[Content, str, RootTables, int], str]] = {
    contents.BOXES: _box_of,
    contents.DETECTIONS: _detections_of,
    contents.DETECTION_CACHE: _cache_of,
    contents.FOLDS: _folds_of,
    contents.DETECTOR_FOLDS: _folds_of,
    contents.MATRIX: _matches_of,
    contents.SUBMISSION: _answers_of,
    contents.LABELS: _identity_of,
    contents.IMPORTED: _imported_of,
}
