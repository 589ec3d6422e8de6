"""A stream of generated individuals from a seed: chunks of photos, in order, made by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count as numbers
from itertools import cycle, islice
from typing import NamedTuple

import cv2
import numpy as np

from sample_data.simulator.individual import DRAWING, LEVEL_SIZES, draw, drawing
from sample_data.simulator.marks import years_later
from sample_data.simulator.view import photograph, photograph_nothing
from whales.base.concurrency import end_processes, follow_parent, fresh_processes, map_ahead
from whales.base.stopping import requested

CHUNK = 16  # individuals that one call of a worker draws
_WHOLE = 0.25  # share of photos of which the whole frame is shown
_YEARS = 0.4  # share of photos that are of another time
_NOTHING = 32  # of so many individuals the last one's place shows water alone
_MEASURED = 320  # individuals that drawings are standardised by
_FLAT = 0.03  # added to a deviation: where drawings hardly differ, rounding must not count


class Shots(NamedTuple):
    """Photos of k individuals.

    crops: (k, photos, size, size, 1) uint8 grey; drawings: (k, numbers) float32; shown: (k,) bool, False
    where the photos are of water alone, each of its own.
    """

    crops: np.ndarray
    drawings: np.ndarray
    shown: np.ndarray


class Easing(NamedTuple):
    """Photos of the first individuals are easy, those from number `last` on as hard as can be."""

    first: int = 0
    last: int = 0

    def hardness(self, individual: int) -> float:
        """How far poses and light depart from a usual photo's, from 0 to 1.

        >>> Easing(100, 300).hardness(50), Easing(100, 300).hardness(200), Easing().hardness(0)
        (0.0, 0.5, 1.0)
        """
        if individual >= self.last:
            return 1.0
        return max(0.0, (individual - self.first) / (self.last - self.first))


HARD = Easing()  # from the first individual on


def shoot(seed: int, size: int, photos: int, easing: Easing, number: int) -> Shots:
    """Chunk `number` of the stream `seed`, the same for equal arguments; drawings as `drawing` gives them."""
    crops = np.empty((CHUNK, photos, size, size, 1), np.uint8)
    drawings = np.empty((CHUNK, DRAWING), np.float32)
    individuals = np.arange(number * CHUNK, (number + 1) * CHUNK)
    shown = (individuals + 1) % _NOTHING != 0
    for place, individual in enumerate(individuals.tolist()):
        rng = np.random.default_rng([seed, 4, individual])
        whale = draw(rng)
        drawings[place] = drawing(whale)
        hardness = easing.hardness(individual)
        for photo in range(photos):
            if not shown[place]:
                crops[place, photo, ..., 0] = photograph_nothing(rng, size)
                continue
            whole = bool(rng.random() < _WHOLE * hardness)
            then = years_later(rng, whale) if rng.random() < _YEARS * hardness else whale
            crops[place, photo, ..., 0] = photograph(rng, then, size, whole, hardness)
    return Shots(crops, drawings, shown)


class PhotoStream:
    """Individuals without end, each drawn once and photographed several times.

    What comes depends on the seed alone, never on the number of workers or on where one begins. Drawings,
    `drawing` numbers each, are standardised, and weighted so that each of their scales counts alike; of water
    alone they are 0.
    """

    drawing = DRAWING

    def __init__(
        self, seed: int, size: int, workers: int, photos: int = 2, easing: Easing = HARD
    ) -> None:
        """`size`: of the crops where none is asked for, pixels a side; `photos`: of each individual.

        workers: processes.
        """
        self._seed, self._size, self._photos, self._easing = seed, size, photos, easing
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        known = np.stack(
            [drawing(draw(np.random.default_rng([seed, 5, i]))) for i in range(_MEASURED)]
        )
        self._mean, deviation = known.mean(axis=0), known.std(axis=0) + _FLAT
        shares = np.concatenate([np.full(size, 1 / size) for size in LEVEL_SIZES])
        self._scale = (np.sqrt(shares * DRAWING / len(LEVEL_SIZES)) / deviation).astype(np.float32)

    def individuals(
        self, count: int, first: int = 0, sizes: tuple[int, ...] | None = None
    ) -> Iterator[Shots]:
        """So many individuals at a time, without end, from number `first` on.

        count, first: multiples of `CHUNK`, ValueError otherwise; sizes: of the crops, in turn: the first one
        for numbers 0 to count - 1 (None: the stream's for all).
        """
        if count % CHUNK or first % CHUNK:
            raise ValueError(f"expected multiples of {CHUNK}, received {count} and {first}")
        waiting: list[Shots] = []
        sizes = sizes or (self._size,)
        for chunk in self._chunks(first // CHUNK, count, sizes):
            waiting.append(chunk)
            if len(waiting) * CHUNK == count:
                crops, drawings, shown = map(np.concatenate, zip(*waiting, strict=True))
                drawings = (drawings - self._mean) * self._scale * shown[:, None]
                yield Shots(crops, drawings, shown)
                waiting = []

    def _chunks(self, first: int, count: int, sizes: tuple[int, ...]) -> Iterator[Shots]:
        if self._pool is None:
            context = fresh_processes(["sample_data.simulator.stream"])
            self._pool = ProcessPoolExecutor(self._workers, context, _begin)
        turns = cycle(np.repeat(sizes, count // CHUNK).tolist())
        asked = islice(zip(turns, numbers()), first, None)
        asked = (
            partial(shoot, self._seed, size, self._photos, self._easing, number)
            for size, number in asked
        )
        yield from map_ahead(self._pool, _call, asked, 4 * self._workers)

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            end_processes(self._pool, at_once=bool(requested()))


def _call(asked: Callable[[], Shots]) -> Shots:
    return asked()


def _begin() -> None:
    """Set up a worker process."""
    cv2.setNumThreads(1)  # the cores are shared out among the processes
    follow_parent()
