"""Detections of photos: predicted once for each set of weights, cached, merged, collected.

A cache entry is (boxes (2, 300, 4) float32 in shares of the sides, scores (2, 300) float32, labels
(2, 300) int32): the photo as it is, then its mirror image in its own frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from retinanet.detector.geometry import DETECTOR_FOLDS, DETECTORS, Detector
from retinanet.detector.model_files import digest, load_model
from retinanet.detector.network import Key, Predict, by_shape, network_input, predictor
from whales.base.concurrency import read_ahead
from whales.base.console import log
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.base.plain_json import read_json
from whales.base.progress import progress_bar
from whales.base.writing import write_text
from whales.files.boxes import Detection, RawDetections, merge_views, to_pixels
from whales.files.dataset import PHOTO_TABLES, check_apart
from whales.files.digests import text_digest
from whales.files.folds import detector_held_out
from whales.files.labels import read_submission_names, stem
from whales.files.workspace import Workspace
from whales.photos.photos import DECODING, photo_size, read_photo
from whales.stages.options import RunOptions

MAIN_PARTS = ("train", "test")
PLAYGROUND_PARTS = ("playground_train", "playground_test")
PARTS = MAIN_PARTS + PLAYGROUND_PARTS
# Which file of the work root (key) collects the boxes of which parts.
BOX_FILES = {"boxes_retinanet": MAIN_PARTS, "boxes_retinanet_playground": PLAYGROUND_PARTS}

CacheEntry = tuple[np.ndarray, np.ndarray, np.ndarray]

BATCH = 8  # photos of one size


@dataclass(frozen=True)
class PhotosToDetect:
    """The photos (stems) of each fold's detector: those it holds out, and all of the other parts.

    photos: part -> all its photos; valid: fold (from 1) -> the training photos that it holds out.
    """

    photos: dict[str, list[str]]
    valid: dict[int, list[str]]

    @staticmethod
    def tables(workspace: Workspace) -> list[Path]:
        """The files that `read` reads."""
        return [workspace.file(key) for key in ("retinanet_folds", *PHOTO_TABLES)]

    @classmethod
    def read(cls, workspace: Workspace) -> PhotosToDetect:
        """Read the folds and the tables of photos."""
        folds, *tables = cls.tables(workspace)
        photos = {
            part: [stem(name) for name in read_submission_names(table)]
            for part, table in zip(PARTS, tables, strict=True)
        }
        for key, names in zip(PHOTO_TABLES, photos.values(), strict=True):
            check_apart(workspace, key, names)
        return cls(photos, detector_held_out(folds, {*photos["train"]}, DETECTOR_FOLDS))

    def names(self, part: str, fold: int) -> list[str]:
        """The photos of a part that a fold's detector predicts."""
        return self.valid[fold] if part == "train" else self.photos[part]

    def files(self, workspace: Workspace, fold: int) -> dict[str, Path]:
        """Stem -> file of all photos that a fold's detector predicts."""
        return {
            name: photo_file(workspace, part, name)
            for part in PARTS
            for name in self.names(part, fold)
        }


def photo_file(workspace: Workspace, part: str, name: str) -> Path:
    """Where a photo of a part lies, from its stem."""
    return workspace.file(f"{part}_photos") / f"{name}.jpg"


