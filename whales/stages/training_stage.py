"""What the training stages of every Siamese net do alike: from options and a plan to weight files."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import move_to_earlier
from whales.base.writing import require_writable
from whales.files.boxes import Box
from whales.files.dataset import TrainingData, load_boxes, training_data, training_reads
from whales.files.stamps import Description
from whales.files.trained import part_name, remember_training, require_trained_shape
from whales.files.workspace import Workspace, require
from whales.nets.net import WEIGHTS_SUFFIX, BestOf, Net
from whales.nets.teaching import lesson, teaching_after
from whales.stages.job import Job
from whales.stages.memory import require_memory
from whales.stages.options import (
    RunOptions,
    add_precision,
    add_rehearsal,
    parse_arguments,
    positive,
)
from whales.stages.rehearsal import log_rehearsed, most_photos
from whales.training.devices import (
    PUBLISHED,
    STATISTICS,
    SYNCHRONIZED,
    Devices,
    device_scope,
    most_devices,
    require_devices,
)
from whales.training.learner import Learners
from whales.training.plan import Plan

if TYPE_CHECKING:
    from whales.nets.network import SiameseNetwork
    from whales.photos.feeding import PhotoFeed
    from whales.training.trainer import Trainer

# First weights of a training: a file, "imagenet", or "none" or None for random ones.
Start = Path | str | None
# The file for a block's tag and MAP@5.
SaveAs = Callable[[str, float], Path]


def training_stage(
    doc: str | None,
    script: str,
    argv: Sequence[str] | None,
    net: Net,
    plans: dict[str, Plan],
    prefix: str,
    start: BestOf | None = None,
    folds: bool = True,
    other_prefixes: Sequence[str] = (),
) -> None:
    """A whole stage of v5 or v6: one plan, trained on folds, or on the playground (`folds` False).

    Weights are saved as `PREFIX_TAG_SCORE`, `{fold}` of the prefix filled in. `start`: None for the
    plan's first weights, which `--weights` can replace. other_prefixes: of weights that the next stage takes
    for this one's: a new training sets them aside with its own.
    """

    def extra(parser: argparse.ArgumentParser) -> None:
        add_training_options(parser, "imagenet|none|FILE", "start from these weights")

    options, args = parse_arguments(
        doc, argv, fold=(0, 3) if folds else None, many=True, extra=extra, script=script
    )
    given = Given.of(args, options)
    plan = given.plan(plans[options.profile])
    # Every fold's start is looked up before the first trains: nothing fails after hours.
    starts = {
        fold: _first_weights(options.workspace, net, plan, given, start, fold)
        for fold in (args.fold if folds else [None])
    }
    check_folds(options.workspace, net, list(starts))
    with closing(Workbench(options, net, given)) as bench:
        for fold, first in starts.items():
            prefixes = [prefix.format(fold=fold), *other_prefixes]
            _train_fold(bench, script, plan, given, prefixes, first, fold)


@dataclass(frozen=True)
class Given:
    """Options of a training stage's own, None where not given.

    weights: first weights; segments: parts of mining; accumulate: parts of a step; steps: of a rehearsal;
    devices: that share each step; statistics: of batch normalization over them, as in `Devices`.
    """

    weights: str | None
    segments: int | None
    accumulate: int | None = None
    steps: int | None = None
    devices: int | None = None
    statistics: str = SYNCHRONIZED

    @classmethod
    def of(cls, args: argparse.Namespace, options: RunOptions) -> Given:
        """From parsed `add_training_options`; `UserError` for devices that are not there or cannot."""
        given = cls(
            args.weights,
            args.segments,
            args.accumulate,
            options.steps,
            args.devices,
            args.statistics,
        )
        number = given.devices or 1
        if given.statistics == PUBLISHED and number < 2:
            raise UserError(
                f"--statistics {PUBLISHED} is of several devices: say how many, such as --devices 2"
            )
        if number > 1 and (given.accumulate or 1) > 1:
            raise UserError(
                f"--devices {number} and --accumulate {given.accumulate} cut the same batch: give one of them"
            )
        require_devices(number, given.statistics)
        return given

    def devices_of(self, plan: Plan) -> Devices:
        """The devices that train a plan: those asked for, else all for a plan that takes all."""
        if self.devices is not None:
            return Devices(self.devices, self.statistics)
        if not plan.data_parallel or plan.accumulate > 1:
            return Devices()
        number = most_devices()
        if not plan.divides_by(number):
            log(f"the plan's batches do not divide by {number} devices: it trains on one")
            return Devices()
        return Devices(number)

    def plan(self, plan: Plan) -> Plan:
        """The plan with what was asked for; `UserError` where its batches cannot be cut so."""
        if self.segments is not None:
            plan = replace(plan, segments=self.segments)
        if self.accumulate is not None:
            plan = plan.accumulating(self.accumulate)
        if self.devices is not None:
            plan.require_divides_by(self.devices)
        return plan if self.steps is None else plan.rehearsed(self.steps)

    def for_stamp(self) -> dict[str, object]:
        """Those that the plan's numbers do not tell, as `Job` takes them; a weight file as a path."""
        files = file_of(self.weights)
        values = {"weights": files[0] if files else self.weights, "segments": self.segments}
        if self.statistics == PUBLISHED:  # else the number of devices changes rounding alone
            values |= {"devices": self.devices, "statistics": self.statistics}
        return values


