"""The stage scripts as a family: names, help, size, imports, and the published schedules."""

import ast
import json
import re
import time

import pytest
from helpers import write_lines
from house import tree
from small_root import make_catalogue

from kernel_snn.training_chain import Names
from whales.base.errors import UserError
from whales.nets.net import BestOf
from whales.stages.pipeline import STAGES
from whales.stages.stage_tables import TABLES, help_text, rewritten
from whales.training.plan import in_round, numbered

V5, V6 = "siamese_net_v5_densenet121", "siamese_net_v6_se_resnext"
SCRIPTS = [
    "retinanet/r10_create_csv_for_retinanet.py",
    "retinanet/r30_train_backbone_resnet152_kfold.py",
    "retinanet/r31_convert_retinanet_model.py",
    "retinanet/r31_get_vectors_backbone_resnet152_kfold.py",
    "retinanet/r32_average_boxes.py",
    "r10_create_kfold_split.py",
    f"{V5}/r10_seamese_net_warmstart_from_scratch_224px.py",
    f"{V5}/r11_seamese_net_warmstart_finetune_384px.py",
    f"{V5}/r15_seamese_net_train_v5_finetune_384px.py",
    f"{V5}/r15_seamese_net_train_v5_finetune_512px.py",
    f"{V5}/r26_seamese_net_inference_v5_512px.py",
    f"{V5}/r28_seamese_net_create_submission_v5_512px.py",
    f"{V6}/r11_seamese_net_warmstart_from_scratch_224px.py",
    f"{V6}/r12_seamese_net_warmstart_from_scratch_384px.py",
    f"{V6}/r15_seamese_net_train_v6_finetune_384px.py",
    f"{V6}/r16_seamese_net_inference_v6_384px.py",
    f"{V6}/r18_seamese_net_create_submission_v6_384px.py",
    "r20_prepare_matrices_for_ensemble.py",
    "kernel_snn/kfold_splits_for_kernel.py",
    "kernel_snn/snn_train_kernel_384_to_1024.py",
    "kernel_snn/snn_inference_kernel_1024.py",
    "final_ensemble_with_post_proc.py",
]
FRAMEWORKS = ("tensorflow", "keras", "tf_keras", "keras_retinanet", "jax", "torch")


# --- the family -----------------------------------------------------------------------------------


def test_the_list_has_readme_order():
    assert [stage.script for stage in STAGES] == SCRIPTS


@pytest.mark.parametrize("page", ["README.md", "docs/pipeline.md"])
def test_tables_are_those_of_the_list(repository, page):
    text = (repository / page).read_text(encoding="utf-8")
    assert text == rewritten(text), f"run: python3 -m whales.stages.stage_tables {page}"
    assert any(table() in text for table in TABLES.values())
    assert rewritten(text.replace(f"{SCRIPTS[1]} [FOLD=1]` |", "other` |")) == text


