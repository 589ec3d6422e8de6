"""Weight files of the published layouts, against Keras 2.2.4 and networks in plain NumPy."""

import gzip
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest

from kernel_snn import a01_kernel_model as kernel
from siamese_net_v5_densenet121 import a01_seamese_net_models_v5 as v5
from siamese_net_v6_se_resnext import a01_seamese_net_models_v6 as v6
from siamese_net_v6_se_resnext.a01_se_resnext_branch import build_se_resnext
from whales.base.errors import UserError
from whales.nets.network import assemble, imagenet_preprocess, symmetric_preprocess
from whales.nets.weight_files import ATTRIBUTE_LIMIT, KNOWN_NETS, load_branch

SHARED = Path(os.environ.get("WHALES_SHARED", Path(__file__).parents[2].parent / "shared"))
FIXTURES = SHARED / "fixtures" / "legacy_weights"


# --- files of Keras 2.2.4 -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("v5_densenet121", lambda: v5.build_network(96)),
        ("kernel_rgb", lambda: kernel.build_network(96)),
        ("kernel_gray", lambda: kernel.build_network(96, channels=1)),
    ],
)
def test_published_layout_gives_the_values_of_keras_2(name, build, tmp_path):
    packed = FIXTURES / f"{name}.h5.gz"
    if not packed.is_file():
        pytest.skip(f"{packed} is missing (WHALES_SHARED names the folder of shared data)")
    path = tmp_path / f"{name}.model_weights"
    with gzip.open(packed) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target)
    expected = np.load(FIXTURES / f"{name}.npz")
    net = build()
    net.load_weights(path)
    left, right = net.preprocess(expected["xa"]), net.preprocess(expected["xb"])
    for photos, features in ((left, expected["fa"]), (right, expected["fb"])):
        np.testing.assert_allclose(net.branch.predict_on_batch(photos), features, 1e-3, 1e-3)
    scores = net.model.predict_on_batch([left, right])
    np.testing.assert_allclose(scores, expected["score"], atol=1e-4)


# --- networks in NumPy, drawing their weights in saved order --------------------------------------


