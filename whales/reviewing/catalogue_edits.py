"""The catalogue's tables after a change of labels, all of them at once: labels, names, boxes, folds, stamps.

The work of the stages that make boxes and folds is done here too, for the photos that are new, so that their
stamps go on. Stamps of trainings and inference stay as they are: what they were made from is another
catalogue, and they say so when they are called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whales.base.errors import UserError
from whales.base.pickles import load, pickled
from whales.base.plain_json import read_json
from whales.base.tables import csv_text, read_csv, read_table
from whales.files.boxes import Box, checked_boxes
from whales.files.changes import Change, changes_text, read_changes
from whales.files.digests import bytes_digest
from whales.files.folds import extended_folds
from whales.files.import_table import IMPORT_COLUMNS, TRAIN
from whales.files.labels import (
    checked_labels,
    photos_by_identity,
    read_labels,
    stem,
    with_jpg,
)
from whales.files.root_edits import RootEdit
from whales.files.sides import read_sides, side_column
from whales.files.stamps import restamped
from whales.files.workspace import Workspace

# The folds of a root, and how photos are named in them.
_ENDINGS = {"folds_v1": ".npy", "folds_v2": ".npy", "folds_kernel": ".jpg"}
# First and final boxes: a photo that only the first table has keeps its box in the final one.
_BOXES = ("boxes_v5", "boxes_averaged")
# The stages whose work is done here for new photos.
_DONE_HERE = (
    "r10_create_kfold_split", "kernel_snn.kfold_splits_for_kernel", "retinanet.r32_average_boxes",
)  # fmt: skip


@dataclass
class Relabelled:
    """What is to become of the catalogue.

    identity_of: stem -> identity of the photos that are new, or get another one; whole: identities that are
    called otherwise from now on, all their photos; names: identity -> as people wrote it, where it is new or
    its name is another; rows: stem -> columns of data/import.csv of new photos;
    boxes: of new photos; tested: stems of test photos that become known; edit: new photos and moves.
    """

    identity_of: dict[str, str] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    boxes: dict[str, Box] = field(default_factory=dict)
    tested: set[str] = field(default_factory=set)
    edit: RootEdit = field(default_factory=RootEdit)


def complete(workspace: Workspace, wanted: Relabelled, trace: Sequence[Change]) -> RootEdit:
    """The edit that brings all tables up to what is wanted, and adds `trace` to the list of changes."""
    tables: dict[str, bytes] = {}
    labels = read_labels(workspace.file("train_csv"))
    pairs = list(zip(labels.Image, labels.Id, strict=True))
    old = {stem(image) for image, _ in pairs}
    pairs = [(image, wanted.identity_of.get(stem(image), who)) for image, who in pairs]
    pairs += [(with_jpg(n), who) for n, who in wanted.identity_of.items() if n not in old]
    checked_labels(pairs, f"{workspace.file('train_csv')} is not written: it would be refused")
    tables["train_csv"] = csv_text(("Image", "Id"), pairs, contract=True).encode()
    for key in ("sample_submission", "test_labels"):
        path = workspace.file(key)
        if path.exists() and (wanted.tested or (key == "test_labels" and wanted.whole)):
            tables[key] = _answers(path, wanted)
    text = _import_table(workspace, wanted)
    if text is not None:
        tables["import_table"] = text.encode()
    boxed: list[Mapping[str, Box]] = []
    for key in (*_BOXES, "boxes_averaged_playground"):
        path = workspace.file(key)
        if path.exists():
            boxed.append(checked_boxes(load(path), path))
            if wanted.boxes and key in _BOXES:
                tables[key] = pickled({**boxed[-1], **wanted.boxes})
    boxed.append(wanted.boxes)
    photos = photos_by_identity(
        (stem(image), who) for image, who in pairs if any(stem(image) in b for b in boxed)
    )
    sides = read_sides(workspace).and_of(wanted.rows)
    for key, ending in _ENDINGS.items():
        if workspace.file(key).exists():
            folds = extended_folds(load(workspace.file(key)), photos, ending, sides)
            tables[key] = pickled(folds)
    edit = wanted.edit
    edit.tables = {workspace.file(key): content for key, content in tables.items()}
    edit.tables |= _stamps(workspace, edit.tables)
    rows = [*read_changes(workspace), *trace]
    edit.tables[workspace.file("changes")] = changes_text(rows).encode()
    return edit


def _answers(path: Path, wanted: Relabelled) -> bytes:
    """A table `Image,Id` of test photos without those that are known now, identities as they are called."""
    table, _ = read_csv(path, complete=False)
    table = table[[stem(name) not in wanted.tested for name in table["Image"]]]
    if "Id" in table and wanted.whole:
        table = table.assign(Id=[wanted.whole.get(who, who) for who in table["Id"]])
    rows = table.itertuples(index=False, name=None)
    return csv_text(list(table.columns), rows, contract=True).encode()


def _import_table(workspace: Workspace, wanted: Relabelled) -> str | None:
    """data/import.csv with new photos, and individuals as they are called now; None for no such table."""
    path = workspace.file("import_table")
    if not path.exists() and not (wanted.rows or wanted.names):
        return None
    columns, rows = list(IMPORT_COLUMNS), []
    if path.exists():
        table, _ = read_table(path)
        columns, rows = list(table.columns), table.to_dict("records")
    there = {stem(row["Image"]): row for row in rows}
    written = {row["Id"]: row["identity"] for row in reversed(rows) if row["identity"]}
    written |= wanted.names
    fresh = dict(wanted.rows)
    if wanted.names and not path.exists():
        # Names that no identity may have live in this table alone: its photos need a row.
        named = {n: who for n, who in wanted.identity_of.items() if who in wanted.names}
        fresh |= {name: _row_in_root(workspace, name) for name in named if name not in fresh}
    for name, row in fresh.items():
        there[name] = {**there.get(name, {}), **row}
    columns += [c for row in fresh.values() for c in row if c not in columns]
    for name, row in there.items():
        before = row.get("Id", "")  # none yet of a new photo
        row["Id"] = wanted.identity_of.get(name) or wanted.whole.get(before, before)
        changed = name in wanted.identity_of or before in wanted.whole or row["Id"] in wanted.names
        if changed:
            row["identity"] = written.get(row["Id"], row["Id"])
    columns = list(dict.fromkeys(columns))
    side_column(columns, f"{path} is not written")
    return csv_text(columns, [[row.get(c, "") for c in columns] for row in there.values()])


def _row_in_root(workspace: Workspace, name: str) -> dict[str, str]:
    image = with_jpg(name)
    path = str(workspace.train_photo(name))
    return {"Image": image, "original": image, "path": path, "date": "", "split": TRAIN}


def _stamps(workspace: Workspace, tables: Mapping[Path, bytes]) -> dict[Path, bytes]:
    """The stamps of the stages whose work is done here, where it was done before."""
    changed = {
        path.relative_to(workspace.root).as_posix(): (
            workspace.digests.of(path) if path.exists() else "",
            bytes_digest(content),
        )
        for path, content in tables.items()
    }
    stamps = {}
    for stage in _DONE_HERE:
        path = workspace.file("stamp", stage=stage)
        try:
            stamp = read_json(path)
        except (FileNotFoundError, UserError):  # never run, or damaged: it will run
            continue
        renewed = restamped(stamp, changed) if isinstance(stamp, dict) else None
        if renewed is not None:
            stamps[path] = json.dumps(renewed, indent=1).encode()
    return stamps