def test_a_table_without_an_end_is_refused():
    with pytest.raises(UserError, match="has no <!-- end of stages in short -->"):
        rewritten("<!-- stages in short: from whales.stages.pipeline -->\n| a |\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(repository, name):
    path = repository / name
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    doc = ast.get_docstring(tree(path))
    assert not re.search(r"^(Reads|Writes|Run) ", doc, re.MULTILINE)  # the list says so in the help
    last = tree(path).body[-1]
    assert ast.unparse(last) == "if __name__ == '__main__':\n    run(main)"


def test_no_stage_is_missing_from_the_list(repository):
    found = {
        str(path.relative_to(repository))
        for pattern in ("r[0-9]*.py", "*/r[0-9]*.py", "kernel_snn/*snn*.py", "kernel_snn/kfold*.py")
        for path in repository.glob(pattern)
    }
    assert found | {"final_ensemble_with_post_proc.py"} == set(SCRIPTS)


def test_help_is_there_before_any_framework(repository, run_python):
    code = f"""
import contextlib, io, json, runpy, sys
told = {{}}
for name in {SCRIPTS!r}:
    main = runpy.run_path({str(repository)!r} + "/" + name, run_name="stage")["main"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            main(["--help"])
        except SystemExit as done:
            code = done.code
    loaded = [top for top in {FRAMEWORKS!r} if top in sys.modules]
    told[name] = [code, out.getvalue(), loaded]
print(json.dumps(told))
"""
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for name, (exit_code, text, loaded) in json.loads(done.stdout).items():
        assert exit_code == 0, name
        assert loaded == [], name
        assert help_text(ast.get_docstring(tree(repository / name)), name) in text, name
        for word in ("Reads", "Writes", "Run"):
            assert re.search(rf"^{word} +\S", text, re.MULTILINE), (name, word)
        assert re.search(rf"^Run +python3 {re.escape(name)}\b", text, re.MULTILINE)
        for option in ("--profile {full,smoke}", "--force", "--seed", "--device", "--check"):
            assert option in text, name


@pytest.mark.parametrize("name", [SCRIPTS[3], SCRIPTS[8]])
def test_help_takes_no_more_than_seconds(repository, run_python, name):
    begin = time.monotonic()
    done = run_python(repository / name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: " in done.stdout
    assert time.monotonic() - begin < 10  # about one on an idle machine


# --- the house ------------------------------------------------------------------------------------


def test_nothing_runs_at_import(repository):
    """Scripts hold definitions, imports and literals only."""
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.FunctionDef, ast.ClassDef)
    for name in SCRIPTS:
        first, *body, last = tree(repository / name).body
        assert isinstance(first, ast.Expr)
        assert isinstance(last, ast.If)
        assert [node for node in body if not isinstance(node, allowed)] == [], name


# --- schedules (method, section 5) ----------------------------------------------------------------

# One block: tag, learning rate, rounds, epochs, amplitude, marks (f frozen branch, n new Adam,
# v validate and save each round); a list stands for one value a round.
FALLING = [0.25 * (20 - i) / 20 for i in range(20)]
V5_224 = [
    ("temp0", 8e-5, 1, 20, 1, ""),
    ("temp1", 8e-5, 4, 5, 0.5, "n"),
    ("temp04_{i}", 2e-5, 4, 5, 1, "nv"),
    ("temp1", 1e-5, 4, 5, 0.5, ""),
    ("temp2", 1e-5, 4, 5, 0.25, ""),
    ("temp3", 1e-5, 4, 5, 0.25, ""),
    ("temp4", 1e-5, 4, 5, 0.25, ""),
    ("final", 8e-6, 20, 5, 0.25, "v"),
]
WARM = [
    ("temp0_{i}", 2e-5, 4, 5, 1000, "fv"),
    ("temp04_{i}", 2e-5, 4, 5, 1, "nv"),
    ("temp1", 1e-5, 4, 5, 0.5, ""),
    ("temp2", 1e-5, 4, 5, 0.25, "v"),
    ("temp3", 1e-5, 4, 5, 0.25, "v"),
    ("temp4", 1e-5, 4, 5, 0.25, "v"),
    ("final", 8e-6, 20, 5, 0.25, "v"),
]
FINETUNE = [
    ("temp0", 8e-5, 1, 15, 1, "f"),
    ("temp1", 8e-5, 4, 5, 0.5, "n"),
    ("temp2", 4e-5, 4, 5, 0.25, ""),
    ("temp3", 2e-5, 4, 5, 0.25, ""),
    ("final_v1", 1e-5, 4, 5, 0.25, ""),
    ("final_v2", 8e-6, 20, 5, FALLING, "v"),
]
FINETUNE_512 = [
    *FINETUNE[:5],
    ("final_v2", 8e-6, 20, [5] * 5 + [6] * 5 + [7] * 5 + [8] * 5, FALLING, "v"),
]
KERNEL_384 = [
    ("temp0", 8e-5, 1, 10, 1, ""),
    ("temp1", 8e-5, 1, 20, 1, ""),
    ("temp2", 4e-5, 5, 5, 0.5, ""),
    ("temp3", 2e-5, 5, 5, 0.25, ""),
    ("temp4", 2e-5, 5, 5, 0.25, ""),
    ("temp5", 1e-5, 5, 5, 0.1, ""),
]
KERNEL_768 = [
    ("temp6", 8e-5, 1, 10, 1, "f"),
    ("temp7", 8e-5, 1, 10, 1, "n"),
    ("temp8", 8e-5, 1, 20, 1, ""),
    ("temp9", 4e-5, 4, 5, 0.5, ""),
    ("temp10", 4e-5, 4, 5, 0.25, ""),
    ("temp11", 2e-5, 4, 5, 0.25, ""),
    ("temp12", 2e-5, 4, 5, 0.1, ""),
    ("temp13", 2e-5, 4, 5, 0.05, ""),
]
KERNEL_1024 = [
    ("temp14", 8e-5, 1, 15, 1, "f"),
    ("temp15", 8e-5, 1, 20, 1, "n"),
    ("temp16", 8e-5, 4, 5, 0.5, ""),
    ("temp17", 4e-5, 4, 5, 0.25, ""),
    ("temp18", 2e-5, 4, 5, 0.25, ""),
    ("temp19", 2e-5, 4, 5, 0.1, ""),
    ("temp20", 2e-5, 4, 5, 0.05, ""),
    ("final", [8e-6] * 4 + [4e-6] * 4 + [2e-6] * 4 + [1e-6] * 8, 20, 5, FALLING, "v"),
]
# script: pixels, batch, segments, first weights, validated first, batch while frozen, blocks,
# prefix of the files it writes, prefixes of those it starts from
TRAININGS = {
    f"{V5}/r10_seamese_net_warmstart_from_scratch_224px.py": (
        *(224, 12, 1, "imagenet", False, None, V5_224),
        *("densenet121_224px_warmstart", None),
    ),
    f"{V5}/r11_seamese_net_warmstart_finetune_384px.py": (
        *(384, 6, 1, None, False, None, WARM),
        *(
            "densenet121_384px_warmstart",
            {"densenet121_224px_warmstart", "densenet_224px_warmstart"},
        ),
    ),
    f"{V5}/r15_seamese_net_train_v5_finetune_384px.py": (
        *(384, 6, 4, None, True, 16, FINETUNE),
        *("ft_v5_384px_finetune_{fold}", {"densenet121_384px_warmstart"}),
    ),
    f"{V5}/r15_seamese_net_train_v5_finetune_512px.py": (
        *(512, 4, 4, None, True, 16, FINETUNE_512),
        *("ft_v5_512px_finetune_{fold}", {"ft_v5_384px_finetune_{fold}_"}),
    ),
    f"{V6}/r11_seamese_net_warmstart_from_scratch_224px.py": (
        *(224, 6, 1, "imagenet", False, None, WARM),
        *("seresnext50_224px_warmstart", None),
    ),
    f"{V6}/r12_seamese_net_warmstart_from_scratch_384px.py": (
        *(384, 4, 1, None, False, None, WARM),
        *("seresnext50_384px_warmstart", {"seresnext50_224px_warmstart"}),
    ),
    f"{V6}/r15_seamese_net_train_v6_finetune_384px.py": (
        *(384, 4, 4, None, True, 16, FINETUNE),
        *("ft_v6_384px_finetune_{fold}", {"seresnext50_384px_warmstart"}),
    ),
}
KERNEL_PLANS = [(384, 64, KERNEL_384), (768, 20, KERNEL_768), (1024, 20, KERNEL_1024)]


def rounds_of(block):
    """Tag, marks, and (learning rate, epochs, amplitude) of every round of a built block."""
    marks = "f" * block.frozen + "n" * block.new_adam + "v" * block.each_round
    settings = (block.lr, block.epochs, block.amplitude)
    return block.tag, marks, [[in_round(s, i) for s in settings] for i in range(block.rounds)]


def rounds_by_hand(row):
    tag, lr, rounds, epochs, amplitude, marks = row
    columns = [s if isinstance(s, list) else [s] * rounds for s in (lr, epochs, amplitude)]
    assert {len(column) for column in columns} == {rounds}
    return tag, marks, [list(values) for values in zip(*columns, strict=True)]


def check_blocks(plan, rows):
    assert [block.tag for block in plan.blocks] == [row[0] for row in rows]
    for block, row in zip(plan.blocks, rows, strict=True):
        tag, marks, settings = rounds_of(block)
        tag_by_hand, marks_by_hand, by_hand = rounds_by_hand(row)
        assert (tag, marks) == (tag_by_hand, marks_by_hand)
        assert len(settings) == len(by_hand), tag
        for one, other in zip(settings, by_hand, strict=True):
            assert one == pytest.approx(other, rel=1e-12), tag


@pytest.mark.parametrize("name", TRAININGS)
def test_full_plan(repository, script, name):
    size, batch, segments, weights, validated, frozen_batch, rows, prefix, start = TRAININGS[name]
    module = script(name)
    plan = module.FULL
    assert (plan.size, plan.batch, plan.segments) == (size, batch, segments)
    assert (plan.weights, plan.validate_first, plan.data_parallel) == (weights, validated, False)
    check_blocks(plan, rows)
    for block in plan.blocks:
        assert block.batch == (frozen_batch if block.frozen else None)
    starts = getattr(module, "START", None)
    assert (starts and set(starts.prefixes)) == start
    assert f'"{prefix}"' in (repository / name).read_text()
    assert module.NET.folds == ("folds_v1" if V5 in name else "folds_v2")


def test_full_plans_of_the_kernel_net(script):
    module = script("kernel_snn/snn_train_kernel_384_to_1024.py")
    chain = numbered(module.FULL)
    assert len(chain) == 3
    for plan, (size, batch, rows) in zip(chain, KERNEL_PLANS, strict=True):
        assert (plan.size, plan.batch, plan.segments) == (size, batch, 2)
        assert plan.data_parallel == (size == 1024)
        check_blocks(plan, rows)
        assert {block.batch for block in plan.blocks} == {None}
    assert module.NET.folds == "folds_kernel"


def test_names_of_the_kernel_nets_files(tmp_path):
    names = Names(tmp_path, 2)
    assert names.save_as("temp7", 0.5) == tmp_path / (
        "mpiotte-standard_PLAN21_martinAsWarmStart_384to1024_fold_2_temp7.model_weights"
    )
    assert names.save_as("final", 0.9650123) == tmp_path / (
        "PLAN21_martinAsWarmStart_384to1024_fold_2_final_0.965012.model_weights"
    )


def test_the_cards_have_the_methods_numbers(script):
    nets = script("final_ensemble_with_post_proc.py").NETS
    assert [(net.name, net.sizes["full"]) for net in nets] == [
        ("v5", 512), ("v6", 384), ("kernel", 1024)
    ]  # fmt: skip
    assert [net.share for net in nets] == [0.3, 0.3, 0.4]
    assert [net.threshold for net in nets] == [0.85, 0.85, None]
    assert [net.folds for net in nets] == ["folds_v1", "folds_v2", "folds_kernel"]
    assert script("kernel_snn/snn_inference_kernel_1024.py").LEAST_SCORE == 1e-4


def test_the_final_page_shows_the_blend(repository):
    text = (repository / "final_ensemble_with_post_proc.py").read_text(encoding="utf-8")
    assert "S = .3 densenet + .3 seresnext + .4 kernel" in text


# --- which weights a stage starts from ------------------------------------------------------------


def test_the_best_scoring_weights_are_chosen(tmp_path):
    for name in (
        "ft_v5_384px_finetune_1_final_v2_0.967123.model_weights",
        "ft_v5_384px_finetune_1_temp3_0.968000",
        "ft_v5_384px_finetune_1_final_v1_0.967999.model",
        "ft_v5_384px_finetune_0_final_v2_0.999999.model_weights",
        "ft_v5_512px_finetune_1_final_v2_0.999999.model_weights",
        "ft_v5_384px_finetune_1_final_v2.model_weights",
        ".ft_v5_384px_finetune_1_final_v2_0.999999.1234.part",
    ):
        (tmp_path / name).write_text("")
    best = BestOf(("ft_v5_384px_finetune_{fold}_",), "weights_v5_384")
    assert best.find(tmp_path, 1).name == "ft_v5_384px_finetune_1_temp3_0.968000"
    assert "finetune_0" in best.find(tmp_path, 0).name
    with pytest.raises(
        UserError, match=r"no weights ft_v5_384px_finetune_2_.* run siam\S*_384px\.py 2$"
    ):
        best.find(tmp_path, 2)
    with pytest.raises(UserError, match="no weights"):
        best.find(tmp_path / "none", 1)


def test_a_training_sets_aside_whatever_the_next_stage_would_take_for_its_weights(script):
    """Every prefix that a later page looks for begins with one of the page that makes these weights."""
    taken: dict[str, set[str]] = {}
    for *_, start in TRAININGS.values():
        for prefix in start or ():
            taken.setdefault(prefix, set())
    for name in TRAININGS:
        page, given = script(name), []
        page.training_stage = lambda *args, given=given, **named: given.append((args, named))
        page.main([])
        [(args, named)] = given
        for prefix in taken:
            own = (args[5], *named.get("other_prefixes", ()))
            taken[prefix] |= {name for one in own if f"{prefix.rstrip('_')}_".startswith(f"{one}_")}
    assert all(len(pages) == 1 for pages in taken.values()), taken
    both = [taken["densenet121_224px_warmstart"], taken["densenet_224px_warmstart"]]
    assert both == [{f"{V5}/r10_seamese_net_warmstart_from_scratch_224px.py"}] * 2


def test_files_given_to_the_kernel_nets_inference_count_in_their_order(tmp_path, script):
    root, made = make_catalogue(tmp_path / "root"), []
    write_lines(root / "data/sample_submission.csv", "Image,Id", "t1.jpg,new_whale")
    page = script("kernel_snn/snn_inference_kernel_1024.py")

    class Seen(page.Job):
        def up_to_date(self):
            made.append(self.description)
            return True

    page.Job = Seen
    files = {name: tmp_path / f"{name}.h5" for name in "AB"}
    for name, path in files.items():
        path.write_text(name)
    for order in ("AAAB", "ABBB", "AAAB"):
        slots = [f"--model_weights_{i}={files[name]}" for i, name in enumerate(order, start=1)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WHALES_ROOT", str(root))
            page.main(["--profile", "smoke", *slots])
    first, other, again = made
    assert other.differences(first.content) != []
    assert again.differences(first.content) == []


def test_both_spellings_of_the_224_pixel_weights_are_taken(tmp_path, script):
    start = script(f"{V5}/r11_seamese_net_warmstart_finetune_384px.py").START
    (tmp_path / "densenet_224px_warmstart_final_0.871.model").write_text("")
    assert start.find(tmp_path).name.startswith("densenet_224px")
    (tmp_path / "densenet121_224px_warmstart_final_0.873000.model_weights").write_text("")
    assert start.find(tmp_path).name.startswith("densenet121_224px")
