"""Train a Siamese net on hard pairs, in blocks of rounds, so that it survives being killed.

`Trainer` runs a stage's `Plan`. After every epoch, and within one by time or for a stop, a checkpoint holds
weights, optimizer, progress and random state, so that a run stopped at any moment and started again
writes the files of an unbroken one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import set_aside
from whales.base.pickles import load, save
from whales.base.progress import progress_bar
from whales.base.stopping import Hold, look, would_keep
from whales.base.tables import csv_text
from whales.base.writing import write_text
from whales.files.dataset import TrainingData
from whales.files.digests import text_digest
from whales.files.stamps import Description, in_words
from whales.nets.features import branch_features
from whales.nets.teaching import Teaching
from whales.photos.feeding import PhotoFeed
from whales.scores.head import head_weights
from whales.scores.pair_scores import score_matrix
from whales.scores.ranking import validation_map
from whales.training.checkpoints import CheckpointClock
from whales.training.forecast import Forecast
from whales.training.learner import Batch, Learner
from whales.training.mining import (
    come_back,
    epoch_pairs,
    keep_costs,
    matches,
    mine_epoch,
    mine_round,
)
from whales.training.plan import Block, Plan, in_round
from whales.training.tensorboard import write_scalars


@dataclass
class TrainingProgress:
    """How far a training has come: all of its state but weights, optimizer and random numbers."""

    block: int = 0
    round: int = 0
    epoch: int = 0  # epochs of this round already trained
    order: list[int] = field(default_factory=list)  # indices of the photos, shuffled for this round
    mates: list[np.ndarray] = field(default_factory=list)  # mismatches (k, 2) of those epochs
    history: list[dict[str, object]] = field(default_factory=list)
    saved: list[tuple[str, float]] = field(default_factory=list)  # file name without folder, MAP@5
    mined: bool = False  # whether the costs of this round are in their file
    # Of the epoch begun: steps trained, Keras's sums of their losses and accuracies, seconds they took.
    step: int = 0
    sums: list[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        step = f", step {self.step} of the next" if self.step else ""
        return f"block {self.block}, round {self.round}, after epoch {self.epoch}{step}"


class Trainer:
    """Runs a plan with a learner; see the module's docstring."""

    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        feed: PhotoFeed,
        data: TrainingData,
        seed: int,
        checkpoint: Path,
        weights: Path,
        history_csv: Path,
        description: Description,
        tensorboard: Path | None = None,
        taught: Teaching = (),
    ) -> None:
        """`data`: the photos to train and validate on; `checkpoint`, `weights`: folders.

        `history_csv`: one row an epoch; `description` of options, numbers and inputs: a checkpoint with
        another one is not resumed; `tensorboard`: a folder for its log, None for none; `taught`: what the
        weight files are to say of the net.
        """
        self.learner, self.network = learner, learner.network
        self.plan, self.feed, self.data = plan, feed, data
        self.photos = list(data.train)
        self.codes = np.unique(list(data.train.values()), return_inverse=True)[1]
        self.sides = data.sides.codes(self.photos) if data.sides else None
        self.rng = np.random.default_rng(seed)
        self.progress = TrainingProgress()
        # The checkpoint knows photos by their places among these.
        self._photos = text_digest(self.photos)
        self.description = description
        self._folder = checkpoint
        self._state = checkpoint / "state.pkl"
        self._costs = checkpoint / "round.pkl"
        self._weights, self._with_it = weights, checkpoint / "weights"
        self._history_csv = history_csv
        self._tensorboard, self._taught = tensorboard, taught
        self._resumed: dict[str, list[np.ndarray]] | None = None
        self._clock = CheckpointClock()
        self._before_epoch = self.rng.bit_generator.state
        self._validates = bool(data.rows and data.columns)
        self._pairs_came_back = False
        validated = len({*data.rows, *data.columns}) if self._validates else 0
        self.forecast = Forecast(plan, len(self.photos), validated)
        self._has_forecast = False

    def resume(self) -> bool:
        """Resume from the checkpoint of the same training, if there is one, and log so.

        The checkpoint of another training is renamed, and the log names it. Returns whether it resumed.
        """
        if not self._state.exists():
            return False
        state = load(self._state)
        differences = self.description.differences(state["description"])
        if len(state["weights"]) != len(self.learner.weights):
            differences = ["it is of an earlier version"]
        if differences:
            self.set_aside(f"it is of another training: {in_words(differences)}")
            return False
        self.progress = TrainingProgress(**state["progress"])
        self.rng.bit_generator.state = state["rng"]
        for variable, value in zip(self.learner.weights, state["weights"], strict=True):
            variable.assign(value)
        self._resumed = state
        if state.get("photos", self._photos) != self._photos:
            self._begin_round_anew()
        log(f"resumed in {self.progress}")
        would_keep(f"the training is kept in {self.progress}")
        return True

    def _begin_round_anew(self) -> None:
        """Forget the pairs of a round that is not over: other photos can be read now, at other places."""
        progress, block = self.progress, self.plan.blocks[self.progress.block]
        if progress.epoch >= int(in_round(block.epochs, progress.round)):
            return
        log("other photos can be read than when the checkpoint was written: the round begins anew")
        progress.epoch, progress.mates, progress.mined = 0, [], False
        progress.step, progress.sums, progress.seconds = 0, [], 0.0

    def set_aside(self, reason: str) -> None:
        """Rename the checkpoint, if there is one, and log its new name with the reason.

        The weight files of its training go along.
        """
        if not self._state.exists():
            return
        self._with_it.mkdir(exist_ok=True)
        try:
            saved = load(self._state)["progress"]["saved"]
        except (UserError, LookupError, TypeError):  # damaged: only its name is changed
            saved = []
        for path in (self._weights / Path(name).name for name, _ in saved):
            if path.exists():
                path.replace(self._with_it / path.name)
        set_aside(self._folder, reason)

    @property
    def was_set_aside(self) -> bool:
        """Whether the checkpoint was renamed, and somebody has given it its name back."""
        return self._with_it.exists()

    def bring_weights_back(self) -> None:
        """Put the weight files that were set aside with the checkpoint into their place."""
        for path in self._with_it.iterdir():
            path.replace(self._weights / path.name)
        self._with_it.rmdir()

    def run(self, save_as: Callable[[str, float], Path]) -> list[tuple[Path, float]]:
        """Train to the end of the plan.

        `save_as(tag, map5)`: path for weights of that MAP@5. Returns every file written and its MAP@5, in
        order.
        """
        if self.plan.validate_first and self._validates and not self.progress.history:
            log(f"start: MAP@5 {self.validate():.6f}")
        for index in range(self.progress.block, len(self.plan.blocks)):
            block = self.plan.blocks[index]
            for i in range(
                self.progress.round if index == self.progress.block else 0, block.rounds
            ):
                if (index, i) != (self.progress.block, self.progress.round):
                    self.progress.block, self.progress.round = index, i
                    self.progress.epoch, self.progress.mates, self.progress.mined = 0, [], False
                self._prepare(block, i)
                self._round(block, i)
                if self._due(block, i):
                    self._validate_and_save(block, i, save_as)
        folder = save_as("", 0).parent
        # Checkpoints of versions before 0.2 hold whole paths, of a root that may have moved.
        return [(folder / Path(name).name, map5) for name, map5 in self.progress.saved]

    def validate(self) -> float:
        """MAP@5 on the validation photos with the present weights."""
        data, begin = self.data, time.monotonic()
        rows = branch_features(self.network, self.feed, data.rows, "valid features")
        columns = branch_features(self.network, self.feed, data.columns, "features")
        scores = score_matrix(
            head_weights(self.network.head), rows, columns, progress="valid scores"
        )
        map5 = validation_map(scores, data.rows, data.columns, data.identity_of, sides=data.sides)
        self.forecast.has_validated(time.monotonic() - begin)
        return map5

    def _due(self, block: Block, i: int) -> bool:
        """Whether weights are validated and saved after round i of the present block.

        Without validation photos at the end of the plan alone: later stages start from the best MAP@5.
        """
        last = i == block.rounds - 1
        if self._validates:
            return last or block.each_round
        return last and self.progress.block == len(self.plan.blocks) - 1

    def _prepare(self, block: Block, i: int) -> None:
        """Begin round i of a block, with the checkpoint's optimizer after a resume."""
        fresh = block.new_adam and i == 0 and self.progress.epoch == 0
        self.learner.begin(block.frozen, in_round(block.lr, i), fresh)
        if self._resumed is not None:
            optimizer, stored = self.learner.optimizer, self._resumed.pop("optimizer")
            for variable, value in zip(optimizer.variables, stored, strict=True):
                variable.assign(value)
            self._resumed = None
            optimizer.learning_rate = in_round(block.lr, i)

    def _round(self, block: Block, i: int) -> None:
        """Mine hard pairs with the present net, then train the round's epochs."""
        progress = self.progress
        epochs = int(in_round(block.epochs, i))
        if progress.epoch >= epochs:
            return  # the run was killed between the last epoch and the validation
        if progress.epoch == 0 and not progress.mined:
            self._mine(in_round(block.amplitude, i))
        # An epoch's mismatches do not depend on the weights, so they are mined while the epoch before trains.
        next_mates = None
        while progress.epoch < epochs:
            begin = time.monotonic() - progress.seconds
            if not progress.step:  # else the checkpoint has them
                next_mates = next_mates or self._next_mates()
                self._take(next_mates.result())
            next_mates = self._next_mates() if progress.epoch + 1 < epochs else None
            with Hold() as hold:
                measured, pairs = self._epoch(block, begin, hold)
                progress.epoch += 1
                progress.step, progress.sums, progress.seconds = 0, [], 0.0
                self._log_epoch(block, i, in_round(block.lr, i), measured, pairs, begin)
                self._checkpoint()

    def _take(self, mismatched: np.ndarray) -> None:
        """Keep the mismatches (k, 2) of the next epoch, and say once that forbidden pairs came back."""
        if not self._pairs_came_back and come_back(mismatched, self.progress.mates):
            self._pairs_came_back = True
            log("few photos: pairs of earlier epochs come back, since no others are left")
        self.progress.mates.append(mismatched)

    def _next_mates(self) -> Future[np.ndarray]:
        return self.feed.submit(mine_epoch, self._costs, list(self.progress.mates))

    def _epoch(self, block: Block, begin: float, hold: Hold) -> tuple[dict[str, float], int]:
        """Train one epoch, or the rest of one, on its mismatches and newly drawn matches.

        begin: when it began; hold: to be begun with the first step. Returns `loss` and `accuracy`, and the
        number of pairs.
        """
        self._before_epoch = self.rng.bit_generator.state
        order = np.asarray(self.progress.order)
        matched = matches(self.codes[order], self.rng, self._sides_of(order))
        pairs, labels = epoch_pairs(matched, self.progress.mates[-1], self.rng)
        if self.plan.steps:
            most = self.plan.steps * (block.batch or self.plan.batch)
            pairs, labels = pairs[:most], labels[:most]
        seeds, batch = self.rng.integers(2**31, size=pairs.shape), self.plan.pairs_at_once(block)
        steps, first, sums = -(-len(labels) // batch), self.progress.step, self.progress.sums
        ended = time.monotonic()

        def after_step(done: int) -> None:
            nonlocal ended
            hold.begin()
            ended, before = time.monotonic(), ended
            self.forecast.stepped(block, ended - before)
            self._say_left(bar, first + done)
            if first + done < steps and self._clock.due():
                self.progress.step, self.progress.sums = first + done, self.learner.sums()
                self.progress.seconds = time.monotonic() - begin
                self._checkpoint()
                look()

        rest = slice(first * batch, None)
        crops = self.feed.pair_batches(self.photos, order[pairs[rest]], seeds[rest], batch)
        with progress_bar("training", steps, "step") as bar:
            bar.update(first)
            batches = self._batches(crops, labels[rest], batch, bar)
            measured = self.learner.fit(lambda: batches, steps - first, sums, after_step)
        return measured, len(labels)

    def _say_left(self, bar: tqdm, step: int) -> None:
        """Write on the bar how long the training still takes, and in the log once it is known."""
        progress = self.progress
        left = self.forecast.left(progress.block, progress.round, progress.epoch, step)
        if left:
            bar.set_postfix_str(str(left), refresh=False)
            if not self._has_forecast:
                log(str(left))
            self._has_forecast = True

    def _batches(
        self,
        crops: Iterable[tuple[np.ndarray, np.ndarray]],
        labels: np.ndarray,
        batch: int,
        bar: tqdm,
    ) -> Iterator[Batch]:
        """Preprocessed crops of both sides with their labels (n,), as the learner takes them."""
        preprocess = self.network.preprocess
        for step, (left, right) in enumerate(crops):
            targets = labels[step * batch : step * batch + batch, None]
            yield (preprocess(left), preprocess(right)), targets
            bar.update()

    def _mine(self, amplitude: float) -> None:
        """Shuffle the photos, score them with the present net, and keep the round's costs in their file."""
        begin = time.monotonic()
        order = self.rng.permutation(len(self.photos))
        self.progress.order = order.tolist()
        names = [self.photos[index] for index in order]
        features = branch_features(self.network, self.feed, names, "features")
        head = head_weights(self.network.head)
        codes, sides = self.codes[order], self._sides_of(order)
        mined = mine_round(head, features, codes, self.plan, amplitude, self.rng, sides)
        keep_costs(self._costs, mined)
        self.progress.mined = True
        self.forecast.mined(time.monotonic() - begin)
        if self._clock.due():
            self._checkpoint()

    def _sides_of(self, order: np.ndarray) -> np.ndarray | None:
        return None if self.sides is None else self.sides[order]

    def _log_epoch(
        self, block: Block, i: int, lr: float, measured: dict[str, float], pairs: int, begin: float
    ) -> None:
        progress = self.progress
        row = {
            "block": progress.block, "tag": block.tag, "round": i, "epoch": progress.epoch, "lr": lr,
            "loss": measured["loss"], "accuracy": measured["accuracy"], "pairs": pairs,
            "seconds": round(time.monotonic() - begin, 1), "map5": "",
        }  # fmt: skip
        progress.history.append(row)
        left = self.forecast.left(progress.block, i, progress.epoch, 0)
        log(
            f"block {progress.block} ({block.tag}) round {i} epoch {progress.epoch}: "
            f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}, {pairs} pairs, "
            f"{row['seconds']:.1f} s" + (f"; {left}" if left else "")
        )
        self._write_history()
        if self._tensorboard:
            write_scalars(self._tensorboard, len(progress.history), measured)

    def _validate_and_save(
        self, block: Block, i: int, save_as: Callable[[str, float], Path]
    ) -> None:
        map5 = self.validate() if self._validates else 0.0
        path = save_as(block.tag.format(i=i), map5)
        self.network.save_weights(path, self._taught)
        self.progress.saved.append((path.name, map5))
        if self._validates:
            self.progress.history[-1]["map5"] = f"{map5:.6f}"
        measured = f"MAP@5 {map5:.6f}" if self._validates else "not validated"
        log(f"block {self.progress.block} round {i}: {measured}, {path.name}")
        self._write_history()
        if self._tensorboard:
            write_scalars(self._tensorboard, len(self.progress.history), {"map5": map5})

    def _write_history(self) -> None:
        header = list(self.progress.history[0])
        rows = [[row.get(name, "") for name in header] for row in self.progress.history]
        write_text(self._history_csv, csv_text(header, rows))

    def _checkpoint(self) -> None:
        from keras import ops

        state = {
            "description": dict(self.description.content),
            "progress": vars(self.progress),
            "photos": self._photos,
            "rng": self._before_epoch if self.progress.step else self.rng.bit_generator.state,
            "weights": [ops.convert_to_numpy(variable) for variable in self.learner.weights],
            "optimizer": [
                ops.convert_to_numpy(variable) for variable in self.learner.optimizer.variables
            ],
        }
        save(self._state, state)
        self._clock.reset()
        would_keep(f"the training is kept in {self.progress}")
