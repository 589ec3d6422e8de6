"""The networks against formulas, Keras's own layers and plain NumPy."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_snn import a01_kernel_model as kernel
from siamese_net_v5_densenet121 import a01_seamese_net_models_v5 as v5
from siamese_net_v6_se_resnext import a01_seamese_net_models_v6 as v6
from siamese_net_v6_se_resnext.a01_grouped_convolution import GroupedConv2D
from whales.base.errors import UserError
from whales.nets.batch_norm import BatchNormalization
from whales.nets.network import (
    assemble,
    build_head,
    computing_in,
    imagenet_preprocess,
    symmetric_preprocess,
)


@pytest.fixture(scope="module")
def v5_full():
    return v5.build_network(64)


@pytest.fixture(scope="module")
def v6_full():
    return v6.build_network(64)


@pytest.fixture(scope="module")
def kernel_net():
    return kernel.build_network(64)


def shuffle_weights(model, rng):
    """Give every weight random values, variances positive."""
    for weight in model.weights:
        noise = rng.normal(size=weight.shape) * 0.2
        weight.assign(np.abs(noise) + 0.5 if "variance" in weight.name else noise)


# --- head -----------------------------------------------------------------------------------------


def head_by_formula(head, a, b):
    """One pair, feature by feature, in float64."""
    weights = {
        name: [np.asarray(w, np.float64) for w in head.get_layer(name).get_weights()]
        for name in ("hm_conv_2d_1", "hm_conv_2d_2", "weighted-average")
    }
    (w1, b1), (w2, b2), (w3, b3) = weights.values()
    logit = b3[0]
    for i, (x, y) in enumerate(zip(a.astype(float), b.astype(float), strict=True)):
        row = [x * y, x + y, abs(x - y), (x - y) ** 2]
        hidden = [
            max(0.0, sum(row[k] * w1[k, 0, 0, j] for k in range(4)) + b1[j]) for j in range(32)
        ]
        logit += w3[i, 0] * (sum(hidden[j] * w2[0, j, 0, 0] for j in range(32)) + b2[0])
    return 1 / (1 + math.exp(-logit))


def test_head_agrees_with_its_formula():
    rng = np.random.default_rng(1)
    head = build_head(7)
    shuffle_weights(head, rng)
    a, b = rng.exponential(size=(2, 5, 7)).astype(np.float32)
    scores = head.predict_on_batch([a, b])
    assert scores.shape == (5, 1)
    expected = [head_by_formula(head, x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(scores[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(head.predict_on_batch([b, a]), scores, atol=1e-6)


def test_head_has_the_published_size_and_layer_names():
    head = build_head(1024)
    assert head.count_params() == 1218
    names = [
        "lambda_1", "lambda_2", "lambda_3", "lambda_4", "concat_1", "reshape1", "hm_conv_2d_1",
        "hm_reshape_2", "hm_conv_2d_2", "flatten", "weighted-average",
    ]  # fmt: skip
    assert {layer.name for layer in head.layers} >= set(names)


# --- sizes and shapes -----------------------------------------------------------------------------


def test_parameter_counts(v5_full, v6_full, kernel_net):
    assert v5_full.model.count_params() == 7_038_722
    assert v6_full.branch.count_params() == 25_579_120
    assert kernel_net.head.count_params() == 4 * 32 + 32 + 32 + 1 + 512 + 1
    assert [net.branch.output_shape[-1] for net in (v5_full, v6_full, kernel_net)] == [
        1024, 2048, 512,
    ]  # fmt: skip


def test_kernel_net_has_the_published_layer_names(kernel_net):
    names = {layer.name for layer in kernel_net.branch.layers}
    single = {"bm_conv2d_1", "bm_bn_2_0", "bm_bn_2_1", "bm_relu_2_0", "bm_relu_2_1", "gmp_2d"}
    stages = {f"bm_{kind}_{n}" for kind in ("mp", "bn", "conv2d") for n in range(3, 7)}
    blocks = {f"bm_{kind}_{i}_sub_{n}" for kind in ("bn", "conv2d") for i in (1, 2, 3)
              for n in range(16)}  # fmt: skip
    ends = {f"{kind}_{n}" for kind in ("bm_add", "bm_relu_sub") for n in range(16)}
    assert names - {"photo"} == single | stages | {"bm_mp_2"} | blocks | ends


@pytest.mark.parametrize(
    ("module", "size", "smallest"), [(kernel, 63, "64"), (v5, 31, "32"), (v6, 31, "32")]
)
def test_photos_too_small_are_refused(module, size, smallest):
    with pytest.raises(UserError, match=rf"at least {smallest} px.*received {size} px"):
        module.build_network(size)


@pytest.mark.parametrize("module", [kernel, v5, v6])
def test_unknown_profile_is_refused(module):
    with pytest.raises(UserError, match="unknown profile 'tiny', expected one of full, smoke"):
        module.build_network(64, profile="tiny")


def test_smallest_photos_give_features():
    for module in (v5, v6):
        net = module.build_network(32, profile="smoke")
        features = net.branch.predict_on_batch(np.ones((2, 32, 32, 3), np.float32))
        assert features.shape == (2, net.head.input_shape[0][-1])
        assert (features >= 0).all()


# --- branches -------------------------------------------------------------------------------------


def test_v5_branch_is_keras_densenet121(v5_full):
    reference = keras.applications.DenseNet121(
        include_top=False, weights=None, input_shape=(64, 64, 3), pooling="max"
    )
    rng = np.random.default_rng(2)
    v5_full.branch.set_weights(reference.get_weights())
    photos = rng.normal(size=(2, 64, 64, 3)).astype(np.float32)
    expected = reference.predict_on_batch(photos)
    np.testing.assert_allclose(v5_full.branch.predict_on_batch(photos), expected, rtol=1e-4)


def test_v6_widths_strides_and_epsilon(v6_full):
    branch = v6_full.branch
    grouped = [x for x in branch.layers if isinstance(x, GroupedConv2D)]
    assert [layer.filters for layer in grouped] == [128] * 3 + [256] * 4 + [512] * 6 + [1024] * 3
    assert {layer.groups for layer in grouped} == {32}
    halving = [i for i, layer in enumerate(grouped) if layer.strides == (2, 2)]
    assert halving == [3, 7, 13]
    norms = [x for x in branch.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.epsilon for layer in norms} == {9.999999747378752e-06}
    with_bias = {x.name for x in branch.layers if getattr(x, "use_bias", False)}
    assert with_bias == {x.name for x in branch.layers if "excite" in x.name}
    assert len([x for x in branch.layers if "projection_conv" in x.name]) == 4


def test_model_is_the_head_over_both_branches():
    net = v6.build_network(32, profile="smoke")
    shuffle_weights(net.head, np.random.default_rng(3))
    a, b = np.random.default_rng(4).normal(size=(2, 3, 32, 32, 3)).astype(np.float32)
    features = [net.branch.predict_on_batch(x) for x in (a, b)]
    expected = net.head.predict_on_batch(features)
    np.testing.assert_allclose(net.model.predict_on_batch([a, b]), expected, atol=1e-6)


def test_each_side_has_its_own_batch_statistics():
    photo = keras.Input((2, 2, 1))
    x = keras.layers.BatchNormalization(momentum=0.5, name="bn")(photo)
    branch = keras.Model(photo, keras.layers.GlobalMaxPooling2D()(x), name="tiny")
    net = assemble(branch, symmetric_preprocess, 2)
    a, b = np.full((4, 2, 2, 1), 1.0, np.float32), np.full((4, 2, 2, 1), 5.0, np.float32)
    net.model([a, b], training=True)
    # Two updates by half, to each side's mean: (0 + 1) / 2, then (0.5 + 5) / 2. Pooled statistics
    # would give one update to 1.5 and a variance that is not pulled towards 0.
    bn = branch.get_layer("bn")
    np.testing.assert_allclose(np.asarray(bn.moving_mean), [2.75], atol=1e-5)
    np.testing.assert_allclose(np.asarray(bn.moving_variance), [0.25], atol=1e-5)


def test_a_frozen_branch_keeps_weights_and_statistics():
    net = v5.build_network(32, profile="smoke")
    net.set_branch_trainable(False)
    net.model.compile("sgd", "binary_crossentropy", jit_compile=False)
    before = net.branch.get_weights()
    head_before = net.head.get_weights()
    photos = np.random.default_rng(5).normal(size=(4, 32, 32, 3)).astype(np.float32)
    net.model.train_on_batch([photos, photos[::-1].copy()], np.array([[1], [0], [1], [0]]))
    for old, new in zip(before, net.branch.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    head_after = net.head.get_weights()
    assert any(not np.array_equal(o, n) for o, n in zip(head_before, head_after, strict=True))
    net.set_branch_trainable(True)
    assert len(net.model.trainable_weights) > len(head_before)


def test_mixed_precision_halves_the_branch_alone():
    photos = np.random.default_rng(3).normal(size=(4, 32, 32, 3)).astype(np.float32)
    exact = v6.build_network(32, profile="smoke")
    with computing_in("mixed_bfloat16"):
        mixed = v6.build_network(32, profile="smoke")
    assert keras.config.dtype_policy().name == "float32"
    for mine, other in zip(mixed.model.weights, exact.model.weights, strict=True):
        assert mine.dtype == "float32"
        mine.assign(other)
    assert {layer.compute_dtype for layer in mixed.branch.layers} == {"bfloat16"}
    assert {layer.compute_dtype for layer in mixed.head.layers} == {"float32"}
    features, rounded = (np.asarray(net.branch(photos), np.float32) for net in (exact, mixed))
    assert 0 < np.abs(rounded - features).max() < 0.1 * features.max()  # bfloat16 keeps 8 bits
    assert np.asarray(mixed.model([photos, photos])).dtype == np.float32


def test_a_branch_in_mixed_precision_trains():
    with computing_in("mixed_bfloat16"):
        photo = keras.Input((4, 4, 8))
        x = BatchNormalization()(photo)
        x = GroupedConv2D(16, 3, groups=4)(x)
        branch = keras.Model(photo, keras.layers.GlobalMaxPooling2D()(x), name="tiny")
    net = assemble(branch, symmetric_preprocess, 4)
    net.model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", jit_compile=False)
    a, b = np.random.default_rng(4).normal(size=(2, 8, 4, 4, 8)).astype(np.float32)
    labels = np.arange(8)[:, None] % 2
    losses = [net.model.train_on_batch([a, b], labels) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert {weight.dtype for weight in net.model.weights} == {"float32"}


# --- preprocessing --------------------------------------------------------------------------------


def test_imagenet_preprocessing_by_hand():
    photo = np.array([[[0, 128, 255]]], np.uint8)
    expected = [-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(imagenet_preprocess(photo)[0, 0], expected, rtol=1e-6)


@given(
    shape=st.sampled_from([(2, 3, 3), (1, 2, 3, 3)]),
    seed=st.integers(0, 2**16),
    prepare=st.sampled_from([imagenet_preprocess, symmetric_preprocess]),
)
@settings(max_examples=25, deadline=None)
def test_preprocessing_takes_bytes_and_floats_alike(shape, seed, prepare):
    photos = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    kept = photos.copy()
    prepared = prepare(photos)
    assert prepared.dtype == np.float32
    assert prepared.shape == shape
    np.testing.assert_array_equal(prepared, prepare(photos.astype(np.float64)))
    np.testing.assert_array_equal(photos, kept)


def test_symmetric_preprocessing_spans_minus_one_to_one(kernel_net):
    np.testing.assert_array_equal(
        kernel_net.preprocess(np.array([[[0.0, 127.5, 255.0]]])), [[[-1, 0, 1]]]
    )


# --- first weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [v5, v6])
def test_imagenet_weights_are_for_the_full_profile(module):
    with pytest.raises(UserError, match="ImageNet weights fit the full profile only"):
        module.build_network(64, weights="imagenet", profile="smoke")


def test_kernel_net_has_no_imagenet_weights():
    with pytest.raises(UserError, match="no ImageNet weights"):
        kernel.build_network(64, weights="imagenet")


def test_none_means_random_weights_whichever_way_it_is_said():
    for weights in (None, "none"):
        net = v6.build_network(32, weights=weights, profile="smoke")
        first = np.asarray(net.branch.get_layer("stem_conv").kernel)
        assert first.std() > 0


def test_missing_weight_file(tmp_path):
    path: Path = tmp_path / "nothing.h5"
    with pytest.raises(UserError, match=r"nothing\.h5: weight file is missing"):
        v6.build_network(32, weights=path, profile="smoke")
