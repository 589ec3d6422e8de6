"""One page that tells how good a work root's nets are, and what they confuse; opens without a network.

Reads  of the work root whatever is there: histories, boxes, matrices, submissions, photos; the true
       identities of the test photos (test_labels.csv) where the root has them
Writes report/report.html, or the file that --out names
Run    python3 tools/report.py [--root FOLDER] [--out FILE]

A section whose files are missing says which stage makes them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from whales_tools.nets import NETS

from whales.base.console import configure, log
from whales.base.errors import UserError
from whales.files.workspace import Workspace
from whales.stages.options import ArgumentParser
from whales.stages.stage import run

LARGEST = 15e6  # bytes; a page that is larger is slow on a phone


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__, reads_photos=True)
    parser.add_argument("--root", type=Path, help="work root (default: as for the stages)")
    parser.add_argument("--out", type=Path, help="page to write (default: report/report.html)")
    args = parser.parse_args(argv)
    configure(quiet=False)
    workspace = Workspace(args.root)
    if args.root and not workspace.root.is_dir():
        raise UserError(f"{workspace.root} is no folder; name a work root with --root")
    workspace.existing()
    begin = time.monotonic()
    path = page(workspace, args.out)
    size = path.stat().st_size
    large = f", more than {LARGEST / 1e6:.0f}" if size > LARGEST else ""
    log(f"wrote {path} ({size / 1e6:.1f} MB{large}) in {time.monotonic() - begin:.1f} s")


def page(workspace: Workspace, path: Path | None = None) -> Path:
    """Write the page, and say where it lies."""
    from whales.reporting.report_page import write_report

    path = path or workspace.file("report_page")
    write_report(path, workspace, NETS)
    return path


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
