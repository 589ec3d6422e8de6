"""Net v6, first warm start: 224 px on the playground's whales, from ImageNet.

Validated on fold 0.
"""

from collections.abc import Sequence

from siamese_net_v6_se_resnext.a00_net_v6 import NET
from whales.stages.stage import run
from whales.stages.training_stage import training_stage
from whales.training.plan import SMOKE_AUGMENTATION, SMOKE_MOMENTUM, WARM_START, Block, Plan

FULL = Plan(size=224, batch=6, segments=1, weights="imagenet", blocks=WARM_START)
SMOKE = Plan(
    size=48,
    batch=16,
    segments=1,
    momentum=SMOKE_MOMENTUM,
    augmentation=SMOKE_AUGMENTATION,
    steps=14,
    blocks=(
        Block("temp04_{i}", 2e-3, rounds=1, epochs=22, amplitude=1000, each_round=True),
        Block("final", 1e-3, 2, 6, amplitude=lambda i: (1000, 10)[i], each_round=True),
    ),
)


def main(argv: Sequence[str] | None = None) -> None:
    plans = {"full": FULL, "smoke": SMOKE}
    training_stage(__doc__, __file__, argv, NET, plans, "seresnext50_224px_warmstart", folds=False)


if __name__ == "__main__":
    run(main)
