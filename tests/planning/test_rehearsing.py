"""Stages rehearsed on few photos: real ones where they are quick, stand-ins for what takes minutes."""

import csv
import shutil
from pathlib import Path

import pytest
from whales_tools.nets import net_of, plans_of

from whales.base.errors import UserError
from whales.files.workspace import Workspace
from whales.planning.few_photos import few_photos
from whales.planning.plan_request import PlanRequest, answer
from whales.planning.rehearsing import (
    DONE,
    rehearse,
    rehearsed,
    rehearsed_steps,
    scripts_for_training,
)
from whales.stages.options import RunOptions
from whales.stages.pipeline import STAGES

V5 = "siamese_net_v5_densenet121"
# Trains only in two parts and from random weights, and says what a step took.
STAND_IN = """
import os, sys
from pathlib import Path
root = Path(os.environ["WHALES_ROOT"]) / "rehearsal/full"
given = sys.argv[1:]
if "--accumulate" not in given:
    sys.exit(print("error: too large; --accumulate 2 takes 3 GB", file=sys.stderr) or 2)
if "--weights" not in given:
    sys.exit(print("error: no weights; start with --weights none", file=sys.stderr) or 2)
assert given == "0 --profile full --steps 3 --accumulate 2 --weights none".split(), given
folder = root / "models/Res_v5_densenet121"
folder.mkdir(parents=True, exist_ok=True)
(folder / "ft_v5_512px_finetune_0_final_0.500000.model_weights").write_text("w")
print("r15 fold 0: 512 px, batch 4, whole net: 7.30 s a step")
"""


@pytest.fixture
def root(sample, tmp_path):
    """The sample, whose files a rehearsal must leave as they are."""
    return Workspace(shutil.copytree(sample, tmp_path / "root"))


def files_of(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "rehearsal" not in path.relative_to(folder).parts
    }


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_few_photos_are_whole_tables_with_links(root):
    few = few_photos(root)
    train = table(few.file("train_csv"))
    identities = [row["Id"] for row in train]
    assert len({*identities} - {"new_whale"}) == 8
    assert identities.count("new_whale") == 6
    assert all(2 <= identities.count(name) <= 6 for name in identities)
    label_of = {row["Image"]: row["Id"] for row in table(root.file("train_csv"))}
    for row in train:
        assert label_of[row["Image"]] == row["Id"]
        photo = few.file("train_photos") / row["Image"]
        assert photo.is_symlink()
        assert photo.read_bytes() == root.train_photo(photo.stem).read_bytes()
    assert len(table(few.file("sample_submission"))) == 4
    assert len({row["Id"] for row in table(few.file("playground_train_csv"))}) == 4


def test_too_few_identities_are_refused(root):
    root.file("train_csv").write_text(
        "Image,Id\n" + root.file("train_csv").read_text().split("\n")[1]
    )
    with pytest.raises(UserError, match="a rehearsal needs 5 identities"):
        few_photos(root)


def test_stages_run_and_those_that_fail_are_named_and_passed(root, repository):
    """The tables are made; the folds lack averaged boxes, which no stage was asked to make."""
    before = files_of(root.root)
    rows = rehearse(root, repository, "full", 1, ["r10_create"])
    assert [row.stage for row in rows] == ["r10_create_csv_for_retinanet", "r10_create_kfold_split"]
    assert rows[0].outcome == DONE
    assert rows[0].seconds > 0
    assert 0.01 < rows[0].peak_gb < 4
    assert rows[1].outcome.endswith("is missing; run retinanet/r32_average_boxes.py")
    assert files_of(root.root) == before
    assert rehearsed(root, "full") == rows
    again = rehearse(root, repository, "full", 1, ["create_csv"])  # up to date: its row is kept
    assert again == rows


def test_what_a_refusal_advises_is_done_and_steps_are_kept(root, tmp_path):
    script = tmp_path / "project" / V5 / "r15_seamese_net_train_v5_finetune_512px.py"
    script.parent.mkdir(parents=True)
    script.write_text(STAND_IN)
    (row,) = rehearse(root, tmp_path / "project", "full", 3, ["v5_finetune_512"])
    assert row.outcome == (
        "done with --accumulate 2, since too large; --accumulate 2 takes 3 GB; "
        "with --weights none, since no weights; start with --weights none"
    )
    (step,) = rehearsed_steps(root, "full")
    assert step[1:] == (512, 4, "whole net", 7.3)
    models = root.root / "rehearsal/few/rehearsal/full/models/Res_v5_densenet121"
    names = [f"ft_v5_512px_finetune_{fold}_final_0.500000.model_weights" for fold in range(4)]
    assert sorted(path.name for path in models.iterdir()) == names


def test_links_of_a_former_rehearsal_go_with_their_weights(root, tmp_path):
    """Else inference would take the best of their names, which leads nowhere."""
    script = tmp_path / "project" / V5 / "r15_seamese_net_train_v5_finetune_512px.py"
    script.parent.mkdir(parents=True)
    script.write_text(STAND_IN)
    rehearse(root, tmp_path / "project", "full", 3, ["v5_finetune_512"])
    models = root.root / "rehearsal/few/rehearsal/full/models/Res_v5_densenet121"
    (models / "ft_v5_512px_finetune_0_final_0.500000.model_weights").unlink()
    script.write_text(STAND_IN.replace("0.500000", "0.400000"))
    rehearse(root, tmp_path / "project", "full", 3, ["v5_finetune_512"])
    names = [f"ft_v5_512px_finetune_{fold}_final_0.400000.model_weights" for fold in range(4)]
    assert sorted(path.name for path in models.iterdir()) == names


def test_what_trainings_read_is_made_before_they_are_measured():
    for profile in ("full", "smoke"):
        scripts = scripts_for_training(profile)
        assert scripts[0] == "retinanet/r10_create_csv_for_retinanet.py"
        assert {stage.script for stage in STAGES if stage.trains} <= {*scripts}
        assert "retinanet/r32_average_boxes.py" in scripts
        assert "r10_create_kfold_split.py" in scripts
        assert not any("inference" in script or "final" in script for script in scripts)


def test_unknown_stages_are_refused(root, repository):
    with pytest.raises(UserError, match="no stage has r99 in its name"):
        rehearse(root, repository, "full", 1, ["create_csv", "r99"])
    assert not (root.root / "rehearsal").exists()


def test_a_rehearsal_with_a_failure_ends_as_one(root, repository):
    """The table is made, the folds lack boxes: both are in the table, the second one in the last line."""
    request = PlanRequest(rehearse=True, only=("create_csv", "create_kfold"))
    with pytest.raises(UserError, match=r"^1 of 2 stages did not run: r10_create_kfold_split$"):
        answer(request, RunOptions(root, "full"), repository, net_of, plans_of)
    with pytest.raises(UserError, match="--csv is of a forecast"):
        answer(
            PlanRequest(rehearse=True, csv=root.root / "a.csv"),
            RunOptions(root, "full"), repository, net_of, plans_of,
        )  # fmt: skip


def test_a_killed_stage_is_named(root, tmp_path):
    script = tmp_path / "project/r10_create_kfold_split.py"
    script.parent.mkdir()
    script.write_text("import os\nos.kill(os.getpid(), 9)\n")
    (row,) = rehearse(root, tmp_path / "project", "full", 1, ["create_kfold"])
    assert row.outcome == "ended by signal 9, as where memory runs out"
