"""Net v6, inference at 384 px: pair scores of valid and of test photos against all known photos.

Reads  data/train.csv, data/sample_submission.csv, the photos, boxes, the v2 folds,
       models/Res_v6_seresnext50/ft_v6_384px_finetune_FOLD_* (the best of each fold)
Writes in modified_data/seamese_net_v6_rgb_seresnext50_384px/:
       full_valid_vs_full_train_matrix_fold_F.pkl, full_test_vs_train_matrix_fold_F.pkl,
       and once all folds are there their mean,
       full_test_vs_train_matrix_avg.pkl; tuples (row names, column names, scores)
Run    python3 siamese_net_v6_se_resnext/r16_seamese_net_inference_v6_384px.py [FOLD]
"""

from collections.abc import Sequence

from siamese_net_v6_se_resnext.a00_net_v6 import NET
from whales.stages.inference_stage import inference_stage
from whales.stages.stage import run


def main(argv: Sequence[str] | None = None) -> None:
    inference_stage(__doc__, __file__, argv, NET)


if __name__ == "__main__":
    run(main)
