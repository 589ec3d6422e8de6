"""Ranking and post-processing, on matrices worked out by hand and against a plain sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from whales.scores.ranking import post_process, rank, validation_map

NEW = "new_whale"


def ranked(scores, identities, threshold=0.7):
    return rank(np.array([scores], np.float32), identities, threshold)[0]


# --- ranking --------------------------------------------------------------------------------------


def test_scores_above_the_threshold_are_summed():
    # a: .75 + .75 = 1.5; b: .99; c: .8 (its .7 is not above .7); d: .6, e: .5 below it.
    scores = [0.75, 0.99, 0.75, 0.8, 0.7, 0.6, 0.5]
    assert ranked(scores, list("abaccde")) == ["a", "b", "c", NEW, "d"]


def test_new_whale_stands_after_those_above_the_threshold():
    assert ranked([0.1, 0.4, 0.3, 0.2, 0.05], list("abcde")) == [NEW, "b", "c", "d", "a"]
    assert ranked([0.9, 0.8, 0.75, 0.72, 0.5], list("abcde")) == ["a", "b", "c", "d", NEW]


def test_five_or_more_above_the_threshold_leave_no_place_for_new_whale():
    scores = [0.71, 0.9, 0.8, 0.95, 0.85, 0.99]
    assert ranked(scores[1:], list("bcdef")) == ["f", "d", "b", "e", "c"]
    assert ranked(scores, list("abcdef")) == ["f", "d", "b", "e", "c"]


def test_ties_go_to_the_earlier_column():
    assert ranked([0.75, 0.75, 0.5, 0.5, 0.5], list("badce")) == ["b", "a", NEW, "d", "c"]
    # b: .75 + .75 and a: .75 + .75, b's first column comes first.
    assert ranked([0.75, 0.75, 0.75, 0.75], list("baab")) == ["b", "a", NEW]
    assert ranked([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], list("fabcde")) == [NEW, "f", "a", "b", "c"]


def test_fewer_than_five_identities():
    assert ranked([0.2, 0.9, 0.3], list("aba")) == ["b", NEW, "a"]
    assert ranked([0.2], ["a"]) == [NEW, "a"]
    assert ranked([], []) == [NEW]


def test_an_identity_is_ranked_by_its_best_score():
    assert ranked([0.1, 0.5, 0.4, 0.3, 0.6], list("abcda"))[:3] == [NEW, "a", "b"]


def test_rank_answers_each_row():
    scores = np.array([[0.9, 0.1], [0.1, 0.2]], np.float32)
    assert rank(scores, ["a", "b"], 0.7) == [["a", NEW, "b"], [NEW, "b", "a"]]


def by_sorting(scores, identities, threshold):
    """The same by plain sorts of everything."""
    columns = range(len(scores))
    sums, first = {}, {}
    for column in columns:
        if scores[column] > threshold:
            who = identities[column]
            sums[who] = sums.get(who, 0) + float(scores[column])
            first.setdefault(who, column)
    answers = sorted(sums, key=lambda who: (-sums[who], first[who]))[:5]
    if len(answers) < 5:
        answers.append(NEW)
    for column in sorted(columns, key=lambda column: (-scores[column], column)):
        if len(answers) < 5 and identities[column] not in answers:
            answers.append(identities[column])
    return answers


@given(
    # Multiples of 1/16: ties are common and sums exact.
    st.lists(st.tuples(st.integers(0, 16), st.sampled_from("abcdefghijkl")), max_size=40),
    st.sampled_from([0.5, 0.75, 0.9375]),
)
def test_agrees_with_plain_sorting(pairs, threshold):
    scores = np.array([sixteenths / 16 for sixteenths, _ in pairs], np.float32)
    identities = [who for _, who in pairs]
    assert ranked(scores, identities, threshold) == by_sorting(scores, identities, threshold)


@given(st.integers(0, 2**32 - 1), st.integers(250, 600), st.sampled_from([2, 4, 1000]))
def test_many_columns_with_ties(seed, count, levels):
    """Five identities are often far down the order; sparse scores give the same answers."""
    rng = np.random.default_rng(seed)
    identities = [f"w_{i}" for i in rng.geometric(0.7, count)]
    scores = (rng.integers(0, levels, (3, count)) / levels).astype(np.float32)
    expected = [by_sorting(row, identities, 0.5) for row in scores]
    assert rank(scores, identities, 0.5) == expected
    assert rank(sparse.csr_matrix(scores), identities, 0.5) == expected


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.sampled_from([0.1, 0.5, 1.0]),
    st.sampled_from([-0.5, 0.0, 0.5]),
)
def test_sparse_scores_rank_as_the_dense_ones_do(seed, count, share, threshold):
    """Scores of all signs, few or all of them stored, with a photo's own column among them."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-4, 5, (4, count)) / np.float32(4) * (rng.random((4, count)) < share)
    scores = scores.astype(np.float32)
    identities = rng.choice(list("abcdefgh"), count).tolist()
    itself = rng.integers(-1, count, 4)
    expected = rank(scores, identities, threshold, itself)
    assert rank(sparse.csr_matrix(scores), identities, threshold, itself) == expected


