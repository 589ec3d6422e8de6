"""From pair scores to probabilities: isotonic curves, fitted on photos whose identity is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from whales.files.labels import NEW_WHALE
from whales.scores.best_by_blocks import best_of_parts
from whales.scores.best_photos import KnownPhotos

# So many best identities of each held-out photo go into the curve.
FITTED_IDENTITIES = 20


class Curve(NamedTuple):
    """A monotonous function of a score, linear between its points and level outside them.

    >>> Curve(np.array([0.25, 0.75]), np.array([0.0, 1.0]))([0.125, 0.5, 0.875]).tolist()
    [0.0, 0.5, 1.0]
    """

    scores: np.ndarray  # (k,) float64, rising
    probabilities: np.ndarray  # (k,) float64 in [0, 1]

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores, any shape, float64."""
        return np.interp(np.asarray(scores, np.float64), self.scores, self.probabilities)


class Bin(NamedTuple):
    """Predictions of nearly one probability, and how many of them came true."""

    predicted: float  # mean probability
    right: float  # share that came true
    count: int  # predictions


class CalibrationPairs(NamedTuple):
    """Scores of held-out photos, and their truth: what the curves are fitted on.

    scores: (n,) of the photos' best identities, at most FITTED_IDENTITIES a photo
    right: (n,) bool, whether it is the photo's identity
    best: (photos,) each photo's best score of all
    new: (photos,) bool, whether the photo shows a new whale
    """

    scores: np.ndarray
    right: np.ndarray
    best: np.ndarray
    new: np.ndarray


def pairs_of(
    scores: np.ndarray, photos: Sequence[str], known: KnownPhotos, identity_of: Mapping[str, str]
) -> CalibrationPairs:
    """Calibration pairs of held-out photos.

    scores: (n, m) pair scores of `photos` (n stems) against the known photos, 0 for a photo against
    itself, -inf for photos that cannot be compared, which do not count; identity_of: stem -> identity of
    `photos`. A photo of a known whale that has no comparable photo counts as one of a new whale.
    """
    return pairs_by_parts([(slice(None), scores)], photos, known, identity_of)


def pairs_by_parts(
    scores: Iterable[tuple[slice, np.ndarray]],
    photos: Sequence[str],
    known: KnownPhotos,
    identity_of: Mapping[str, str],
) -> CalibrationPairs:
    """`pairs_of` of scores (n, k) with each part of the known photos, one part after the other."""
    truth = np.array([identity_of[name] for name in photos])
    own = np.array([known.code_of.get(identity, -1) for identity in truth.tolist()], np.int64)
    unseen = own >= 0  # until one of its identity's photos is compared

    def looked_at() -> Iterator[tuple[slice, np.ndarray]]:
        for part, block in scores:
            its_own = known.codes[part] == own[:, None]
            np.logical_and(unseen, ~(its_own & (block > -np.inf)).any(axis=1), out=unseen)
            yield part, block

    best = best_of_parts(known, len(photos), FITTED_IDENTITIES, looked_at())
    compared = best.scores > -np.inf
    some = compared[:, 0]
    return CalibrationPairs(
        best.scores[compared],
        (np.array(known.identities)[best.codes] == truth[:, None])[compared],
        best.scores[some, 0],
        ((truth == NEW_WHALE) | unseen)[some],
    )


def joined(groups: Sequence[CalibrationPairs]) -> CalibrationPairs:
    """The pairs of all groups of photos, one group or more, in their order."""
    return CalibrationPairs(*map(np.concatenate, zip(*groups, strict=True)))


def fit_curves(pairs: CalibrationPairs) -> tuple[Curve, Curve]:
    """Two curves: identity's score -> its probability, and best score of all -> that of a new whale."""
    same = fit_curve(pairs.scores, pairs.right)
    return same, fit_curve(pairs.best, pairs.new, rising=False)


def cross_fitted(groups: Sequence[CalibrationPairs]) -> tuple[list[Bin], list[Bin]]:
    """`reliability` of the probabilities of an identity, and of a new whale.

    groups: two groups of photos or more; each is predicted by curves fitted on the others.
    """
    predictions, outcomes = ([], []), ([], [])
    for index, group in enumerate(groups):
        curves = fit_curves(joined([*groups[:index], *groups[index + 1 :]]))
        held_out = (group.scores, group.right), (group.best, group.new)
        for kind, (curve, (scores, right)) in enumerate(zip(curves, held_out, strict=True)):
            predictions[kind].append(curve(scores))
            outcomes[kind].append(right)
    same, new = (
        reliability(np.concatenate(predicted), np.concatenate(right))
        for predicted, right in zip(predictions, outcomes, strict=True)
    )
    return same, new


def fit_curve(scores: np.ndarray, right: np.ndarray, rising: bool = True) -> Curve:
    """Isotonic regression of `right` (n,) bool on `scores` (n,), n at least 1.

    rising: False where a higher score makes `right` less probable.
    """
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, increasing=rising)
    model.fit(np.asarray(scores, np.float64), np.asarray(right, np.float64))
    return Curve(model.X_thresholds_, model.y_thresholds_)


def reliability(predicted: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[Bin]:
    """How often predictions come true: bins of equal width, empty ones left out.

    predicted: (n,) probabilities; right: (n,) whether each came true. If they are well calibrated,
    `predicted` and `right` of each bin are nearly equal.

    >>> reliability([0.0, 0.75, 0.75, 0.75, 0.75], [False, True, True, False, True], bins=4)
    [Bin(predicted=0.0, right=0.0, count=1), Bin(predicted=0.75, right=0.75, count=4)]
    """
    predicted, right = np.asarray(predicted, np.float64), np.asarray(right, np.float64)
    indices = np.minimum((predicted * bins).astype(int), bins - 1)
    groups = [indices == index for index in np.unique(indices)]
    return [
        Bin(float(predicted[group].mean()), float(right[group].mean()), int(group.sum()))
        for group in groups
    ]
