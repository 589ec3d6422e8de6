"""The queries of one call compared with each other: which may show one animal that is not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from whales.base.console import log
from whales.base.folders import numbered
from whales.base.tables import csv_text, for_spreadsheets
from whales.base.writing import write_text
from whales.files.sides import PairSides
from whales.files.workspace import pairs_path
from whales.identifying.catalogue import Catalogue
from whales.identifying.identification import Answer
from whales.scores.query_pairs import PAIR_COLUMNS, SeenQueries, alike_of, blended, most_alike


def among(catalogue: Catalogue, answers: Sequence[Answer]) -> list[list[tuple[int, float]]]:
    """Index and score of the others most like each answer's fluke, best first.

    Scores are blended as those of known photos; photos of unlike sides, copies of one file and flukes of one
    photo are not compared.
    """
    columns = [np.stack(rows) for rows in zip(*(a.features for a in answers), strict=True)]
    shares = [(j.net.share / len(j.folds), fold.head) for j in catalogue.judges for fold in j.folds]
    seen = [
        SeenQueries(*share_and_head, features)
        for share_and_head, features in zip(shares, columns, strict=True)
    ]
    codes = catalogue.sides.codes_of([answer.fluke.side or "" for answer in answers])
    photos = [answer.fluke.content or str(answer.fluke.photo) for answer in answers]
    best = most_alike(blended(seen), photos, PairSides(codes, codes))
    return [alike_of(best, row) for row in range(len(answers))]


def set_pairs_aside(table: Path) -> None:
    """Rename the pairs that an earlier call wrote beside a table of answers: they are not of its answers."""
    path = pairs_path(table)
    if path.exists():
        log(f"the pairs of an earlier call are kept as {numbered(path)}")


def write_pairs(path: Path, catalogue: Catalogue, answers: Sequence[Answer]) -> None:
    """Write `among` as the table `PAIR_COLUMNS`, six decimals.

    A probability is what such a score means between a query and a known individual.
    """
    rows: list[list[object]] = []
    for answer, others in zip(answers, among(catalogue, answers) if answers else [], strict=True):
        for rank, (index, score) in enumerate(others, 1):
            one, other = answer.fluke, answers[index].fluke
            probability = catalogue.same.of(score)
            told = "" if probability is None else f"{probability:.6f}"
            ends = [str(one.photo), one.number, rank, str(other.photo), other.number]
            rows.append([*ends, told, f"{score:.6f}", one.content, other.content])
    write_text(path, for_spreadsheets(csv_text(PAIR_COLUMNS, rows)))
