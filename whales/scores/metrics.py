"""Mean average precision at k, the competition's measure."""

from __future__ import annotations

from collections.abc import Sequence


def average_precision(truth: str, answers: Sequence[str], k: int = 5) -> float:
    """1 / position of `truth` among the first k answers, 0 where it is not among them.

    With one true label a photo, the average precision at k is the reciprocal rank.

    >>> average_precision("w_1", ["new_whale", "w_1", "w_2"])
    0.5
    """
    for position, answer in enumerate(answers[:k], start=1):
        if answer == truth:
            return 1.0 / position
    return 0.0


def mapk(truths: Sequence[str], answers: Sequence[Sequence[str]], k: int = 5) -> float:
    """Mean over photos of the average precision at k (MAP@5 by default).

    `truths`: each photo's identity; `answers`: each photo's identities, best first, photos in the same
    order. 0 without photos. ValueError where the lengths differ.

    >>> mapk(["w_1", "w_2"], [["w_1"], ["w_1", "w_2"]])
    0.75
    """
    if len(truths) != len(answers):
        raise ValueError(f"expected {len(truths)} lists of answers, received {len(answers)}")
    if not len(truths):
        return 0.0
    pairs = zip(truths, answers, strict=True)
    return sum(average_precision(truth, ranked, k) for truth, ranked in pairs) / len(truths)
