"""Test photos of a root compared with each other by kept features: against Keras's own head, pair by pair."""

import shutil
from contextlib import closing

import numpy as np
import pytest
from small_root import SIZE, draw

from siamese_net_v5_densenet121.a00_net_v5 import NET
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from whales.base.pickles import load, save
from whales.files.dataset import load_boxes
from whales.files.workspace import Workspace
from whales.scores import photo_scores
from whales.scores.basis import weights_of
from whales.scores.photo_scores import FeatureStore, photo_prints
from whales.scores.root_pairs import pairs_of_root

TESTS = ["t1", "t2", "t3", "t4", "t5"]


@pytest.fixture
def root(trained_root, tmp_path, small_nets):
    """The trained root with five test photos, whose features are kept; the last has no box."""
    root = shutil.copytree(trained_root, tmp_path / "root")
    boxes_file = root / "modified_data/p2bb_averaged_v1.pkl"
    boxes = load(boxes_file)
    for seed, name in enumerate(TESTS, 50):
        draw(root / f"data/test/{name}.jpg", seed)
        boxes[name] = (2, 2, 80 + seed % 7, 50)
    del boxes[TESTS[-1]]
    save(boxes_file, boxes)
    return root


def keep(root, names):
    """Keep what both folds of the v5 net see in photos; returns its head, and fold -> (weights, features)."""
    workspace = Workspace(root)
    boxes = load_boxes(workspace)
    files = {name: workspace.test_photo(name) for name in names}
    prints = photo_prints(workspace, boxes, workspace.digests.of_photos(files))
    seen = {}
    with closing(FeatureStore(workspace, NET, SIZE, boxes, prints, profile="smoke")) as store:
        for fold, path in weights_of(workspace, NET).items():
            _, table = store.features(fold, path, names)
            weights = [w.copy() for w in store.network.head.get_weights()]
            seen[fold] = weights, table.of(names)
    return store.network.head, seen


def test_scores_are_those_of_the_head_on_every_pair(root):
    names = TESTS[:4]
    head, seen = keep(root, names)
    expected = np.zeros((4, 4))
    for weights, features in seen.values():
        head.set_weights(weights)
        for row in range(4):
            pair = [np.repeat(features[row : row + 1], 4, axis=0), features]
            expected[row] += np.ravel(head.predict(pair, verbose=0)) / len(seen)
    pairs = pairs_of_root(Workspace(root), [NET, V6], TESTS)
    for row in range(4):
        others = sorted(({*range(4)} - {row}), key=lambda column: -expected[row, column])
        found = pairs.of(row)
        assert [one.index for one in found] == others
        np.testing.assert_allclose([one.score for one in found], expected[row, others], atol=1e-5)
    assert pairs.of(4) == []  # has no box, so no features
    assert pairs.note() == ""


def test_features_of_another_way_to_decode_photos_are_not_taken(root, monkeypatch):
    keep(root, TESTS[:4])
    monkeypatch.setattr(photo_scores, "DECODING", 10_000)
    assert pairs_of_root(Workspace(root), [NET], TESTS).of(0) == []


def test_a_photo_that_changed_since_is_compared_with_none(root):
    keep(root, TESTS[:4])
    draw(root / "data/test/t2.jpg", 99)
    pairs = pairs_of_root(Workspace(root), [NET], TESTS)
    assert pairs.of(1) == []
    assert {one.index for one in pairs.of(0)} == {2, 3}


def test_without_kept_features_the_page_is_told_what_to_run(root):
    pairs = pairs_of_root(Workspace(root), [NET], TESTS)
    assert pairs.of(0) == []
    assert "inference stages" in pairs.note()
