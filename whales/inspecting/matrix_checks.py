"""Whether score matrices are sound, how good they are, and a photo's best matches in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from whales.files.dataset import known_photos
from whales.files.folds import FOLDS
from whales.files.matrices import ScoreMatrix, dense
from whales.inspecting.contents import Content, Scores
from whales.inspecting.findings import Finding, Panel, Percent, Range, Share
from whales.inspecting.tables import Tables
from whales.scores.best_photos import mark_own, own_columns
from whales.scores.ranking import validation_map
from whales.scores.root_scores import known_map5

ROWS = 512  # of a matrix that are looked at at once
_ROUNDING = 1e-6  # by which a mean of float32 scores may pass 1
MATCHES = 3  # best matches of a photo that are told


def check_matrix(finding: Finding, content: Content, tables: Tables, head: int) -> None:
    """Add to `finding` what a score matrix is, its faults, and the best matches of its first rows."""
    matrix, key, stated = content.value
    scores, rows, columns = matrix
    if scores.shape != (len(rows), len(columns)):
        finding.faults.append(
            f"scores {scores.shape} do not fit {len(rows)} x {len(columns)} names"
        )
        return
    parts = fold_parts(rows) if key.startswith("val") else [slice(0, len(rows))]
    _names(finding, rows, columns, parts, tables)
    _values(finding, scores)
    if finding.faults:
        return  # MAP@5 of unsound scores says nothing
    _map5(finding, content.value, parts, tables)
    if stated is not None:
        finding.facts["stated"] = float(stated)
    finding.panel = Panel("histogram", "best score of each row", _best(matrix))
    for place in range(min(head, len(rows))):
        finding.head.append((rows[place], tell_matches(matches(matrix, place, MATCHES), tables)))


def _names(
    finding: Finding,
    rows: Sequence[str],
    columns: Sequence[str],
    parts: Sequence[slice],
    tables: Tables,
) -> None:
    """Rows are valid or test photos; columns are the known photos, those with an identity and a box."""
    finding.facts["size"] = f"{len(rows):,} x {len(columns):,}"
    tables.cover(finding, rows, boxed=True)
    if tables.train is not None:
        labels = tables.train
        known = known_photos(labels, labels if tables.boxed is None else tables.boxed)
        finding.facts["known columns"] = Share(len({*known} & {*columns}), len(known))
        everyone = {*labels, *(tables.test or columns)}
        finding.blame("columns that no table has", sorted({*columns} - everyone))
    for part in parts:
        twice(finding, "rows", rows[part])
    twice(finding, "columns", columns)


def twice(finding: Finding, what: str, names: Sequence[str]) -> None:
    """Add the fault that `names` hold some of them more than once."""
    finding.blame(f"{what} twice", [name for name, count in Counter(names).items() if count > 1])


def _best(matrix: ScoreMatrix) -> np.ndarray:
    """Each row's best score, (n,)."""
    starts = range(0, len(matrix.rows), ROWS)
    return np.concatenate([without_own(rows_of(matrix, start)).max(axis=1) for start in starts])


def rows_of(matrix: ScoreMatrix, start: int) -> ScoreMatrix:
    """`ROWS` rows of a matrix, from `start` on."""
    part = slice(start, start + ROWS)
    return ScoreMatrix(matrix.scores[part], matrix.rows[part], matrix.columns)


def without_own(matrix: ScoreMatrix) -> np.ndarray:
    """A dense copy (n, m) float32 of scores, -1 where a photo meets itself."""
    scores = dense(matrix.scores).astype(np.float32)
    return mark_own(scores, own_columns(matrix.rows, matrix.columns), -1)


def _values(finding: Finding, scores: Any) -> None:
    """Ranges of the scores (n, m), a block of rows at a time."""
    if not all(scores.shape):
        finding.faults.append("it has no scores")
        return
    if sparse.issparse(scores):
        try:
            scores.check_format(full_check=True)
        except ValueError as reason:
            finding.faults.append(f"damaged sparse matrix: {reason}")
            return
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


def fold_parts(rows: Sequence[str]) -> list[slice]:
    """The folds' rows in a stack of valid matrices: rows are sorted by name within each fold."""
    breaks = [place for place in range(1, len(rows)) if rows[place] <= rows[place - 1]]
    if len(breaks) >= FOLDS:
        return [slice(0, len(rows))]
    return [slice(*ends) for ends in zip([0, *breaks], [*breaks, len(rows)], strict=True)]


def _map5(finding: Finding, content: Scores, parts: Sequence[slice], tables: Tables) -> None:
    """MAP@5 of valid photos by fold; of test photos, where the root has their answers, of known whales."""
    scores, rows, columns = content.matrix
    labels = tables.train or {}
    if not set(columns) <= labels.keys():
        return
    if set(rows) <= labels.keys():
        folds = [validation_map(scores[p], rows[p], columns, labels) for p in parts]
        sizes = [part.stop - part.start for part in parts]
        finding.facts["MAP@5"] = float(np.average(folds, weights=sizes))
        if len(folds) > 1:
            finding.facts["MAP@5 by fold"] = folds
        return
    truth = tables.truth
    if set(rows) <= truth.keys():
        finding.facts["MAP@5 known"] = known_map5("", content.matrix, labels, truth).map5


def matches(matrix: ScoreMatrix, row: int, count: int) -> list[tuple[str, float]]:
    """The `count` columns (stems) with the best scores of a row, its own photo left out."""
    alone = ScoreMatrix(matrix.scores[row : row + 1], matrix.rows[row : row + 1], matrix.columns)
    scores = without_own(alone)[0]
    order = np.argsort(-scores, kind="stable")[:count]
    return [(matrix.columns[place], float(scores[place])) for place in order if scores[place] >= 0]


def tell_matches(found: Sequence[tuple[str, float]], tables: Tables, between: str = ", ") -> str:
    """Matches as text: score, photo, identity."""
    labels = tables.train or {}
    told = (f"{score:.4f} {name} {labels.get(name, '')}".rstrip() for name, score in found)
    return between.join(told)
