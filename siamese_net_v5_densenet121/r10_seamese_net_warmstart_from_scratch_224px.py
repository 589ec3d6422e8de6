"""Net v5, first warm start: 224 px on the playground's whales, from ImageNet.

Validated on fold 0.
"""

from collections.abc import Sequence

from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.stages.stage import run
from whales.stages.training_stage import training_stage
from whales.training.plan import SMOKE_AUGMENTATION, SMOKE_MOMENTUM, Block, Plan

FULL = Plan(
    size=224,
    batch=12,
    segments=1,
    weights="imagenet",
    blocks=(
        Block("temp0", 8e-5, rounds=1, epochs=20, amplitude=1),
        Block("temp1", 8e-5, rounds=4, epochs=5, amplitude=0.5, new_adam=True),
        Block("temp04_{i}", 2e-5, rounds=4, epochs=5, amplitude=1, new_adam=True, each_round=True),
        Block("temp1", 1e-5, rounds=4, epochs=5, amplitude=0.5),
        Block("temp2", 1e-5, rounds=4, epochs=5, amplitude=0.25),
        Block("temp3", 1e-5, rounds=4, epochs=5, amplitude=0.25),
        Block("temp4", 1e-5, rounds=4, epochs=5, amplitude=0.25),
        Block("final", 8e-6, rounds=20, epochs=5, amplitude=0.25, each_round=True),
    ),
)
SMOKE = Plan(
    size=64,
    batch=16,
    segments=1,
    momentum=SMOKE_MOMENTUM,
    augmentation=SMOKE_AUGMENTATION,
    steps=14,
    blocks=(
        Block("temp0", 2e-3, rounds=1, epochs=30, amplitude=1000),
        Block("final", 1e-3, 2, 10, amplitude=lambda i: (1000, 10)[i], each_round=True),
    ),
)


def main(argv: Sequence[str] | None = None) -> None:
    plans = {"full": FULL, "smoke": SMOKE}
    prefix, published = "densenet121_224px_warmstart", ["densenet_224px_warmstart"]
    training_stage(
        __doc__, __file__, argv, NET, plans, prefix, folds=False, other_prefixes=published
    )


if __name__ == "__main__":
    run(main)
