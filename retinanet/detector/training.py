"""Training the detector: epochs with evaluation, snapshots, a checkpoint to resume from."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from retinanet.detector.first_boxes import Row, read_annotations
from retinanet.detector.geometry import DETECTORS, Settings
from retinanet.detector.legacy_keras import legacy_keras
from retinanet.detector.network import (
    build,
    by_shape,
    load_model,
    network_input,
    predictor,
    read_note,
    save_model,
    with_detections,
)
from retinanet.detector.photos import TrainingPhotos
from whales.base.concurrency import read_ahead
from whales.base.console import log
from whales.base.errors import UserError
from whales.base.pickles import atomic_path, set_aside, write_text
from whales.base.progress import progress_bar
from whales.base.tables import csv_text
from whales.files.boxes import iou, mean_average_precision
from whales.files.labels import stem
from whales.files.stamps import in_words
from whales.files.workspace import Workspace
from whales.photos.photos import read_photo
from whales.stages.job import Job
from whales.stages.options import RunOptions

EVALUATION_BATCH = 8
PLATEAU_STATE = ("best", "wait", "cooldown_counter")
COLUMNS = ("epoch", "loss", "regression_loss", "classification_loss", "learning_rate", "IOU")
COLUMNS += ("box_iou", "not_found")


@dataclass
class Progress:
    """Where a run stands, as the checkpoint keeps it beside the weights."""

    epoch: int = 0
    best: float = -1.0
    plateau: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


class Run:
    """One training run of one fold: its files, its photos, its settings."""

    def __init__(
        self,
        options: RunOptions,
        settings: Settings,
        job: Job,
        fold: int,
        snapshot: Path | None = None,
    ) -> None:
        """job: of the stage; snapshot: a file to go on from."""
        if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise UserError("--tensorboard needs the package tensorboard: pip install tensorboard")
        ws = options.workspace
        self.options, self.settings, self.detector = options, settings, DETECTORS[options.profile]
        self.fold, self.snapshot, self.description = fold, snapshot, job.description
        self.checkpoint = ws.file("checkpoint", stage=f"{job.key}.h5")
        self.history = ws.file("history", stage=job.key)
        self.logs = ws.file("tensorboard", stage=job.key)
        self.last = ws.file("retinanet_last", fold=fold)
        self.train, self.valid = (
            _rows(ws, ws.file("retinanet_fold_csv", fold=fold, part=part))
            for part in ("train", "valid")
        )

    def best(self, epoch: int, iou: float) -> Path:
        """Path of the snapshot of an epoch (from 1) that has the best IOU so far."""
        return self.options.workspace.file("retinanet_best", fold=self.fold, epoch=epoch, iou=iou)

    def start(self) -> tuple[Any, Progress]:
        """The model, compiled, and the progress: of the checkpoint, of the snapshot, or new."""
        if self.checkpoint.exists():
            note = read_note(self.checkpoint)
            differences = self._differences(note)
            if not differences and not self.options.force:
                log(f"resuming after epoch {note['progress']['epoch']} of an interrupted run")
                return load_model(self.checkpoint, self.options.profile, True), Progress(
                    **note["progress"]
                )
            reason = (
                f"it is of another training: {in_words(differences)}" if differences else "--force"
            )
            set_aside(self.checkpoint, reason)
        if self.snapshot:
            return self._start_from_snapshot()
        legacy_keras().utils.set_random_seed(self.options.seed)
        model = build(self.detector)
        load_weights(model, self.settings.weights)
        _compile(model, self.settings)
        return model, Progress()

    def _differences(self, note: dict[str, Any]) -> list[str]:
        """Where a checkpoint's run differs from this one."""
        if "key" in note:  # of a version before 0.2, which kept a digest alone
            return [] if note["key"] == self._former_key() else ["another key"]
        return self.description.differences(note.get("description"))

    def _former_key(self) -> str:
        ws, snapshot = self.options.workspace, self.snapshot and str(self.snapshot)
        tables = [
            ws.file("retinanet_fold_csv", fold=self.fold, part=part).read_bytes()
            for part in ("train", "valid")
        ]
        parts = (self.settings, self.detector, self.options.seed, snapshot, *tables)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _start_from_snapshot(self) -> tuple[Any, Progress]:
        snapshot = self.snapshot
        model = load_model(snapshot, self.options.profile, True)
        if model.optimizer is None:
            _compile(model, self.settings)
        progress = Progress(**read_note(snapshot).get("progress", {}))
        if progress.epoch >= self.settings.epochs:
            raise UserError(
                f"{snapshot} has all {progress.epoch} epochs behind it; nothing is left to train"
            )
        log(f"starting from {snapshot}, after epoch {progress.epoch}")
        return model, progress

    def save(self, model: Any, progress: Progress, improved: bool) -> None:
        """Write snapshots, history and, last, the checkpoint: killed before, an epoch is redone."""
        note = {
            "profile": self.options.profile,
            "description": self.description.content,
            "progress": asdict(progress),
        }
        save_model(self.last, model, note)
        if improved:
            _copy(self.last, self.best(progress.epoch, progress.best))
        write_text(self.history, _table(progress.history))
        _copy(self.last, self.checkpoint)


