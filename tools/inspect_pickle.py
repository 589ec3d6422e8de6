"""Tell what files of the pipeline are and whether they are sound; compare two; ask all about a photo.

Reads  FILE..., without one every pickle and table of the work root; its tables and photos if there
Writes nothing; with --csv, --json and --plot the same there
Run    python3 tools/inspect_pickle.py [FILE...]
Exit code 1 means that something is unsound, 2 that something cannot be read.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from whales.base.console import configure
from whales.base.errors import UserError
from whales.base.writing import require_writable
from whales.files.workspace import Workspace
from whales.inspecting.findings import count_faults, plot, show, write_csv, write_json
from whales.inspecting.questions import Question, answer
from whales.stages.options import ArgumentParser, positive
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__, reads_photos=True)
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
    configure(quiet=False)
    require_writable(args.csv, args.json, args.plot)
    question = Question(args.files, args.compare, args.photo or None, args.head)
    reply = answer(question, Workspace().existing(needed=not args.files))
    if reply.findings:
        show(reply.findings, reply.notes, question.checks)
    for path, write in ((args.csv, write_csv), (args.json, write_json), (args.plot, plot)):
        if path:
            write(path, reply.findings)
    if reply.errors:
        raise UserError("; ".join(map(str, reply.errors)))
    if count_faults(reply.findings):
        sys.exit(1)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
