"""From scores to probabilities: isotonic curves fitted on photos whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from whales.files.labels import NEW_WHALE
from whales.scores.best_photos import KnownPhotos

# The best identities of a valid photo that the curve of probabilities is fitted on.
FITTED_IDENTITIES = 20


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


class CalibrationPairs(NamedTuple):
    """Scores of held-out photos, and what is true of them."""

    scores: np.ndarray  # (n,) of a photo's best identities, at most FITTED_IDENTITIES a photo
    right: np.ndarray  # (n,) bool, whether it is the photo's identity
    best: np.ndarray  # (photos,) the best score of all
    new: np.ndarray  # (photos,) bool, whether the photo is of a new whale


def pairs_of(
    scores: np.ndarray, photos: Sequence[str], known: KnownPhotos, identity_of: Mapping[str, str]
) -> CalibrationPairs:
    """What photos (stems) tell whose scores with the known photos are (n, m), 0 with themselves."""
    found = known.best(scores)
    order = np.argsort(-found, axis=1, kind="stable")[:, :FITTED_IDENTITIES]
    truth = np.array([identity_of[name] for name in photos])
    return CalibrationPairs(
        np.take_along_axis(found, order, axis=1).ravel(),
        (np.array(known.identities)[order] == truth[:, None]).ravel(),
        found.max(axis=1),
        truth == NEW_WHALE,
    )


def joined(parts: Sequence[CalibrationPairs]) -> CalibrationPairs:
    """Those of several groups of photos, one or more, as one."""
    return CalibrationPairs(*map(np.concatenate, zip(*parts, strict=True)))


def fit_curves(pairs: CalibrationPairs) -> tuple[Curve, Curve]:
    """Probability of an identity from its score, and of a new whale from the best score of all."""
    same = fit_curve(pairs.scores, pairs.right)
    return same, fit_curve(pairs.best, pairs.new, rising=False)


def cross_fitted(parts: Sequence[CalibrationPairs]) -> tuple[list[Bin], list[Bin]]:
    """`reliability` of the probabilities of an identity, and of a new whale.

    parts: two groups of photos or more; each is judged by the curves that the others fit.
    """
    said, came = ([], []), ([], [])
    for place, part in enumerate(parts):
        curves = fit_curves(joined([*parts[:place], *parts[place + 1 :]]))
        given = (part.scores, part.right), (part.best, part.new)
        for kind, (curve, (scores, right)) in enumerate(zip(curves, given, strict=True)):
            said[kind].append(curve(scores))
            came[kind].append(right)
    same, new = (
        reliability(np.concatenate(predicted), np.concatenate(right))
        for predicted, right in zip(said, came, strict=True)
    )
    return same, new


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
