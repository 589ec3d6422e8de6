"""Net v5, second warm start: 384 px on the playground's whales, from the best 224 px weights.

Validated on fold 0.
"""

from collections.abc import Sequence

from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.nets.net import BestOf
from whales.stages.stage import run
from whales.stages.training_stage import training_stage
from whales.training.plan import SMOKE_AUGMENTATION, SMOKE_MOMENTUM, WARM_START, Block, Plan

FULL = Plan(size=384, batch=6, segments=1, blocks=WARM_START)
SMOKE = Plan(
    size=64,
    batch=16,
    segments=1,
    momentum=SMOKE_MOMENTUM,
    augmentation=SMOKE_AUGMENTATION,
    frozen_inference=True,
    steps=14,
    blocks=(
        Block("temp0_{i}", 1e-3, rounds=1, epochs=1, amplitude=1000, frozen=True, each_round=True),
        Block(
            "final", lambda i: (1e-3, 2e-4)[i], 2, 3, amplitude=1000, new_adam=True, each_round=True
        ),
    ),
)
START = BestOf(
    # The published 384 px stage looks for the second name, the 224 px stage writes the first.
    prefixes=("densenet121_224px_warmstart", "densenet_224px_warmstart"),
    key="weights_v5_224",
)


def main(argv: Sequence[str] | None = None) -> None:
    plans = {"full": FULL, "smoke": SMOKE}
    prefix = "densenet121_384px_warmstart"
    training_stage(__doc__, __file__, argv, NET, plans, prefix, START, folds=False)


if __name__ == "__main__":
    run(main)
