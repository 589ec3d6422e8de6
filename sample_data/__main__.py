"""Make the built-in sample: generated fluke photos, laid out as a work root.

    python -m sample_data ROOT [--seed 1] [--force]

Writes ROOT/data (photos and tables of the main and the playground competition), ROOT/modified_data
(first boxes), and, for measuring alone, ROOT/reference_boxes.pkl and ROOT/test_labels.csv.
Then run any stage with WHALES_ROOT=ROOT.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from whales.base.console import log
from whales.base.errors import UserError
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the arguments and make the sample, or say that it is there."""
    parser = argparse.ArgumentParser(
        prog="python -m sample_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("root", metavar="ROOT", help="folder to make; new, empty, or a sample")
    parser.add_argument(
        "--seed", type=int, default=1, help="another seed, other whales (default 1)"
    )
    parser.add_argument(
        "--force", action="store_true", help="make it anew, or into a folder with other files"
    )
    args = parser.parse_args(argv)
    if args.seed < 0:
        raise UserError(f"--seed must be 0 or more, received {args.seed}")
    from sample_data.competition import make

    begin = time.monotonic()
    if make(args.root, args.seed, args.force):
        log(f"sample_data: wrote the sample to {args.root} in {time.monotonic() - begin:.1f} s")
    else:
        log(f"sample_data: {args.root} is up to date")


if __name__ == "__main__":
    run(main)
