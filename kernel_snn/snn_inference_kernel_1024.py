"""Kernel net, inference at 1024 px: pair scores of test photos against all known photos, mean of 4.

Reads  data/train.csv, data/sample_submission.csv, boxes, and in saved_models/PLAN21/ the best of
       PLAN21_martinAsWarmStart_384to1024_fold_F_final_* of each fold
Writes features/Res_kernel_1024_averged_score_matrix_res_test_vs_train.pkl:
       dict score (CSR), row_names, col_names
Run    python3 kernel_snn/snn_inference_kernel_1024.py [--model_weights_1 FILE .. _4 FILE]
"""

from pathlib import Path

from kernel_snn.a00_net_kernel import NAME, NET
from whales.dataset import crop_tables, known_photos, load_boxes, test_photos, training_identities
from whales.inference import mean_scores
from whales.matrices import ScoreMatrix, save_dict
from whales.siamese import BestOf, precision_option
from whales.stage import Job, parse_arguments, require, run

SIZES = {"full": 1024, "smoke": 64}
LEAST_SCORE = 1e-4
WEIGHTS = BestOf(
    prefixes=(f"{NAME}_fold_{{fold}}_final",),
    maker="kernel_snn/snn_train_kernel_384_to_1024.py --RUN_FOLD {fold}",
)


def add_options(parser):
    for number in range(1, 5):
        parser.add_argument(f"--model_weights_{number}", type=Path, metavar="FILE")
    precision_option(parser)


def main(argv=None):
    args = parse_arguments(__doc__, argv, extra=add_options)
    ws = args.workspace
    tables = [ws.file("train_csv"), ws.file("sample_submission"), *crop_tables(ws)]
    for path in tables:
        require(ws, path)
    given = [getattr(args, f"model_weights_{number}") for number in range(1, 5)]
    folder = ws.file("models_kernel")
    weights = [path or WEIGHTS.find(folder, fold) for fold, path in enumerate(given)]
    job = Job(args, __file__, tables + weights, [ws.file("features_test_kernel")])
    if job.up_to_date():
        return
    boxes = load_boxes(ws)
    rows = sorted(name for name in test_photos(ws) if name in boxes)
    columns = known_photos(training_identities(ws), boxes)
    scores = mean_scores(args, NET, SIZES[args.profile], weights, rows, columns, LEAST_SCORE)
    save_dict(job.writes[0], ScoreMatrix(scores, rows, columns), "score")
    job.done()


if __name__ == "__main__":
    run(main)
