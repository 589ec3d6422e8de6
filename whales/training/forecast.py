"""How long a training still takes, told from its own steps."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

from whales.training.plan import Block, Plan, in_round

# Of work on one photo: a pass forward is one part, a pass back two. So until both were seen, the time
# of a step with a frozen branch tells that of one with a free branch, and the other way round.
FORWARD, FORWARD_AND_BACK = 1, 3
_LATEST = 200  # steps whose times count


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the present epoch, round, block and the whole plan end."""

    epoch: float
    round: float
    block: float
    plan: float

    def __str__(self) -> str:
        """
        >>> str(TimeLeft(40, 130, 4000, 200_000))
        'left: epoch 40 s, round 2 min, block 1 h 7 min, plan 2 d 8 h'
        """
        names = ("epoch", "round", "block", "plan")
        return "left: " + ", ".join(f"{name} {duration(getattr(self, name))}" for name in names)

    def of_epochs(self) -> str:
        """The same for a plan of epochs alone."""
        return f"left: epoch {duration(self.epoch)}, plan {duration(self.plan)}"


def duration(seconds: float) -> str:
    """A time in two units at most, rounded.

    >>> [duration(seconds) for seconds in (0.4, 89, 90, 3599, 86_399, 200_000)]
    ['0 s', '89 s', '2 min', '1 h 0 min', '1 d 0 h', '2 d 8 h']
    """
    if round(seconds) < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


@dataclass
class Forecast:
    """Watches a training and says how long it still takes.

    plan: of the training; photos: trained on, and so features before a round; validated: photos whose
    features a validation computes, 0 where there is none.
    """

    plan: Plan
    photos: int
    validated: int
    _steps: dict[tuple[bool, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    _seen: set[bool] = field(default_factory=set)
    _mining: float | None = None
    _validation: float | None = None

    def steps_of(self, block: Block) -> int:
        """Steps of one of its epochs, with the pairs that the net takes at once."""
        pairs = 2 * self.photos
        if self.plan.steps is not None:
            pairs = min(pairs, self.plan.steps * (block.batch or self.plan.batch))
        return -(-pairs // self.plan.pairs_at_once(block))

    def stepped(self, block: Block, seconds: float) -> None:
        """A step took so long; the first one of a frozen and of a free branch does not count: it compiles."""
        if block.frozen not in self._seen:
            self._seen.add(block.frozen)
            return
        times = self._steps[block.frozen, self.plan.pairs_at_once(block)]
        times.append(seconds)
        del times[:-_LATEST]

    def mined(self, seconds: float) -> None:
        """The scores of a round took so long."""
        self._mining = seconds

    def has_validated(self, seconds: float) -> None:
        """A validation took so long."""
        self._validation = seconds

    def seconds_a_step(self, block: Block) -> float | None:
        """Median seconds of a block's step, told from other blocks' where need be; None before the first."""
        pairs = self.plan.pairs_at_once(block)
        if times := self._steps.get((block.frozen, pairs)):
            return statistics.median(times)
        rates = {
            frozen: statistics.median(times) / count
            for (frozen, count), times in self._steps.items()
            if times
        }
        if not rates:
            return None
        if block.frozen in rates:
            return rates[block.frozen] * pairs
        known = rates[not block.frozen]
        factor = FORWARD / FORWARD_AND_BACK if block.frozen else FORWARD_AND_BACK / FORWARD
        return known * pairs * factor

    def left(self, block: int, round_: int, epoch: int, step: int) -> TimeLeft | None:
        """From a place in the plan: its block and round, epochs done of the round, steps of the next one.

        None before enough steps were seen.
        """
        present = self.plan.blocks[block]
        seconds = self.seconds_a_step(present)
        if seconds is None:
            return None
        steps = self.steps_of(present)
        epochs = int(in_round(present.epochs, round_))
        of_epoch = seconds * (steps - step) if epoch < epochs else 0.0
        of_round = of_epoch + seconds * steps * max(epochs - epoch - 1, 0)
        of_round += self._validating(present, round_)
        of_block = of_round + sum(
            self._round(present, i) for i in range(round_ + 1, present.rounds)
        )
        of_plan = of_block + sum(
            self._round(later, i)
            for later in self.plan.blocks[block + 1 :]
            for i in range(later.rounds)
        )
        return TimeLeft(of_epoch, of_round, of_block, of_plan)

    def _round(self, block: Block, i: int) -> float:
        """Seconds of a whole round: mining, epochs, validation."""
        seconds = (self.seconds_a_step(block) or 0.0) * self.steps_of(block)
        epochs = int(in_round(block.epochs, i))
        return (self._mining or 0.0) + epochs * seconds + self._validating(block, i)

    def _validating(self, block: Block, i: int) -> float:
        """Seconds of the validation after a round, if there is one; told from mining before the first."""
        if not self.validated or not (block.each_round or i == block.rounds - 1):
            return 0.0
        if self._validation is not None:
            return self._validation
        return (self._mining or 0.0) * self.validated / max(self.photos, 1)