def add_training_options(parser: argparse.ArgumentParser, weights: str, meaning: str) -> None:
    """Add the options of every training stage; `weights`, `meaning`: what `--weights` takes and does."""
    parser.add_argument("--weights", metavar=weights, help=meaning)
    parser.add_argument(
        "--segments",
        type=positive,
        metavar="S",
        help="mine in so many parts (default: the method's)",
    )
    parser.add_argument(
        "--accumulate",
        type=positive,
        metavar="N",
        help="compute each step in N parts, for less memory; batch normalization sees each part alone",
    )
    parser.add_argument(
        "--devices",
        type=positive,
        metavar="N",
        help="split each step over N GPUs (default: one; the kernel net's 1024 px plan takes all)",
    )
    parser.add_argument(
        "--statistics",
        choices=STATISTICS,
        default=SYNCHRONIZED,
        help="of batch normalization over several devices: of the whole batch, as on one, or of each "
        f"device's part, as published (default: {SYNCHRONIZED})",
    )
    add_rehearsal(parser)
    add_precision(parser)


def check_folds(workspace: Workspace, net: Net, folds: Sequence[int | None]) -> None:
    """Raise `UserError` for a missing table, or a fold with too few photos, before the first one trains.

    One fold alone checks its photos itself, before it trains.
    """
    for path in {
        path: None for fold in folds for path in training_reads(workspace, net.folds, fold)
    }:
        require(workspace, path)
    if len(folds) > 1:
        boxes = load_boxes(workspace)
        for fold in folds:
            training_data(workspace, net.folds, fold, boxes)


def _first_weights(
    workspace: Workspace, net: Net, plan: Plan, given: Given, start: BestOf | None, fold: int | None
) -> Start:
    for path in training_reads(workspace, net.folds, fold):
        require(workspace, path)
    if start and not given.weights:
        return start.find(workspace.file(f"models_{net.name}"), fold)
    return given.weights or plan.weights


def _train_fold(
    bench: Workbench,
    script: str,
    plan: Plan,
    given: Given,
    prefixes: Sequence[str],
    start: Start,
    fold: int | None,
) -> None:
    """prefixes: of the weights, its own first."""
    ws = bench.options.workspace
    job = Job(
        bench.options,
        script,
        training_reads(ws, bench.net.folds, fold) + file_of(start),
        [ws.file("history", stage=Job.key_of(script, fold))],
        numbers=plan.numbers(),
        fold=fold,
        given=given.for_stamp(),
    )
    if job.up_to_date(begins=False):
        return
    require_memory(Path(script).stem, bench.net, [plan])
    folder = ws.file(f"models_{bench.net.name}")

    def save_as(tag: str, score: float) -> Path:
        return folder / f"{prefixes[0]}_{tag}_{score:.6f}{WEIGHTS_SUFFIX}"

    saved = train(job, bench, plan, start, save_as, fold, earlier=[f"{name}_" for name in prefixes])
    job.done([max(saved, key=lambda item: item[1])[0]])
    shutil.rmtree(ws.file("checkpoint", stage=job.key), ignore_errors=True)


def file_of(weights: Start) -> list[Path]:
    """The file that first weights come from, if they come from one."""
    return [] if weights in (None, "none", "imagenet") else [Path(weights).resolve()]


class Workbench:
    """What the folds that one process trains share: learners, and the workers that feed photos."""

    def __init__(self, options: RunOptions, net: Net, given: Given) -> None:
        self.options, self.net, self.given = options, net, given
        self.learners = Learners(self._build)
        self._feed: PhotoFeed | None = None
        self._augmentation = 1.0  # of that feed

    def close(self) -> None:
        """End the workers that feed photos."""
        if self._feed:
            self._feed.close()

    def _build(self, size: int, weights: Start) -> SiameseNetwork:
        return self.net.network(size, weights, self.options.profile, self.options.precision)

    def feed(self, plan: Plan, boxes: dict[str, Box]) -> PhotoFeed:
        """The feed of a plan's crops; that of another size, augmentation, shape or other boxes ends."""
        from whales.photos.feeding import PhotoFeed

        ws, old = self.options.workspace, self._feed
        shape, size = ws.settings.anisotropy, plan.size
        wanted = size, plan.augmentation, shape, boxes
        if old and (old.size, self._augmentation, old.anisotropy, old.boxes) != wanted:
            old.close()
            self._feed = None
        if not self._feed:
            stores = ws.file("crops"), ws.file("decoded_photos")
            self._augmentation = plan.augmentation
            augmenter = partial(self.net.augmenter, shape, plan.augmentation)
            workers = self.options.workers
            self._feed = PhotoFeed(ws.photo, boxes, size, workers, augmenter, *stores, shape)
        return self._feed


