"""From score matrices to five answers a photo (method, sections 5 and 7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from whales.labels import NEW_WHALE
from whales.metrics import mapk

ANSWERS = 5
VALIDATION_THRESHOLD = 0.99
ENSEMBLE_THRESHOLD = 0.7
# Post-processing: a known photo claims its best test photo from this score on ...
CLAIM_SCORE = 0.46
# ... and a claim weaker than this one is skipped where its identity already crowds the second places.
CROWDED_SCORE = 0.6
CROWD = 3
# Five identities are nearly always among this many best columns; the rest is sorted only if not.
_SORTED_FIRST = 256


def rank_row(scores: np.ndarray, identities: np.ndarray, threshold: float) -> list[str]:
    """Five answers for one photo.

    `scores`: (m,) pair scores against the known photos, `identities`: (m,) their identities.
    Scores above `threshold` are summed per identity, and identities ranked by that sum; then, if
    fewer than five, `new_whale`; then identities by their best score until there are five. Ties go
    to the identity whose photo (the one that sets the tie) comes first.
    """
    above = np.flatnonzero(scores > threshold)
    sums: dict[str, float] = {}
    for column in above:
        identity = identities[column]
        sums[identity] = sums.get(identity, 0.0) + float(scores[column])
    # sorted() is stable, and dicts keep the order of first columns.
    answers = sorted(sums, key=lambda identity: -sums[identity])[:ANSWERS]
    if len(answers) < ANSWERS:
        answers.append(NEW_WHALE)
    chosen = set(answers)
    for column in _by_score(scores):
        if len(answers) == ANSWERS:
            break
        if identities[column] not in chosen:
            chosen.add(identities[column])
            answers.append(identities[column])
    return answers


def _by_score(scores: np.ndarray) -> Iterator[int]:
    """Yield columns by falling score, earlier columns first on ties, sorting only what is asked for."""
    if not len(scores):
        return
    place = len(scores) - min(_SORTED_FIRST, len(scores))
    cut = np.partition(scores, place)[place]
    for compare in (np.greater, np.equal, np.less):
        columns = np.flatnonzero(compare(scores, cut))
        yield from columns[np.argsort(-scores[columns], kind="stable")]


def rank(scores: np.ndarray, identities: Sequence[str], threshold: float) -> list[list[str]]:
    """Five answers for each row of `scores` (n, m); `identities` of the m columns."""
    names = np.asarray(identities, dtype=object)
    return [rank_row(row, names, threshold) for row in scores]


def validation_map(
    scores: np.ndarray,
    row_names: Sequence[str],
    column_names: Sequence[str],
    identity_of: dict[str, str],
    threshold: float = VALIDATION_THRESHOLD,
) -> float:
    """MAP@5 of valid photos against known photos, a photo against itself counting 0.

    `scores`: (n, m) float; names are photo stems; `identity_of`: stem -> identity or `new_whale`.
    """
    column_of = {name: column for column, name in enumerate(column_names)}
    columns = np.asarray([identity_of[name] for name in column_names], dtype=object)
    answers = []
    for row, name in zip(scores, row_names, strict=True):
        if name in column_of:
            row = row.copy()
            row[column_of[name]] = 0
        answers.append(rank_row(row, columns, threshold))
    return mapk([identity_of[name] for name in row_names], answers)


def post_process(
    answers: list[list[str]], scores: np.ndarray, identities: Sequence[str]
) -> tuple[list[list[str]], int]:
    """Let known photos claim the test photo they fit best (method, section 7).

    `answers`: five a test photo, `scores`: (n, m), `identities` of the m known photos in column order.
    Returns new answers and the number of photos whose first and second answers were swapped.
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


def _claims(scores: np.ndarray, identities: Sequence[str]) -> dict[int, tuple[str, np.float32]]:
    """The claim that each test photo ends up with: row -> (identity, score)."""
    claims: dict[int, tuple[str, np.float32]] = {}
    if not scores.size:
        return claims
    best_rows = scores.argmax(axis=0)
    best_scores = scores[best_rows, np.arange(scores.shape[1])]
    for column in np.flatnonzero(best_scores >= CLAIM_SCORE):
        row, score, identity = int(best_rows[column]), best_scores[column], identities[column]
        held = claims.get(row)
        if held is None or (held[0] != identity and score > held[1]):
            claims[row] = (identity, score)
    return claims
