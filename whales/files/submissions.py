"""Submissions, tables `Image,Id` of five answers a photo: read, checked and written here alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from whales.base.errors import UserError
from whales.base.pickles import write_text
from whales.base.tables import csv_rows
from whales.files.labels import NEW_WHALE, read_labels, stem, with_jpg

ANSWERS = 5  # of each photo, at most; a submission of the pipeline always has five
COLUMNS = ["Image", "Id"]
_NAMED = 5  # photos named in one message


class Submission(NamedTuple):
    """Anybody's submission.

    answers: stem -> identities, best first, in file order; refusals: in words, the faults for which the
    competition would refuse the file.
    """

    answers: dict[str, list[str]]
    refusals: list[str]


def write_submission(path: Path, names: Sequence[str], answers: Mapping[str, list[str]]) -> None:
    """Write `Image,Id`, rows in the order of `names` (stems).

    answers: stem -> identities, best first. A photo without answers (it has no box) gets five times
    `new_whale`.
    """
    boxless = [NEW_WHALE] * ANSWERS
    rows = [f"{with_jpg(name)},{' '.join(answers.get(name, boxless))}" for name in names]
    write_text(path, "\n".join([",".join(COLUMNS), *rows]) + "\n")


def read_answers(path: Path) -> dict[str, list[str]]:
    """Read a submission of the pipeline: test photo (stem) -> its answers, in file order.

    `UserError` naming the row for a missing column, an empty field or a photo listed twice.
    """
    table = read_labels(path)
    rows = zip(table.Image, table.Id, strict=True)
    return {stem(name): answers.split(" ") for name, answers in rows}


def read_known_answers(path: Path, identities: Collection[str]) -> dict[str, list[str]]:
    """`read_answers` of a file whose every answer must be one of `identities` or `new_whale`.

    `UserError` naming the row and the first answer that is neither.
    """
    answers, known = read_answers(path), {NEW_WHALE, *identities}
    for line, (name, row) in enumerate(answers.items(), start=2):
        unknown = [answer for answer in row if answer not in known]
        if unknown:
            raise UserError(
                f"{path}, line {line}: {unknown[0] or 'an empty answer'} of photo {name} is no "
                "identity of train.csv; give the answers of this work root"
            )
    return answers


def read_submission(path: Path, wanted: Sequence[str]) -> Submission:
    """Read anybody's submission for the photos `wanted` (stems), with all its faults.

    `UserError` where the file is not a table `Image,Id` at all.
    """
    try:
        lines = list(csv_rows(path))
    except UserError as reason:
        raise UserError(f"{path} cannot be read as a submission ({reason})") from reason
    if not lines:
        raise UserError(f"{path} cannot be read as a submission (it is empty)")
    header, *rows = [cells for _, cells in lines]
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
    expected = set(wanted)
    refusals += _named(
        "photos that nobody asked for", [name for name in counts if name not in expected]
    )
    return Submission({stem(name): ids.split() for name, ids in whole}, refusals)


def read_submission_of_any(path: Path, groups: Iterable[Sequence[str] | None]) -> Submission:
    """Read a submission, checked against the group of photos (stems) that it has most of.

    groups: None and empty ones are passed over; without any, the photos of the file itself are the ones
    wanted. `UserError` as `read_submission`.
    """
    names = list(read_submission(path, []).answers)
    wanted = max(
        (group for group in groups if group),
        key=lambda group: len({*group} & {*names}),
        default=names,
    )
    return read_submission(path, wanted)


def unknown_identities(answers: Mapping[str, Sequence[str]], known: Collection[str]) -> list[str]:
    """Identities answered that no training photo shows, sorted: always wrong, though not refused.

    >>> unknown_identities({"a": ["w_1", "new_whale", "w_9"]}, known=["w_1", "w_2"])
    ['w_9']
    """
    answered = {identity for row in answers.values() for identity in row}
    return sorted(answered - {*known} - {NEW_WHALE})


def _named(fault: str, names: Sequence[str]) -> list[str]:
    """The fault in words, with the first photos that have it; empty where none has."""
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"{len(names)} {fault}: {', '.join(names[:_NAMED])}{more}"]
