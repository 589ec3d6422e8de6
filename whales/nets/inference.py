"""A network's outputs without gradients, traced or compiled once where the backend does so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def inference_function(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function (n, ...) float32 -> (n, d) outputs of `model` with the weights that it has when called.

    PyTorch, and TensorFlow on a GPU or in half precision: Keras's `predict_on_batch`. TensorFlow on a CPU:
    `folded`. Keras's own function for JAX compiles again whenever a layer is frozen or freed, and gives
    the memory of all weights away to be written over, so that arrays that a variable shares with its owner
    are lost. The one here does neither.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow" and model.distribute_strategy.num_replicas_in_sync > 1:
        return _on_first_device(model)  # Keras's own would give each device all photos, and add up
    if backend == "tensorflow" and model.compute_dtype == "float32" and _one_processor():
        return folded(model)
    if backend != "jax":
        return model.predict_on_batch
    import jax

    variables = model.variables  # in an order that does not depend on what is trainable

    @jax.jit
    def compute(values: list[jax.Array], inputs: jax.Array) -> jax.Array:
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return model(inputs, training=False)

    return lambda inputs: np.array(compute([variable.value for variable in variables], inputs))


def _on_first_device(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """`inference_function` of a model that was made in the scope of a strategy of TensorFlow."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def compute(photos: tf.Tensor) -> tf.Tensor:
        return model(photos, training=False)

    return lambda photos: compute(tf.convert_to_tensor(photos)).numpy()


def _one_processor() -> bool:
    import tensorflow as tf

    return [device.device_type for device in tf.config.list_logical_devices()] == ["CPU"]


def folded(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """`inference_function` on TensorFlow, batch normalization taken into the convolution before it.

    TensorFlow then computes convolution, bias and rectifier in one operation, instead of reading and
    writing the whole tensor for each: v6 at 384 px takes half the time.
    model: of one input, and layers that are called once.
    """
    import keras
    import tensorflow as tf

    norm_after = foldable(model)
    taken_in = {id(layer) for layer in norm_after.values()}

    def output(layer: keras.Layer, inputs: object) -> object:
        if layer in norm_after:
            return _normalized_convolution(layer, norm_after[layer], inputs)
        return inputs if id(layer) in taken_in else layer(inputs, training=False)

    # Of any number of photos: for each number it would be traced anew, which takes seconds.
    @tf.function(input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)])
    def compute(photos: tf.Tensor) -> tf.Tensor:
        values = {id(model.input): photos}
        for layer in model.layers:  # each after those that it needs
            if not isinstance(layer, keras.layers.InputLayer):
                inputs = keras.tree.map_structure(lambda tensor: values[id(tensor)], layer.input)
                values[id(layer.output)] = output(layer, inputs)
        return values[id(model.output)]

    return lambda photos: compute(tf.convert_to_tensor(photos, tf.float32)).numpy()


def foldable(model: keras.Model) -> dict[keras.Layer, keras.Layer]:
    """Convolution -> the batch normalization that alone takes what it computes, unchanged."""
    import keras

    flat = keras.tree.flatten
    taken = Counter(id(tensor) for layer in model.layers for tensor in flat(layer.input))
    taken.update(id(tensor) for tensor in model.outputs)
    of_output = {
        id(layer.output): layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
        and layer.dilation_rate == (1, 1)
    }
    return {
        of_output[id(layer.input)]: layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        and id(layer.input) in of_output
        and taken[id(layer.input)] == 1
    }


def _normalized_convolution(
    layer: keras.layers.Conv2D, norm: keras.layers.BatchNormalization, inputs: tf.Tensor
) -> tf.Tensor:
    """(n, h, w, c) -> (n, h', w', filters): what `norm` makes of the layer's outputs, moving statistics."""
    import tensorflow as tf

    scale = norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)
    shift = norm.beta - norm.moving_mean * scale
    if layer.use_bias:
        shift += layer.bias * scale
    strides, padding = list(layer.strides), layer.padding.upper()
    outputs = tf.nn.conv2d(inputs, layer.kernel * scale, strides, padding)
    # TensorFlow fuses `bias_add` and a rectifier with any convolution, and then cannot compute one of groups
    # without oneDNN. Stages and tools switch that on, other programs need not. With it a sum is fused too.
    return outputs + shift if layer.groups > 1 else tf.nn.bias_add(outputs, shift)