def train(
    job: Job,
    bench: Workbench,
    plan: Plan,
    start: Start,
    save_as: SaveAs,
    fold: int | None,
    earlier: Sequence[str] = (),
    part: str = "",
    besides: Collection[str] = (),
) -> list[tuple[Path, float]]:
    """Train a net by one plan and return the files written with their MAP@5, in order.

    job: of the fold; fold: None for the playground; save_as: file for a block's tag and score; earlier:
    prefixes of files of an earlier run, set aside where the training starts anew; part: name of the plan
    in a stage of several; besides: names of files of the plans before it, which stay.
    """
    options, ws, key = job.options, job.options.workspace, job.key + part
    folder, mine = save_as("", 0).parent, part_name(bench.net.name, fold)
    if not options.force:
        require_trained_shape(ws, [mine])
    require_writable(save_as("", 0), ws.file("checkpoint", stage=key) / "state.pkl")
    bench.net.fetch_first_weights(start, options.profile)
    from whales.photos.crops import check_boxes
    from whales.training.trainer import Trainer

    boxes = load_boxes(ws)
    data = _data(bench, plan, fold, boxes)
    check_boxes(boxes, [*data.train, *data.rows, *data.columns])
    feed = bench.feed(plan, boxes)
    if options.skip_broken_photos:
        data = data.only(set(feed.readable(sorted({*data.train, *data.rows, *data.columns}))))
    devices = bench.given.devices_of(plan)
    with device_scope(devices):
        trainer = Trainer(
            bench.learners.start(plan, start, options.seed, devices),
            plan,
            feed,
            data,
            seed=options.seed,
            checkpoint=ws.file("checkpoint", stage=key),
            weights=folder,
            history_csv=ws.file("history", stage=key),
            description=_of_plan(job, plan, part, start),
            tensorboard=ws.file("tensorboard", stage=key) if options.tensorboard else None,
            taught=teaching_after(start, lesson(ws, data.train)),
        )
        log(
            f"{job.name}: {len(data.train)} photos of {len(set(data.train.values()))} identities, "
            f"{plan.size} px, start: {start or 'none'}{devices}"
        )
        if not (data.rows and data.columns):
            log("no validation photos: MAP@5 counts as 0, weights are saved at the end alone")
        job.begins()
        remember_training(ws, options.profile, mine)
        _resume(trainer, options.force, folder, earlier, besides)
        saved = trainer.run(save_as)
    if options.steps:
        log_rehearsed(job.name, trainer.forecast)
    return saved


def _data(bench: Workbench, plan: Plan, fold: int | None, boxes: dict[str, Box]) -> TrainingData:
    """The photos of a fold, or of the playground; few of them for a rehearsal."""
    options = bench.options
    data = training_data(options.workspace, bench.net.folds, fold, boxes)
    return data.few(most_photos(options.steps, plan.largest_batch)) if options.steps else data


def _of_plan(job: Job, plan: Plan, part: str, start: Start) -> Description:
    """What a checkpoint of one of a stage's plans is made from."""
    files = file_of(start)
    first = job.options.workspace.digests.of(files[0]) if files else str(start)
    changed = {"numbers": plan.numbers(), "plan": part, "start": first}
    former = {**job.description.former, "plan": part, "start": str(start)}
    return Description({**job.description.content, **changed}, former)


def _resume(
    trainer: Trainer, force: bool, folder: Path, earlier: Sequence[str], besides: Collection[str]
) -> None:
    """Resume from a training's checkpoint, or else set aside what an earlier run has left; as `train`."""
    if force:
        trainer.set_aside("--force")
    resumed = not force and trainer.resume()
    if not resumed or trainer.was_set_aside:
        _set_aside(folder, earlier, besides)
    if resumed and trainer.was_set_aside:
        trainer.bring_weights_back()


def _set_aside(folder: Path, prefixes: Sequence[str], besides: Collection[str] = ()) -> None:
    """Move weights of an earlier run to `earlier/`: later stages choose the best by its name.

    besides: names of files that stay.
    """
    for prefix in prefixes:
        for path in folder.glob(f"{prefix}*"):
            if path.name not in besides:
                move_to_earlier(path)
