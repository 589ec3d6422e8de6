"""The v5 net: DenseNet121 branch, global max pooling, ImageNet preprocessing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whales.nets.first_weights import FirstWeights
from whales.nets.network import (
    SiameseNetwork,
    assemble,
    check_profile,
    check_size,
    imagenet_preprocess,
    start_from,
)
from whales.nets.weight_files import load_branch

if TYPE_CHECKING:
    import keras

IMAGENET = FirstWeights(
    name="densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
    url="https://storage.googleapis.com/tensorflow/keras-applications/densenet/"
    "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
    md5="30ee3e1110167f948a6b9946edeeb738",
)
SMALLEST = 32  # pixels a side: five halvings
BATCH_NORM_EPSILON = 1.001e-5  # of the ImageNet weights


@dataclass(frozen=True)
class Shape:
    """Depth and width of a DenseNet.

    stem: channels of the first convolution; blocks: dense layers in each dense block; growth:
    channels that a dense layer adds, a quarter of its bottleneck.
    """

    name: str
    stem: int
    blocks: tuple[int, ...]
    growth: int


FULL = Shape(name="densenet121", stem=64, blocks=(6, 12, 24, 16), growth=32)
SMOKE = Shape(name="densenet_smoke", stem=32, blocks=(2, 2, 2, 2), growth=16)
PROFILES = {"full": FULL, "smoke": SMOKE}


def build_network(
    size: int, weights: Path | str | None = None, profile: str = "full"
) -> SiameseNetwork:
    """Siamese net for RGB photos of `size` pixels a side.

    weights: None or "none" (random), "imagenet" (branch only), or a weight file, see `start_from`.
    Raises `UserError` for a size below 32, ImageNet weights with another profile than full, or a file
    that does not fit.
    """
    check_size(size, SMALLEST, "the v5 net", "DenseNet halves them five times")
    check_profile(profile, weights, PROFILES)
    branch = build_branch(size, PROFILES[profile])
    network = assemble(branch, imagenet_preprocess, size)
    if weights == "imagenet":
        load_branch(branch, IMAGENET.fetch())
        return network
    return start_from(network, weights)


def build_branch(size: int, shape: Shape = FULL) -> keras.Model:
    """Branch (n, size, size, 3) float32 -> (n, d) features after the last ReLU; d is 1024 in full.

    Built here, since keras.applications offers the published depths alone.
    """
    import keras
    from keras import layers

    photo = keras.Input((size, size, 3), name="photo")
    x = layers.ZeroPadding2D(3, name="zero_padding2d")(photo)
    x = _conv(x, shape.stem, 7, "conv1_conv", strides=2)
    x = _normalized_relu(x, "conv1")
    x = layers.ZeroPadding2D(1, name="zero_padding2d_1")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for number, depth in enumerate(shape.blocks, start=2):
        for i in range(1, depth + 1):
            x = _dense_layer(x, shape.growth, f"conv{number}_block{i}")
        if number <= len(shape.blocks):
            x = _normalized_relu(x, f"pool{number}")
            x = _conv(x, x.shape[-1] // 2, 1, f"pool{number}_conv")
            x = layers.AveragePooling2D(2, name=f"pool{number}_pool")(x)
    x = _normalized_relu(x)
    return keras.Model(photo, layers.GlobalMaxPooling2D(name="max_pool")(x), name=shape.name)


def _dense_layer(x: keras.KerasTensor, growth: int, name: str) -> keras.KerasTensor:
    """Append `growth` channels computed from all channels so far."""
    from keras import layers

    y = _normalized_relu(x, f"{name}_0")
    y = _conv(y, 4 * growth, 1, f"{name}_1_conv")
    y = _normalized_relu(y, f"{name}_1")
    y = _conv(y, growth, 3, f"{name}_2_conv")
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def _normalized_relu(x: keras.KerasTensor, name: str = "") -> keras.KerasTensor:
    """Batch normalization, then ReLU."""
    from keras import layers

    from whales.nets.batch_norm import BatchNormalization

    prefix = f"{name}_" if name else ""
    x = BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"{prefix}bn")(x)
    return layers.Activation("relu", name=f"{prefix}relu")(x)


def _conv(
    x: keras.KerasTensor, filters: int, side: int, name: str, strides: int = 1
) -> keras.KerasTensor:
    from keras import layers

    # The strided stem has its padding from ZeroPadding2D, as ImageNet's weights were trained.
    padding = "same" if strides == 1 else "valid"
    return layers.Conv2D(
        filters, side, strides=strides, padding=padding, use_bias=False, name=name
    )(x)
