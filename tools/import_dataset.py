"""Lay other people's data out as a work root: photos turned upright, tables, boxes.

Reads  SOURCE: a folder per identity (photos beside the folders are not labelled), a table (.csv, .tsv,
       .xlsx; also the metadata of wildlife-datasets), or COCO JSON (categories are the identities)
Writes ROOT/data, ROOT/modified_data; data/import.csv says what became of each photo and identity,
       data/settings.json keeps --anisotropy;
       test_labels.csv, never read by a stage, where all test photos are labelled
Run    python3 tools/import_dataset.py SOURCE ROOT --test-share .2 --whole-frame-boxes

Boxes are in pixels of the upright photo. The stages need, besides train and test photos:
- Boxes of all photos: from the table; found by the detector of another work root (--detector ROOT, the
  whole frame where it finds nothing); or --whole-frame-boxes. With boxes that can stay as they are no
  detector has to be trained: --without-detector, then run
      retinanet/r10_create_csv_for_retinanet.py, retinanet/r32_average_boxes.py, r10_create_kfold_split.py
  Else retinanet/r30, r31 and r31 (README order) come before r32, which refuses without their boxes.
- Playground whales, other than those of train and test, for the warm starts of v5 and v6. Without
  --playground or --playground-share the playground is empty: leave these stages out, and start the
  first stage on folds with other weights (r15_..._384px.py FOLD --weights imagenet, or none).
- Five identities or more, and no new_whale in train or five.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import require_new
from whales.exchange import forms, importing
from whales.exchange.importing import ratio, share
from whales.files.settings import ANISOTROPY
from whales.files.workspace import Workspace
from whales.stages.options import PROFILE_CHOICES, RunOptions, positive
from whales.stages.stage import run


def add_options(parser):
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE")
    add("root", type=Path, metavar="ROOT", help="work root to make; new or empty")
    add("--photos", type=Path, metavar="FOLDER", help="where a table's names begin (its folder)")
    add("--test", type=Path, metavar="SOURCE", help="test photos from here; need no identity")
    add("--test-share", type=share, metavar="S", help="of the train photos, drawn for the test")
    add("--playground", type=Path, metavar="SOURCE", help="playground photos from here")
    add("--playground-share", type=share, metavar="S", help="of the identities, for the playground")
    add("--seed", type=int, default=0, help="of what is drawn (default 0)")
    forms.add_form_options(parser)
    add("--detector", type=Path, metavar="ROOT", help="whose detector finds missing boxes")
    add("--profile", choices=PROFILE_CHOICES, default="full", help="of that detector")
    add("--whole-frame-boxes", action="store_true", help="for photos without a box")
    add("--without-detector", action="store_true", help="keep these boxes, see above")
    shape = f"width : height of crops, about that of the boxes (default {ANISOTROPY}, a fluke's)"
    add("--anisotropy", type=ratio, metavar="A", help=shape)
    add("--link", action="store_true", help="link JPEGs that need no change instead of copying")
    add("--skip-broken-photos", action="store_true", help="leave out photos that cannot be read")
    add("--workers", type=positive, default=os.cpu_count(), help="threads that read photos")


def main(argv=None):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add_options(parser)
    args = parser.parse_args(argv)
    require_new(args.root)
    if args.test_share and args.split is None:
        args.split = ""  # what is drawn replaces a split that nobody named
    detector = Workspace(args.detector) if args.detector else None
    if detector and not detector.found("retinanet_converted"):
        raise UserError(
            f"--detector {detector.root}: no converted detector there; run "
            "retinanet/r31_convert_retinanet_model.py for it"
        )
    form = forms.form_of(args)
    records = forms.read_source(args.source, form, args.photos)
    for part, source in (("test", args.test), ("playground", args.playground)):
        if source:
            records += forms.read_source(source, form, args.photos, part)
    rng = np.random.default_rng(args.seed)
    if args.playground_share:
        records = importing.draw_playground(records, args.playground_share, rng)
    if args.test_share:
        records = importing.draw_test(records, args.test_share, rng)
    checks = args.whole_frame_boxes or detector, args.skip_broken_photos, args.workers
    checked = importing.check(records, *checks)
    if detector and any(record.box is None for record in records):
        bare = {record.path for record in records if record.box is None}
        checked = with_found_boxes(checked, bare, detector, args)
    layout = args.link, args.without_detector, args.workers, args.anisotropy
    importing.write_root(args.root, checked, *layout)
    log("\n".join(importing.notes(checked)))
    log(f"wrote {args.root}; run the stages with WHALES_ROOT={args.root.resolve()}")


def with_found_boxes(records, bare, detector, args):
    """Boxes that a work root's detector finds, for the photos (paths) of `bare`; others keep theirs."""
    from retinanet.detector.find_flukes import boxes_of

    options = RunOptions(detector, args.profile, workers=args.workers)
    found = boxes_of(sorted(bare), options)
    return [replace(r, box=found[r.path][0]) if found.get(r.path) else r for r in records]


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
