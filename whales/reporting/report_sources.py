"""What a report is made of, each read when a section first asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from html import escape

from whales.base.errors import UserError
from whales.files.boxes import Box
from whales.files.dataset import load_boxes, training_identities
from whales.files.labels import NEW_WHALE
from whales.files.matrices import ScoreMatrix, load_dict
from whales.files.submissions import ANSWERS, read_answers
from whales.files.workspace import Workspace, require
from whales.nets.net import Net
from whales.reporting.gallery import AnsweredQuery, queries
from whales.reporting.held_out import HeldOut, held_out
from whales.reporting.report_parts import Judged, judge, judged
from whales.scores.ensemble import blended
from whales.scores.ranking import ENSEMBLE_THRESHOLD
from whales.scores.root_scores import test_answers

_SUBMISSIONS = {"v5": "submission_v5", "v6": "submission_v6", "ensemble": "submission"}


class Sources:
    """A work root as a report sees it; what is missing is a `UserError` naming the stage that makes it."""

    def __init__(self, workspace: Workspace, nets: Sequence[Net]) -> None:
        """nets: of the ensemble."""
        self.workspace, self.nets = workspace, nets

    def absent(self, reasons: Iterable[str]) -> str:
        """A line of the page for each thing that is missing, paths as in the work root; HTML."""
        told = [escape(reason.replace(f"{self.workspace.root}/", "")) for reason in reasons]
        return "".join(f'<p class="absent">Not there yet: {one}.</p>' for one in told)

    @cached_property
    def identity_of(self) -> dict[str, str]:
        """Stem -> identity of the training photos."""
        require(self.workspace, self.workspace.file("train_csv"))
        return training_identities(self.workspace)

    @cached_property
    def truth(self) -> dict[str, str] | None:
        """Stem -> true identity of the test photos, None where the root does not have them."""
        return test_answers(self.workspace)

    @cached_property
    def who(self) -> dict[str, str]:
        """Stem -> identity of all photos whose identity is known."""
        return {**self.identity_of, **(self.truth or {})}

    @cached_property
    def boxes(self) -> Mapping[str, Box]:
        """Stem -> box; empty before there are averaged boxes."""
        keys = ("boxes_averaged", "boxes_averaged_playground")
        there = all(self.workspace.file(key).exists() for key in keys)
        return load_boxes(self.workspace) if there else {}

    @cached_property
    def held_out(self) -> HeldOut:
        """What the folds' valid photos tell."""
        return held_out(self.workspace, self.identity_of)

    @cached_property
    def ensemble(self) -> ScoreMatrix:
        """The ensemble's scores of the test photos, CSR."""
        keys = ("boxes_averaged", "boxes_averaged_playground", "sample_submission")
        keys += ("features_test_v5", "features_test_v6", "features_test_kernel")
        for key in keys:
            require(self.workspace, self.workspace.file(key))
        return blended(self.workspace, self.nets)

    @cached_property
    def labelled_ensemble(self) -> ScoreMatrix:
        """The rows of `ensemble` whose identity is known."""
        return self._labelled(self.ensemble)

    def _labelled(self, matrix: ScoreMatrix) -> ScoreMatrix:
        rows = [name for name in matrix.rows if name in (self.truth or {})]
        return matrix.aligned(rows, matrix.columns, "the test matrix")

    @cached_property
    def tested(self) -> tuple[list[Judged], list[str]]:
        """Answers of the nets and the ensemble to the test photos, judged; what is missing, in words."""
        found: list[Judged] = []
        absent: list[str] = []
        if self.truth is None:
            return found, absent
        for net in ("v5", "v6", "kernel", "ensemble"):
            try:
                found.append(self._kernel() if net == "kernel" else self._submitted(net))
            except UserError as reason:
                absent.append(f"{net}: {reason}")
        return found, absent

    def _submitted(self, net: str) -> Judged:
        path = require(self.workspace, self.workspace.file(_SUBMISSIONS[net]))
        answers = {name: row for name, row in read_answers(path).items() if name in self.truth}
        known = [name for name, who in self.identity_of.items() if who != NEW_WHALE]
        return judged(net, "test", answers, self.who, known)

    def _kernel(self) -> Judged:
        path = require(self.workspace, self.workspace.file("features_test_kernel"))
        matrix = self._labelled(load_dict(path, "score"))
        return judge("kernel", "test", matrix, self.who, ENSEMBLE_THRESHOLD)

    @cached_property
    def queries(self) -> list[AnsweredQuery]:
        """Of the gallery: test photos with the submission's answers where identities and scores are
        known, else the folds' valid photos.
        """
        path = self.workspace.file("submission")
        if self.truth is None or not path.exists():
            return self.held_out.queries
        try:
            matrix = self.labelled_ensemble
        except UserError:
            return self.held_out.queries
        answers = read_answers(path)
        without = [NEW_WHALE] * ANSWERS
        rows = [answers.get(name, without) for name in matrix.rows]
        return queries(matrix, rows, self.who, "test")
