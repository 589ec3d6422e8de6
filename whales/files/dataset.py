"""The photos that a stage trains on, validates with or scores: stems, with identities and boxes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from whales.base.errors import UserError
from whales.base.pickles import load
from whales.files.boxes import Box, checked_boxes
from whales.files.folds import checked_fold
from whales.files.labels import (
    NEW_WHALE,
    boxed_photos_by_identity,
    identities_of,
    lines_of,
    photos_by_identity,
    read_labels,
    read_submission_names,
    stem,
)
from whales.files.sides import NO_SIDES, Sides, have_mismatch, read_sides, side_tables
from whales.files.workspace import Workspace

# The tables that name photos; no photo is in two of them.
PHOTO_TABLES = (
    "train_csv", "sample_submission", "playground_train_csv", "playground_sample_submission",
)  # fmt: skip


def load_boxes(workspace: Workspace) -> dict[str, Box]:
    """Final boxes of all photos, playground included: stem -> (x1, y1, x2, y2).

    `UserError` naming file and photo where an entry is no box of four finite numbers.
    """
    files = [workspace.file(key) for key in ("boxes_averaged_playground", "boxes_averaged")]
    return {name: box for path in files for name, box in checked_boxes(load(path), path).items()}


def boxed_training_photos(workspace: Workspace) -> dict[str, list[str]]:
    """Identity (`new_whale` included) -> photo names in train.csv that have a final box, in file order.

    `UserError` as `load_boxes`, and where no photo has a box.
    """
    labels = workspace.file("train_csv")
    photos = boxed_photos_by_identity(labels, load_boxes(workspace))
    if not photos:
        raise UserError(
            f"no photo of {labels} has a box in {workspace.file('boxes_averaged')}; one of them is of "
            "another data set"
        )
    return photos


def crop_tables(workspace: Workspace) -> list[Path]:
    """Files that say how every photo is cut: the final boxes, and the root's settings if it has any."""
    keys = ["boxes_averaged", "boxes_averaged_playground"]
    keys += ["settings"] * workspace.file("settings").exists()
    return [workspace.file(key) for key in keys]


def training_identities(workspace: Workspace) -> dict[str, str]:
    """Every photo of train.csv: stem -> identity, `new_whale` included.

    `UserError` as `read_labels` and `check_apart`.
    """
    identity_of = identities_of(read_labels(workspace.file("train_csv")))
    check_apart(workspace, "train_csv", identity_of)
    return identity_of


def check_apart(workspace: Workspace, key: str, names: Collection[str]) -> None:
    """`UserError` with both lines where a photo of one table of photos is in another one too.

    Boxes, folds and scores are kept by photo name, whatever table it is in. key: of the table in the work
    root; names: its photos (stems). Tables that are not there are passed over.
    """
    path = workspace.file(key)
    for other in PHOTO_TABLES:
        table = workspace.file(other)
        if other == key or not table.exists():
            continue
        lines = lines_of(table)
        both = lines.keys() & {*names}
        if both:
            name = min(both, key=list(lines).index)
            raise UserError(
                f"{lines_of(path)[name]}: photo {name} is in {lines[name]}, too; each photo belongs to "
                "one table: take it out of the other, or rename one of two photos"
            )


def known_photos(identity_of: Mapping[str, str], boxes: Mapping[str, Box]) -> list[str]:
    """Stems of photos with an identity and a box, sorted: the columns of every matrix."""
    return sorted(
        name for name, identity in identity_of.items() if identity != NEW_WHALE and name in boxes
    )


def test_photos(workspace: Workspace) -> list[str]:
    """Stems of the submission's photos, in its order; `UserError` as `training_identities`."""
    names = [stem(name) for name in read_submission_names(workspace.file("sample_submission"))]
    check_apart(workspace, "sample_submission", names)
    return names


