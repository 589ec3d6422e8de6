"""How good answers are, with intervals (bootstrap over photos)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from whales.files.labels import NEW_WHALE
from whales.files.submissions import ANSWERS
from whales.scores.metrics import average_precision

# Share of bootstrap samples that an interval holds.
CONFIDENCE = 0.95


class Measure(NamedTuple):
    """A share of photos with its interval; `photos` is what it is a share of."""

    name: str
    value: float
    low: float
    high: float
    photos: int


def measures(
    truth: dict[str, str], answers: dict[str, list[str]], samples: int, rng: np.random.Generator
) -> list[Measure]:
    """MAP@5, shares of right answers among the first 1 to 5, and how well new whales are told.

    `truth`, `answers`: of the same photos (stems); `samples`: of the bootstrap.
    """
    names = list(truth)
    ranks = [_place(truth[name], answers[name]) for name in names]
    precision = [average_precision(truth[name], answers[name]) for name in names]
    new = np.array([truth[name] == NEW_WHALE for name in names])
    said = np.array([answers[name][0] == NEW_WHALE for name in names])
    everyone = np.ones(len(names), bool)
    asked = [
        ("MAP@5", precision, everyone),
        *((f"top {k}", [rank <= k for rank in ranks], everyone) for k in range(1, ANSWERS + 1)),
        ("MAP@5 of known whales", precision, ~new),
        ("MAP@5 of new whales", precision, new),
        ("new_whale first: right (precision)", new, said),
        ("new whales: new_whale first (recall)", said, new),
    ]
    drawn = rng.integers(len(names), size=(samples, len(names)))
    return [_measure(name, np.asarray(values, float), of, drawn) for name, values, of in asked]


def _measure(name: str, values: np.ndarray, of: np.ndarray, drawn: np.ndarray) -> Measure:
    """Mean of `values` (n,) over the photos in `of` (n,) bool; `drawn`: (samples, n) photos."""
    if not of.any():
        return Measure(name, float("nan"), float("nan"), float("nan"), 0)
    counts = of[drawn].sum(axis=1)
    sums = (values * of)[drawn].sum(axis=1)
    means = sums[counts > 0] / counts[counts > 0]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Measure(name, float(values[of].mean()), float(low), float(high), int(of.sum()))


def _place(truth: str, answers: Sequence[str]) -> int:
    """Place of the right answer, from 1; past the last where it is not there."""
    return answers.index(truth) + 1 if truth in answers else ANSWERS + 1
