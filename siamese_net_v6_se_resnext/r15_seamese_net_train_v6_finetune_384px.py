"""Net v6, one fold at 384 px, from the best 384 px warm start."""

from collections.abc import Sequence

from siamese_net_v6_se_resnext.a00_net_v6 import NET
from whales.nets.net import BestOf
from whales.stages.stage import run
from whales.stages.training_stage import training_stage
from whales.training.plan import Plan, fold_finetune, smoke_fold

FULL = Plan(384, batch=4, segments=4, validate_first=True, blocks=fold_finetune(last_epochs=5))
SMOKE = smoke_fold(size=48)
START = BestOf(
    prefixes=("seresnext50_384px_warmstart",),
    key="weights_v6_384_warm",
)


def main(argv: Sequence[str] | None = None) -> None:
    plans = {"full": FULL, "smoke": SMOKE}
    training_stage(__doc__, __file__, argv, NET, plans, "ft_v6_384px_finetune_{fold}", START)


if __name__ == "__main__":
    run(main)
