"""Full and failing disks: one line, exit code 2, nothing lost, nothing half-written, the next run right."""

import errno
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from failing_writes import FailingDisk
from helpers import write_lines

from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.base import writing
from whales.base.pickles import save
from whales.base.writing import is_temporary
from whales.files.matrices import ScoreMatrix, save_dict, save_tuple
from whales.files.workspace import Workspace
from whales.nets.net import Net
from whales.stages.stage import run

KNOWN = {f"k{i}": f"w_{i // 6}" for i in range(30)} | {f"n{i}": "new_whale" for i in range(5)}
TEST = ("t1", "t2", "t3")
R10, R20, R28 = (
    "r10_create_kfold_split.py", "r20_prepare_matrices_for_ensemble.py",
    "siamese_net_v5_densenet121/r28_seamese_net_create_submission_v5_512px.py",
)  # fmt: skip
KERNEL_FOLDS, FINAL = "kernel_snn/kfold_splits_for_kernel.py", "final_ensemble_with_post_proc.py"
STAGES = (R10, KERNEL_FOLDS, R20, R28, FINAL)
OUTPUTS = ("modified_data", "features", "subm", "submission")


def draw(root, seed):
    """All that the small stages read, drawn with a seed."""
    rng, ws = np.random.default_rng(seed), Workspace(root)
    write_lines(ws.file("train_csv"), "Image,Id", *(f"{k}.jpg,{v}" for k, v in KNOWN.items()))
    write_lines(ws.file("sample_submission"), "Image,Id", *(f"{name}.jpg,x" for name in TEST))
    boxes = {name: (seed, 0, 90, 50) for name in (*KNOWN, *TEST) if name != f"k{seed}"}
    save(ws.file("boxes_averaged"), boxes)
    save(ws.file("boxes_averaged_playground"), {})
    known = [name for name in KNOWN if KNOWN[name] != "new_whale" and name in boxes]

    def scores(rows):
        return ScoreMatrix(rng.random((len(rows), len(known)), np.float32), list(rows), known)

    for net in ("v5", "v6"):
        save_tuple(ws.file(f"test_matrix_{net}"), scores(TEST))
        for fold in range(4):
            save_tuple(ws.file(f"valid_matrix_{net}", fold=fold), scores([f"k{9 + fold}", "n1"]))
    for net, key in (("v5", "test_vs_train_mat_sparse"), ("v6", "test_vs_train_mat_sparse")):
        save_dict(ws.file(f"features_test_{net}"), scores(TEST), key)
    save_dict(ws.file("features_test_kernel"), scores(TEST), "score")


