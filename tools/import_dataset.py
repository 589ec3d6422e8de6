"""Lay other people's data out as a work root: photos turned upright, tables, boxes.

Reads  SOURCE: a folder per identity (photos beside the folders are not labelled), a table (.csv, .tsv,
       .xlsx; Wildbook's too), COCO, VIA or Camtrap DP (.json), CVAT (.xml, .json)
Writes ROOT/data, ROOT/modified_data; data/import.csv says what became of each photo and identity, and
       carries all other columns; data/settings.json keeps --anisotropy;
       test_labels.csv, never read by a stage, where all test photos are labelled
Run    python3 tools/import_dataset.py SOURCE ROOT --test-share .2 --whole-frame-boxes

What looks odd in the identities is said before anything is written (docs/catalogue.md); --strict refuses it.
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

from collections.abc import Mapping, Sequence
from pathlib import Path

from whales.base.console import configure
from whales.exchange.import_plan import add_import_options, import_dataset, plan_of
from whales.files.boxes import Box
from whales.files.workspace import Workspace
from whales.stages.options import ArgumentParser, RunOptions
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__)
    add_import_options(parser)
    args = parser.parse_args(argv)
    configure(quiet=False)
    root = args.detector and Workspace(args.detector)
    detector = RunOptions(root, args.profile, workers=args.workers) if root else None
    plan = plan_of(vars(args), detector)
    import_dataset(plan, find_boxes)


def find_boxes(photos: Sequence[Path], options: RunOptions) -> Mapping[Path, Sequence[Box]]:
    """Boxes that the detector of a work root finds in photos, pixels; none where it finds none."""
    from retinanet.detector.find_flukes import boxes_of

    return boxes_of(photos, options)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
