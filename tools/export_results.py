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

from whales.base.console import configure
from whales.exchange.exporting import Exports, add_export_options, export
from whales.exchange.sightings import read_sightings
from whales.files.workspace import Workspace
from whales.stages.options import ArgumentParser, record_of
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__, reads_photos=True)
    add_export_options(parser)
    args = parser.parse_args(argv)
    configure(quiet=False)
    exports = record_of(Exports, vars(args))
    workspace = Workspace().existing()
    named = args.answers, args.decisions, args.results, args.details
    export(exports, read_sightings(workspace, *named), workspace)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