def content(root):
    """Every file that counts, by name: no log, no cache, and so no stamp."""
    files = [path for name in OUTPUTS for path in (root / name).rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def temporaries(root):
    return [path for path in root.rglob("*") if is_temporary(path)]


@pytest.fixture(scope="module")
def states(tmp_path_factory, script):
    """A root as an earlier run left it with new inputs beside, for each stage; and as it must end."""
    folder = tmp_path_factory.mktemp("states")
    return {name: _state(folder / name.replace("/", "_"), script(name).main) for name in STAGES}


def _state(folder, main):
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        old, new = folder / "old", folder / "new"
        draw(old, 1)
        context.setenv("WHALES_ROOT", str(old))
        main([])
        draw(old, 2)
        shutil.copytree(old, new)
        context.setenv("WHALES_ROOT", str(new))
        main([])
    return old, content(old), content(new)


@pytest.fixture
def disk_full(monkeypatch, tmp_path, capsys):
    """Run a stage on a copy of a root while the n-th write fails; the copy, disk, exit code, errors."""

    def start(old, main, at, **how):
        root = tmp_path / "root"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(old, root)
        monkeypatch.setenv("WHALES_ROOT", str(root))
        monkeypatch.setattr(writing, "_said", set())
        monkeypatch.setattr(writing, "_swept", set())
        disk, code = FailingDisk(root, at, **how), 0
        capsys.readouterr()
        try:
            with disk.in_use():
                run(lambda: main([]))
        except SystemExit as left:
            code = left.code
        return root, disk, code, capsys.readouterr().err

    return start


def check_outcome(root, disk, code, err, before, after):
    """What must hold after a run that the disk has failed; whether the run failed too."""
    where = disk.done[-1]
    assert temporaries(root) == [], where
    now = content(root)
    assert set(now) == set(before) | set(after) & set(now), where
    for name, data in now.items():
        assert data in (before.get(name), after[name]), (name, where)
    if code == 0:  # a log or a cache
        assert now == after, where
        assert err == ""
        return False
    assert code == 2, (where, err)
    assert err.startswith("error: "), where
    assert err.count("\n") == 1, err
    assert str(root) in err, err
    return True


@pytest.fixture(autouse=True)
def no_wait(monkeypatch):
    """The tests need not wait for the real disk."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.mark.parametrize(
    ("name", "error", "for_good"),
    [(name, errno.ENOSPC, True) for name in STAGES]
    + [(KERNEL_FOLDS, errno.EIO, False), (FINAL, errno.EROFS, True), (R28, errno.EDQUOT, False)],
)
def test_a_stage_whose_nth_write_fails(states, disk_full, script, name, error, for_good):
    old, before, after = states[name]
    assert before != after
    main, failures, kinds = script(name).main, 0, set()
    for at in range(1, 1000):
        root, disk, code, err = disk_full(old, main, at, error=error, for_good=for_good)
        if not disk.failed:
            break
        failed = check_outcome(root, disk, code, err, before, after)
        failures += failed
        what, path = disk.done[-1]
        kind = what, Path(path).parent, Path(path).suffix
        if failed and kind not in kinds:  # the next run, after each kind of fault
            kinds.add(kind)
            main([])
            assert content(root) == after
    assert code == 0
    assert content(root) == after
    assert at > 10
    assert failures > 3


# --- a Siamese net's inference --------------------------------------------------------------------

R26 = "siamese_net_v5_densenet121/r26_seamese_net_inference_v5_512px.py"


@pytest.fixture(scope="module")
def small_inference(tmp_path_factory):
    """A root with photos, boxes and random weights of the smoke v5 net for fold 0, features kept."""
    import cv2
    import keras

    root = tmp_path_factory.mktemp("inference") / "root"
    ws, rng = Workspace(root), np.random.default_rng(0)
    names = {f"a{i}": f"w_{i % 2}" for i in range(6)}
    for name in (*names, "t1"):
        folder = ws.file("test_photos" if name == "t1" else "train_photos")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.jpg"), rng.integers(0, 256, (60, 120, 3), np.uint8))
    write_lines(ws.file("train_csv"), "Image,Id", *(f"{k}.jpg,{v}" for k, v in names.items()))
    write_lines(ws.file("sample_submission"), "Image,Id", "t1.jpg,x")
    save(ws.file("boxes_averaged"), dict.fromkeys((*names, "t1"), (5, 3, 90, 50)))
    save(ws.file("boxes_averaged_playground"), {})
    folds = {f"fold_{i}": {"train": ["a5.npy"], "val": ["a0.npy", "a1.npy"]} for i in range(4)}
    save(ws.file("folds_v1"), folds)
    keras.utils.set_random_seed(0)
    weights = ws.file("models_v5") / "ft_v5_512px_finetune_0_final_v2_0.900000.model_weights"
    NET.network(72, None, "smoke").save_weights(weights)
    return root


def test_an_inference_whose_nth_write_fails(small_inference, disk_full, script, monkeypatch):
    """Features and crops that cannot be kept cost time alone; matrices that cannot be end in one line."""
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.setattr(Net, "network", cache(Net.network))
    page = script(R26).main

    def main(arguments):
        page(["0", "--profile", "smoke", "--workers", "1", *arguments])

    root, disk, code, _ = disk_full(small_inference, main, None)
    assert code == 0
    after = content(root)
    # The first write of each kind: a run takes a second.
    kinds = [(what, Path(path).parent, Path(path).suffix) for what, path in disk.done]
    before = content(small_inference)
    assert set(after) - set(before)
    codes = set()
    for at in sorted({kinds.index(kind) + 1 for kind in kinds}):
        root, disk, code, err = disk_full(small_inference, main, at, for_good=False)
        assert disk.failed
        if code == 0:
            assert content(root) == after, disk.done[at - 1]
        else:
            assert (code, err.count("\n")) == (2, 1), (disk.done[at - 1], err)
            assert content(root).items() <= after.items()
        assert temporaries(root) == [], disk.done[at - 1]
        codes.add((code, disk.done[at - 1][1].split("/")[0]))
    assert {(0, "cache"), (2, "modified_data")} <= codes
    main([])
    assert content(root) == after
