"""What the command of the review is asked."""

from __future__ import annotations

import argparse
from pathlib import Path

from whales.reviewing.joining import USUAL_PATTERN, NamePattern


def add_review_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of tools/review.py."""
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
