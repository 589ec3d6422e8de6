"""Net v6, second warm start: 384 px on the playground's whales, from the best 224 px weights.

Validated on fold 0.
"""

from collections.abc import Sequence

from siamese_net_v6_se_resnext.a00_net_v6 import NET
from whales.nets.net import BestOf
from whales.stages.stage import run
from whales.stages.training_stage import training_stage
from whales.training.plan import SMOKE_AUGMENTATION, SMOKE_MOMENTUM, WARM_START, Block, Plan

FULL = Plan(size=384, batch=4, segments=1, blocks=WARM_START)
SMOKE_BLOCK = Block("final", 1e-3, rounds=2, epochs=8, amplitude=1000, each_round=True)
SMOKE = Plan(
    48,
    16,
    segments=1,
    momentum=SMOKE_MOMENTUM,
    augmentation=SMOKE_AUGMENTATION,
    steps=14,
    blocks=(SMOKE_BLOCK,),
)
START = BestOf(
    prefixes=("seresnext50_224px_warmstart",),
    key="weights_v6_224",
)


def main(argv: Sequence[str] | None = None) -> None:
    plans = {"full": FULL, "smoke": SMOKE}
    prefix = "seresnext50_384px_warmstart"
    training_stage(__doc__, __file__, argv, NET, plans, prefix, START, folds=False)


if __name__ == "__main__":
    run(main)
