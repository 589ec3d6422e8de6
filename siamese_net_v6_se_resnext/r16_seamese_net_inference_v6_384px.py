"""Net v6, inference at 384 px: pair scores of valid and of test photos against all known photos.

A matrix is a tuple (row names, column names, scores). Once all folds are there, their mean is written.
"""

from collections.abc import Sequence

from siamese_net_v6_se_resnext.a00_net_v6 import NET
from whales.stages.inference_stage import inference_stage
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    inference_stage(__doc__, __file__, argv, NET)


if __name__ == "__main__":
    run(main)
