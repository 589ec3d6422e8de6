"""Find the flukes in any photo files, in a process of its own, since RetinaNet needs Keras 2.

Reads  REQUEST (pickle: list of photo paths), the photos, and of the highest fold that has it
       models/retinanet2/resnet152_fold_F_last_converted.h5
Writes ANSWER (pickle: path -> list of [score, x1, y1, x2, y2], pixels of the photo held upright;
       without the photos that cannot be read)
Run    python3 -m retinanet.detector.find_flukes REQUEST ANSWER
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retinanet.detector.detections import both_views, views
from retinanet.detector.geometry import DETECTOR_FOLDS, DETECTORS
from retinanet.detector.model_files import load_model
from retinanet.detector.network import Predict, network_input, predictor
from whales.base.concurrency import read_ahead
from whales.base.console import log
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.base.progress import progress_bar
from whales.base.writing import temporary_folder
from whales.files.boxes import iou, merge_views, to_pixels
from whales.files.workspace import Workspace
from whales.photos.photos import read_photo
from whales.stages.options import RunOptions, parse_arguments
from whales.stages.stage import run

# Score from which the best box of a photo counts. Seen with detectors of the smoke profile: 107 of 110
# photos of flukes reach it, and 6 of 61 strips of water cut out beside the flukes.
LEAST_SCORE = 0.3
# Score from which a further box of the photo is another fluke, and the IoU it may have with a better one.
# Seen: none in 110 photos of one fluke each; from .3 on it would be in a tenth of them.
LEAST_OTHER, MOST_SHARED = 0.5, 0.3

_CHUNK = 500  # photos of one process of the detector

PixelBox = tuple[int, int, int, int]  # x1, y1, x2, y2 in the photo held upright


class DetectedFluke(NamedTuple):
    """A detection with its box in whole pixels of the photo held upright."""

    score: float
    box: PixelBox


def converted_detector(workspace: Workspace) -> Path | None:
    """The converted detector of the highest fold that has one."""
    folds = range(DETECTOR_FOLDS, 0, -1)
    paths = [workspace.file("retinanet_converted", fold=fold) for fold in folds]
    return next((path for path in paths if path.exists()), None)


def find_flukes(
    photos: Sequence[Path], profile: str, workers: int, workspace: Workspace
) -> dict[Path, list[DetectedFluke]]:
    """Detections of photos by the work root's detector, run in a process of its own.

    Returns at most four for each photo, best first; none for a photo that cannot be read. Raises
    `UserError` where the work root's detector does not fit.
    """
    with temporary_folder() as folder:
        request, answer = save_request(folder, photos), folder / "answer.pkl"
        command = [sys.executable, "-m", "retinanet.detector.find_flukes"]
        command += [str(request), str(answer), "--profile", profile, "--workers", str(workers)]
        done = subprocess.run(
            command, env=detector_environment(workspace), capture_output=True, text=True,
            errors="replace", check=False,
        )  # fmt: skip
        if done.returncode == 2:
            raise UserError(done.stderr.strip().splitlines()[-1].removeprefix("error: "))
        if done.returncode:
            raise RuntimeError(f"the detector's process failed:\n{done.stderr}")
        return read_answer(answer, photos)


def detector_environment(workspace: Workspace) -> dict[str, str]:
    """The environment of a process of the detector: the work root, and where this project lies."""
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "WHALES_ROOT": str(workspace.root), "PYTHONPATH": path}


def save_request(folder: Path, photos: Sequence[Path]) -> Path:
    """Write which photos are asked for, and say where."""
    path = folder / "request.pkl"
    save(path, [os.path.abspath(photo) for photo in photos])
    return path


def read_answer(path: Path, photos: Sequence[Path]) -> dict[Path, list[DetectedFluke]]:
    """The detections of each of the photos, none for one that could not be read."""
    rows = load(path)
    return {
        photo: [
            DetectedFluke(score, (x1, y1, x2, y2))
            for score, x1, y1, x2, y2 in rows.get(os.path.abspath(photo), [])
        ]
        for photo in photos
    }


# (photos, profile, workers, workspace) -> photo -> its detections, best first
FindFlukes = Callable[[Sequence[Path], str, int, Workspace], dict[Path, list[DetectedFluke]]]


def boxes_of(
    photos: Sequence[Path],
    options: RunOptions,
    all_flukes: bool = False,
    find: FindFlukes | None = None,
) -> dict[Path, list[PixelBox]]:
    """Boxes (x1, y1, x2, y2) in each photo held upright, none where the whole frame is to be used.

    all_flukes: all of a photo's flukes, not its best alone; find: what runs the detector.
    """
    find = find or find_flukes
    detector = converted_detector(options.workspace)
    if detector is None:
        log("no converted detector (run retinanet/r31_convert_retinanet_model.py): whole frames")
        return {photo: [] for photo in photos}
    flukes: dict[Path, list[DetectedFluke]] = {}
    bar = progress_bar("detection", len(photos))
    for start in range(0, len(photos), _CHUNK):
        chunk = photos[start : start + _CHUNK]
        flukes |= find(chunk, options.profile, options.workers, options.workspace)
        bar.update(len(chunk))
    bar.close()
    boxes = {photo: fluke_boxes(flukes[photo], all_flukes) for photo in photos}
    with_box = sum(map(bool, boxes.values()))
    log(f"{detector.name}: flukes found in {with_box} of {len(photos)} photos")
    return boxes


def fluke_boxes(flukes: Sequence[DetectedFluke], every: bool = False) -> list[PixelBox]:
    """Boxes (x1, y1, x2, y2) of the detections that count: the best, or with `every` the others too.

    Empty where even the best scores below LEAST_SCORE.
    """
    kept: list[PixelBox] = []
    for score, box in sorted(flukes, key=lambda fluke: -fluke.score):
        if score < (LEAST_OTHER if kept else LEAST_SCORE):
            break
        if not kept or iou(np.array([box]), np.array(kept)).max() <= MOST_SHARED:
            kept.append(box)
    return kept if every else kept[:1]


def main(argv: Sequence[str] | None = None) -> None:
    """The process that `find_flukes` starts."""
    options, args = parse_arguments(__doc__, argv, extra=_files)
    path = converted_detector(options.workspace)
    if path is None:
        raise UserError("no converted detector; run retinanet/r31_convert_retinanet_model.py")
    predict = predictor(load_model(path, options.profile))
    detect(predict, load(args.request), args.answer, options)


def detect(predict: Predict, photos: Sequence[str], answer: Path, options: RunOptions) -> None:
    """Write ANSWER for a request's photos; predict: of `predictor`."""
    sizes: dict[str, tuple[int, int]] = {}

    def read(name: str) -> tuple[str, np.ndarray] | None:
        try:
            pixels = read_photo(Path(name), upright=True)
        except UserError:  # the caller reads the photo too, and says why it cannot be read
            return None
        height, width = pixels.shape[:2]
        sizes[name] = width, height
        return name, network_input(pixels, DETECTORS[options.profile])

    answers = {}
    inputs = filter(None, read_ahead(read, photos, options.workers))
    for name, entry in both_views(predict, inputs):
        detections = sorted(merge_views(*views(entry)), key=lambda detection: -detection.score)
        answers[name] = [[score, *to_pixels(box, *sizes[name])] for _, score, box in detections]
    save(answer, answers)


def _files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request", type=Path, metavar="REQUEST")
    parser.add_argument("answer", type=Path, metavar="ANSWER")


if __name__ == "__main__":
    run(main)
