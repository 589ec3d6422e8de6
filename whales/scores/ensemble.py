"""Gather fold matrices for the ensemble, and blend the nets' test matrices (method, sections 6, 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from whales.base.errors import UserError
from whales.files.dataset import known_photos, load_boxes
from whales.files.labels import check_labelled
from whales.files.matrices import ScoreMatrix, cut_small, load_dict, load_tuple
from whales.files.root_matrices import TEST_SCORES, RootMatrices
from whales.files.sides import NO_SIDES, Sides
from whales.files.workspace import Workspace
from whales.nets.net import Net
from whales.scores.best_photos import own_columns, zero_own
from whales.scores.ranking import validation_map

ReadMatrix = Callable[[Path], ScoreMatrix]


class ValidationMap5(NamedTuple):
    """MAP@5 of each fold, and over all rows of all folds."""

    folds: list[float]
    overall: float


def gather_validation(
    paths: Sequence[Path],
    identity_of: dict[str, str],
    test: Sequence[str],
    least: float,
    read: ReadMatrix = load_tuple,
    sides: Sides = NO_SIDES,
) -> tuple[ScoreMatrix, ValidationMap5]:
    """Stack the folds' matrices of validation photos against known photos (method, section 6).

    paths: one file a fold; identity_of: stem -> identity; test: stems whose columns are dropped; read:
    reads and proves a file; sides: of the photos. Rows and columns are sorted by name within each fold,
    folds follow in order (a photo that validates two folds has two rows); scores of a photo with itself and
    those below `least` become 0.
    Returns the matrix as CSR float32, and MAP@5 before scores are cut. `UserError` where a file is
    missing or damaged, lacks a photo, or has one without a label.
    """
    tests = set(test)
    blocks: list[sparse.csr_matrix] = []
    rows: list[str] = []
    columns: list[str] = []
    fold_map5: list[float] = []
    for path in paths:
        matrix = read(path)
        known = sorted(name for name in matrix.columns if name not in tests)
        columns = columns or known
        if len(known) != len(columns):
            raise UserError(
                f"{path}: expected {len(columns)} known photos as in the other folds, received "
                f"{len(known)}; make it again"
            )
        matrix = matrix.aligned(sorted(matrix.rows), columns, path)
        check_labelled(matrix.rows + columns, identity_of, path)
        fold_map5.append(validation_map(*matrix, identity_of, sides=sides))
        own_column = own_columns(matrix.rows, matrix.columns)
        blocks.append(zero_own(cut_small(matrix.scores, least), own_column))
        rows += matrix.rows
    counts = [block.shape[0] for block in blocks]
    overall = float(np.average(fold_map5, weights=counts)) if sum(counts) else 0.0
    stacked = sparse.vstack(blocks, format="csr", dtype=np.float32)
    return ScoreMatrix(stacked, rows, columns), ValidationMap5(fold_map5, overall)


def mean_matrix(paths: Sequence[Path], read: ReadMatrix = load_tuple) -> ScoreMatrix:
    """Mean of the dense matrices in files, with rows and columns in the order of the first.

    read: reads and proves a file. Only the sum and one matrix are in memory at a time. `UserError` where
    a file has not the same photos.
    """
    first = read(paths[0])
    total = first.scores
    for path in paths[1:]:
        matrix = read(path)
        if matrix.scores.shape != total.shape:
            raise UserError(
                f"{path}: expected scores {total.shape} as in the other folds, received "
                f"{matrix.scores.shape}; make it again"
            )
        total += matrix.aligned(first.rows, first.columns, path).scores
    total /= np.float32(len(paths))
    return ScoreMatrix(total, first.rows, first.columns)


def blend(
    parts: Sequence[tuple[Path, str, float]],
    rows: Sequence[str],
    columns: Sequence[str],
    read: Callable[[Path, str], ScoreMatrix] = load_dict,
) -> ScoreMatrix:
    """Weighted sum of matrices: CSR float32 scores for these rows and columns (stems).

    `parts`: one (file, key of its scores, weight) or more; read: reads and proves a file. `UserError` where
    a file lacks a photo.
    """
    total = None
    for path, key, weight in parts:
        matrix = read(path, key).aligned(rows, columns, path)
        scores = sparse.csr_matrix(matrix.scores, dtype=np.float32) * np.float32(weight)
        total = scores if total is None else total + scores
    return ScoreMatrix(total, list(rows), list(columns))


def test_parts(nets: Sequence[Net]) -> list[tuple[str, str, float]]:
    """Of each net: key of its test file in the work root, key of its scores in it, share of the blend."""
    return [(f"features_test_{net.name}", TEST_SCORES[net.name], net.share) for net in nets]


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
    matrices = RootMatrices(workspace, identity_of, test)
    columns = known_photos(matrices.identity_of, boxes)
    if not columns:
        raise UserError(
            f"no photo of {workspace.file('train_csv')} with an identity has a box in "
            f"{workspace.file('boxes_averaged')}; one of them is of another data set"
        )
    parts = [(workspace.file(key), name, share) for key, name, share in test_parts(nets)]
    rows = [name for name in matrices.test_photos if name in boxes]
    return blend(parts, rows, columns, matrices.for_ensemble)
