"""Blend the three nets' scores, rank identities, post-process, and write the submission.

Reads  data/train.csv, data/sample_submission.csv, boxes,
       features/cv-analysis-fs14-LB959-densenet121-512px-sparse-test.pkl,
       features/cv-analysis-fs16-LB959-seresnext50-384px-sparse-test.pkl,
       features/Res_kernel_1024_averged_score_matrix_res_test_vs_train.pkl
Writes submission/final_submit_with_post_proc.csv
Run    python3 final_ensemble_with_post_proc.py
"""

from whales.console import log
from whales.dataset import known_photos, load_boxes, test_photos, training_identities
from whales.ensemble import blend
from whales.ranking import ENSEMBLE_THRESHOLD, post_process, rank
from whales.stage import Job, parse_arguments, run
from whales.submissions import write_submission

# Key of a matrix, name of its scores, weight in the blend.
NETS = (
    ("features_test_v5", "test_vs_train_mat_sparse", 0.3),
    ("features_test_v6", "test_vs_train_mat_sparse", 0.3),
    ("features_test_kernel", "score", 0.4),
)
READS = ("train_csv", "sample_submission", "boxes_averaged", "boxes_averaged_playground")


def main(argv=None):
    args = parse_arguments(__doc__, argv)
    ws = args.workspace
    reads = [ws.file(key) for key in (*READS, *(key for key, _, _ in NETS))]
    job = Job(args, __file__, reads, [ws.file("submission")])
    if job.up_to_date():
        return
    identity_of, names = tables = read_tables(ws)
    matrix = blended(ws, tables)
    identities = [identity_of[name] for name in matrix.columns]
    answers = rank(matrix.scores, identities, ENSEMBLE_THRESHOLD)
    answers, swapped = post_process(answers, matrix.scores, identities)
    log(f"{len(answers)} of {len(names)} photos have a box; first answers swapped: {swapped}")
    write_submission(job.writes[0], names, dict(zip(matrix.rows, answers, strict=True)))
    job.done()


def read_tables(ws):
    """Identity of each photo of train.csv, and the submission's photos in its order."""
    return training_identities(ws), test_photos(ws)


def blended(ws, tables=None):
    """The three nets' scores of boxed test photos against boxed known photos, sorted by name.

    tables: those of `read_tables`, where they are read already.
    """
    identity_of, names = tables or read_tables(ws)
    boxes = load_boxes(ws)
    rows = [name for name in names if name in boxes]
    columns = known_photos(identity_of, boxes)
    return blend([(ws.file(key), scores, weight) for key, scores, weight in NETS], rows, columns)


if __name__ == "__main__":
    run(main)
