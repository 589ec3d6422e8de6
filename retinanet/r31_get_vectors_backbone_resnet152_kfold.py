"""Find the boxes of a fold's valid photos and of all test and playground photos.

The files of boxes hold those of all folds so far.
"""

from collections.abc import Sequence
from dataclasses import asdict

from retinanet.detector.detections import (
    BOX_FILES,
    PARTS,
    FoldDetector,
    PhotosToDetect,
    collect,
    save_detections,
)
from retinanet.detector.geometry import DETECTOR_FOLDS, DETECTORS
from whales.base.console import log
from whales.base.locks import in_turn
from whales.base.pickles import load, save
from whales.files.boxes import agreement, checked_boxes
from whales.files.workspace import require
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    folds = (1, DETECTOR_FOLDS)
    options, args = parse_arguments(__doc__, argv, fold=folds, default_fold=1, script=__file__)
    ws, fold = options.workspace, args.fold
    first = ws.file("boxes_v5")
    reads = [ws.file("retinanet_converted", fold=fold), first, *PhotosToDetect.tables(ws)]
    for path in reads:
        require(ws, path)
    photos, first_boxes = PhotosToDetect.read(ws), checked_boxes(load(first), first)
    fold_boxes = {part: ws.file("retinanet_fold_boxes", part=part, fold=fold) for part in PARTS}
    job = Job(
        options,
        __file__,
        reads,
        [*map(ws.file, BOX_FILES), *fold_boxes.values()],
        fold=fold,
        numbers=asdict(DETECTORS[options.profile]),
        photos=photos.files(ws, fold),
    )
    if job.up_to_date():
        return
    detector = FoldDetector(options, fold, job.photo_digests)
    for part in PARTS:
        names = photos.names(part, fold)
        detections = detector.detect(part, names)
        save_detections(fold_boxes[part], detections)
        log(f"{part}: boxes in {len(detections)} of {len(names)} photos")
    for reason in detector.left_out:
        log(f"left out: {reason}")
    if detector.left_out:
        log(f"{len(detector.left_out)} photos left out because they cannot be read")
    skip = options.skip_broken_photos
    # Two folds may end at the same time: the later one must see the boxes of both.
    with in_turn(ws.file("lock", name="boxes_retinanet"), "boxes of all folds"):
        for key, parts in BOX_FILES.items():
            found = [collect(ws, part, photos, detector.made_by, skip) for part in parts]
            best = {name: box for boxes in found for name, box in boxes.items()}
            boxes = {name: box for name, box in best.items() if box}
            save(ws.file(key), boxes)
            log(f"{ws.file(key).name}: {len(boxes)} boxes of all folds so far")
            if key == "boxes_retinanet":
                log(*agreement(best, first_boxes).lines())
    job.done()


if __name__ == "__main__":
    run(main)
