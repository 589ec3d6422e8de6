"""The score matrices of a work root, each proven to be the one that its name says.

A matrix holds no word of its net and fold. What can tell: the photos of its rows and columns, the stamp of
the stage that wrote it, and that no two files are equal. A root without stamps, such as one of published
files, is read by the first and the last alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from whales.base.errors import UserError
from whales.base.pickles import load
from whales.base.plain_json import read_json
from whales.files.boxes import Box
from whales.files.dataset import known_photos, load_boxes, test_photos, training_identities
from whales.files.folds import FOLDS, checked_fold
from whales.files.labels import NEW_WHALE, check_labelled
from whales.files.matrices import ScoreMatrix, load_dict, load_tuple
from whales.files.sides import PairSides, Sides, read_sides
from whales.files.stamps import WRITTEN
from whales.files.workspace import Workspace, require

# The splits by which the nets of a validation matrix are trained, as their cards say.
FOLDS_OF = {"v5": "folds_v1", "v6": "folds_v2"}
# The key of the test scores in each net's file for the ensemble.
TEST_SCORES = {
    "v5": "test_vs_train_mat_sparse",
    "v6": "test_vs_train_mat_sparse",
    "kernel": "score",
}
_BOXES = ("boxes_averaged_playground", "boxes_averaged")
_KEYS = (
    *(f"{kind}_{net}" for kind in ("valid_matrix", "test_matrix_fold", "test_matrix") for net in FOLDS_OF),
    *(f"features_{net}" for net in FOLDS_OF),
    *(f"features_test_{net}" for net in TEST_SCORES),
)  # fmt: skip


def validation_reads(workspace: Workspace, net: str) -> list[Path]:
    """The tables, among those that are there, by which `RootMatrices.validation` proves a net's matrices."""
    keys = (*_BOXES, FOLDS_OF[net])
    return [path for path in map(workspace.file, keys) if path.exists()]


class RootMatrices:
    """Reader of a work root's score matrices; for all faults a `UserError` naming file and photo.

    Scores of photos of unlike sides are 0, whoever wrote the file.
    """

    def __init__(
        self,
        workspace: Workspace,
        identity_of: dict[str, str] | None = None,
        test: Sequence[str] | None = None,
    ) -> None:
        """identity_of, test: what `training_identities` and `test_photos` return, where they are read
        already.
        """
        self._workspace, self._given, self._test = workspace, identity_of, test

    @cached_property
    def identity_of(self) -> dict[str, str]:
        """Stem -> identity of the training photos."""
        return training_identities(self._workspace) if self._given is None else self._given

    @cached_property
    def test_photos(self) -> list[str]:
        """Stems of the test photos, in the submission's order."""
        return test_photos(self._workspace) if self._test is None else list(self._test)

    @cached_property
    def sides(self) -> Sides:
        """The sides that photos show."""
        return read_sides(self._workspace)

    def sides_of(self, matrix: ScoreMatrix) -> PairSides:
        """The sides of a matrix's rows and columns."""
        return self.sides.of(matrix.rows, matrix.columns)

    def _compared(self, matrix: ScoreMatrix) -> ScoreMatrix:
        return matrix._replace(scores=self.sides_of(matrix).hidden(matrix.scores))

    @cached_property
    def _boxes(self) -> Mapping[str, Box] | None:
        """The final boxes; None where the root has none."""
        there = all(self._workspace.file(key).exists() for key in _BOXES)
        return load_boxes(self._workspace) if there else None

    @cached_property
    def _known(self) -> list[str] | None:
        """The known photos that have a box, sorted; None where the root has no final boxes."""
        return None if self._boxes is None else known_photos(self.identity_of, self._boxes)

    def validation(self, path: Path) -> ScoreMatrix:
        """One fold's validation photos against the known photos, as in a file of `valid_matrix_NET`."""
        net, fold = next(
            (net, fold)
            for net in FOLDS_OF
            for fold in range(FOLDS)
            if self._workspace.file(f"valid_matrix_{net}", fold=fold) == path
        )
        matrix = load_tuple(require(self._workspace, path))
        check_labelled(matrix.rows, self.identity_of, path)
        splits = self._workspace.file(FOLDS_OF[net])
        if splits.exists():
            _, held_out = checked_fold(load(splits), fold, splits, self.identity_of)
            _check_all(path, "row", matrix.rows, held_out)
            _check_among(path, "row", matrix.rows, held_out, f"a photo that fold {fold} holds out")
        self._check_columns(path, matrix)
        check_origin(self._workspace, path)
        return self._compared(matrix)

    def test(self, path: Path) -> ScoreMatrix:
        """All test photos against the known photos, as in a file of `test_matrix_NET` or of one fold."""
        matrix = load_tuple(require(self._workspace, path))
        _check_all(path, "row", matrix.rows, self.test_photos)
        _check_among(path, "row", matrix.rows, self.test_photos, "a test photo")
        self._check_columns(path, matrix)
        check_origin(self._workspace, path)
        return self._compared(matrix)

    def for_ensemble(self, path: Path, scores_key: str) -> ScoreMatrix:
        """A net's test scores, as in a file of `features_test_NET`: of those photos that it has."""
        matrix = load_dict(require(self._workspace, path), scores_key)
        if self._boxes is not None and self._known is not None:
            boxed = [name for name in self.test_photos if name in self._boxes]
            _check_all(path, "row", matrix.rows, boxed)
            _check_all(path, "column", matrix.columns, self._known)
        _check_among(path, "row", matrix.rows, self.test_photos, "a test photo")
        listed = {*self.identity_of, *self.test_photos}
        _check_among(path, "column", matrix.columns, listed, "a photo of this root's tables")
        check_origin(self._workspace, path)
        return self._compared(matrix)

    def _check_columns(self, path: Path, matrix: ScoreMatrix) -> None:
        """Every column is a photo with an identity, or a test photo, which readers drop; none is missing."""
        labelled = {name for name, who in self.identity_of.items() if who != NEW_WHALE}
        listed = (
            {*labelled, *self.test_photos}
            if self._workspace.file("sample_submission").exists()
            else labelled
        )
        _check_among(
            path, "column", matrix.columns, listed, "a photo of train.csv with an identity"
        )
        if self._known is not None:
            known = {*self._known, *self.test_photos} if listed is not labelled else self._known
            _check_all(path, "column", matrix.columns, self._known)
            _check_among(path, "column", matrix.columns, known, "a known photo with a box")


