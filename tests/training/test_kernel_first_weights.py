"""Which weights the kernel net's training starts from, and that stamp and checkpoint know them by content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import refused, write
from small_root import ship, use_shipped
from tiny_training import finish, killed_after, start, tiny_root
from tiny_training import refused as stage_refused

from kernel_snn.generated_start import RECIPE
from kernel_snn.training_chain import StartingPoint
from whales.base.pickles import load
from whales.files.digests import file_digest
from whales.files.workspace import Workspace
from whales.nets.teaching import Lesson, teaching_of

KEY = "kernel_snn.snn_train_kernel_384_to_1024_fold_0"
USE = """
from pathlib import Path
from whales.nets.shipped_weights import ShippedWeights
ShippedWeights.path = property(lambda self: Path({path!r}))
"""
# One step each, of a plan of two blocks, so that a run can be killed between them.
SHORT = """
    Plan(64, 8, 2, (temp(1), temp(1)), steps=1),
    Plan(64, 8, 2, (final(1e-4, 1, 1),), steps=1),
"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Path:
    return ship(tmp_path_factory.mktemp("shipped"), seed=5)


def starts(workspace: Workspace, weights: str | None = None) -> StartingPoint:
    return StartingPoint.of(workspace, SimpleNamespace(weights=weights))


def test_the_first_that_there_is(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_shipped(monkeypatch, shipped)
    workspace = Workspace(tmp_path)
    found = starts(workspace)
    assert (found.weights, found.reads) == (shipped, [])
    assert found.numbers == {"start": {"generated_start.h5": file_digest(shipped)}}
    assert "comes with the project" in found.note
    assert "docs/pipeline.md, 'The data'" in found.note

    warm = write(tmp_path, "modified_data/mpiotte-standard.model", b"weights")
    found = starts(workspace)
    assert found[:3] == (warm, [warm], {})
    given = write(tmp_path, "mine.model", b"weights")
    found = starts(workspace, str(given))
    assert found[:3] == (str(given), [given], {})
    found = starts(workspace, "none")
    assert found[:3] == ("none", [], {})
    assert "the net starts from nothing" in found.note

    # A link to nowhere is no reason to take others without a word: it is an input that is missing.
    warm.unlink()
    warm.symlink_to(tmp_path / "gone.model")
    assert starts(workspace).reads == [tmp_path / "gone.model"]


def test_weights_of_the_project_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_shipped(monkeypatch, tmp_path / "generated_start.h5")
    refused(lambda: starts(Workspace(tmp_path)), "generated_start.h5 is missing", "--weights none")
    assert starts(Workspace(tmp_path), "none").weights == "none"


@pytest.mark.slow
def test_a_stage_starts_from_them_and_knows_them_by_content(
    sample: Path, shipped: Path, tmp_path: Path
) -> None:
    root, files = tiny_root(sample, tmp_path / "root"), tmp_path / "one machine"
    shutil.copytree(shipped.parent, files)

    def setting():
        use = USE.format(path=str(files / shipped.name))
        return {"before": use, "weights": "", "plans": SHORT}

    killed_after(1, root, **setting())
    state = root / f"cache/checkpoints/{KEY}_plan_1/state.pkl"
    kept = load(state)["description"]
    assert kept["start"] == file_digest(shipped)
    assert "machine" not in repr(kept)

    files = files.rename(tmp_path / "another machine")
    output = finish(start(root, **setting()))
    assert "resumed in block" in output
    assert output.count("first weights: generated_start.h5, which comes with the project") == 1
    stamp = root / f"cache/stages/{KEY}.json"
    numbers = json.loads(stamp.read_text())["numbers"]
    assert numbers["start"] == {"generated_start.h5": file_digest(shipped)}
    assert "machine" not in stamp.read_text()
    assert finish(start(root, **setting())).strip().endswith("up to date")
    (last,) = (root / "saved_models/PLAN21").glob("PLAN21*")
    generated, of_the_root = teaching_of(last)
    assert generated == Lesson(640, 40, True)
    assert of_the_root == Lesson(18, 6, True)  # the sample's own, which are generated too

    again = ship(tmp_path / "again", seed=6)
    for file in again.parent.iterdir():
        shutil.copy(file, files)
    output = finish(start(root, **setting()))
    assert "up to date" not in output
    assert "first weights: generated_start.h5" in output
    (files / shipped.name).write_bytes(b"")
    output = stage_refused(start(root, **setting()))
    assert "generated_start.h5 is not the file that generated_start.json is of" in output
    assert "Traceback" not in output


def test_the_training_page_has_plans_for_any_start(script) -> None:
    page = script("kernel_snn/snn_train_kernel_384_to_1024.py")
    assert page.PLANS["full"] == page.COLD_PLANS["full"]
    sizes = {plan.size for plan in page.PLANS["smoke"]}
    assert sizes <= {*RECIPE.sizes}  # another scale would have to be learnt first
