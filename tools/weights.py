"""Put published weights, matrices and boxes in their places, whatever they are called; check others.

Reads  FILE_OR_FOLDER..., such as a clone of the authors' repository; each file is recognized by its
       content. With --check: what the work root has and lacks, and what can be run in it now
Writes the recognized files in the work root, ImageNet weights in Keras's folder; never over another
Run    python3 tools/weights.py FILE_OR_FOLDER... [--link] [--check]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whales_tools.nets import NETS

from retinanet.detector.first_weights import IMAGENET
from whales.base.console import configure
from whales.exchange.published_files import KnownFiles, check_root, place_files
from whales.files.workspace import Workspace
from whales.stages.options import ArgumentParser
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--link", action="store_true", help="symbolic links instead of copies")
    parser.add_argument("--check", action="store_true", help="say what the work root has and lacks")
    args = parser.parse_args(argv)
    if not args.paths and not args.check:
        parser.error("name a FILE_OR_FOLDER, or ask with --check")
    configure(quiet=False)
    workspace = Workspace()
    first = [net.first_weights for net in NETS if net.first_weights]
    known = KnownFiles(workspace, [*first, IMAGENET])
    if args.paths:
        place_files(args.paths, known, args.link)
    if args.check:
        check_root(workspace, known, NETS)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
