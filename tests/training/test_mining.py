"""Hard pairs: optimal, never of one identity, never repeated."""

from collections import Counter
from itertools import permutations

import lap
import numpy as np
import pytest
from helpers import goes_on_from_kept_costs
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from whales.training.mining import (
    FORBIDDEN,
    HardPairs,
    assign,
    come_back,
    derangement,
    epoch_pairs,
    matches,
    segments,
    segments_of,
)


def rng(seed=0):
    return np.random.default_rng(seed)


# --- segments, derangements, matches --------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "parts", "lengths"),
    [
        (10, 4, [3, 3, 3, 1]),
        (12, 4, [3, 3, 3, 3]),
        (10, 1, [10]),
        (7, 2, [4, 3]),
        (10723, 4, [2681, 2681, 2681, 2680]),
    ],
)
def test_segments(count, parts, lengths):
    slices = segments(count, parts)
    assert [s.stop - s.start for s in slices] == lengths
    assert np.concatenate([np.arange(count)[s] for s in slices]).tolist() == list(range(count))


@pytest.mark.parametrize(("count", "number"), [(2, 1), (3, 2), (4, 9)])
def test_all_derangements_occur_equally_often(count, number):
    generator = rng()
    drawn = Counter(tuple(derangement(count, generator).tolist()) for _ in range(200 * number))
    expected = {p for p in permutations(range(count)) if all(p[i] != i for i in range(count))}
    assert set(drawn) == expected
    assert len(expected) == number
    # Binomial(200 n, 1/n): five deviations are below 71.
    assert all(abs(times - 200) < 71 for times in drawn.values())


def test_a_single_photo_has_no_derangement():
    with pytest.raises(ValueError, match="received 1"):
        derangement(1, rng())


def test_matches_pair_within_identities_each_photo_once_a_side():
    identities = rng(1).permutation(np.repeat(np.arange(12), np.arange(2, 14)))
    pairs = matches(identities, rng(2))
    assert sorted(pairs[:, 0]) == sorted(pairs[:, 1]) == list(range(len(identities)))
    assert (identities[pairs[:, 0]] == identities[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    again = matches(identities, rng(3))
    assert {tuple(pair) for pair in pairs} != {tuple(pair) for pair in again}


# --- assignment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["scipy", "lap"])
@pytest.mark.parametrize("count", range(1, 8))
def test_assignment_is_optimal_by_trying_all(count, solver):
    for seed in range(3):
        cost = rng(seed).normal(size=(count, count)).astype(np.float32)
        columns = assign(cost, solver)
        assert sorted(columns) == list(range(count))
        best = min(sum(cost[i, p[i]] for i in range(count)) for p in permutations(range(count)))
        assert cost[np.arange(count), columns].sum() == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("count", [40, 150])
def test_both_solvers_reach_scipys_total(count):
    for seed in range(3):
        cost = rng(seed).random((count, count)).astype(np.float32)
        cost[rng(seed).random((count, count)) < 0.2] = FORBIDDEN
        rows, columns = linear_sum_assignment(cost.astype(np.float64))
        total = cost.astype(np.float64)[rows, columns].sum()
        for solver in ("scipy", "lap"):
            found = cost.astype(np.float64)[rows, assign(cost, solver)].sum()
            assert found == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize("solver", ["scipy", "lap"])
def test_none_and_one(solver):
    assert assign(np.zeros((0, 0), np.float32), solver).tolist() == []
    assert assign(np.full((1, 1), 1e4, np.float32), solver).tolist() == [0]


def test_a_solver_is_known_by_its_letters():
    name = "".join(["la", "p"])  # not the very object that the function holds
    assert assign(np.array([[4.0, 1.0], [2.0, 0.0]]), name).tolist() == [1, 0]


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match="received greedy"):
        assign(np.zeros((2, 2)), "greedy")


# --- hard pairs -----------------------------------------------------------------------------------


def cheapest(scores, identities):
    """(number of pairs, total score): most pairs first, then highest scores, by trying all."""
    count = len(identities)
    totals = []
    for p in permutations(range(count)):
        allowed = [i for i in range(count) if identities[i] != identities[p[i]]]
        totals.append((len(allowed), sum(float(scores[i, p[i]]) for i in allowed)))
    return max(totals)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 1000))
def test_the_hardest_pairs_by_trying_all(identities, seed):
    """Also where an identity is so large that some photos find no mate."""
    identities = np.array(identities)
    scores = rng(seed).random((len(identities),) * 2, dtype=np.float32)
    pairs = HardPairs([scores], identities, 0, rng()).next_epoch()
    assert (identities[pairs[:, 0]] != identities[pairs[:, 1]]).all()
    count, total = cheapest(scores, identities)
    assert len(pairs) == count
    assert scores[pairs[:, 0], pairs[:, 1]].sum() == pytest.approx(total, abs=1e-4)


