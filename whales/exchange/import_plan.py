"""What is to be imported, how a command line says it, and the walk from a source to a work root."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import require_new
from whales.exchange import importing
from whales.exchange.drawing import draw_playground, draw_test
from whales.exchange.forms import Form, Record, add_form_options, read_source
from whales.exchange.oddities import merge_alike, odd_identities
from whales.files.boxes import Box
from whales.files.import_table import PLAYGROUND, TEST
from whales.files.labels import NEW_WHALE
from whales.files.settings import ANISOTROPY
from whales.stages.options import (
    PROFILE_CHOICES,
    RunOptions,
    add_photo_limit,
    positive,
    record_of,
    seed,
)

# (photos, options of the detector's work root) -> photo -> its boxes in pixels, none where it finds none
FindBoxes = Callable[[Sequence[Path], RunOptions], Mapping[Path, Sequence[Box]]]


@dataclass(frozen=True)
class ImportPlan:
    """What is to be laid out as the work root `root`, which must be new or empty.

    source: folder, table or COCO JSON; photos: where the names of a table begin (None: its folder);
    test, playground: sources of their own; test_share of the train photos and playground_share of the
    identities are drawn, with `seed`; form: how tables name things; detector: how to run the detector
    that finds missing boxes (None: none does); strict: refuse identities that look odd; same_names: those
    whose names are alike are one animal; ignore_exif: take no date and place from the cameras; dry_run: say
    all, write nothing; the rest as in `importing.check` and `importing.write_root`. Raises `UserError` for a
    root that is there, and a detector that is not.
    """

    source: Path
    root: Path
    photos: Path | None = None
    test: Path | None = None
    test_share: float | None = None
    playground: Path | None = None
    playground_share: float | None = None
    seed: int = 0
    form: Form = field(default_factory=Form)
    detector: RunOptions | None = None
    whole_frame_boxes: bool = False
    without_detector: bool = False
    anisotropy: float | None = None
    link: bool = False
    skip_broken_photos: bool = False
    strict: bool = False
    same_names: bool = False
    ignore_exif: bool = False
    dry_run: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        require_new(self.root)
        if self.detector and not self.detector.workspace.found("retinanet_converted"):
            raise UserError(
                f"--detector {self.detector.workspace.root}: no converted detector there; run "
                "retinanet/r31_convert_retinanet_model.py for it"
            )


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `plan_of` reads."""
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE")
    add("root", type=Path, metavar="ROOT", help="work root to make; new or empty")
    add("--photos", type=Path, metavar="FOLDER", help="where a table's names begin (its folder)")
    add("--test", type=Path, metavar="SOURCE", help="test photos from here; need no identity")
    add("--test-share", type=share, metavar="S", help="of the train photos, drawn for the test")
    add("--playground", type=Path, metavar="SOURCE", help="playground photos from here")
    add("--playground-share", type=share, metavar="S", help="of the identities, for the playground")
    add("--seed", type=seed, default=0, help="of what is drawn (default 0)")
    add_form_options(parser)
    add("--detector", type=Path, metavar="ROOT", help="whose detector finds missing boxes")
    add("--profile", choices=PROFILE_CHOICES, default="", help="of that detector (its root's)")
    add("--whole-frame-boxes", action="store_true", help="for photos without a box")
    add("--without-detector", action="store_true", help="keep these boxes, see above")
    shape = f"width : height of crops, about that of the boxes (default {ANISOTROPY}, a fluke's)"
    add("--anisotropy", type=ratio, metavar="A", help=shape)
    add("--link", action="store_true", help="link JPEGs that need no change instead of copying")
    add("--strict", action="store_true", help="write nothing where identities look odd")
    add(
        "--same-names", action="store_true", help="one animal where names differ by case, marks, .."
    )
    add("--ignore-exif", action="store_true", help="no dates and places of the cameras")
    add("--dry-run", action="store_true", help="say what would be written, and write nothing")
    add("--skip-broken-photos", action="store_true", help="leave out photos that cannot be read")
    add_photo_limit(parser)
    add("--workers", type=positive, default=os.cpu_count(), help="threads that read photos")


