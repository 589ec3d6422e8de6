"""Blend the three nets' scores, rank identities, post-process, and write the submission.

The shares of the nets stand on their cards (a00).
"""

from collections.abc import Sequence

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from whales.base.console import log
from whales.files.dataset import test_photos, training_identities
from whales.files.sides import read_sides, side_tables
from whales.files.submissions import write_submission
from whales.scores.ensemble import blended
from whales.scores.ranking import CLAIM_SCORE, ENSEMBLE_THRESHOLD, post_process, rank
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.stage import run

# S = .3 densenet + .3 seresnext + .4 kernel: each net's share stands on its card.
NETS = (V5, V6, KERNEL)
READS = ("train_csv", "sample_submission", "boxes_averaged", "boxes_averaged_playground")


def main(argv: Sequence[str] | None = None) -> None:
    options, _ = parse_arguments(__doc__, argv, script=__file__)
    ws = options.workspace
    reads = [ws.file(key) for key in (*READS, *(f"features_test_{net.name}" for net in NETS))]
    reads += side_tables(ws)
    numbers = {net.name: net.share for net in NETS}
    numbers |= {"threshold": ENSEMBLE_THRESHOLD, "claim_score": CLAIM_SCORE}
    job = Job(options, __file__, reads, [ws.file("submission")], numbers=numbers)
    if job.up_to_date():
        return
    identity_of, names = training_identities(ws), test_photos(ws)
    matrix = blended(ws, NETS, identity_of, names)
    identities = [identity_of[name] for name in matrix.columns]
    sides = read_sides(ws).of(matrix.rows, matrix.columns)
    answers = rank(matrix.scores, identities, ENSEMBLE_THRESHOLD, sides=sides)
    answers, swapped = post_process(answers, matrix.scores, identities)
    log(f"{len(answers)} of {len(names)} photos have a box; first answers swapped: {swapped}")
    answers_of = dict(zip(matrix.rows, answers, strict=True))
    write_submission(job.writes[0], names, answers_of, identities)
    job.done()


if __name__ == "__main__":
    run(main)
