"""The detector's training step against Keras's own `train_on_batch`."""

import numpy as np

from retinanet.detector.training import step_function


def small_model():
    """Photos of any size -> two outputs, with losses and optimizer as the detector has them."""
    import tf_keras as keras

    keras.utils.set_random_seed(4)
    photo = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(photo)
    x = keras.layers.GlobalMaxPooling2D()(keras.layers.BatchNormalization()(x))
    outputs = {
        name: keras.layers.Dense(2, name=name)(x) for name in ("regression", "classification")
    }
    model = keras.Model(photo, outputs)
    optimizer = keras.optimizers.Adam(1e-2, clipnorm=0.001)
    model.compile(optimizer, {"regression": "mean_absolute_error", "classification": "mse"})
    return model


def test_a_step_is_that_of_keras():
    """Losses of each step alone, and all weights; batches of two sizes, and another rate between them."""
    rng = np.random.default_rng(0)
    ours, theirs = small_model(), small_model()
    step = step_function(ours)
    for number, side in enumerate((9, 12, 9, 9)):
        images = rng.random((4, side, 10, 3), np.float32)
        targets = {
            name: rng.random((4, 2), np.float32) for name in ("regression", "classification")
        }
        for model in (ours, theirs):
            model.optimizer.learning_rate.assign(1e-2 / (1 + number))
        expected = theirs.train_on_batch(images, targets, return_dict=True)
        found = step(images, targets)
        assert found.keys() == expected.keys()
        for name, loss in found.items():
            np.testing.assert_allclose(loss, expected[name], rtol=1e-6, err_msg=name)
    for value, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-7)
    assert int(ours.optimizer.iterations) == 4
