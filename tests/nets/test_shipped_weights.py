"""Weights that come with the project: held against their recipe, and those that it has now."""

import json

import h5py
import keras
import numpy as np
import pytest
from helpers import refused
from small_root import ship, use_shipped

from kernel_snn.a00_net_kernel import GENERATED_START, NET
from kernel_snn.a01_kernel_model import build_network
from whales.files.digests import file_digest
from whales.nets.shipped_weights import ShippedWeights
from whales.nets.teaching import Lesson, generated_alone, teaching_of
from whales.nets.weight_files import fitting_net
from whales.stages.pipeline import STAGES


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return ship(tmp_path_factory.mktemp("shipped"), seed=3)


@pytest.fixture
def copied(path, tmp_path):
    """Both files once more, to be spoilt."""
    for file in (path, path.with_suffix(".json")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return ShippedWeights(tmp_path, "generated_start", 64)


def check(path):
    """What everybody relies on in the file that comes with the project."""
    assert path.stat().st_size <= 6_000_000  # bytes that everybody who clones the project fetches
    assert fitting_net(path) == "the kernel net"
    assert generated_alone([teaching_of(path)])
    with h5py.File(path) as file:
        assert file["branch_model/bm_conv2d_1/kernel:0"].shape == (9, 9, 1, 64)
        assert file["branch_model/bm_conv2d_1/kernel:0"].dtype == np.float16
    photos = np.random.default_rng(1).integers(0, 255, (3, 64, 64, 3), np.uint8)
    network = build_network(64, weights=path)
    features = network.branch.predict_on_batch(network.preprocess(photos))
    assert np.isfinite(features).all()
    assert len(np.unique(features, axis=0)) == 3


def test_what_is_saved_is_what_is_asked_of_it(path):
    assert ShippedWeights(path.parent, "generated_start", 64).checked() == path
    recipe = json.loads(path.with_suffix(".json").read_text())
    assert recipe == {"individuals": 40, "seed": 3, "digest": file_digest(path)}
    assert teaching_of(path) == (Lesson(640, 40, True),)
    check(path)


def test_the_file_of_the_project():
    if not GENERATED_START.path.exists():
        pytest.skip(f"{GENERATED_START.path} is not there")
    check(GENERATED_START.checked())


def test_what_is_missing_or_damaged_is_named(copied):
    recipe = copied.path.with_suffix(".json")
    good, text = copied.path.read_bytes(), recipe.read_text()
    copied.path.write_bytes(good[:-100])
    refused(copied.checked, str(copied.path), "its digest is", "--weights none")
    copied.path.unlink()
    refused(copied.checked, f"{copied.path} is missing; it comes with the project")
    copied.path.write_bytes(good)
    assert copied.checked() == copied.path
    for wrong in ("[]", "{}", '{"digest": 7}'):
        recipe.write_text(wrong)
        refused(copied.checked, f"{recipe} has no digest of generated_start.h5")
    recipe.write_text(text[:-5])
    refused(copied.checked, str(recipe), "cannot be read as JSON")
    recipe.unlink()
    refused(copied.checked, f"{recipe} is missing")


def test_equal_weights_give_equal_files(tmp_path):
    keras.utils.set_random_seed(4)
    network = build_network(64, channels=1)
    for name in "ab":
        ShippedWeights(tmp_path, name, 64).save(network, (), {"seed": 4})
    for suffix in ("h5", "json"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_the_card_and_the_list_of_stages_name_the_same_file(repository, monkeypatch):
    (training,) = [stage for stage in STAGES if stage.shipped]
    assert "weights_kernel" in training.writes
    assert [repository / name for name in training.shipped] == [NET.shipped.path]
    card = NET.as_shipped
    assert (card.untrained, NET.untrained) == (True, False)
    assert card.sizes == {"full": 96, "smoke": 96}
    assert (card.name, card.folds, card.weights) == (NET.name, NET.folds, NET.weights)
    use_shipped(monkeypatch, repository / "other.h5")
    assert GENERATED_START.path == NET.shipped.path == repository / "other.h5"
