"""Training the detector: epochs with evaluation, snapshots, a checkpoint to resume from."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retinanet.detector.evaluation import evaluate_detector
from retinanet.detector.first_boxes import Annotation, read_annotations
from retinanet.detector.first_weights import first_weights_file, load_first_weights
from retinanet.detector.geometry import DETECTORS, Detector, DetectorPlan
from retinanet.detector.legacy_keras import legacy_keras
from retinanet.detector.model_files import (
    ModelNote,
    load_model,
    read_losses,
    read_note,
    restore_optimizer,
    save_model,
)
from retinanet.detector.network import build, predictor, with_detections
from retinanet.detector.photos import TrainingPhotos
from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import set_aside
from whales.base.progress import progress_bar
from whales.base.stopping import Hold, look, would_keep
from whales.base.tables import csv_text
from whales.base.writing import atomic_path, require_writable, write_text
from whales.files.labels import stem
from whales.files.stamps import in_words
from whales.files.trained import remember_training
from whales.files.workspace import Workspace
from whales.stages.job import Job
from whales.stages.options import RunOptions
from whales.stages.rehearsal import log_rehearsed, most_photos
from whales.training.checkpoints import CheckpointClock
from whales.training.forecast import Forecast
from whales.training.learner import require_finite
from whales.training.tensorboard import write_scalars

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

# Attributes of Keras's plateau rule that a checkpoint keeps.
PLATEAU_STATE = ("best", "wait", "cooldown_counter")
# A training step: images and targets as `TrainingPhotos.make` has them -> its losses by name.
TrainStep = Callable[[np.ndarray, Mapping[str, np.ndarray]], dict[str, float]]
COLUMNS = ("epoch", "loss", "regression_loss", "classification_loss", "learning_rate", "IOU")
COLUMNS += ("box_iou", "not_found")
# Snapshots of the best IOU that a training keeps, beside the last: a file of the full detector is 855 MB.
KEPT_SNAPSHOTS = 3


@dataclass
class DetectorProgress:
    """Where a training stands, as the checkpoint keeps it beside the weights.

    epoch: how many are done; step: how many of the next one are; best: highest IOU so far, -1 before the
    first; plateau: state of the learning rate's rule (PLATEAU_STATE); history: one row (COLUMNS) an epoch;
    snapshots: names of the files that this training wrote when IOU improved, in order.
    """

    epoch: int = 0
    step: int = 0
    best: float = -1.0
    plateau: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        step = f", step {self.step} of the next" if self.step else ""
        return f"epoch {self.epoch}{step}"


class DetectorRun:
    """One training of one fold: its files, its photos, its plan."""

    def __init__(
        self,
        options: RunOptions,
        plan: DetectorPlan,
        job: Job,
        fold: int,
        snapshot: Path | None = None,
    ) -> None:
        """job: of the stage; snapshot: a file to go on from."""
        if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise UserError("--tensorboard needs the package tensorboard: pip install tensorboard")
        ws = options.workspace
        self.options, self.plan, self.detector = options, plan, DETECTORS[options.profile]
        self.fold, self.snapshot, self.description = fold, snapshot, job.description
        self.name, self.begins = job.name, job.begins
        self.checkpoint = ws.file("checkpoint", stage=f"{job.key}.h5")
        self.history = ws.file("history", stage=job.key)
        self.logs = ws.file("tensorboard", stage=job.key)
        self.last = ws.file("retinanet_last", fold=fold)
        require_writable(self.checkpoint)
        most = most_photos(options.steps, plan.batch) if options.steps else None
        self.train, self.valid = (
            _rows(ws, ws.file("retinanet_fold_csv", fold=fold, part=part))[:most]
            for part in ("train", "valid")
        )
        as_blocks = plan.as_blocks(self.detector.short_side)
        self.forecast = Forecast(as_blocks, plan.steps * plan.batch, len(self.valid))

    def best(self, epoch: int, iou: float) -> Path:
        """Path of the snapshot of an epoch (from 1) that has the best IOU so far."""
        return self.options.workspace.file("retinanet_best", fold=self.fold, epoch=epoch, iou=iou)

    def start(self) -> tuple[tf_keras.Model, DetectorProgress]:
        """The model, compiled, and the progress: of the checkpoint, of the snapshot, or new."""
        former = self.checkpoint.exists()
        differences = self._differences(read_note(self.checkpoint)) if former else []
        if former and not differences and not self.options.force:
            model, progress = self._loaded(self.checkpoint)
            log(f"resuming after {progress} of an interrupted run")
            would_keep(f"the training is kept after {progress}")
            return model, progress
        # Found before a framework is loaded, which takes half a minute, and before anything is moved.
        weights = self.plan.weights
        rehearsal = self.options.steps is not None
        first = None
        if not self.snapshot:
            first = first_weights_file(weights, self.detector, rehearsal)
        model, progress = (
            self._start_from_snapshot(self.snapshot) if self.snapshot else self._new(first)
        )
        self.begins()  # nothing is refused any more
        if former:
            reason = f"it is of another training: {in_words(differences)}"
            set_aside(self.checkpoint, reason if differences else "--force")
        return model, progress

    def _new(self, first: Path | None) -> tuple[tf_keras.Model, DetectorProgress]:
        legacy_keras().utils.set_random_seed(self.options.seed)
        model = build(self.detector)
        load_first_weights(model, first)
        _compile(model, self.plan)
        return model, DetectorProgress()

    def _differences(self, note: ModelNote) -> list[str]:
        """Where a checkpoint's training differs from this one."""
        if "key" in note:  # of a version before 0.2, which kept a digest alone
            return [] if note["key"] == self._former_key() else ["another key"]
        return self.description.differences(note.get("description"))

    def _former_key(self) -> str:
        ws, snapshot = self.options.workspace, self.snapshot and str(self.snapshot)
        tables = [
            ws.file("retinanet_fold_csv", fold=self.fold, part=part).read_bytes()
            for part in ("train", "valid")
        ]
        return former_key(self.plan, self.detector, self.options.seed, snapshot, *tables)

    def _loaded(self, path: Path) -> tuple[tf_keras.Model, DetectorProgress]:
        """The model of a file, compiled, with its optimizer if it has one, and how far it had come."""
        model = load_model(path, self.options.profile)
        _compile(model, self.plan)
        restore_optimizer(model, path)
        try:
            return model, DetectorProgress(**read_note(path).get("progress", {}))
        except TypeError as reason:
            raise UserError(f"{path}: its note of the training's progress is damaged") from reason

    def _start_from_snapshot(self, snapshot: Path) -> tuple[tf_keras.Model, DetectorProgress]:
        model, progress = self._loaded(snapshot)
        if progress.epoch >= self.plan.epochs:
            raise UserError(
                f"{snapshot} has all {progress.epoch} epochs behind it; nothing is left to train"
            )
        progress.snapshots = []  # those of another training stay
        log(f"starting from {snapshot}, after epoch {progress.epoch}")
        return model, progress

    def save(self, model: tf_keras.Model, progress: DetectorProgress, improved: bool) -> None:
        """Write snapshots, history and, last, the checkpoint: killed before, an epoch is redone.

        Then go the snapshots that are no longer among the best, of this training alone.
        """
        best = self.best(progress.epoch, progress.best)
        if improved:
            progress.snapshots.append(best.name)
        save_model(self.last, model, self._note(progress))
        if improved:
            _copy(self.last, best)
        write_text(self.history, _table(progress.history))
        _copy(self.last, self.checkpoint)
        would_keep(f"the training is kept after {progress}")
        gone = progress.snapshots[:-KEPT_SNAPSHOTS]  # each was the best of its time
        for path in self.options.workspace.found("retinanet_best", fold=self.fold):
            if path.name in gone:
                with contextlib.suppress(OSError):  # it only takes room
                    path.unlink()

    def left(self, epoch: int, step: int = 0) -> str:
        """How long the training still takes after so many epochs and steps, "" before that is known."""
        left = self.forecast.left(0, epoch, 0, step) if epoch < self.plan.epochs else None
        return left.of_epochs() if left else ""

    def save_within(
        self, model: tf_keras.Model, progress: DetectorProgress, losses: Mapping[str, np.ndarray]
    ) -> None:
        """Write a checkpoint within an epoch; `losses`: name -> (steps,) of each step so far."""
        save_model(self.checkpoint, model, self._note(progress), losses)
        would_keep(f"the training is kept after {progress}")

    def begun_losses(self, steps: int) -> dict[str, list[float]]:
        """The losses of the checkpoint's steps, whose number must be `steps`, by name."""
        losses = {name: values.tolist() for name, values in read_losses(self.checkpoint).items()}
        if "loss" not in losses or {len(values) for values in losses.values()} != {steps}:
            raise UserError(f"{self.checkpoint} lacks losses of its steps; start anew with --force")
        return losses

    def _note(self, progress: DetectorProgress) -> ModelNote:
        return {
            "profile": self.options.profile,
            "description": self.description.content,
            "progress": asdict(progress),
        }