def check_origin(workspace: Workspace, path: Path) -> None:
    """Refuse a matrix of the work root that is not what its stage wrote, or is equal to another one."""
    root, digests = workspace.root, workspace.digests
    name, content = path.relative_to(root).as_posix(), digests.of(path)
    written = dict(_written(workspace))
    size = path.stat().st_size
    files = (other for key in _KEYS for other in workspace.found(key) if other != path)
    alike = [other for other in files if other.stat().st_size == size]
    equal = [other.relative_to(root).as_posix() for other in alike if digests.of(other) == content]
    equal += [other for other, (_, kept) in written.items() if kept == content and other != name]
    stamp, kept = written.get(name, (None, content))
    maker = workspace.origin(path)
    if kept != content:
        copied = f" (it is equal to {equal[0]})" if equal else ""
        raise UserError(
            f"{path} is not what its stage has written there{copied}; {maker} --force, or, to take it "
            f"all the same, delete {stamp}"
        )
    if equal and stamp is None:
        raise UserError(
            f"{path} is equal to {equal[0]}: one is a copy in the other's place; {maker} --force"
        )


def _written(workspace: Workspace) -> Iterator[tuple[str, tuple[Path, str]]]:
    """Path in the work root -> (stamp, digest) of what stages have written, where their stamps tell."""
    for stamp in workspace.found("stamp"):
        try:
            content = read_json(stamp)
        except (FileNotFoundError, UserError):  # damaged: its stage runs again
            continue
        written = content.get(WRITTEN) if isinstance(content, dict) else None
        for name, digest in (written if isinstance(written, dict) else {}).items():
            yield name, (stamp, str(digest))


_REMEDY = "it was made from other tables, folds or boxes, or is another matrix: make it again"


def _check_among(
    path: Path, side: str, names: Sequence[str], known: Iterable[str], what: str
) -> None:
    known = set(known)
    strange = [name for name in names if name not in known]
    if strange:
        raise UserError(
            f"{path}: {side} {strange[0]} is not {what} ({len(strange)} of {len(names)} are not); {_REMEDY}"
        )


def _check_all(path: Path, side: str, names: Sequence[str], wanted: Collection[str]) -> None:
    present = set(names)
    missing = [name for name in wanted if name not in present]
    if missing:
        raise UserError(
            f"{path}: no {side} for photo {missing[0]} ({len(missing)} of {len(wanted)} are missing); "
            f"{_REMEDY}"
        )
