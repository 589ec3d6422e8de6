"""What a work root's nets were trained with: followed, or a mismatch named before anything is computed."""

import json

import pytest
from helpers import refused, write

from whales.files.trained import (
    Trained,
    part_name,
    profile_of,
    remember_training,
    require_trained_shape,
    trained_with,
)
from whales.files.workspace import Workspace
from whales.stages.options import RunOptions, parse_arguments

STAGES = (
    "r10_create_kfold_split.py",
    "r20_prepare_matrices_for_ensemble.py",
    "final_ensemble_with_post_proc.py",
    "retinanet/r10_create_csv_for_retinanet.py",
    "retinanet/r30_train_backbone_resnet152_kfold.py",
    "retinanet/r31_convert_retinanet_model.py",
    "retinanet/r31_get_vectors_backbone_resnet152_kfold.py",
    "retinanet/r32_average_boxes.py",
    "kernel_snn/kfold_splits_for_kernel.py",
    "kernel_snn/snn_train_kernel_384_to_1024.py --RUN_FOLD 0",
    "kernel_snn/snn_inference_kernel_1024.py",
    "siamese_net_v5_densenet121/r10_seamese_net_warmstart_from_scratch_224px.py",
    "siamese_net_v5_densenet121/r15_seamese_net_train_v5_finetune_384px.py 0",
    "siamese_net_v5_densenet121/r26_seamese_net_inference_v5_512px.py",
    "siamese_net_v5_densenet121/r28_seamese_net_create_submission_v5_512px.py",
    "siamese_net_v6_se_resnext/r16_seamese_net_inference_v6_384px.py",
)
TOOLS = (
    "tools/identify.py photo.jpg",
    "tools/review.py --no-browser --port 0",
    "tools/export_results.py --csv out.csv",
    "tools/report.py",
    "tools/inspect_pickle.py",
)
FRAMEWORKS = {"tensorflow", "keras", "torch", "jax"}


@pytest.fixture
def root(work_root):
    return Workspace(work_root)


def test_a_root_without_nets_is_full_and_follows_what_is_asked(root):
    assert trained_with(root) == Trained()
    assert (profile_of(root, ""), profile_of(root, "smoke")) == ("full", "smoke")
    assert RunOptions(root).profile == "full"


def test_a_trained_root_is_followed_and_a_mismatch_refused(root):
    remember_training(root, "smoke")
    assert RunOptions(root).profile == "smoke"
    assert RunOptions(root, "smoke").profile == "smoke"
    refused(
        lambda: RunOptions(root, "full"), "are of the smoke profile", "leave --profile full out"
    )
    options, _ = parse_arguments("A stage.", [])
    assert options.profile == "smoke"


def test_a_root_of_a_former_version_is_known_by_its_stamps(root):
    def stamp(name, profile):
        write(root.root, f"cache/stages/{name}.json", json.dumps({"options": {"profile": profile}}))

    stamp("r10_create_kfold_split", "full")  # a stage that trains nothing
    assert trained_with(root).profile is None
    stamp("siamese_net_v5_densenet121.r15_seamese_net_train_v5_finetune_384px_fold_0", "smoke")
    assert trained_with(root).profile == "smoke"
    stamp("retinanet.r30_train_backbone_resnet152_kfold_fold_1", "full")
    assert trained_with(root).profile is None  # nothing is guessed
    write(root.root, "cache/stages/retinanet.r30_train_backbone_resnet152_kfold_fold_1.json", "{")
    assert trained_with(root).profile == "smoke"


@pytest.mark.parametrize(
    "text",
    ['{"profile": "huge"}', "[]", '{"profile": "smoke", "size": 1}', '{"anisotropy": "2"}', "{",
     '{"shapes": 2}', '{"shapes": {"v5_fold_0": "2"}}',
     '{"anisotropy": NaN}', '{"anisotropy": -1}', '{"profile": "full", "profile": "smoke"}'],
)  # fmt: skip
def test_a_damaged_memory_is_named(root, text):
    write(root.root, "models/trained.json", text)
    refused(lambda: RunOptions(root), "trained.json", "mend or remove it")


def test_crops_of_another_shape_are_refused(root):
    parts = [part_name("v5", None), part_name("v5", 0), part_name("v5", 1)]
    require_trained_shape(root, parts)
    remember_training(root, "smoke", parts[1])
    require_trained_shape(root, parts)
    write(root.root, "data/settings.json", '{"anisotropy": 1.5}')
    for part in parts:  # of roots of former versions nobody knows what was trained
        refused(
            lambda part=part: require_trained_shape(root, [part]),
            "anisotropy is 1.5", f"{part} was trained with 2.15", "--force",
        )  # fmt: skip
    remember_training(root, "smoke")  # a detector sees whole photos
    refused(lambda: require_trained_shape(root, parts), "v5_playground was trained with 2.15")
    remember_training(root, "smoke", parts[1])
    remember_training(root, "smoke", parts[0])
    require_trained_shape(root, parts[:2])
    refused(lambda: require_trained_shape(root, parts), "v5_fold_1 was trained with 2.15")
    write(root.root, "data/settings.json", '{"anisotropy": 2.15}')
    refused(lambda: require_trained_shape(root, parts[1:]), "v5_fold_0 was trained with 1.5")
    remember_training(root, "smoke", parts[0])
    require_trained_shape(root, [parts[0], parts[2]])


@pytest.mark.parametrize("call", [*STAGES[2:6:3], *STAGES[9:10], "tools/identify.py photo.jpg"])
def test_a_mismatch_is_said_before_a_framework_loads(call, root, repository, run_python):
    remember_training(root, "smoke")
    page, *arguments = call.split()
    code = (
        "import sys, runpy; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        f"finally: print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    )
    done = run_python("-c", code, repository / page, *arguments, "--profile", "full")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "are of the smoke profile" in done.stderr
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("call", [*STAGES, *TOOLS, "tools/inspect_pickle.py a.pkl"])
def test_a_root_that_is_missing_is_said_and_nothing_written(
    call, script, tmp_path, monkeypatch, capsys
):
    from whales.stages.stage import run

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"")
    missing = tmp_path / "mispelt"
    monkeypatch.setenv("WHALES_ROOT", str(missing))
    page, *arguments = call.split()
    with pytest.raises(SystemExit) as left:
        run(lambda: script(page).main(arguments))
    out, err = capsys.readouterr()
    assert left.value.code == 2
    assert (out, err) == (
        "",
        f"error: there is no work root {missing}; set WHALES_ROOT to one that is there\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("call", [STAGES[0], STAGES[13], *TOOLS])
def test_a_default_place_that_is_no_root(call, script, tmp_path, monkeypatch, capsys):
    from whales.files import workspace
    from whales.stages.stage import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WHALES_ROOT", raising=False)
    monkeypatch.setattr(workspace, "_beside_checkout", lambda: tmp_path)
    page, *arguments = call.split()
    with pytest.raises(SystemExit) as left:
        run(lambda: script(page).main(arguments))
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: no work root is named")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
