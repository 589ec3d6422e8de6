"""The one list of stages: its keys are the work root's, its order follows from what is read and written."""

import json
import os
import subprocess
import sys

import pytest

from whales.files.trained import PROFILE_CHOICES
from whales.files.workspace import Workspace
from whales.stages import pipeline
from whales.stages.job import Job
from whales.stages.pipeline import (
    FOUR,
    STAGES,
    Call,
    Folds,
    calls,
    dependants,
    hours_of_chains,
    needed,
    stage_of,
)

V5, V6 = "siamese_net_v5_densenet121", "siamese_net_v6_se_resnext"
FIELDS = {"fold": 1, "part": "x", "tag": "x", "score": "x", "stage": "x", "name": "x"}


def call(text: str, *folds: int) -> Call:
    """The call of the full profile whose script holds a text, of these folds."""
    (found,) = (c for c in calls("full") if text in c.stage.script and c.folds == folds)
    return found


def test_profiles_are_those_of_the_options():
    assert pipeline.PROFILES == PROFILE_CHOICES
    for stage in STAGES:
        assert tuple(stage.takes) == PROFILE_CHOICES
        for takes in stage.takes.values():
            assert takes.hours > 0
            assert takes.memory > 0
            assert takes.gpus in (0, 1, 2)


def test_every_key_is_a_file_of_the_work_root(tmp_path):
    ws = Workspace(tmp_path)
    for stage in STAGES:
        for key in (*stage.reads, *stage.optional, *stage.writes):
            assert ws.file(key, epoch=1, iou=0.5, **FIELDS).is_relative_to(tmp_path)
        assert not {*stage.reads} & {*stage.optional}


def test_what_no_stage_writes_comes_from_elsewhere(tmp_path):
    ws = Workspace(tmp_path)
    written = {key for stage in STAGES for key in stage.writes}
    for stage in STAGES:
        for key in {*stage.reads, *stage.optional} - written:
            origin = ws.origin(ws.file(key))
            assert origin.startswith(("download ", "optional, ", "run tools/"))
    for key in written - {"history"}:
        origin = ws.origin(ws.file(key, epoch=1, iou=0.5, **FIELDS))
        assert origin in {f"run {pipeline.maker(key, fold)}" for fold in (1, None)}, key
        assert [key in stage.writes for stage in STAGES].count(True) == 1


@pytest.mark.parametrize("profile", PROFILE_CHOICES)
def test_the_order_is_one_in_which_the_calls_can_run(profile):
    order = calls(profile)
    for number, one in enumerate(order):
        assert {*needed(one, profile)} <= {*order[:number]}, one.name
    last = order[-1]
    assert last.stage.writes == ("submission",)
    ends = [one for one in order if not dependants(one, profile)]
    assert [one.stage.writes[0] for one in ends] == ["submission_v5", "submission_v6", "submission"]


def test_calls_of_both_profiles():
    assert len(calls("smoke")) == len(STAGES) == 22
    # 22, and three more for each of six stages with four folds
    assert len(calls("full")) == 22 + 6 * 3
    for profile in PROFILE_CHOICES:
        keys = [one.key for one in calls(profile)]
        assert len({*keys}) == len(keys)
    smoke = {one.stage.key: one for one in calls("smoke")}
    assert smoke["kernel_snn.snn_train_kernel_384_to_1024"].name == (
        "snn_train_kernel_384_to_1024 --RUN_FOLD 0 1 2 3"
    )
    assert smoke[f"{V5}.r26_seamese_net_inference_v5_512px"].arguments == ()
    assert smoke["retinanet.r31_convert_retinanet_model"].arguments == ("1",)


def test_who_needs_whom_by_hand():
    full = "full"
    v5_512 = "r15_seamese_net_train_v5_finetune_512px"
    assert {one.key for one in needed(call(v5_512, 2), full)} == {
        "retinanet.r32_average_boxes",
        "r10_create_kfold_split",
        f"{V5}.r15_seamese_net_train_v5_finetune_384px_fold_2",
    }
    assert [one.key for one in dependants(call(v5_512, 2), full)] == [
        f"{V5}.r26_seamese_net_inference_v5_512px_fold_2",
        f"{V5}.r28_seamese_net_create_submission_v5_512px",
        "r20_prepare_matrices_for_ensemble",
        "final_ensemble_with_post_proc",
    ]
    # The detector's fold 1 is no fold of the nets.
    assert call("r32_average_boxes") in needed(call("kfold_splits_for_kernel"), full)
    assert len(dependants(call("r30_train", 1), full)) == 40 - 2
    assert {one.key for one in needed(call("snn_inference"), full)} == {
        "retinanet.r32_average_boxes",
        *(f"kernel_snn.snn_train_kernel_384_to_1024_fold_{fold}" for fold in FOUR),
    }


