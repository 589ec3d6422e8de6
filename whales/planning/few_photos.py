"""A work root of few of a root's photos, small enough for every stage to run in minutes a net."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from whales.base.errors import UserError
from whales.base.tables import csv_text
from whales.base.writing import write_text
from whales.files.labels import (
    NEW_WHALE,
    identities_of,
    photos_by_identity,
    read_labels,
    read_submission_names,
)
from whales.files.workspace import Workspace, require
from whales.stages.rehearsal import link_to

# Known identities and the photos of each, new whales, test photos; playground identities. The folds need five
# identities or more, and more than five new whales or none.
IDENTITIES, PHOTOS, NEW, TEST, PLAYGROUND = 8, 5, 6, 4, 4
_LEAST_IDENTITIES = 5
_LINKED = ("boxes_v5", "boxes_playground_v2", "cropping_train_v2", "kernel_warm_start")


def few_photos(workspace: Workspace) -> Workspace:
    """The root `ROOT/rehearsal/few`, made anew: tables of few photos, links to photos and first boxes.

    What was rehearsed there stays. `UserError` where the root has no tables, or too few identities with two
    photos or more.
    """
    few = Workspace(workspace.root / "rehearsal" / "few")
    shutil.rmtree(few.root / "data", ignore_errors=True)
    train = _chosen(workspace, "train_csv", IDENTITIES, NEW)
    if len({*train.values()} - {NEW_WHALE}) < _LEAST_IDENTITIES:
        raise UserError(
            f"{workspace.file('train_csv')}: a rehearsal needs {_LEAST_IDENTITIES} identities with two "
            "photos or more in data/train"
        )
    _lay_out(workspace, few, "train_csv", "train_photos", train.items())
    test = _existing(workspace, "sample_submission", "test_photos")[:TEST]
    _lay_out(
        workspace, few, "sample_submission", "test_photos", ((name, NEW_WHALE) for name in test)
    )
    if workspace.file("playground_train_csv").exists():
        playground = _chosen(workspace, "playground_train_csv", PLAYGROUND, 0)
        photos = "playground_train_photos"
        _lay_out(workspace, few, "playground_train_csv", photos, playground.items())
        key, photos = "playground_sample_submission", "playground_test_photos"
        test = _existing(workspace, key, photos)[:1]
        _lay_out(workspace, few, key, photos, ((name, NEW_WHALE) for name in test))
    settings = workspace.file("settings")
    if settings.exists():
        link_to(settings, few.file("settings"))
    for key in _LINKED:
        for path in workspace.found(key):
            link_to(path, few.root / path.relative_to(workspace.root))
    return few


def _chosen(workspace: Workspace, key: str, identities: int, new: int) -> dict[str, str]:
    """Stem -> identity of the first identities with two photos that are there, and of some new whales."""
    path = require(workspace, workspace.file(key))
    label_of = identities_of(read_labels(path))
    there = ((name, label_of[name]) for name in label_of if _photo(workspace, key, name).exists())
    groups = photos_by_identity(there)
    new_whales = groups.pop(NEW_WHALE, [])
    several = [names for names in groups.values() if len(names) > 1][:identities]
    kept = [name for names in several for name in names[:PHOTOS]]
    # Fewer new whales than the folds can split are none.
    kept += new_whales[:new] if len(new_whales) >= new else []
    return {name: label_of[name] for name in kept}


def _photo(workspace: Workspace, table: str, name: str) -> Path:
    of_train = workspace.train_photo if table == "train_csv" else workspace.playground_train_photo
    return of_train(name)


def _existing(workspace: Workspace, key: str, photos: str) -> list[str]:
    """Stems of a submission's photos that are there."""
    path, folder = workspace.file(key), workspace.file(photos)
    if not path.exists():
        return []
    names = (Path(name).stem for name in read_submission_names(path))
    return [name for name in names if (folder / f"{name}.jpg").exists()]


def _lay_out(
    workspace: Workspace, few: Workspace, key: str, photos: str, rows: Iterable[tuple[str, str]]
) -> None:
    """Write a table of these rows (stem, identity), and link its photos."""
    rows = list(rows)
    table, folder = few.file(key), few.file(photos)
    folder.mkdir(parents=True, exist_ok=True)
    for name, _ in rows:
        link_to(workspace.file(photos) / f"{name}.jpg", folder / f"{name}.jpg")
    lines = [(f"{name}.jpg", identity) for name, identity in rows]
    write_text(table, csv_text(("Image", "Id"), lines, contract=True))
