"""What the stages of every Siamese net share: whom they train on, with which weights, and how."""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whales.console import log
from whales.dataset import load_boxes, training_data, training_reads
from whales.errors import UserError
from whales.learner import Learners
from whales.plan import Plan
from whales.settings import ANISOTROPY
from whales.stage import Job, parse_arguments, positive, require

if TYPE_CHECKING:
    from whales.feeding import PhotoFeed
    from whales.photos import Box

WEIGHTS_SUFFIX = ".model_weights"
_SCORE = re.compile(r"_(\d\.\d{2,})(\.[a-z_0-9]+)?$")


@dataclass(frozen=True)
class Net:
    """What the library must know of a net; its modules by name, since importing them takes seconds.

    name: as in the work root's keys; models: module with `build_network`; augmentation: module with
    `transforms()` and `EXTRA_CROP`; folds: key of its splits.
    """

    name: str
    models: str
    augmentation: str
    folds: str

    def build(
        self, size: int, weights: Path | str | None, profile: str, policy: str | None = None
    ) -> Any:
        """The network, see `build_network` in the net's own module.

        policy: precision of the branch, see `whales.network.precision`; None for float32.
        """
        from whales.network import precision

        with precision(policy or "float32"):
            return importlib.import_module(self.models).build_network(size, weights, profile)

    def augmenter(self, anisotropy: float = ANISOTROPY) -> Any:
        """A new `whales.augment.Augmenter` with the net's transforms; `anisotropy` as there."""
        from whales.augment import Augmenter

        module = importlib.import_module(self.augmentation)
        return Augmenter(module.transforms, module.EXTRA_CROP, anisotropy)


@dataclass(frozen=True)
class BestOf:
    """Start of a training: the best-scoring weights of an earlier stage.

    prefixes: of the file names, `{fold}` filled in; maker: the script that writes them.
    """

    prefixes: tuple[str, ...]
    maker: str

    def find(self, folder: Path, fold: int | None = None) -> Path:
        """The file whose name ends in the best MAP@5; `UserError` naming the maker if there is none."""
        prefixes = tuple(prefix.format(fold=fold) for prefix in self.prefixes)
        scored = [
            (float(found[1]), path.name, path)
            for path in (folder.iterdir() if folder.is_dir() else ())
            if path.name.startswith(prefixes) and (found := _SCORE.search(path.name))
        ]
        if not scored:
            maker = self.maker.format(fold=fold)
            raise UserError(f"no weights {prefixes[0]}..._SCORE in {folder}; run {maker}")
        return max(scored)[2]


def training_stage(
    doc: str | None,
    script: str,
    argv: Sequence[str] | None,
    net: Net,
    plans: dict[str, Plan],
    prefix: str,
    start: BestOf | None = None,
    folds: bool = True,
) -> None:
    """A whole stage of v5 or v6: one plan, trained on folds, or on the playground (`folds` False).

    Weights are saved as `PREFIX_TAG_SCORE`, `{fold}` of the prefix filled in. `start`: None for the
    plan's first weights, which `--weights` can replace.
    """

    def extra(parser: argparse.ArgumentParser) -> None:
        training_options(parser, "imagenet|none|FILE", "start from these weights")

    args = parse_arguments(doc, argv, fold=(0, 3) if folds else None, many=True, extra=extra)
    plan, places = plans[args.profile], args.fold if folds else [None]
    # Every fold's start is looked up before the first trains: nothing fails after hours.
    starts = {fold: _first_weights(args, net, plan, start, fold) for fold in places}
    with Workbench(args, net) as bench:
        for fold, first in starts.items():
            _train_one(one_fold(args, fold), script, plan, prefix.format(fold=fold), first, bench)


def training_options(parser: argparse.ArgumentParser, weights: str, meaning: str) -> None:
    """Add the options of every training stage; `weights`, `meaning`: what `--weights` takes and does."""
    parser.add_argument("--weights", metavar=weights, help=meaning)
    parser.add_argument(
        "--segments",
        type=positive,
        metavar="S",
        help="mine in so many parts (default: the method's)",
    )
    precision_option(parser)


