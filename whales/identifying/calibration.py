"""From scores to probabilities: isotonic curves fitted on photos whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """A monotonous function of a score, linear between its points and level outside them."""

    scores: np.ndarray  # (k,) float64, rising
    probabilities: np.ndarray  # (k,) float64 in [0, 1]

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores, any shape, float64."""
        return np.interp(np.asarray(scores, np.float64), self.scores, self.probabilities)


class Bin(NamedTuple):
    """Predictions of about one height: what was said, and what came."""

    predicted: float  # mean
    right: float  # share
    count: int


def fit_curve(scores: np.ndarray, right: np.ndarray, rising: bool = True) -> Curve:
    """Isotonic regression of `right` (n,) bool on `scores` (n,), n from 1.

    rising: False where a higher score means less probable.
    """
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, increasing=rising)
    model.fit(np.asarray(scores, np.float64), np.asarray(right, np.float64))
    return Curve(model.X_thresholds_, model.y_thresholds_)


def reliability(predicted: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[Bin]:
    """How far predictions (n,) in [0, 1] come true: bins of equal width, empty ones left out.

    Well calibrated, `predicted` and `right` of a bin are alike.
    """
    predicted, right = np.asarray(predicted, np.float64), np.asarray(right, np.float64)
    places = np.minimum((predicted * bins).astype(int), bins - 1)
    groups = [places == place for place in np.unique(places)]
    return [
        Bin(float(predicted[group].mean()), float(right[group].mean()), int(group.sum()))
        for group in groups
    ]