def convolve(x, weights, stride=1, pad=(0, 0)):
    """(n, h, w, in) with (kh, kw, in, out), zeros around: `pad` = before, after, on both axes."""
    x = np.pad(x, ((0, 0), pad, pad, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weights.shape[:2], axis=(1, 2))
    return np.tensordot(windows[:, ::stride, ::stride], weights, ((4, 5, 3), (0, 1, 2)))


def max_pool(x, side, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return windows[:, ::stride, ::stride].max(axis=(4, 5))


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Weights:
    """Random weights, made in the order of their first use; the same ones at each later pass."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.rewind()
        self.trained, self.moving = [], []

    def rewind(self):
        self.next_trained = self.next_moving = 0

    def draw(self, *shape, spread=None, centre=0.0):
        if self.next_trained == len(self.trained):
            fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 100
            noise = self.rng.normal(size=shape) * (spread or np.sqrt(2 / fan_in))
            self.trained.append((centre + noise).astype(np.float32))
        self.next_trained += 1
        return self.trained[self.next_trained - 1].astype(np.float64)

    def normalize(self, x, epsilon):
        gamma = self.draw(x.shape[-1], spread=0.1, centre=1.0)
        beta = self.draw(x.shape[-1], spread=0.1)
        if self.next_moving == len(self.moving):
            # Variances that hold the growth of a residual net back, so that values stay of order 1.
            mean, variance = (
                self.rng.normal(size=x.shape[-1]),
                self.rng.uniform(0.8, 1.6, x.shape[-1]),
            )
            self.moving += [(0.1 * mean).astype(np.float32), variance.astype(np.float32)]
        mean, variance = self.moving[self.next_moving : self.next_moving + 2]
        self.next_moving += 2
        return gamma * (x - mean) / np.sqrt(variance.astype(float) + epsilon) + beta


def kernel_features(x, w):
    """The kernel net's branch, (n, 64, 64, C) -> (n, 512)."""

    def conv(x, filters, side, stride=1):
        total = side - stride  # 'same' for sides that the stride divides
        pad = (total // 2, total - total // 2)
        return convolve(x, w.draw(side, side, x.shape[-1], filters), stride, pad) + w.draw(filters)

    x = relu(conv(x, 64, 9, 2))
    x = max_pool(x, 2, 2)
    for _ in range(2):
        x = relu(conv(w.normalize(x, 1e-3), 64, 3))
    for filters, inner in ((128, 64), (256, 64), (384, 96), (512, 128)):
        x = relu(conv(w.normalize(max_pool(x, 2, 2), 1e-3), filters, 1))
        for _ in range(4):
            x = w.normalize(x, 1e-3)
            y = relu(conv(x, inner, 1))
            y = relu(conv(w.normalize(y, 1e-3), inner, 3))
            x = relu(x + conv(w.normalize(y, 1e-3), filters, 1))
    return x.max(axis=(1, 2))


SMALL = {"stem": 8, "blocks": (2, 2), "channels": (16, 32), "groups": 4, "reduction": 8}


def se_resnext_features(x, w, stem, blocks, channels, groups, reduction):
    """The v6 branch at any depth and width, grouped kernels drawn one by one."""
    epsilon = 9.999999747378752e-06

    def conv_norm(x, filters, side=1, stride=1, pad=0):
        x = convolve(x, w.draw(side, side, x.shape[-1], filters), stride, (pad, pad))
        return w.normalize(x, epsilon)

    x = relu(conv_norm(x, stem, 7, 2, 3))
    x = max_pool(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 3, 2)
    for stage, (depth, filters) in enumerate(zip(blocks, channels, strict=True)):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            y = relu(conv_norm(x, filters // 2))
            part = y.shape[-1] // groups
            y = [
                convolve(
                    y[..., g * part : (g + 1) * part], w.draw(3, 3, part, part), stride, (1, 1)
                )
                for g in range(groups)
            ]
            y = relu(w.normalize(np.concatenate(y, -1), epsilon))
            y = conv_norm(y, filters)
            gate = y.mean((1, 2), keepdims=True)
            inner = filters // reduction
            gate = relu(convolve(gate, w.draw(1, 1, filters, inner)) + w.draw(inner))
            y = y * sigmoid(convolve(gate, w.draw(1, 1, inner, filters)) + w.draw(filters))
            if stride > 1 or x.shape[-1] != filters:
                x = conv_norm(x, filters, 1, stride)
            x = relu(y + x)
    return x.max(axis=(1, 2))


def head_scores(a, b, w):
    """(n, d) twice -> (n, 1)."""
    rows = np.stack([a * b, a + b, abs(a - b), (a - b) ** 2], axis=-1)  # (n, d, 4)
    first = w.draw(4, 1, 1, 32, spread=0.3)[:, 0, 0]
    hidden = relu(rows @ first + w.draw(32))
    second = w.draw(1, 32, 1, 1, spread=0.1)[0, :, 0, 0]
    each = hidden @ second + w.draw(1)
    logit = each @ w.draw(a.shape[1], 1, spread=0.3 / a.shape[1])
    return sigmoid(logit + w.draw(1))


def se_resnext_network():
    return assemble(build_se_resnext(48, **SMALL, name="small"), imagenet_preprocess, 48)


CASES = {
    "kernel": (lambda: kernel.build_network(64), kernel_features, (2, 64, 64, 3)),
    "se_resnext": (
        se_resnext_network,
        lambda x, w: se_resnext_features(x, w, **SMALL),
        (2, 48, 48, 3),
    ),
}


def numpy_siamese(features, shape, seed):
    """Random photos and weights: (photos of both sides, features, scores, branch, head)."""
    rng = np.random.default_rng(seed)
    photos = rng.normal(size=(2, *shape)).astype(np.float32)
    branch, head = Weights(seed + 1), Weights(seed + 2)
    both = []
    for side in photos:
        branch.rewind()
        both.append(features(side.astype(float), branch))
    return photos, both, head_scores(*both, head), branch, head


def write_group(file, name, arrays, chunks=1):
    """A layer group as Keras 2 wrote it; names are arbitrary, on purpose."""
    group = file.create_group(name)
    names = [f"some_{i}/weight:0".encode() for i in range(len(arrays))]
    for key, array in zip(names, arrays, strict=True):
        group[key.decode()] = array
    if chunks == 1:
        group.attrs["weight_names"] = names or np.zeros(0, "S1")
    else:
        for number, part in enumerate(np.array_split(np.array(names), chunks)):
            group.attrs[f"weight_names{number}"] = part


def write_plain(path, branch, head, chunks=1):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"input_9", b"input_10", b"model_1", b"model_2"]
        write_group(file, "input_9", [])
        write_group(file, "input_10", [])
        write_group(file, "model_1", branch.trained + branch.moving, chunks)
        write_group(file, "model_2", head.trained)


def write_two_gpu(path, branch, head, chunks=1):
    with h5py.File(path, "w") as file:
        names = ["input_1", "input_2", "lambda_1", "lambda_2", "full_model", "out"]
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            full = branch.trained + head.trained + branch.moving if name == "full_model" else []
            write_group(file, name, full, chunks if full else 1)


@pytest.mark.parametrize("write", [write_plain, write_two_gpu])
@pytest.mark.parametrize("case", CASES)
def test_both_layouts_give_the_values_of_numpy(case, write, tmp_path):
    build, features, shape = CASES[case]
    photos, both, scores, branch, head = numpy_siamese(features, shape, seed=20)
    write(tmp_path / "w.model", branch, head, chunks=3 if case == "kernel" else 1)
    net = build()
    net.set_branch_trainable(False)  # must not change the order
    net.load_weights(tmp_path / "w.model")
    for side, expected in zip(photos, both, strict=True):
        assert abs(expected[0] - expected[1]).max() > 0.1  # the photos matter
        np.testing.assert_allclose(net.branch.predict_on_batch(side), expected, 1e-3, 1e-3)
    np.testing.assert_allclose(net.model.predict_on_batch(list(photos)), scores, atol=1e-4)


def test_layer_values_land_where_they_belong(tmp_path):
    branch, head = numpy_siamese(*CASES["se_resnext"][1:], seed=30)[3:]
    write_plain(tmp_path / "w.h5", branch, head)
    net = se_resnext_network()
    net.load_weights(tmp_path / "w.h5")
    layer = net.branch.get_layer
    np.testing.assert_array_equal(layer("stem_conv").get_weights()[0], branch.trained[0])
    gamma, beta, mean, variance = layer("stem_bn").get_weights()
    for value, stored in ((gamma, branch.trained[1]), (beta, branch.trained[2])):
        np.testing.assert_array_equal(value, stored)
    for value, stored in ((mean, branch.moving[0]), (variance, branch.moving[1])):
        np.testing.assert_array_equal(value, stored)
    # Stem 3, first 1x1 and its normalization 3, then the four groups of the 3x3.
    grouped = layer("stage1_block0_conv2").get_weights()[0]
    assert grouped.shape == (3, 3, 2, 8)
    for g in range(4):
        np.testing.assert_array_equal(grouped[..., 2 * g : 2 * g + 2], branch.trained[6 + g])
    dense = net.head.get_layer("weighted-average").get_weights()
    np.testing.assert_array_equal(dense[0], head.trained[4])


def test_branch_file_with_one_group_per_layer(tmp_path):
    """The layout of ImageNet files: a normalization's statistics follow its gamma and beta."""
    photos, both, _, branch, _ = numpy_siamese(*CASES["se_resnext"][1:], seed=40)
    trained, moving, layers = iter(branch.trained), iter(branch.moving), [[]]
    for array in trained:
        if array.ndim == 4 and array.shape[:2] == (1, 1) and array.shape[2:] in EXCITE:
            layers.append([array, next(trained)])
        elif array.ndim == 4:
            layers.append([array])
        else:
            layers.append([array, next(trained), next(moving), next(moving)])
    with h5py.File(tmp_path / "imagenet.h5", "w") as file:
        names = [f"layer_{i}" for i in range(len(layers))]
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name, arrays in zip(names, layers, strict=True):
            write_group(file, name, arrays)
    net = se_resnext_network()
    load_branch(net.branch, tmp_path / "imagenet.h5")
    np.testing.assert_allclose(net.branch.predict_on_batch(photos[0]), both[0], 1e-3, 1e-3)
    with pytest.raises(UserError, match=r"imagenet\.h5: not ImageNet weights of densenet_smoke"):
        load_branch(v5.build_branch(32, v5.SMOKE), tmp_path / "imagenet.h5")


def write_branch_alone(path, branch, seed):
    """ImageNet's layout: a group for each layer, those without weights too. Returns what is in it."""
    rng, values = np.random.default_rng(seed), {}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [f"x_{i}".encode() for i in range(len(branch.layers))]
        for i, layer in enumerate(branch.layers):
            arrays = [rng.uniform(0.5, 1, w.shape).astype(np.float32) for w in layer.get_weights()]
            groups = getattr(layer, "groups", 1)
            values[layer.name] = arrays
            write_group(file, f"x_{i}", np.split(arrays[0], groups, -1) if groups > 1 else arrays)
    return values


@pytest.mark.parametrize("module", [v5, v6])
def test_a_training_may_start_from_a_file_of_the_branch_alone(module, tmp_path, capsys):
    """The file that the stage asks for, given by --weights: the head stays as initialised."""
    path = tmp_path / "downloaded.h5"
    keras.utils.set_random_seed(5)
    head = module.build_network(32, profile="smoke").head.get_weights()
    values = write_branch_alone(path, module.build_network(32, profile="smoke").branch, seed=41)
    capsys.readouterr()
    keras.utils.set_random_seed(5)
    net = module.build_network(32, weights=path, profile="smoke")
    assert capsys.readouterr().out == (
        f"{path}: weights of the branch alone; the head stays as initialised\n"
    )
    assert sum(map(len, values.values())) > 20
    for layer in net.branch.layers:
        for value, stored in zip(layer.get_weights(), values[layer.name], strict=True):
            np.testing.assert_array_equal(value, stored)
    for value, drawn in zip(net.head.get_weights(), head, strict=True):
        np.testing.assert_array_equal(value, drawn)


def test_a_branch_alone_is_no_net_to_score_with(tmp_path):
    net = v5.build_network(32, profile="smoke")
    write_branch_alone(tmp_path / "branch.h5", net.branch, seed=42)
    assert_refused(net, tmp_path / "branch.h5", "expected groups of a branch and a head")


def test_a_branch_of_another_net_is_refused_at_the_start_too(tmp_path):
    path = tmp_path / "branch.h5"
    write_branch_alone(path, v5.build_network(32, profile="smoke").branch, seed=43)
    with pytest.raises(UserError, match="not ImageNet weights of seresnext_smoke") as refusal:
        v6.build_network(32, weights=path, profile="smoke")
    assert str(refusal.value).startswith(f"{path}: ")


EXCITE = {(16, 2), (2, 16), (32, 4), (4, 32)}  # of SMALL: the only convolutions with a bias


def test_one_channel_weights_see_the_mean_of_the_channels(tmp_path):
    grey, _, scores, branch, head = numpy_siamese(kernel_features, (2, 64, 64, 1), seed=50)
    path = tmp_path / "mpiotte-standard.model"
    write_plain(path, branch, head)
    net = kernel.build_network(64, weights=path)
    # Three different channels with the grey photo as their mean.
    shift = np.random.default_rng(51).normal(size=(2, 64, 64, 1)).astype(np.float32)
    colour = [np.concatenate([side + shift, side - shift, side], axis=-1) for side in grey]
    np.testing.assert_allclose(net.model.predict_on_batch(colour), scores, atol=1e-4)
    first = net.branch.get_layer("bm_conv2d_1").get_weights()[0]
    for channel in range(3):
        np.testing.assert_allclose(first[:, :, channel], branch.trained[0][:, :, 0] / 3, rtol=1e-6)


def test_three_channel_weights_do_not_fit_a_one_channel_net(tmp_path):
    branch, head = numpy_siamese(kernel_features, (1, 64, 64, 3), seed=52)[3:]
    write_plain(tmp_path / "rgb.model", branch, head)
    with pytest.raises(UserError, match=r"expected \(9, 9, 1, 64\), received .*\(9, 9, 3, 64\)"):
        kernel.build_network(64, weights=tmp_path / "rgb.model", channels=1)


# --- writing --------------------------------------------------------------------------------------


def randomize(net, seed):
    rng = np.random.default_rng(seed)
    for model in (net.branch, net.head):
        model.set_weights([rng.uniform(0.5, 1, w.shape) for w in model.get_weights()])


def all_weights(net):
    return net.branch.get_weights() + net.head.get_weights()


def assert_same_weights(net, expected):
    for value, other in zip(all_weights(net), expected, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("module", [kernel, v5, v6])
def test_weights_survive_a_round_trip(module, tmp_path):
    first, second = (module.build_network(64, profile="smoke") for _ in range(2))
    randomize(first, 60)
    path = tmp_path / "deep" / "temp0_0.912345"
    first.save_weights(path)
    second.load_weights(path)
    assert_same_weights(second, all_weights(first))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_equal_weights_give_equal_bytes(tmp_path):
    net = v6.build_network(32, profile="smoke")
    randomize(net, 61)
    net.save_weights(tmp_path / "a.h5")
    time.sleep(1.1)  # a time of writing, in seconds, would differ
    net.set_branch_trainable(False)
    net.save_weights(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_half_the_bytes_hold_the_nearest_halves(tmp_path, channels):
    net = kernel.build_network(64, channels=channels)
    randomize(net, 64)
    for name in ("a.h5", "b.h5"):
        net.save_weights(tmp_path / name, half=True)
    net.save_weights(tmp_path / "whole.h5")
    small, whole = (tmp_path / "a.h5").stat().st_size, (tmp_path / "whole.h5").stat().st_size
    assert small < 0.6 * whole
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    other = kernel.build_network(64, weights=tmp_path / "a.h5", channels=channels)
    # NumPy's rounding to the nearest, and back, which is exact.
    assert_same_weights(
        other, [value.astype(np.float16).astype(np.float32) for value in all_weights(net)]
    )
    if channels == 1:
        colour = kernel.build_network(64, weights=tmp_path / "a.h5")
        first, grey = (
            one.branch.get_layer("bm_conv2d_1").get_weights()[0] for one in (colour, other)
        )
        np.testing.assert_array_equal(first, np.repeat(grey / np.float32(3), 3, axis=2))


@pytest.mark.parametrize("value", [65505.0, 1e9, -np.inf, np.nan])
def test_numbers_that_half_the_bytes_cannot_hold_are_refused(tmp_path, value):
    net = kernel.build_network(64)
    weights = net.head.get_weights()
    weights[0][0, 0, 0, 0] = value
    net.head.set_weights(weights)
    with pytest.raises(UserError, match=r"hm_conv_2d_1/kernel has numbers that float16 cannot"):
        net.save_weights(tmp_path / "w.h5", half=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_halves_that_are_no_finite_numbers_are_refused(tmp_path, value):
    net = kernel.build_network(64)
    net.save_weights(tmp_path / "w.h5", half=True)
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        file["head/hm_conv_2d_1/kernel:0"][0, 0, 0, 0] = value
    with pytest.raises(UserError, match=r"w\.h5: .*hm_conv_2d_1/kernel:0 holds NaN or infinite"):
        net.load_weights(tmp_path / "w.h5")


def test_saved_layout_is_the_published_one(tmp_path):
    net = v6.build_network(32, profile="smoke")
    net.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert list(file.attrs["layer_names"]) == [
            b"input_1", b"input_2", b"seresnext_smoke", b"head",
        ]  # fmt: skip
        assert [len(file[name].attrs["weight_names"]) for name in ("input_1", "input_2")] == [0, 0]
        group = file["seresnext_smoke"]
        names = [name.decode() for name in group.attrs["weight_names"]]
        statistics = [i for i, name in enumerate(names) if "moving_" in name]
        assert statistics == list(range(statistics[0], len(names)))
        conv = [i for i, name in enumerate(names) if name.startswith("stage1_block0_conv2_")]
        assert conv == list(range(conv[0], conv[0] + 8))
        assert {group[names[i]].shape for i in conv} == {(3, 3, 2, 2)}
        head = [name.decode() for name in file["head"].attrs["weight_names"]]
        assert head == [
            f"{layer}/{kind}:0"
            for layer in ("hm_conv_2d_1", "hm_conv_2d_2", "weighted-average")
            for kind in ("kernel", "bias")
        ]


def test_long_lists_of_names_are_cut_as_in_keras_2(tmp_path):
    def build():
        photo = keras.Input((1, 1, 1))
        x = keras.layers.Flatten()(photo)
        for i in range(150):
            x = keras.layers.Dense(1, name=f"{'long_' * 80}{i}")(x)
        return assemble(keras.Model(photo, x, name="long"), symmetric_preprocess, 1)

    net, other = build(), build()
    randomize(net, 62)
    net.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        chunks = [file["long"].attrs[f"weight_names{i}"] for i in range(2)]
        assert "weight_names" not in file["long"].attrs
        assert all(chunk.nbytes <= ATTRIBUTE_LIMIT for chunk in chunks)
    other.load_weights(tmp_path / "w.h5")
    assert_same_weights(other, all_weights(net))


def test_keras_2_reads_what_is_written(tmp_path, monkeypatch):
    tf_keras = pytest.importorskip("tf_keras")
    net = kernel.build_network(64)
    net.save_weights(tmp_path / "w.h5")
    photos = np.random.default_rng(63).normal(size=(2, 64, 64, 3)).astype(np.float32)
    expected = net.branch.predict_on_batch(photos)
    monkeypatch.setitem(sys.modules, "keras", tf_keras)
    layers = SimpleNamespace(BatchNormalization=tf_keras.layers.BatchNormalization)
    monkeypatch.setitem(sys.modules, "whales.nets.batch_norm", layers)
    branch = kernel.build_branch(64)
    assert isinstance(branch, tf_keras.Model)
    photo = tf_keras.Input((64, 64, 3))
    with h5py.File(tmp_path / "w.h5") as file, h5py.File(tmp_path / "branch.h5", "w") as alone:
        file.copy("branch_model", alone)
        alone.attrs["layer_names"] = [b"branch_model"]
        alone.attrs["keras_version"] = file.attrs["keras_version"]
        alone.attrs["backend"] = file.attrs["backend"]
    tf_keras.Model(photo, branch(photo)).load_weights(tmp_path / "branch.h5")
    np.testing.assert_allclose(branch.predict_on_batch(photos), expected, rtol=1e-4, atol=1e-5)


# --- refusals -------------------------------------------------------------------------------------


def assert_refused(net, path, *parts):
    before = all_weights(net)
    with pytest.raises(UserError) as refusal:
        net.load_weights(path)
    message = str(refusal.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message
    assert_same_weights(net, before)


def test_weights_of_another_net_are_refused_and_change_nothing(tmp_path):
    other = kernel.build_network(64)
    other.save_weights(tmp_path / "kernel.h5")
    net = v6.build_network(32, profile="smoke")
    assert_refused(
        net,
        tmp_path / "kernel.h5",
        "weights of another net than seresnext_smoke",
        "(stem_conv/kernel:0): expected (7, 7, 3, 32), received bm_conv2d_1/kernel:0 (9, 9, 3, 64)",
        "the file fits the kernel net",
    )


def test_a_head_that_does_not_fit_leaves_the_branch_alone(tmp_path):
    _, _, _, branch, head = numpy_siamese(*CASES["se_resnext"][1:], seed=70)
    head.trained[4] = head.trained[4][:-1]
    write_plain(tmp_path / "w.h5", branch, head)
    assert_refused(se_resnext_network(), tmp_path / "w.h5", "expected (32, 1), received", "(31, 1)")


@pytest.mark.parametrize("change", ["one more", "one less"])
def test_wrong_number_of_arrays_is_refused(change, tmp_path):
    _, _, _, branch, head = numpy_siamese(*CASES["se_resnext"][1:], seed=71)
    total = len(branch.trained) + len(branch.moving)
    if change == "one more":
        branch.moving.append(branch.moving[-1])
        received = total + 1
    else:
        branch.moving.pop()
        received = total - 1
    write_plain(tmp_path / "w.h5", branch, head)
    assert_refused(
        se_resnext_network(), tmp_path / "w.h5", f"expected {total} arrays, received {received}"
    )


def test_damaged_files_are_refused(tmp_path):
    net = v5.build_network(32, profile="smoke")
    net.save_weights(tmp_path / "whole.h5")
    whole = (tmp_path / "whole.h5").read_bytes()
    damaged = {"half.h5": whole[: len(whole) // 2], "text.h5": b"not weights", "empty.h5": b""}
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        assert_refused(net, tmp_path / name, "not a whole Keras 2 HDF5 weight file")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["array"] = np.zeros(3)
    assert_refused(net, tmp_path / "foreign.h5", "no attribute layer_names")
    with h5py.File(tmp_path / "whole.h5", "r+") as file:
        del file["head"]["weighted-average/bias:0"]
    assert_refused(net, tmp_path / "whole.h5", "not a whole Keras 2 HDF5 weight file")
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file.attrs["layer_names"] = [b"input_1"]
        write_group(file, "input_1", [])
    assert_refused(net, tmp_path / "bare.h5", "received 0 groups with weights")


def test_known_nets_are_named_by_what_they_save(tmp_path):
    named = {}
    builds = [(kernel, "full"), (v5, "full"), (v5, "smoke"), (v6, "full"), (v6, "smoke")]
    for module, profile in builds:
        net = module.build_network(64, profile=profile)
        net.save_weights(tmp_path / "w.h5")
        with h5py.File(tmp_path / "w.h5") as file:
            names = [file[g].attrs["weight_names"] for g in (net.branch.name, "head")]
        width = net.branch.output_shape[-1]
        named[sum(map(len, names)), width] = (module, profile)
    assert set(named) == set(KNOWN_NETS)
    for key, (module, profile) in named.items():
        word = {kernel: "kernel", v5: "v5", v6: "v6"}[module]
        assert word in KNOWN_NETS[key]
        assert ("smoke" in KNOWN_NETS[key]) == (profile == "smoke")