def precision_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of every stage that runs a branch; args.precision is None where not given."""
    parser.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        help="of the branch; the head computes in float32 (default: float32)",
    )


def _first_weights(
    args: argparse.Namespace, net: Net, plan: Plan, start: BestOf | None, fold: int | None
) -> Path | str | None:
    for path in training_reads(args.workspace, net.folds, fold):
        require(args.workspace, path)
    if start and not args.weights:
        return start.find(args.workspace.file(f"models_{net.name}"), fold)
    return args.weights or plan.weights


def one_fold(args: argparse.Namespace, fold: int | None) -> argparse.Namespace:
    """The arguments of a call for this fold alone."""
    return argparse.Namespace(**{**vars(args), "fold": fold})


def _train_one(
    args: argparse.Namespace,
    script: str,
    plan: Plan,
    prefix: str,
    start: Path | str | None,
    bench: Workbench,
) -> None:
    ws, fold = args.workspace, args.fold
    folder = ws.file(f"models_{bench.net.name}")
    reads = training_reads(ws, bench.net.folds, fold) + file_of(start)
    job = Job(args, script, reads, [ws.file("history", stage=Job.key_of(script, fold))], fold)
    if job.up_to_date():
        return

    def save_as(tag: str, score: float) -> Path:
        return folder / f"{prefix}_{tag}_{score:.6f}{WEIGHTS_SUFFIX}"

    saved = train(job, bench, plan, start, save_as, earlier=[f"{prefix}_"])
    shutil.rmtree(ws.file("checkpoint", stage=job.key), ignore_errors=True)
    job.done([max(saved, key=lambda item: item[1])[0]])


def file_of(weights: Path | str | None) -> list[Path]:
    """The file that first weights come from, if they come from one."""
    return [] if weights in (None, "none", "imagenet") else [Path(weights).resolve()]


class Workbench:
    """What the folds that one process trains share: learners, and the workers that feed photos."""

    def __init__(self, args: argparse.Namespace, net: Net) -> None:
        self.net = net
        self.learners = Learners(self._build)
        self._profile, self._precision = args.profile, args.precision
        self._workspace, self._workers = args.workspace, args.workers
        self._feed: PhotoFeed | None = None

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, *_: object) -> None:
        if self._feed:
            self._feed.close()

    def _build(self, size: int, weights: Path | str | None) -> Any:
        return self.net.build(size, weights, self._profile, self._precision)

    def feed(self, size: int, boxes: dict[str, Box]) -> PhotoFeed:
        """The feed of crops at one size; that of another size, shape or other boxes ends."""
        from whales.feeding import PhotoFeed

        ws, old = self._workspace, self._feed
        shape = ws.settings.anisotropy
        if old and (old.size, old.anisotropy, old.boxes) != (size, shape, boxes):
            old.close()
            self._feed = None
        if not self._feed:
            stores = ws.file("crops"), ws.file("decoded_photos")
            augmenter = partial(self.net.augmenter, shape)
            self._feed = PhotoFeed(ws.photo, boxes, size, self._workers, augmenter, *stores, shape)
        return self._feed


def train(
    job: Job,
    bench: Workbench,
    plan: Plan,
    start: Path | str | None,
    save_as: Callable[[str, float], Path],
    earlier: Sequence[str] = (),
    part: str = "",
) -> list[tuple[Path, float]]:
    """Train a net by one plan and return the files written with their MAP@5, in order.

    job: of the fold (None: the playground); start: first weights (None or "none": random,
    "imagenet", or a file); save_as: file for a block's tag and score; earlier: prefixes of files of
    an earlier run, set aside where the training starts anew; part: name of the plan in a stage of
    several.
    """
    from whales.photos import check_boxes
    from whales.training import Trainer

    args, ws, key = job.args, job.args.workspace, job.key + part
    if args.segments is not None:
        plan = replace(plan, segments=args.segments)
    boxes = load_boxes(ws)
    data = training_data(ws, bench.net.folds, args.fold, boxes)
    check_boxes(boxes, [*data.train, *data.rows, *data.columns])
    feed = bench.feed(plan.size, boxes)
    if args.skip_broken_photos:
        data = data.only(set(feed.readable(sorted({*data.train, *data.rows, *data.columns}))))
    with device_scope(plan.data_parallel) as devices:
        trainer = Trainer(
            bench.learners.start(plan, start, args.seed, devices),
            plan,
            feed,
            data,
            seed=args.seed,
            checkpoint=ws.file("checkpoint", stage=key),
            history_csv=ws.file("history", stage=key),
            description={**job.inputs, "plan": part, "start": str(start)},
            tensorboard=ws.file("tensorboard", stage=key) if args.tensorboard else None,
        )
        log(
            f"{job.name}: {len(data.train)} photos of {len(set(data.train.values()))} identities, "
            f"{plan.size} px, start: {start or 'none'}{devices}"
        )
        if args.force or not trainer.resume():
            trainer.forget()
            _set_aside(save_as("", 0).parent, earlier)
        return trainer.run(save_as)


def _set_aside(folder: Path, prefixes: Sequence[str]) -> None:
    """Move weights of an earlier run to `earlier/`: later stages choose the best by its name."""
    for prefix in prefixes:
        for path in folder.glob(f"{prefix}*"):
            (folder / "earlier").mkdir(exist_ok=True)
            path.replace(folder / "earlier" / path.name)
            log(f"{path.name} of an earlier run moved to {folder / 'earlier'}")


def device_scope(data_parallel: bool) -> AbstractContextManager[str]:
    """Where to build and train: over all visible devices if asked and there are several."""
    if not data_parallel:
        return nullcontext("")
    import keras

    if keras.backend.backend() == "tensorflow":
        strategy = _mirrored_strategy()
        return _scope(strategy) if strategy else nullcontext("")
    devices = keras.distribution.list_devices() if keras.backend.backend() == "jax" else []
    if len(devices) > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        return nullcontext(f", over {len(devices)} devices")
    return nullcontext("")


@cache
def _mirrored_strategy() -> Any:
    """One for the process, since a learner stays bound to its own; None for less than two GPUs."""
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else None


@contextmanager
def _scope(strategy: Any):
    with strategy.scope():
        yield f", over {strategy.num_replicas_in_sync} devices"


def plain_feed(args: argparse.Namespace, size: int, boxes: dict[str, Box]) -> PhotoFeed:
    """Unaugmented crops of the work root's photos at one size, kept for later stages."""
    from whales.feeding import PhotoFeed

    ws, shape = args.workspace, args.workspace.settings.anisotropy
    return PhotoFeed(ws.photo, boxes, size, args.workers, store=ws.file("crops"), anisotropy=shape)


