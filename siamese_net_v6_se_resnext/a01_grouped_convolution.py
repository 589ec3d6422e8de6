"""A grouped convolution that trains at a fair speed on CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
from keras import KerasTensor, layers, ops

if TYPE_CHECKING:
    import tensorflow as tf

# Channels of a plain convolution that stands for some groups (forward and back, JAX), and groups of one
# whose kernel's gradient alone is wanted (TensorFlow); both as measured at the sizes of v6.
CHANNELS_OF_BUNDLE = 64
GROUPS_OF_BUNDLE = 4


class Way(NamedTuple):
    """How a grouped convolution goes over its inputs; "SAME" for odd kernels and no strides alone."""

    groups: int
    strides: tuple[int, int]
    padding: str = "VALID"


class GroupedConv2D(layers.Conv2D):
    """A `Conv2D` with groups whose training does not crawl on a CPU.

    Same weights and values as `keras.layers.Conv2D(groups=...)`. On a CPU with the TensorFlow or JAX backend
    the gradient of the native grouped convolution is pathologically slow (100 times the plain one). In
    training TensorFlow is given gradients of our own. On JAX groups are bundled: each bundle of up to
    `CHANNELS_OF_BUNDLE` channels is one plain convolution whose kernel is block-diagonal.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As `keras.layers.Conv2D`; ValueError for dilation, strides or even kernels under "same"."""
        super().__init__(*args, **kwargs)
        plain = tuple(self.strides) == (1, 1) and all(side % 2 for side in self.kernel_size)
        if tuple(self.dilation_rate) != (1, 1) or not (self.padding == "valid" or plain):
            raise ValueError(
                f"expected no dilation, and no padding but of an odd kernel without strides, received "
                f"{self.dilation_rate}, {self.padding}"
            )

    def call(self, inputs: KerasTensor, training: bool | None = None) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', filters)."""
        if not (training and self.groups > 1 and _native_gradient_is_slow()):
            return super().call(inputs)
        if keras.backend.backend() == "tensorflow":
            kernel = ops.convert_to_tensor(self.kernel)  # in the precision that is computed in
            way = Way(self.groups, self.strides, self.padding.upper())
            outputs = trained_grouped_convolution(inputs, kernel, way)
        else:
            outputs = self._bundled(inputs)
        if self.use_bias:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)

    def _bundled(self, inputs: KerasTensor) -> KerasTensor:
        height, width, group_in, filters = self.kernel.shape
        bundled = largest_divisor(self.groups, CHANNELS_OF_BUNDLE // group_in)
        bundles = self.groups // bundled
        # (h, w, 1, in, bundle, group, out) x identity over (group', group): a group's inputs reach
        # its own outputs alone.
        kernel = ops.reshape(self.kernel, (height, width, 1, group_in, bundles, bundled, -1))
        identity = ops.eye(bundled, dtype=self.compute_dtype)
        kernel = kernel * ops.reshape(identity, (1, 1, bundled, 1, 1, bundled, 1))
        kernel = ops.reshape(kernel, (height, width, bundled * group_in, filters))
        outputs = [
            ops.conv(part, part_of_kernel, strides=list(self.strides), padding=self.padding)
            for part, part_of_kernel in zip(
                ops.split(inputs, bundles, axis=-1),
                ops.split(kernel, bundles, axis=-1),
                strict=True,
            )
        ]
        return ops.concatenate(outputs, axis=-1)


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor up to `most`, at least 1.

    >>> largest_divisor(32, 16), largest_divisor(6, 4), largest_divisor(7, 4), largest_divisor(8, 0)
    (16, 3, 1, 1)
    """
    return max((n for n in range(1, most + 1) if number % n == 0), default=1)


def trained_grouped_convolution(inputs: tf.Tensor, kernel: tf.Tensor, way: Way) -> tf.Tensor:
    """A grouped convolution, (n, h, w, c) -> (n, h', w', filters), with gradients of our own.

    TensorFlow has no fast gradient of it on a CPU, but its pass forward is fast, and so is the gradient
    of the inputs, which is a grouped convolution as well.
    kernel: (side, side, c / groups, filters), no side shorter than its stride.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def convolution(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return (
                _gradient_of_inputs(inputs, kernel, upstream, way),
                _gradient_of_kernel(inputs, kernel, upstream, way),
            )

        return tf.nn.conv2d(inputs, kernel, list(way.strides), way.padding), gradients

    return convolution(inputs, tf.convert_to_tensor(kernel))  # it takes no variables


def _gradient_of_inputs(
    inputs: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor, way: Way
) -> tf.Tensor:
    """The upstream gradient, apart by the strides, under the kernel turned by 180 degrees."""
    import tensorflow as tf

    height, width, group_in, filters = kernel.shape
    turned = tf.reshape(
        kernel[::-1, ::-1], (height, width, group_in, way.groups, filters // way.groups)
    )
    turned = tf.transpose(turned, (0, 1, 4, 3, 2))
    turned = tf.reshape(turned, (height, width, filters // way.groups, way.groups * group_in))
    if way.padding == "SAME":
        return tf.nn.conv2d(upstream, turned, 1, way.padding)
    down, along = way.strides
    count, rows, columns = tf.unstack(tf.shape(upstream)[:3])
    if max(way.strides) > 1:
        apart = tf.reshape(upstream, (count, rows, 1, columns, 1, filters))
        apart = tf.pad(apart, ((0, 0), (0, 0), (0, down - 1), (0, 0), (0, along - 1), (0, 0)))
        upstream = tf.reshape(apart, (count, rows * down, columns * along, filters))
    below = tf.shape(inputs)[1] - rows * down
    beside = tf.shape(inputs)[2] - columns * along
    upstream = tf.pad(upstream, ((0, 0), (height - 1, below), (width - 1, beside), (0, 0)))
    return tf.nn.conv2d(upstream, turned, 1, "VALID")


def _gradient_of_kernel(
    inputs: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor, way: Way
) -> tf.Tensor:
    """Of some groups at once as if they were one: of its gradient, each group's own block is kept."""
    import tensorflow as tf

    height, width, group_in, filters = kernel.shape
    bundled = largest_divisor(way.groups, GROUPS_OF_BUNDLE)
    bundles, group_out = way.groups // bundled, filters // way.groups
    blocks = []
    for part, part_of_upstream in zip(
        tf.split(inputs, bundles, axis=-1), tf.split(upstream, bundles, axis=-1), strict=True
    ):
        dense = tf.raw_ops.Conv2DBackpropFilter(
            input=part,
            filter_sizes=(height, width, bundled * group_in, bundled * group_out),
            out_backprop=part_of_upstream,
            strides=(1, *way.strides, 1),
            padding=way.padding,
        )
        dense = tf.reshape(dense, (height, width, bundled, group_in, bundled, group_out))
        own = tf.einsum("hwgigo->hwigo", dense)
        blocks.append(tf.reshape(own, (height, width, group_in, bundled * group_out)))
    return tf.concat(blocks, axis=-1)


def _native_gradient_is_slow() -> bool:
    if keras.backend.backend() not in ("tensorflow", "jax"):
        return False
    return all("cpu" in str(device).lower() for device in keras.distribution.list_devices())
