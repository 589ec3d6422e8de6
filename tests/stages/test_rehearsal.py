"""`--steps` rehearses a training beside the real files, and never touches them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_training import finish, history, refused, start, tiny_root, weights

from whales.files.dataset import TrainingData
from whales.files.workspace import Workspace
from whales.stages.rehearsal import most_photos, rehearsal_root


def contents(root: Path) -> dict[str, bytes]:
    """Every file of a root by path, but for those of its rehearsals."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "rehearsal" not in path.relative_to(root).parts
    }


@pytest.mark.slow
def test_a_rehearsal_leaves_the_real_files_alone(sample: Path, tmp_path: Path) -> None:
    root = tiny_root(sample, tmp_path / "root")
    before = contents(root)
    said = finish(start(root, options=("--steps", "1")))
    assert contents(root) == before
    rehearsal = root / "rehearsal/smoke"
    assert any("_final_" in name for name in weights(rehearsal))
    # Two plans, of two blocks and of one: a round each, of two epochs of one step of 8 pairs.
    assert [row["pairs"] for row in history(rehearsal)] == ["8"] * 6
    assert "px, batch 8, frozen branch: " in said
    assert "px, batch 8, whole net: " in said
    assert "peak memory of the process " in said
    assert "left: epoch " in said
    assert "up to date" in finish(start(root, options=("--steps", "1")))


def test_links_are_renewed_and_what_was_written_in_their_place_stays(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "root")
    boxes, folds = workspace.file("boxes_averaged"), workspace.file("folds_v1")
    for path in (workspace.file("train_csv"), boxes, folds):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("real")
    rehearsal = rehearsal_root(workspace, "full")
    assert (
        rehearsal.file("train_csv").read_text() == rehearsal.file("folds_v1").read_text() == "real"
    )
    made = rehearsal.file("folds_v1")
    made.unlink()
    made.write_text("of the rehearsal")
    moved = (tmp_path / "root").rename(tmp_path / "moved")
    again = rehearsal_root(Workspace(moved), "full")
    assert again.file("boxes_averaged").read_text() == "real"
    assert again.file("folds_v1").read_text() == "of the rehearsal"
    assert Workspace(moved).file("folds_v1").read_text() == "real"


def test_a_root_that_cannot_be_written_to_is_one_line(tmp_path: Path, sample: Path) -> None:
    root = tiny_root(sample, tmp_path / "root")
    (root / "rehearsal").write_text("a file")
    said = refused(start(root, options=("--steps", "1")))
    assert "rehearsal" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert os.path.isfile(root / "rehearsal")


def test_few_photos_are_whole_identities() -> None:
    names = {"a": 2, "b": 5, "c": 4, "d": 3}
    train = {f"{who}{i}": who for who, count in names.items() for i in range(count)}
    data = TrainingData(train, ["x1", "x2", "x3"], ["y1"], {}, Path("train.csv"))
    few = data.few(2)
    # Two identities at least, though they have more photos than were asked for; then whole ones that fit.
    assert few.train == {name: who for name, who in train.items() if who in "ab"}
    assert (few.rows, few.columns) == (["x1", "x2"], ["y1"])
    assert {*data.few(10).train.values()} == {"a", "b", "d"}
    assert data.few(99) == data


def test_enough_photos_for_the_steps() -> None:
    assert (most_photos(1, 4), most_photos(2, 64)) == (32, 128)
