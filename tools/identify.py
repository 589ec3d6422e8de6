"""Who is on a photo? The best identities of each fluke, among the known ones of a work root.

Reads  PHOTO (files or folders); the work root's tables, boxes, folds, photos, detector and weights
Writes cache/features/ (of the known photos); what --csv, --html and --why name
Run    python3 tools/identify.py PHOTO .. (or --watch FOLDER: answers what is dropped in, until Ctrl-C)

Each row is an identity, with the known photo most like the query; probabilities need not add up to 1. With no
net trained, the project's weights give a shortlist. In Python: `open_identifier(root).identify(photos)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whales_tools.nets import NETS, nets_named

from whales.files.workspace import Workspace
from whales.identifying.request import Request, add_request_options
from whales.stages.options import RunOptions, parse_arguments, record_of
from whales.stages.stage import run

if TYPE_CHECKING:
    from whales.identifying.identifier import Identifier


def open_identifier(
    root: Path | str, profile: str = "", nets: Sequence[str] = (), **options: object
) -> Identifier:
    """A work root's nets, ready to say who is on photos; known photos are loaded at the first question.

    nets: names of those to ask, else all; options: folds, those of each net, and options of `RunOptions`.
    """
    from retinanet.detector.find_flukes import boxes_of
    from whales.identifying.identifier import opened

    folds = options.pop("folds", ())
    run_options = RunOptions(Workspace(root).existing(), profile, **options)
    return opened(run_options, nets_named(nets), NETS, folds, boxes_of)


def main(argv: Sequence[str] | None = None) -> None:
    options, args = parse_arguments(__doc__, argv, extra=add_request_options)
    from retinanet.detector.warm_detector import WarmDetector
    from whales.identifying.answering import answer_request
    from whales.identifying.identifier import opened

    with WarmDetector(options) as warm:
        chosen = options, nets_named(args.nets), NETS, args.folds, warm.boxes_of
        answer_request(record_of(Request, vars(args)), lambda: opened(*chosen), warm.start)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