def former_key(plan: DetectorPlan, detector: Detector, *values: object) -> str:
    """The digest by which versions before 0.2 told one training from another.

    values: seed, path of the snapshot or None, content of the fold's two tables. The records enter as
    text, under the class names that they had then.
    """
    texts = [_text_as(plan, "Settings"), _text_as(detector, "Detector"), *map(repr, values)]
    return hashlib.sha256(f"({', '.join(texts)})".encode()).hexdigest()


def _text_as(record: DetectorPlan | Detector, name: str) -> str:
    return name + repr(record).removeprefix(type(record).__qualname__)


def train_detector(run: DetectorRun) -> None:
    """Train to the last epoch, writing snapshots and history after each.

    The checkpoint stays: it may go once the stage has its stamp.
    """
    plan, skip = run.plan, run.options.skip_broken_photos
    model, progress = run.start()
    remember_training(run.options.workspace, run.options.profile)
    plateau = _plateau(model, plan, progress)
    predict, train_step = predictor(with_detections(model, run.detector)), step_function(model)
    photos = TrainingPhotos(
        run.train, run.detector, plan.batch, run.options.seed, plan.small_photos, skip
    )
    log(f"{len(run.train)} photos to train on, {len(run.valid)} to validate on")
    clock = CheckpointClock()
    while progress.epoch < plan.epochs:
        with Hold() as hold:
            losses = _train_epoch(model, train_step, photos, run, progress, clock, hold)
        rate = float(model.optimizer.learning_rate)
        begin = time.monotonic()
        measured = evaluate_detector(predict, run.valid, run.detector, run.options, photos.broken)
        run.forecast.has_validated(time.monotonic() - begin)
        progress.epoch, progress.step = progress.epoch + 1, 0
        row = {"epoch": progress.epoch, **losses, "learning_rate": rate, **measured}
        progress.history.append(row)
        log("; ".join(filter(None, (_line(row, plan.epochs), run.left(progress.epoch)))))
        plateau.on_epoch_end(progress.epoch, dict(losses))
        model.optimizer.learning_rate.assign(float(model.optimizer.learning_rate) * plan.epoch_rate)
        progress.plateau = {name: float(getattr(plateau, name)) for name in PLATEAU_STATE}
        improved = measured["IOU"] > progress.best
        progress.best = max(progress.best, measured["IOU"])
        run.save(model, progress, improved)
        clock.reset()
        if run.options.tensorboard:
            write_scalars(run.logs, progress.epoch, {name: row[name] for name in COLUMNS[1:]})
    for reason in photos.broken.values():
        log(f"left out: {reason}")
    if photos.broken:
        log(f"{len(photos.broken)} photos left out because they cannot be read")
    if photos.outside:
        log(
            f"{len(photos.outside)} photos were trained as background, since their box lies outside of "
            f"them, such as {min(photos.outside)}: are they of the size that the boxes were drawn on?"
        )
    if run.options.steps:
        log_rehearsed(run.name, run.forecast)