def plan_of(values: Mapping[str, object], detector: RunOptions | None) -> ImportPlan:
    """The plan that the values of `add_import_options` say; `UserError` as for `ImportPlan`."""
    form = record_of(Form, values)
    if values.get("test_share") and form.split is None:
        form = replace(form, split="")  # what is drawn replaces a split that nobody named
    return record_of(ImportPlan, {**values, "form": form, "detector": detector})


def share(text: str) -> float:
    """Parser of an argument that is a share, above 0 and below 1."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, received {text}")


def ratio(text: str) -> float:
    """Parser of an argument that is a number above 0."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number above 0, received {text}")


def import_dataset(plan: ImportPlan, find_boxes: FindBoxes) -> None:
    """Read, draw, check, and lay out a work root; says in the log what it holds.

    find_boxes: called for photos without a box, if the plan has a detector. `UserError` naming file
    and row for all that is wrong in the sources.
    """
    records = _named(_read(plan), plan)
    if not plan.ignore_exif:  # before any are drawn: photos of one animal and day stay together
        records = importing.with_camera_notes(records, plan.workers)
    records = _drawn(records, plan)
    frame_for_all = plan.whole_frame_boxes or plan.detector is not None
    checked = importing.check(records, frame_for_all, plan.skip_broken_photos, plan.workers)
    _say_oddities(checked, plan)
    if plan.dry_run:
        log(*importing.notes(checked), "nothing was written (--dry-run)")
        return
    bare = {record.path for record in records if record.box is None}
    bare &= {record.path for record in checked}  # those that can be read
    if plan.detector and bare:
        boxes = find_boxes(sorted(bare), plan.detector)
        checked = [
            replace(record, box=tuple(boxes[record.path][0])) if boxes.get(record.path) else record
            for record in checked
        ]
    layout = plan.link, plan.without_detector, plan.workers, plan.anisotropy
    importing.write_root(plan.root, checked, *layout)
    log(*importing.notes(checked))
    log(f"wrote {plan.root}; run the stages with WHALES_ROOT={plan.root.resolve()}")


def _say_oddities(records: Sequence[Record], plan: ImportPlan) -> None:
    found = odd_identities(records, plan.form)
    if found:
        log("what looks odd in the identities:", *(f"- {line}" for line in found))
    if found and plan.strict:
        raise UserError(
            f"{len(found)} things look odd in the identities (--strict), nothing was written; the first: "
            f"{found[0]}"
        )


def _named(records: list[Record], plan: ImportPlan) -> list[Record]:
    if not plan.same_names:
        return records
    merged, changes = merge_alike(records)
    log(*changes)
    return merged


def _read(plan: ImportPlan) -> list[Record]:
    records = read_source(plan.source, plan.form, plan.photos)
    for split, source in ((TEST, plan.test), (PLAYGROUND, plan.playground)):
        if source:
            more = read_source(source, plan.form, plan.photos, split)
            records += _unlabelled(more, records, source) if split == TEST else more
    return records


def _unlabelled(
    records: Sequence[Record], known: Sequence[Record], source: Path
) -> Sequence[Record]:
    """Test photos of a folder without its folders as identities, where none of these is a known one.

    They are those of cameras and days.
    """
    names = {record.identity for record in records if record.folders} - {"", NEW_WHALE}
    if not names or names & {record.identity for record in known}:
        return records
    log(f"{source}: none of its folders is a known identity, so that its photos are not labelled")
    return [replace(r, identity="", written="") if r.folders else r for r in records]


def _drawn(records: list[Record], plan: ImportPlan) -> list[Record]:
    rng = np.random.default_rng(plan.seed)
    if plan.playground_share:
        records = draw_playground(records, plan.playground_share, rng)
    if plan.test_share:
        records = draw_test(records, plan.test_share, rng)
    return records
