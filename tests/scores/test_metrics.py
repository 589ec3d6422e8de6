"""Mean average precision at 5, by hand."""

import pytest

from whales.scores.metrics import average_precision, mapk


def test_position_of_the_truth():
    answers = ["a", "b", "c", "d", "e", "f"]
    by_hand = {"a": 1, "b": 1 / 2, "c": 1 / 3, "d": 1 / 4, "e": 1 / 5, "f": 0, "g": 0}
    for truth, expected in by_hand.items():
        assert average_precision(truth, answers) == pytest.approx(expected, abs=1e-12)
    assert average_precision("c", answers, k=2) == 0
    assert average_precision("a", []) == 0


def test_only_the_first_place_of_the_truth_counts():
    assert average_precision("b", ["a", "b", "b"]) == 0.5


def test_mean_over_photos():
    answers = [["a", "b"], ["a", "b"], ["b", "new_whale", "c"], ["d"]]
    # 1 + 1/2 + 1/3 + 0, over four photos
    assert mapk(["a", "b", "c", "a"], answers) == pytest.approx(11 / 24, abs=1e-12)
    assert mapk(["a", "b", "c", "a"], answers, k=1) == 0.25


def test_no_photos_and_unlike_lengths():
    assert mapk([], []) == 0
    with pytest.raises(ValueError, match="expected 2 lists of answers, received 1"):
        mapk(["a", "b"], [["a"]])
