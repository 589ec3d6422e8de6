"""Pair scores on an accelerator: the head's formula in tiles, jitted by Keras's backend.

A tile's (queries, gallery, d) numbers are never stored where the backend compiles (XLA under TensorFlow
and JAX): the perceptron's units are summed within the reduction over features.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

if TYPE_CHECKING:
    from whales.scores.head import HeadWeights

# Queries and gallery photos of one call; one shape only, since another one would be traced anew.
TILE = (64, 512)


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
    """Pair scores (n, m) float32 of (n, d) queries and (m, d) gallery features."""
    count, size = TILE
    scores = np.empty((len(queries), len(gallery)), np.float32)
    score = _compiled()
    head = [ops.convert_to_tensor(part) for part in weights]
    columns = [
        (start, ops.convert_to_tensor(_padded(gallery[start : start + size], size)))
        for start in range(0, len(gallery), size)
    ]
    for row in range(0, len(queries), count):
        left = ops.convert_to_tensor(_padded(queries[row : row + count], count))
        # All tiles of these rows are sent off before the first result is waited for.
        tiles = [(start, score(left, right, *head)) for start, right in columns]
        for start, tile in tiles:
            part = scores[row : row + count, start : start + size]
            part[:] = ops.convert_to_numpy(tile)[: part.shape[0], : part.shape[1]]
    return scores


def _padded(features: np.ndarray, count: int) -> np.ndarray:
    return np.pad(features, ((0, count - len(features)), (0, 0)))


@cache
def _compiled() -> Callable[..., Any]:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(_score, jit_compile=True)
    if backend == "jax":
        import jax

        return jax.jit(_score)
    return _score


def _score(left: Any, right: Any, rows: Any, mix: Any, features: Any, constant: Any) -> Any:
    """(n, d), (m, d) and a `HeadWeights` -> (n, m) probabilities."""
    a, b = left[:, None, :], right[None, :, :]
    product, total, distance = a * b, a + b, ops.abs(a - b)
    square = distance * distance
    inner = ops.zeros_like(product)
    for k in range(rows.shape[1]):
        unit = rows[0, k] * product + rows[1, k] * total + rows[2, k] * distance
        inner += mix[k] * ops.relu(unit + rows[3, k] * square + rows[4, k])
    return ops.sigmoid(ops.sum(inner * features, axis=-1) + constant)
