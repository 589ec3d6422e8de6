"""Kernel net, inference at 1024 px: pair scores of test photos against all known photos, mean of 4.

The weights are the best of each fold, or the given files: [--model_weights_1 FILE .. _4 FILE].
Scores are written as a dict: score (CSR), row_names, col_names.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing

from kernel_snn.a00_net_kernel import NET
from whales.files.matrices import ScoreMatrix, save_dict
from whales.files.trained import part_name, require_trained_shape
from whales.stages.inference_stage import Tables, stage_features
from whales.stages.job import Job
from whales.stages.options import add_precision, existing_file, parse_arguments
from whales.stages.photo_inputs import photo_files
from whales.stages.stage import run

LEAST_SCORE = 1e-4


def add_options(parser: argparse.ArgumentParser) -> None:
    for number in range(1, 5):
        parser.add_argument(f"--model_weights_{number}", type=existing_file, metavar="FILE")
    add_precision(parser)


def main(argv: Sequence[str] | None = None) -> None:
    options, args = parse_arguments(__doc__, argv, extra=add_options, script=__file__)
    ws = options.workspace
    tables = Tables.read(ws)
    given = [getattr(args, f"model_weights_{number}") for number in range(1, 5)]
    folder = ws.file("models_kernel")
    weights = {fold: path or NET.weights.find(folder, fold) for fold, path in enumerate(given)}
    own = [part_name(NET.name, fold) for fold, path in enumerate(given) if not path]
    require_trained_shape(ws, own)
    rows = sorted(name for name in tables.test if name in tables.boxes)
    job = Job(
        options,
        __file__,
        [*tables.files, *weights.values()],
        [ws.file("features_test_kernel")],
        numbers={"size": NET.sizes[options.profile], "least_score": LEAST_SCORE},
        # A file may be given for several folds, which `reads` does not tell.
        given={
            f"model_weights_{number}": path for number, path in enumerate(given, start=1) if path
        },
        photos=photo_files(options, sorted({*rows, *tables.columns})),
    )
    if job.up_to_date():
        return
    from whales.scores.photo_scores import mean_scores

    with closing(stage_features(options, NET, tables.boxes, [job])) as store:
        scores = mean_scores(store, weights, rows, tables.columns, LEAST_SCORE, tables.sides)
    save_dict(job.writes[0], ScoreMatrix(scores, rows, tables.columns), "score")
    job.done()


if __name__ == "__main__":
    run(main)
