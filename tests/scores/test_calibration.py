"""Probabilities from scores: pairs, curves, intervals and reliability, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from whales.scores.best_photos import KnownPhotos
from whales.scores.calibration import (
    NO_CURVE,
    Bin,
    CalibrationPairs,
    Curve,
    cross_fitted,
    evidence,
    fit_curve,
    fit_curves,
    in_words,
    joined,
    pairs_of,
    reliability,
    wilson,
)

IDENTITY_OF = {"a1": "w_a", "a2": "w_a", "b1": "w_b", "n1": "new_whale"}
KNOWN = KnownPhotos(["a1", "a2", "b1"], IDENTITY_OF)


def test_pairs_by_hand():
    # a1 against itself counts 0: w_a by a2 .75, w_b .5; the new whale: w_b .25, w_a .125.
    scores = np.array([[0, 0.75, 0.5], [0.125, 0, 0.25]], np.float32)
    pairs = pairs_of(scores, ["a1", "n1"], KNOWN, IDENTITY_OF)
    assert pairs.scores.tolist() == [0.75, 0.5, 0.25, 0.125]
    assert pairs.right.tolist() == [True, False, False, False]
    assert pairs.best.tolist() == [0.75, 0.25]
    assert pairs.new.tolist() == [False, True]


def test_groups_are_joined_in_order():
    first = CalibrationPairs(*map(np.array, ([0.5], [True], [0.5], [False])))
    second = CalibrationPairs(*map(np.array, ([0.25, 0.0], [False, False], [0.25], [True])))
    assert joined([first]).scores.tolist() == [0.5]
    assert [column.tolist() for column in joined([second, first])] == [
        [0.25, 0.0, 0.5],
        [False, False, True],
        [0.25, 0.5],
        [True, False],
    ]


def test_a_curve_by_hand():
    # By rising score 0 1 0 1. At .1, if it had not: 0; if it had: (0 + 1) / 2. At .2: 1, 0 | 0 pool to 1/3;
    # 1, 1 | 0 to 2/3. At .4, if it had not: (1 + 0) / 2, if it had: 1. Each time p1 / (1 - p0 + p1).
    curve = fit_curve(np.array([0.4, 0.1, 0.3, 0.2]), np.array([True, False, False, True]))
    at = np.array([0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 9.0])
    assert curve(at) == pytest.approx([1 / 3, 1 / 3, 1 / 2, 1 / 2, 1 / 2, 2 / 3, 2 / 3])
    assert (curve.photos, curve.came_true) == (4, 2)


def test_a_falling_curve_by_hand():
    # A new whale scores .1, two known ones .2 and .3. At .1: p0 = 1/2, p1 = 1; at .2: p0 = 0, p1 = 1/2; at
    # .3: p0 = 0, p1 = 1/2 pooled with the one before to 1/3. Each time p1 / (1 - p0 + p1).
    curve = fit_curve(np.array([0.1, 0.2, 0.3]), np.array([True, False, False]), rising=False)
    assert curve(np.array([[0.0, 0.1], [0.2, 9.0]])) == pytest.approx(
        np.array([[2 / 3, 2 / 3], [1 / 3, 1 / 4]])
    )


def venn_abers(scores, right, at, rising=True):
    """By the definition: isotonic regression as the largest of smallest means, with one more photo."""
    sign = 1 if rising else -1
    ends = []
    for label in (0, 1):
        pairs = [*zip(sign * scores, right, strict=True), (sign * at, label)]
        left = [low for low, _ in pairs if low <= sign * at]
        ends.append(
            max(
                min(
                    np.mean([truth for score, truth in pairs if low <= score <= high])
                    for high, _ in pairs
                    if high >= sign * at
                )
                for low in left
            )
        )
    return ends[1] / (1 - ends[0] + ends[1])


few = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()),
    min_size=1,
    max_size=12,
)


@given(few, st.booleans())
def test_a_curve_against_the_definition(samples, rising):
    scores, right = (np.array(values) for values in zip(*samples, strict=True))
    curve = fit_curve(scores, right, rising)
    assert curve.informed == (0 < right.sum() < len(right))
    assert (curve.photos, curve.came_true) == (len(right), right.sum())
    if curve.informed:
        expected = [venn_abers(scores, right, at, rising) for at in curve.scores]
        np.testing.assert_allclose(curve.probabilities, expected, atol=1e-12)
        assert curve.scores.tolist() == sorted(set(scores))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_curves_are_monotonous_and_promise_no_more_than_the_photos_can_bear(samples):
    scores, right = (np.array(values) for values in zip(*samples, strict=True))
    pairs = CalibrationPairs(scores, right, scores, ~right)
    grid, n = np.linspace(-0.5, 1.5, 41), len(right)
    for curve, sign in zip(fit_curves(pairs), (1, -1), strict=True):
        values = curve(grid)
        if not 0 < right.sum() < n:
            assert np.isnan(values).all()
            assert curve.of(0.5) is None
            continue
        assert (values >= 1 / (n + 2) - 1e-12).all()
        assert (values <= (n + 1) / (n + 2) + 1e-12).all()
        assert (sign * np.diff(values) >= -1e-12).all()


@pytest.mark.parametrize("n", [2, 5, 40])
def test_the_bound_is_reached_by_a_clean_record(n):
    # n - 1 came true at one score, one below did not: with m that came true p0 = m / (m + 1), p1 = 1.
    curve = fit_curve(np.array([0.1] + [0.9] * (n - 1)), np.array([False] + [True] * (n - 1)))
    assert curve.of(0.9) == pytest.approx(n / (n + 1))
    assert curve.of(0.9) < (n + 1) / (n + 2)


def test_many_photos_are_told_at_few_scores():
    random = np.random.default_rng(0)
    scores = random.random(20_000)
    curve = fit_curve(scores, random.random(20_000) < scores)
    assert len(curve.scores) <= 200
    grid = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(curve(grid), grid, atol=0.05)


def weak_net(random, photos):
    """Best scores of photos by a net that hardly knows whales, and which of them are new."""
    new = random.random(photos) < 0.4
    wrong = random.beta(1, 6, (photos, 30)).max(axis=1)
    return np.where(new, wrong, np.maximum(random.beta(2, 1.5, photos), wrong)), new


def test_few_photos_do_not_promise_what_does_not_come_true():
    """Drawn 200 times: curves of a dozen photos, tried on hundreds of others."""
    from sklearn.isotonic import IsotonicRegression

    random = np.random.default_rng(7)
    said, isotonic, came_true = [], [], []
    for _ in range(200):
        scores, new = weak_net(random, 12)
        others, truth = weak_net(random, 300)
        curve = fit_curve(scores, new, rising=False)
        if curve.informed:
            plain = IsotonicRegression(increasing=False, out_of_bounds="clip").fit(scores, new)
            said.append(curve(others))
            isotonic.append(plain.predict(others))
            came_true.append(truth)
    said, isotonic, came_true = map(np.concatenate, (said, isotonic, came_true))
    assert came_true[isotonic == 1].mean() < 0.75  # a certainty that is none
    for least in (0.6, 0.7, 0.8):
        over, over_before = (
            (told[told >= least] - came_true[told >= least]).mean() for told in (said, isotonic)
        )
        assert over < 0.15 < 0.2 < over_before

    def loss(said):
        said = np.clip(said, 1e-3, 1 - 1e-3)
        return -np.log(np.where(came_true, said, 1 - said)).mean()

    assert loss(said) < 0.7 * loss(isotonic)


def test_wilson_by_hand():
    # With z^2 = 3.8415: (4 + 1.9207) / 15.8415 = .3737, half sqrt(4 8 / 12 + .9604) 1.96 / 15.8415 = .2356.
    assert wilson(4, 12) == pytest.approx((0.3737 - 0.2356, 0.3737 + 0.2356), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 3.8415 / 13.8415), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((10 / 13.8415, 1), abs=1e-4)
    assert wilson(0, 0) == (0, 1)


@given(st.integers(1, 500), st.data())
def test_wilson_agrees_with_scipy(total, data):
    count = data.draw(st.integers(0, total))
    other = binomtest(count, total).proportion_ci(method="wilson")
    assert wilson(count, total) == pytest.approx((other.low, other.high), abs=1e-6)
    assert Bin(0.5, count / total, total).interval == wilson(count, total)


def test_what_probabilities_rest_on_is_said():
    curve = Curve(np.array([0.5]), np.array([0.25]), 12, 4)
    assert evidence(curve, curve) == (
        "Probabilities rest on 12 validation photos, 4 of them of new whales: none can be above 92.9%."
    )
    assert "no validation photo" in evidence(NO_CURVE, NO_CURVE)
    told = evidence(curve, NO_CURVE._replace(photos=12))
    assert told.endswith("; of a new whale there is none, since none is among these photos.")
    told = evidence(NO_CURVE._replace(photos=3), NO_CURVE._replace(photos=3, came_true=3))
    assert (
        "rest on 3 validation photos, 3 of them of new whales; of a known whale there is none"
        in told
    )
    assert "since no other is among these photos" in told


def test_no_probability_is_rounded_to_a_certainty():
    assert [in_words(p) for p in (0.0, 0.001, 0.5, 0.9949, 0.9999, 1.0)] == [
        "0.00", "<0.01", "0.50", "0.99", ">0.99", "1.00",
    ]  # fmt: skip
    assert in_words(0.999, percent=True) == ">99%"


def test_a_curve_of_one_point_is_level():
    curve = Curve(np.array([0.5]), np.array([0.25]))
    assert curve([0.0, 0.5, 1.0]).tolist() == [0.25] * 3


def test_reliability_by_hand():
    # 1.0 belongs to the last bin; the bin of .5 to .75 is empty.
    bins = reliability([0.0, 0.125, 0.25, 0.75, 1.0], [False, True, False, True, True], bins=4)
    assert bins == [Bin(0.0625, 0.5, 2), Bin(0.25, 0.0, 1), Bin(0.875, 1.0, 2)]
    assert reliability([], [], bins=4) == []


def test_each_group_is_predicted_by_the_others():
    right = np.array([False, True])
    sure = CalibrationPairs(np.array([0.1, 0.9]), right, np.array([0.1, 0.9]), ~right)
    wrong = sure._replace(right=~right, new=right)
    # Of `sure` at .1: p0 = 0, p1 = 1/2, so 1/3; at .9 2/3. Of `wrong` at .1: p0 = 1/3, p1 = 2/3, so 1/2; so
    # at .9.
    same, new = cross_fitted([sure, wrong])
    expected = [(1 / 3, 1.0, 1), (0.5, 0.5, 2), (2 / 3, 0.0, 1)]
    np.testing.assert_allclose(same, expected)
    np.testing.assert_allclose(new, expected)


def test_groups_that_tell_nothing_predict_nothing():
    right = np.array([False, True])
    known = CalibrationPairs(np.array([0.1, 0.9]), right, np.array([0.5]), np.array([False]))
    same, new = cross_fitted([known, known])
    assert sum(group.count for group in same) == 4
    assert new == []
