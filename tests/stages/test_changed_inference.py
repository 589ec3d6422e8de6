"""What the inference stages do again: nothing, one photo, one fold, never more than what changed."""

import json
import os
import shutil
import time
from functools import cache

import cv2
import numpy as np
import pytest

from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.files.workspace import Workspace
from whales.nets.net import Net
from whales.scores import photo_scores
from whales.stages.job import Job

STAGE = "siamese_net_v5_densenet121/r26_seamese_net_inference_v5_512px.py"
SMOKE = ("--profile", "smoke", "--workers", "1")
IDENTITY_OF = {
    "a1": "w_a", "a2": "w_a", "a3": "w_a", "a4": "w_a",
    "b1": "w_b", "b2": "w_b", "b3": "w_b", "b4": "w_b", "n1": "new_whale",
}  # fmt: skip
TEST = ("t1", "t2")
build_network = Net.network


@cache
def build_once(*arguments):
    """A net built and traced once for all tests; the feature store gives it weights before it uses it."""
    return build_network(*arguments)


def draw(path, seed, size=(120, 60)):
    pixels = np.random.default_rng(seed).integers(
        0, 256, (size[1] // 10, size[0] // 10, 3), np.uint8
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(pixels, size))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A work root with photos, boxes, folds and random weights of net v5 for all four folds."""
    import keras

    root = tmp_path_factory.mktemp("inference") / "root"
    for seed, name in enumerate(IDENTITY_OF):
        draw(root / f"data/train/{name}.jpg", seed)
    for seed, name in enumerate(TEST, start=50):
        draw(root / f"data/test/{name}.jpg", seed)
    rows = [f"{name}.jpg,{identity}" for name, identity in IDENTITY_OF.items()]
    (root / "data/train.csv").write_text("\n".join(["Image,Id", *rows]) + "\n")
    rows = [f"{name}.jpg,new_whale" for name in TEST]
    (root / "data/sample_submission.csv").write_text("\n".join(["Image,Id", *rows]) + "\n")
    boxes = dict.fromkeys((*IDENTITY_OF, *TEST), (5, 3, 90, 50))
    save(root / "modified_data/p2bb_averaged_v1.pkl", boxes)
    save(root / "modified_data/p2bb_averaged_playground_v1.pkl", {})
    held_out = [["a1", "b1", "n1"], ["a2", "b2"], ["a3", "b3"], ["a4", "b4"]]
    folds = {
        f"fold_{fold}": {
            "train": [f"{name}.npy" for name in IDENTITY_OF if name not in [*names, "n1"]],
            "val": [f"{name}.npy" for name in names],
        }
        for fold, names in enumerate(held_out)
    }
    save(root / "modified_data/kfold/new_4_folds_split_train_val_v1.pkl", folds)
    for fold in range(4):
        keras.utils.set_random_seed(fold)
        NET.network(72, None, "smoke").save_weights(weights_file(root, fold))
    return root


def weights_file(root, fold, map5="0.900000"):
    folder = root / "models/Res_v5_densenet121"
    return folder / f"ft_v5_512px_finetune_{fold}_final_v2_{map5}.model_weights"


@pytest.fixture
def root(prepared, tmp_path, monkeypatch):
    copied = shutil.copytree(prepared, tmp_path / "root")
    monkeypatch.setenv("WHALES_ROOT", str(copied))
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.setattr(Net, "network", build_once)
    return copied


@pytest.fixture
def stage(script, capsys):
    """Run the stage with arguments; returns what it said, line by line."""
    main = script(STAGE).main

    def run(*arguments):
        capsys.readouterr()
        main([*map(str, arguments), *SMOKE])
        return capsys.readouterr().out.splitlines()

    return run


def mean_file(root):
    return Workspace(root).file("test_matrix_v5")


def up_to_date(lines):
    return all(line.endswith("up to date") for line in lines)


def test_folds_one_by_one_are_the_same_as_all_together(root, stage):
    for fold in range(3):
        assert any("no mean over folds" in line for line in stage(fold))
        assert not mean_file(root).exists()
    assert not any("no mean over folds" in line for line in stage(3))
    assert mean_file(root).exists()
    assert up_to_date(stage())
    assert len(stage()) == 5  # four folds and their mean
    assert up_to_date(stage(2))


def test_touching_tables_weights_and_photos_changes_nothing(root, stage):
    stage()
    for path in (root / "data/train.csv", weights_file(root, 0), root / "data/train/a1.jpg"):
        os.utime(path)
    assert up_to_date(stage())


def test_a_moved_root_is_up_to_date(root, stage, tmp_path, monkeypatch):
    stage()
    moved = root.rename(tmp_path / "moved")
    for path in moved.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))  # another clock
    monkeypatch.setenv("WHALES_ROOT", str(moved))
    assert up_to_date(stage())


@pytest.mark.parametrize("name", ["train/a2.jpg", "test/t1.jpg"])
def test_one_replaced_photo_is_scored_again_alone(root, stage, tmp_path, name):
    stage()
    before = load(mean_file(root))
    photo = root / "data" / name
    other = tmp_path / "older.jpg"
    draw(other, 99)
    os.utime(other, ns=(10**17, 10**17))  # older than what it replaces, as after `cp -p`
    shutil.copy2(other, photo)
    lines = stage()
    assert sum("features of 1 photos" in line for line in lines) == 4
    assert not any("features of 1 " not in line for line in lines if "features of" in line)
    after = load(mean_file(root))
    changed = before[2] != after[2]
    stem = photo.name
    for row, column in zip(*np.nonzero(changed), strict=True):
        assert stem in (before[0][row], before[1][column])
    assert changed.any()

    fresh = shutil.copytree(root, tmp_path / "fresh")
    for folder in ("cache", "modified_data/seamese_net_v5_rgb_densenet121_512px"):
        shutil.rmtree(fresh / folder)
    os.environ["WHALES_ROOT"] = str(fresh)  # put back by the fixture's monkeypatch
    stage()
    np.testing.assert_allclose(load(mean_file(fresh))[2], after[2], atol=2e-6)


def test_a_mean_is_written_only_from_parts_of_the_present_weights(root, stage):
    stage()
    for fold in (1, 2):
        shutil.copy(weights_file(root, 0), weights_file(root, fold, "0.950000"))
    lines = stage(1)
    assert any(
        "no mean over folds: fold 2 has no scores of its present weights" in x for x in lines
    )
    assert not mean_file(root).exists()
    assert (mean_file(root).parent / "earlier" / mean_file(root).name).exists()
    lines = stage(2)
    assert not any("no mean" in line for line in lines)
    parts = [Workspace(root).file("test_matrix_fold_v5", fold=fold) for fold in range(4)]
    scores = [load(path)[2] for path in parts]
    np.testing.assert_allclose(load(mean_file(root))[2], np.mean(scores, axis=0), atol=1e-6)
    np.testing.assert_array_equal(scores[1], scores[0])


def test_options_of_one_fold_leave_the_mean(root, stage):
    stage()
    lines = stage(2, "--seed", "7", "--skip-broken-photos")
    assert not any("no mean" in line for line in lines)
    assert mean_file(root).exists()


def test_force_on_one_fold_keeps_the_features_of_other_photos(root, stage):
    stage(0)
    with np.load(root / "cache/features/v5_fold_0.npz") as file:
        names = set(file["names"].tolist())
    tests = root / "data/sample_submission.csv"
    tests.write_text(tests.read_text().replace("t2.jpg,new_whale\n", ""))
    assert "t2" in names
    stage(0, "--force")
    with np.load(root / "cache/features/v5_fold_0.npz") as file:
        assert set(file["names"].tolist()) == names


def test_features_come_in_parts_and_what_is_done_stays(root, stage, monkeypatch):
    """The file of one go, byte for byte; a killed stage has kept the parts that were done."""
    path = root / "cache/features/v5_fold_0.npz"
    stage(0)
    whole = path.read_bytes()
    path.unlink()
    computed, parts = photo_scores.branch_features, []

    def killed_in_the_third(network, feed, names, progress):
        parts.append(list(names))
        if len(parts) == 3:
            raise KeyboardInterrupt
        return computed(network, feed, names, progress)

    monkeypatch.setattr(photo_scores, "_AT_ONCE", 4)
    monkeypatch.setattr(photo_scores, "branch_features", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        stage(0, "--force")
    with np.load(path) as file:
        assert file["names"].tolist() == parts[0] + parts[1]
    stage(0)
    assert [len(part) for part in parts] == [4, 4, 3, 3]
    assert path.read_bytes() == whole


def test_features_that_are_no_numbers_are_refused(root, stage, monkeypatch):
    def broken(network, feed, names, progress):
        return np.full((len(names), 3), np.nan, np.float32)

    monkeypatch.setattr(photo_scores, "branch_features", broken)
    with pytest.raises(UserError, match=r"features of photo a1 are no finite numbers"):
        stage(0)
    assert not (root / "cache/features/v5_fold_0.npz").exists()


def test_a_mean_that_no_stage_wrote_is_left_alone(root, stage):
    """Published matrices have no stamp."""
    save(mean_file(root), ("rows", "columns", "scores"))
    stage(0)
    assert load(mean_file(root)) == ("rows", "columns", "scores")


def test_another_photo_size_on_the_card_scores_again(root, stage, monkeypatch):
    stage(0)
    monkeypatch.setitem(NET.sizes, "smoke", 64)
    assert any("features of" in line for line in stage(0))


def test_a_stamp_of_an_earlier_version_counts_once_and_is_renewed(root, stage, monkeypatch):
    stage(0)
    ws = Workspace(root)
    path = ws.file("stamp", stage=Job.key_of(STAGE, 0))
    stamp = json.loads(path.read_text())
    reads = [root / name for name in stamp["inputs"]]
    former = {
        "options": {**stamp["options"], "fold": "0"},
        "inputs": {str(p): [p.stat().st_size, p.stat().st_mtime_ns] for p in reads},
        "outputs": [str(root / name) for name in stamp["outputs"]],
    }
    path.write_text(json.dumps(former))
    assert up_to_date(stage(0)[:1])
    assert json.loads(path.read_text()) == stamp
    monkeypatch.setitem(NET.sizes, "smoke", 64)
    assert not up_to_date(stage(0)[:1])


def test_the_digests_are_read_once(root, stage, monkeypatch):
    """A second call looks at sizes and times alone; a lost memory of digests only costs time."""
    time.sleep(2.1)  # files younger than two seconds are not trusted to stay
    stage(0)
    opened = []
    from whales.files import digests

    real = digests.hashlib.file_digest
    monkeypatch.setattr(digests.hashlib, "file_digest", lambda *a: opened.append(1) or real(*a))
    assert up_to_date(stage(0)[:1])
    assert len(opened) == 0
    Workspace(root).file("digests").write_text("{")
    assert up_to_date(stage(0)[:1])
    assert len(opened) > 10


def test_the_kernel_nets_inference_scores_one_replaced_photo_again(root, script, capsys):
    from kernel_snn.a00_net_kernel import NET as KERNEL

    file = root / "kernel.model_weights"
    build_once(KERNEL, 64, None, "smoke", None).save_weights(file)
    main = script("kernel_snn/snn_inference_kernel_1024.py").main
    given = [text for number in range(1, 5) for text in (f"--model_weights_{number}", str(file))]

    def run():
        capsys.readouterr()
        main([*given, *SMOKE])
        return capsys.readouterr().out.splitlines()

    run()
    target = Workspace(root).file("features_test_kernel")
    before = load(target)["score"].toarray()
    assert up_to_date(run())
    draw(root / "data/test/t2.jpg", 77)
    lines = run()
    assert [line for line in lines if "features of" in line] == [
        "kernel.model_weights: features of 1 photos"
    ] * 4
    after = load(target)["score"].toarray()
    np.testing.assert_array_equal(after[0], before[0])
    assert (after[1] != before[1]).any()
