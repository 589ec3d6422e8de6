"""Net v6 alone: five answers for each test photo.

Reads  data/train.csv, data/sample_submission.csv,
       modified_data/seamese_net_v6_rgb_seresnext50_384px/full_test_vs_train_matrix_avg.pkl
Writes subm/siamese_net_v6_seresnext50_384px_THR_0.85.csv
Run    python3 siamese_net_v6_se_resnext/r18_seamese_net_create_submission_v6_384px.py
"""

from collections.abc import Sequence

from siamese_net_v6_se_resnext.a00_net_v6 import NET
from whales.stages.inference_stage import submission_stage
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    submission_stage(__doc__, __file__, argv, NET)


if __name__ == "__main__":
    run(main)
