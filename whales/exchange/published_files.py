"""Published files and others' weights: recognized by content, put in place; what a work root can run."""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.writing import atomic_path
from whales.files.folds import FOLDS
from whales.files.labels import NEW_WHALE, read_labels, read_submission_names
from whales.files.published import PUBLISHED, ContentIds, content_ids
from whales.files.workspace import Workspace, require
from whales.nets.first_weights import FirstWeights
from whales.nets.net import Net
from whales.nets.shipped_weights import ShippedWeights
from whales.nets.weight_files import fitting_net
from whales.scores.basis import untrained_start, weights_of

_WEIGHT_SUFFIXES = (".model", ".model_weights", ".h5", ".hdf5")
_TABLES = ("train_csv", "boxes_averaged", "boxes_averaged_playground")
# A zipped matrix may unfold to so many times its length.
_ZIP_RATIO = 200


@dataclass(frozen=True)
class Destination:
    """Where a known file belongs, and what it is. A zipped one is unpacked there."""

    path: Path
    about: str
    zipped: bool = False


class KnownFiles:
    """Every file that can be recognized by its content, with its place for one work root."""

    def __init__(self, workspace: Workspace, first: Sequence[FirstWeights]) -> None:
        """first: the ImageNet weights of the nets and of the detector; they lie in Keras's own folder."""
        self._by_blob: dict[str, Destination] = {}
        for blob, file in PUBLISHED.items():
            path, zipped = workspace.root / file.place, file.place.endswith(".zip")
            self._by_blob[blob] = Destination(
                path.with_suffix("") if zipped else path, file.about, zipped
            )
        self._by_md5 = {
            weights.md5: Destination(weights.path, f"ImageNet weights ({weights.name})")
            for weights in first
        }

    def find(self, ids: ContentIds) -> Destination | None:
        """Where a file of this content belongs; None for an unknown one."""
        return self._by_blob.get(ids.blob) or self._by_md5.get(ids.md5)

    def destinations(self) -> list[Destination]:
        """Every place, those of the work root first."""
        return [*self._by_blob.values(), *self._by_md5.values()]


def place_files(paths: Sequence[Path], known: KnownFiles, link: bool = False) -> None:
    """Put every known file among `paths`, folders included, in its place, and check other weight files.

    link: symbolic links instead of copies. Never writes over another file. Every file is tried; then
    `UserError` where one could not be placed, or none was recognized.
    """
    faults: list[str] = []
    recognized = others = 0
    for path in _files_of(paths):
        destination = known.find(content_ids(path))
        try:
            if destination:
                recognized += 1
                log(f"{path}: {destination.about}; {_placed(path, destination, link)}")
            elif path.suffix in _WEIGHT_SUFFIXES:
                others += 1
                log(f"{path}: no published file; sound, it fits {fitting_net(path)}")
        except UserError as fault:
            faults.append(str(fault))
            log(str(fault))
    if faults:
        raise UserError(f"{len(faults)} files are not in place; the first: {faults[0]}")
    if not recognized + others:
        names = ", ".join(map(str, paths))
        raise UserError(f"{names}: no published file and no weight file is there")


def _files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """The regular files among `paths` and below their folders, sorted, without version control's."""
    for path in paths:
        if path.is_file():
            yield path
        elif path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(name for name in folders if name != ".git")
                yield from (
                    file for name in sorted(names) if (file := Path(folder, name)).is_file()
                )
        else:
            raise UserError(f"{path} is missing, or neither a file nor a folder")


