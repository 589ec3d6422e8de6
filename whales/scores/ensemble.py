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


class ValidationMap5(NamedTuple):
    """MAP@5 of each fold, and over all rows of all folds."""

    folds: list[float]
    overall: float


def gather_validation(
    paths: Sequence[Path], identity_of: dict[str, str], test: Sequence[str], least: float
) -> tuple[ScoreMatrix, ValidationMap5]:
    """Stack the folds' matrices of validation photos against known photos (method, section 6).

    paths: one file a fold; identity_of: stem -> identity; test: stems whose columns are dropped. Rows
    and columns are sorted by name within each fold, folds follow in order (a photo that validates two
    folds has two rows); scores of a photo with itself and those below `least` become 0.
    Returns the matrix as CSR float32, and MAP@5 before scores are cut. `UserError` where a file is
    missing or damaged, lacks a photo, or has one without a label.
    """
    tests = set(test)
    blocks: list[sparse.csr_matrix] = []
    rows: list[str] = []
    columns: list[str] = []
    fold_map5: list[float] = []
    for path in paths:
        matrix = load_tuple(path)
        columns = columns or sorted(name for name in matrix.columns if name not in tests)
        matrix = matrix.aligned(sorted(matrix.rows), columns, path)
        check_labelled(matrix.rows + columns, identity_of, path)
        fold_map5.append(validation_map(*matrix, identity_of))
        own_column = own_columns(matrix.rows, matrix.columns)
        blocks.append(zero_own(cut_small(matrix.scores, least), own_column))
        rows += matrix.rows
    counts = [block.shape[0] for block in blocks]
    overall = float(np.average(fold_map5, weights=counts)) if sum(counts) else 0.0
    stacked = sparse.vstack(blocks, format="csr", dtype=np.float32)
    return ScoreMatrix(stacked, rows, columns), ValidationMap5(fold_map5, overall)


def mean_matrix(paths: Sequence[Path]) -> ScoreMatrix:
    """Mean of the dense matrices in files, with rows and columns in the order of the first.

    Only the sum and one matrix are in memory at a time. `UserError` where a file lacks a photo.
    """
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

    `parts`: one (file, key of its scores, weight) or more. `UserError` where a file lacks a photo.
    """
    total = None
    for path, key, weight in parts:
        matrix = load_dict(path, key).aligned(rows, columns, path)
        scores = sparse.csr_matrix(matrix.scores, dtype=np.float32) * np.float32(weight)
        total = scores if total is None else total + scores
    return ScoreMatrix(total, list(rows), list(columns))


# The key of the test scores in each net's file.
_TEST_SCORES = {
    "v5": "test_vs_train_mat_sparse",
    "v6": "test_vs_train_mat_sparse",
    "kernel": "score",
}


def test_parts(nets: Sequence[Net]) -> list[tuple[str, str, float]]:
    """Of each net: key of its test file in the work root, key of its scores in it, share of the blend."""
    return [(f"features_test_{net.name}", _TEST_SCORES[net.name], net.share) for net in nets]


def blended(
    workspace: Workspace,
    nets: Sequence[Net],
    identity_of: dict[str, str] | None = None,
    test: Sequence[str] | None = None,
) -> ScoreMatrix:
    """The nets' scores of boxed test photos against boxed known photos, blended by their shares.

    identity_of, test: what `training_identities` and `test_photos` return, where they are read already.
    Rows are in the submission's order, columns sorted by name. `UserError` where a file is missing or
    lacks a photo.
    """
    boxes = load_boxes(workspace)
    names = test_photos(workspace) if test is None else test
    columns = known_photos(identity_of or training_identities(workspace), boxes)
    parts = [(workspace.file(key), name, share) for key, name, share in test_parts(nets)]
    return blend(parts, [name for name in names if name in boxes], columns)
