"""The files and numbers of a report, each read when a section first asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from html import escape

from whales.base.errors import UserError
from whales.files.boxes import Box
from whales.files.dataset import load_boxes, training_identities
from whales.files.import_table import written_names
from whales.files.labels import NEW_WHALE
from whales.files.matrices import ScoreMatrix
from whales.files.root_matrices import TEST_SCORES, RootMatrices
from whales.files.sides import Sides, read_sides
from whales.files.submissions import ANSWERS, present_answers
from whales.files.workspace import Workspace, require
from whales.nets.net import Net
from whales.reporting.gallery import AnsweredQuery, queries
from whales.reporting.held_out import HeldOut, held_out
from whales.reporting.report_parts import Judged, judge, judge_answers
from whales.scores.ensemble import blended
from whales.scores.ranking import ENSEMBLE_THRESHOLD
from whales.scores.root_scores import test_answers

_SUBMISSIONS = {"v5": "submission_v5", "v6": "submission_v6", "ensemble": "submission"}


class Sources:
    """A work root as a report sees it; for what is missing a `UserError` names the stage that makes it."""

    def __init__(self, workspace: Workspace, nets: Sequence[Net]) -> None:
        """nets: of the ensemble."""
        self.workspace, self.nets = workspace, nets

    def absent(self, reasons: Iterable[str]) -> str:
        """A line of the page for each thing that is missing, paths as in the work root; HTML."""
        texts = [escape(reason.replace(f"{self.workspace.root}/", "")) for reason in reasons]
        return "".join(f'<p class="absent">Not there yet: {text}.</p>' for text in texts)

    @cached_property
    def training_identity_of(self) -> dict[str, str]:
        """Stem -> identity of the training photos."""
        require(self.workspace, self.workspace.file("train_csv"))
        return training_identities(self.workspace)

    @cached_property
    def names(self) -> dict[str, str]:
        """Identity -> what people call it, of those that differ."""
        return written_names(self.workspace)

    @cached_property
    def sides(self) -> Sides:
        """The sides that photos show."""
        return read_sides(self.workspace)

    @cached_property
    def truth(self) -> dict[str, str] | None:
        """Stem -> true identity of the test photos, None where the root does not have them."""
        return test_answers(self.workspace)

    @cached_property
    def identity_of(self) -> dict[str, str]:
        """Stem -> identity of all photos whose identity is known."""
        return {**self.training_identity_of, **(self.truth or {})}

    @cached_property
    def boxes(self) -> Mapping[str, Box]:
        """Stem -> box in pixels; empty before there are averaged boxes."""
        keys = ("boxes_averaged", "boxes_averaged_playground")
        complete = all(self.workspace.file(key).exists() for key in keys)
        return load_boxes(self.workspace) if complete else {}

    @cached_property
    def held_out(self) -> HeldOut:
        """Numbers of the folds' held-out photos."""
        return held_out(self.workspace, self.training_identity_of)

    @cached_property
    def ensemble(self) -> ScoreMatrix:
        """The ensemble's pair scores of the test photos with the known ones, CSR."""
        tables = ("boxes_averaged", "boxes_averaged_playground", "sample_submission")
        for key in (*tables, "features_test_v5", "features_test_v6", "features_test_kernel"):
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
        """Answers of the nets and the ensemble to the test photos, and what is missing, in words."""
        all_judged: list[Judged] = []
        absent: list[str] = []
        if self.truth is None:
            return all_judged, absent
        for net in ("v5", "v6", "kernel", "ensemble"):
            try:
                judged = self._kernel() if net == "kernel" else self._submitted(net, self.truth)
                all_judged.append(judged)
            except UserError as reason:
                absent.append(f"{net}: {reason}")
        return all_judged, absent

    def _submitted(self, net: str, truth: Mapping[str, str]) -> Judged:
        path = require(self.workspace, self.workspace.file(_SUBMISSIONS[net]))
        answers = {
            name: row
            for name, row in present_answers(self.workspace, path).items()
            if name in truth
        }
        identities = self.training_identity_of.items()
        known = [name for name, identity in identities if identity != NEW_WHALE]
        return judge_answers(net, "test", answers, self.identity_of, known, self.sides)

    def _kernel(self) -> Judged:
        path = require(self.workspace, self.workspace.file("features_test_kernel"))
        read = RootMatrices(self.workspace, self.training_identity_of)
        matrix = self._labelled(read.for_ensemble(path, TEST_SCORES["kernel"]))
        return judge("kernel", "test", matrix, self.identity_of, ENSEMBLE_THRESHOLD, self.sides)

    @cached_property
    def queries(self) -> list[AnsweredQuery]:
        """The queries of the gallery: test photos with the submission's answers where their identities
        and scores are known, else the folds' valid photos.
        """
        path = self.workspace.file("submission")
        if self.truth is None or not path.exists():
            return self.held_out.queries
        try:
            matrix = self.labelled_ensemble
        except UserError:
            return self.held_out.queries
        answers = present_answers(self.workspace, path)
        without = [NEW_WHALE] * ANSWERS
        rows = [answers.get(name, without) for name in matrix.rows]
        return queries(matrix, rows, self.identity_of, "test", self.sides)
