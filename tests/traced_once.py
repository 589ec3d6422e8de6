"""A small net trained and asked in a process of its own, counting how often its layer is traced.

Run on the backend that KERAS_BACKEND names; it prints, of the first pass and of the second, how often the
layer was called by features alone and in all. TensorFlow and JAX call a layer only while they trace.
"""

import keras
import numpy as np
from keras import layers

from whales.nets.batch_norm import BatchNormalization
from whales.nets.features import crop_features
from whales.nets.network import assemble, symmetric_preprocess
from whales.training.learner import Learner

RNG = np.random.default_rng(0)
CROPS = RNG.integers(0, 256, (8, 8, 8, 3), np.uint8)
calls = []


class Counted(layers.Conv2D):
    """A convolution that notes each call."""

    def call(self, inputs):
        calls.append(inputs.shape)
        return super().call(inputs)


def small_network():
    photo = keras.Input((8, 8, 3))
    x = BatchNormalization()(Counted(4, 3, activation="relu")(photo))
    x = layers.GlobalMaxPooling2D()(x)
    return assemble(keras.Model(photo, x, name="small"), symmetric_preprocess, 8)


def batches():
    """Two whole batches and a rest."""
    for count in (4, 4, 2):
        sides = tuple(symmetric_preprocess(CROPS[:count]) for _ in range(2))
        yield sides, np.ones((count, 1), np.float32)


def features(network):
    """Of every number of crops; each of them alike. Returns how often the layer was called."""
    before, expected = len(calls), crop_features(network, CROPS)
    for count in range(1, 9):
        found = crop_features(network, CROPS[:count])
        np.testing.assert_allclose(found, expected[:count], rtol=1e-5, atol=1e-6)
    return len(calls) - before


def one_pass(learner):
    """Frozen and free, as blocks follow each other."""
    before, alone = len(calls), 0
    for frozen in (True, False):
        learner.begin(frozen, 1e-3, True)
        for _ in range(2):
            learner.fit(batches, 3)
        alone += features(learner.network)
    return alone, len(calls) - before


network, other = small_network(), small_network()
learner, kept = Learner(network), [np.array(value) for value in other.branch.get_weights()]
calls.clear()
first = one_pass(learner)
held = [variable.value for variable in network.branch.variables]
features(network)
assert all(np.isfinite(np.asarray(keras.ops.convert_to_numpy(value))).all() for value in held)
learner.restart(other)
second = one_pass(learner)
for value, was in zip(other.branch.get_weights(), kept, strict=True):
    np.testing.assert_array_equal(value, was)
print(*first, *second)
