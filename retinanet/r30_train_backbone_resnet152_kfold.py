"""Train the RetinaNet detector (ResNet-152 backbone) on one of the five folds.

The last weights are written after each epoch, the best when IOU improves; the three best are kept.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from retinanet.detector.geometry import DETECTOR_FOLDS, DETECTORS, DetectorPlan
from whales.stages.job import Job
from whales.stages.options import add_rehearsal, existing_file, parse_arguments
from whales.stages.stage import run

# Anchors and photo sizes stand in detector/geometry.py: conversion and detection need the same.
FULL = DetectorPlan(
    epochs=50,
    steps=10_000,
    batch=1,
    learning_rate=1e-5,
    clipnorm=0.001,
    plateau_factor=0.9,
    plateau_patience=5,
    weights="imagenet",
)
SMOKE = DetectorPlan(
    epochs=5,
    steps=200,
    batch=4,
    learning_rate=1.5e-3,
    clipnorm=0.001,
    plateau_factor=0.9,
    plateau_patience=5,
    weights="none",
    epoch_rate=0.55,
    small_photos=True,
)
PROFILES = {"full": FULL, "smoke": SMOKE}


def first_weights(text: str) -> str | Path:
    return text if text in ("imagenet", "none") else existing_file(text)


def add_options(parser: argparse.ArgumentParser) -> None:
    weights = "imagenet, none, or an HDF5 file of backbone weights"
    parser.add_argument("--weights", type=first_weights, help=weights)
    parser.add_argument("--snapshot", type=existing_file, help="resume from this snapshot")
    add_rehearsal(parser)


def main(argv: Sequence[str] | None = None) -> None:
    folds = (1, DETECTOR_FOLDS)
    options, args = parse_arguments(
        __doc__, argv, folds, default_fold=1, extra=add_options, script=__file__
    )
    ws, fold = options.workspace, args.fold
    plan = PROFILES[options.profile].rehearsed(options.steps)
    given = {"weights": args.weights, "snapshot": args.snapshot}
    reads = [ws.file("retinanet_fold_csv", fold=fold, part=part) for part in ("train", "valid")]
    reads += [path for path in given.values() if isinstance(path, Path)]
    history = ws.file("history", stage=Job.key_of(__file__, fold))
    writes = [ws.file("retinanet_last", fold=fold), history]
    numbers = {"training": asdict(plan), "detector": asdict(DETECTORS[options.profile])}
    job = Job(options, __file__, reads, writes, fold=fold, numbers=numbers, given=given)
    if job.up_to_date(begins=False):
        return
    from retinanet.detector.training import DetectorRun, train_detector

    if args.weights:
        plan = replace(plan, weights=str(args.weights))
    detector_run = DetectorRun(options, plan, job, fold, args.snapshot)
    train_detector(detector_run)
    job.done()
    detector_run.checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
