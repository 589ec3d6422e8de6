"""The grouped convolution for CPUs against one convolution for each group in NumPy, both ways through it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_net_v6_se_resnext import a01_grouped_convolution as grouped
from siamese_net_v6_se_resnext.a01_grouped_convolution import GroupedConv2D

SHAPES = {
    "groups": st.sampled_from([1, 2, 3, 4, 8]),
    "group_in": st.sampled_from([1, 3]),
    "group_out": st.sampled_from([1, 2]),
    "strides": st.sampled_from([(1, 1), (2, 2), (2, 1)]),
    "size": st.sampled_from([(7, 7), (8, 5), (6, 6)]),
}


def windows_of(photos, strides):
    """(n, h', w', c, 3, 3): what each output sees."""
    found = np.lib.stride_tricks.sliding_window_view(photos, (3, 3), axis=(1, 2))
    return found[:, :: strides[0], :: strides[1]]


def convolved(photos, kernel, groups, strides):
    """One group after the other, without padding: (n, h, w, c) with (3, 3, c / groups, filters)."""
    parts = zip(np.split(photos, groups, -1), np.split(kernel, groups, -1), strict=True)
    return np.concatenate(
        [np.einsum("nhwcij,ijco->nhwo", windows_of(part, strides), own) for part, own in parts], -1
    )


def gradients(photos, kernel, upstream, groups, strides):
    """Of the inputs and of the kernel: each window gets, and gives, its share."""
    of_photos, of_kernel = np.zeros_like(photos), np.zeros_like(kernel)
    for group in range(groups):
        own = np.split(np.arange(photos.shape[-1]), groups)[group]
        out = np.split(np.arange(kernel.shape[-1]), groups)[group]
        seen, given_back = windows_of(photos[..., own], strides), upstream[..., out]
        of_kernel[..., out] = np.einsum("nhwcij,nhwo->ijco", seen, given_back)
        shares = np.einsum("nhwo,ijco->nhwcij", given_back, kernel[..., out])
        for row, column in np.ndindex(shares.shape[1:3]):
            y, x = row * strides[0], column * strides[1]
            corner = of_photos[:, y : y + 3, x : x + 3, own[0] : own[-1] + 1]
            corner += shares[:, row, column].transpose(0, 2, 3, 1)
    return of_photos, of_kernel


def example(groups, group_in, group_out, size):
    rng = np.random.default_rng([groups, group_in, group_out, *size])
    photos = rng.normal(size=(2, *size, groups * group_in))
    return photos, rng.normal(size=(3, 3, group_in, groups * group_out)), rng


@given(**SHAPES)
@settings(max_examples=25, deadline=None)
def test_both_ways_to_train_and_their_gradients(groups, group_in, group_out, strides, size):
    photos, kernel, rng = example(groups, group_in, group_out, size)
    expected = convolved(photos, kernel, groups, strides)
    upstream = rng.normal(size=expected.shape)
    wanted = gradients(photos, kernel, upstream, groups, strides)
    inputs = tf.constant(photos, tf.float32)
    layer = GroupedConv2D(len(expected[0, 0, 0]), 3, strides=strides, groups=groups, use_bias=False)
    layer.build(photos.shape)
    layer.set_weights([kernel])
    weights = layer.kernel.value
    ways = (
        lambda: grouped.trained_grouped_convolution(inputs, weights, groups, strides),
        lambda: layer._bundled(inputs),
    )
    for way in ways:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = way()
        np.testing.assert_allclose(outputs, expected, atol=1e-4)
        found = tape.gradient(outputs, [inputs, weights], tf.constant(upstream, tf.float32))
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


@given(channels=st.sampled_from([1, 4, 64]), **SHAPES)
@settings(max_examples=12, deadline=None)
def test_a_layer_gives_the_same_by_every_way(channels, groups, group_in, group_out, strides, size):
    photos, kernel, rng = example(groups, group_in, group_out, size)
    layer = GroupedConv2D(groups * group_out, 3, strides=strides, groups=groups)
    layer.build(photos.shape)
    bias = rng.normal(size=groups * group_out)
    layer.set_weights([kernel, bias])
    expected = convolved(photos, kernel, groups, strides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouped, "CHANNELS_OF_BUNDLE", channels)
        patch.setattr(grouped, "_native_gradient_is_slow", lambda: True)
        inputs = tf.constant(photos, tf.float32)
        for outputs in (layer(inputs), layer(inputs, training=True)):
            np.testing.assert_allclose(outputs, expected + bias, atol=1e-4)
        np.testing.assert_allclose(layer._bundled(inputs), expected, atol=1e-4)


@pytest.mark.parametrize("given", [{"padding": "same"}, {"dilation_rate": 2}])
def test_what_has_no_gradients_of_our_own_is_refused(given):
    with pytest.raises(ValueError, match="expected no padding and no dilation"):
        GroupedConv2D(4, 3, groups=2, **given)


@pytest.mark.parametrize(("groups", "most", "fit"), [(32, 16, 16), (32, 2, 2), (8, 0, 1)])
def test_the_largest_divisor(groups, most, fit):
    assert grouped.largest_divisor(groups, most) == fit


def test_slow_gradients_are_avoided_in_training_alone(monkeypatch):
    ours = []
    trained = grouped.trained_grouped_convolution
    monkeypatch.setattr(
        grouped, "trained_grouped_convolution", lambda *args: ours.append(1) or trained(*args)
    )
    layer = GroupedConv2D(4, 3, groups=2)
    photos = np.ones((1, 3, 3, 4), np.float32)
    for slow, training, times in [(1, True, 1), (1, False, 0), (0, True, 0), (0, False, 0)]:
        monkeypatch.setattr(grouped, "_native_gradient_is_slow", lambda slow=slow: bool(slow))
        ours.clear()
        layer(photos, training=training)
        assert len(ours) == times, (slow, training)


def test_a_step_of_a_model_goes_down_the_gradient(monkeypatch):
    monkeypatch.setattr(grouped, "_native_gradient_is_slow", lambda: True)
    photos, kernel, _ = example(4, 2, 3, (6, 6))
    photo = keras.Input(photos.shape[1:])
    layer = GroupedConv2D(12, 3, groups=4, use_bias=False)
    model = keras.Model(photo, layer(photo))
    layer.set_weights([kernel])
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    outputs = convolved(photos, kernel, 4, (1, 1))
    model.train_on_batch(photos.astype(np.float32), np.zeros(outputs.shape, np.float32))
    down = gradients(photos, kernel, 2 * outputs / outputs.size, 4, (1, 1))[1]
    np.testing.assert_allclose(layer.kernel, kernel - down, atol=1e-5)
