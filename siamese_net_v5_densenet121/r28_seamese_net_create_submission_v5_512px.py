"""Net v5 alone: five answers for each test photo."""

from collections.abc import Sequence

from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.stages.inference_stage import submission_stage
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    submission_stage(__doc__, __file__, argv, NET)


if __name__ == "__main__":
    run(main)
