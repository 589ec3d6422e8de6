"""Net v5, one fold at 512 px, from the fold's best 384 px weights."""

from collections.abc import Sequence

from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.nets.net import BestOf
from whales.stages.stage import run
from whales.stages.training_stage import training_stage
from whales.training.plan import SMOKE_AUGMENTATION, SMOKE_MOMENTUM, Block, Plan, fold_finetune

FULL = Plan(
    size=512,
    batch=4,
    segments=4,
    validate_first=True,
    blocks=fold_finetune(last_epochs=lambda i: 5 + i // 5),
)
SMOKE = Plan(
    size=72,
    batch=16,
    segments=2,
    momentum=SMOKE_MOMENTUM,
    augmentation=SMOKE_AUGMENTATION,
    steps=14,
    blocks=(Block("final_v2", 5e-4, rounds=1, epochs=lambda i: 5 + i // 5, amplitude=3),),
)
START = BestOf(
    prefixes=("ft_v5_384px_finetune_{fold}_",),
    key="weights_v5_384",
)


def main(argv: Sequence[str] | None = None) -> None:
    plans = {"full": FULL, "smoke": SMOKE}
    training_stage(__doc__, __file__, argv, NET, plans, "ft_v5_512px_finetune_{fold}", START)


if __name__ == "__main__":
    run(main)
