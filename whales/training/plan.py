"""The schedule of a training, written as the method's table: blocks of rounds of epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

from whales.base.errors import UserError

Schedule = float | Callable[[int], float]

# Of batch normalization's moving statistics: the method's, and that of the smoke profile's few steps. On the
# sample .99, .9 and .8 gave the ensemble a MAP@5 of .561, .600 and .628 (one run each).
MOMENTUM = 0.99
SMOKE_MOMENTUM = 0.8
# Share of the method's augmentation in the smoke profile, whose photos of 48 to 72 px lose by more of it what
# tells whales apart: with .3 instead of 1 the sample's folds rose from .34 to .41 (v5) and .38 to .49 (v6).
SMOKE_AUGMENTATION = 0.3
# Numbers of a plan that stamps name where they are not the default alone.
_YOUNGER = ("augmentation", "resting", "frozen_inference", "accumulate", "most_dense", "candidates")


@dataclass(frozen=True)
class Block:
    """Rounds with one setting. `lr`, `epochs` and `amplitude` may depend on the round i, from 0.

    tag: in the weights' file names, `{i}` for the round
    lr: Adam's learning rate
    rounds: so many times hard pairs are mined
    epochs: of each round
    amplitude: of the uniform noise added to pair scores in mining
    frozen: the branch is not trained
    new_adam: begin with a fresh optimizer (a change of `frozen` does too)
    each_round: validate and save after each round, not only at the block's end
    batch: pairs a step, where the block differs from the plan
    """

    tag: str
    lr: Schedule
    rounds: int
    epochs: Schedule
    amplitude: Schedule
    frozen: bool = False
    new_adam: bool = False
    each_round: bool = False
    batch: int | None = None


@dataclass(frozen=True)
class Plan:
    """One training of a net.

    size: of the photos, pixels a side
    batch: pairs a step
    segments: photos are split into so many groups, and hard pairs are mined within each
    blocks: in their order
    weights: first weights of a chain of stages ("imagenet", or None for random ones)
    momentum: of batch normalization's moving statistics (None: the method's)
    augmentation: how likely each step of it is, as a share of the method's likelihood
    resting: batch normalization takes the moving statistics of the first weights throughout, not the
        batch's: of few photos these would move far, and a photo unlike them all be like everybody
    frozen_inference: a frozen branch normalizes by its moving statistics in training, not by the batch's
    steps: of an epoch at most, to bound the time on many photos (None: all pairs)
    accumulate: a step's gradients are the mean of so many parts of its batch, computed in turn, for a
        device whose memory holds no whole batch; batch normalization sees each part alone
    validate_first: log the MAP@5 of the first weights
    data_parallel: split each step over all GPUs, unless a number of devices is asked for
    most_dense: segments of more photos are mined among the best candidates of each photo, since their dense
        costs would take too much memory: 4.8 GB at 20,000 photos
    candidates: so many of each photo, and on either side

    >>> block = Block("temp", lambda i: 1e-4 / (i + 1), rounds=2, epochs=5, amplitude=1)
    >>> Plan(384, 16, 2, (block,)).numbers()["blocks"][0]["lr"]
    [0.0001, 5e-05]
    """

    size: int
    batch: int
    segments: int
    blocks: tuple[Block, ...]
    weights: str | None = None
    momentum: float | None = None
    augmentation: float = 1.0
    resting: bool = False
    frozen_inference: bool = False
    steps: int | None = None
    accumulate: int = 1
    validate_first: bool = False
    data_parallel: bool = False
    most_dense: int = 20_000
    candidates: int = 64

    def numbers(self) -> dict[str, object]:
        """Every number of the plan as plain values; a setting that depends on the round, as a list.

        Those that are younger than the first stamps are left out at their defaults, so that these stay good.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in _YOUNGER:
            if values[name] == getattr(Plan, name):
                del values[name]
        return {**values, "blocks": [_block_numbers(block) for block in self.blocks]}

    def pairs_at_once(self, block: Block) -> int:
        """Pairs that a block's net takes at once: a step's batch, or a part of it."""
        return (block.batch or self.batch) // self.accumulate

    @property
    def largest_batch(self) -> int:
        """Pairs of its largest step."""
        return self._batches[-1]

    @property
    def _batches(self) -> list[int]:
        """Pairs of its steps, ascending."""
        return sorted({block.batch or self.batch for block in self.blocks})

    def possible_parts(self) -> list[int]:
        """Into how many equal parts all its batches can be cut, ascending."""
        common = math.gcd(*self._batches)
        return [parts for parts in range(1, common + 1) if not common % parts]

    def accumulating(self, parts: int) -> Plan:
        """The plan with each step's batch in so many parts; `UserError` where they would not be equal."""
        fitting = self.possible_parts()
        if parts not in fitting:
            raise UserError(
                f"--accumulate {parts} does not divide the plan's batches ({_listed(self._batches)} pairs a "
                f"step) into equal parts; {_listed(fitting)} would"
            )
        return replace(self, accumulate=parts)

    def divides_by(self, devices: int) -> bool:
        """Whether all its batches can be cut into equal parts for so many devices."""
        return devices in self.possible_parts()

    def require_divides_by(self, devices: int) -> None:
        """`UserError` where its batches cannot be cut into equal parts for so many devices."""
        if not self.divides_by(devices):
            raise UserError(
                f"--devices {devices} does not divide the plan's batches ({_listed(self._batches)} pairs a "
                f"step) into equal parts; {_listed(self.possible_parts())} would"
            )

    def rehearsed(self, steps: int) -> Plan:
        """The plan cut to one round a block, two epochs a round and `steps` steps an epoch, at most.

        Two epochs, since the second one's pairs are mined while the first one trains.
        """
        blocks = (
            replace(block, rounds=1, epochs=min(2, int(in_round(block.epochs, 0))))
            for block in self.blocks
        )
        fewest = steps if self.steps is None else min(steps, self.steps)
        return replace(self, steps=fewest, blocks=tuple(blocks))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _block_numbers(block: Block) -> dict[str, object]:
    values = {field.name: getattr(block, field.name) for field in fields(block)}
    for name in ("lr", "epochs", "amplitude"):
        if callable(values[name]):
            values[name] = [values[name](i) for i in range(block.rounds)]
    return values


