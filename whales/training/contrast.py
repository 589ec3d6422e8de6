"""Teach a branch on drawn animals: to find each photo's mate in its batch, and to draw the animal flat.

A batch of n photos gives n matches and n * (n - 2) mismatches for n passes through the branch, where pairs
give one comparison for two passes. A drawing of the animal, known where photos are generated, tells at
every step what the same animal looks like in any pose: from random weights that is learnt first.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import KerasTensor, ops

from whales.nets.batch_norm import MovingStatistics
from whales.training.learner import require_finite

_NEVER = -1e9  # the likeness of a photo with itself
_TINY = 1e-6
_COMPARED = 256  # numbers of a photo that `contrast_loss` compares


def contrast_loss(codes: KerasTensor, features: KerasTensor, temperature: float) -> KerasTensor:
    """The loss of each photo, (n,): the cross-entropy of its mates among all other photos.

    codes: (n, 1) identities; features: (n, d), compared by the cosine of their differences from the
    batch's mean; temperature: that cosines are divided by. A photo with several mates has their mean; one
    without has 0.
    """
    centred = features - ops.mean(features, axis=0, keepdims=True)
    squares = ops.sum(ops.square(centred), axis=1, keepdims=True)
    unit = centred * ops.rsqrt(ops.maximum(squares, _TINY))
    itself = ops.eye(ops.shape(features)[0], dtype=features.dtype)
    likeness = ops.matmul(unit, ops.transpose(unit)) / temperature + _NEVER * itself
    log_share = likeness - ops.logsumexp(likeness, axis=1, keepdims=True)
    mates = ops.cast(ops.equal(codes, ops.transpose(codes)), likeness.dtype) - itself
    return -ops.sum(mates * log_share, axis=1) / ops.maximum(ops.sum(mates, axis=1), 1.0)


class Contrast:
    """A branch and a layer that draws, compiled for the sum of both losses, for each size of photos."""

    def __init__(
        self,
        branch: keras.Model,
        drawing: int,
        momentum: float,
        temperature: float,
        weights: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """`branch`: (n, size, size, C) of every size that comes -> (n, d); drawing: numbers of one.

        momentum: of moving statistics; temperature: as `contrast_loss` takes it; weights: of the contrast and
        of the drawing's mean squared error in the loss.
        """
        self.branch, self._statistics = branch, MovingStatistics(branch, momentum)
        self._temperature, self._weights = temperature, weights
        # Compared in a space of its own, so that the features need not be alike in all they hold.
        self._compared = keras.layers.Dense(_COMPARED, use_bias=False, name="contrast")
        self._drawn = keras.layers.Dense(drawing, kernel_initializer="zeros", name="drawing")
        for layer in (self._compared, self._drawn):
            layer.build(branch.output_shape)
        self._optimizer = keras.optimizers.Adam()
        layers = branch, self._compared, self._drawn
        self._optimizer.build([each for layer in layers for each in layer.trainable_variables])
        self._models: dict[int, keras.Model] = {}

    def _model(self, size: int) -> keras.Model:
        """The model for photos of a size; all have the same weights and optimizer."""
        if size in self._models:
            return self._models[size]
        photo = keras.Input((size, size, self.branch.input_shape[-1]))
        features = self._statistics(photo)
        outputs = {"contrast": self._compared(features), "drawing": self._drawn(features)}
        model = keras.Model(photo, outputs)
        model.compile(
            optimizer=self._optimizer,
            loss={
                "contrast": lambda codes, found: contrast_loss(codes, found, self._temperature),
                "drawing": "mse",
            },
            loss_weights=dict(zip(outputs, self._weights, strict=True)),
            jit_compile="auto" if keras.backend.backend() == "jax" else False,
        )
        self._models[size] = model
        return model

    @property
    def state(self) -> list[keras.Variable]:
        """What a checkpoint keeps besides the branch: how often statistics moved, the layers, Adam."""
        layers = self._compared, self._drawn
        kept = [variable for layer in layers for variable in layer.variables]
        return [self._statistics.count, *kept, *self._optimizer.variables]

    def step(
        self, photos: np.ndarray, codes: np.ndarray, drawings: np.ndarray, rate: float
    ) -> tuple[float, float]:
        """Train on one batch: the mean losses of contrast and drawing, as they were before.

        photos: (n, size, size, C) preprocessed float32; codes: (n,) int identities; drawings: (n, numbers)
        float32. `UserError` for a loss that is NaN or infinite.
        """
        model = self._model(photos.shape[1])
        self._optimizer.learning_rate = rate
        wanted = {"contrast": np.asarray(codes, np.float32)[:, None], "drawing": drawings}
        model.reset_metrics()
        measured = model.train_on_batch(photos, wanted, return_dict=True)
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        losses = float(measured["contrast_loss"]), float(measured["drawing_loss"])
        require_finite(sum(losses))
        return losses
