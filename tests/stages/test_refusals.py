"""Bad input, given to the scripts as a user would: one line on stderr, code 2, nothing written."""

import pytest
from helpers import write

V5, V6 = "siamese_net_v5_densenet121", "siamese_net_v6_se_resnext"
FOLD_PAGES = ("r10_create_kfold_split.py", "kernel_snn/kfold_splits_for_kernel.py")
BOX = (0, 0, 9, 9)
PHOTOS = {f"p{i}": f"w_{i // 3}" for i in range(9)}


def tables(root):
    """Labels, boxes and folds of nine photos of three identities."""
    rows = "".join(f"{name}.jpg,{who}\n" for name, who in PHOTOS.items())
    write(root, "data/train.csv", "Image,Id\n" + rows)
    write(root, "data/sample_submission.csv", "Image,Id\nt1.jpg,new_whale\n")
    playground = "".join(f"g{name}.jpg,w_p{who}\n" for name, who in PHOTOS.items())
    write(root, "data/playground/train.csv", "Image,Id\n" + playground)
    write(root, "modified_data/p2bb_averaged_v1.pkl", dict.fromkeys(PHOTOS, BOX))
    boxes = {f"g{name}": BOX for name in PHOTOS}
    write(root, "modified_data/p2bb_averaged_playground_v1.pkl", boxes)
    names = [f"{name}.npy" for name in PHOTOS]
    folds = {f"fold_{i}": {"train": names[:6], "val": names[6:]} for i in range(4)}
    for version in (1, 2):
        name = f"modified_data/kfold/new_4_folds_split_train_val_v{version}.pkl"
        write(root, name, folds)


def photo_twice(root):
    tables(root)
    with open(root / "data/train.csv", "a") as table:
        table.write("p4.jpg,w_9\n")


def damaged_folds(root):
    tables(root)
    path = root / "modified_data/kfold/new_4_folds_split_train_val_v2.pkl"
    path.write_bytes(path.read_bytes()[:50])


def unlike_folds(root):
    tables(root)
    name = "modified_data/kfold/new_4_folds_split_train_val_v2.pkl"
    write(root, name, {"fold_0": {"train": ["p0.npy"], "val": ["stranger.npy"]}})


def boxes_that_are(content):
    def make(root):
        tables(root)
        write(root, "modified_data/p2bb_averaged_v1.pkl", content)

    return make


def one_identity(root):
    tables(root)
    rows = "".join(f"g{name}.jpg,w_alone\n" for name in PHOTOS)
    write(root, "data/playground/train.csv", "Image,Id\n" + rows)


def matrices_of_v5_only(root):
    tables(root)
    folder = root / "modified_data/seamese_net_v5_rgb_densenet121_512px"
    folder.mkdir(parents=True)
    for fold in range(4):
        (folder / f"full_valid_vs_full_train_matrix_fold_{fold}.pkl").write_bytes(b"")
    (folder / "full_test_vs_train_matrix_avg.pkl").write_bytes(b"")


def weights_of_one_fold(root):
    tables(root)
    name = "ft_v5_384px_finetune_0_final_v2_0.900000.model_weights"
    write(root, f"models/Res_v5_densenet121/{name}", b"not looked into yet")


def nothing(root):
    """An empty work root."""


