"""Whether score matrices are sound, how good they are, and a photo's best matches in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from whales.base.errors import UserError
from whales.files.dataset import known_photos
from whales.files.folds import FOLDS
from whales.files.matrices import ScoreMatrix, dense
from whales.files.root_matrices import check_origin
from whales.inspecting.contents import Content, Scores
from whales.inspecting.findings import Finding, Panel, Percent, Range, Share
from whales.inspecting.root_tables import RootTables
from whales.scores.best_photos import like_everybody, mark_own, most_often, own_columns
from whales.scores.ranking import validation_map
from whales.scores.root_scores import known_map5

ROWS = 512  # of a matrix that are looked at at once
_ROUNDING = 1e-6  # by which a mean of float32 scores may pass 1
MATCHES = 3  # best matches of a photo that are shown


def check_matrix(finding: Finding, content: Content[Scores], tables: RootTables, head: int) -> None:
    """Add to `finding` what a score matrix is, its faults, and the best matches of its first rows."""
    matrix, key, stated = content.value
    rows, columns = matrix.rows, matrix.columns
    if matrix.scores.shape != (len(rows), len(columns)):
        finding.faults.append(
            f"scores {matrix.scores.shape} do not fit {len(rows)} x {len(columns)} names"
        )
        return
    if finding.faults:
        return  # scores of another type than ours
    _origin(finding, content, tables)
    folds = fold_slices(rows) if key.startswith("val") else [slice(0, len(rows))]
    _names(finding, rows, columns, folds, tables)
    _values(finding, matrix)
    if finding.faults:
        return  # MAP@5 of unsound scores says nothing
    _map5(finding, matrix, folds, tables)
    if stated is not None:
        finding.facts["stated"] = float(stated)
    scores, best = _best(matrix)
    _most_often_best(finding, matrix, best)
    finding.panel = Panel("histogram", "best score of each row", scores, "rows")
    for row in range(min(head, len(rows))):
        finding.head.append((rows[row], matches_text(matches(matrix, row, MATCHES), tables)))


def _origin(finding: Finding, content: Content[Scores], tables: RootTables) -> None:
    """Add the fault that a matrix of the work root is not the one that its name says."""
    path = content.path.absolute()
    if tables.workspace.origin(path):
        try:
            check_origin(tables.workspace, path)
        except UserError as reason:
            finding.faults.append(str(reason))


def _names(
    finding: Finding,
    rows: Sequence[str],
    columns: Sequence[str],
    folds: Sequence[slice],
    tables: RootTables,
) -> None:
    """Check the names: rows are valid or test photos, columns the photos with an identity and a box."""
    finding.facts["size"] = f"{len(rows):,} x {len(columns):,}"
    tables.cover(finding, rows, boxed=True)
    if tables.train is not None:
        labels = tables.train
        known = known_photos(labels, labels if tables.boxed is None else tables.boxed)
        finding.facts["known columns"] = Share(len({*known} & {*columns}), len(known))
        listed = {*labels, *(tables.test or columns)}
        finding.blame("columns that no table has", sorted({*columns} - listed))
    for fold in folds:
        twice(finding, "rows", rows[fold])
    twice(finding, "columns", columns)


def twice(finding: Finding, noun: str, names: Sequence[str]) -> None:
    """Add the fault that some of `names` come more than once; `noun`: for what they name."""
    finding.blame(f"{noun} twice", [name for name, count in Counter(names).items() if count > 1])


def _best(matrix: ScoreMatrix) -> tuple[np.ndarray, np.ndarray]:
    """The best score of each row, (n,) float32, and its column, (n,) int64."""
    scores, columns = [], []
    for start in range(0, len(matrix.rows), ROWS):
        block = without_own(rows_of(matrix, start))
        columns.append(block.argmax(axis=1))
        scores.append(np.take_along_axis(block, columns[-1][:, None], axis=1)[:, 0])
    return np.concatenate(scores), np.concatenate(columns)


def _most_often_best(finding: Finding, matrix: ScoreMatrix, best: np.ndarray) -> None:
    """Add which photo is the best match of most rows; a fault where of too many. best: columns (n,)."""
    names = [matrix.columns[column] for column in best]
    name, count = most_often(names)
    finding.facts["best for most rows"] = f"{name}, {count:,} of {len(names):,}"
    odd = like_everybody(names)
    if odd:
        finding.faults.append(odd)


def rows_of(matrix: ScoreMatrix, start: int) -> ScoreMatrix:
    """`ROWS` rows of a matrix, from `start` on."""
    block = slice(start, start + ROWS)
    return ScoreMatrix(matrix.scores[block], matrix.rows[block], matrix.columns)


def without_own(matrix: ScoreMatrix) -> np.ndarray:
    """A dense copy (n, m) float32 of scores, -1 where a photo meets itself."""
    scores = dense(matrix.scores).astype(np.float32)
    return mark_own(scores, own_columns(matrix.rows, matrix.columns), -1)


def _values(finding: Finding, matrix: ScoreMatrix) -> None:
    """Check the scores, a block of rows at a time."""
    scores = matrix.scores
    if not all(scores.shape):
        finding.faults.append("it has no scores")
        return
    if isinstance(scores, sparse.csr_matrix):
        blocks = [scores.data] if scores.nnz else []
        filled = int(np.count_nonzero(scores.data))
    else:
        blocks = [scores[start : start + ROWS] for start in range(0, len(scores), ROWS)]
        filled = sum(int(np.count_nonzero(block)) for block in blocks)
    cells = scores.shape[0] * scores.shape[1]
    bad = sum(int((~np.isfinite(block)).sum()) for block in blocks)
    lows, highs = [float(np.nanmin(b)) for b in blocks], [float(np.nanmax(b)) for b in blocks]
    if filled < cells:
        lows, highs = [*lows, 0.0], [*highs, 0.0]
    finding.facts["scores"] = Range(min(lows), max(highs))
    finding.facts["zeros"] = Percent((cells - filled) / cells)
    if bad:
        finding.faults.append(f"{bad:,} scores are NaN or infinite")
    if min(lows) < -_ROUNDING or max(highs) > 1 + _ROUNDING:
        finding.faults.append(f"scores outside 0 to 1: {min(lows):.4f} to {max(highs):.4f}")


def fold_slices(rows: Sequence[str]) -> list[slice]:
    """The rows of each fold in a stack of valid matrices: rows are sorted by name within each fold."""
    breaks = [row for row in range(1, len(rows)) if rows[row] <= rows[row - 1]]
    if len(breaks) >= FOLDS:
        return [slice(0, len(rows))]
    return [slice(*ends) for ends in zip([0, *breaks], [*breaks, len(rows)], strict=True)]


def _map5(
    finding: Finding, matrix: ScoreMatrix, folds: Sequence[slice], tables: RootTables
) -> None:
    """Add MAP@5 of valid photos by fold; of test photos of known whales, where the root has the answers."""
    scores, rows, columns = matrix
    labels = tables.train or {}
    if not set(columns) <= labels.keys():
        return
    if set(rows) <= labels.keys():
        by_fold = [validation_map(scores[fold], rows[fold], columns, labels) for fold in folds]
        sizes = [fold.stop - fold.start for fold in folds]
        finding.facts["MAP@5"] = float(np.average(by_fold, weights=sizes))
        if len(by_fold) > 1:
            finding.facts["MAP@5 by fold"] = by_fold
        return
    truth = tables.truth
    if set(rows) <= truth.keys():
        finding.facts["MAP@5 known"] = known_map5("", matrix, labels, truth).map5


def matches(matrix: ScoreMatrix, row: int, count: int) -> list[tuple[str, float]]:
    """The `count` columns (stems) with the best scores of a row, its own photo left out."""
    alone = ScoreMatrix(matrix.scores[row : row + 1], matrix.rows[row : row + 1], matrix.columns)
    scores = without_own(alone)[0]
    order = [column for column in np.argsort(-scores, kind="stable")[:count] if scores[column] >= 0]
    return [(matrix.columns[column], float(scores[column])) for column in order]


def matches_text(
    pairs: Sequence[tuple[str, float]], tables: RootTables, separator: str = ", "
) -> str:
    """Matches (photo, score) as text: score, photo, identity."""
    labels = tables.train or {}
    texts = (f"{score:.4f} {name} {labels.get(name, '')}".rstrip() for name, score in pairs)
    return separator.join(texts)
