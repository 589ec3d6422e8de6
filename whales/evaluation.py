"""Whether a submission is valid, and how good it is, with intervals (bootstrap over photos)."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from whales.errors import UserError
from whales.labels import NEW_WHALE, stem
from whales.metrics import average_precision
from whales.ranking import ANSWERS

COLUMNS = ["Image", "Id"]
# Share of bootstrap samples that an interval holds.
CONFIDENCE = 0.95
_NAMED = 5  # photos or identities named in one message


class Submission(NamedTuple):
    """Answers of each photo (stem) in file order, and what the competition would refuse them for."""

    answers: dict[str, list[str]]
    refusals: list[str]


class Measure(NamedTuple):
    """A share of photos with its interval; `photos` is what it is a share of."""

    name: str
    value: float
    low: float
    high: float
    photos: int


def read_submission(path: Path, wanted: Sequence[str]) -> Submission:
    """Read a submission for the photos `wanted` (stems), collecting all that is wrong with it.

    `UserError` where the file is no table of `Image,Id` at all.
    """
    try:
        with open(path, newline="", encoding="utf-8") as source:
            header, *rows = csv.reader(source)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as reason:
        raise UserError(
            f"{path} cannot be read as a submission ({reason or 'it is empty'})"
        ) from None
    if header != COLUMNS:
        raise UserError(f"{path}: expected the columns Image,Id, received {','.join(header)}")
    refusals = []
    for line, row in enumerate(rows, start=2):
        if len(row) != len(COLUMNS):
            refusals.append(f"line {line}: expected 2 fields, received {len(row)}")
        elif not row[1].split():
            refusals.append(f"line {line}: photo {row[0]} has no answer")
        elif len(row[1].split()) > ANSWERS:
            refusals.append(f"line {line}: photo {row[0]} has more than {ANSWERS} answers")
    whole = [row for row in rows if len(row) == len(COLUMNS)]
    counts = Counter(stem(name) for name, _ in whole)
    refusals += _named("photos that stand twice", [name for name, n in counts.items() if n > 1])
    refusals += _named("photos without a line", [name for name in wanted if name not in counts])
    asked = set(wanted)
    refusals += _named(
        "photos that nobody asked for", [name for name in counts if name not in asked]
    )
    return Submission({stem(name): ids.split() for name, ids in whole}, refusals)


def unknown_identities(answers: dict[str, list[str]], known: set[str]) -> list[str]:
    """Identities answered that no training photo shows, sorted: always wrong, though not refused."""
    return sorted({who for row in answers.values() for who in row} - known - {NEW_WHALE})


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


def _named(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"{len(names)} {what}: {', '.join(names[:_NAMED])}{more}"]