def features_of(
    args: argparse.Namespace, net: Net, size: int, weights: Path, names: Sequence[str]
) -> tuple[Any, dict[str, np.ndarray]]:
    """(network, features of each photo: stem -> (d,) float32) with one weight file.

    With `--skip-broken-photos` those that cannot be read are absent; else they raise `UserError`.
    """
    from whales.feeding import branch_features
    from whales.photos import check_boxes

    boxes = load_boxes(args.workspace)
    check_boxes(boxes, names)
    feed = plain_feed(args, size, boxes)
    kept = feed.readable(names) if args.skip_broken_photos else names
    network = net.build(size, weights, args.profile, args.precision)
    features = branch_features(network, feed, kept, "features")
    feed.close()
    return network, dict(zip(kept, features, strict=True))


def places_with(features: dict[str, np.ndarray], names: Sequence[str]) -> list[int]:
    """Places in `names` (stems) of the photos that have features."""
    return [place for place, name in enumerate(names) if name in features]


def score_photos(
    head: Any,
    features: dict[str, np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    progress: str | None = None,
) -> np.ndarray:
    """Pair scores (n, m) float32 of photos by stem; 0 for those without features.

    `head`, `progress`: as for `whales.pair_scores.score_matrix`.
    """
    from whales.pair_scores import score_matrix

    scores = np.zeros((len(rows), len(columns)), np.float32)
    places = [places_with(features, names) for names in (rows, columns)]
    if all(places):
        queries = np.stack([features[rows[place]] for place in places[0]])
        gallery = np.stack([features[columns[place]] for place in places[1]])
        scores[np.ix_(*places)] = score_matrix(head, queries, gallery, progress=progress)
    return scores
