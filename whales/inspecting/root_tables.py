"""The work root's tables and photos, against which the names and boxes in a file are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from whales.base.errors import UserError
from whales.files.dataset import load_boxes
from whales.files.labels import identities_of, read_labels, read_submission_names, stem
from whales.files.workspace import Workspace
from whales.inspecting.findings import Finding, Share
from whales.photos.photos import photo_size
from whales.scores.root_scores import test_answers

_READERS = 8  # threads that read photo headers

Table = TypeVar("Table")


@dataclass
class RootTables:
    """The names in the work root's tables and photos; a table that cannot be read is None, and noted.

    train, playground: stem -> identity; test, playground_test: stems in file order; missing: tables that
    could not be read, and why.
    """

    workspace: Workspace
    train: dict[str, str] | None = None
    test: list[str] | None = None
    playground: dict[str, str] | None = None
    playground_test: list[str] | None = None
    missing: list[str] = field(default_factory=list)
    _sizes: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, workspace: Workspace) -> RootTables:
        """Read the four tables of the work root, those that are there."""
        missing: list[str] = []

        def attempt(key: str, reader: Callable[[Path], Table]) -> Table | None:
            path = workspace.file(key)
            try:
                return reader(path)
            except UserError as reason:
                missing.append(str(reason) if path.exists() else subject(workspace, path))
                return None

        return cls(
            workspace,
            attempt("train_csv", lambda path: identities_of(read_labels(path))),
            attempt("sample_submission", _names_in),
            attempt("playground_train_csv", lambda path: identities_of(read_labels(path))),
            attempt("playground_sample_submission", _names_in),
            missing,
        )

    @property
    def notes(self) -> list[str]:
        """What was left out of the checks, for want of tables and photos."""
        notes = []
        if self.missing:
            notes.append(
                f"not checked against what {self.workspace.root} lacks: {'; '.join(self.missing)}"
            )
        if self._broken:
            first = sorted(self._broken)[0]
            notes.append(f"{len(self._broken)} photos cannot be read, such as {first}")
        return notes

    @property
    def test_groups(self) -> tuple[list[str] | None, list[str] | None]:
        """Test photos (stems) of the competition and of the playground: what a submission answers."""
        return self.test, self.playground_test

    @cached_property
    def boxed(self) -> set[str] | None:
        """Photos with a final box (stems); None where the work root has no final boxes."""
        try:
            return set(load_boxes(self.workspace))
        except UserError:
            return None

    @cached_property
    def truth(self) -> dict[str, str]:
        """True answers of the test photos; empty where the root does not have them."""
        return test_answers(self.workspace) or {}

    def cover(self, finding: Finding, names: Iterable[str], boxed: bool = False) -> None:
        """Add how many photos of each table are there; unknown ones and missing test photos are faults.

        names: stems; `boxed`: test photos without a final box may be missing. A file without a single
        test photo is not meant to have any.
        """
        names = set(names)
        main = {*(self.train or ()), *(self.test or ())}
        playground = {*(self.playground or ()), *(self.playground_test or ())}
        groups = {"train": self.train, "test": self.test, "playground": playground}
        for group, wanted in groups.items():
            count = len(names.intersection(wanted or ()))
            if wanted and count:
                finding.facts[group] = Share(count, len(wanted))
        test = [name for name in self.test or () if not boxed or name in (self.boxed or (name,))]
        if names.intersection(test):
            finding.blame("test photos missing", [name for name in test if name not in names])
        whole = self.playground is not None and self.playground_test is not None
        # Without the playground's tables, a file with no photo of the competition may be the playground's.
        if self.train is not None and self.test is not None and (whole or names & main):
            finding.blame("photos that no table has", sorted(names - main - playground))

    def sizes(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """(width, height) in pixels of the photos (stems) that are there and can be read."""
        new = [name for name in names if name not in self._sizes]
        # A slice for each thread: a task for each photo costs more than the reading.
        slices = [new[start::_READERS] for start in range(_READERS)]
        with ThreadPoolExecutor(_READERS) as pool:
            for sizes in pool.map(self._read_sizes, slices):
                self._sizes.update(sizes)
        return {name: size for name in names if (size := self._sizes[name])}

    def _read_sizes(self, names: Sequence[str]) -> dict[str, tuple[int, int] | None]:
        return {name: self._size(name) for name in names}

    def _size(self, name: str) -> tuple[int, int] | None:
        try:
            path = self.workspace.photo(name)
        except UserError:
            return None
        try:
            return photo_size(path)
        except UserError:
            self._broken.add(name)
            return None


def _names_in(path: Path) -> list[str]:
    return [stem(name) for name in read_submission_names(path)]


def subject(workspace: Workspace, path: Path) -> str:
    """A file's name in messages: from the work root where it lies there."""
    path = path.absolute()
    inside = path.is_relative_to(workspace.root)
    return path.relative_to(workspace.root).as_posix() if inside else str(path)
