"""Give out who is in each photo: answers and people's decisions, in the forms of other programs.

Reads  submission/final_submit_with_post_proc.csv (or --answers FILE), data/train.csv, boxes;
       or --results FILE .., tables of tools/identify.py, whose photos may lie anywhere;
       review/decisions.csv, if it is there: a decision wins over the ranked answers;
       data/import.csv, if it is there: dates, and the names that photos and identities came with
Writes what is asked for
Run    python3 tools/export_results.py --results found.csv --csv matches.csv --folders sorted/

A photo whose first answer is new_whale, or that people called new, is `unmatched`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from whales.base.console import configure
from whales.exchange.exporting import OCCASIONS, Exports, export
from whales.exchange.sightings import read_sightings
from whales.exchange.wildbook import SPECIES
from whales.files.workspace import Workspace
from whales.stages.options import ArgumentParser
from whales.stages.stage import run

FORMS = {
    "csv": "table of photos, individuals, boxes and the five answers",
    "xlsx": "the same as a workbook",
    "coco": "COCO JSON, an individual a category",
    "capture-histories": "individual x occasion of 0 and 1, labelled photos too; "
    "MARK's lines if the name ends in .inp, a workbook if in .xlsx, else CSV",
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__, reads_photos=True)
    add = parser.add_argument
    for name, meaning in FORMS.items():
        add(f"--{name}", type=Path, metavar="FILE", help=meaning)
    add("--folders", type=Path, metavar="OUT", help="a folder per individual, and unmatched")
    bulk = "photos and workbooks for the bulk import of Wildbook and Flukebook"
    add("--wildbook", type=Path, metavar="OUT", help=bulk)
    add("--species", default=SPECIES, help=f"in these workbooks (default: {SPECIES})")
    add("--decided-only", action="store_true", help="no photo that nobody has decided on")
    add("--with-labelled", action="store_true", help="the labelled photos as well, in all of them")
    add("--occasions", choices=OCCASIONS, help="default: the finest that all dates have")
    add("--link", action="store_true", help="links instead of copies in --folders")
    add("--answers", type=Path, metavar="FILE", help="default: the ensemble's submission")
    queries = "tables of identify.py, whose photos are given out in place of the test photos"
    add("--results", type=Path, nargs="+", default=[], metavar="FILE", help=queries)
    details = "table with a column photo, and date or any others, of photos from elsewhere"
    add("--details", type=Path, metavar="TABLE", help=details)
    add("--decisions", type=Path, metavar="FILE", help="default: the work root's")
    args = parser.parse_args(argv)
    configure(quiet=False)
    exports = Exports(**{field.name: getattr(args, field.name) for field in fields(Exports)})
    workspace = Workspace().existing()
    named = args.answers, args.decisions, args.results, args.details
    sightings = read_sightings(workspace, *named)
    export(exports, sightings, workspace)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
