"""Gather the score matrices of nets v5 and v6 for the ensemble, sparse, and print their MAP@5.

Boxes and the nets' folds are read where they are there: the matrices must fit them.
"""

from collections.abc import Sequence

from whales.base.console import log
from whales.files.folds import FOLDS
from whales.files.matrices import cut_small, save_dict
from whales.files.root_matrices import RootMatrices, validation_reads
from whales.files.sides import side_tables
from whales.scores.ensemble import gather_validation
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.stage import run

NETS = ("v5", "v6")
LEAST_SCORE = 1e-5


def main(argv: Sequence[str] | None = None) -> None:
    options, _ = parse_arguments(__doc__, argv, script=__file__)
    ws = options.workspace
    jobs = {}
    for net in NETS:  # the inputs of both are checked before the first is computed
        reads = [ws.file("train_csv"), ws.file("sample_submission"), ws.file(f"test_matrix_{net}")]
        reads += [ws.file(f"valid_matrix_{net}", fold=fold) for fold in range(FOLDS)]
        reads += validation_reads(ws, net) + side_tables(ws)
        writes = [ws.file(f"features_{net}"), ws.file(f"features_test_{net}")]
        numbers = {"least_score": LEAST_SCORE}
        jobs[net] = Job(options, __file__, reads, writes, part=net, numbers=numbers)
    for net, job in jobs.items():
        if job.up_to_date():
            continue
        test, *folds = job.reads[2 : 3 + FOLDS]
        matrices = RootMatrices(ws)
        gathered, scores = gather_validation(
            folds,
            matrices.identity_of,
            matrices.test_photos,
            LEAST_SCORE,
            matrices.validation,
            matrices.sides,
        )
        for fold, score in enumerate(scores.folds):
            log(f"{net} fold {fold}: MAP@5 {score:.6f}")
        log(f"{net} all folds: MAP@5 {scores.overall:.6f}")
        save_dict(job.writes[0], gathered, "val_vs_train_mat_sparse", overall_score=scores.overall)
        matrix = matrices.test(test)
        sparse = matrix._replace(scores=cut_small(matrix.scores, LEAST_SCORE))
        save_dict(job.writes[1], sparse, "test_vs_train_mat_sparse")
        job.done()


if __name__ == "__main__":
    run(main)
