"""Training: what it learns, what it writes, and that a killed run ends like one left alone."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from processes import alive
from tiny_training import history, killed_after, refused, start, tiny_root, wait_for_pause, weights

from whales.base.pickles import load


@pytest.mark.slow
def test_a_killed_training_ends_like_one_left_alone(sample: Path, tmp_path: Path) -> None:
    alone = tiny_root(sample, tmp_path / "alone")
    killed = tiny_root(sample, tmp_path / "killed")
    run = start(alone)
    output = run.communicate()[0]
    assert run.returncode == 0, output

    # Ended after so many checkpoints within the first, the third and the fifth epoch: in a round, in a
    # frozen block, in the second plan. The first two by signals to the whole group.
    said = ""
    for epochs, number in ((0, signal.SIGINT), (2, signal.SIGTERM), (4, signal.SIGKILL)):
        run = start(killed, checkpoints="0", pause=epochs, within=True, start_new_session=True)
        wait_for_pause(run, killed)
        if epochs == 0:
            assert "is at work already: process" in refused(start(killed))
        os.killpg(run.pid, number)
        output = run.communicate()[0]
        said += output
        if number != signal.SIGKILL:
            assert alive(run.pid) == []
            assert run.returncode == 128 + number, output
            assert output.count(f"stopped by {number.name}: the training is kept in block") == 1
            assert "Traceback" not in output
            assert "leaked" not in output
    run = start(killed)
    output = run.communicate()[0]
    assert run.returncode == 0, output
    assert "resumed in block" in output
    assert re.search(
        r"resumed in block \d, round \d, after epoch \d, step \d of the next", said + output
    )

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


@pytest.mark.slow
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


@pytest.mark.slow
def test_state_is_plain(sample: Path, tmp_path: Path) -> None:
    """A checkpoint is readable with NumPy alone, like every other pickle; --segments splits its costs."""
    root = tiny_root(sample, tmp_path / "root")
    killed_after(1, root, options=("--segments", "3"))
    state = root / "cache/checkpoints"
    content = load(next(state.rglob("state.pkl")))
    assert {"progress", "rng", "weights", "optimizer", "description"} <= set(content)
    assert content["progress"]["epoch"] == 1
    costs = load(next(state.rglob("round.pkl")))["costs"]
    assert [cost.shape for cost in costs] == [(6, 6)] * 3


def test_saved_files_are_those_of_the_root_as_it_lies_now(tmp_path: Path) -> None:
    """A checkpoint keeps names; one of an earlier version has whole paths, maybe of another root."""
    from whales.training.plan import Plan
    from whales.training.trainer import Trainer, TrainingProgress

    trainer = Trainer.__new__(Trainer)
    trainer.plan = Plan(64, 8, 2, ())
    saved = [("a_0.500000.model_weights", 0.5), ("/old/root/models/b_0.600000.model_weights", 0.6)]
    trainer.progress = TrainingProgress(saved=saved)
    files = trainer.run(lambda tag, map5: tmp_path / f"{tag}_{map5}")
    assert files == [
        (tmp_path / "a_0.500000.model_weights", 0.5),
        (tmp_path / "b_0.600000.model_weights", 0.6),
    ]
