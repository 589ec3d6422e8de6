"""Decide with your own eyes: a local web page with each query and its candidates side by side.

Reads  the work root's test photos and the nets' test matrices, or --results FILE (the table that
       tools/identify.py --csv writes); data/train.csv, boxes, photos
Writes review/decisions.csv, a row for each decision at once, marks and drawn boxes beside it; with
       --apply OUT.csv --yes a new labels table and OUT_summary.txt instead, never data/train.csv
Run    python3 tools/review.py

Keys: 1 to 5 same whale as that candidate, N new individual, S skip, U undo; the page names the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from whales_tools.box_nets import box_nets
from whales_tools.nets import NETS

from whales.base.console import configure
from whales.files.decisions import DecisionLog
from whales.files.workspace import Workspace
from whales.reviewing.relabelling import apply_decisions
from whales.reviewing.request import add_review_options
from whales.reviewing.review_app import review
from whales.scores.query_results import results_of
from whales.stages.options import ArgumentParser
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__, reads_photos=True)
    add_review_options(parser)
    args = parser.parse_args(argv)
    configure(quiet=False)
    if args.yes and not args.apply:
        parser.error("--yes is for --apply OUT.csv")
    ws = Workspace().existing()
    results = results_of(ws, NETS, args.results)
    decisions = DecisionLog(args.decisions or ws.file("decisions"))
    if args.apply:
        apply_decisions(args.apply, ws, results, decisions, args.yes, args.results)
    else:
        served = args.who, args.host, args.port, not args.no_browser
        more = args.new_names, args.details, box_nets(ws.root)
        review(ws, results, decisions, *served, *more)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
