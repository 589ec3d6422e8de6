"""A network's outputs without gradients, traced or compiled once where the backend does so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


def inference_function(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function (n, ...) float32 -> (n, d) outputs of `model` with the weights that it has when called.

    TensorFlow and PyTorch: Keras's `predict_on_batch`. Keras's own function for JAX compiles again
    whenever a layer is frozen or freed, and gives the memory of all weights away to be written over, so
    that arrays that a variable shares with its owner are lost. The one here does neither.
    """
    import keras

    if keras.backend.backend() != "jax":
        return model.predict_on_batch
    import jax

    variables = model.variables  # in an order that does not depend on what is trainable

    @jax.jit
    def compute(values: list[jax.Array], inputs: jax.Array) -> jax.Array:
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            return model(inputs, training=False)

    return lambda inputs: np.array(compute([variable.value for variable in variables], inputs))