@dataclass(frozen=True)
class _CacheNote:
    """What the entries of a cache were made from.

    weights: digest of the detector, None without a note; photos: stem -> digest of the photo's file; made_by:
    digest of the detector's numbers and of how photos are decoded, "" in notes of former versions.
    """

    weights: str | None = None
    photos: Mapping[str, str] = field(default_factory=dict)
    made_by: str = ""

    @classmethod
    def read(cls, path: Path) -> _CacheNote:
        """Read a note; an empty one where there is none or it is damaged."""
        try:
            content = read_json(path)
        except (FileNotFoundError, UserError):
            return cls()
        if not isinstance(content, dict) or not isinstance(content.get("weights"), str):
            return cls()
        photos, made_by = content.get("photos"), content.get("made_by", "")
        return cls(content["weights"], photos if isinstance(photos, dict) else {}, str(made_by))

    def write(self, path: Path) -> None:
        """Write the note as JSON."""
        write_text(path, json.dumps(asdict(self)))

    def is_of(self, weights: str, made_by: str) -> bool:
        """Whether the entries are a detector's; what former versions did not note counts as the same."""
        return self.weights == weights and self.made_by in ("", made_by)


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
        return photo_file(self.workspace, self.part, name)

    def note(self) -> _CacheNote:
        """What the entries were made from."""
        return _CacheNote.read(self._note())

    def prepare(
        self,
        weights: str,
        made_by: str,
        names: Sequence[str],
        digests: Mapping[str, str],
        anew: bool = False,
    ) -> list[str]:
        """Drop the entries of another detector and of photos that changed; return the names to predict.

        weights, made_by: as a note has them; digests: of each photo's file, "" for one that cannot be read
        now; anew: drop all. Entries of a version that did not keep digests count unless they are older than
        their photo.
        """
        note = self.note()
        if anew or not note.is_of(weights, made_by):
            stale = [name for name in names if self.path(name).exists()]
            for name in stale:
                self.path(name).unlink()
            if stale:
                why = "dropped (--force)" if anew else "of another detector"
                log(f"{self.part}: {len(stale)} cached photos are {why}, done again")
            note = _CacheNote(weights)
        todo = [name for name in names if not self._fresh(name, note, digests[name])]
        for name in todo:
            self.path(name).unlink(missing_ok=True)
        photos = {**note.photos, **{name: digests[name] for name in names if digests[name]}}
        _CacheNote(weights, photos, made_by).write(self._note())
        return todo

    def merged(self, name: str) -> list[Detection]:
        """The detections of a photo (stem) that has an entry, its two views merged."""
        return merge_views(*views(load(self.path(name))))

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Detection]], list[str]]:
        """`merged` of the photos (stems) that have an entry, and those whose entry is damaged, now gone."""
        by_photo: dict[str, list[Detection]] = {}
        damaged = []
        for name in names:
            try:
                if self.path(name).exists():
                    by_photo[name] = self.merged(name)
            except UserError:
                self.path(name).unlink(missing_ok=True)
                damaged.append(name)
        return by_photo, damaged

    def _fresh(self, name: str, note: _CacheNote, digest: str) -> bool:
        entry, photo, known = self.path(name), self.photo(name), note.photos.get(name)
        if not entry.exists():
            return False
        if not digest:
            return True  # the photo cannot be read now: what is known of it is not thrown away
        if note.photos:  # an entry that it does not know is of another fold's detector
            return known == digest
        return not photo.exists() or entry.stat().st_mtime_ns >= photo.stat().st_mtime_ns

    def _note(self) -> Path:
        return self.workspace.file("detections_weights", part=self.part, fold=self.fold)


def made_by(detector: Detector) -> str:
    """A digest of what detections depend on besides the weights and the photos."""
    return text_digest([*asdict(detector).items(), DECODING])


