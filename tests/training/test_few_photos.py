"""The smallest catalogues train, and what is smaller is refused before any work."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import write
from tiny_training import HERE, finish, history, start, tiny_root, weights

from whales.base.chatter import is_chatter
from whales.base.pickles import load, save
from whales.files.folds import FoldRecipe
from whales.nets.teaching import Lesson, teaching_of

AGAIN = "few photos: pairs of earlier epochs come back"

# The page of v5's folds with still smaller numbers, from random weights.
TINY_V5 = f"""
import sys
sys.path[:0] = [{str(HERE)!r}, {str(HERE / "siamese_net_v5_densenet121")!r}]
from whales.training.plan import Block, Plan
import r15_seamese_net_train_v5_finetune_384px as stage
stage.SMOKE = Plan(32, 16, segments=4, blocks=(Block("temp", 1e-4, 1, 9, 1), Block("final", 1e-4, 1, 1, 1)))
stage.run(lambda: stage.main(sys.argv[1:]))
"""
V5 = (sys.executable, "-c", TINY_V5, "--profile", "smoke", "--weights", "none")
HISTORY_V5 = "siamese_net_v5_densenet121.r15_seamese_net_train_v5_finetune_384px_fold_"


def few(sample: Path, root: Path, identities: int, photos: int) -> Path:
    """A work root of so many identities of so many photos each, with the folds of its recipe."""
    tiny_root(sample, root)
    groups: dict[str, list[str]] = {}
    with open(root / "data/train.csv", newline="") as table:
        for row in csv.DictReader(table):
            groups.setdefault(row["Id"], []).append(row["Image"])
    large = [who for who in groups if who != "new_whale" and len(groups[who]) >= photos]
    kept = {who: groups[who][:photos] for who in large[:identities]}
    rows = "".join(f"{name},{who}\n" for who in kept for name in kept[who])
    write(root, "data/train.csv", "Image,Id\n" + rows)
    folds = FoldRecipe(kept).make(0)
    save(root / "modified_data/new_4_folds_split_train_val.pkl", folds)
    (root / "modified_data/kfold").mkdir()
    save(root / "modified_data/kfold/new_4_folds_split_train_val_v1.pkl", folds)
    return root


def run(command: tuple[str, ...], root: Path, monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen:
    monkeypatch.setenv("WHALES_ROOT", str(root))
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_two_photos_of_two_identities_train_the_kernel_net(sample: Path, tmp_path: Path) -> None:
    root = few(sample, tmp_path / "root", 2, 2)
    output = finish(start(root))
    assert output.count("no validation photos: MAP@5 counts as 0") == 2  # of two plans
    assert [row["pairs"] for row in history(root)] == ["8"] * 8
    assert {row["map5"] for row in history(root)} == {""}
    # Nothing tells which weights are best: later stages find the last alone.
    final = "PLAN21_martinAsWarmStart_384to1024_fold_0_final_0.000000.model_weights"
    temporary = "mpiotte-standard_PLAN21_martinAsWarmStart_384to1024_fold_0_temp1.model_weights"
    assert sorted(weights(root)) == [final, temporary]
    # Both plans saw the same photos, of a generated root; what the framework says of itself is not shown.
    assert teaching_of(root / "saved_models/PLAN21" / final) == (Lesson(4, 2, True),)
    assert [line for line in output.splitlines() if is_chatter(line.encode())] == []


@pytest.mark.slow
def test_a_small_catalogue_trains_v5_for_many_epochs_a_round(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = few(sample, tmp_path / "root", 6, 4)
    output = finish(run((*V5, "0"), root, monkeypatch))
    assert output.count(AGAIN) == 1
    train, valid = (load(root / "modified_data/kfold/new_4_folds_split_train_val_v1.pkl")["fold_0"][k]
                    for k in ("train", "val"))  # fmt: skip
    assert (len(train), len(valid)) == (18, 6)
    rows = history(root)
    # A segment has five photos or three: an epoch has as many pairs as its identities allow.
    assert len(rows) == 10
    assert {row["pairs"] for row in rows[:9]} == {rows[0]["pairs"]}
    assert int(rows[0]["pairs"]) > 18
    saved = sorted(path.name for path in (root / "models/Res_v5_densenet121").iterdir())
    assert [name.rsplit("_", 2)[0] for name in saved] == [
        "ft_v5_384px_finetune_0_final",
        "ft_v5_384px_finetune_0_temp",
    ]


@pytest.mark.parametrize(("identities", "photos"), [(1, 8), (8, 1), (0, 1)])
def test_less_is_refused_before_a_framework_loads(
    sample: Path, tmp_path: Path, run_python, identities: int, photos: int
) -> None:
    root = few(sample, tmp_path / "root", identities, photos)
    before = {path for path in root.rglob("*") if path.is_file()}
    stages = {
        "kernel_snn/snn_train_kernel_384_to_1024.py": ("--RUN_FOLD", "0"),
        "siamese_net_v5_densenet121/r15_seamese_net_train_v5_finetune_384px.py": ("0", "1"),
    }
    for script, options in stages.items():
        code = (
            "import runpy, sys; sys.modules.update(keras=None, tensorflow=None); "
            f"sys.path.insert(0, {str(HERE)!r}); sys.argv = sys.argv[1:]; "
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        done = run_python(
            "-c", code, HERE / script, *options, "--weights", "none", WHALES_ROOT=str(root)
        )
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1
        assert "two identities or more with two readable, boxed photos each" in done.stderr
    after = {
        path for path in root.rglob("*") if path.is_file() and not {"logs", "locks"} & {*path.parts}
    }
    # Digests that took long are remembered.
    digests = {root / "cache/digests.json", root / "cache/digests.lock"}
    assert after - before <= digests, after - before


def test_every_fold_is_checked_before_the_first_trains(
    sample: Path, tmp_path: Path, run_python
) -> None:
    root = few(sample, tmp_path / "root", 2, 2)
    path = root / "modified_data/new_4_folds_split_train_val.pkl"
    folds = load(path)
    first, *others = folds["fold_0"]["train"] + folds["fold_0"]["val"]
    save(path, {**folds, "fold_3": {"train": [first], "val": others}})
    script = HERE / "kernel_snn/snn_train_kernel_384_to_1024.py"
    arguments = script, "--RUN_FOLD", "0", "3", "--weights", "none"
    done = run_python(*arguments, WHALES_ROOT=str(root))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "two identities or more" in done.stderr
    assert not (root / "cache/history").exists()
