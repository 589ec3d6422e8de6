"""The grouped convolution for CPUs against one convolution for each group in NumPy, both ways through it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_net_v6_se_resnext import a01_grouped_convolution as grouped
from siamese_net_v6_se_resnext.a01_grouped_convolution import GroupedConv2D, Way

SHAPES = {
    "groups": st.sampled_from([1, 2, 3, 4, 8]),
    "group_in": st.sampled_from([1, 3]),
    "group_out": st.sampled_from([1, 2]),
    "way": st.sampled_from(
        [((1, 1), "valid"), ((1, 1), "same"), ((2, 2), "valid"), ((2, 1), "valid")]
    ),
    "size": st.sampled_from([(7, 7), (8, 5), (6, 6)]),
}


def padded(photos, padding):
    """With the zeros that a 3x3 kernel sees around them."""
    return np.pad(photos, ((0, 0), (1, 1), (1, 1), (0, 0))) if padding == "same" else photos


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
def test_both_ways_to_train_and_their_gradients(groups, group_in, group_out, way, size):
    strides, padding = way
    photos, kernel, rng = example(groups, group_in, group_out, size)
    framed = padded(photos, padding)
    expected = convolved(framed, kernel, groups, strides)
    upstream = rng.normal(size=expected.shape)
    of_framed, of_kernel = gradients(framed, kernel, upstream, groups, strides)
    of_photos = of_framed[:, 1:-1, 1:-1] if padding == "same" else of_framed
    inputs = tf.constant(photos, tf.float32)
    how = {"strides": strides, "padding": padding, "groups": groups}
    layer = GroupedConv2D(groups * group_out, 3, use_bias=False, **how)
    layer.build(photos.shape)
    layer.set_weights([kernel])
    weights = layer.kernel.value
    ways = (
        lambda: grouped.trained_grouped_convolution(
            inputs, weights, Way(groups, strides, padding.upper())
        ),
        lambda: layer._bundled(inputs),
    )
    for way in ways:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = way()
        np.testing.assert_allclose(outputs, expected, atol=1e-4)
        found = tape.gradient(outputs, [inputs, weights], tf.constant(upstream, tf.float32))
        for ours, theirs in zip(found, (of_photos, of_kernel), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


@given(channels=st.sampled_from([1, 4, 64]), **SHAPES)
@settings(max_examples=12, deadline=None)
def test_a_layer_gives_the_same_by_every_way(channels, groups, group_in, group_out, way, size):
    strides, padding = way
    photos, kernel, rng = example(groups, group_in, group_out, size)
    how = {"strides": strides, "padding": padding, "groups": groups}
    layer = GroupedConv2D(groups * group_out, 3, **how)
    layer.build(photos.shape)
    bias = rng.normal(size=groups * group_out)
    layer.set_weights([kernel, bias])
    expected = convolved(padded(photos, padding), kernel, groups, strides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouped, "CHANNELS_OF_BUNDLE", channels)
        patch.setattr(grouped, "_native_gradient_is_slow", lambda: True)
        inputs = tf.constant(photos, tf.float32)
        for outputs in (layer(inputs), layer(inputs, training=True)):
            np.testing.assert_allclose(outputs, expected + bias, atol=1e-4)
        np.testing.assert_allclose(layer._bundled(inputs), expected, atol=1e-4)


@pytest.mark.parametrize(
    "given",
    [
        {"padding": "same", "strides": 2},
        {"padding": "same", "strides": (1, 2)},
        {"padding": "same", "kernel_size": 2},
        {"dilation_rate": 2},
    ],
)
def test_what_has_no_gradients_of_our_own_is_refused(given):
    with pytest.raises(ValueError, match="expected no dilation, and no padding but"):
        GroupedConv2D(4, groups=2, **{"kernel_size": 3, **given})


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