def test_scores_of_a_cell_stored_in_parts_are_summed():
    parts = sparse.csr_matrix(([0.4, 0.9, 0.4], [1, 0, 1], [0, 3]), (1, 2), np.float32)
    assert rank(parts, ["a", "b"], 0.7) == rank(parts.toarray(), ["a", "b"], 0.7)
    assert parts.nnz == 3


def test_more_rows_than_are_ranked_at_once():
    rng = np.random.default_rng(3)
    scores = rng.random((1100, 7), dtype=np.float32)
    identities = list("abcabde")
    assert rank(scores, identities, 0.9) == [by_sorting(row, identities, 0.9) for row in scores]


def test_own_column_counts_zero():
    scores = np.array([[0.9, 0.8, 0.1], [0.9, 0.8, 0.1]], np.float32)
    answers = rank(scores, ["a", "b", "c"], 0.7, own_column=np.array([0, -1]))
    assert answers == [["b", NEW, "c", "a"], ["a", "b", NEW, "c"]]


def test_only_the_own_column_counts_zero():
    scores = np.array([[0.3, 0.2, 0.9, 0.1, 0.6]], np.float32)
    own = np.array([2])
    for given_scores in (scores, sparse.csr_matrix(scores)):
        assert rank(given_scores, list("abcde"), 0.7, own) == [[NEW, "e", "a", "b", "d"]]
        assert rank(given_scores, list("abcae"), 0.25, own) == [["e", "a", NEW, "b", "c"]]


# --- validation -----------------------------------------------------------------------------------


def test_validation_map_leaves_out_the_photo_itself():
    identity_of = {"p": "a", "q": "a", "r": "b", "s": NEW}
    scores = np.array(
        [
            [1.0, 0.995, 0.2],  # p, itself left out: a above .99 -> 1
            [0.3, 0.4, 1.0],  # r, itself left out: new_whale, a, b -> 1/3
            [0.99, 0.5, 0.1],  # s: .99 is not above .99: new_whale -> 1
        ],
        np.float32,
    )
    before = scores.copy()
    measured = validation_map(scores, ["p", "r", "s"], ["p", "q", "r"], identity_of)
    assert measured == pytest.approx((1 + 1 / 3 + 1) / 3, abs=1e-9)
    np.testing.assert_array_equal(scores, before)


# --- post-processing ------------------------------------------------------------------------------


def processed(firsts_and_seconds, scores, identities):
    """First two answers after post-processing, and the number of swaps."""
    answers = [[*both, "x", "y", "z"] for both in firsts_and_seconds]
    given_answers = [list(row) for row in answers]
    scores = np.array(scores, np.float32)
    result, swapped = post_process(answers, scores, identities)
    assert post_process(answers, sparse.csr_matrix(scores), identities) == (result, swapped)
    assert answers == given_answers
    assert [row[2:] for row in result] == [["x", "y", "z"]] * len(answers)
    changed = [new != old for new, old in zip(result, answers, strict=True)]
    assert swapped == sum(changed)
    for row, old, swap in zip(result, answers, changed, strict=True):
        assert row[:2] == (old[1::-1] if swap else old[:2])
    return changed


@pytest.mark.parametrize(("score", "swap"), [(0.4599, False), (0.46, True), (0.9, True)])
def test_a_claim_needs_its_least_score(score, swap):
    assert processed([(NEW, "a")], [[score]], ["a"]) == [swap]