@dataclass(frozen=True)
class TrainingData:
    """The photos that a training sees, by stem.

    train: stem -> identity to train on, each identity with two photos or more; rows, columns: of the
    validation's score matrix, validation photos and known photos; identity_of: stem -> identity of
    those; source: the table that names the photos to train on, for messages; sides: of all these photos,
    which decide, with the identity, who has another photo.
    """

    train: dict[str, str]
    rows: list[str]
    columns: list[str]
    identity_of: dict[str, str]
    source: Path
    sides: Sides = NO_SIDES

    def checked(self) -> TrainingData:
        """The same data; `UserError` where it has fewer than two identities to train on that compare."""
        if len(set(self.train.values())) < 2:
            raise UserError(
                f"{self.source}: training needs two identities or more with two readable, boxed photos each, "
                f"received {len(set(self.train.values()))}; check labels, boxes and photos"
            )
        if not _has_mismatch(self.train, self.sides):
            raise UserError(
                f"{self.source}: training needs photos of two identities that can be compared, and each "
                "shows another side than the others; check the sides in data/import.csv"
            )
        return self

    def few(self, photos: int) -> TrainingData:
        """The first identities, with so many photos to train on, and as many photos to validate on.

        At least two identities, whole; rows and columns of the validation in their order. For rehearsals.
        """
        kept: dict[str, str] = {}
        groups = photos_by_identity(self.train.items())
        for number, (identity, names) in enumerate(groups.items()):
            few = number < 2 or not _has_mismatch(kept, self.sides)
            if few or len(kept) + len(names) <= photos:
                kept.update(dict.fromkeys(names, identity))
        return replace(self, train=kept, rows=self.rows[:photos], columns=self.columns[:photos])

    def only(self, names: set[str]) -> TrainingData:
        """The data without photos outside `names`, and without identities left with a single photo.

        `UserError` as `checked`.
        """
        kept = {name: identity for name, identity in self.train.items() if name in names}
        return replace(
            self,
            train=_with_mates(kept, self.sides),
            rows=[name for name in self.rows if name in names],
            columns=[name for name in self.columns if name in names],
        ).checked()


def training_data(
    workspace: Workspace, folds: str, fold: int | None, boxes: dict[str, Box]
) -> TrainingData:
    """Photos of one fold; without a fold the playground's, validated on fold 0 (warm starts).

    folds: key of the splits in the work root; boxes: stem -> box. `UserError` where a table is missing
    or damaged, the fold is absent, or there are fewer than two identities to train on.
    """
    identity_of = training_identities(workspace)
    path = workspace.file(folds)
    columns, rows = checked_fold(load(path), fold or 0, path, identity_of)
    sides = read_sides(workspace)
    _check_complete({*rows, *columns}, identity_of, boxes, path, sides)
    if fold is None:
        playground = identities_of(read_labels(workspace.file("playground_train_csv")))
        train = {name: playground[name] for name in known_photos(playground, boxes)}
    else:
        train = {name: identity_of[name] for name in columns}
    train = _with_mates(train, sides)
    source = path if fold is not None else workspace.file("playground_train_csv")
    return TrainingData(train, rows, columns, identity_of, source, sides).checked()


def _check_complete(
    split: Collection[str],
    identity_of: Mapping[str, str],
    boxes: Mapping[str, Box],
    source: Path,
    sides: Sides,
) -> None:
    """`UserError` where a split, of other tables, lacks a boxed photo of an identity that has several."""
    boxed = {name: identity_of[name] for name in known_photos(identity_of, boxes)}
    missing = [name for name in _with_mates(boxed, sides) if name not in split]
    if missing:
        raise UserError(
            f"{source}: photo {missing[0]} of train.csv is neither in train nor in valid "
            f"({len(missing)} are missing); run the fold stage again"
        )


def _with_mates(train: dict[str, str], sides: Sides) -> dict[str, str]:
    """The photos of `train` (stem -> identity) whose identity has another, comparable photo in it."""
    groups = photos_by_identity(train.items())
    return {
        name: identity for identity, names in groups.items() for name in sides.comparable(names)
    }


def _has_mismatch(train: Mapping[str, str], sides: Sides) -> bool:
    """Whether two photos of `train` (stem -> identity) show two identities and can be compared."""
    return have_mismatch(train.values(), (sides.side_of.get(name, "") for name in train))


def training_reads(workspace: Workspace, folds: str, fold: int | None) -> list[Path]:
    """The tables that a training reads."""
    keys = ["train_csv", folds, *["playground_train_csv"] * (fold is None)]
    files = [workspace.file(key) for key in keys] + crop_tables(workspace)
    return files + side_tables(workspace)
