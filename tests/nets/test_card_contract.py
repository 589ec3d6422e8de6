"""What the library and the tools rely on in every net's card, in both profiles."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from whales.base.errors import UserError
from whales.files.workspace import Workspace
from whales.photos.augment import Augmenter
from whales.stages import pipeline
from whales.stages.options import PROFILE_CHOICES

NETS = (V5, V6, KERNEL)
SMALLEST = {V5: 32, V6: 32, KERNEL: 64}  # pixels a side
FEATURES = {
    (V5, "full"): 1024, (V5, "smoke"): 64, (V6, "full"): 2048, (V6, "smoke"): 256,
    (KERNEL, "full"): 512, (KERNEL, "smoke"): 512,
}  # fmt: skip

every_net = pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)


@pytest.fixture(
    scope="module",
    params=[(net, profile) for net in NETS for profile in PROFILE_CHOICES],
    ids=lambda case: f"{case[0].name}-{case[1]}",
)
def case(request):
    """A net of each card and profile, random weights, at the smallest size of photos that it takes."""
    net, profile = request.param
    size = SMALLEST[net]
    network = net.network(size, None, profile)
    return SimpleNamespace(net=net, profile=profile, size=size, network=network)


def photos(case, count=3):
    shape = (count, case.size, case.size, 3)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def features(case):
    inputs = case.network.preprocess(photos(case))
    assert inputs.dtype == np.float32
    return np.asarray(case.network.branch.predict_on_batch(inputs))


# --- networks -------------------------------------------------------------------------------------


def test_features_are_non_negative_numbers(case):
    values = features(case)
    assert values.shape == (3, FEATURES[case.net, case.profile])
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert values.any()
    assert len(np.unique(values, axis=0)) == 3  # photos are told apart


def test_the_head_scores_pairs_of_features(case):
    values = features(case)
    scores = np.asarray(case.network.head.predict_on_batch([values, values[::-1]]))
    assert scores.shape == (3, 1)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()


def test_weights_come_back_from_their_file(case, tmp_path):
    before, path = features(case), tmp_path / "net.model_weights"
    kept = case.network.model.get_weights()
    case.network.save_weights(path)
    case.network.model.set_weights([0.5 * value + 0.125 for value in kept])
    assert not np.array_equal(features(case), before)
    case.network.load_weights(path)
    for value, loaded in zip(kept, case.network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, value)
    np.testing.assert_array_equal(features(case), before)


@pytest.mark.parametrize("profile", PROFILE_CHOICES)
@every_net
def test_photos_too_small_are_refused(net, profile):
    smallest = SMALLEST[net]
    with pytest.raises(UserError, match=rf"at least {smallest} px.*received {smallest - 1} px"):
        net.network(smallest - 1, None, profile)


@every_net
def test_an_unknown_profile_is_refused(net):
    with pytest.raises(UserError, match="unknown profile 'tiny'"):
        net.network(SMALLEST[net], None, "tiny")


# --- cards ----------------------------------------------------------------------------------------


@every_net
def test_sizes_of_both_profiles(net):
    assert set(net.sizes) == set(PROFILE_CHOICES)
    assert all(isinstance(size, int) and size >= SMALLEST[net] for size in net.sizes.values())


def test_shares_of_the_blend():
    assert all(0 < net.share <= 1 for net in NETS)
    assert sum(net.share for net in NETS) == pytest.approx(1)


def test_names_differ():
    assert len({net.name for net in NETS}) == len(NETS)


@every_net
def test_the_work_root_knows_a_nets_files(net, tmp_path):
    workspace = Workspace(tmp_path)
    keys = [net.folds, f"models_{net.name}", f"features_test_{net.name}"]
    if net.threshold is not None:  # it answers alone, too
        assert 0 < net.threshold < 1
        keys += [f"test_matrix_{net.name}", f"submission_{net.name}"]
    assert all(workspace.file(key).is_relative_to(tmp_path) for key in keys)


@every_net
def test_weights_of_a_fold_and_who_makes_them(net, repository, tmp_path):
    script, *arguments = pipeline.maker(net.weights.key, 3).split()
    assert (repository / script).is_file()
    assert "3" in arguments
    assert net.weights.maker(3).split() == [script, *arguments]
    prefixes = [prefix.format(fold=3) for prefix in net.weights.prefixes]
    names = [f"{prefix}_{score}.model_weights" for prefix in prefixes for score in ("0.90", "0.95")]
    for name in (*names, f"{net.weights.prefixes[0].format(fold=2)}_0.99.model_weights"):
        (tmp_path / name).touch()
    assert net.weights.find(tmp_path, 3).name.endswith("_0.95.model_weights")
    with pytest.raises(UserError, match=r"run .* 1$"):
        net.weights.find(tmp_path, 1)


@every_net
def test_worker_processes_can_take_a_card(net):
    """Workers that feed photos start afresh: what they are given must travel."""
    for function in (net.build, net.transforms):
        assert pickle.loads(pickle.dumps(function)) is function
    travelled = pickle.loads(pickle.dumps(net.augmenter))()
    assert isinstance(travelled, Augmenter)
    pixels = np.full((60, 90, 3), 128, np.uint8)
    box = (20, 15, 70, 45)
    size = SMALLEST[net]
    here, there = (each.crop(pixels, box, size, 7) for each in (net.augmenter(), travelled))
    assert here.shape == (size, size, 3)
    assert here.dtype == np.uint8
    np.testing.assert_array_equal(here, there)
