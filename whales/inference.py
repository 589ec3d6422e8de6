"""Submissions: written and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whales.labels import NEW_WHALE, read_labels, stem, with_jpg
from whales.pickles import write_text
from whales.ranking import ANSWERS


def write_submission(path: Path, names: Sequence[str], answers: dict[str, list[str]]) -> None:
    """Write `Image,Id`, rows in the order of `names` (stems).

    A photo without answers (it has no box) gets five times `new_whale`.
    """
    without = [NEW_WHALE] * ANSWERS
    rows = [f"{with_jpg(name)},{' '.join(answers.get(name, without))}" for name in names]
    write_text(path, "\n".join(["Image,Id", *rows]) + "\n")


def read_answers(path: Path) -> dict[str, list[str]]:
    """Read a submission: test photo (stem) -> its answers, in file order."""
    table = read_labels(path)
    rows = zip(table.Image, table.Id, strict=True)
    return {stem(name): answers.split(" ") for name, answers in rows}
