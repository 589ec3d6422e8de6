"""Find the boxes of a fold's valid photos and of all test and playground photos.

Reads  models/retinanet2/resnet152_fold_{FOLD}_last_converted.h5, modified_data/p2bb_v5.pkl,
       modified_data/kfold_retinanet_5.pklz, the tables and the photos
Writes modified_data/p2bb_retinanet_resnet152_cropping.pkl, ..._playground.pkl (all folds so far),
       modified_data/boxes/retinanet_resnet152_boxes_{part}_fold_{FOLD}.pkl, and for each photo an
       entry in modified_data/cache_retinanet_resnet152_kfold_{part}/
Run    python3 retinanet/r31_get_vectors_backbone_resnet152_kfold.py [FOLD=1]
"""

from retinanet.detections import (
    MAIN_PARTS,
    PARTS,
    PLAYGROUND_PARTS,
    FoldDetector,
    agreement,
    collect,
)
from whales.console import log
from whales.labels import read_submission_names, stem
from whales.pickles import load, save
from whales.stage import Job, parse_arguments, run

TABLES = ("train_csv", "sample_submission", "playground_train_csv", "playground_sample_submission")
WRITES = {"boxes_retinanet": MAIN_PARTS, "boxes_retinanet_playground": PLAYGROUND_PARTS}


def main(argv=None):
    args = parse_arguments(__doc__, argv, fold=(1, 5), default_fold=1)
    ws, fold = args.workspace, args.fold
    folds, first = ws.file("retinanet_folds"), ws.file("boxes_v5")
    detector = ws.file("retinanet_converted", fold=fold)
    tables = [ws.file(key) for key in TABLES]
    fold_boxes = {part: ws.file("retinanet_fold_boxes", part=part, fold=fold) for part in PARTS}
    writes = [*map(ws.file, WRITES), *fold_boxes.values()]
    job = Job(args, __file__, [detector, folds, first, *tables], writes, fold)
    if job.up_to_date():
        return
    photos = {
        part: [stem(name) for name in read_submission_names(table)]
        for part, table in zip(PARTS, tables, strict=True)
    }
    valid = {
        number: [stem(name) for name in names]
        for number, (_, names) in enumerate(load(folds), start=1)
    }

    def predicted(part, fold):
        return valid[fold] if part == "train" else photos[part]

    fold_detector = FoldDetector(args)
    for part in PARTS:
        names = predicted(part, fold)
        boxes = fold_detector.detect(part, names)
        save(fold_boxes[part], boxes)
        log(f"{part}: boxes in {len(boxes)} of {len(names)} photos")
    for reason in fold_detector.left_out:
        log(f"left out: {reason}")
    for key, parts in WRITES.items():
        found = {}
        for part in parts:
            found |= collect(ws, part, {number: predicted(part, number) for number in valid})
        boxes = {name: box for name, box in found.items() if box}
        save(ws.file(key), boxes)
        log(f"{ws.file(key).name}: {len(boxes)} boxes of all folds so far")
        if key == "boxes_retinanet":
            log(agreement(found, load(first)))
    job.done()


if __name__ == "__main__":
    run(main)
