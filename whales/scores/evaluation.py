"""Measures of answers whose truth is known, with intervals (bootstrap over photos)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from whales.files.labels import NEW_WHALE
from whales.files.submissions import ANSWERS
from whales.scores.metrics import average_precision

# Share of bootstrap samples that an interval holds.
CONFIDENCE = 0.95
_DRAWN_AT_ONCE = 4_000_000  # photos of samples, whose indices and values are in memory together


class Measure(NamedTuple):
    """A mean over photos, with its interval.

    name: for people; value: the mean, in [0, 1]; low, high: of the interval; photos: how many the mean
    is over. Without photos the numbers are NaN.
    """

    name: str
    value: float
    low: float
    high: float
    photos: int

    def line(self) -> str:
        """A row for people: name, value, interval, photos.

        >>> Measure("top 1", 0.5, 0.25, 0.75, 8).line()
        'top 1                                0.5000  0.2500-0.7500       8'
        """
        numbers = f"{self.value:.4f}  {self.low:.4f}-{self.high:.4f}"
        return f"{self.name:36} {numbers if self.photos else ' no such photos':21}  {self.photos:6}"

    def plain(self) -> dict[str, str | int | float | None]:
        """Its fields; numbers are None without photos."""
        return self._asdict() | ({} if self.photos else dict.fromkeys(("value", "low", "high")))


def measures(
    truth: dict[str, str], answers: dict[str, list[str]], samples: int, rng: np.random.Generator
) -> list[Measure]:
    """MAP@5, shares of photos whose truth is among the first 1 to 5 answers, and measures of new whales.

    `truth`: stem -> identity or `new_whale`; `answers`: stem -> identities, best first, of the same
    photos; `samples`: of the bootstrap.
    """
    names = list(truth)
    ranks = [_rank_of(truth[name], answers[name]) for name in names]
    precision = [average_precision(truth[name], answers[name]) for name in names]
    new = np.array([truth[name] == NEW_WHALE for name in names])
    answered_new = np.array([answers[name][0] == NEW_WHALE for name in names])
    all_photos = np.ones(len(names), bool)
    asked = [
        ("MAP@5", precision, all_photos),
        *((f"top {k}", [rank <= k for rank in ranks], all_photos) for k in range(1, ANSWERS + 1)),
        ("MAP@5 of known whales", precision, ~new),
        ("MAP@5 of new whales", precision, new),
        ("new_whale first: right (precision)", new, answered_new),
        ("new whales: new_whale first (recall)", answered_new, new),
    ]
    asked = [(name, np.asarray(values, float), counted) for name, values, counted in asked]
    counts = np.zeros((len(asked), samples), int)
    sums = np.zeros((len(asked), samples))
    step = max(_DRAWN_AT_ONCE // len(names), 1)
    for start in range(0, samples, step):
        some = slice(start, min(start + step, samples))
        drawn = rng.integers(len(names), size=(some.stop - start, len(names)))
        for row, (_, values, counted) in enumerate(asked):
            counts[row, some] = counted[drawn].sum(axis=1)
            sums[row, some] = (values * counted)[drawn].sum(axis=1)
    return [
        _measure(name, values, counted, sums[row], counts[row])
        for row, (name, values, counted) in enumerate(asked)
    ]


def _measure(
    name: str, values: np.ndarray, counted: np.ndarray, sums: np.ndarray, counts: np.ndarray
) -> Measure:
    """Mean of `values` (n,) over the photos `counted` (n,) bool.

    sums, counts: (samples,), of the values that count, and how many do.
    """
    if not counted.any():
        return Measure(name, float("nan"), float("nan"), float("nan"), 0)
    means = sums[counts > 0] / counts[counts > 0]
    return Measure(name, float(values[counted].mean()), *interval(means), int(counted.sum()))


def interval(means: np.ndarray) -> tuple[float, float]:
    """The interval that holds `CONFIDENCE` of the means of bootstrap samples (n,)."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _rank_of(truth: str, answers: Sequence[str]) -> int:
    """Rank of the right answer, from 1; `ANSWERS` + 1 where it is not among them."""
    return answers.index(truth) + 1 if truth in answers else ANSWERS + 1
