"""SE-ResNeXt branches: squeeze-excite, grouped bottlenecks."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import KerasTensor, layers

from siamese_net_v6_se_resnext.a01_grouped_convolution import GroupedConv2D
from whales.nets.batch_norm import BatchNormalization

# The published weights' value, a float32 of 1e-5.
BATCH_NORM_EPSILON = 9.999999747378752e-06


def build_se_resnext(
    size: int,
    stem: int,
    blocks: Sequence[int],
    channels: Sequence[int],
    groups: int,
    reduction: int,
    name: str,
    narrow: int = 2,
) -> keras.Model:
    """Branch (n, size, size, 3) float32 -> (n, channels[-1]) features after the last ReLU.

    stem: channels of the 7x7/2 convolution; blocks, channels: number and output channels of each
    stage's bottlenecks; groups: of the 3x3 convolutions; reduction: of the squeeze-excite bottleneck;
    narrow: by how much the 3x3 convolutions are narrower than the output. Every stage but the first
    halves the picture.
    """
    photo = keras.Input((size, size, 3), name="photo")
    x = layers.ZeroPadding2D(3, name="stem_pad")(photo)
    x = _convolution(x, stem, 7, "stem_conv", strides=2)
    x = _normalized(x, "stem", relu=True)
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    for stage, (number, filters) in enumerate(zip(blocks, channels, strict=True), start=1):
        for block in range(number):
            strides = 2 if stage > 1 and block == 0 else 1
            prefix = f"stage{stage}_block{block}"
            x = _bottleneck(x, filters, filters // narrow, strides, groups, reduction, prefix)
    x = layers.GlobalMaxPooling2D(name="max_pool")(x)
    return keras.Model(photo, x, name=name)


def _bottleneck(
    x: KerasTensor, filters: int, width: int, strides: int, groups: int, reduction: int, name: str
) -> KerasTensor:
    """1x1, grouped 3x3, 1x1, squeeze-excite, plus the input (projected where the shape changes)."""
    main = _convolution(x, width, 1, f"{name}_conv1")
    main = _normalized(main, f"{name}_1", relu=True)
    # One pixel on each side; "same" gives that without strides alone, and costs no copy of the tensor.
    if strides > 1:
        main = layers.ZeroPadding2D(1, name=f"{name}_pad")(main)
    main = GroupedConv2D(
        width,
        3,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        groups=groups,
        use_bias=False,
        kernel_initializer="he_uniform",
        name=f"{name}_conv2",
    )(main)
    main = _normalized(main, f"{name}_2", relu=True)
    main = _convolution(main, filters, 1, f"{name}_conv3")
    main = _normalized(main, f"{name}_3")
    main = _squeeze_excite(main, filters, reduction, name)
    if strides != 1 or x.shape[-1] != filters:
        x = _convolution(x, filters, 1, f"{name}_projection_conv", strides=strides)
        x = _normalized(x, f"{name}_projection")
    # Main path first: the order of the addition decides the order of the weights in a file.
    x = layers.Add(name=f"{name}_add")([main, x])
    return layers.Activation("relu", name=f"{name}_relu")(x)


def _squeeze_excite(x: KerasTensor, filters: int, reduction: int, name: str) -> KerasTensor:
    """Scale each channel by a number in 0..1 computed from the means of all channels."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    gate = layers.Conv2D(
        filters // reduction,
        1,
        activation="relu",
        kernel_initializer="he_uniform",
        name=f"{name}_excite1",
    )(gate)
    gate = layers.Conv2D(
        filters,
        1,
        activation="sigmoid",
        kernel_initializer="he_uniform",
        name=f"{name}_excite2",
    )(gate)
    return layers.Multiply(name=f"{name}_scale")([x, gate])


def _convolution(
    x: KerasTensor, filters: int, side: int, name: str, strides: int = 1
) -> KerasTensor:
    return layers.Conv2D(
        filters,
        side,
        strides=strides,
        use_bias=False,
        kernel_initializer="he_uniform",
        name=name,
    )(x)


def _normalized(x: KerasTensor, name: str, relu: bool = False) -> KerasTensor:
    x = BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu_inner")(x) if relu else x
