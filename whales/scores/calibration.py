"""From pair scores to probabilities, fitted on photos whose identity is known: Venn-Abers predictors.

Isotonic regression alone says 1 above the first score from which all of a few photos came true. A Venn-Abers
predictor (Vovk and Petej, 2014) asks it twice, as if one more photo of the very score had come true and as if
it had not, and says what lies between. So it promises no more than the photos can bear, however few: with n
of them at most (n + 1) / (n + 2), which is Laplace's rule of succession.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from whales.files.labels import NEW_WHALE
from whales.scores.best_by_blocks import best_of_parts
from whales.scores.best_photos import KnownPhotos

# So many best identities of each held-out photo go into the curve.
FITTED_IDENTITIES = 20
_KNOTS = 100  # of a curve, of what came true and of what did not
_Z = 1.959964  # standard deviations on each side that hold 95% of a normal distribution


class Curve(NamedTuple):
    """A monotonous function of a score, linear between its points and level outside them.

    >>> Curve(np.array([0.25, 0.75]), np.array([0.0, 1.0]))([0.125, 0.5, 0.875]).tolist()
    [0.0, 0.5, 1.0]
    """

    scores: np.ndarray  # (k,) float64, rising; empty where the photos tell nothing
    probabilities: np.ndarray  # (k,) float64 in [0, 1]
    photos: int = 0  # validation photos that it rests on
    came_true: int = 0  # of these, such as did what the probability is of

    @property
    def informed(self) -> bool:
        """Whether the photos tell anything: some came true, and something did not."""
        return len(self.scores) > 0

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores, any shape, float64; NaN where the photos tell nothing."""
        scores = np.asarray(scores, np.float64)
        if not self.informed:
            return np.full(scores.shape, np.nan)
        return np.interp(scores, self.scores, self.probabilities)

    def of(self, score: float) -> float | None:
        """The probability of one score; None where the photos tell nothing."""
        return float(self(np.float64(score))) if self.informed else None


NO_CURVE = Curve(np.empty(0), np.empty(0))  # of no photos


class Bin(NamedTuple):
    """Predictions of nearly one probability, and how many of them came true."""

    predicted: float  # mean probability
    right: float  # share that came true
    count: int  # predictions

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share lies that would come true of ever more predictions: `wilson`."""
        return wilson(round(self.right * self.count), self.count)


def in_words(probability: float | None, percent: bool = False) -> str:
    """A probability for people: rounded, but never to a certainty that it is not.

    >>> in_words(0.996), in_words(0.004, percent=True), in_words(0.25), in_words(None)
    ('>0.99', '<1%', '0.25', 'no information')
    """
    if probability is None:
        return "no information"
    mark = ""
    if 0 < probability < 0.005:
        mark, probability = "<", 0.01
    elif 0.995 <= probability < 1:
        mark, probability = ">", 0.99
    return mark + (f"{probability:.0%}" if percent else f"{probability:.2f}")


def evidence(same: Curve, new: Curve) -> str:
    """What probabilities rest on, and how high they can get, in words for people.

    same, new: of `fit_curves`, or curves without photos.
    """
    if not new.photos:
        return "No probabilities: no validation photo tells how often such scores are right."
    photos = f"{new.photos:,} validation photo{'s' * (new.photos != 1)}"
    told = [f"Probabilities rest on {photos}, {new.came_true:,} of them of new whales"]
    if same.informed or new.informed:
        told[0] += f": none can be above {(new.photos + 1) / (new.photos + 2):.1%}"
    if not same.informed:
        told.append("of a known whale there is none, since no candidate of theirs was right")
    if not new.informed:
        kind = "none" if new.came_true == 0 else "no other"
        told.append(f"of a new whale there is none, since {kind} is among these photos")
    return "; ".join(told) + "."


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
    same = fit_curve(pairs.scores, pairs.right)._replace(photos=len(pairs.best))
    return same, fit_curve(pairs.best, pairs.new, rising=False)


def cross_fitted(groups: Sequence[CalibrationPairs]) -> tuple[list[Bin], list[Bin]]:
    """`reliability` of the probabilities of an identity, and of a new whale.

    groups: two groups of photos or more; each is predicted by curves fitted on the others, and left out
    where these tell nothing.
    """
    predictions, outcomes = ([], []), ([], [])
    for index, group in enumerate(groups):
        curves = fit_curves(joined([*groups[:index], *groups[index + 1 :]]))
        held_out = (group.scores, group.right), (group.best, group.new)
        for kind, (curve, (scores, right)) in enumerate(zip(curves, held_out, strict=True)):
            if curve.informed:
                predictions[kind].extend(curve(scores))
                outcomes[kind].extend(right)
    same, new = map(reliability, predictions, outcomes)
    return same, new


def fit_curve(scores: np.ndarray, right: np.ndarray, rising: bool = True) -> Curve:
    """The Venn-Abers predictor of `right` (n,) bool from `scores` (n,), each of a photo of its own.

    rising: False where a higher score makes `right` less probable. Where all are right, or none is, nothing
    tells one from the other: the curve has no points.
    """
    from scipy.optimize import isotonic_regression

    scores, right = np.asarray(scores, np.float64), np.asarray(right, bool)
    came_true = int(right.sum())
    if came_true in (0, len(right)):
        return Curve(np.empty(0), np.empty(0), len(right), came_true)
    values, groups = np.unique(scores, return_inverse=True)
    counts = np.bincount(groups).astype(np.float64)
    sums = np.bincount(groups, right)
    means = sums / counts

    def with_one_more(index: int, label: int) -> float:
        """Isotonic regression's value at a score, if one more photo of it came true (1) or did not (0)."""
        y, weights = means.copy(), counts.copy()
        weights[index] += 1
        y[index] = (sums[index] + label) / weights[index]
        fitted = isotonic_regression(y, weights=weights, increasing=rising)
        return float(fitted.x[index])

    knots = np.unique(np.concatenate([_spread(scores[right]), _spread(scores[~right])]))
    indices = np.searchsorted(values, knots)
    if_not, if_so = (
        np.array([with_one_more(index, label) for index in indices]) for label in (0, 1)
    )
    # The ratio of both odds: of the ways to draw one number from two, that which costs least.
    return Curve(knots, if_so / (1 - if_not + if_so), len(right), came_true)


def _spread(scores: np.ndarray) -> np.ndarray:
    """At most _KNOTS of the scores, as many of them in each range as there are scores; all of a few."""
    ranks = np.linspace(0, len(scores) - 1, min(_KNOTS, len(scores))).astype(int)
    return np.sort(scores)[ranks]


def wilson(count: int, total: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share, `count` of `total`; (0, 1) where there is nothing to count.

    >>> [round(end, 4) for end in wilson(4, 12)]
    [0.1381, 0.6094]
    """
    if not total:
        return 0.0, 1.0
    share, square = count / total, _Z**2 / total
    centre = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / total + square / total / 4) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)


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
