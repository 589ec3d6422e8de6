"""Measure a finished work root whose answers are known: detection, nets, ensemble."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from whales.base.errors import UserError
from whales.base.pickles import load
from whales.files.boxes import Box, checked_boxes, iou
from whales.files.dataset import test_photos, training_identities
from whales.files.folds import FOLDS, detector_held_out, require_fold
from whales.files.labels import (
    NEW_WHALE,
    check_labelled,
    identities_of,
    read_labels,
    read_submission_names,
    stem,
)
from whales.files.matrices import ScoreMatrix
from whales.files.root_matrices import TEST_SCORES, RootMatrices
from whales.files.sides import NO_SIDES, Sides
from whales.files.submissions import ANSWERS, present_answers
from whales.files.workspace import Workspace, require
from whales.scores.metrics import mapk
from whales.scores.ranking import ENSEMBLE_THRESHOLD, rank, validation_map


class NetMap5(NamedTuple):
    """One line of the table: MAP@5 of a net, or of the ensemble, on some photos.

    fold: the number of a fold, "test", or "known" for the test photos of known whales; photos: how many.
    """

    net: str
    fold: str
    photos: int
    map5: float


def fold_map5(workspace: Workspace) -> list[NetMap5]:
    """MAP@5 of every net and fold on validation photos: of the kernel net from the names of its files."""
    matrices = RootMatrices(workspace)
    table = []
    for net in ("v5", "v6"):
        for fold in range(FOLDS):
            matrix = matrices.validation(workspace.file(f"valid_matrix_{net}", fold=fold))
            map5 = validation_map(*matrix, matrices.identity_of, sides=matrices.sides)
            table.append(NetMap5(net, str(fold), len(matrix.rows), map5))
    kernel = [kernel_fold_map5(workspace, fold) for fold in range(FOLDS)]
    return table + [line for line in kernel if line]


def kernel_fold_map5(workspace: Workspace, fold: int) -> NetMap5 | None:
    """MAP@5 in the name of the kernel net's best file of a fold; None where the fold has no file."""
    pattern = re.compile(rf"_fold_{fold}_final_(\d\.\d+)\.")
    names = [path.name for path in workspace.file("models_kernel").glob("[!.]*")]
    map5 = [float(match[1]) for match in map(pattern.search, names) if match]
    if not map5:
        return None
    path = require(workspace, workspace.file("folds_kernel"))
    split = require_fold(load(path), fold, path)
    return NetMap5("kernel", str(fold), len(split["val"]), max(map5))


def test_answers(workspace: Workspace) -> dict[str, str] | None:
    """Truth of the test photos, stem -> identity or `new_whale`; None where the root has none."""
    path = workspace.file("test_labels")
    return identities_of(read_labels(path)) if path.exists() else None


def submission_map5(workspace: Workspace, key: str, truth: dict[str, str]) -> NetMap5:
    """MAP@5 of a submission file (key in the work root) on all test photos; truth: as `test_answers`."""
    answers = present_answers(workspace, workspace.file(key))
    check_truth(answers, truth, workspace.file(key))
    names = {"submission_v5": "v5", "submission_v6": "v6", "submission": "ensemble"}
    map5 = mapk([truth[name] for name in answers], list(answers.values()))
    return NetMap5(names[key], "test", len(answers), map5)


def kernel_map5(workspace: Workspace, truth: dict[str, str]) -> NetMap5:
    """MAP@5 of the kernel net alone on the test photos with a box, by the ensemble's threshold."""
    path = workspace.file("features_test_kernel")
    matrices = RootMatrices(workspace)
    matrix = matrices.for_ensemble(path, TEST_SCORES["kernel"])
    check_truth(matrix.rows, truth, path)
    check_labelled(matrix.columns, matrices.identity_of, path)
    columns = [matrices.identity_of[name] for name in matrix.columns]
    answers = rank(matrix.scores, columns, ENSEMBLE_THRESHOLD, sides=matrices.sides_of(matrix))
    map5 = mapk([truth[name] for name in matrix.rows], answers)
    return NetMap5("kernel", "test", len(matrix.rows), map5)


