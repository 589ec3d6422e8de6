"""What people ask of files: whether they are sound, how two differ, what all of them know of a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whales.base.console import log
from whales.base.errors import UserError
from whales.files.labels import identities_of, read_labels
from whales.files.submissions import read_submission, unknown_identities
from whales.files.workspace import Workspace
from whales.inspecting.comparison import caches_of, compare, photo_finding
from whales.inspecting.contents import read
from whales.inspecting.findings import Finding
from whales.inspecting.inspection import inspect_all
from whales.inspecting.matrix_checks import MATCHES
from whales.inspecting.root_tables import RootTables


@dataclass(frozen=True)
class Question:
    """What is asked of files; without `compare` and `photo`: whether they are sound.

    files: none for all pickles and tables of the work root; compare: a file to hold the only one of
    `files` against; photo: name with or without folder and extension; head: how many entries of each
    file to show, None for those that the question shows anyway.
    """

    files: Sequence[Path] = ()
    compare: Path | None = None
    photo: str | None = None
    head: int | None = None

    @property
    def checks(self) -> bool:
        """Whether files are checked for faults, so that their number is shown."""
        return self.compare is None and self.photo is None


@dataclass(frozen=True)
class Reply:
    """findings: in the order of the files; errors: files that cannot be read; notes: what was left out."""

    findings: list[Finding]
    errors: list[UserError]
    notes: list[str]


def answer(question: Question, workspace: Workspace) -> Reply:
    """Read the files that a question is about; `UserError` where there are none, or nothing to compare."""
    tables = RootTables.read(workspace)
    paths = list(question.files) or workspace.pickles_and_tables()
    errors: list[UserError] = []
    if question.compare is not None:
        pair = read(paths[0]), read(question.compare)
        findings = [compare(*pair, tables, question.head or 0)]
    elif question.photo is not None:
        paths += [] if question.files else caches_of(question.photo, tables)
        finding, errors = photo_finding(question.photo, paths, tables, question.head or MATCHES)
        findings = [finding]
    elif paths:
        findings, errors = inspect_all(paths, tables, question.head or 0)
    else:
        raise UserError(f"{workspace.root} holds no file of the pipeline; name files")
    return Reply(findings, errors, tables.notes if question.checks else [])


def valid_answers(path: Path, photos: Sequence[str], workspace: Workspace) -> dict[str, list[str]]:
    """Photo (stem) -> answers of a submission for `photos` that the competition would take.

    Identities that are none of train.csv's, where the work root has it, are counted in the log. What
    would be refused is in the log as well, and a `UserError`.
    """
    answers, refusals = read_submission(path, photos)
    if refusals:
        log(*(f"the competition would refuse it: {reason}" for reason in refusals))
        raise UserError(f"{path} is not a valid submission ({len(refusals)} faults)")
    log(f"{path}: valid, {len(answers)} photos")
    train = workspace.file("train_csv")
    if train.exists():
        known = set(identities_of(read_labels(train)).values())
        strange = unknown_identities(answers, known)
        if strange:
            log(f"{len(strange)} identities are none of train.csv's, such as {strange[0]}")
    return answers
