"""The head's weights as plain arrays, and in the folded form that the compiled pair scores take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import keras


class HeadWeights(NamedTuple):
    """The head's weights as the compiled kernel takes them, all float32."""

    rows: np.ndarray  # (5, k): for a*b, a+b, |a-b|, (a-b)^2, bias
    mix: np.ndarray  # (k,) second convolution
    features: np.ndarray  # (d,) weighted average
    constant: np.float32  # all biases after the rectifier, summed


class FoldedHead(NamedTuple):
    """The head with the second convolution folded into the first, see `whales.scores.pair_scores`."""

    rows: np.ndarray  # (5, units + 1) float32: |v| times `HeadWeights.rows`, then the sum of all vg
    negative: int  # so many units, the first ones, have v < 0; the count of each sign is even
    features: np.ndarray  # (d,) float32
    constant: np.float32


def folded(weights: HeadWeights) -> FoldedHead:
    """Fold the head: units with v < 0 first, a unit of zeros added to each sign of odd count."""
    rows = weights.rows.astype(np.float64) * weights.mix
    signs = [-rows[:, weights.mix < 0], rows[:, weights.mix > 0]]
    negative, positive = (np.pad(units, ((0, 0), (0, units.shape[1] % 2))) for units in signs)
    units = np.concatenate([negative, positive, rows.sum(axis=1, keepdims=True)], axis=1)
    return FoldedHead(
        units.astype(np.float32), negative.shape[1], weights.features, weights.constant
    )


def head_weights(head: keras.Model) -> HeadWeights:
    """The weights of a Keras head whose layers are named as the published ones; ValueError otherwise."""
    kernel1, bias1 = map(np.asarray, _weights(head, "hm_conv_2d_1"))
    kernel2, bias2 = map(np.asarray, _weights(head, "hm_conv_2d_2"))
    average, bias = map(np.asarray, _weights(head, "weighted-average"))
    rows = np.concatenate([kernel1[:, 0, 0, :], bias1[None]]).astype(np.float32)
    features = average[:, 0].astype(np.float32)
    constant = np.float32(bias[0] + bias2[0] * features.sum(dtype=np.float64))
    return HeadWeights(rows, kernel2[0, :, 0, 0].astype(np.float32), features, constant)


def _weights(head: keras.Model, layer: str) -> list[np.ndarray]:
    return head.get_layer(layer).get_weights()


def as_features(features: np.ndarray, weights: HeadWeights) -> np.ndarray:
    """(n, d) float32, contiguous; ValueError where d differs from the head's."""
    features = np.ascontiguousarray(features, np.float32)
    if features.ndim != 2 or features.shape[1] != len(weights.features):
        raise ValueError(
            f"expected features (n, {len(weights.features)}), received {features.shape}"
        )
    return features