def _train_epoch(
    model: tf_keras.Model,
    train_step: TrainStep,
    photos: TrainingPhotos,
    run: DetectorRun,
    progress: DetectorProgress,
    clock: CheckpointClock,
    hold: Hold,
) -> dict[str, float]:
    """Mean of the losses over the steps of an epoch, whose begun part the checkpoint has.

    It ends with a checkpoint where one is due: the evaluation, which follows, may take minutes.
    """
    steps, first = run.plan.steps, progress.step
    losses = run.begun_losses(first) if first else {}
    batches = photos.batches(progress.epoch, steps, run.options.workers, first)
    # Not Keras's fit: it would turn a broken photo's UserError into a TensorFlow error.
    with closing(batches), progress_bar(f"epoch {progress.epoch + 1}", steps, "step") as bar:
        bar.update(first)
        ended, block = time.monotonic(), run.forecast.plan.blocks[0]
        for step, (images, targets) in enumerate(batches, first + 1):
            for name, loss in train_step(images, targets).items():
                losses.setdefault(name, []).append(loss)
            require_finite(losses["loss"][-1])
            ended, before = time.monotonic(), ended
            run.forecast.stepped(block, ended - before)
            bar.set_postfix_str(run.left(progress.epoch, step), refresh=False)
            bar.update()
            hold.begin()
            if clock.due():
                progress.step = step
                run.save_within(model, progress, {k: np.array(v) for k, v in losses.items()})
                clock.reset()
                look()
    return {name: float(np.mean(values)) for name, values in losses.items()}


def step_function(model: tf_keras.Model) -> TrainStep:
    """`model.train_on_batch`, without the dataset that it builds around every batch.

    That takes twice as long as a step of the smoke profile itself.
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def train_step(images: tf.Tensor, targets: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        losses = model.train_step((images, targets))
        losses = {name: tf.identity(loss) for name, loss in losses.items()}
        model.reset_metrics()  # else they would be means of all steps so far
        return losses

    def step(images: np.ndarray, targets: Mapping[str, np.ndarray]) -> dict[str, float]:
        tensors = {name: tf.convert_to_tensor(target) for name, target in targets.items()}
        losses = train_step(tf.convert_to_tensor(images), tensors)
        return {name: float(loss) for name, loss in losses.items()}

    return step


def _compile(model: tf_keras.Model, plan: DetectorPlan) -> None:
    keras = legacy_keras()
    from keras_retinanet import losses

    model.compile(
        loss={"regression": losses.smooth_l1(), "classification": losses.focal()},
        optimizer=keras.optimizers.Adam(plan.learning_rate, clipnorm=plan.clipnorm),
    )


def _plateau(
    model: tf_keras.Model, plan: DetectorPlan, progress: DetectorProgress
) -> tf_keras.callbacks.ReduceLROnPlateau:
    """Keras's own plateau rule, with the state of the checkpoint put back."""
    plateau = legacy_keras().callbacks.ReduceLROnPlateau(
        monitor="loss", factor=plan.plateau_factor, patience=plan.plateau_patience
    )
    plateau.set_model(model)
    plateau.on_train_begin()
    for name, value in progress.plateau.items():
        setattr(plateau, name, value)
    return plateau


def _rows(workspace: Workspace, table: Path) -> list[Annotation]:
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
