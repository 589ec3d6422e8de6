"""Net v5 alone: five answers for each test photo.

Reads  data/train.csv, data/sample_submission.csv,
       modified_data/seamese_net_v5_rgb_densenet121_512px/full_test_vs_train_matrix_avg.pkl
Writes subm/siamese_net_v5_densenet121_512px_THR_0.85.csv
Run    python3 siamese_net_v5_densenet121/r28_seamese_net_create_submission_v5_512px.py
"""

from collections.abc import Sequence

from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.stages.inference_stage import submission_stage
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    submission_stage(__doc__, __file__, argv, NET)


if __name__ == "__main__":
    run(main)
