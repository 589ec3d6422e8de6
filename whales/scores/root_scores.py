"""Score a finished work root whose answers are known: detection, nets, ensemble."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from whales.base.pickles import load
from whales.files.boxes import iou
from whales.files.dataset import test_photos, training_identities
from whales.files.folds import FOLDS
from whales.files.labels import NEW_WHALE, identities_of, read_labels, stem
from whales.files.matrices import ScoreMatrix, load_dict, load_tuple
from whales.files.submissions import ANSWERS, read_answers
from whales.files.workspace import Workspace, require
from whales.scores.metrics import mapk
from whales.scores.ranking import ENSEMBLE_THRESHOLD, rank, validation_map


class NetScore(NamedTuple):
    """One line of the table: MAP@5 of a net on one fold, or on the test photos."""

    net: str
    fold: str
    photos: int
    map5: float


def fold_scores(workspace: Workspace) -> list[NetScore]:
    """MAP@5 of every net and fold on valid photos: from the matrices, the kernel's from its files."""
    identity_of = training_identities(workspace)
    table = []
    for net in ("v5", "v6"):
        for fold in range(FOLDS):
            matrix = load_tuple(workspace.file(f"valid_matrix_{net}", fold=fold))
            score = validation_map(*matrix, identity_of)
            table.append(NetScore(net, str(fold), len(matrix.rows), score))
    kernel = [kernel_fold_score(workspace, fold) for fold in range(FOLDS)]
    return table + [score for score in kernel if score]


def kernel_fold_score(workspace: Workspace, fold: int) -> NetScore | None:
    """MAP@5 of the kernel net's best file of a fold, as its name tells it; None where it has none."""
    pattern = re.compile(rf"_fold_{fold}_final_(\d\.\d+)\.")
    names = [path.name for path in workspace.file("models_kernel").glob("*")]
    scores = [float(found[1]) for found in map(pattern.search, names) if found]
    if not scores:
        return None
    folds = load(require(workspace, workspace.file("folds_kernel")))
    return NetScore("kernel", str(fold), len(folds[f"fold_{fold}"]["val"]), max(scores))


def test_answers(workspace: Workspace) -> dict[str, str] | None:
    """True answers of the test photos, stem -> identity or `new_whale`, where the root has them."""
    path = workspace.file("test_labels")
    return identities_of(read_labels(path)) if path.exists() else None


def submission_score(workspace: Workspace, key: str, truth: dict[str, str]) -> NetScore:
    """MAP@5 of a submission file on all test photos."""
    answers = read_answers(workspace.file(key))
    names = {"submission_v5": "v5", "submission_v6": "v6", "submission": "ensemble"}
    score = mapk([truth[name] for name in answers], list(answers.values()))
    return NetScore(names[key], "test", len(answers), score)


def kernel_score(workspace: Workspace, truth: dict[str, str]) -> NetScore:
    """MAP@5 of the kernel net alone on the test photos with a box, at the ensemble's threshold."""
    matrix = load_dict(workspace.file("features_test_kernel"), "score")
    identity_of = training_identities(workspace)
    columns = [identity_of[name] for name in matrix.columns]
    answers = rank(matrix.scores, columns, ENSEMBLE_THRESHOLD)
    score = mapk([truth[name] for name in matrix.rows], answers)
    return NetScore("kernel", "test", len(matrix.rows), score)


def known_score(
    net: str, matrix: ScoreMatrix, identity_of: dict[str, str], truth: dict[str, str]
) -> NetScore:
    """MAP@5 of test photos of known whales, identities ranked by their best score, no `new_whale`."""
    known = [row for row, name in enumerate(matrix.rows) if truth[name] != NEW_WHALE]
    columns = [identity_of[name] for name in matrix.columns]
    # Above every score: nothing is summed, and the place of `new_whale`, the first, is left out.
    answers = [row[1:] for row in rank(matrix.scores[known], columns, threshold=2.0)]
    truths = [truth[matrix.rows[row]] for row in known]
    return NetScore(net, "known", len(known), mapk(truths, answers, ANSWERS))


def known_scores(workspace: Workspace, truth: dict[str, str]) -> list[NetScore]:
    """`known_score` of the three nets' mean matrices."""
    identity_of = training_identities(workspace)
    matrices = [(net, load_tuple(workspace.file(f"test_matrix_{net}"))) for net in ("v5", "v6")]
    matrices.append(("kernel", load_dict(workspace.file("features_test_kernel"), "score")))
    return [known_score(net, matrix, identity_of, truth) for net, matrix in matrices]


def reference_boxes(workspace: Workspace) -> Path:
    """Where a root may keep true boxes (stem -> box), for measuring alone."""
    return workspace.root / "reference_boxes.pkl"


def detection_score(workspace: Workspace) -> tuple[float, int, int] | None:
    """Mean IoU of the detector's boxes with the true ones, photos, photos not found.

    Over the photos the detector predicted without having trained on them: the valid photos of the
    folds that ran, and all test and playground photos. A photo without a box counts 0. None where
    the root has no `reference_boxes.pkl`.
    """
    path = reference_boxes(workspace)
    if not path.exists():
        return None
    overlaps, missed = detection_overlaps(workspace, load(path))
    return float(np.mean(list(overlaps.values()))), len(overlaps), len(missed)


def detection_overlaps(
    workspace: Workspace, truth: Mapping[str, Sequence[float]]
) -> tuple[dict[str, float], set[str]]:
    """IoU of the detector's box with the one in `truth` (stem -> box), by photo; photos not found.

    Which photos count: see `detection_score`; those that `truth` lacks have no IoU.
    """
    found = load(require(workspace, workspace.file("boxes_retinanet")))
    playground = workspace.file("boxes_retinanet_playground")
    found = {**found, **(load(playground) if playground.exists() else {})}
    names = _predicted(workspace, found)
    overlaps = {
        name: float(iou(found[name], truth[name])[0, 0]) if name in found else 0.0
        for name in sorted(names & set(truth))
    }
    return overlaps, names - set(found)


def _predicted(workspace: Workspace, found: dict[str, Sequence[int]]) -> set[str]:
    tables = (
        workspace.file("playground_train_csv"),
        workspace.file("playground_sample_submission"),
    )
    tables = [path for path in tables if path.exists()]
    names = {stem(name) for path in tables for name in read_labels(path).Image}
    return names | set(test_photos(workspace)) | set(found)
