"""Detections of photos: predicted once for each set of weights, cached, merged, collected.

A cache entry is (boxes (2, 300, 4) float32 in shares of the sides, scores (2, 300) float32, labels
(2, 300) int32): the photo as it is, then its mirror image in its own frame.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retinanet.detector import (
    DETECTORS,
    Key,
    Predict,
    by_shape,
    digest,
    load_model,
    network_input,
    predictor,
    read_ahead,
)
from whales.boxes import Box, Detections, iou, merge_views, to_pixels
from whales.console import log
from whales.errors import UserError
from whales.photos import photo_size, read_photo
from whales.pickles import load, save, write_text
from whales.progress import progress_bar
from whales.workspace import Workspace

MAIN_PARTS = ("train", "test")
PLAYGROUND_PARTS = ("playground_train", "playground_test")
PARTS = MAIN_PARTS + PLAYGROUND_PARTS

Entry = tuple[np.ndarray, np.ndarray, np.ndarray]

LOW_IOU = 0.8
BATCH = 8  # photos of one size


@dataclass(frozen=True)
class Cache:
    """The cached detections of one part of the photos by one fold's detector."""

    workspace: Workspace
    part: str
    fold: int

    def path(self, name: str) -> Path:
        """The entry of a photo (stem); a training photo is valid in one fold only."""
        name = name if self.part == "train" else f"{name}_fold_{self.fold}"
        return self.workspace.file("detections_cache", part=self.part, name=name)

    def photo(self, name: str) -> Path:
        """Where the photo lies."""
        return getattr(self.workspace, f"{self.part}_photo")(name)

    def weights(self) -> str | None:
        """Digest of the weights that made the entries; None if there are none."""
        try:
            return json.loads(self._note().read_text())["weights"]
        except (FileNotFoundError, json.JSONDecodeError, KeyError):
            return None

    def prepare(self, weights: str, names: Sequence[str]) -> list[str]:
        """Drop the entries of other weights; return the names still to be predicted.

        An entry older than its photo counts as missing.
        """
        if self.weights() != weights:
            stale = [name for name in names if self.path(name).exists()]
            for name in stale:
                self.path(name).unlink()
            if stale:
                log(f"{self.part}: {len(stale)} cached photos are of other weights, done again")
            write_text(self._note(), json.dumps({"weights": weights}))
        todo = [name for name in names if not self._fresh(name)]
        for name in todo:
            self.path(name).unlink(missing_ok=True)
        return todo

    def _fresh(self, name: str) -> bool:
        entry, photo = self.path(name), self.photo(name)
        if not entry.exists():
            return False
        return not photo.exists() or entry.stat().st_mtime_ns >= photo.stat().st_mtime_ns

    def _note(self) -> Path:
        return self.workspace.file("detections_weights", part=self.part, fold=self.fold)


class FoldDetector:
    """The converted detector of one fold, loaded when the first photo needs it."""

    def __init__(self, args: argparse.Namespace) -> None:
        """args: of `whales.stage.parse_arguments`, with a fold."""
        self.args = args
        self.detector = DETECTORS[args.profile]
        self.path = args.workspace.file("retinanet_converted", fold=args.fold)
        self.weights = digest(self.path)
        self.left_out: list[str] = []
        self._predict = None

    def detect(self, part: str, names: Sequence[str]) -> dict[str, list[list[float]]]:
        """Boxes of `whales.boxes.merge_views`, by photo; photos without any are absent."""
        cache = Cache(self.args.workspace, part, self.args.fold)
        todo = cache.prepare(self.weights, names)
        if todo and self._predict is None:
            self._predict = predictor(load_model(self.path, self.args.profile))
        bar = progress_bar(part, len(todo))
        for name, entry in both_views(self._predict, self._photos(cache, todo)):
            save(cache.path(name), entry)
            bar.update()
        bar.close()
        found = {name: _merged(cache.path(name)) for name in names if cache.path(name).exists()}
        return {name: boxes for name, boxes in found.items() if boxes}

    def _photos(self, cache: Cache, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Names and network inputs, without the broken photos if they are to be skipped."""

        def read(name: str) -> tuple[str, np.ndarray] | None:
            try:
                return name, network_input(read_photo(cache.photo(name)), self.detector)
            except UserError as reason:
                if not self.args.skip_broken_photos:
                    raise
                self.left_out.append(str(reason))
                return None

        return (photo for photo in read_ahead(read, names, self.args.workers) if photo)


def both_views(
    predict: Predict, photos: Iterable[tuple[Key, np.ndarray]]
) -> Iterator[tuple[Key, Entry]]:
    """Entries of photos, predicted upright and mirrored, photos of one shape together.

    photos: key and (h, w, 3) float32 of `network_input`, read while the detector works.
    """
    for group, images in by_shape(photos, BATCH):
        outputs = predict(np.ascontiguousarray(np.concatenate([images, images[:, :, ::-1]])))
        for i, key in enumerate(group):
            yield key, tuple(values[i :: len(group)] for values in outputs)


def _merged(entry: Path) -> list[list[float]]:
    upright, mirrored = views(load(entry))
    return merge_views(upright, mirrored)


def views(entry: Entry) -> tuple[Detections, Detections]:
    """A cache entry as the detections of its two views."""
    boxes, scores, labels = entry
    return (boxes[0], scores[0], labels[0]), (boxes[1], scores[1], labels[1])


def collect(
    workspace: Workspace, part: str, photos: Mapping[int, Sequence[str]]
) -> dict[str, tuple[int, int, int, int] | None]:
    """Boxes in whole pixels from all folds' caches: the mean of the folds' best boxes.

    photos: the names that each fold predicts. A fold whose entries were made by other weights than
    its converted detector now has is left out, and said so. None for a photo in which nothing was
    detected; photos without an entry are absent.
    """
    best: dict[str, list[list[float]]] = {}
    for fold, names in photos.items():
        cache = Cache(workspace, part, fold)
        if not _usable(cache):
            continue
        for name in names:
            if cache.path(name).exists():
                best.setdefault(name, []).extend(
                    entry[2:] for entry in _merged(cache.path(name))[:1]
                )
    photo = getattr(workspace, f"{part}_photo")
    return {
        name: to_pixels(np.mean(boxes, axis=0), *photo_size(photo(name))) if boxes else None
        for name, boxes in best.items()
    }


def _usable(cache: Cache) -> bool:
    weights = cache.weights()
    converted = cache.workspace.file("retinanet_converted", fold=cache.fold)
    if weights is None:
        return False
    if converted.exists() and digest(converted) != weights:
        log(f"{cache.part}: fold {cache.fold}'s detections are of other weights, left out")
        return False
    return True


def agreement(found: Mapping[str, Box | None], reference: Mapping[str, Box]) -> str:
    """One line: mean IoU of the boxes with the reference's, 0 for a photo without a box (None)."""
    common = [name for name in found if name in reference]
    overlaps = [iou(found[n], reference[n])[0, 0] if found[n] else 0.0 for n in common]
    missing = sum(not found[name] for name in common)
    mean = np.mean(overlaps) if overlaps else float("nan")
    low = sum(overlap < LOW_IOU for overlap in overlaps)
    return (
        f"mean IoU {mean:.6f} of {len(overlaps)} photos; {low} under {LOW_IOU}, {missing} not found"
    )
