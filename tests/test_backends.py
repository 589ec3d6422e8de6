"""Keras's other backends: training, a kill, inference and identification on each, held against TensorFlow.

`make test-backends` installs JAX and PyTorch; a backend that is not installed is skipped.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import write_lines
from small_root import IDENTITY_OF, draw, make_root
from tiny_training import finish, history, killed_after, start, tiny_root, weights

from whales.files.matrices import load_tuple

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[1]
# Arguments of pytest. On JAX the steps of v5, marked slow, take minutes to compile; what layers a net has
# depends on no backend.
VALUES = (
    ("tests/nets/test_legacy_weights.py", "-k", "values_of_numpy or channels"),
    ("tests/nets/test_batch_norm.py",),
    ("tests/training/test_training_step.py", "-m", "not slow", "-k", "not every_normalization"),
)
INFERENCE = "siamese_net_v5_densenet121/r26_seamese_net_inference_v5_512px.py"
MATRICES = "modified_data/seamese_net_v5_rgb_densenet121_512px"
SMOKE = ("--profile", "smoke", "--workers", "1")
# A frozen and a free branch, two steps an epoch.
SHORT = "Plan(64, 4, 2, (temp(1, frozen=True), final(1e-4, 1, 4)), steps=2),"


@pytest.fixture(scope="module", params=["jax", "torch"])
def backend(request) -> str:
    """A backend's name, if it is installed."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed; `make test-backends` installs it")
    return request.param


@pytest.fixture(scope="module")
def random_root(tmp_path_factory) -> Path:
    """A work root whose v5 net has random weights for folds 0 and 2, with two photos to identify."""
    root = make_root(tmp_path_factory.mktemp("random") / "root")
    for seed, name in enumerate(("t1", "t2"), start=90):
        draw(root / f"data/test/{name}.jpg", seed)
    rows = [f"{name}.jpg,new_whale" for name in ("t1", "t2")]
    write_lines(root / "data/sample_submission.csv", "Image,Id", *rows)
    return root


def run(backend: str, *arguments: object, **variables: object) -> str:
    """What Python with these arguments says on a backend; it must end well."""
    settings = {name: str(value) for name, value in variables.items()}
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, "KERAS_BACKEND": backend, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def answers_of(random_root, tmp_path_factory):
    """answers_of(backend): the score matrices of a fold, and rows of the table of `identify`."""
    kept = {}

    def answers(backend: str) -> tuple[list[np.ndarray], list[dict[str, str]]]:
        if backend not in kept:
            root = tmp_path_factory.mktemp(backend) / "root"
            shutil.copytree(random_root, root)
            table = root / "answers.csv"
            queries = (root / "data/test", "--top", "3", "--csv", table)
            run(backend, PROJECT / "tools/identify.py", *queries, *SMOKE, WHALES_ROOT=root)
            run(backend, PROJECT / INFERENCE, "0", *SMOKE, WHALES_ROOT=root)
            paths = sorted((root / MATRICES).glob("*fold_0.pkl"))
            matrices = [load_tuple(path).scores for path in paths]
            with open(table, newline="") as rows:
                kept[backend] = matrices, list(csv.DictReader(rows))
        return kept[backend]

    return answers


def test_a_killed_training_ends_like_one_left_alone(backend, sample, tmp_path):
    # What JAX compiled for the one is read by the others.
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    short = {"plans": SHORT, "KERAS_BACKEND": backend, **compiled}
    alone, killed = (tiny_root(sample, tmp_path / name) for name in ("alone", "killed"))
    finish(start(alone, **short))
    killed_after(2, killed, **short)
    output = finish(start(killed, **short))
    assert "resumed in block" in output
    assert weights(killed) == weights(alone)
    assert len(weights(alone)) == 2
    assert history(killed) == history(alone)
    assert len(history(alone)) == 5
    assert finish(start(killed, **short)).strip().endswith("up to date")


def test_scores_are_those_of_tensorflow(backend, answers_of):
    matrices, expected = answers_of(backend)[0], answers_of("tensorflow")[0]
    assert [matrix.shape for matrix in matrices] == [(2, 7), (3, 7)]
    for scores, others in zip(matrices, expected, strict=True):
        assert others.max() - others.min() > 1e-3  # the photos matter
        # Matrices keep six digits: the last one may be rounded the other way.
        np.testing.assert_allclose(scores, others, rtol=0, atol=1.5e-6)


def test_whales_are_those_that_tensorflow_names(backend, answers_of):
    rows, expected = answers_of(backend)[1], answers_of("tensorflow")[1]
    assert [(row["query"][-6:], row["rank"]) for row in rows] == [
        (f"{name}.jpg", rank) for name in ("t1", "t2") for rank in "123"
    ]
    assert {row["identity"] for row in rows} <= set(IDENTITY_OF.values())
    for row, other in zip(rows, expected, strict=True):
        assert (row["identity"], row["photo"]) == (other["identity"], other["photo"])
        assert abs(float(row["score"]) - float(other["score"])) <= 1e-5


@pytest.mark.parametrize("chosen", VALUES, ids=lambda chosen: Path(chosen[0]).stem)
def test_nets_and_training_steps_have_the_values_worked_out_by_hand(backend, chosen):
    output = run(backend, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", *chosen)
    assert re.search(r"^\d+ passed", output, re.MULTILINE), output


@pytest.mark.parametrize(("backend", "features"), [("tensorflow", 1), ("jax", 4)])
def test_nothing_is_traced_twice(backend, features):
    """Not by freezing, another epoch, the rest of a batch, or another fold."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; `make test-backends` installs it")
    output = run(backend, PROJECT / "tests/traced_once.py")
    alone, _, alone_again, again = map(int, output.split()[-4:])
    # TensorFlow: any number of crops at once; JAX: 8, 1, 2, 4.
    assert alone == features
    assert (alone_again, again) == (0, 0)