def test_four_photos_by_hand():
    # Identities 0 0 1 1: each photo of one must meet one of the other.
    scores = np.array(
        [[0, 9, 0.9, 0.1], [9, 0, 0.8, 0.7], [0.2, 0.3, 0, 9], [0.6, 0.4, 9, 0]], np.float32
    )
    mined = HardPairs([scores], np.array([0, 0, 1, 1]), 0, rng())
    # Rows 0, 1: .9 + .7 beats .1 + .8. Rows 2, 3: .3 + .6 beats .2 + .4.
    assert mined.next_epoch().tolist() == [[0, 2], [1, 3], [2, 1], [3, 0]]
    # All of the eight ordered pairs are now forbidden, as chosen or as mirror images: they come back.
    assert mined.next_epoch().tolist() == [[0, 2], [1, 3], [2, 1], [3, 0]]


def problem(photos=36, identities=9, parts=1, seed=0):
    codes = rng(seed).permutation(np.arange(photos) % identities)
    scores = [rng(seed + 1).random((s.stop - s.start,) * 2, dtype=np.float32)
              for s in segments(photos, parts)]  # fmt: skip
    return scores, codes


@pytest.mark.parametrize("solver", ["scipy", "lap"])
@pytest.mark.parametrize("parts", [1, 3])
def test_pairs_of_a_round(parts, solver):
    scores, codes = problem(parts=parts)
    mined = HardPairs(scores, codes, 0.5, rng(4))
    used = set()
    for epoch in range(3):
        pairs = mined.next_epoch(solver)
        assert len(pairs) == len(codes), epoch
        assert sorted(pairs[:, 0]) == sorted(pairs[:, 1]) == list(range(len(codes)))
        assert (codes[pairs[:, 0]] != codes[pairs[:, 1]]).all()
        length = len(scores[0])
        assert (pairs[:, 0] // length == pairs[:, 1] // length).all()
        chosen = {(int(a), int(b)) for a, b in pairs}
        assert not chosen & used
        used |= chosen | {(b, a) for a, b in chosen}


def fewest_released(cost, used, most):
    """How many of the earliest epochs must come back, by SciPy, for `most` pairs; and the costs then."""
    for released in range(len(used) + 1):
        tried = cost.astype(np.float64)
        for epoch in used[released:]:
            for a, b in epoch:
                tried[a, b] = tried[b, a] = FORBIDDEN
        rows, columns = linear_sum_assignment(tried)
        chosen = tried[rows, columns][tried[rows, columns] < FORBIDDEN]
        if len(chosen) == most:
            return released, chosen.sum()
    raise AssertionError("too few pairs even without any that is forbidden")


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=9), st.integers(0, 1000))
def test_forbidden_pairs_come_back_oldest_first(identities, seed):
    codes = np.array(identities)
    assume(len(set(identities)) > 1)
    scores = rng(seed).random((len(codes),) * 2, dtype=np.float32)
    runs = [HardPairs([scores], codes, 0.5, rng(seed)) for _ in range(2)]
    first = [cost.copy() for cost in runs[0].costs]
    used = []
    for _ in range(8):
        pairs, again = (mined.next_epoch() for mined in runs)
        np.testing.assert_array_equal(pairs, again)
        assert len(pairs) > 0
        assert (codes[pairs[:, 0]] != codes[pairs[:, 1]]).all()
        for side in (0, 1):
            assert len(set(pairs[:, side])) == len(pairs)
        if not used:
            most = len(pairs)
        assert len(pairs) == most
        released, total = fewest_released(first[0], used, most)
        chosen = first[0][pairs[:, 0], pairs[:, 1]].astype(float)
        assert chosen.sum() == pytest.approx(total, abs=1e-5)
        late = {frozenset(pair) for epoch in used[released:] for pair in epoch.tolist()}
        assert not late & {frozenset(pair) for pair in pairs.tolist()}
        early = {frozenset(pair) for epoch in used[:released] for pair in epoch.tolist()}
        assert come_back(pairs, used) == bool(early & {frozenset(p) for p in pairs.tolist()})
        np.testing.assert_array_equal(runs[0].costs, first)
        used.append(pairs)


@pytest.mark.parametrize("identities", [[0, 0, 1, 1], [0, 1] * 12, [k % 6 for k in range(24)]])
def test_small_catalogues_never_run_out_of_pairs(identities):
    codes = np.array(identities)
    scores = [rng(1).random((len(codes),) * 2, dtype=np.float32)]
    mined = HardPairs(scores, codes, 1000, rng(2))
    assert [len(mined.next_epoch()) for _ in range(30)] == [len(codes)] * 30


def test_plenty_of_photos_train_on_new_pairs_alone():
    """The published recipe, epoch by epoch: assign, then forbid what was taken and its mirror image."""
    scores, codes = problem(photos=160, identities=40, parts=2)
    mined = HardPairs(scores, codes, 0.25, rng(4))
    costs, used = [cost.copy() for cost in mined.costs], []
    for _ in range(20):
        expected, start = [], 0
        for cost in costs:
            columns = lap.lapjv(cost.astype(np.float64))[1]
            rows = np.arange(len(cost))
            expected.append(np.stack([rows, columns], axis=1) + start)
            cost[rows, columns] = cost[columns, rows] = FORBIDDEN
            start += len(cost)
        pairs = mined.next_epoch()
        np.testing.assert_array_equal(pairs, np.concatenate(expected))
        assert not come_back(pairs, used)
        used.append(pairs)


