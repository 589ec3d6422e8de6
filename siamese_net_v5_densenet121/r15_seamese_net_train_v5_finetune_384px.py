"""Net v5, one fold at 384 px, from the best 384 px warm start."""

from collections.abc import Sequence

from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.nets.net import BestOf
from whales.stages.stage import run
from whales.stages.training_stage import training_stage
from whales.training.plan import Plan, fold_finetune, smoke_fold

FULL = Plan(384, batch=6, segments=4, validate_first=True, blocks=fold_finetune(last_epochs=5))
SMOKE = smoke_fold(size=64)
START = BestOf(
    prefixes=("densenet121_384px_warmstart",),
    key="weights_v5_384_warm",
)


def main(argv: Sequence[str] | None = None) -> None:
    plans = {"full": FULL, "smoke": SMOKE}
    training_stage(__doc__, __file__, argv, NET, plans, "ft_v5_384px_finetune_{fold}", START)


if __name__ == "__main__":
    run(main)
