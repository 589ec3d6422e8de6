"""Batch normalization: values by hand, gradients and inference against Keras's own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from whales.nets.batch_norm import BatchNormalization, MovingStatistics

PHOTOS = np.random.default_rng(0).normal(3, 2, (4, 3, 3, 2)).astype(np.float32)


def array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def built(layer_class, **options):
    layer = layer_class(epsilon=0.01, momentum=0.9, **options)
    layer.build(PHOTOS.shape)
    layer.gamma.assign([2.0, 0.5])
    layer.beta.assign([1.0, -1.0])
    return layer


def test_training_by_hand():
    layer = built(BatchNormalization)
    values = np.array([1.0, 3.0, 5.0, 7.0], np.float32)  # mean 4, variance 5
    photos = np.stack([values, values * 10], axis=-1).reshape(4, 1, 1, 2)
    outputs = array(layer(photos, training=True))
    expected = (values - 4) / np.sqrt(5.01) * 2 + 1
    np.testing.assert_allclose(outputs[:, 0, 0, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(array(layer.moving_mean), [0, 0])  # not asked to follow


def test_a_large_mean_costs_the_variance_no_digits():
    values = np.array([4095.0, 4097.0] * 2, np.float32)  # mean 4096, variance 1
    photos = np.stack([values, values], axis=-1).reshape(4, 1, 1, 2)
    outputs = array(built(BatchNormalization)(photos, training=True))
    expected = (values - 4096) / np.sqrt(1.01) * 2 + 1
    np.testing.assert_allclose(outputs[:, 0, 0, 0], expected, atol=1e-3)


def test_moving_statistics_by_hand():
    photo = keras.Input((1, 1, 2))
    layer = BatchNormalization(epsilon=0.01)
    statistics = MovingStatistics(
        keras.Model(photo, keras.layers.GlobalMaxPooling2D()(layer(photo))), momentum=0.9
    )
    values = np.array([1.0, 3.0, 5.0, 7.0], np.float32)
    first = np.stack([values, values * 10], axis=-1).reshape(4, 1, 1, 2)
    statistics(first, training=True)
    # Unbiased 5 * 4 / 3 = 20 / 3, and once more: times 4 / 2.99.
    variance = np.array([20 / 3, 2000 / 3]) * 4 / 2.99
    np.testing.assert_allclose(array(layer.moving_mean), [4, 40], rtol=1e-6)
    np.testing.assert_allclose(array(layer.moving_variance), variance, rtol=1e-6)
    statistics(first * 2, training=True)
    # (0.9 * 4 + 1 * 8) / 1.9, and four times the variance with the same shares.
    np.testing.assert_allclose(array(layer.moving_mean), [11.6 / 1.9, 116 / 1.9], rtol=1e-6)
    np.testing.assert_allclose(array(layer.moving_variance), variance * 4.9 / 1.9, rtol=1e-6)
    kept = array(layer.moving_mean)
    statistics(first, training=False)
    np.testing.assert_array_equal(array(layer.moving_mean), kept)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the fused operation is its")
def test_values_and_gradients_are_those_of_keras():
    results = []
    for layer_class in (BatchNormalization, keras.layers.BatchNormalization):
        layer, photos = built(layer_class), tf.Variable(PHOTOS)
        with tf.GradientTape() as tape:
            outputs = layer(photos, training=True)
            loss = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(loss, [photos, *layer.trainable_weights])
        results.append([outputs, *gradients])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-4, atol=2e-3)


def test_inference_uses_the_moving_statistics_and_a_frozen_layer_where_it_is_asked_to():
    layer = built(BatchNormalization)
    expected = PHOTOS / np.sqrt(1.01) * [2.0, 0.5] + [1.0, -1.0]
    np.testing.assert_allclose(array(layer(PHOTOS)), expected, rtol=1e-4, atol=1e-5)
    by_the_batch = array(layer(PHOTOS, training=True))
    layer.trainable = False
    np.testing.assert_array_equal(array(layer(PHOTOS, training=True)), by_the_batch)
    layer.frozen_inference = True
    np.testing.assert_allclose(array(layer(PHOTOS, training=True)), expected, rtol=1e-4, atol=1e-5)
    layer.trainable = True
    np.testing.assert_array_equal(array(layer(PHOTOS, training=True)), by_the_batch)
