"""Gather fold matrices for the ensemble, and blend the nets' test matrices (method, sections 6, 7)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from whales.files.dataset import known_photos, load_boxes, test_photos, training_identities
from whales.files.labels import check_labelled
from whales.files.matrices import ScoreMatrix, cut_small, load_dict, load_tuple
from whales.files.workspace import Workspace
from whales.nets.net import Net
from whales.scores.best_photos import own_columns, zero_own
from whales.scores.ranking import validation_map


class ValidationScores(NamedTuple):
    """MAP@5 of each fold, and over all rows of all folds."""

    folds: list[float]
    overall: float


def gather_validation(
    paths: Sequence[Path], identity_of: dict[str, str], test: Sequence[str], least: float
) -> tuple[ScoreMatrix, ValidationScores]:
    """Stack the folds' valid-vs-known matrices.

    Rows and columns are sorted by name within each fold, folds follow in order (a photo valid in two
    folds has two rows); columns of test photos are dropped, scores of a photo with itself and those
    below `least` become 0. Returns the CSR and the MAP@5 of folds and of all rows.
    """
    tests = set(test)
    parts: list[sparse.csr_matrix] = []
    rows: list[str] = []
    columns: list[str] = []
    means: list[float] = []
    for path in paths:
        matrix = load_tuple(path)
        columns = columns or sorted(name for name in matrix.columns if name not in tests)
        matrix = matrix.aligned(sorted(matrix.rows), columns, path)
        check_labelled(matrix.rows + columns, identity_of, path)
        means.append(validation_map(*matrix, identity_of))
        own = own_columns(matrix.rows, matrix.columns)
        parts.append(zero_own(cut_small(matrix.scores, least), own))
        rows += matrix.rows
    counts = [part.shape[0] for part in parts]
    overall = float(np.average(means, weights=counts)) if sum(counts) else 0.0
    stacked = sparse.vstack(parts, format="csr", dtype=np.float32)
    return ScoreMatrix(stacked, rows, columns), ValidationScores(means, overall)


def mean_matrix(paths: Sequence[Path]) -> ScoreMatrix:
    """Mean of matrices that must have the same rows and columns; one in memory at a time, and the sum."""
    first = load_tuple(paths[0])
    total = first.scores
    for path in paths[1:]:
        total += load_tuple(path).aligned(first.rows, first.columns, path).scores
    total /= np.float32(len(paths))
    return ScoreMatrix(total, first.rows, first.columns)


def blend(
    parts: Sequence[tuple[Path, str, float]], rows: Sequence[str], columns: Sequence[str]
) -> ScoreMatrix:
    """Weighted sum of matrices: CSR float32 scores for these rows and columns (stems).

    `parts`: one or more of file, key of its scores, weight. `UserError` where a file lacks one of
    the photos.
    """
    total = None
    for path, key, weight in parts:
        matrix = load_dict(path, key).aligned(rows, columns, path)
        scores = sparse.csr_matrix(matrix.scores, dtype=np.float32) * np.float32(weight)
        total = scores if total is None else total + scores
    return ScoreMatrix(total, list(rows), list(columns))


# Under which name each net's file keeps its test scores.
_TEST_SCORES = {
    "v5": "test_vs_train_mat_sparse",
    "v6": "test_vs_train_mat_sparse",
    "kernel": "score",
}


def test_parts(nets: Sequence[Net]) -> list[tuple[str, str, float]]:
    """Each net's test scores: key in the work root, name of the scores in the file, share of the blend."""
    return [(f"features_test_{net.name}", _TEST_SCORES[net.name], net.share) for net in nets]


def blended(
    workspace: Workspace,
    nets: Sequence[Net],
    identity_of: dict[str, str] | None = None,
    test: Sequence[str] | None = None,
) -> ScoreMatrix:
    """The nets' scores of boxed test photos against boxed known photos, blended by their shares.

    Rows in the submission's order, columns sorted by name. identity_of, test: the tables, where they are
    read already. `UserError` where a file is missing or lacks one of the photos.
    """
    boxes = load_boxes(workspace)
    names = test_photos(workspace) if test is None else test
    columns = known_photos(identity_of or training_identities(workspace), boxes)
    parts = [(workspace.file(key), name, share) for key, name, share in test_parts(nets)]
    return blend(parts, [name for name in names if name in boxes], columns)
