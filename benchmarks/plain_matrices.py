"""The plain way of r20 and of the final stage: whole dense matrices, every row sorted, r20's in Python.

It writes the same files as the stages, beside them: `.plain` is put before the suffix.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from whales.base.pickles import load, save
from whales.files.workspace import Workspace


def answers_of(
    row: np.ndarray, order: Sequence[int], identities: Sequence[str], threshold: float
) -> list[str]:
    """Five answers of one photo, whose columns are in `order` of falling scores."""
    sums: dict[str, float] = {}
    for column in np.flatnonzero(row > np.float32(threshold)).tolist():
        sums[identities[column]] = sums.get(identities[column], 0.0) + float(row[column])
    answers = sorted(sums, key=lambda identity: -sums[identity])[:5]
    if len(answers) < 5:
        answers.append("new_whale")
    for column in order:
        if len(answers) == 5:
            break
        if identities[column] not in answers:
            answers.append(identities[column])
    return answers


def r20(workspace: Workspace) -> None:
    """Both nets' valid and test matrices."""
    table = pd.read_csv(workspace.file("train_csv"))
    identity_of = dict(zip(table.Image, table.Id, strict=True))
    for net in ("v5", "v6"):
        rows, matrices, precisions = [], [], []
        for fold in range(4):
            names, columns, scores = load(workspace.file(f"valid_matrix_{net}", fold=fold))
            identities = [identity_of[name] for name in columns]
            for row, name in enumerate(names):
                if name in columns:
                    scores[row, columns.index(name)] = 0
                values = scores[row].tolist()
                order = sorted(range(len(values)), key=lambda column: -values[column])
                answers = answers_of(scores[row], order, identities, 0.99)
                identity = identity_of[name]
                right = identity in answers
                precisions.append(1 / (answers.index(identity) + 1) if right else 0.0)
            scores[scores < 1e-5] = 0
            rows += names
            matrices.append(scores)
        mean = float(np.mean(precisions))
        content = {"row_names": rows, "col_names": columns, "overall_score": mean}
        content["val_vs_train_mat_sparse"] = sparse.csr_matrix(np.concatenate(matrices))
        _save_beside(workspace.file(f"features_{net}"), content)
        names, columns, scores = load(workspace.file(f"test_matrix_{net}"))
        scores[scores < 1e-5] = 0
        content = {"row_names": names, "col_names": columns}
        content["test_vs_train_mat_sparse"] = sparse.csr_matrix(scores)
        _save_beside(workspace.file(f"features_test_{net}"), content)


def final(workspace: Workspace) -> None:
    """Blend, rank, post-process, write."""
    table = pd.read_csv(workspace.file("train_csv"))
    identity_of = dict(zip(table.Image, table.Id, strict=True))
    total = 0
    for net, key, weight in (
        ("v5", "test_vs_train_mat_sparse", 0.3),
        ("v6", "test_vs_train_mat_sparse", 0.3),
        ("kernel", "score", 0.4),
    ):
        content = load(workspace.file(f"features_test_{net}"))
        total = total + content[key].toarray() * np.float32(weight)
    names, identities = content["row_names"], [identity_of[name] for name in content["col_names"]]
    orders = (np.argsort(-row, kind="stable") for row in total)
    answers = [
        answers_of(row, order, identities, 0.7) for row, order in zip(total, orders, strict=True)
    ]
    claims = {}
    for column, identity in enumerate(identities):
        row = int(np.argmax(total[:, column]))
        score = total[row, column]
        if score >= np.float32(0.46) and (
            row not in claims or (claims[row][0] != identity and score > claims[row][1])
        ):
            claims[row] = (identity, score)
    firsts, seconds = Counter(row[0] for row in answers), Counter(row[1] for row in answers)
    for row, (identity, score) in claims.items():
        first, second = answers[row][:2]
        if identity in (first, second) and identity != first:
            crowded = seconds[identity] == 3 and score < 0.6
            if first != "new_whale" or not (firsts[identity] or crowded):
                answers[row] = [second, first, *answers[row][2:]]
    lines = [f"{name},{' '.join(row)}" for name, row in zip(names, answers, strict=True)]
    path = workspace.file("submission")
    path.with_suffix(".plain.csv").write_text("\n".join(["Image,Id", *lines]) + "\n")


def _save_beside(path: Path, content: Mapping[str, object]) -> None:
    save(path.with_suffix(".plain.pkl"), content)


if __name__ == "__main__":
    {"r20": r20, "final": final}[sys.argv[1]](Workspace())
