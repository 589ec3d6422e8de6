"""What a training makes of an edited plan, of a moved root, and of a checkpoint that is not its own."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tiny_training import finish, history, kill_after, start, tiny_root, weights

pytestmark = pytest.mark.slow

STATE = "kernel_snn.snn_train_kernel_384_to_1024_fold_0_plan_1"


def moved(root: Path, target: Path) -> Path:
    """The root copied with `cp -a`, as a machine whose clock is ten days behind would date it."""
    subprocess.run(["cp", "-a", str(root), str(target)], check=True)
    for path in target.rglob("*"):
        times = path.lstat()
        earlier = times.st_mtime_ns - 10 * 86_400 * 10**9
        os.utime(path, ns=(earlier, earlier), follow_symlinks=False)
    shutil.rmtree(root)  # nothing may be read there any more
    return target


def test_a_root_moved_while_a_training_is_half_done(sample: Path, tmp_path: Path) -> None:
    alone = tiny_root(sample, tmp_path / "alone")
    finish(start(alone))
    killed = tiny_root(sample, tmp_path / "killed")
    kill_after(start(killed), killed, 1)
    (tmp_path / "other").mkdir()
    elsewhere = moved(killed, tmp_path / "other" / "place")
    assert "resumed in block 0" in finish(start(elsewhere))
    assert weights(elsewhere) == weights(alone)
    assert history(elsewhere) == history(alone)

    again = moved(elsewhere, tmp_path / "again")
    assert finish(start(again)).strip().endswith("up to date")
    (again / "data/train.csv").touch()
    assert finish(start(again)).strip().endswith("up to date")


def test_an_edited_plan_counts_while_a_training_is_half_done_and_after(
    sample: Path, tmp_path: Path
) -> None:
    root = tiny_root(sample, tmp_path / "root")
    kill_after(start(root), root, 1)
    kept = root / "cache/checkpoints" / f"{STATE}.1"
    former = (root / "cache/checkpoints" / STATE / "state.pkl").read_bytes()

    output = finish(start(root, rate=2e-4))
    assert f"is kept as {kept}" in output
    assert "numbers.blocks.0.lr 0.0001 -> 0.0002" in output
    assert "starting anew" in output
    assert (kept / "state.pkl").read_bytes() == former
    assert {row["lr"] for row in history(root)[:2]} == {"0.0002"}

    assert finish(start(root, rate=2e-4)).strip().endswith("up to date")
    output = finish(start(root, rate=4e-4))
    assert "up to date" not in output
    assert {row["lr"] for row in history(root)[:2]} == {"0.0004"}
    assert (kept / "state.pkl").read_bytes() == former


def test_force_keeps_the_checkpoint_of_an_interrupted_training(
    sample: Path, tmp_path: Path
) -> None:
    root = tiny_root(sample, tmp_path / "root")
    kill_after(start(root), root, 1)
    output = finish(start(root, options=("--force",)))
    kept = root / "cache/checkpoints" / f"{STATE}.1"
    assert f"is kept as {kept} (--force)" in output
    assert (kept / "state.pkl").exists()
    with open(root / f"cache/history/{STATE}.csv", newline="") as rows:
        assert len(list(csv.DictReader(rows))) == 4
