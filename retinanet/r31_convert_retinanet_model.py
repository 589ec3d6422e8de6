"""Turn a fold's last snapshot into a detector: box regression, clipping and filtering added.

Reads  models/retinanet2/resnet152_fold_{FOLD}_last.h5
Writes models/retinanet2/resnet152_fold_{FOLD}_last_converted.h5
Run    python3 retinanet/r31_convert_retinanet_model.py [FOLD=1]
"""

from retinanet.detector import DETECTORS, load_model, save_model, with_detections
from whales.stage import Job, parse_arguments, run


def main(argv=None):
    args = parse_arguments(__doc__, argv, fold=(1, 5), default_fold=1)
    last, converted = (
        args.workspace.file(key, fold=args.fold)
        for key in ("retinanet_last", "retinanet_converted")
    )
    job = Job(args, __file__, [last], [converted], fold=args.fold)
    if job.up_to_date():
        return
    model = load_model(last, args.profile)
    detector = with_detections(model, DETECTORS[args.profile])
    save_model(converted, detector, {"profile": args.profile})
    job.done()


if __name__ == "__main__":
    run(main)