def test_claim_equal_to_first_or_neither_changes_nothing():
    assert processed([("a", "b")], [[0.9]], ["a"]) == [False]
    assert processed([(NEW, "b")], [[0.9]], ["a"]) == [False]
    assert processed([("c", "b")], [[0.9]], ["a"]) == [False]
    assert post_process([[NEW]], np.zeros((1, 0), np.float32), []) == ([[NEW]], 0)


def test_first_known_identity_is_swapped_even_if_the_claim_is_crowded_or_a_first():
    # a is the first answer of the second photo and second answer of exactly three; .5 < .6.
    pairs = [("b", "a"), ("a", "c"), (NEW, "a"), (NEW, "a")]
    scores = [[0.5], [0.1], [0.1], [0.1]]
    assert processed(pairs, scores, ["a"]) == [True, False, False, False]


def test_new_whale_stays_where_the_claim_is_first_elsewhere():
    assert processed([(NEW, "a"), ("a", "b")], [[0.9], [0.1]], ["a"]) == [False, False]
    assert processed([(NEW, "a"), ("b", "c")], [[0.9], [0.1]], ["a"]) == [True, False]


def test_firsts_are_counted_before_any_change():
    # Both photos are claimed by a; the first swap makes a a first answer, which must not count.
    scores = [[0.9, 0.1], [0.1, 0.8]]
    assert processed([(NEW, "a"), (NEW, "a")], scores, ["a", "a"]) == [True, True]


@pytest.mark.parametrize(
    ("crowd", "score", "swap"),
    [(3, 0.59, False), (3, 0.6, True), (3, 0.9, True), (2, 0.5, True), (4, 0.5, True)],
)
def test_a_weak_claim_is_skipped_in_a_crowd_of_exactly_three(crowd, score, swap):
    pairs = [(NEW, "a")] * crowd
    scores = [[score]] + [[0.1]] * (crowd - 1)
    assert processed(pairs, scores, ["a"]) == [swap] + [False] * (crowd - 1)


def test_seconds_are_counted_before_any_change():
    # Three photos have a second: the weak claim of the last stays skipped after two swaps.
    pairs = [(NEW, "a")] * 3
    scores = np.diag([0.8, 0.8, 0.5])
    assert processed(pairs, scores, ["a", "a", "a"]) == [True, True, False]


@pytest.mark.parametrize(("later", "swap"), [(0.8, True), (0.7, False), (0.6, False)])
def test_another_identity_replaces_a_claim_only_with_a_higher_score(later, swap):
    # b claims with .7, then a with `later`; only a's claim would swap.
    assert processed([(NEW, "a")], [[0.7, later]], ["b", "a"]) == [swap]


def test_one_identity_does_not_replace_its_own_claim():
    # a claims with .5, then with .9: the claim stays at .5, too weak in a crowd of three.
    pairs = [(NEW, "a")] * 3
    scores = [[0.5, 0.9], [0.1, 0.1], [0.1, 0.1]]
    assert processed(pairs, scores, ["a", "a"]) == [False, False, False]
    assert processed(pairs, np.fliplr(scores), ["a", "a"]) == [True, False, False]
    # And b with .7 replaces it, since .7 > .5, though a had .9 later.
    scores = [[0.5, 0.9, 0.7]]
    assert processed([(NEW, "b")], scores, ["a", "a", "b"]) == [True]


def test_an_identity_is_known_by_its_letters():
    # As above, with names that are equal and not the same object.
    names = ["w_" + str(number) for number in (1, 1)]
    assert names[0] is not names[1]
    pairs = [(NEW, names[0])] * 3
    scores = [[0.5, 0.9], [0.1, 0.1], [0.1, 0.1]]
    assert processed(pairs, scores, names) == [False, False, False]


def test_ties_of_a_known_photo_go_to_the_first_row():
    pairs = [("c", "a"), ("c", "a")]
    assert processed(pairs, [[0.8], [0.8]], ["a"]) == [True, False]


def test_a_known_photo_claims_only_its_best_row():
    assert processed([("c", "a"), ("c", "a")], [[0.8], [0.9]], ["a"]) == [False, True]


def test_no_photos():
    assert post_process([], np.zeros((0, 3), np.float32), ["a", "b", "c"]) == ([], 0)
