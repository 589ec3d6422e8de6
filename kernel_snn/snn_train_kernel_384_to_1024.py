"""Train the kernel net on one fold: 384 px, then 768 px, then 1024 px.

GPUs are chosen by --CUDA_VISIBLE_DEVICES 0,1. Without the warm start the net starts from weights that come
with the project and have seen generated flukes alone; with --weights none from nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from kernel_snn.a00_net_kernel import NET
from kernel_snn.training_chain import PlanChain, training_chain
from whales.stages.stage import run
from whales.training.plan import SMOKE_AUGMENTATION, SMOKE_MOMENTUM, Block, Plan

temp = partial(Block, "temp")  # learning rate, rounds, epochs, amplitude


def late_rate(i: int) -> float:
    return (8e-6, 4e-6, 2e-6, 1e-6)[min(i // 4, 3)]


FULL_384 = (
    *(temp(8e-5, 1, 10, 1), temp(8e-5, 1, 20, 1), temp(4e-5, 5, 5, 0.5)),
    *(temp(2e-5, 5, 5, 0.25), temp(2e-5, 5, 5, 0.25), temp(1e-5, 5, 5, 0.1)),
)
FULL_768 = (
    *(temp(8e-5, 1, 10, 1, frozen=True), temp(8e-5, 1, 10, 1, new_adam=True)),
    *(temp(8e-5, 1, 20, 1), temp(4e-5, 4, 5, 0.5), temp(4e-5, 4, 5, 0.25)),
    *(temp(2e-5, 4, 5, 0.25), temp(2e-5, 4, 5, 0.1), temp(2e-5, 4, 5, 0.05)),
)
FULL_1024 = (
    *(temp(8e-5, 1, 15, 1, frozen=True), temp(8e-5, 1, 20, 1, new_adam=True)),
    *(temp(8e-5, 4, 5, 0.5), temp(4e-5, 4, 5, 0.25), temp(2e-5, 4, 5, 0.25)),
    *(temp(2e-5, 4, 5, 0.1), temp(2e-5, 4, 5, 0.05)),
    Block("final", late_rate, 20, 5, lambda i: 0.25 * (20 - i) / 20, each_round=True),
)
# At the warm start's 64 px throughout: another scale would have to be learnt first. A small data set teaches
# little to weights that know many whales, and by the method's numbers less: its augmentation hides at 64 px
# what tells whales apart, pairs that are hard there teach nothing, and by batch statistics of few photos one
# without a fluke becomes like everybody (docs/start.md, "Adapting").
SMOKE_1ST = (temp(3e-5, 1, 4, 1000),)
SMOKE_2ND = (temp(3e-5, 1, 1, 1000, frozen=True), temp(3e-5, 1, 3, 1000, new_adam=True))
SMOKE_3RD = (Block("final", 1e-5, 2, 2, 1000, each_round=True),)
WARM = Plan(64, 32, 2, augmentation=SMOKE_AUGMENTATION, resting=True, blocks=())
# From random weights the net stays at chance for longer than a smoke test can wait. The head alone comes
# last: batch normalization's moving statistics lag behind, and it learns to live with them.
COLD_1ST = (temp(1e-4, 1, 1, 1000),)
COLD_2ND = (temp(1e-3, 1, 1, 1000, frozen=True), temp(1e-4, 1, 1, 1000, new_adam=True))
COLD_3RD = (temp(1e-4, 1, 1, 20), Block("final", 1e-3, 1, 3, 1000, frozen=True, each_round=True))
COLD = Plan(64, 32, 2, momentum=SMOKE_MOMENTUM, frozen_inference=True, blocks=())

# The second and third plans start from the best and the last weights of the plan before.
FULL = (
    Plan(384, batch=64, segments=2, blocks=FULL_384),
    Plan(768, batch=20, segments=2, blocks=FULL_768),
    Plan(1024, batch=20, segments=2, blocks=FULL_1024, data_parallel=True),
)


def smoke(plan: Plan, *blocks: tuple[Block, ...]) -> PlanChain:
    """The three plans of the smoke profile, which differ in their blocks."""
    first, second, third = (replace(plan, blocks=each) for each in blocks)
    return first, second, replace(third, data_parallel=True)


PLANS = {"full": FULL, "smoke": smoke(WARM, SMOKE_1ST, SMOKE_2ND, SMOKE_3RD)}
# With --weights none:
COLD_PLANS = {"full": FULL, "smoke": smoke(COLD, COLD_1ST, COLD_2ND, COLD_3RD)}


def main(argv: Sequence[str] | None = None) -> None:
    training_chain(__doc__, __file__, argv, NET, PLANS, COLD_PLANS)


if __name__ == "__main__":
    run(main)
