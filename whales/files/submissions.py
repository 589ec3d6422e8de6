"""Submissions, tables `Image,Id` of five answers a photo: read, checked and written here alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from whales.base.errors import UserError
from whales.base.tables import csv_rows, csv_text, separator_tip
from whales.base.writing import write_text
from whales.files.changes import present_names
from whales.files.labels import NEW_WHALE, read_answer_rows, stem
from whales.files.names import identity_fault, photo_fault, quoted
from whales.files.workspace import Workspace

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


def write_submission(
    path: Path,
    names: Sequence[str],
    answers: Mapping[str, list[str]],
    identities: Collection[str],
) -> None:
    """Write `Image,Id`, rows in the order of `names` (stems), if the competition would take it.

    answers: stem -> identities, best first, of the photos with a box; a photo without answers (it has
    no box) gets five times `new_whale`. identities: the known ones, one or more of which, and
    `new_whale`, each photo has: five different ones, or all where there are fewer. `UserError`, and
    nothing is written, where anything else would be.
    """
    fault = _fault_of(names, answers, {NEW_WHALE, *identities})
    if fault:
        raise UserError(f"{path} is not written: {fault}; mend the tables and run the stage again")
    boxless = [NEW_WHALE] * ANSWERS
    rows = [(f"{name}.jpg", " ".join(answers.get(name, boxless))) for name in names]
    write_text(path, csv_text(COLUMNS, rows, contract=True))


def _fault_of(
    names: Sequence[str], answers: Mapping[str, list[str]], known: Collection[str]
) -> str | None:
    """Why the competition would refuse these answers, or count them as wrong; None where it would not."""
    if not names:
        return "there is no test photo"
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        return f"test photo {quoted(twice[0])} is there twice"
    strange = answers.keys() - {*names}
    if strange:
        return f"photo {quoted(min(strange))} has answers and is no test photo"
    for name in names:
        if photo_fault(f"{name}.jpg"):
            return f"photo {quoted(name)} {photo_fault(f'{name}.jpg')}"
    for identity in sorted(known):
        if identity_fault(identity):
            return f"identity {quoted(identity)} {identity_fault(identity)}"
    expected = min(ANSWERS, len(known))
    for name, row in answers.items():
        unknown = [answer for answer in row if answer not in known]
        if unknown:
            return f"photo {name}: {quoted(unknown[0])} is no known identity"
        if len(row) != expected or len({*row}) != expected:
            return f"photo {name}: expected {expected} different answers, received {' '.join(row)}"
    return None


def read_answers(path: Path) -> dict[str, list[str]]:
    """Read a submission of the pipeline: test photo (stem) -> its answers, in file order.

    `UserError` naming the line for a missing column, a photo listed twice, and for answers that are not
    one to five different identities with a space between them (five times `new_whale` will do).
    """
    answers: dict[str, list[str]] = {}
    for where, name, text in read_answer_rows(path):
        row = answers[stem(name)] = text.split(" ")
        fault = _fault_in(row)
        if fault:
            raise UserError(f"{where}: {fault} of photo {name}; write the submission again")
    return answers


def renamed_answers(
    answers: Mapping[str, Sequence[str]], present: Mapping[str, str]
) -> dict[str, list[str]]:
    """Answers of a former catalogue as individuals are called now, each once.

    present: former identity -> present one, as `whales.files.changes.present_names` gives it.
    """
    return {
        name: list(dict.fromkeys(present.get(who, who) for who in row))
        for name, row in answers.items()
    }


def present_answers(workspace: Workspace, path: Path) -> dict[str, list[str]]:
    """`read_answers`, with individuals as they are called now, where they were merged or renamed since."""
    return renamed_answers(read_answers(path), present_names(workspace))


def _fault_in(row: Sequence[str]) -> str | None:
    """What is wrong with the answers of one photo, in words that `of photo NAME` may follow."""
    if not all(row):
        return "an empty answer"
    if len(row) > ANSWERS:
        return f"{len(row)} answers, more than {ANSWERS},"
    for answer in row:
        if answer != NEW_WHALE and identity_fault(answer):
            return f"answer {quoted(answer)}, which {identity_fault(answer)},"
    if len({*row}) < len(row) and {*row} != {NEW_WHALE}:
        return f"answer {max(row, key=row.count)}, which stands twice among those"
    return None


def read_known_answers(path: Path, identities: Collection[str]) -> dict[str, list[str]]:
    """`read_answers` of a file whose every answer must be one of `identities` or `new_whale`.

    `UserError` naming the row and the first answer that is neither.
    """
    answers, known = read_answers(path), {NEW_WHALE, *identities}
    for where, name, _ in read_answer_rows(path):
        unknown = [answer for answer in answers[stem(name)] if answer not in known]
        if unknown:
            raise UserError(
                f"{where}: {unknown[0]} of photo {stem(name)} is no identity of train.csv; "
                "give the answers of this work root"
            )
    return answers


def read_submission(path: Path, wanted: Sequence[str]) -> Submission:
    """Read anybody's submission for the photos `wanted` (stems), with all its faults.

    `UserError` where the file is not a table `Image,Id` at all.
    """
    lines = list(csv_rows(path))
    if not lines:
        raise UserError(f"{path} cannot be read as a submission (it is empty)")
    header, *rows = [cells for _, cells in lines]
    if header != COLUMNS:
        received = ",".join(header)
        tip = separator_tip(received)
        raise UserError(f"{path}: expected the columns Image,Id, received {quoted(received)}{tip}")
    refusals = []
    for line, row in enumerate(rows, start=2):
        if len(row) != len(COLUMNS):
            refusals.append(f"line {line}: expected 2 fields, received {len(row)}")
        elif not row[1].split():
            refusals.append(f"line {line}: photo {row[0]} has no answer")
        elif len(row[1].split()) > ANSWERS:
            refusals.append(f"line {line}: photo {row[0]} has more than {ANSWERS} answers")
        elif not row[1].isprintable():
            refusals.append(f"line {line}: photo {row[0]} has more than spaces between its answers")
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
