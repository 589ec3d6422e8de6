"""Photos of unlike sides are paired in no epoch of any round, neither as one animal nor as two."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whales.training.mining import HardPairs, epoch_pairs, matches, segments_of


def unlike(first, second):
    return bool(first and second and first != second)


photos = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=4, max_size=24
)  # identity, side


@settings(max_examples=200)
@given(photos, st.integers(0, 99), st.integers(1, 3))
def test_no_unlike_pair_in_any_round(drawn, seed, parts):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(drawn))
    identities, sides = np.array(drawn)[order].T
    pairs = [(i, j) for i in range(len(drawn)) for j in range(len(drawn)) if i != j]
    like = {(i, j) for i, j in pairs if not unlike(sides[i], sides[j])}
    same = {(i, j) for i, j in like if identities[i] == identities[j]}
    other = like - same
    if not same or not other:
        return
    slices = segments_of(identities, parts, sides)
    assert slices[0].start == 0
    assert slices[-1].stop == len(drawn)
    for part in slices:
        inside = range(part.start, part.stop)
        assert any(i in inside and j in inside for i, j in other)
    scores = [rng.random((part.stop - part.start,) * 2, np.float32) for part in slices]
    mined = HardPairs(scores, identities, 0.5, rng, sides)
    for _ in range(4):
        matched, mismatched = matches(identities, rng, sides), mined.next_epoch()
        assert {*map(tuple, matched.tolist())} <= same
        assert {*map(tuple, mismatched.tolist())} <= other
        assert len(matched)
        assert len(mismatched)
        assert len({*matched[:, 0].tolist()}) == len(matched)
        taught, labels = epoch_pairs(matched, mismatched, rng)
        for (i, j), label in zip(taught.tolist(), labels, strict=True):
            assert (i, j) in (same if label else other)


@given(photos, st.integers(0, 99))
def test_sides_that_are_all_alike_pair_as_none(drawn, seed):
    identities = np.repeat(np.array(drawn)[:, 0], 2)
    ones = np.ones(len(identities), np.int32)
    plain, sided = (
        matches(identities, np.random.default_rng(seed), sides) for sides in (None, ones)
    )
    np.testing.assert_array_equal(plain, sided)


def test_a_photo_of_either_side_is_taught_as_each():
    identities, sides = np.zeros(3, int), np.array([1, 2, 0])
    rng = np.random.default_rng(0)
    seen = {
        tuple(sorted(pair)) for _ in range(40) for pair in matches(identities, rng, sides).tolist()
    }
    assert seen == {(0, 2), (1, 2)}


def test_as_many_mismatches_as_sides_allow():
    # Of two sides with two animals of two photos each, every photo has its two opponents.
    identities, sides = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([1, 1, 1, 1, 2, 2, 2, 2])
    scores = np.random.default_rng(1).random((8, 8), np.float32)
    mined = HardPairs([scores], identities, 0, np.random.default_rng(0), sides)
    assert [len(mined.next_epoch()) for _ in range(5)] == [8] * 5


def test_an_animal_alone_on_its_side_has_no_mismatch():
    identities, sides = np.array([0, 0, 1, 1, 2, 2]), np.array([1, 1, 1, 1, 2, 2])
    mined = HardPairs([np.ones((6, 6), np.float32)], identities, 0, np.random.default_rng(0), sides)
    for _ in range(3):
        assert {*mined.next_epoch().ravel().tolist()} == {0, 1, 2, 3}


@pytest.mark.parametrize(("sides", "parts"), [(None, 2), ([1, 2, 1, 2], 1), ([1, 1, 2, 0], 2)])
def test_segments_hold_comparable_photos(sides, parts):
    sides = None if sides is None else np.array(sides)
    assert len(segments_of(np.array([0, 1, 0, 1]), 2, sides)) == parts
