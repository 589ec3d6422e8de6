"""Probabilities from scores: pairs, isotonic curves and reliability, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whales.scores.best_photos import KnownPhotos
from whales.scores.calibration import (
    Bin,
    CalibrationPairs,
    Curve,
    cross_fitted,
    fit_curve,
    fit_curves,
    joined,
    pairs_of,
    reliability,
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


def test_neighbours_out_of_order_share_their_mean():
    # Outcomes 0 1 0 1 by rising score: the middle two pool to 1/2.
    curve = fit_curve(np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, True, False, True]))
    assert curve(np.array([0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 9.0])) == pytest.approx(
        [0, 0, 0.5, 0.5, 0.5, 1, 1]
    )


def test_a_falling_curve():
    curve = fit_curve(np.array([0.1, 0.9]), np.array([True, False]), rising=False)
    assert curve(np.array([[0.0, 0.5], [1.0, 0.9]])) == pytest.approx(np.array([[1, 0.5], [0, 0]]))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_curves_are_monotonous_probabilities(samples):
    scores, right = (np.array(values) for values in zip(*samples, strict=True))
    pairs = CalibrationPairs(scores, right, scores, ~right)
    grid = np.linspace(-0.5, 1.5, 41)
    same, new = (curve(grid) for curve in fit_curves(pairs))
    for values, sign in ((same, 1), (new, -1)):
        assert (values >= 0).all()
        assert (values <= 1).all()
        assert (sign * np.diff(values) >= -1e-12).all()


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
    # Fitted on `sure`, `wrong` is predicted 0 and 1 and comes true 1 and 0; the other way round the
    # curve of `wrong` is level at 1/2.
    same, new = cross_fitted([sure, wrong])
    assert same == [Bin(0.0, 1.0, 1), Bin(0.5, 0.5, 2), Bin(1.0, 0.0, 1)]
    assert [(one.predicted, one.count) for one in new] == [(0.0, 1), (0.5, 2), (1.0, 1)]
