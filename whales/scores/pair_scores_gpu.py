"""Pair scores on an accelerator: the head's formula in tiles, jitted by Keras's backend.

Where the backend compiles (XLA under TensorFlow and JAX), a tile's (queries, gallery, d) numbers are
never stored: the perceptron's units are summed within the reduction over features.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

if TYPE_CHECKING:
    from whales.scores.head import HeadWeights

# Queries and gallery photos of one call, always as many: another shape would be traced anew.
TILE = (64, 512)

Tensor = keras.KerasTensor  # stands for the tensors of any backend


def available() -> bool:
    """Whether Keras's backend computes on an accelerator."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU"))
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    return False


def score_rows(queries: np.ndarray, gallery: np.ndarray, weights: HeadWeights) -> np.ndarray:
    """Pair scores (n, m) float32 of queries (n, d) and gallery (m, d), both float32 features."""
    count, size = TILE
    scores = np.empty((len(queries), len(gallery)), np.float32)
    score = _compiled()
    head = [ops.convert_to_tensor(array) for array in weights]
    columns = [
        (start, ops.convert_to_tensor(_padded(gallery[start : start + size], size)))
        for start in range(0, len(gallery), size)
    ]
    for row in range(0, len(queries), count):
        left = ops.convert_to_tensor(_padded(queries[row : row + count], count))
        # All tiles of these rows are begun before the first result is fetched.
        tiles = [(start, score(left, right, *head)) for start, right in columns]
        for start, tile in tiles:
            block = scores[row : row + count, start : start + size]
            block[:] = np.asarray(ops.convert_to_numpy(tile))[: block.shape[0], : block.shape[1]]
    return scores


def _padded(features: np.ndarray, count: int) -> np.ndarray:
    return np.pad(features, ((0, count - len(features)), (0, 0)))


@cache
def _compiled() -> Callable[..., Tensor]:
    """`_score`, compiled where the backend can."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(_score, jit_compile=True)
    if backend == "jax":
        import jax

        return jax.jit(_score)
    return _score


def _score(
    left: Tensor, right: Tensor, rows: Tensor, mix: Tensor, features: Tensor, constant: Tensor
) -> Tensor:
    """Features (n, d) and (m, d), and a `HeadWeights` -> probabilities (n, m), all float32."""
    a, b = left[:, None, :], right[None, :, :]
    product, total, distance = a * b, a + b, ops.abs(a - b)
    square = distance * distance
    inner = ops.zeros_like(product)
    for k in range(rows.shape[1]):
        unit = rows[0, k] * product + rows[1, k] * total + rows[2, k] * distance
        inner += mix[k] * ops.relu(unit + rows[3, k] * square + rows[4, k])
    return ops.sigmoid(ops.sum(inner * features, axis=-1) + constant)
