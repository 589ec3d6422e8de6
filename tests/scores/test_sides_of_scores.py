"""Ranking, calibration and candidates heed sides: against plain loops, and by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from whales.files.matrices import ScoreMatrix
from whales.files.sides import PairSides, Sides
from whales.reporting.gallery import queries
from whales.reporting.look_alikes import Likeness
from whales.reporting.report_parts import judge_answers, score_counts
from whales.scores.best_photos import KnownPhotos
from whales.scores.calibration import pairs_of
from whales.scores.ranking import post_process, rank, validation_map


def plain_rank(scores, identities, threshold, sides, columns):
    """The rule of `rank` for one query, in plain Python: unlike columns count only when all else is out."""
    like = [not (sides and c and c != sides) for c in columns]
    sums = {}
    for score, who, ok in zip(scores, identities, like, strict=True):
        if ok and score > threshold:
            sums[who] = sums.get(who, 0.0) + float(score)
    answers = sorted(sums, key=lambda who: -sums[who])[:5]  # stable: first seen first
    if len(answers) < 5:
        answers.append("new_whale")
    shown = [score if ok else -1 for score, ok in zip(scores, like, strict=True)]
    for index in sorted(range(len(shown)), key=lambda i: -shown[i]):
        if len(answers) < 5 and identities[index] not in answers:
            answers.append(identities[index])
    return answers


@settings(max_examples=150)
@given(st.integers(0, 9999), st.integers(1, 14), st.sampled_from([0.3, 0.7, 2.0]))
def test_ranking_against_the_rule(seed, count, threshold):
    rng = np.random.default_rng(seed)
    identities = [f"w_{n}" for n in rng.integers(0, 9, count)]
    scores = (rng.integers(0, 5, (4, count)) / 4).astype(np.float32)
    pairs = PairSides(*(rng.integers(0, 3, n).astype(np.int32) for n in (4, count)))
    expected = [
        plain_rank(row, identities, threshold, side, pairs.columns)
        for row, side in zip(scores, pairs.rows, strict=True)
    ]
    assert rank(scores, identities, threshold, sides=pairs) == expected
    assert rank(sparse.csr_matrix(scores), identities, threshold, sides=pairs) == expected
    # A matrix whose unlike scores are 0, as stages write it, has the same answers.
    hidden = pairs.hidden(scores.copy())
    assert rank(sparse.csr_matrix(hidden), identities, threshold, sides=pairs) == expected


@given(st.integers(0, 9999))
def test_no_answer_is_known_from_the_other_side_alone(seed):
    rng = np.random.default_rng(seed)
    identities = [f"w_{n}" for n in rng.integers(0, 8, 20)]
    pairs = PairSides(*(rng.integers(1, 3, n).astype(np.int32) for n in (6, 20)))
    scores = pairs.hidden(rng.random((6, 20), np.float32))
    answers = rank(sparse.csr_matrix(scores), identities, 0.7, sides=pairs)
    answers, _ = post_process(answers, sparse.csr_matrix(scores), identities)
    for row, side in zip(answers, pairs.rows, strict=True):
        like = {who for who, c in zip(identities, pairs.columns, strict=True) if c == side}
        known = [who for who in row if who != "new_whale"]
        assert len(row) == len({*row}) == min(5, 1 + len({*identities}))
        first_strange = next((n for n, who in enumerate(known) if who not in like), len(known))
        assert {*known[:first_strange]} == like or first_strange == len(known)


def test_validation_by_hand():
    identity_of = {"q": "w_a", "a": "w_a", "b": "w_b"}
    scores = np.array([[0.1, 0.999]], np.float32)
    names = ["q"], ["a", "b"], identity_of
    assert validation_map(scores, *names) == 1 / 3  # w_b, new_whale, w_a
    sides = Sides({"q": "left", "a": "left", "b": "right"})
    assert validation_map(scores, *names, sides=sides) == 1 / 2  # new_whale, w_a


def test_calibration_pairs_by_hand():
    known = KnownPhotos(["a1", "a2", "b1"], {"a1": "w_a", "a2": "w_a", "b1": "w_b"})
    # A photo of w_b that meets w_a alone, and one that meets nobody.
    scores = np.array([[0.5, 0.25, -np.inf], [-np.inf] * 3], np.float32)
    pairs = pairs_of(scores, ["b2", "n"], known, {"b2": "w_b", "n": "new_whale"})
    assert pairs.scores.tolist() == [0.5]
    assert pairs.right.tolist() == [False]
    assert pairs.best.tolist() == [0.5]
    assert pairs.new.tolist() == [True]


# --- what the report says -------------------------------------------------------------------------

IDENTITY_OF = {"q1": "w_a", "q2": "w_b", "a1": "w_a", "a2": "w_a", "b1": "w_b"}
SIDES = Sides({"q1": "left", "q2": "right", "a1": "left", "a2": "right", "b1": "left"})
MATRIX = ScoreMatrix(
    np.array([[0.5, 0, 0.25], [0, 0.75, 0]], np.float32), ["q1", "q2"], ["a1", "a2", "b1"]
)


def test_strata_count_comparable_photos():
    answers = {"q1": ["w_a"], "q2": ["w_a"]}
    judged = judge_answers("v5", "test", answers, IDENTITY_OF, MATRIX.columns, SIDES)
    assert judged.others == {"q1": 1, "q2": 0}
    assert judge_answers("", "", answers, IDENTITY_OF, MATRIX.columns).others == {"q1": 2, "q2": 1}


def test_score_counts_leave_unlike_pairs_out():
    counts = score_counts(MATRIX, IDENTITY_OF, SIDES)
    assert counts.sum(axis=1).tolist() == [1, 2]  # q1-a1; q1-b1, q2-a2
    assert score_counts(MATRIX, IDENTITY_OF).sum() == 6


def test_the_gallery_shows_photos_of_the_right_side():
    [first, second] = queries(MATRIX, [["w_a", "w_b"], ["w_a", "w_b"]], IDENTITY_OF, "test", SIDES)
    assert [c.photo for c in first.candidates] == ["a1", "b1"]
    assert [c.photo for c in second.candidates] == ["a2", None]


def test_look_alikes_are_means_over_comparable_photos():
    likeness = Likeness()
    likeness.add(MATRIX, IDENTITY_OF, SIDES)
    [pair] = likeness.pairs(least=1)
    # q1 meets w_b with .25, q2 meets w_a with .75.
    assert (pair.first, pair.second, pair.likeness, pair.photos) == ("w_a", "w_b", 0.5, 2)
    assert pair.example == (0.75, "q2", "a2")
    apart = Sides({**SIDES.side_of, "q1": "top"})
    scores = apart.of(MATRIX.rows, MATRIX.columns).hidden(MATRIX.scores.copy())
    likeness = Likeness()
    likeness.add(MATRIX._replace(scores=scores), IDENTITY_OF, apart)
    [pair] = likeness.pairs(least=1)
    assert (pair.likeness, pair.photos) == (0.75, 1)
