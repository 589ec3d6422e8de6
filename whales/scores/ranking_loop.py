"""The inner loop of ranking, compiled: scores of queries in, codes of five answers out."""

# Arguments of compiled functions have no annotations: Numba infers their types, for which Python has no
# names, from each call. Docstrings give shapes and dtypes.
# ruff: noqa: ANN001, ANN201, ANN202, RUF100

from __future__ import annotations

import numba
import numpy as np

from whales.base.compiling import cached_njit

# Codes beside those of identities, which count from 0.
NEW, NONE = -1, -2
_UNLIKE = np.float32(-1)  # in place of a score of unlike sides: below every score


@cached_njit(parallel=True)
def rank_rows(scores, codes, identities, threshold, own_column, sides, column_sides, answers):
    """Fill `answers` (n, 5) int32 by the rule of `whales.scores.ranking.rank`.

    scores: (n, m) float32; codes: (m,) int32, identity of each column; identities: how many there are;
    threshold: float32; own_column: (n,) int64, column whose score counts as 0, or -1; sides, column_sides:
    (n,) and (m,) int32, of rows and columns, 0 for either.
    """
    for row in numba.prange(len(scores)):
        _rank_row(
            scores[row], codes, identities, threshold, own_column[row], sides[row], column_sides,
            answers[row],
        )  # fmt: skip


@cached_njit(parallel=True)
def rank_sparse_rows(
    data, columns, starts, codes, identities, threshold, own_column, sides, column_sides, answers
):
    """`rank_rows` of a CSR: its float32 `data`, their `columns`, and `starts` (n + 1,) of rows.

    The columns of a row are rising: none is stored twice.
    """
    for row in numba.prange(len(answers)):
        stored = slice(starts[row], starts[row + 1])
        scores, row_columns = data[stored], columns[stored]
        own_index = np.searchsorted(row_columns, own_column[row])
        if own_index == len(row_columns) or row_columns[own_index] != own_column[row]:
            own_index = -1
        least = _rank_row(
            scores, codes[row_columns], identities, threshold, own_index, sides[row],
            column_sides[row_columns], answers[row],
        )  # fmt: skip
        if threshold < 0 or least <= 0:
            # Columns whose score is not stored, so 0, count for the answers too.
            whole = np.zeros(len(codes), np.float32)
            whole[row_columns] = scores
            _rank_row(
                whole, codes, identities, threshold, own_column[row], sides[row], column_sides,
                answers[row],
            )  # fmt: skip


@cached_njit()
def _rank_row(scores, codes, identities, threshold, own_column, side, column_sides, answers):
    """Rank one row (m,) of scores into `answers` (5,); returns the lowest score that gave an answer.

    That is `-inf` where there are too few identities, `inf` where all answers are above the threshold.
    """
    columns, wanted = len(scores), len(answers)
    sums = np.zeros(identities, np.float64)
    chosen = np.zeros(identities, np.bool_)
    # Identities with a score above the threshold, by their first such column.
    above = np.empty(columns, np.int32)
    above_count = 0
    for column in range(columns):
        score = scores[column]
        if score > threshold and column != own_column and _like(side, column_sides[column]):
            code = codes[column]
            if not chosen[code]:
                chosen[code] = True
                above[above_count] = code
                above_count += 1
            sums[code] += score
    filled = 0
    chosen[:] = False
    while filled < min(above_count, wanted):
        best = -1
        for index in range(above_count):
            code = above[index]
            if not chosen[code] and (best < 0 or sums[code] > sums[best]):
                best = code
        chosen[best] = True
        answers[filled] = best
        filled += 1
    if filled < wanted:
        answers[filled] = NEW
        filled += 1
    least = np.float32(np.inf)
    while filled < wanted:
        best, highest = -1, np.float32(-np.inf)
        for column in range(columns):
            score = np.float32(0) if column == own_column else scores[column]
            if score > highest and not chosen[codes[column]]:
                if not _like(side, column_sides[column]):
                    score = _UNLIKE
                if score > highest:
                    best, highest = codes[column], score
        least = highest
        if best < 0:
            break
        chosen[best] = True
        answers[filled] = best
        filled += 1
    answers[filled:] = NONE
    return least


@cached_njit()
def _like(first, second):
    """Whether photos of two sides can be compared; 0 is like all."""
    return first == second or first == 0 or second == 0
