"""Turn a fold's last snapshot into a detector: box regression, clipping and filtering added."""

from collections.abc import Sequence
from dataclasses import asdict

from retinanet.detector.geometry import DETECTOR_FOLDS, DETECTORS
from retinanet.detector.model_files import load_model, save_model
from retinanet.detector.network import with_detections
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    options, args = parse_arguments(
        __doc__, argv, fold=(1, DETECTOR_FOLDS), default_fold=1, script=__file__
    )
    last, converted = (
        options.workspace.file(key, fold=args.fold)
        for key in ("retinanet_last", "retinanet_converted")
    )
    detector = DETECTORS[options.profile]
    job = Job(options, __file__, [last], [converted], fold=args.fold, numbers=asdict(detector))
    if job.up_to_date():
        return
    model = with_detections(load_model(last, options.profile), detector)
    save_model(converted, model, {"profile": options.profile})
    job.done()


if __name__ == "__main__":
    run(main)
