"""What a training makes of an edited plan, of a moved root, and of a checkpoint that is not its own."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from pathlib import Path

import h5py
import pytest
from tiny_training import finish, history, killed_after, refused, start, tiny_root, weights

from kernel_snn.a00_net_kernel import NET
from whales.base.pickles import load

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
    killed_after(1, killed)
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
    killed_after(1, root)
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
    killed_after(1, root)
    models = root / "saved_models/PLAN21"
    published = models / f"{NET.weights.names(0)[1]}_0.963895.model_weights"
    models.mkdir(parents=True)
    published.write_bytes(b"of whales of another catalogue")
    output = finish(start(root, options=("--force",)))
    assert (models / "earlier" / published.name).exists()  # its name says the best MAP@5
    assert NET.weights.find(models, 0).name.startswith("PLAN21")
    kept = root / "cache/checkpoints" / f"{STATE}.1"
    assert f"is kept as {kept} (--force)" in output
    assert (kept / "state.pkl").exists()
    with open(root / f"cache/history/{STATE}.csv", newline="") as rows:
        assert len(list(csv.DictReader(rows))) == 4


def test_a_training_that_was_set_aside_comes_back_whole(sample: Path, tmp_path: Path) -> None:
    """Its weights lie with its checkpoint: another training has written files of the same names."""
    alone = tiny_root(sample, tmp_path / "alone")
    finish(start(alone))
    root = tiny_root(sample, tmp_path / "root")
    killed_after(3, root)  # the first checkpoint that knows of the first weights
    before = weights(root)
    name = min(before)
    assert "temp0" in name
    finish(start(root, rate=2e-4))
    checkpoints = root / "cache/checkpoints"
    kept = checkpoints / f"{STATE}.1"
    assert (kept / "weights" / name).read_bytes() == before[name]
    assert weights(root)[name] != before[name]

    kept.rename(checkpoints / STATE)
    assert "resumed in block 1" in finish(start(root))
    assert weights(root) == weights(alone)
    assert history(root) == history(alone)


def test_a_refusal_leaves_a_finished_training_finished(sample: Path, tmp_path: Path) -> None:
    root = tiny_root(sample, tmp_path / "root")
    finish(start(root))
    settings = root / "data/settings.json"
    settings.write_text('{"anisotropy": 1.5}')
    assert "kernel_fold_0 was trained with 2.15; put it back" in refused(start(root))
    settings.unlink()
    assert "expected a whole number from 0" in refused(start(root, options=("--seed", "-1")))
    assert "takes about" in refused(start(root, options=("--force",), WHALES_MEMORY_GB="0.1"))
    assert "not a whole Keras 2 HDF5 weight file" in refused(
        start(root, weights=str(not_of_this_net(root)))
    )
    said = finish(
        start(root, WHALES_MEMORY_GB="0.1")
    )  # nothing is trained, so that nothing has to fit
    assert said.strip().endswith("up to date")


def not_of_this_net(root: Path) -> Path:
    with h5py.File(root / "other.h5", "w") as file:
        file["a"] = 1
    return root / "other.h5"


def test_a_photo_that_fails_within_an_epoch_is_named(sample: Path, tmp_path: Path) -> None:
    root = tiny_root(sample, tmp_path / "root")
    killed_after(1, root)  # the next epoch reads no photo before it trains
    split = load(root / "modified_data/new_4_folds_split_train_val.pkl")["fold_0"]["train"]
    for name in split:
        (root / "data/train" / name).write_bytes(b"no photo")
    said = refused(start(root))
    assert "Traceback" not in said
    assert "cannot be read" in said.splitlines()[-1]


def test_a_photo_that_is_mended_begins_the_round_anew(sample: Path, tmp_path: Path) -> None:
    """The checkpoint's pairs are places in the list of the photos that could be read."""
    root = tiny_root(sample, tmp_path / "root")
    split = load(root / "modified_data/new_4_folds_split_train_val.pkl")["fold_0"]["train"]
    broken = root / "data/train" / split[0]
    content = broken.read_bytes()
    broken.write_bytes(b"no photo")
    options = ("--skip-broken-photos",)
    killed_after(1, root, options=options)
    broken.write_bytes(content)
    said = finish(start(root, options=options))
    assert "the round begins anew" in said
    assert "resumed in block 0, round 0, after epoch 0" in said
    assert len(history(root)) == 9  # the first epoch is there twice