def _placed(path: Path, destination: Destination, link: bool) -> str:
    """Put a file in its place; what was done, in words. `UserError` where another file is there."""
    target = destination.path
    if destination.zipped:
        if os.path.lexists(target):
            return f"{target} is there already, left as it is"
        _unzip(path, target)
        return f"unpacked as {target}"
    if os.path.lexists(target):
        if target.is_file() and content_ids(target) == content_ids(path):
            return f"in place: {target}"
        raise UserError(f"{target} is another file; move it away, then run this again for {path}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        target.symlink_to(path.resolve())
        return f"linked as {target}"
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
    return f"copied to {target}"


def _unzip(path: Path, target: Path) -> None:
    """Unpack the one file of a zip archive as `target`, whole or not at all."""
    limit = _ZIP_RATIO * path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            names = [item for item in archive.infolist() if Path(item.filename).name == target.name]
            if len(names) != 1 or names[0].file_size > limit:
                raise UserError(f"{path} does not hold one {target.name}; unpack it by hand")
            with (
                archive.open(names[0]) as source,
                atomic_path(target) as temporary,
                open(temporary, "wb") as out,
            ):
                shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as reason:
        raise UserError(f"{path} cannot be unpacked ({reason}); fetch it again") from reason


def check_root(workspace: Workspace, known: KnownFiles, nets: Sequence[Net]) -> None:
    """Log which known files a work root has, and which stages and tools can run in it now."""
    for destination in known.destinations():
        path = destination.path
        if not path.is_file():
            state = "missing"
        elif destination.zipped:
            state = "there"
        else:
            same = known.find(content_ids(path)) == destination
            state = "published file" if same else "another file"
        name = path.relative_to(workspace.root) if path.is_relative_to(workspace.root) else path
        log(f"{state:14}  {destination.about}: {name}")
    for net in nets:
        if net.shipped:
            log(_of_the_project(net.title, net.shipped))
    for command, check in _commands(workspace, nets):
        try:
            check()
        except UserError as fault:
            log(f"cannot run yet  {command}: {fault}")
        else:
            log(f"can run now     {command}")


def _of_the_project(title: str, shipped: ShippedWeights) -> str:
    """Whether weights that come with the project are there, in words."""
    about = f"{title}, start for who has no weights (generated flukes alone)"
    try:
        return f"{'in the project':14}  {about}: {shipped.checked()}"
    except UserError as fault:
        return f"{'unusable':14}  {about}: {fault}"


def _commands(
    workspace: Workspace, nets: Sequence[Net]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """The stages and tools that need no training, each with a check that raises what it lacks."""

    def maker(key: str) -> str:
        return workspace.origin(workspace.file(key)).removeprefix("run ")

    def files(*keys: str, **fields: object) -> None:
        for key in keys:
            require(workspace, workspace.file(key, **fields))

    def score_photos(net: Net) -> None:
        files(*_TABLES, "sample_submission", net.folds)
        for fold in range(FOLDS):
            net.weights.find(workspace.file(f"models_{net.name}"), fold)
        _require_photos(workspace, with_test=True)

    def prepare(net: Net) -> None:
        files("train_csv", "sample_submission", f"test_matrix_{net.name}")
        for fold in range(FOLDS):
            files(f"valid_matrix_{net.name}", fold=fold)

    def identify() -> None:
        files(*_TABLES)
        if not usable and not untrained_start(workspace, nets, nets):
            raise UserError("no net has weights")
        files(*(net.folds for net in usable))
        _require_photos(workspace, with_test=False)

    alone = [net for net in nets if net.threshold is not None]
    for net in nets:
        key = f"test_matrix_{net.name}" if net in alone else f"features_test_{net.name}"
        yield maker(key), lambda net=net: score_photos(net)
    for net in alone:
        yield f"{maker(f'features_{net.name}')} ({net.name})", lambda net=net: prepare(net)
    for net in alone:
        keys = ("train_csv", "sample_submission", f"test_matrix_{net.name}")
        yield maker(f"submission_{net.name}"), lambda keys=keys: files(*keys)
    matrices = [f"features_test_{net.name}" for net in nets]
    yield maker("submission"), lambda: files(*_TABLES, "sample_submission", *matrices)
    usable = [net for net in nets if weights_of(workspace, net)]
    worth = "" if usable else " (untrained start: a shortlist, not an answer)"
    yield f"tools/identify.py{worth}", identify


def _require_photos(workspace: Workspace, with_test: bool) -> None:
    """`UserError` naming the first photo of the tables that is missing."""
    table = workspace.file("train_csv")
    labels = read_labels(table)
    for name in labels.Image[labels.Id != NEW_WHALE]:
        require(workspace, workspace.file("train_photos") / name)
    if with_test:
        for name in read_submission_names(workspace.file("sample_submission")):
            require(workspace, workspace.file("test_photos") / name)
