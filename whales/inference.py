"""Score matrices of a trained net, and the submission of one net alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from whales.console import log
from whales.dataset import crop_tables, known_photos, load_boxes, test_photos, training_identities
from whales.folds import FOLDS, require_fold
from whales.labels import check_labelled, stem
from whales.matrices import ScoreMatrix, load_tuple, save_tuple
from whales.pickles import load
from whales.ranking import rank, validation_map
from whales.siamese import BestOf, Net, features_of, places_with, precision_option, score_photos
from whales.stage import Job, parse_arguments, require
from whales.submissions import write_submission


def inference_stage(
    doc: str | None,
    script: str,
    argv: Sequence[str] | None,
    net: Net,
    sizes: dict[str, int],
    weights: BestOf,
) -> None:
    """A whole inference stage of v5 or v6: matrices of one fold, or of all; then the mean over folds.

    sizes: photo size of each profile, pixels; weights: those of a fold, `{fold}` in their prefix.
    """
    args = parse_arguments(doc, argv, fold=(0, FOLDS - 1), default_fold=-1, extra=precision_option)
    ws = args.workspace
    tables = [ws.file(key) for key in ("train_csv", "sample_submission", net.folds)]
    tables += crop_tables(ws)
    for path in tables:
        require(ws, path)
    folds = range(FOLDS) if args.fold is None else [args.fold]
    # Every fold's weights are looked up before the first is used: nothing fails after hours.
    chosen = {fold: weights.find(ws.file(f"models_{net.name}"), fold) for fold in folds}
    for fold, path in chosen.items():
        writes = [ws.file(f"{part}_{net.name}", fold=fold) for part in _FOLD_MATRICES]
        job = Job(args, script, [*tables, path], writes, fold)
        if not job.up_to_date():
            _score_fold(job, net, sizes[args.profile], path, fold)
            job.done()
    parts = [ws.file(f"test_matrix_fold_{net.name}", fold=fold) for fold in range(FOLDS)]
    if all(path.exists() for path in parts):
        job = Job(args, script, parts, [ws.file(f"test_matrix_{net.name}")])
        if not job.up_to_date():
            save_tuple(job.writes[0], mean_matrix(parts))
            job.done()


_FOLD_MATRICES = ("valid_matrix", "test_matrix_fold")


def _score_fold(job: Job, net: Net, size: int, weights: Path, fold: int) -> None:
    """Write one fold's valid-vs-known and test-vs-known matrices."""
    ws = job.args.workspace
    identity_of = training_identities(ws)
    split = require_fold(load(ws.file(net.folds)), fold, ws.file(net.folds))
    columns = known_photos(identity_of, load_boxes(ws))
    valid, test = sorted(stem(name) for name in split["val"]), test_photos(ws)
    names = sorted({*columns, *valid, *test})
    log(f"{job.name}: {len(names)} photos with {weights.name}")
    network, features = features_of(job.args, net, size, weights, names)
    for path, rows in zip(job.writes, (valid, test), strict=True):
        scores = score_photos(network.head, features, rows, columns, path.stem)
        save_tuple(path, ScoreMatrix(scores, rows, columns))
        if rows is valid:
            log(f"{job.name}: MAP@5 {validation_map(scores, rows, columns, identity_of):.6f}")


def mean_matrix(paths: Sequence[Path]) -> ScoreMatrix:
    """Mean of matrices that must have the same rows and columns; one in memory at a time, and the sum."""
    first = load_tuple(paths[0])
    total = first.scores
    for path in paths[1:]:
        total += load_tuple(path).aligned(first.rows, first.columns, path).scores
    total /= np.float32(len(paths))
    return ScoreMatrix(total, first.rows, first.columns)


def mean_scores(
    args: argparse.Namespace,
    net: Net,
    size: int,
    weights: Sequence[Path],
    rows: Sequence[str],
    columns: Sequence[str],
    least: float,
) -> sparse.csr_matrix:
    """Mean over weight files of the scores of `rows` against `columns` (stems), without those below
    `least`: (n, m) CSR float32.
    """
    from whales.pair_screen import Scorer
    from whales.pair_screen import mean_scores as mean

    scorers, queries = [], []
    for path in weights:
        log(f"{len(rows) + len(columns)} photos with {path.name}")
        network, features = features_of(args, net, size, path, [*rows, *columns])
        width = network.head.input_shape[0][-1]
        places = [places_with(features, names) for names in (rows, columns)]
        sides = [
            np.reshape([features[names[place]] for place in kept], (-1, width))
            for names, kept in zip((rows, columns), places, strict=True)
        ]
        scorers.append(Scorer(network.head, sides[1]))
        queries.append(sides[0])
    found = mean(scorers, queries, least, "scores").tocoo()
    where = np.take(places[0], found.row), np.take(places[1], found.col)
    return sparse.csr_matrix((found.data, where), (len(rows), len(columns)), np.float32)


def submission_stage(
    doc: str | None, script: str, argv: Sequence[str] | None, net: Net, threshold: float
) -> None:
    """A whole stage that answers with one net alone: mean matrix, threshold, CSV."""
    args = parse_arguments(doc, argv)
    ws = args.workspace
    reads = [ws.file(key) for key in ("train_csv", "sample_submission", f"test_matrix_{net.name}")]
    job = Job(args, script, reads, [ws.file(f"submission_{net.name}")])
    if job.up_to_date():
        return
    identity_of, names = training_identities(ws), test_photos(ws)
    matrix = load_tuple(reads[2])
    matrix = matrix.aligned(names, matrix.columns, reads[2])
    check_labelled(matrix.columns, identity_of, reads[2])
    answers = rank(matrix.scores, [identity_of[name] for name in matrix.columns], threshold)
    write_submission(job.writes[0], names, dict(zip(names, answers, strict=True)))
    job.done()
