"""What the command is asked: photos, and where the answers go; free of imports that take long."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whales.base.errors import UserError
from whales.base.writing import require_writable, require_writable_folder
from whales.files.folds import FOLDS
from whales.files.workspace import pairs_path
from whales.stages.options import positive


@dataclass(frozen=True)
class Request:
    """photos: files, or folders of photos; top: identities of each fluke; all_flukes: not the best of a
    photo alone; box: `x1,y1,x2,y2` of the fluke of a single photo; side: that all photos show; csv, html:
    files to write; among: compare the photos with each other too, in a table beside `csv`; why: folder of
    drawings; watch: photos are folders, and what comes into them is answered
    too. Raises `UserError` where one of these cannot be written.
    """

    photos: Sequence[Path]
    top: int = 5
    all_flukes: bool = False
    box: str | None = None
    side: str | None = None
    csv: Path | None = None
    html: Path | None = None
    why: Path | None = None
    watch: bool = False
    among: bool = False

    def __post_init__(self) -> None:
        if self.watch and self.box:
            raise UserError("--box is of a single photo; leave it out with --watch")
        if self.among and (self.watch or not self.csv):
            raise UserError(
                "--among compares all photos of a call with each other: leave out --watch"
                if self.watch
                else "--among writes a table beside that of --csv; name one"
            )
        if self.csv and self.html and os.path.abspath(self.csv) == os.path.abspath(self.html):
            raise UserError(f"--csv and --html both name {self.csv}; give each a file of its own")
        require_writable(self.csv, self.html, pairs_path(self.csv) if self.among else None)
        require_writable_folder(self.why)


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `Request`, and the choice of nets."""
    add = parser.add_argument
    add("photos", nargs="+", type=Path, metavar="PHOTO", help="files or folders")
    add("--top", type=positive, default=5, metavar="K", help="identities (5)")
    add("--all-flukes", action="store_true", help="all flukes of a photo")
    add("--box", metavar="x1,y1,x2,y2", help="the fluke of a single photo, pixels")
    add("--side", metavar="WORD", help="the side that all photos show (the root's word on its own)")
    add(
        "--nets",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=(),
        metavar="NAME,..",
        help="ask these alone, which is faster (default: all that have weights)",
    )
    add(
        "--folds",
        type=_folds,
        default=(),
        metavar="F,..",
        help="of each net these alone, which is faster (default: all that have weights)",
    )
    add("--watch", action="store_true", help="PHOTO is a folder: answer what is dropped in")
    add("--csv", type=Path, metavar="FILE", help="write the rows here as well")
    add(
        "--among",
        action="store_true",
        help="compare the photos with each other too, for the review",
    )
    add("--html", type=Path, metavar="FILE", help="write a page with pictures")
    add("--why", type=Path, metavar="FOLDER", help="draw where both flukes agree")


def _folds(text: str) -> tuple[int, ...]:
    """Parser of an argument that is a list of folds."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) < FOLDS for part in parts):
        raise argparse.ArgumentTypeError(f"expected folds from 0 to {FOLDS - 1}, received {text}")
    return tuple(dict.fromkeys(map(int, parts)))
