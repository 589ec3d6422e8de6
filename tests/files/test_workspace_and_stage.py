"""Paths, arguments, checked inputs, stamps and refusals: what every stage does alike."""

import importlib.util
import json
import os
from pathlib import Path

import pytest
from helpers import refused

from whales.base.console import log
from whales.base.errors import UserError
from whales.files.workspace import Workspace, require
from whales.stages.backends import prepare_backend
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.stage import run

# --- the work root --------------------------------------------------------------------------------


def test_the_default_root_is_the_parent_of_the_project(repository, monkeypatch, tmp_path):
    monkeypatch.delenv("WHALES_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Workspace().root == repository.parent


def test_the_environment_names_another_root(work_root, monkeypatch, tmp_path):
    assert Workspace().root == work_root.resolve()
    assert Workspace(tmp_path / "x").root == (tmp_path / "x").resolve()
    monkeypatch.setenv("WHALES_ROOT", "")
    assert Workspace().root.is_absolute()
    monkeypatch.chdir(work_root)
    monkeypatch.setenv("WHALES_ROOT", "inner")
    root = Workspace().root
    monkeypatch.chdir(tmp_path)
    assert root == (work_root / "inner").resolve()


def test_names_of_the_contract(work_root):
    ws = Workspace()
    names = {
        ("train_csv",): "data/train.csv",
        ("boxes_v5",): "modified_data/p2bb_v5.pkl",
        ("boxes_averaged",): "modified_data/p2bb_averaged_v1.pkl",
        ("boxes_averaged_playground",): "modified_data/p2bb_averaged_playground_v1.pkl",
        ("cropping_train_v2",): "modified_data/retinanet/cropping_train_v2.csv",
        ("kernel_warm_start",): "modified_data/mpiotte-standard.model",
        ("folds_v1",): "modified_data/kfold/new_4_folds_split_train_val_v1.pkl",
        ("folds_v2",): "modified_data/kfold/new_4_folds_split_train_val_v2.pkl",
        ("folds_kernel",): "modified_data/new_4_folds_split_train_val.pkl",
        ("models_v5",): "models/Res_v5_densenet121",
        ("models_v6",): "models/Res_v6_seresnext50",
        ("models_kernel",): "saved_models/PLAN21",
        ("valid_matrix_v5", ("fold", 2)): "modified_data/seamese_net_v5_rgb_densenet121_512px/"
        "full_valid_vs_full_train_matrix_fold_2.pkl",
        ("test_matrix_v6",): "modified_data/seamese_net_v6_rgb_seresnext50_384px/"
        "full_test_vs_train_matrix_avg.pkl",
        ("retinanet_fold_csv", ("fold", 1), ("part", "train")): "modified_data/retinanet/"
        "fold_1_train.csv",
        ("retinanet_converted", ("fold", 1)): "models/retinanet2/"
        "resnet152_fold_1_last_converted.h5",
        ("submission",): "submission/final_submit_with_post_proc.csv",
        ("submission_v6",): "subm/siamese_net_v6_seresnext50_384px_THR_0.85.csv",
    }
    for (key, *fields), name in names.items():
        assert ws.file(key, **dict(fields)) == ws.root / name


def test_origins(work_root):
    ws = Workspace()
    origins = {
        ws.file("boxes_averaged"): "run retinanet/r32_average_boxes.py",
        ws.file("folds_v2"): "run r10_create_kfold_split.py",
        ws.file("retinanet_last", fold=3): "run retinanet/r30_train_backbone_resnet152_kfold.py 3",
        ws.file("valid_matrix_v5", fold=0): "run siamese_net_v5_densenet121/"
        "r26_seamese_net_inference_v5_512px.py",
    }
    for path, origin in origins.items():
        assert ws.origin(path) == origin
    assert "download" in ws.origin(ws.file("train_csv"))
    assert ws.origin(ws.root / "elsewhere.txt") == ""


def test_photos_are_found_in_all_four_folders(work_root):
    ws = Workspace()
    makers = (ws.train_photo, ws.test_photo, ws.playground_train_photo, ws.playground_test_photo)
    for i, make in enumerate(makers):
        make(f"p{i}").parent.mkdir(parents=True)
        make(f"p{i}").write_text("")
        assert ws.photo(f"p{i}") == make(f"p{i}")
    assert ws.photo("p3") == work_root / "data/playground/test/p3.jpg"
    with pytest.raises(UserError, match=r"photo p4\.jpg is in none"):
        ws.photo("p4")


def test_a_name_that_two_folders_have_is_refused(work_root):
    ws = Workspace()
    for make in (ws.train_photo, ws.test_photo):
        make("p").parent.mkdir(parents=True)
        make("p").write_text(str(make))
    with pytest.raises(
        UserError, match=r"p\.jpg is in .*data/train and in .*data/test: .* take one"
    ):
        ws.photo("p")
    ws.test_photo("p").unlink()
    ws.test_photo("p").symlink_to(ws.train_photo("p"))  # one file
    assert ws.photo("p") == ws.train_photo("p")


# --- arguments ------------------------------------------------------------------------------------


def test_common_options(work_root):
    options, args = parse_arguments("doc", [])
    assert (options.profile, options.force, options.seed) == ("full", False, 0)
    assert (options.precision, args.device) == (None, "auto")
    assert options.workspace.root == work_root.resolve()
    options, _ = parse_arguments("doc", ["--profile", "smoke", "--force", "--seed", "7"])
    assert (options.profile, options.force, options.seed) == ("smoke", True, 7)
    _, extra = parse_arguments("doc", ["--more", "x"], extra=lambda p: p.add_argument("--more"))
    assert extra.more == "x"


def test_folds(work_root):
    assert parse_arguments("doc", ["2"], fold=(0, 3))[1].fold == 2
    assert parse_arguments("doc", [], fold=(1, 5), default_fold=1)[1].fold == 1
    assert parse_arguments("doc", [], fold=(0, 3), default_fold=-1)[1].fold is None
    assert parse_arguments("doc", ["0"], fold=(0, 3), default_fold=-1)[1].fold == 0


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["4"], "expected a fold from 0 to 3, received 4"),
        (["-1"], "expected a fold from 0 to 3, received -1"),
        (["one"], "expected a fold from 0 to 3, received one"),
        ([], "FOLD"),
        (["1", "2"], "unrecognized arguments: 2"),
        (["1", "--profile", "tiny"], "invalid choice: 'tiny'"),
        (["1", "--seed", "x"], "--seed"),
        (["1", "--seed", "-1"], "expected a whole number from 0 to 4294967295, received -1"),
        (["1", "--seed", "4294967296"], "from 0 to 4294967295, received 4294967296"),
        (["1", "--unknown"], "--unknown"),
        (["1", "--device", "gpu"], "received gpu"),
        (["1", "--workers", "0"], "expected a whole number from 1, received 0"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(work_root, argv, expected):
    with pytest.raises(UserError) as caught:
        parse_arguments("doc", argv, fold=(0, 3))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_devices(work_root, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    for name in ("JAX_PLATFORMS", "KERAS_TORCH_DEVICE"):
        monkeypatch.setenv(name, "")  # so that it is put back at the end
    parse_arguments("doc", [])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    parse_arguments("doc", ["--device", "0,1"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    parse_arguments("doc", ["--device", "cpu"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] in ("", "-1")
    assert os.environ["JAX_PLATFORMS"] == os.environ["KERAS_TORCH_DEVICE"] == "cpu"


def test_a_backend_that_is_not_there_is_refused_in_one_line(work_root, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    refused(
        lambda: parse_arguments("doc", []),
        "KERAS_BACKEND is one of tensorflow, jax, torch; received 'theano'",
    )
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    if importlib.util.find_spec("torch") is None:
        refused(
            lambda: parse_arguments("doc", []),
            "KERAS_BACKEND is torch, which is not installed",
            "pip install -r requirements-backends.txt",
        )


def test_what_backends_read_from_the_environment(work_root, monkeypatch):
    names = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "JAX_COMPILATION_CACHE_DIR")
    kept = (*names, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")

    def prepared(backend, threads, **given):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        for name in kept:
            monkeypatch.setenv(name, "")  # so that it is put back at the end
            monkeypatch.delenv(name)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        prepare_backend(Workspace(), threads)
        return [os.environ.get(name) for name in names]

    assert prepared("", None) == [None, None, None]
    assert prepared("tensorflow", 1) == ["1", None, None]
    assert prepared("tensorflow", 1, TF_NUM_INTRAOP_THREADS="3") == ["3", None, None]
    if importlib.util.find_spec("torch"):
        assert prepared("torch", 1) == ["1", "1", None]
        assert prepared("torch", 1, OMP_NUM_THREADS="3") == ["1", "3", None]
    if importlib.util.find_spec("jax"):
        folder = Path(prepared("jax", None)[2])
        assert folder.parent == work_root.resolve() / "cache/jax"
        assert prepared("jax", None, JAX_COMPILATION_CACHE_DIR="x") == [None, None, "x"]


# --- jobs -----------------------------------------------------------------------------------------


class Copy:
    """A stage that copies one file of the work root to another, counting its runs."""

    script = "/anywhere/folder/r99_copy.py"

    def __init__(self, root):
        self.source, self.target = root / "data/in.txt", root / "modified_data/out.txt"
        self.source.parent.mkdir()
        self.target.parent.mkdir()
        self.source.write_text("one")
        self.runs = 0
        self.rate = 8e-5

    def __call__(self, *argv, fold=None, write=True):
        options, _ = parse_arguments("doc", list(argv))
        numbers = {"rate": self.rate}
        job = Job(options, self.script, [self.source], [self.target], fold=fold, numbers=numbers)
        if job.up_to_date():
            return False
        self.runs += 1
        if write:
            self.target.write_text(self.source.read_text())
        job.done()
        return True


@pytest.fixture
def copy(work_root):
    return Copy(Workspace().root)


def test_a_second_run_does_nothing(copy, capsys):
    assert copy()
    assert "wrote modified_data/out.txt" in capsys.readouterr().out
    before = copy.target.stat().st_mtime_ns
    assert not copy()
    assert capsys.readouterr().out == "r99_copy: up to date\n"
    assert copy.target.stat().st_mtime_ns == before
    assert copy.runs == 1


def test_what_makes_a_stage_run_again(copy):
    assert copy()
    copy.source.write_text("another")
    assert copy(), "changed input"
    assert copy.target.read_text() == "another"
    assert not copy()
    os.utime(copy.source, ns=(1, 1))
    assert not copy(), "touched, but the same"
    copy.rate = 4e-5
    assert copy(), "a number of the page was edited"
    copy.target.unlink()
    assert copy(), "missing output"
    assert copy("--force")
    assert copy("--seed", "1"), "another option"
    assert copy("--profile", "smoke", "--seed", "1")
    assert not copy("--profile", "smoke", "--seed", "1")
    assert not copy("--profile", "smoke", "--seed", "1", "--workers", "3")


def test_an_option_of_a_later_version_leaves_work_up_to_date(copy):
    assert copy()
    (stamp,) = (copy.source.parents[1] / "cache/stages").iterdir()
    content = json.loads(stamp.read_text())
    for later, fresh in (("None", True), ("3", False)):
        content["options"]["later"] = later
        stamp.write_text(json.dumps(content))
        assert copy() != fresh


def test_folds_and_parts_have_stamps_of_their_own(copy):
    assert copy(fold=0)
    assert copy(fold=1)
    assert not copy(fold=0)
    assert copy()


def test_a_damaged_stamp_only_means_another_run(copy):
    assert copy()
    (stamp,) = (copy.source.parents[1] / "cache/stages").iterdir()
    assert json.loads(stamp.read_text())
    for text in ("", "{", "[]", "{}", "7", "null", '"x"'):
        stamp.write_text(text)
        assert copy(), text
    stamp.write_bytes(b"\xff\xfe")
    assert copy()
    assert not copy()


def test_a_run_that_was_begun_and_killed_is_not_up_to_date(copy):
    """Its outputs may be half of it: neither the former options nor the former page make them whole."""
    assert copy()
    copy.target.unlink()
    with pytest.raises(RuntimeError):  # a toy that ends before it has written: as if it were killed
        copy("--force", write=False)
    copy.target.write_text("half")
    assert copy()


def test_a_damaged_memory_of_digests_is_read_as_none(copy):
    assert copy()
    memory = copy.source.parents[1] / "cache/digests.json"
    for damaged in ("{", "[]", '{"data/in.txt": 5}', '{"data/in.txt": [1, 2]}'):
        memory.parent.mkdir(exist_ok=True)
        memory.write_text(damaged)
        assert not copy()


def test_outputs_named_at_the_end_count_too(work_root):
    ws = Workspace()
    late = ws.root / "late.txt"

    def call():
        job = Job(parse_arguments("doc", [])[0], "/x/r98.py", [], [], numbers={})
        if job.up_to_date():
            return False
        late.write_text("x")
        job.done([late])
        return True

    assert call()
    assert not call()
    late.unlink()
    assert call()


def test_a_stage_that_did_not_write_is_a_defect_and_leaves_no_stamp(copy):
    with pytest.raises(RuntimeError, match=r"ended without writing .*out\.txt"):
        copy(write=False)
    assert copy()


def test_a_missing_input_is_named_with_its_origin(work_root):
    ws = Workspace()
    missing = {
        ws.file("folds_v1"): "run r10_create_kfold_split.py",
        ws.file("train_csv"): "download",
    }
    for path, origin in missing.items():
        with pytest.raises(UserError) as caught:
            Job(parse_arguments("doc", [])[0], "/x/r97.py", [path], [], numbers={})
        assert str(caught.value).startswith(f"{path} is missing; ")
        assert origin in str(caught.value)


def test_a_missing_file_outside_the_root_is_named_too(work_root, tmp_path):
    outside = tmp_path / "elsewhere" / "weights.h5"
    with pytest.raises(UserError, match=r"weights\.h5 is missing"):
        require(Workspace(), outside)


def test_keys_tell_stages_and_folds_apart(repository):
    top = str(repository / "r10_create_kfold_split.py")
    inner = str(repository / "retinanet" / "r32_average_boxes.py")
    assert Job.key_of(top) == "r10_create_kfold_split"
    assert Job.key_of(inner, 2) == "retinanet.r32_average_boxes_fold_2"


# --- refusals -------------------------------------------------------------------------------------


def test_a_user_error_is_one_line_and_code_two(capsys):
    def main():
        raise UserError("photo x is missing; put it there")

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: photo x is missing; put it there\n")


def test_a_defect_keeps_its_traceback():
    def main():
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(main)


def test_log_prints_a_line(capsys):
    log("a line")
    assert capsys.readouterr().out == "a line\n"
