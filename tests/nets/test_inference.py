"""Outputs without gradients: those of Keras's own `predict_on_batch`, whatever is folded."""

import numpy as np
import pytest

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from whales.nets.inference import foldable, folded, inference_function

# Convolutions whose output goes to a batch normalization alone: in v5 the first of each dense layer and the
# stem, in v6 all that have one, in the kernel net, where rectifiers stand between, none.
FOLDED = {"v5": 9, "v6": 16, "kernel": 0}


def unlike_weights(branch, rng):
    """Every weight drawn anew, moving statistics far from those of a new net."""
    for layer in branch.layers:
        weights = [rng.normal(0.1, 0.3, w.shape) for w in layer.get_weights()]
        if "moving_variance" in [w.name for w in layer.weights]:
            weights[-1] = rng.uniform(0.3, 2.0, weights[-1].shape)
        layer.set_weights(weights)


@pytest.mark.parametrize("net", [V5, V6, KERNEL], ids=lambda net: net.name)
def test_folding_changes_no_feature(net):
    rng = np.random.default_rng(0)
    branch = net.network(64, None, "smoke").branch
    compute = folded(branch)
    assert len(foldable(branch)) == FOLDED[net.name]
    for count in (1, 3):  # and weights that change between two calls, as those of folds do
        unlike_weights(branch, rng)
        photos = rng.normal(size=(count, 64, 64, 3)).astype(np.float32)
        expected = branch.predict_on_batch(photos)
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(compute(photos), expected, rtol=1e-4, atol=1e-5 * expected.max())


COMPARED = """
import numpy as np
from siamese_net_v6_se_resnext.a00_net_v6 import NET
from whales.nets.inference import folded
branch = NET.network(64, None, "smoke").branch
photos = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
expected = branch.predict_on_batch(photos)
np.testing.assert_allclose(folded(branch)(photos), expected, rtol=1e-3, atol=1e-4 * expected.max())
"""


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_convolutions_of_groups_on_every_processor(run_python, onednn):
    """TensorFlow computes with oneDNN or without, by the processor unless it is told."""
    done = run_python("-c", COMPARED, TF_ENABLE_ONEDNN_OPTS=onednn)
    assert done.returncode == 0, done.stderr


def test_only_what_one_normalization_takes_is_folded():
    import keras
    from keras import layers

    photo = keras.Input((8, 8, 3))
    lone = layers.Conv2D(4, 3, strides=2, padding="same", name="lone")(photo)
    shared = layers.Conv2D(4, 1, name="shared")(layers.BatchNormalization(name="of_lone")(lone))
    activated = layers.Conv2D(4, 1, activation="relu", name="activated")(shared)
    total = layers.Add()([shared, layers.BatchNormalization()(shared)])
    seen = layers.Conv2D(4, 1, name="seen")(total)  # also an output of the whole net
    outputs = layers.Add()(
        [layers.BatchNormalization()(activated), layers.BatchNormalization()(seen)]
    )
    model = keras.Model(photo, [outputs, seen])
    assert {a.name: b.name for a, b in foldable(model).items()} == {"lone": "of_lone"}


def test_half_precision_is_left_to_keras():
    branch = V6.network(64, None, "smoke", "mixed_bfloat16").branch
    assert inference_function(branch) == branch.predict_on_batch
