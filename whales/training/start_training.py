"""Teach a net on a stream of generated individuals, from nothing to first weights for real photos.

First the branch alone, by `whales.training.contrast`; then the head alone by the method's rounds: features of
new individuals, hard negatives by linear assignment, pairs. No individual comes back in a later step or
round.
After a stop the same command goes on from the last checkpoint, and ends with the same weights
but for the rounding of several threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from whales.base.console import log
from whales.base.folders import set_aside
from whales.base.pickles import load, save
from whales.base.progress import progress_bar
from whales.base.stopping import Hold, look, would_keep
from whales.base.tables import csv_text
from whales.base.writing import write_text
from whales.scores.head import head_weights
from whales.training.checkpoints import CheckpointClock
from whales.training.learner import require_finite
from whales.training.mining import epoch_pairs, matches, mine_round
from whales.training.plan import Plan

if TYPE_CHECKING:
    import keras

    from whales.nets.network import SiameseNetwork
    from whales.training.contrast import Contrast

_LOG_SECONDS = 60.0
_LEAST_RATE = 0.01  # of the highest one, at the end of the contrast


class Photos(Protocol):
    """Photos of k individuals.

    crops: (k, photos, size, size, C) uint8; drawings: (k, numbers) float32; shown: (k,) bool, False where the
    photos show no animal.
    """

    @property
    def crops(self) -> np.ndarray: ...

    @property
    def drawings(self) -> np.ndarray: ...

    @property
    def shown(self) -> np.ndarray: ...


class Stream(Protocol):
    """Individuals in the order of their numbers, so many at a time, photographed in sizes that take turns.

    drawing: numbers of one.
    """

    drawing: int

    def individuals(
        self, count: int, first: int = 0, sizes: tuple[int, ...] | None = None
    ) -> Iterator[Photos]: ...


class Round(NamedTuple):
    """One round of the head: pairs of so many new individuals, trained on in so many epochs."""

    individuals: int
    epochs: int
    rate: float
    amplitude: float


@dataclass(frozen=True)
class StartPlan:
    """The recipe of a net's first weights.

    steps: of the contrast, each of so many new `individuals`; sizes: of the crops, pixels a side, which steps
    take in turn; rate: the highest of Adam, reached after `warm_up` steps and then falling along a cosine;
    temperature, drawing: as `Contrast` takes them, the weight of the drawing's loss; momentum: of moving
    statistics; rounds: of the head, in steps of `batch` pairs. ValueError where a round's individuals are no
    multiple of a step's.
    """

    steps: int
    rounds: tuple[Round, ...]
    sizes: tuple[int, ...] = (64,)
    individuals: int = 64
    rate: float = 1e-3
    warm_up: int = 50
    temperature: float = 0.15
    drawing: float = 2.0
    momentum: float = 0.99
    batch: int = 64

    def __post_init__(self) -> None:
        for each in self.rounds:
            if each.individuals % self.individuals:
                raise ValueError(
                    f"expected multiples of {self.individuals} individuals, received {each.individuals}"
                )

    def rate_at(self, step: int) -> float:
        """Adam's rate at a step of the contrast."""
        falling = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * max(falling, _LEAST_RATE)

    def numbers(self) -> dict[str, object]:
        """Every number of the recipe as plain values."""
        return {**asdict(self), "rounds": [each._asdict() for each in self.rounds]}

    @property
    def all_individuals(self) -> int:
        """So many are drawn."""
        return self.steps * self.individuals + sum(each.individuals for each in self.rounds)


@dataclass
class _Progress:
    step: int = 0  # of the contrast
    round: int = 0
    seconds: float = 0.0
    measured: list[dict[str, object]] = field(default_factory=list)


