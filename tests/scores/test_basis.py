"""What answers rest on: nets, what they were taught on, validation photos, and the warning."""

import h5py
import numpy as np
import pytest
from whales_tools.nets import NETS

from whales.files.workspace import Workspace
from whales.nets.teaching import ATTRIBUTE, Lesson, written
from whales.scores.basis import NO_BASIS, TrainedNet, basis_of, basis_of_root, weights_of
from whales.scores.calibration import Curve

DRAWN, REAL = (Lesson(640, 40, True),), (Lesson(593, 195, False),)
V5, V6, KERNEL = NETS
CURVE = Curve(np.array([0.5]), np.array([0.25]), 12, 4)


@pytest.fixture
def root(tmp_path):
    return Workspace(tmp_path)


def weights(root, net, fold, taught=()):
    """A file that is called like the net's weights of a fold."""
    prefix = net.weights.prefixes[0].format(fold=fold)
    path = root.file(f"models_{net.name}") / f"{prefix}final_0.900000.model_weights"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        if taught:
            file.attrs[ATTRIBUTE] = written(taught)
    return path


def test_nets_of_a_generated_root_are_warned_of(root):
    paths = {net: weights(root, net, 2, DRAWN) for net in NETS}
    assert [weights_of(root, net) for net in NETS] == [{2: path} for path in paths.values()]
    found = basis_of_root(root, NETS)
    assert found.nets == "DenseNet121 (v5), fold 2; SE-ResNeXt50 (v6), fold 2; kernel net, fold 2"
    assert found.taught_on == "640 generated photos of 40 individuals"
    assert found.warning.startswith(
        "These nets have seen generated flukes only and know no real whale"
    )
    assert (found.validation_photos, found.evidence) == (None, "")


def test_some_of_the_nets(root):
    weights(root, V5, 0, DRAWN), weights(root, V5, 1, DRAWN), weights(root, KERNEL, 0, REAL)
    found = basis_of_root(root, NETS)
    assert found.nets == "DenseNet121 (v5), folds 0, 1; kernel net, fold 0"
    assert found.taught_on == (
        "640 generated photos of 40 individuals (DenseNet121 (v5)); "
        "593 photos of 195 individuals (kernel net)"
    )
    assert found.warning == (
        "DenseNet121 (v5) has seen generated flukes only and knows no real whale."
    )


def test_nets_of_which_nothing_is_known_are_said_to_be_so(root):
    found = basis_of([TrainedNet(V6, {1: weights(root, V6, 1)})], CURVE, CURVE)
    assert found.warning == ""
    assert found.taught_on == "photos that are not known"
    assert found.validation_photos == 12
    assert found.notes() == [
        "Nets: SE-ResNeXt50 (v6), fold 1.",
        "Taught on photos that are not known.",
        "Probabilities rest on 12 validation photos, 4 of them of new whales: none can be above 92.9%.",
    ]


def test_without_nets(root):
    assert basis_of_root(root, NETS) == NO_BASIS
    assert NO_BASIS.notes() == []
