"""What answers rest on: which nets gave them, what these were taught on, and a warning where that counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from whales.base.errors import UserError
from whales.files.folds import FOLDS
from whales.files.workspace import Workspace, stage_that_makes
from whales.nets.net import Net
from whales.nets.teaching import generated_alone, in_words, teaching_of
from whales.scores.calibration import Curve, evidence


class TrainedNet(NamedTuple):
    """A net, and its weight files by fold."""

    net: Net
    files: dict[int, Path]


class Basis(NamedTuple):
    """What answers rest on, in words; all empty where nothing is known of it.

    nets: that gave them; taught_on: what each was; validation_photos: that their probabilities are learnt
    from, None where that is not said; evidence: the same as a sentence; warning: to stand above every answer.
    """

    nets: str = ""
    taught_on: str = ""
    validation_photos: int | None = None
    evidence: str = ""
    warning: str = ""

    def notes(self) -> list[str]:
        """Sentences for people, without the warning."""
        named = self.nets and f"Nets: {self.nets}."
        taught = self.taught_on and f"Taught on {self.taught_on}."
        return [text for text in (named, taught, self.evidence) if text]


NO_BASIS = Basis()


def weights_of(workspace: Workspace, net: Net, folds: Sequence[int] = ()) -> dict[int, Path]:
    """Fold -> weight file of a net, where there is one; folds: these alone, none for all."""
    files: dict[int, Path] = {}
    for fold in folds or range(FOLDS):
        try:
            files[fold] = net.weights.find(workspace.file(f"models_{net.name}"), fold)
        except UserError:
            continue
    return files


def untrained_start(
    workspace: Workspace, nets: Sequence[Net], ensemble: Sequence[Net]
) -> list[TrainedNet]:
    """The nets with the weights that come with the project; none where the root has weights of any net.

    nets: those of the ensemble to choose among. `UserError` where the project's own are missing or damaged.
    """
    if any(weights_of(workspace, net) for net in ensemble):
        return []
    return [TrainedNet(net.as_shipped, {0: net.shipped.checked()}) for net in nets if net.shipped]


def basis_of_root(workspace: Workspace, nets: Sequence[Net]) -> Basis:
    """The basis of a work root's matrices and answers, as its weight files tell today."""
    trained = [TrainedNet(net, weights_of(workspace, net)) for net in nets]
    return basis_of([one for one in trained if one.files])


def basis_of(
    nets: Sequence[TrainedNet], same: Curve | None = None, new: Curve | None = None
) -> Basis:
    """The basis of what these nets say; same, new: the curves of its probabilities, if it has any."""
    if not nets:
        return NO_BASIS
    teachings = {net.title: [teaching_of(path) for path in files.values()] for net, files in nets}
    words = {title: in_words(taught) for title, taught in teachings.items()}
    if len({*words.values()}) == 1:
        taught_on = next(iter(words.values()))
    else:
        taught_on = "; ".join(f"{text} ({title})" for title, text in words.items())
    named = [f"{net.title}, {_which(net, files)}" for net, files in nets]
    rests, said = None, ""
    if same is not None and new is not None:
        rests, said = new.photos, evidence(same, new)
    untrained = [net for net, _ in nets if net.untrained]
    blind = [title for title, taught in teachings.items() if generated_alone(taught)]
    warning = _untrained(untrained[0]) if untrained else _warning(blind, len(nets))
    return Basis("; ".join(named), taught_on, rests, said, warning)


def _which(net: Net, files: dict[int, Path]) -> str:
    if net.untrained:
        return "untrained start"
    return f"fold{'s' * (len(files) > 1)} {', '.join(map(str, files))}"


def _untrained(net: Net) -> str:
    """What answers of the weights that come with the project are worth, and what more would bring."""
    return (
        "Untrained start: a shortlist, not an answer. These weights come with the project, have seen "
        "generated flukes only, no real whale. Better: train on this catalogue, python3 "
        f"{stage_that_makes(net.folds)} and then python3 {net.weights.maker(0)} --profile smoke (about "
        "5 minutes for 600 photos; docs/catalogue.md, 'Train on your own photos'), or take the "
        "published weights (tools/weights.py; docs/pipeline.md, 'Published weights')."
    )


def _warning(blind: Sequence[str], nets: int) -> str:
    """blind: titles of the nets that have seen generated flukes alone, of all `nets`."""
    if not blind:
        return ""
    if len(blind) == nets:
        return (
            "These nets have seen generated flukes only and know no real whale: "
            "of photos of whales their answers tell nothing."
        )
    have = "has" if len(blind) == 1 else "have"
    know = "knows" if len(blind) == 1 else "know"
    return f"{' and '.join(blind)} {have} seen generated flukes only and {know} no real whale."