@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=30),
    st.integers(1, 12),
)
def test_every_segment_holds_two_identities(identities, parts):
    codes = np.array(identities)
    assume(len(set(identities)) > 1)
    slices = segments_of(codes, parts)
    assert np.concatenate([np.arange(len(codes))[s] for s in slices]).tolist() == [
        *range(len(codes))
    ]
    assert all(len(set(codes[s])) > 1 for s in slices)
    assert len(slices) <= parts
    if all(len(set(codes[s])) > 1 for s in segments(len(codes), parts)):
        assert slices == segments(len(codes), parts)


def test_one_identity_too_large_gives_fewer_pairs_and_no_wrong_one():
    codes = np.array([0, 0, 0, 0, 0, 1, 2])
    scores = rng().random((7, 7), dtype=np.float32)
    pairs = HardPairs([scores], codes, 1.0, rng()).next_epoch()
    # Rows 5 and 6 meet two of identity 0, columns 5 and 6 two others: four at the most.
    assert len(pairs) == 4
    assert (codes[pairs[:, 0]] != codes[pairs[:, 1]]).all()
    one = HardPairs([scores], np.zeros(7, int), 1.0, rng()).next_epoch()
    assert one.shape == (0, 2)


def test_noise_is_uniform_up_to_the_amplitude():
    scores, codes = problem(photos=120, identities=60)
    for amplitude in (0, 0.25, 1000):
        (cost,) = HardPairs(scores, codes, amplitude, rng(5)).costs
        free = codes[:, None] != codes[None, :]
        assert (cost[~free] == FORBIDDEN).all()
        noise = (-cost - scores[0])[free]
        assert noise.min() >= -1e-4
        assert noise.max() <= amplitude + 1e-3
        assert noise.mean() == pytest.approx(amplitude / 2, rel=0.02)
        assert noise.std() == pytest.approx(amplitude / 12**0.5, rel=0.02, abs=1e-6)


def test_a_resumed_round_goes_on_as_an_uninterrupted_one():
    scores, codes = problem(parts=3)
    whole = HardPairs(scores, codes, 0.5, rng(6))
    costs = [cost.copy() for cost in whole.costs]
    epochs = [whole.next_epoch() for _ in range(3)]
    for done in range(3):
        resumed = HardPairs.resumed([cost.copy() for cost in costs], epochs[:done])
        for expected in epochs[done:]:
            np.testing.assert_array_equal(resumed.next_epoch(), expected)


def test_epochs_from_kept_costs_are_those_of_the_round(tmp_path):
    scores, codes = problem(photos=30, identities=6, parts=3)
    whole = HardPairs(scores, codes, 0.5, rng(6))
    goes_on_from_kept_costs(tmp_path / "round.pkl", whole)


def test_scores_of_other_photos_are_refused():
    with pytest.raises(ValueError, match="expected scores of 5 photos, received 4"):
        HardPairs([np.zeros((4, 4), np.float32)], np.arange(5), 0, rng())
    with pytest.raises(ValueError, match="expected scores of 5 photos, received 6"):
        HardPairs([np.zeros((3, 3), np.float32)] * 2, np.arange(5), 0, rng())


# --- the pairs of an epoch ------------------------------------------------------------------------


def test_matches_and_mismatches_alternate():
    matched = np.arange(20).reshape(10, 2)
    mismatched = 100 + np.arange(16).reshape(8, 2)
    pairs, labels = epoch_pairs(matched, mismatched, rng())
    assert labels.dtype == np.float32
    assert labels.tolist() == [1, 0] * 8
    assert pairs.shape == (16, 2)
    assert pairs[0::2].tolist() != matched[:8].tolist()
    chosen = {tuple(pair) for pair in pairs[0::2].tolist()}
    assert len(chosen) == 8
    assert chosen <= {tuple(pair) for pair in matched.tolist()}
    assert sorted(pairs[1::2].tolist()) == mismatched.tolist()
    assert pairs[1::2].tolist() != mismatched.tolist()


def test_an_epoch_holds_every_photo_four_times():
    """2 n pairs: once a side among the matches, once a side among the mismatches."""
    scores, codes = problem(photos=40, identities=10)
    mismatched = HardPairs(scores, codes, 1, rng(1)).next_epoch()
    pairs, labels = epoch_pairs(matches(codes, rng(2)), mismatched, rng(3))
    assert len(pairs) == 80
    same = codes[pairs[:, 0]] == codes[pairs[:, 1]]
    np.testing.assert_array_equal(same, labels == 1)
    assert (np.bincount(pairs.ravel()) == 4).all()
