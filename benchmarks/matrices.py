"""Matrices and the ensemble at the competition's size, against plain dense scripts with sorted rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import sparse

from benchmarks.measure import REPOSITORY, Line, processes
from whales.base.pickles import save
from whales.base.writing import write_text
from whales.files.workspace import Workspace

# The competition: known photos, their identities, test photos, valid photos of the four folds.
KNOWN, IDENTITIES, TEST, VALID = 15697, 5004, 7960, (4006, 4006, 4037, 4001)
SHARE = 0.02  # of cells above the cut
STAGES = ("r20_prepare_matrices_for_ensemble.py", "final_ensemble_with_post_proc.py")


def lines(quick: bool) -> Iterator[Line]:
    """Seconds and peak memory of r20 and of the final stage."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_root(root, 40 if quick else 1)
        for stage, bar, most in zip(STAGES, (8, 3), (1500, 700), strict=True):
            ours = [str(REPOSITORY / stage), "--force"]
            plain = ["-m", "benchmarks.plain_matrices", stage.split("_")[0]]
            environment = {"WHALES_ROOT": folder}
            (seconds, peak), (plain_seconds, plain_peak) = processes(
                (ours, plain), 2 if quick else 5, environment
            )
            note = f"asked for: under {most} MB"
            yield Line(
                stage, "s", seconds, plain_seconds, None, bar, peak, plain_peak, note=note
            )  # fmt: skip


def make_root(root: Path, divisor: int) -> None:
    """Tables, folds' matrices and test matrices of `1 / divisor` of the competition's size."""
    workspace = Workspace(root)
    rng = np.random.default_rng(0)
    known = [f"k{number:05}" for number in range(KNOWN // divisor)]
    test = [f"t{number:05}" for number in range(TEST // divisor)]
    # Few identities have many photos, most have one or two.
    drawn = np.minimum(rng.pareto(1.0, len(known)) * 200, IDENTITIES // divisor - 1).astype(int)
    rows = [f"{name}.jpg,w_{identity}" for name, identity in zip(known, drawn, strict=True)]
    write_text(workspace.file("train_csv"), "\n".join(["Image,Id", *rows]) + "\n")
    rows = [f"{name}.jpg,new_whale" for name in test]
    write_text(workspace.file("sample_submission"), "\n".join(["Image,Id", *rows]) + "\n")
    boxes = dict.fromkeys([*known, *test], (0, 0, 9, 9))
    save(workspace.file("boxes_averaged"), boxes)
    save(workspace.file("boxes_averaged_playground"), {})
    for net in ("v5", "v6"):
        for fold, count in enumerate(VALID):
            valid = sorted(rng.choice(known, count // divisor, replace=False).tolist())
            _save_dense(workspace.file(f"valid_matrix_{net}", fold=fold), valid, known, rng)
        _save_dense(workspace.file(f"test_matrix_{net}"), test, known, rng)
    kernel = {"row_names": _jpg(test), "col_names": _jpg(known)}
    scores = sparse.csr_matrix(_scores(len(test), len(known), rng))
    save(workspace.file("features_test_kernel"), {"score": scores, **kernel})


def _save_dense(path: Path, rows: list[str], columns: list[str], rng: np.random.Generator) -> None:
    scores = np.round(_scores(len(rows), len(columns), rng), 6)
    save(path, (_jpg(rows), _jpg(columns), scores))


def _scores(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns) float32: `SHARE` of the cells between 1e-4 and 1, the rest 0."""
    scores = np.zeros((rows, columns), np.float32)
    for row in scores:
        filled = rng.choice(columns, int(SHARE * columns), replace=False)
        row[filled] = 10 ** rng.uniform(-4, 0, len(filled))
    return scores


def _jpg(stems: list[str]) -> list[str]:
    return [f"{name}.jpg" for name in stems]