CASES = {
    **{
        f"boxes that are {content}, {page}": (
            boxes_that_are(content),
            [page],
            ["averaged_v1.pkl: expected a dict of boxes"],
        )
        for page in FOLD_PAGES
        for content in (5, (1, 2), ())
    },
    **{
        f"no box of {page}": (boxes_that_are({}), [page], ["no photo of", "p2bb_averaged_v1.pkl"])
        for page in FOLD_PAGES
    },
    "a box that is none": (
        boxes_that_are({"p0": None}),
        ["r10_create_kfold_split.py"],
        ["p2bb_averaged_v1.pkl: photo p0: expected x1, y1, x2, y2, received None"],
    ),
    "a box beyond all floats": (
        boxes_that_are({"p0": (0, 0, 10**400, 9)}),
        ["r10_create_kfold_split.py"],
        ["p2bb_averaged_v1.pkl: photo p0: expected x1, y1, x2, y2"],
    ),
    "no table": (
        nothing,
        ["final_ensemble_with_post_proc.py"],
        ["data/train.csv is missing", "download"],
    ),
    "a photo twice": (
        photo_twice,
        ["r10_create_kfold_split.py"],
        ["train.csv", "p4.jpg", "lines 6 and 11"],
    ),
    "no such fold": (
        nothing,
        [f"{V5}/r15_seamese_net_train_v5_finetune_384px.py", "7"],
        ["expected a fold from 0 to 3, received 7"],
    ),
    "no segments": (
        nothing,
        [f"{V5}/r10_seamese_net_warmstart_from_scratch_224px.py", "--segments", "0"],
        ["expected a whole number from 1, received 0"],
    ),
    "no weights yet": (
        tables,
        [f"{V5}/r11_seamese_net_warmstart_finetune_384px.py"],
        [
            "no weights densenet121_224px_warmstart",
            f"run {V5}/r10_seamese_net_warmstart_from_scratch_224px.py",
        ],
    ),
    "several folds, one without weights": (
        weights_of_one_fold,
        [f"{V5}/r15_seamese_net_train_v5_finetune_512px.py", "0", "1"],
        ["no weights ft_v5_384px_finetune_1_", "finetune_384px.py 1"],
    ),
    "weights that are not there": (
        tables,
        [f"{V6}/r11_seamese_net_warmstart_from_scratch_224px.py", "--weights", "/none/x.h5"],
        ["/none/x.h5 is missing"],
    ),
    "damaged folds": (
        damaged_folds,
        [f"{V6}/r11_seamese_net_warmstart_from_scratch_224px.py", "--weights", "none"],
        ["new_4_folds_split_train_val_v2.pkl cannot be read"],
    ),
    "folds of other photos": (
        unlike_folds,
        [f"{V6}/r11_seamese_net_warmstart_from_scratch_224px.py", "--weights", "none"],
        ["stranger is not in train.csv"],
    ),
    "one identity alone": (
        one_identity,
        [f"{V6}/r11_seamese_net_warmstart_from_scratch_224px.py", "--weights", "none"],
        ["playground/train.csv", "two identities"],
    ),
    "no fold given": (
        tables,
        ["kernel_snn/snn_train_kernel_384_to_1024.py"],
        ["--RUN_FOLD"],
    ),
    "one kernel file": (
        tables,
        ["kernel_snn/snn_inference_kernel_1024.py", "--model_weights_1", "/none/x.h5"],
        ["--model_weights_1", "/none/x.h5 is missing"],
    ),
    "inference without weights": (
        tables,
        [f"{V5}/r26_seamese_net_inference_v5_512px.py"],
        ["no weights ft_v5_512px_finetune_0_", "r15_seamese_net_train_v5_finetune_512px.py 0"],
    ),
    "matrices of one net only": (
        matrices_of_v5_only,
        ["r20_prepare_matrices_for_ensemble.py"],
        ["seresnext50_384px", "is missing", "r16_seamese_net_inference_v6_384px.py"],
    ),
    "no detections": (
        tables,
        ["retinanet/r32_average_boxes.py"],
        ["p2bb_v5.pkl is missing"],
    ),
}


def written(root):
    """Every file with its time, but what tells of refusals too: the log, the lock that the stage had, the
    digests of inputs, which are remembered once these are two seconds old.
    """
    files = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    aside = tuple(
        root / name for name in ("logs", "cache/locks", "cache/digests.json", "cache/digests.lock")
    )
    return {path: at for path, at in files.items() if not {path, *path.parents} & {*aside}}


@pytest.mark.parametrize("case", CASES)
def test_refused(work_root, repository, run_python, case):
    prepare, command, expected = CASES[case]
    prepare(work_root)
    before = written(work_root)
    done = run_python(repository / command[0], *command[1:], WHALES_ROOT=str(work_root))
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for part in expected:
        assert part in lines[0]
    assert written(work_root) == before


def test_a_work_root_that_is_not_there(tmp_path, repository, run_python):
    root = tmp_path / "none"
    done = run_python(repository / "kernel_snn/kfold_splits_for_kernel.py", WHALES_ROOT=str(root))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "there is no work root" in done.stderr
    assert not root.exists()


def test_the_current_folder_does_not_matter(
    work_root, repository, run_python, monkeypatch, tmp_path
):
    """From another folder, with the root given relatively, the same files are written."""
    tables(work_root)
    monkeypatch.chdir(tmp_path)
    done = run_python(repository / "kernel_snn/kfold_splits_for_kernel.py", WHALES_ROOT="root")
    assert (done.returncode, done.stderr) == (0, "")
    assert (work_root / "modified_data/new_4_folds_split_train_val.pkl").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
