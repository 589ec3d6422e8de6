"""Average the first boxes with the detector's; hand-drawn playground boxes win over both."""

from collections.abc import Sequence

from retinanet.detector.first_boxes import read_annotations
from whales.base.console import log
from whales.base.pickles import load, save
from whales.files.boxes import agreement, average_boxes, checked_boxes
from whales.files.labels import stem
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.stage import run

READS = ("boxes_v5", "boxes_retinanet", "boxes_retinanet_playground", "cropping_train_v2")
WRITES = ("boxes_averaged", "boxes_averaged_playground")


def main(argv: Sequence[str] | None = None) -> None:
    options, _ = parse_arguments(__doc__, argv, script=__file__)
    ws = options.workspace
    reads, writes = [ws.file(key) for key in READS], [ws.file(key) for key in WRITES]
    playground_first = ws.file("boxes_playground_v2")
    if playground_first.exists():
        reads.append(playground_first)
    job = Job(options, __file__, reads, writes, numbers={})
    if job.up_to_date():
        return
    first, detected, playground = (checked_boxes(load(path), path) for path in reads[:3])
    averaged = average_boxes(first, detected)
    log(
        f"{len(averaged)} boxes, {len(first.keys() & detected.keys())} of them averaged; "
        f"{len(detected.keys() - first.keys())} photos left out that only the detector has"
    )
    log(*agreement(detected, first).lines())
    save(writes[0], averaged)
    if playground_first.exists():
        playground = average_boxes(
            checked_boxes(load(playground_first), playground_first), playground
        )
    else:
        log(f"{playground_first.name} is not there: the playground's boxes are the detector's")
    drawn = {stem(path): box for path, box in read_annotations(ws.file("cropping_train_v2"))}
    playground.update(drawn)
    log(f"{len(playground)} playground boxes, {len(drawn)} of them drawn by hand")
    save(writes[1], playground)
    job.done()


if __name__ == "__main__":
    run(main)
