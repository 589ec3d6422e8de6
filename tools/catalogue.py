"""The catalogue grows: decided photos become known ones; individuals are merged, split and renamed.

Reads  review/decisions.csv, the work root's tables; with --results the photos of a season, wherever they lie
Writes with --yes: data/train.csv, data/train, data/import.csv, boxes, folds, review/changes.csv; the test
       photos that became known leave data/sample_submission.csv. Without --yes it only says what would be
Run    python3 tools/catalogue.py add --results found.csv [--decisions d.csv] [--details dates.csv] --yes
       or one of: merge Alba new_0003, split Alba PHOTO .. --as Brava, rename new_0001 Nova, undo

Nets, features of known photos and the folds of old photos stay: the next season can begin at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from whales.base.console import configure
from whales.files.workspace import Workspace
from whales.reviewing.catalogue_changes import add_change_options, change
from whales.stages.options import ArgumentParser
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__, reads_photos=True)
    add_change_options(parser, ArgumentParser)
    args = parser.parse_args(argv)
    configure(quiet=False)
    change(Workspace().existing(), args)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
