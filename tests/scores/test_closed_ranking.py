"""Nets measured among known individuals alone, and what training adds to their first weights."""

import shutil

import keras
import numpy as np
import pytest
from helpers import refused
from small_root import IDENTITY_OF, by_distance, make_catalogue, ship

from benchmarks import adapting
from kernel_snn.a00_net_kernel import NET
from kernel_snn.a01_kernel_model import build_network
from whales.base.pickles import load, save
from whales.files.workspace import Workspace
from whales.scores.closed_ranking import closed_precision

KNOWN = [name for name, who in IDENTITY_OF.items() if who != "new_whale"]


def test_precision_by_hand():
    """Each individual counts by its best photo; ties go to the first of them; beyond five is nothing."""
    identities = ["w_c", "w_a", "w_b", "w_a", "w_d", "w_e", "w_f"]
    scores = np.float32([
        [0.9, 0.1, 0.5, 0.8, 0, 0, 0],  # c, a, b
        [0.5, 0.5, 0.5, 0.0, 0, 0, 0],  # c, a, b
        [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],  # c, a, b, d, e
    ])  # fmt: skip
    found = closed_precision(scores, ["w_a", "w_b", "w_f"], identities)
    np.testing.assert_array_equal(found, [1 / 2, 1 / 3, 0])


@pytest.fixture
def root(tmp_path):
    """A root whose two test photos are copies of a1 and b2, with a kernel net of fold 1 that knows copies."""
    root = make_catalogue(tmp_path / "root")
    boxes = load(root / "modified_data/p2bb_averaged_v1.pkl")
    (root / "data/test").mkdir(parents=True)
    for name, like in (("t1", "a1"), ("t2", "b2")):
        shutil.copy(root / f"data/train/{like}.jpg", root / f"data/test/{name}.jpg")
        boxes[name] = boxes[like]
    save(root / "modified_data/p2bb_averaged_v1.pkl", boxes)
    (root / "test_labels.csv").write_text("Image,Id\nt1.jpg,w_a\nt2.jpg,w_b\n")
    folds = {
        f"fold_{fold}": {"train": [], "val": [f"{name}.npy" for name in KNOWN[fold::4]]}
        for fold in range(4)
    }
    save(Workspace(root).file("folds_kernel"), folds)
    keras.utils.set_random_seed(3)
    path = (
        root
        / "saved_models/PLAN21"
        / f"{NET.weights.prefixes[0].format(fold=1)}_0.500000.model_weights"
    )
    path.parent.mkdir(parents=True)
    by_distance(build_network(adapting.SIZE, channels=3)).save_weights(path)
    return root


def test_trained_nets_beside_their_start(root, tmp_path, capsys):
    shutil.copy(ship(tmp_path, seed=1), root / "modified_data/mpiotte-standard.model")
    adapting.main([str(root), str(root), "--samples", "50"])
    table = [
        line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")
    ]
    rows = {(cells[0].strip("| "), cells[2]): cells for cells in table[1:]}
    assert {fold for fold, _ in rows} == {"1", "all", "mean of the folds' nets"}
    # Copies have the distance 0, whatever the weights.
    for kind in ("tight", "whole"):
        assert rows["1", kind][1:5] == ["2", kind, "1.000", "1.000"]
        assert rows["mean of the folds' nets", kind][5] == "+0.000"
    # a2 and b3 among the others, each without itself; c1 has no mate, so it is no query.
    assert rows["1", "held out"][1] == str(sum(name[0] != "c" for name in KNOWN[1::4]))
    assert rows["all", "held out"][3:] == rows["1", "held out"][3:]


def test_a_root_without_trained_nets_is_refused(root):
    shutil.rmtree(root / "saved_models")
    refused(lambda: adapting.main([str(root)]), "no fold of the kernel net is trained")
