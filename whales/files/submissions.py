"""Submissions, tables `Image,Id` of answers: the one place that reads, checks and writes them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from whales.base.errors import UserError
from whales.base.pickles import write_text
from whales.files.labels import NEW_WHALE, read_labels, stem, with_jpg

ANSWERS = 5  # of each photo, at most; the pipeline's own submissions have as many everywhere
COLUMNS = ["Image", "Id"]
_NAMED = 5  # photos named in one message


class Submission(NamedTuple):
    """Answers of each photo (stem) in file order, and what the competition would refuse them for."""

    answers: dict[str, list[str]]
    refusals: list[str]


def write_submission(path: Path, names: Sequence[str], answers: Mapping[str, list[str]]) -> None:
    """Write `Image,Id`, rows in the order of `names` (stems).

    A photo without answers (it has no box) gets five times `new_whale`.
    """
    without = [NEW_WHALE] * ANSWERS
    rows = [f"{with_jpg(name)},{' '.join(answers.get(name, without))}" for name in names]
    write_text(path, "\n".join([",".join(COLUMNS), *rows]) + "\n")


def read_answers(path: Path) -> dict[str, list[str]]:
    """Read a submission of the pipeline: test photo (stem) -> its answers, in file order.

    `UserError` naming the row for a missing column, an empty field or a photo listed twice.
    """
    table = read_labels(path)
    rows = zip(table.Image, table.Id, strict=True)
    return {stem(name): answers.split(" ") for name, answers in rows}


def read_known_answers(path: Path, identities: Collection[str]) -> dict[str, list[str]]:
    """`read_answers` where each answer is one of `identities` or `new_whale`.

    `UserError` naming the row and the first answer that is neither.
    """
    answers, known = read_answers(path), {NEW_WHALE, *identities}
    for line, (name, row) in enumerate(answers.items(), start=2):
        strange = [answer for answer in row if answer not in known]
        if strange:
            raise UserError(
                f"{path}, line {line}: {strange[0] or 'an empty answer'} of photo {name} is no "
                "identity of train.csv; give the answers of this work root"
            )
    return answers


def read_submission(path: Path, wanted: Sequence[str]) -> Submission:
    """Read anybody's submission for the photos `wanted` (stems), collecting all that is wrong with it.

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


def read_submission_of_any(path: Path, groups: Iterable[Sequence[str] | None]) -> Submission:
    """Read a submission, held against that group of photos (stems) of which it has most.

    groups: None or empty ones are passed over; without any the submission is held against its own photos.
    `UserError` where it is no submission.
    """
    names = list(read_submission(path, []).answers)
    wanted = max(
        (group for group in groups if group),
        key=lambda group: len({*group} & {*names}),
        default=names,
    )
    return read_submission(path, wanted)


def unknown_identities(answers: Mapping[str, Sequence[str]], known: Collection[str]) -> list[str]:
    """Identities answered that no training photo shows, sorted: always wrong, though not refused."""
    return sorted({who for row in answers.values() for who in row} - {*known} - {NEW_WHALE})


def _named(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"{len(names)} {what}: {', '.join(names[:_NAMED])}{more}"]
