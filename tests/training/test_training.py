"""Training: what it learns, what it writes, and that a killed run ends like one left alone."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from whales.base.pickles import load, save

HERE = Path(__file__).resolve().parents[2]
SCRIPT = HERE / "kernel_snn/snn_train_kernel_384_to_1024.py"

# The stage's script with still smaller numbers: everything else is the real thing.
TINY = """
import sys
sys.path.insert(0, {folder!r})
from whales.training.plan import Block, Plan
import snn_train_kernel_384_to_1024 as stage
temp = lambda epochs, **more: Block("temp", 1e-4, 1, epochs, 1, **more)
stage.COLD_PLANS["smoke"] = (
    Plan(64, 8, 2, (temp(2), temp(2, frozen=True))),
    Plan(
        64, 8, 2, steps=2,
        blocks=(Block("final", lambda i: 1e-4 / (i + 1), 2, 2, 0.5, each_round=True),),
    ),
)
stage.run(lambda: stage.main(sys.argv[1:]))
"""


def tiny_root(sample: Path, root: Path) -> Path:
    """A work root with the sample's photos, its first boxes as final ones, and small kernel folds."""
    shutil.copytree(sample, root)
    boxes = root / "modified_data"
    shutil.copy(boxes / "p2bb_v5.pkl", boxes / "p2bb_averaged_v1.pkl")
    shutil.copy(boxes / "p2bb_playground_v2.pkl", boxes / "p2bb_averaged_playground_v1.pkl")
    rows = list(csv.DictReader(open(root / "data/train.csv")))
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["Id"], []).append(row["Image"])
    big = sorted(who for who in groups if who != "new_whale" and len(groups[who]) > 3)[:6]
    train = [name for who in big for name in groups[who][:3]]
    valid = [groups[who][3] for who in big] + groups["new_whale"][:2]
    fold = {"train": train, "val": valid}
    save(boxes / "new_4_folds_split_train_val.pkl", {f"fold_{i}": fold for i in range(4)})
    return root


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in sample."""
    root = tmp_path_factory.mktemp("sample") / "root"
    subprocess.run([sys.executable, "-m", "sample_data", str(root)], cwd=HERE, check=True)
    return root


def start(root: Path, *folds: int, options: tuple[str, ...] = ()) -> subprocess.Popen:
    """The tiny stage in a process of its own; fold 0 unless others are given."""
    code = TINY.format(folder=str(HERE / "kernel_snn"))
    chosen = [str(fold) for fold in folds or (0,)]
    command = [sys.executable, "-c", code, "--RUN_FOLD", *chosen, "--profile", "smoke", *options]
    environment = {**os.environ, "WHALES_ROOT": str(root)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def weights(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "saved_models/PLAN21").iterdir()}


def history(root: Path) -> list[dict[str, str]]:
    """Rows of all history files, without the seconds, which differ from run to run."""
    rows = []
    for path in sorted((root / "cache/history").glob("*.csv")):
        rows += list(csv.DictReader(open(path)))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_a_killed_training_ends_like_one_left_alone(sample: Path, tmp_path: Path) -> None:
    alone = tiny_root(sample, tmp_path / "alone")
    killed = tiny_root(sample, tmp_path / "killed")
    run = start(alone)
    output = run.communicate()[0]
    assert run.returncode == 0, output

    # Killed after the first, the third and the fifth epoch: in a round, in a frozen block, in the
    # second plan.
    for epochs in (1, 3, 5):
        run = start(killed)
        while len(history(killed)) < epochs:
            assert run.poll() is None, run.communicate()[0]
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.wait()
    run = start(killed)
    output = run.communicate()[0]
    assert run.returncode == 0, output
    assert "resumed in block" in output

    names = [
        "PLAN21_martinAsWarmStart_384to1024_fold_0_final_",
        "mpiotte-standard_PLAN21_martinAsWarmStart_384to1024_fold_0_temp0.model_weights",
        "mpiotte-standard_PLAN21_martinAsWarmStart_384to1024_fold_0_temp1.model_weights",
    ]
    for name in names:
        assert any(file.startswith(name) for file in weights(alone)), name
    assert weights(killed) == weights(alone)
    assert history(killed) == history(alone)
    assert len(history(alone)) == 8
    # 18 photos make 36 pairs: all of them in the first plan, two steps of 8 in the second.
    assert [row["pairs"] for row in history(alone)] == ["36"] * 4 + ["16"] * 4
    assert not list((alone / "cache/checkpoints").rglob("state.pkl"))

    again = start(alone)
    output = again.communicate()[0]
    assert again.returncode == 0
    assert output.strip().endswith("up to date")


def test_folds_of_one_process_end_like_folds_alone(sample: Path, tmp_path: Path) -> None:
    """They share a traced net, whose weights, optimizer and statistics must start anew."""
    alone, together = (tiny_root(sample, tmp_path / name) for name in ("alone", "together"))
    runs = [start(alone, 1), start(together, 0, 1)]
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    second = {name: data for name, data in weights(together).items() if "fold_1" in name}
    assert second == weights(alone)
    assert len(weights(together)) == 2 * len(second)


def test_a_round_trains_each_photo_twice_a_side(tmp_path: Path) -> None:
    from whales.training.mining import HardPairs, epoch_pairs, matches

    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(6), 3)
    mined = HardPairs([rng.random((18, 18), dtype=np.float32)], codes, 1.0, rng)
    pairs, labels = epoch_pairs(matches(codes, rng), mined.next_epoch(), rng)
    assert len(pairs) == len(labels) == 2 * len(codes)
    for side in (0, 1):
        assert np.array_equal(np.bincount(pairs[:, side]), np.full(18, 2))
    same = codes[pairs[:, 0]] == codes[pairs[:, 1]]
    assert np.array_equal(same, labels == 1)


def test_state_is_plain(sample: Path, tmp_path: Path) -> None:
    """A checkpoint is readable with NumPy alone, like every other pickle; --segments splits its costs."""
    root = tiny_root(sample, tmp_path / "root")
    run = start(root, options=("--segments", "3"))
    state = root / "cache/checkpoints"
    while not list(state.rglob("state.pkl")):
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    content = load(next(state.rglob("state.pkl")))
    assert {"progress", "rng", "weights", "optimizer", "description"} <= set(content)
    assert content["progress"]["epoch"] >= 1
    costs = load(next(state.rglob("round.pkl")))["costs"]
    assert [cost.shape for cost in costs] == [(6, 6)] * 3