def numbered(plans: Sequence[Plan]) -> list[Plan]:
    """The plans of a chain, with blocks tagged `temp` renamed temp0, temp1, ... for file names."""
    result, count = [], 0
    for plan in plans:
        blocks = []
        for block in plan.blocks:
            temporary = block.tag == "temp"
            blocks.append(replace(block, tag=f"temp{count}") if temporary else block)
            count += temporary
        result.append(replace(plan, blocks=tuple(blocks)))
    return result


def in_round(value: Schedule, i: int) -> float:
    """The value of a setting in round i, from 0.

    >>> in_round(0.5, 3), in_round(lambda i: (20 - i) / 20, 10)
    (0.5, 0.5)
    """
    return value(i) if callable(value) else value


def _late_amplitude(i: int) -> float:
    return 0.25 * (20 - i) / 20


# Schedules that several stages share; a schedule of one stage is in its script.

# Second warm start (v5 384 px) and both warm starts of v6.
WARM_START = (
    Block("temp0_{i}", 2e-5, rounds=4, epochs=5, amplitude=1000, frozen=True, each_round=True),
    Block("temp04_{i}", 2e-5, rounds=4, epochs=5, amplitude=1, new_adam=True, each_round=True),
    Block("temp1", 1e-5, rounds=4, epochs=5, amplitude=0.5),
    Block("temp2", 1e-5, rounds=4, epochs=5, amplitude=0.25, each_round=True),
    Block("temp3", 1e-5, rounds=4, epochs=5, amplitude=0.25, each_round=True),
    Block("temp4", 1e-5, rounds=4, epochs=5, amplitude=0.25, each_round=True),
    Block("final", 8e-6, rounds=20, epochs=5, amplitude=0.25, each_round=True),
)


def fold_finetune(last_epochs: Schedule) -> tuple[Block, ...]:
    """Blocks of a fold's training (r15 of v5 and v6); `last_epochs`: epochs a round in the last block."""
    return (
        Block("temp0", 8e-5, rounds=1, epochs=15, amplitude=1, frozen=True, batch=16),
        Block("temp1", 8e-5, rounds=4, epochs=5, amplitude=0.5, new_adam=True),
        Block("temp2", 4e-5, rounds=4, epochs=5, amplitude=0.25),
        Block("temp3", 2e-5, rounds=4, epochs=5, amplitude=0.25),
        Block("final_v1", 1e-5, rounds=4, epochs=5, amplitude=0.25),
        Block("final_v2", 8e-6, 20, last_epochs, _late_amplitude, each_round=True),
    )


def smoke_fold(size: int) -> Plan:
    """A fold's training in the smoke profile, with photos of `size` pixels (r15 of v5 and v6).

    Easier negatives, since the nets know little, and larger rates. They fall at the end, so that batch
    normalization's moving statistics catch up with the weights.
    """
    return Plan(
        size,
        batch=16,
        segments=2,
        momentum=SMOKE_MOMENTUM,
        augmentation=SMOKE_AUGMENTATION,
        frozen_inference=True,
        steps=14,
        blocks=(
            Block("temp0", 1e-3, rounds=1, epochs=1, amplitude=1000, frozen=True),
            Block("temp1", 1e-3, 2, 6, amplitude=lambda i: (1000, 10)[i], new_adam=True),
            Block(
                *("final_v2", lambda i: (5e-4, 1e-4)[i], 2, 5),
                amplitude=lambda i: (10, 3)[i],
                each_round=True,
            ),
        ),
    )
