"""Split the training photos into five folds and write the detector's tables of photos and boxes."""

from collections.abc import Sequence

from retinanet.detector.first_boxes import (
    CLASS,
    FOLD_SEED,
    annotation_table,
    degenerate_boxes,
    split_by_identity,
)
from retinanet.detector.geometry import DETECTOR_FOLDS
from whales.base.console import log
from whales.base.pickles import load, save
from whales.base.writing import write_text
from whales.files.boxes import checked_boxes, whole_pixels
from whales.files.labels import read_labels, stem
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    options, _ = parse_arguments(__doc__, argv, script=__file__)
    ws = options.workspace
    tables = {
        (fold, part): ws.file("retinanet_fold_csv", fold=fold, part=part)
        for fold in range(1, DETECTOR_FOLDS + 1)
        for part in ("train", "valid")
    }
    folds_file, classes = ws.file("retinanet_folds"), ws.file("retinanet_classes")
    reads = [ws.file("train_csv"), ws.file("boxes_v5")]
    writes = [folds_file, classes, *tables.values()]
    numbers = {"folds": DETECTOR_FOLDS, "seed": FOLD_SEED}
    job = Job(options, __file__, reads, writes, numbers=numbers)
    if job.up_to_date():
        return
    labels, boxes = read_labels(reads[0]), checked_boxes(load(reads[1]), reads[1])
    folds = split_by_identity(labels)
    save(folds_file, folds)
    bad = degenerate_boxes(boxes, map(stem, labels.Image))
    if bad:
        log(f"{len(bad)} photos left out, their boxes are empty or inverted: {', '.join(bad)}")
    usable = boxes.keys() - set(bad)
    log(f"{sum(stem(name) in usable for name in labels.Image)} of {len(labels)} photos have a box")
    for (fold, part), path in tables.items():
        names = [stem(name) for name in folds[fold - 1][part == "valid"]]
        rows = [
            (str(ws.train_photo(name)), whole_pixels(boxes[name]))
            for name in names
            if name in usable
        ]
        write_text(path, annotation_table(rows))
        log(f"fold {fold} {part}: {len(rows)} photos")
    write_text(classes, f"{CLASS},0\n")
    job.done()


if __name__ == "__main__":
    run(main)
