"""The schedule of a training, written as the method's table: blocks of rounds of epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

Schedule = float | Callable[[int], float]


@dataclass(frozen=True)
class Block:
    """Rounds with one setting. `lr`, `epochs` and `amplitude` may depend on the round i, from 0.

    tag: part of the weights' file name, `{i}` stands for the round;
    amplitude: of the uniform noise on mining scores; frozen: the branch is not trained;
    new_adam: begin with a fresh optimizer (a change of `frozen` does too);
    each_round: validate and save after each round, not only at the block's end;
    batch: pairs a step, where the block differs from the plan.
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
    """One training of a net: photo size in pixels, pairs a step, segments of mining, blocks.

    weights: first weights of a chain of stages ("imagenet", or None: random);
    momentum: of batch normalization's moving statistics, which a training of few steps must let
    follow faster than Keras's .99 (None);
    steps: of an epoch at most, which bounds the time on many photos (None: all pairs);
    validate_first: print the MAP@5 of the start;
    data_parallel: split each step over all devices.
    """

    size: int
    batch: int
    segments: int
    blocks: tuple[Block, ...]
    weights: str | None = None
    momentum: float | None = None
    steps: int | None = None
    validate_first: bool = False
    data_parallel: bool = False

    def numbers(self) -> dict[str, object]:
        """Every number of the plan as plain values; what depends on the round, as a list over rounds."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**own, "blocks": [_block_numbers(block) for block in self.blocks]}


def _block_numbers(block: Block) -> dict[str, object]:
    own = {field.name: getattr(block, field.name) for field in fields(block)}
    for name in ("lr", "epochs", "amplitude"):
        if callable(own[name]):
            own[name] = [own[name](i) for i in range(block.rounds)]
    return own


def numbered(plans: Sequence[Plan]) -> list[Plan]:
    """The plans with their blocks tagged temp0, temp1, ... through the chain, for file names."""
    result, count = [], 0
    for plan in plans:
        blocks = []
        for block in plan.blocks:
            temporary = block.tag == "temp"
            blocks.append(replace(block, tag=f"temp{count}") if temporary else block)
            count += temporary
        result.append(replace(plan, blocks=tuple(blocks)))
    return result


def at(value: Schedule, i: int) -> float:
    """The value of a setting in round i."""
    return value(i) if callable(value) else value


def _late_amplitude(i: int) -> float:
    return 0.25 * (20 - i) / 20


# Schedules that more than one stage follows to the letter; a stage's own stands in its script.

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
    """Blocks of a fold's training (r15 of v5 and v6); `last_epochs` a round of the last block."""
    return (
        Block("temp0", 8e-5, rounds=1, epochs=15, amplitude=1, frozen=True, batch=16),
        Block("temp1", 8e-5, rounds=4, epochs=5, amplitude=0.5, new_adam=True),
        Block("temp2", 4e-5, rounds=4, epochs=5, amplitude=0.25),
        Block("temp3", 2e-5, rounds=4, epochs=5, amplitude=0.25),
        Block("final_v1", 1e-5, rounds=4, epochs=5, amplitude=0.25),
        Block("final_v2", 8e-6, 20, last_epochs, _late_amplitude, each_round=True),
    )


# The same for the smoke profile: easier negatives, since the nets know little, and larger rates.
SMOKE_FOLD = (
    Block("temp0", 1e-3, rounds=1, epochs=1, amplitude=1000, frozen=True),
    Block("temp1", 1e-3, rounds=2, epochs=8, amplitude=3, new_adam=True),
    Block("final_v2", lambda i: (1e-3, 5e-4)[i], 2, 8, amplitude=2, each_round=True),
)
