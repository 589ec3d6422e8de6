"""The kernel net: a residual branch of its own, global max pooling, photos scaled to -1..1.

One net in both profiles: it is small enough for a CPU at the smoke profile's photo size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whales.base.errors import UserError
from whales.nets.network import (
    SiameseNetwork,
    assemble,
    check_profile,
    check_size,
    start_from,
    symmetric_preprocess,
)

if TYPE_CHECKING:
    import keras

SMALLEST = 64  # pixels a side: six halvings
PROFILES = ("full", "smoke")


@dataclass(frozen=True)
class Stage:
    """Four residual blocks at one resolution."""

    channels: int
    inner: int


STEM = 64  # channels of the 9x9 and the two 3x3 convolutions
STAGES = (Stage(128, 64), Stage(256, 64), Stage(384, 96), Stage(512, 128))
BLOCKS_PER_STAGE = 4


def build_network(
    size: int, weights: Path | str | None = None, profile: str = "full", channels: int = 3
) -> SiameseNetwork:
    """Siamese net for photos of `size` pixels a side with `channels` channels.

    weights: None or "none" (random) or a weight file; a one-channel file may start a net of three
    channels. Raises `UserError` for a size below 64, for "imagenet", or a file that does not fit.
    """
    check_size(size, SMALLEST, "the kernel net", "it halves them six times")
    check_profile(profile, None, PROFILES)
    if weights == "imagenet":
        raise UserError(
            "the kernel net has no ImageNet weights: start with --weights none or a weight file"
        )
    branch = build_branch(size, channels)
    network = assemble(branch, symmetric_preprocess, size, averaged_kernel="bm_conv2d_1")
    return start_from(network, weights)


def build_branch(size: int | None, channels: int = 3) -> keras.Model:
    """Branch (n, size, size, channels) float32 -> (n, 512) features after the last ReLU.

    size: in pixels, None for photos of any size. Layer names are those of the published weights.
    """
    import keras
    from keras import layers

    from whales.nets.batch_norm import BatchNormalization

    photo = keras.Input((size, size, channels), name="photo")
    x = _conv(photo, STEM, 9, "bm_conv2d_1", "relu", strides=2)
    x = layers.MaxPooling2D(2, name="bm_mp_2")(x)
    for i in range(2):
        x = BatchNormalization(name=f"bm_bn_2_{i}")(x)
        x = _conv(x, STEM, 3, f"bm_relu_2_{i}", "relu")
    block = 0
    for number, stage in enumerate(STAGES, start=3):
        x = layers.MaxPooling2D(2, name=f"bm_mp_{number}")(x)
        x = BatchNormalization(name=f"bm_bn_{number}")(x)
        x = _conv(x, stage.channels, 1, f"bm_conv2d_{number}", "relu")
        for _ in range(BLOCKS_PER_STAGE):
            x = _residual(x, stage, block)
            block += 1
    return keras.Model(photo, layers.GlobalMaxPooling2D(name="gmp_2d")(x), name="branch_model")


def _residual(x: keras.KerasTensor, stage: Stage, n: int) -> keras.KerasTensor:
    """x = BN(x); ReLU(x + (1x1 ReLU, BN, 3x3 ReLU, BN, 1x1)(x))."""
    from keras import layers

    from whales.nets.batch_norm import BatchNormalization

    x = BatchNormalization(name=f"bm_bn_1_sub_{n}")(x)
    y = _conv(x, stage.inner, 1, f"bm_conv2d_1_sub_{n}", "relu")
    y = BatchNormalization(name=f"bm_bn_2_sub_{n}")(y)
    y = _conv(y, stage.inner, 3, f"bm_conv2d_2_sub_{n}", "relu")
    y = BatchNormalization(name=f"bm_bn_3_sub_{n}")(y)
    y = _conv(y, stage.channels, 1, f"bm_conv2d_3_sub_{n}")
    x = layers.Add(name=f"bm_add_{n}")([x, y])
    return layers.Activation("relu", name=f"bm_relu_sub_{n}")(x)


def _conv(
    x: keras.KerasTensor,
    filters: int,
    side: int,
    name: str,
    activation: str | None = None,
    strides: int = 1,
) -> keras.KerasTensor:
    from keras import layers

    return layers.Conv2D(
        filters, side, strides=strides, padding="same", activation=activation, name=name
    )(x)