def train(run: Run) -> None:
    """Train to the last epoch, writing snapshots and history after each.

    The checkpoint goes at the end.
    """
    settings, skip = run.settings, run.options.skip_broken_photos
    model, progress = run.start()
    plateau = _plateau(model, settings, progress)
    predict = predictor(with_detections(model, run.detector))
    photos = TrainingPhotos(
        run.train, run.detector, settings.batch, run.options.seed, settings.small_photos, skip
    )
    log(f"{len(run.train)} photos to train on, {len(run.valid)} to validate on")
    while progress.epoch < settings.epochs:
        losses = _train_epoch(model, photos, run, progress.epoch)
        rate = float(model.optimizer.learning_rate)
        score = evaluate(predict, run, photos.broken)
        progress.epoch += 1
        row = {"epoch": progress.epoch, **losses, "learning_rate": rate, **score}
        progress.history.append(row)
        log(_line(row, settings.epochs))
        plateau.on_epoch_end(progress.epoch, dict(losses))
        model.optimizer.learning_rate.assign(
            float(model.optimizer.learning_rate) * settings.epoch_rate
        )
        progress.plateau = {name: float(getattr(plateau, name)) for name in PLATEAU_STATE}
        improved = score["IOU"] > progress.best
        progress.best = max(progress.best, score["IOU"])
        run.save(model, progress, improved)
        if run.options.tensorboard:
            _tensorboard(run, row)
    for reason in photos.broken.values():
        log(f"left out: {reason}")
    run.checkpoint.unlink(missing_ok=True)


def _train_epoch(model: Any, photos: TrainingPhotos, run: Run, epoch: int) -> dict[str, float]:
    """Mean of the losses over the steps of an epoch (from 0)."""
    steps = run.settings.steps
    batches = photos.batches(epoch, steps, run.options.workers)
    # Not Keras's fit: it would turn a broken photo's UserError into a TensorFlow error.
    losses = [
        model.train_on_batch(images, targets, return_dict=True)
        for images, targets in progress_bar(f"epoch {epoch + 1}", steps, "step", batches)
    ]
    return {name: float(np.mean([step[name] for step in losses])) for name in losses[0]}


def evaluate(predict: Any, run: Run, broken: dict[str, str]) -> dict[str, float]:
    """Score the detector on the fold's valid photos.

    Returns IOU (mean average precision over IoU .50:.05:.95), box_iou (mean IoU of the best box, 0
    where there is none) and not_found (photos without a detection). Broken photos are added to
    `broken` if they are to be skipped.
    """
    truths, detections = [], []
    read = read_ahead(lambda row: _valid_photo(row, run, broken), run.valid, run.options.workers)
    photos = (photo for photo in read if photo is not None)
    for boxes, images in by_shape(photos, EVALUATION_BATCH):
        truths += boxes
        for found, scores, _ in zip(*predict(images), strict=True):
            detections.append((found[scores > 0], scores[scores > 0]))
    if not truths:
        raise UserError("none of the valid photos can be read")
    truth = np.array(truths)
    overlaps = [
        iou(found[:1], box)[0, 0] if len(found) else 0.0
        for (found, _), box in zip(detections, truth, strict=True)
    ]
    return {
        "IOU": mean_average_precision(detections, truth),
        "box_iou": float(np.mean(overlaps)),
        "not_found": sum(not len(found) for found, _ in detections),
    }


