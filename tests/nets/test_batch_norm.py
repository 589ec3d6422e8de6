"""Batch normalization: values by hand, gradients and inference against Keras's own layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from whales.nets.batch_norm import BatchNormalization

PHOTOS = np.random.default_rng(0).normal(3, 2, (4, 3, 3, 2)).astype(np.float32)


def built(layer_class, **options):
    layer = layer_class(epsilon=0.01, momentum=0.9, **options)
    layer.build(PHOTOS.shape)
    layer.gamma.assign([2.0, 0.5])
    layer.beta.assign([1.0, -1.0])
    return layer


def test_training_by_hand():
    layer = built(BatchNormalization)
    values = np.array([1.0, 3.0, 5.0, 7.0], np.float32)  # mean 4, variance 5, unbiased 20 / 3
    photos = np.stack([values, values * 10], axis=-1).reshape(4, 1, 1, 2)
    outputs = np.asarray(layer(photos, training=True))
    expected = (values - 4) / np.sqrt(5.01) * 2 + 1
    np.testing.assert_allclose(outputs[:, 0, 0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(layer.moving_mean), [0.4, 4.0], rtol=1e-5)
    unbiased = np.array([20 / 3, 2000 / 3])
    np.testing.assert_allclose(np.asarray(layer.moving_variance), 0.9 + 0.1 * unbiased, rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the fused operation is its")
def test_values_and_gradients_are_those_of_keras():
    results = []
    for layer_class in (BatchNormalization, keras.layers.BatchNormalization):
        layer, photos = built(layer_class), tf.Variable(PHOTOS)
        with tf.GradientTape() as tape:
            outputs = layer(photos, training=True)
            loss = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(loss, [photos, *layer.trainable_weights])
        results.append([outputs, *gradients, layer.moving_mean])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-4, atol=2e-3)


def test_inference_and_a_frozen_layer_use_the_moving_statistics():
    layer = built(BatchNormalization)
    expected = PHOTOS / np.sqrt(1.01) * [2.0, 0.5] + [1.0, -1.0]
    np.testing.assert_allclose(np.asarray(layer(PHOTOS)), expected, rtol=1e-4, atol=1e-5)
    layer.trainable = False
    np.testing.assert_allclose(
        np.asarray(layer(PHOTOS, training=True)), expected, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(np.asarray(layer.moving_mean), [0, 0])
