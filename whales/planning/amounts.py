"""How many photos a root's stages work on."""

from __future__ import annotations

from dataclasses import dataclass

from whales.files.labels import (
    NEW_WHALE,
    identities_of,
    photos_by_identity,
    read_labels,
    read_submission_names,
)
from whales.files.workspace import Workspace

# Of the photos whose identity has several, those that a fold trains on, and those that it holds out: the
# competition's 10,723 and 2,901 of 13,624.
_TRAINED, _HELD_OUT = 10_723 / 13_624, 2_901 / 13_624


@dataclass(frozen=True)
class Amounts:
    """Photos, by what is done with them.

    fold, playground: that a training on a fold, and a warm start, train on; valid: that a fold holds out;
    known: columns of every matrix; test: the submission's.
    """

    fold: int
    playground: int
    valid: int
    known: int
    test: int

    def trained(self, on_folds: bool) -> int:
        """Photos that a training on a fold or on the playground trains on."""
        return self.fold if on_folds else self.playground


# Of the competition, from its tables.
COMPETITION = Amounts(fold=10_723, playground=6_820, valid=2_901, known=15_697, test=7_960)


def amounts(workspace: Workspace) -> Amounts | None:
    """Counted from the root's tables, a fold's share as the competition's; None where it has no train.csv."""
    if not workspace.file("train_csv").exists():
        return None
    known, several = _counted(workspace, "train_csv")
    playground = 0
    if workspace.file("playground_train_csv").exists():
        playground = _counted(workspace, "playground_train_csv")[1]
    submission = workspace.file("sample_submission")
    test = len(read_submission_names(submission)) if submission.exists() else 0
    return Amounts(round(_TRAINED * several), playground, round(_HELD_OUT * several), known, test)


def _counted(workspace: Workspace, key: str) -> tuple[int, int]:
    """Photos with an identity, and those of identities that have several."""
    groups = photos_by_identity(identities_of(read_labels(workspace.file(key))).items())
    groups.pop(NEW_WHALE, None)
    counts = [len(names) for names in groups.values()]
    return sum(counts), sum(count for count in counts if count > 1)