class StartTraining:
    """Runs a `StartPlan`; see the module's docstring."""

    def __init__(
        self,
        network: SiameseNetwork,
        plan: StartPlan,
        stream: Stream,
        checkpoint: Path,
        seed: int,
        measure: Callable[[], dict[str, float]] | None = None,
        measure_at: tuple[int, ...] = (),
        made_of: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """`network`: with random weights, trained in place; `checkpoint`: a file.

        measure: what a net is worth, in numbers by name; measure_at: so many individuals seen, besides each
        round's end; made_of: what else the result depends on, plain values: a checkpoint with others is set
        aside.
        """
        self.network, self.plan, self._stream = network, plan, stream
        self._checkpoint_file, self._seed = checkpoint, seed
        self._measure, self._measure_at = measure, measure_at
        self._progress = _Progress()
        self._clock = CheckpointClock()
        self._description = {**plan.numbers(), **made_of, "seed": seed}

    def run(self) -> list[dict[str, object]]:
        """Train to the plan's end. Returns what was measured on the way, a row each time."""
        state = self._resume()
        if self._progress.step < self.plan.steps:
            self._contrast(state)
        self._rounds()
        return self._progress.measured

    def write_curve(self, path: Path) -> None:
        """What was measured as a table: individuals, seconds, and each number."""
        rows = self._progress.measured
        if rows:
            header = list(rows[0])
            write_text(path, csv_text(header, [[row[name] for name in header] for row in rows]))

    def _resume(self) -> Sequence[np.ndarray]:
        """Go on from the checkpoint of the same recipe, if there is one: its state besides the network's."""
        if not self._checkpoint_file.exists():
            return ()
        kept = load(self._checkpoint_file)
        if kept["description"] != self._description:
            set_aside(self._checkpoint_file, "it is of another recipe")
            return ()
        self._progress = _Progress(**kept["progress"])
        _assign(self._network_variables, kept["network"])
        log(f"resumed after {self._progress.step} steps and {self._progress.round} rounds")
        return kept["state"]

    @property
    def _network_variables(self) -> list[keras.Variable]:
        return [*self.network.branch.variables, *self.network.head.variables]

    def _keep(self, state: Sequence[keras.Variable]) -> None:
        from keras import ops

        def values(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
            return [ops.convert_to_numpy(variable) for variable in variables]

        progress = self._progress
        kept = {"description": self._description, "progress": asdict(progress)}
        network = values(self._network_variables)
        save(self._checkpoint_file, {**kept, "network": network, "state": values(state)})
        self._clock.reset()
        would_keep(f"the training is kept after {progress.step} steps and {progress.round} rounds")

    def _note(self, individuals: int) -> None:
        """Measure what the net is worth after so many individuals."""
        if self._measure:
            row = {"individuals": individuals, "seconds": round(self._progress.seconds)}
            row |= {name: round(value, 4) for name, value in self._measure().items()}
            self._progress.measured.append(row)
            log(", ".join(f"{name} {value}" for name, value in row.items()))

    def _contrast(self, state: Sequence[np.ndarray]) -> None:
        from whales.training.contrast import Contrast  # imports Keras

        plan, progress = self.plan, self._progress
        batches = self._batches(progress.step * plan.individuals, plan.sizes)
        contrast = Contrast(
            self.network.branch,
            self._stream.drawing,
            plan.momentum,
            plan.temperature,
            (1.0, plan.drawing),
        )
        if len(state):
            _assign(contrast.state, state)
        begin, told, losses = time.monotonic() - progress.seconds, time.monotonic(), []
        with progress_bar("contrast", plan.steps, "step") as bar:
            bar.update(progress.step)
            while progress.step < plan.steps:
                with Hold() as hold:
                    hold.begin()
                    losses.append(self._contrast_step(contrast, next(batches)))
                    progress.step += 1
                    bar.update()
                    progress.seconds = time.monotonic() - begin
                    if time.monotonic() - told > _LOG_SECONDS:
                        contrasted, drawn = np.mean(losses, axis=0)
                        log(f"step {progress.step}: contrast {contrasted:.4f}, drawing {drawn:.4f}")
                        told, losses = time.monotonic(), []
                    if progress.step * plan.individuals in self._measure_at:
                        self._note(progress.step * plan.individuals)
                    if self._clock.due() or progress.step == plan.steps:
                        self._keep(contrast.state)
                        look()

    def _batches(self, first: int, sizes: tuple[int, ...]) -> Iterator[Photos]:
        """Photos of `plan.individuals` at a time, from number `first` on."""
        return self._stream.individuals(self.plan.individuals, first, sizes)

    def _contrast_step(self, contrast: Contrast, photos: Photos) -> tuple[float, float]:
        crops = photos.crops.reshape(-1, *photos.crops.shape[2:])
        drawings = np.repeat(photos.drawings, photos.crops.shape[1], axis=0)
        rate = self.plan.rate_at(self._progress.step)
        return contrast.step(self.network.preprocess(crops), codes_of(photos), drawings, rate)

    def _rounds(self) -> None:
        """The method's rounds that are left, each on individuals of its own."""
        plan, progress = self.plan, self._progress
        while progress.round < len(plan.rounds):
            each = plan.rounds[progress.round]
            before = sum(one.individuals for one in plan.rounds[: progress.round])
            first = plan.steps * plan.individuals + before
            begin = time.monotonic()
            self._round(each, first)
            progress.round += 1
            progress.seconds += time.monotonic() - begin
            self._note(first + each.individuals)
            self._keep([])

    def _round(self, each: Round, first: int) -> None:
        import keras

        features, codes = self._features(each.individuals, first)
        rng = np.random.default_rng([self._seed, self._progress.round])
        head = self.network.head
        mining = Plan(self.network.size, self.plan.batch, segments=1, blocks=())
        mined = mine_round(head_weights(head), features, codes, mining, each.amplitude, rng)
        twice = np.flatnonzero(np.bincount(codes)[codes] > 1)
        head.compile(keras.optimizers.Adam(each.rate), "binary_crossentropy", metrics=["accuracy"])
        for epoch in range(1, each.epochs + 1):
            matched = twice[matches(codes[twice], rng)]
            pairs, labels = epoch_pairs(matched, mined.next_epoch(), rng)
            head.reset_metrics()
            for start in range(0, len(labels), self.plan.batch):
                part = slice(start, start + self.plan.batch)
                left, right = (features[side] for side in pairs[part].T)
                measured = head.train_on_batch([left, right], labels[part, None], return_dict=True)
            require_finite(float(measured["loss"]))
            log(
                f"round {self._progress.round} epoch {epoch}: loss {float(measured['loss']):.4f}, accuracy "
                f"{float(measured['accuracy']):.4f}, {len(labels)} pairs"
            )

    def _features(self, individuals: int, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Features of photos of so many individuals, (n, d), and the photos' codes, (n,)."""
        features, codes = [], []
        batches = self._batches(first, (self.network.size,))
        for photos in islice(batches, individuals // self.plan.individuals):
            crops = photos.crops.reshape(-1, *photos.crops.shape[2:])
            features.append(self.network.features(self.network.preprocess(crops)))
            codes.append(codes_of(photos) + sum(map(len, codes)))
        return np.concatenate(features), np.concatenate(codes)


def codes_of(photos: Photos) -> np.ndarray:
    """Each photo's identity, (k * photos,) int below that number; a photo of no animal has its own."""
    count, times = photos.crops.shape[:2]
    own = np.arange(count * times).reshape(count, times)
    return np.where(photos.shown[:, None], own[:, :1], own).ravel()


def _assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
