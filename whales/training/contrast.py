"""Teach a network on drawn animals: to find each photo's mate in its batch, and to draw the animal flat.

A batch of n photos gives n matches and n * (n - 2) mismatches for n passes through the branch, where pairs
give one comparison for two passes. A drawing of the animal, known where photos are generated, tells at
every step what the same animal looks like in any pose: from random weights that is learnt first. The head
learns along on three pairs of each photo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np
from keras import KerasTensor, ops

from whales.nets.batch_norm import MovingStatistics
from whales.training.learner import require_finite

if TYPE_CHECKING:
    from whales.nets.network import SiameseNetwork

_NEVER = -1e9  # the likeness of a photo with itself
_TINY = 1e-6
_COMPARED = 256  # numbers of a photo that `contrast_loss` compares
_OF_PAIRS = (
    0.5,
    0.25,
    0.25,
)  # of a photo's pairs: with its mate, its hardest mismatch, another one


class Weights(NamedTuple):
    """Of the losses in their sum: contrast, the drawing's mean squared error, the head's cross-entropy."""

    contrast: float = 1.0
    drawing: float = 1.0
    pairs: float = 1.0


def contrast_loss(codes: KerasTensor, features: KerasTensor, temperature: float) -> KerasTensor:
    """The loss of each photo, (n,): the cross-entropy of its mates among all other photos.

    codes: (n, 1) identities; features: (n, d), compared by the cosine of their differences from the
    batch's mean; temperature: that cosines are divided by. A photo with several mates has their mean; one
    without has 0.
    """
    mates, itself = _mates(codes, features)
    likeness = _cosines(features) / temperature + _NEVER * itself
    log_share = likeness - ops.logsumexp(likeness, axis=1, keepdims=True)
    return -ops.sum(mates * log_share, axis=1) / ops.maximum(ops.sum(mates, axis=1), 1.0)


def pair_loss(codes: KerasTensor, features: KerasTensor, head: keras.Model) -> KerasTensor:
    """The head's cross-entropy of each photo, (n,): with a mate, its likest mismatch, and another photo.

    codes: (n, 1) identities; features: (n, d). A photo without a mate counts with its mismatches.
    """
    mates, itself = _mates(codes, features)
    others = ops.stop_gradient(_cosines(features)) + _NEVER * (mates + itself)
    mate, likest = ops.argmax(mates, axis=1), ops.argmax(others, axis=1)
    count = ops.shape(features)[0]
    far = ops.mod(ops.arange(count) + count // 2, count)
    loss = 0.0
    for other, weight in zip((mate, likest, far), _OF_PAIRS, strict=True):
        same = ops.equal(codes, ops.take(codes, other, axis=0))
        alike = ops.cast(same, features.dtype)[:, 0]
        found = head([features, ops.take(features, other, axis=0)])[:, 0]
        loss = loss + weight * ops.binary_crossentropy(alike, found)
    return loss


def _mates(codes: KerasTensor, features: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Which photos are each other's mates, and which the same: two (n, n) of 0 and 1."""
    itself = ops.eye(ops.shape(features)[0], dtype=features.dtype)
    return ops.cast(ops.equal(codes, ops.transpose(codes)), features.dtype) - itself, itself


def _cosines(features: KerasTensor) -> KerasTensor:
    """(n, n) cosines of the photos' differences from their mean."""
    centred = features - ops.mean(features, axis=0, keepdims=True)
    squares = ops.sum(ops.square(centred), axis=1, keepdims=True)
    unit = centred * ops.rsqrt(ops.maximum(squares, _TINY))
    return ops.matmul(unit, ops.transpose(unit))


class _Judged(keras.layers.Layer):
    """Passes features on to a loss that asks the head: so the head is a part of the model, and trained."""

    def __init__(self, head: keras.Model) -> None:
        super().__init__()
        self.head = head

    def call(self, features: KerasTensor) -> KerasTensor:
        return features


class Contrast:
    """A network and a layer that draws, compiled for the sum of their losses, for each size of photos."""

    def __init__(
        self,
        network: SiameseNetwork,
        drawing: int,
        momentum: float,
        temperature: float,
    ) -> None:
        """`network`: its branch takes photos of every size that comes; drawing: numbers of one.

        momentum: of moving statistics; temperature: as `contrast_loss` takes it.
        """
        self._network, self._temperature = network, temperature
        self._statistics = MovingStatistics(network.branch, momentum)
        # Compared in a space of its own, so that the features need not be alike in all they hold.
        self._compared = keras.layers.Dense(_COMPARED, use_bias=False, name="contrast")
        self._drawn = keras.layers.Dense(drawing, kernel_initializer="zeros", name="drawing")
        self._optimizer = keras.optimizers.Adam()
        self._models: dict[tuple[int, Weights], keras.Model] = {}
        self._model(network.size, Weights())

    def _model(self, size: int, weights: Weights) -> keras.Model:
        """The model for photos of a size and weights of the losses; all have one optimizer."""
        if (size, weights) in self._models:
            return self._models[size, weights]
        branch, head = self._network.branch, self._network.head
        photo = keras.Input((size, size, branch.input_shape[-1]))
        features = self._statistics(photo)
        outputs = {
            "contrast": self._compared(features),
            "drawing": self._drawn(features),
            "pairs": _Judged(head)(features),
        }
        model = keras.Model(photo, outputs)
        model.compile(
            optimizer=self._optimizer,
            loss={
                "contrast": lambda codes, found: contrast_loss(codes, found, self._temperature),
                "drawing": "mse",
                "pairs": lambda codes, found: pair_loss(codes, found, head),
            },
            loss_weights=weights._asdict(),
            jit_compile="auto" if keras.backend.backend() == "jax" else False,
        )
        self._optimizer.build(model.trainable_variables)
        self._models[size, weights] = model
        return model

    @property
    def state(self) -> list[keras.Variable]:
        """What a checkpoint keeps besides the network: how often statistics moved, the layers, Adam."""
        layers = self._compared, self._drawn
        kept = [variable for layer in layers for variable in layer.variables]
        return [self._statistics.count, *kept, *self._optimizer.variables]

    def step(
        self,
        photos: np.ndarray,
        codes: np.ndarray,
        drawings: np.ndarray,
        rate: float,
        weights: Weights,
    ) -> Weights:
        """Train on one batch: the mean loss of each kind, as they were before.

        photos: (n, size, size, C) preprocessed float32; codes: (n,) int identities; drawings: (n, numbers)
        float32. `UserError` for a loss that is NaN or infinite.
        """
        model = self._model(photos.shape[1], weights)
        self._optimizer.learning_rate = rate
        identities = np.asarray(codes, np.float32)[:, None]
        wanted = {"contrast": identities, "drawing": drawings, "pairs": identities}
        model.reset_metrics()
        measured = model.train_on_batch(photos, wanted, return_dict=True)
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        losses = Weights(*(float(measured[f"{name}_loss"]) for name in Weights._fields))
        require_finite(sum(losses))
        return losses