def test_stamps_are_those_that_a_job_leaves(repository):
    for profile in PROFILE_CHOICES:
        for one in calls(profile):
            script = str(repository / one.stage.script)
            for fold in one.folds:
                assert Job.key_of(script, fold) in one.stamps
            assert all(stamp.startswith(Job.key_of(script)) for stamp in one.stamps)
            assert Job.key_of(script) == one.stage.key
    r20 = call("r20_prepare").stamps
    assert r20 == ("r20_prepare_matrices_for_ensemble_v5", "r20_prepare_matrices_for_ensemble_v6")
    r16 = f"{V6}.r16_seamese_net_inference_v6_384px"
    (every,) = (one for one in calls("smoke") if one.key == r16)
    assert every.stamps == (*(f"{r16}_fold_{fold}" for fold in FOUR), r16)
    assert call("r16_", 3).stamps == (f"{r16}_fold_3",)


def test_a_stage_is_told_by_its_path(repository):
    for stage in STAGES:
        assert stage_of(str(repository / stage.script)) is stage
        assert (repository / stage.script).is_file()
    with pytest.raises(KeyError, match="no stage"):
        stage_of(str(repository / "demo.py"))


def test_usage_of_folds():
    assert Folds(FOUR).usage == "FOLD .."
    assert Folds(FOUR, "--RUN_FOLD").usage == "--RUN_FOLD F .."
    assert Folds(FOUR, every=True).arguments(FOUR) == ()
    assert Folds(FOUR, every=True).arguments((1,)) == ("1",)
    assert pipeline.maker("weights_kernel", 2).endswith("1024.py --RUN_FOLD 2")
    assert pipeline.maker("valid_matrix_v5", 2).endswith("512px.py")
    assert pipeline.maker("history") == pipeline.maker("train_csv") == ""


def test_a_chain_is_as_long_as_the_longest_of_what_waits_for_it():
    """Hours by hand: the kernel net's training of 7 hours comes before v6's chain of 3 times 2."""
    hours = dict.fromkeys(calls("smoke"), 1.0)
    of = {
        one.stage.script.split("/", 1)[-1][:12]: one for one in hours if V5 not in one.stage.script
    }
    hours[of["snn_train_ke"]] = 7.0
    for name in ("r11_seamese_", "r12_seamese_", "r15_seamese_"):
        hours[of[name]] = 2.0
    found = hours_of_chains(hours, "smoke")
    assert found[of["final_ensemb"]] == 1
    assert found[of["snn_inferenc"]] == 2
    assert found[of["snn_train_ke"]] == 9
    assert found[of["r11_seamese_"]] == 2 + 2 + 2 + 1 + 1 + 1  # folds, inference, r20, final
    assert (
        found[of["r30_train_ba"]] == 5 + 9
    )  # conversion, boxes, averages, a split, and either net


def test_no_framework_is_needed_to_read_it():
    code = "import sys, whales.stages.pipeline as p; p.calls('full'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"tensorflow", "keras", "jax", "torch", "numpy", "pandas", "snakemake"}


@pytest.mark.slow
def test_a_finished_root_has_the_files_of_the_list():
    """What every stage really read and wrote, by its stamps, is what the list says."""
    named = os.environ.get("WHALES_DEMO_ROOT")
    if not named:
        pytest.skip("needs a root that `make demo` finished, named by WHALES_DEMO_ROOT")
    ws = Workspace(named)
    for one in calls("smoke"):
        stage = one.stage
        read, written = set(), set()
        for name in one.stamps:
            stamp = json.loads(ws.file("stamp", stage=name).read_text())
            read |= {ws.root / path for path in stamp["inputs"]}
            written |= {ws.root / path for path in stamp["outputs"]}
        of_key = {key: {*ws.found(key)} for key in (*stage.reads, *stage.optional, *stage.writes)}
        assert read - written <= set().union(*(of_key[k] for k in stage.reads + stage.optional))
        assert written <= set().union(*(of_key[key] for key in stage.writes)), stage.script
        for key in stage.reads:
            photos = ws.file(key, **FIELDS).is_dir()
            assert photos or read & of_key[key], f"{stage.script} does not read {key}"
        for key in stage.writes:
            # Names that a score ends are stamped where they are the best; entries of a cache are not.
            stamped = key not in ("retinanet_best", "detections_cache", "detections_weights")
            best = key in ("weights_kernel", "weights_kernel_temp")
            assert not stamped or best or written & of_key[key], f"{stage.script}: {key}"
