"""Give out who is in each photo: answers and people's decisions, in the forms of other programs.

Reads  submission/final_submit_with_post_proc.csv (or --answers FILE), data/train.csv, boxes;
       review/decisions.csv, if it is there: a decision wins over the ranked answers;
       data/import.csv, if it is there: dates, and the names that photos and identities came with
Writes what is asked for
Run    python3 tools/export_results.py --csv matches.csv --folders sorted/

A photo whose first answer is new_whale, or that people called new, is `unmatched`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import require_new
from whales.exchange import exporting
from whales.files.import_table import TEST, UNMATCHED
from whales.files.workspace import Workspace
from whales.stages.stage import run


def main(argv=None):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    for name, what in {
        "csv": "table of photos, individuals, boxes and the five answers",
        "xlsx": "the same as a workbook",
        "coco": "COCO JSON, an individual a category",
        "capture-histories": "individual x occasion of 0 and 1, labelled photos too; "
        "MARK's lines if the name ends in .inp, a workbook if in .xlsx, else CSV",
    }.items():
        add(f"--{name}", type=Path, metavar="FILE", help=what)
    add("--folders", type=Path, metavar="OUT", help="a folder per individual, and unmatched")
    add("--with-labelled", action="store_true", help="the labelled photos as well, in all of them")
    add("--occasions", choices=exporting.OCCASIONS, help="default: the finest that all dates have")
    add("--link", action="store_true", help="links instead of copies in --folders")
    add("--answers", type=Path, metavar="FILE", help="default: the ensemble's submission")
    add("--decisions", type=Path, metavar="FILE", help="default: the work root's")
    args = parser.parse_args(argv)
    if not (args.csv or args.xlsx or args.coco or args.capture_histories or args.folders):
        raise UserError("nothing to write; give --csv, --xlsx, --coco, --folders or another")
    if args.xlsx and args.xlsx.suffix.lower() != ".xlsx":
        raise UserError(f"--xlsx {args.xlsx}: the name must end in .xlsx")
    if args.folders:
        require_new(args.folders)
    workspace = Workspace()
    sightings = exporting.read_sightings(workspace, args.answers, args.decisions)
    chosen = [s for s in sightings if args.with_labelled or s.split == TEST]
    # All is computed, and all photos are found, before the first file is written.
    table = exporting.sightings_table(chosen)
    content = exporting.coco(chosen, workspace) if args.coco else {}
    if args.capture_histories:
        histories, left_out = exporting.capture_histories(sightings, args.occasions)
        for reason, photos in left_out.items():
            log(f"capture histories: {photos} photos {reason} capture nobody")
    if args.folders:
        exporting.write_folders(args.folders, chosen, workspace, args.link)
    for path in filter(None, (args.csv, args.xlsx)):
        exporting.write_table(path, table)
    if args.coco:
        exporting.write_coco(args.coco, content)
    if args.capture_histories:
        exporting.write_histories(args.capture_histories, histories)
    matched = sum(s.individual != UNMATCHED for s in chosen)
    decided = sum(s.source == "decision" for s in chosen)
    log(f"{len(chosen)} photos, {matched} matched, {decided} of them decided by people")


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
