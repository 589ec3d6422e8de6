"""Tell what files of the pipeline are and whether they are sound; compare two; ask all about a photo.

Reads  FILE..., without one every pickle and table of the work root; its tables and photos if there
Writes nothing; with --csv, --json and --plot the same there
Run    python3 tools/inspect_pickle.py [FILE...]
Exit code 1 means that something is unsound, 2 that something cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from whales.base.errors import UserError
from whales.files.workspace import Workspace
from whales.inspecting.comparison import caches_of, compare, photo_finding
from whales.inspecting.contents import read
from whales.inspecting.findings import count_faults, plot, show, write_csv, write_json
from whales.inspecting.inspection import inspect_all
from whales.inspecting.matrix_checks import MATCHES
from whales.inspecting.tables import Tables
from whales.stages.options import positive
from whales.stages.stage import run


def main(argv=None):
    args = arguments(argv)
    workspace = Workspace()
    tables = Tables.read(workspace)
    paths = args.files or workspace.pickles_and_tables()
    errors = []
    if args.compare:
        findings = [compare(read(args.files[0]), read(args.compare), tables, args.head or 0)]
    elif args.photo:
        caches = [] if args.files else caches_of(args.photo, tables)
        finding, errors = photo_finding(args.photo, paths + caches, tables, args.head or MATCHES)
        findings = [finding]
    elif paths:
        findings, errors = inspect_all(paths, tables, args.head or 0)
    else:
        raise UserError(f"{workspace.root} holds no file of the pipeline; name files")
    if findings:
        checked = not args.compare and not args.photo
        show(findings, tables.notes if checked else [], checked)
    for path, write in ((args.csv, write_csv), (args.json, write_json), (args.plot, plot)):
        if path:
            write(path, findings)
    if errors:
        raise UserError("; ".join(map(str, errors)))
    if count_faults(findings):
        sys.exit(1)


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--head", type=positive, metavar="N", help="show the first N entries too")
    parser.add_argument("--photo", metavar="NAME", help="what the files know of this photo")
    parser.add_argument("--compare", type=Path, metavar="OTHER", help="hold FILE against OTHER")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the facts here as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the facts here as well")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the files' numbers")
    args = parser.parse_args(argv)
    if args.compare and (len(args.files) != 1 or args.photo):
        parser.error("--compare takes one FILE and no --photo")
    return args


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
