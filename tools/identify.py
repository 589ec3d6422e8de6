"""Who is on a photo? The best identities of each fluke, from a work root whose nets are trained.

Reads  PHOTO (files, or folders of photos); of the work root the tables, boxes, folds and photos, the
       detector, and the weights of every net and fold that has some
Writes cache/features/ (of the known photos); what --csv, --html and --why name
Run    python3 tools/identify.py PHOTO ..

Each row is an identity, with the known photo most like the query. "probability" is that of being this
whale, learnt from photos that the nets had not seen; each row answers its own question, so that the
rows of one photo need not add up to 1. Photos are held upright as their EXIF notes say.
"""

import time
from pathlib import Path

from whales_tools.nets import NETS

from whales.base.console import is_quiet, log
from whales.stages.options import parse_arguments, positive
from whales.stages.stage import run

CHUNK = 64  # photos whose crops are in memory at a time


def add_options(parser):
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="files or folders")
    parser.add_argument("--top", type=positive, default=5, metavar="K", help="identities (5)")
    parser.add_argument("--all-flukes", action="store_true", help="all flukes of a photo")
    parser.add_argument("--box", metavar="x1,y1,x2,y2", help="the fluke of a single photo, pixels")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows here as well")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures")
    parser.add_argument("--why", type=Path, metavar="FOLDER", help="draw where both flukes agree")


def main(argv=None):
    options, args = parse_arguments(__doc__, argv, extra=add_options)
    from retinanet.detector.find_flukes import boxes_of
    from whales.identifying import agreement, catalogue, identification, result_page

    ws = options.workspace
    photos, faults = identification.photo_files(args.photos)
    if not photos:
        identification.tell(faults, left_out=False)
    nets = catalogue.trained(ws, NETS)
    boxes = identification.box_by_hand(args.box, photos)
    boxes = boxes or boxes_of(photos, options, args.all_flukes)
    known = catalogue.open_catalogue(options, nets)
    answers, begin = [], time.monotonic()
    for start in range(0, len(photos), CHUNK):
        some = {photo: boxes[photo] for photo in photos[start : start + CHUNK]}
        for answer in identification.answers(known, some, args.top, faults):
            if not is_quiet():
                result_page.show(answer)
            answers.append(answer)
    log(f"flukes compared: {len(answers)}, in {time.monotonic() - begin:.1f} s after loading")
    if args.csv:
        result_page.write_csv(args.csv, answers)
    if args.html:
        result_page.write_html(args.html, answers, ws, known.boxes)
    for answer in answers if args.why else ():
        log(f"wrote {agreement.draw_agreement(known, answer, ws, args.why)}")
    identification.tell(faults, options.skip_broken_photos)


def command() -> None:
    """Run the tool as a command."""
    run(main)


if __name__ == "__main__":
    command()
