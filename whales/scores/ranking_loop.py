"""The inner loop of ranking, compiled: scores of photos in, codes of five answers out."""

from __future__ import annotations

import numba
import numpy as np

# Codes beside those of identities, which count from 0.
NEW, NONE = -1, -2


@numba.njit(parallel=True, cache=True)
def rank_rows(scores, codes, identities, threshold, itself, answers):
    """Fill `answers` (n, 5) int32, one row a photo; the rule is that of `whales.scores.ranking.rank`.

    scores: (n, m) float32; codes: (m,) int32 identity of each column, below `identities`;
    threshold: float32; itself: (n,) int64 column whose score counts as 0, or -1.
    """
    for row in numba.prange(len(scores)):
        _rank_row(scores[row], codes, identities, threshold, itself[row], answers[row])


@numba.njit(parallel=True, cache=True)
def rank_sparse_rows(data, columns, starts, codes, identities, threshold, itself, answers):
    """`rank_rows` of a CSR's scores: its float32 `data`, their `columns`, `starts` (n + 1,) of rows.

    The columns of a row are in order, each there once.
    """
    for row in numba.prange(len(answers)):
        stored = slice(starts[row], starts[row + 1])
        scores, places = data[stored], columns[stored]
        own = np.searchsorted(places, itself[row])
        if own == len(places) or places[own] != itself[row]:
            own = -1
        least = _rank_row(scores, codes[places], identities, threshold, own, answers[row])
        if threshold < 0 or least <= 0:
            # Photos whose score is not stored have a place among the answers.
            whole = np.zeros(len(codes), np.float32)
            whole[places] = scores
            _rank_row(whole, codes, identities, threshold, itself[row], answers[row])


@numba.njit(cache=True)
def _rank_row(scores, codes, identities, threshold, itself, answers):
    """One row (m,) of scores into `answers` (5,); returns the least score that found an answer.

    That is `-inf` where there were too few identities, `inf` where all answers are above the
    threshold.
    """
    columns, places = len(scores), len(answers)
    sums = np.zeros(identities, np.float64)
    chosen = np.zeros(identities, np.bool_)
    # Identities with a score above the threshold, by their first such column.
    above = np.empty(columns, np.int32)
    found = 0
    for column in range(columns):
        score = scores[column]
        if score > threshold and column != itself:
            code = codes[column]
            if not chosen[code]:
                chosen[code] = True
                above[found] = code
                found += 1
            sums[code] += score
    filled = 0
    chosen[:] = False
    while filled < min(found, places):
        best = -1
        for place in range(found):
            code = above[place]
            if not chosen[code] and (best < 0 or sums[code] > sums[best]):
                best = code
        chosen[best] = True
        answers[filled] = best
        filled += 1
    if filled < places:
        answers[filled] = NEW
        filled += 1
    least = np.float32(np.inf)
    while filled < places:
        best, highest = -1, np.float32(-np.inf)
        for column in range(columns):
            score = np.float32(0) if column == itself else scores[column]
            if score > highest and not chosen[codes[column]]:
                best, highest = codes[column], score
        least = highest
        if best < 0:
            break
        chosen[best] = True
        answers[filled] = best
        filled += 1
    answers[filled:] = NONE
    return least
