"""Decide with your own eyes: a local web page with each query and its candidates side by side.

Reads  the work root's test photos and the nets' test matrices, or --results FILE (the table that
       tools/identify.py --csv writes); data/train.csv, boxes, photos
Writes review/decisions.csv, a row for each decision at once; with --apply OUT.csv --yes a new labels
       table and OUT_summary.txt instead, never data/train.csv
Run    python3 tools/review.py

Keys: 1 to 5 same whale as that candidate, N new individual, S skip, U undo; the page names the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whales_tools.nets import NETS

from whales.base.console import configure
from whales.files.decisions import DecisionLog
from whales.files.workspace import Workspace
from whales.reviewing.joining import USUAL_PATTERN, NamePattern
from whales.reviewing.relabelling import apply_decisions
from whales.reviewing.review_app import review
from whales.scores.query_results import results_of
from whales.stages.options import ArgumentParser
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__, reads_photos=True)
    add = parser.add_argument
    add("--results", type=Path, metavar="FILE", help="table of identify.py (else the test photos)")
    add("--decisions", type=Path, metavar="FILE", help="default: the work root's")
    details = (
        "table with a column photo, and date, place, encounter or others, of photos from elsewhere"
    )
    add("--details", type=Path, metavar="TABLE", help=details)
    names = f"of new whales that nobody named (default {USUAL_PATTERN})"
    add("--new-names", type=NamePattern, default=NamePattern(), metavar="PATTERN", help=names)
    add("--who", metavar="NAME", help="who decides (default: the login name)")
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    add("--port", type=int, default=8765, help="0 for any free one (default 8765)")
    add("--no-browser", action="store_true", help="do not open the page")
    add("--apply", type=Path, metavar="OUT.csv", help="say what new labels would hold, no page")
    add("--yes", action="store_true", help="with --apply: write them")
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
        review(ws, results, decisions, *served, args.new_names, args.details)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