def _valid_photo(row: Row, run: Run, broken: dict[str, str]):
    """(box in shares of the sides, network input), or None for a broken photo."""
    path, box = row
    try:
        pixels = read_photo(Path(path))
    except UserError as reason:
        if not run.options.skip_broken_photos:
            raise
        broken[path] = str(reason)
        return None
    height, width = pixels.shape[:2]
    share = np.array(box) / [width, height, width, height]
    return tuple(share), network_input(pixels, run.detector)


def load_weights(model: Any, weights: str) -> None:
    """Load 'imagenet' (downloaded by the library), 'none', or an HDF5 file, by layer name.

    Raises UserError if the file cannot be had or fits no layer.
    """
    if weights == "none":
        return
    path = imagenet_weights() if weights == "imagenet" else Path(weights)
    before = model.get_weights()
    try:
        model.load_weights(str(path), by_name=True, skip_mismatch=True)
    except (OSError, ValueError, KeyError) as reason:
        raise UserError(f"{path} cannot be read as HDF5 weights ({reason})") from reason
    changed = sum(
        not np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True)
    )
    if not changed:
        raise UserError(f"{path} has no weights for any layer of this network")
    log(f"{changed} of {len(before)} weight arrays come from {path}")


def imagenet_weights() -> Path:
    """The ResNet-152 file of the library's release, downloaded if need be."""
    legacy_keras()
    from keras_retinanet.models import backbone

    name = "ResNet-152-model.keras.h5"
    try:
        return Path(backbone("resnet152").download_imagenet())
    except Exception as reason:  # get_file raises plain Exception
        folder = Path.home() / ".keras" / "models"
        raise UserError(
            f"ImageNet weights {name} cannot be downloaded ({reason}); get "
            f"https://github.com/fizyr/keras-models/releases/download/v0.0.1/{name} and put it "
            f"into {folder}, or give it with --weights FILE"
        ) from reason


def _compile(model: Any, settings: Settings) -> None:
    keras = legacy_keras()
    from keras_retinanet import losses

    model.compile(
        loss={"regression": losses.smooth_l1(), "classification": losses.focal()},
        optimizer=keras.optimizers.Adam(settings.learning_rate, clipnorm=settings.clipnorm),
    )


def _plateau(model: Any, settings: Settings, progress: Progress) -> Any:
    """Keras's own plateau rule, with the state of the checkpoint put back."""
    plateau = legacy_keras().callbacks.ReduceLROnPlateau(
        monitor="loss", factor=settings.plateau_factor, patience=settings.plateau_patience
    )
    plateau.set_model(model)
    plateau.on_train_begin()
    for name, value in progress.plateau.items():
        setattr(plateau, name, value)
    return plateau


def _rows(workspace: Workspace, table: Path) -> list[Row]:
    """Rows of a fold's table; of the path only the stem counts, so that a work root can be moved."""
    rows = [(str(workspace.train_photo(stem(path))), box) for path, box in read_annotations(table)]
    if not rows:
        raise UserError(f"{table} lists no photo; run retinanet/r10_create_csv_for_retinanet.py")
    return rows


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _table(history: Sequence[dict[str, float]]) -> str:
    return csv_text(COLUMNS, ([row.get(name, "") for name in COLUMNS] for row in history))


def _line(row: dict[str, float], epochs: int) -> str:
    return (
        f"epoch {row['epoch']:.0f}/{epochs}: loss {row['loss']:.4f} (boxes "
        f"{row['regression_loss']:.4f}, classes {row['classification_loss']:.4f}), learning rate "
        f"{row['learning_rate']:.2e}, IOU {row['IOU']:.4f}, mean IoU of the best box "
        f"{row['box_iou']:.4f}, {row['not_found']} not found"
    )


def _tensorboard(run: Run, row: dict[str, float]) -> None:
    import tensorflow as tf

    with tf.summary.create_file_writer(str(run.logs)).as_default():
        for name in COLUMNS[1:]:
            tf.summary.scalar(name, row[name], step=int(row["epoch"]))
