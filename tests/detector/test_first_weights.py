"""First weights of the detector: layers of the same name and shape, arrays alone, all of them finite."""

import h5py
import numpy as np
import pytest
import tf_keras
from helpers import refused

from retinanet.detector.first_weights import load_first_weights
from retinanet.detector.model_files import load_matching_layers


def model(seed, width=3, last="c"):
    tf_keras.utils.set_random_seed(seed)
    layers = [
        tf_keras.layers.Dense(4, name="a"),
        tf_keras.layers.BatchNormalization(name="b"),
        tf_keras.layers.Dense(width, name=last),
    ]
    made = tf_keras.Sequential(layers)
    made.build((None, 2))
    made.set_weights([value + seed for value in made.get_weights()])
    return made


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "first.h5"
    model(1).save_weights(path)
    return path


def test_layers_of_the_same_name_and_shape_are_taken(file):
    source, other = model(1).get_weights(), model(2, width=5)
    before = other.get_weights()
    assert load_matching_layers(other, file) == 6
    for k in range(6):
        np.testing.assert_array_equal(other.get_weights()[k], source[k])
    for k in (6, 7):  # c has another width
        np.testing.assert_array_equal(other.get_weights()[k], before[k])


def test_the_order_does_not_depend_on_what_is_frozen(file):
    source, other = model(1).get_weights(), model(2)
    other.get_layer("b").trainable = False
    load_first_weights(other, file)
    other.get_layer("b").trainable = True
    for value, expected in zip(other.get_weights(), source, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("told", ["link to elsewhere", "NaN", "kernel:0 is missing"])
def test_unsound_weights_are_refused(file, told):
    with h5py.File(file, "r+") as opened:
        group = opened["a/a"]
        if told == "NaN":
            group["kernel:0"][0, 0] = np.nan
        else:
            del group["kernel:0"]
        if told == "link to elsewhere":
            group["kernel:0"] = h5py.ExternalLink("other.h5", "/kernel")
    other = model(2)
    before = other.get_weights()
    refused(lambda: load_first_weights(other, file), str(file), told)
    for value, expected in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_file_that_fits_no_layer_is_refused(tmp_path):
    path = tmp_path / "other.h5"
    made = tf_keras.Sequential([tf_keras.layers.Dense(2, name="z")])
    made.build((None, 2))
    made.save_weights(path)
    refused(lambda: load_first_weights(model(1), path), str(path), "no weights for any layer")
