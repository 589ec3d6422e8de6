"""Decide with your own eyes: a local web page with each query and its candidates side by side.

Reads  the work root's test photos and the nets' test matrices, or --results FILE (the table that
       tools/identify.py --csv writes); data/train.csv, boxes, photos
Writes review/decisions.csv, a row for each decision at once; with --apply OUT.csv --yes a new labels
       table and OUT_summary.txt instead, never data/train.csv
Run    python3 tools/review.py

Keys: 1 to 5 same whale as that candidate, N new individual, S skip, U undo; the page names the rest.
"""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from whales_tools.nets import NETS

from whales.base.console import log
from whales.base.errors import UserError
from whales.files.decisions import DecisionLog, checked_name, login_name
from whales.files.workspace import Workspace
from whales.reviewing import relabelling
from whales.reviewing.review_results import results_of_root, results_of_table
from whales.scores.ensemble import test_parts
from whales.stages.stage import run


def main(argv=None):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add(
        "--results",
        type=Path,
        metavar="FILE",
        help="table of tools/identify.py (else the test photos)",
    )
    add("--decisions", type=Path, metavar="FILE", help="default: the work root's")
    add("--who", metavar="NAME", help="who decides (default: the login name)")
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    add("--port", type=int, default=8765, help="0 for any free one (default 8765)")
    add("--no-browser", action="store_true", help="do not open the page")
    add("--apply", type=Path, metavar="OUT.csv", help="say what new labels would hold, no page")
    add("--yes", action="store_true", help="with --apply: write them")
    args = parser.parse_args(argv)
    if args.yes and not args.apply:
        raise UserError("--yes is for --apply OUT.csv")
    ws = Workspace()
    results = (
        results_of_table(ws, args.results)
        if args.results
        else results_of_root(ws, test_parts(NETS))
    )
    decisions = DecisionLog(args.decisions or ws.file("decisions"))
    (apply if args.apply else review)(args, ws, results, decisions)


def apply(args, ws, results, decisions):
    """Say what the new labels table would hold; with --yes write it."""
    reads = [path for path in (decisions.path, args.results) if path]
    out = relabelling.checked_out(args.apply, ws, reads)
    taken = relabelling.taken_identities(ws)
    rows = decisions.rows()
    found = relabelling.relabel(rows, results.queries, results.labels, taken, decisions.path)
    lines = relabelling.summary(found, len(results.labels), decisions.path)
    log("\n".join(lines))
    if args.yes:
        relabelling.write_labels(out, ws, found, lines)
    done = f"wrote {out} and {relabelling.summary_path(out)}"
    log(done if args.yes else f"nothing is written; add --yes to write {out}")


def review(args, ws, results, decisions):
    """Serve the page until it is stopped."""
    from whales.reviewing import review_app

    who = checked_name(args.who) if args.who is not None else login_name()
    results.candidates(next(iter(results.nets)))  # what is broken is said now, not on the page
    decisions.mend()
    listening = review_app.open_socket(args.host, args.port)
    hosts = (args.host, socket.gethostname())
    app = review_app.review_app(ws, results, decisions, who, hosts)
    review_app.serve(app, listening, not args.no_browser)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
