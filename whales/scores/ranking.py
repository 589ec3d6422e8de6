"""From score matrices to five answers a photo (method, sections 5 and 7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from whales.files.labels import NEW_WHALE
from whales.files.matrices import Scores
from whales.files.sides import NO_SIDES, PairSides, Sides
from whales.files.submissions import ANSWERS
from whales.scores.best_photos import own_columns
from whales.scores.metrics import mapk

VALIDATION_THRESHOLD = 0.99
ENSEMBLE_THRESHOLD = 0.7
# Post-processing: a known photo claims its best test photo from this score on ...
CLAIM_SCORE = 0.46
# ... and a claim weaker than this one is skipped where its identity already crowds the second places.
CROWDED_SCORE = 0.6
CROWD = 3
# Rows of a dense matrix that are ranked at once, since it may be larger than memory or of another type.
_ROWS = 512


def rank(
    scores: Scores,
    identities: Sequence[str],
    threshold: float,
    own_column: np.ndarray | None = None,
    sides: PairSides | None = None,
) -> list[list[str]]:
    """Five answers for each query, best first (method, section 5).

    `scores`: (n, m) float32 pair scores against the known photos, dense or CSR; `identities`: of the m
    known photos; `own_column`: (n,) int, the column whose score counts as 0, or -1; `sides`: of queries and
    known photos, None where none are known.
    Scores above `threshold` are summed per identity, and identities ranked by that sum; then, if
    fewer than five, comes `new_whale`; then identities by their best score until there are five. Ties
    go to the identity whose first photo of that score comes first. A score of unlike sides does not count:
    an identity that has no other comes behind all that have one. ValueError where m differs.

    >>> rank(np.array([[0.5, 0.75, 0.5, 0.25]], np.float32), ["w_1", "w_2", "w_1", "w_3"], 0.375)
    [['w_1', 'w_2', 'new_whale', 'w_3']]
    """
    from whales.scores.ranking_loop import NEW, NONE, rank_rows, rank_sparse_rows

    count, columns = scores.shape
    if columns != len(identities):
        raise ValueError(f"expected scores of {len(identities)} known photos, received {columns}")
    code_of = {identity: code for code, identity in enumerate(dict.fromkeys(identities))}
    codes = np.array([code_of[identity] for identity in identities], np.int32)
    if own_column is None:
        own_column = np.full(count, -1)
    if sides is None:
        sides = PairSides(np.zeros(count, np.int32), np.zeros(columns, np.int32))
    answers = np.empty((count, ANSWERS), np.int32)
    rule = (codes, len(code_of), np.float32(threshold))
    if sparse.issparse(scores):
        rows = sparse.csr_matrix(scores, dtype=np.float32)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        stored = rows.data, rows.indices, rows.indptr
        rank_sparse_rows(*stored, *rule, own_column, *sides, answers)
    else:
        for start in range(0, count, _ROWS):
            rows = slice(start, start + _ROWS)
            block = np.asarray(scores[rows], np.float32)
            rank_rows(
                block, *rule, own_column[rows], sides.rows[rows], sides.columns, answers[rows]
            )
    name_of = {**dict(enumerate(code_of)), NEW: NEW_WHALE}
    return [[name_of[code] for code in row if code != NONE] for row in answers.tolist()]


def validation_map(
    scores: Scores,
    row_names: Sequence[str],
    column_names: Sequence[str],
    identity_of: dict[str, str],
    threshold: float = VALIDATION_THRESHOLD,
    sides: Sides = NO_SIDES,
) -> float:
    """MAP@5 of validation photos against known photos; a photo against itself counts 0.

    `scores`: (n, m) float32; names: stems, n and m; `identity_of`: stem -> identity or `new_whale`; `sides`:
    of the photos.
    """
    identities = [identity_of[name] for name in column_names]
    own_column, pairs = own_columns(row_names, column_names), sides.of(row_names, column_names)
    answers = rank(scores, identities, threshold, own_column, pairs)
    return mapk([identity_of[name] for name in row_names], answers)


def post_process(
    answers: list[list[str]], scores: Scores, identities: Sequence[str]
) -> tuple[list[list[str]], int]:
    """Let each known photo claim the test photo that it scores highest with (method, section 7).

    `answers`: five for each of n test photos; `scores`: (n, m) float32, dense or CSR; `identities`: of
    the m known photos.
    Returns new answers and the number of photos whose first and second answers were swapped.

    >>> scores = np.array([[0.75, 0.0], [0.5, 0.25]], np.float32)
    >>> post_process([["w_2", "w_1"], ["w_2", "w_1"]], scores, ["w_1", "w_2"])
    ([['w_1', 'w_2'], ['w_2', 'w_1']], 1)
    """
    claims = _claims(scores, identities)
    firsts = Counter(row[0] for row in answers)
    seconds = Counter(row[1] for row in answers if len(row) > 1)
    swapped = 0
    result = [list(row) for row in answers]
    for test_photo, (claimed, score) in claims.items():
        first, second = answers[test_photo][:2]
        if claimed == first or claimed != second:
            continue
        crowded = seconds[claimed] == CROWD and score < CROWDED_SCORE
        if first == NEW_WHALE and (firsts[claimed] or crowded):
            continue
        result[test_photo][:2] = [second, first]
        swapped += 1
    return result, swapped


def _claims(scores: Scores, identities: Sequence[str]) -> dict[int, tuple[str, np.float32]]:
    """The strongest claim on each test photo that is claimed: row -> (identity, score)."""
    entries = sparse.coo_matrix(scores)
    strong = entries.data >= np.float32(CLAIM_SCORE)
    rows, columns, values = entries.row[strong], entries.col[strong], entries.data[strong]
    order = np.lexsort((rows, -values, columns))
    # The first of each column is its best row, the earlier one on ties.
    order = order[np.unique(columns[order], return_index=True)[1]]
    claims: dict[int, tuple[str, np.float32]] = {}
    for row, column, score in zip(rows[order], columns[order], values[order], strict=True):
        claim, identity = claims.get(row), identities[column]
        if claim is None or (claim[0] != identity and score > claim[1]):
            claims[row] = (identity, score)
    return claims