def known_map5(
    net: str,
    matrix: ScoreMatrix,
    identity_of: dict[str, str],
    truth: dict[str, str],
    sides: Sides = NO_SIDES,
) -> NetMap5:
    """MAP@5 on test photos of known whales: identities ranked by their best score, no `new_whale`.

    matrix: test photos against known photos; identity_of: stem -> identity of the columns; truth: stem ->
    identity or `new_whale` of the rows; sides: of the photos.
    """
    known = [row for row, name in enumerate(matrix.rows) if truth[name] != NEW_WHALE]
    columns = [identity_of[name] for name in matrix.columns]
    # A threshold above every score: nothing is summed, so the first answer is `new_whale`, left out here.
    pairs = sides.of([matrix.rows[row] for row in known], matrix.columns)
    ranked = rank(matrix.scores[known], columns, threshold=2.0, sides=pairs)
    answers = [row[1:] for row in ranked]
    truths = [truth[matrix.rows[row]] for row in known]
    return NetMap5(net, "known", len(known), mapk(truths, answers, ANSWERS))


def known_map5_of_nets(workspace: Workspace, truth: dict[str, str]) -> list[NetMap5]:
    """`known_map5` of the three nets' mean matrices."""
    read = RootMatrices(workspace)
    paths = {net: workspace.file(f"test_matrix_{net}") for net in ("v5", "v6")}
    matrices = {net: read.test(path) for net, path in paths.items()}
    paths["kernel"] = workspace.file("features_test_kernel")
    matrices["kernel"] = read.for_ensemble(paths["kernel"], TEST_SCORES["kernel"])
    for net, matrix in matrices.items():
        check_truth(matrix.rows, truth, paths[net])
        check_labelled(matrix.columns, read.identity_of, paths[net])
    return [
        known_map5(net, matrix, read.identity_of, truth, read.sides)
        for net, matrix in matrices.items()
    ]


def check_truth(names: Iterable[str], truth: Mapping[str, str], source: object) -> None:
    """Raise `UserError` naming `source` if one of `names` (stems) has no true answer."""
    unknown = [name for name in names if name not in truth]
    if unknown:
        raise UserError(f"{source}: photo {unknown[0]} is not among the true answers; add it there")


def reference_boxes(workspace: Workspace) -> Path:
    """Path of a root's optional pickle of true boxes (stem -> box), which serve measuring alone."""
    return workspace.root / "reference_boxes.pkl"


def detection_iou(workspace: Workspace) -> tuple[float, int, int] | None:
    """Mean IoU of the detector's boxes with the true ones, number of photos, number without a box.

    The photos are those that the detector predicted without having trained on them: the validation
    photos of the folds that ran, and all test and playground photos. A photo without a box counts 0.
    None where the root has no `reference_boxes.pkl`.
    """
    path = reference_boxes(workspace)
    if not path.exists():
        return None
    overlaps, missed = detection_overlaps(workspace, checked_boxes(load(path), path))
    return float(np.mean(list(overlaps.values()))), len(overlaps), len(missed)


def detection_overlaps(
    workspace: Workspace, truth: Mapping[str, Box]
) -> tuple[dict[str, float], set[str]]:
    """Stem -> IoU of the detector's box with the one in `truth` (stem -> box); stems without a box.

    The photos are those of `detection_iou`; photos that `truth` lacks have no IoU.
    """
    paths = [require(workspace, workspace.file("boxes_retinanet"))]
    playground = workspace.file("boxes_retinanet_playground")
    paths += [playground] * playground.exists()
    boxes = {name: box for path in paths for name, box in checked_boxes(load(path), path).items()}
    names = _predicted(workspace) | set(boxes)
    overlaps = {
        name: float(iou(boxes[name], truth[name])[0, 0]) if name in boxes else 0.0
        for name in sorted(names & set(truth))
    }
    return overlaps, names - set(boxes)


def _predicted(workspace: Workspace) -> set[str]:
    """Stems of the photos that the detector predicted, with or without a box."""
    tables = (
        workspace.file("playground_train_csv"),
        workspace.file("playground_sample_submission"),
    )
    tables = [path for path in tables if path.exists()]
    names = {stem(name) for path in tables for name in read_submission_names(path)}
    folds = workspace.file("retinanet_folds")
    held_out = detector_held_out(folds, training_identities(workspace)) if folds.exists() else {}
    for fold, valid in held_out.items():
        if workspace.file("retinanet_fold_boxes", part="train", fold=fold).exists():
            names |= {*valid}
    return names | set(test_photos(workspace))