class FoldDetector:
    """The converted detector of one fold, loaded when the first photo needs it."""

    def __init__(self, options: RunOptions, fold: int, digests: Mapping[str, str]) -> None:
        """digests: of the photos' files, by stem."""
        self.options, self.fold, self.digests = options, fold, digests
        self.detector = DETECTORS[options.profile]
        self.path = options.workspace.file("retinanet_converted", fold=fold)
        self.weights, self.made_by = digest(self.path), made_by(self.detector)
        self.left_out: list[str] = []
        self._predict: Predict | None = None

    def detect(self, part: str, names: Sequence[str]) -> dict[str, list[Detection]]:
        """Merged detections by photo, at most four each; photos without any are absent."""
        cache = Cache(self.options.workspace, part, self.fold)
        todo = cache.prepare(self.weights, self.made_by, names, self.digests, self.options.force)
        self._fill(cache, todo)
        by_photo, damaged = cache.read(names)
        if damaged:
            log(f"{part}: {len(damaged)} cached photos are damaged, done again")
            self._fill(cache, damaged)
            by_photo |= {name: cache.merged(name) for name in damaged if cache.path(name).exists()}
        return {name: by_photo[name] for name in names if by_photo.get(name)}

    def _fill(self, cache: Cache, names: Sequence[str]) -> None:
        """Predict photos and write their entries."""
        bar = progress_bar(cache.part, len(names))
        if names:
            for name, entry in both_views(self._network(), self._photos(cache, names)):
                # A torn entry is known by its checksum: many thousand files need not wait for the disk.
                save(cache.path(name), entry, durable=False)
                bar.update()
        bar.close()

    def _network(self) -> Predict:
        if self._predict is None:
            self._predict = predictor(load_model(self.path, self.options.profile))
        return self._predict

    def _photos(self, cache: Cache, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Names and network inputs, without the broken photos if they are to be skipped."""

        def read(name: str) -> tuple[str, np.ndarray] | None:
            try:
                return name, network_input(read_photo(cache.photo(name)), self.detector)
            except UserError as reason:
                if not self.options.skip_broken_photos:
                    raise
                self.left_out.append(str(reason))
                return None

        return (photo for photo in read_ahead(read, names, self.options.workers) if photo)


def both_views(
    predict: Predict, photos: Iterable[tuple[Key, np.ndarray]]
) -> Iterator[tuple[Key, CacheEntry]]:
    """Cache entries of photos, predicted upright and mirrored, photos of one shape together.

    photos: key and (h, w, 3) float32 of `network_input`, read while the detector works.
    """
    for keys, images in by_shape(photos, BATCH):
        outputs = predict(np.ascontiguousarray(np.concatenate([images, images[:, :, ::-1]])))
        for i, key in enumerate(keys):
            boxes, scores, labels = (values[i :: len(keys)] for values in outputs)
            yield key, (boxes, scores, labels)


def views(entry: CacheEntry) -> tuple[RawDetections, RawDetections]:
    """A cache entry as the detections of its two views: upright, mirrored."""
    boxes, scores, labels = entry
    return (boxes[0], scores[0], labels[0]), (boxes[1], scores[1], labels[1])


def save_detections(path: Path, by_photo: Mapping[str, Sequence[Detection]]) -> None:
    """Write detections as plain lists: stem -> list of [label, score, x1, y1, x2, y2]."""
    rows = {
        name: [[label, score, *box] for label, score, box in detections]
        for name, detections in by_photo.items()
    }
    save(path, rows)


def collect(
    workspace: Workspace,
    part: str,
    photos: PhotosToDetect,
    made_by: str,
    skip_broken_photos: bool = False,
) -> dict[str, tuple[int, int, int, int] | None]:
    """Boxes in whole pixels from all folds' caches: the mean of the folds' best boxes.

    A fold whose entries were made by another detector than its converted one is left out, and so are entries
    of photos that have changed since, which the log says. made_by: as a note has it. None for a photo in
    which nothing was detected; photos without an entry are absent. skip_broken_photos: so are those whose
    size cannot be read now, which the log says, where a `UserError` is raised otherwise.
    """
    best: dict[str, list[Sequence[float]]] = {}
    for fold in photos.valid:
        cache = Cache(workspace, part, fold)
        note = cache.note()
        if not _usable(cache, note, made_by):
            continue
        names = [name for name in photos.names(part, fold) if cache.path(name).exists()]
        present = workspace.digests.of_photos({name: cache.photo(name) for name in names})
        changed = {n for n in names if note.photos and present[n] not in ("", note.photos.get(n))}
        if changed:
            log(f"{part}: {len(changed)} of fold {fold}'s detections are of other photos, left out")
        for name in names:
            if name not in changed:
                boxes = best.setdefault(name, [])
                boxes.extend(detection.box for detection in cache.merged(name)[:1])
    found: dict[str, tuple[int, int, int, int] | None] = {}
    for name, boxes in best.items():
        try:
            size = photo_size(photo_file(workspace, part, name)) if boxes else (0, 0)
        except UserError as reason:
            if not skip_broken_photos:
                raise
            log(f"left out: {reason}")
            continue
        found[name] = to_pixels(np.mean(boxes, axis=0), *size) if boxes else None
    return found


def _usable(cache: Cache, note: _CacheNote, made_by: str) -> bool:
    converted = cache.workspace.file("retinanet_converted", fold=cache.fold)
    if note.weights is None:
        return False
    weights = digest(converted) if converted.exists() else note.weights
    if not note.is_of(weights, made_by):
        log(f"{cache.part}: fold {cache.fold}'s detections are of another detector, left out")
        return False
    return True
