"""Batch normalization as Keras 2.2.4 trained it, on every backend."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import NamedTuple

import keras
from keras import KerasTensor, ops


class _Update(NamedTuple):
    """How moving statistics follow a batch: scalars, computed once for all layers."""

    photos: KerasTensor  # of the batch, float32; over all devices where they share statistics
    share: KerasTensor  # of the batch's statistics in the moving ones
    kept: KerasTensor  # 1 - share


# None where moving statistics rest. A context variable, since each replica of a step has its own thread.
_update: ContextVar[_Update | None] = ContextVar("update", default=None)


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer with the training of Keras 2.2.4, on TensorFlow in one fused operation.

    In training it normalizes by the batch's statistics, even where it is not trainable. Its moving
    statistics move where it is trainable and called through `MovingStatistics`, and rest elsewhere.
    They follow the unbiased variance. One operation instead of some thirty halves the time to trace a step.

    resting: normalize by the moving statistics in training too, which rest
    frozen_inference: the same where the layer is not trainable alone
    over_devices: under a strategy of TensorFlow, take a batch's statistics over the parts of all devices,
    which are equal in size; on JAX they always are
    """

    resting = False
    frozen_inference = False
    over_devices = False

    def add_weight(self, *args: object, **options: object) -> keras.Variable:
        """Add a weight; a strategy of TensorFlow keeps the mean of what its devices assign to it."""
        return super().add_weight(*args, **{"aggregation": "mean", **options})

    def call(
        self, inputs: KerasTensor, training: bool | None = None, mask: KerasTensor | None = None
    ) -> KerasTensor:
        """(n, h, w, c) -> the same shape, normalized by the batch's statistics in training."""
        at_rest = self.resting or (self.frozen_inference and not self.trainable)
        if not training or at_rest:
            return super().call(inputs, training=False, mask=mask)
        update = _update.get()
        outputs, mean, variance = self._normalized(inputs, update)
        if self.trainable and update is not None:
            count = update.photos * float(inputs.shape[1] * inputs.shape[2])
            # Keras 2.2.4 corrects once more the variance that the operation has made unbiased.
            variance = variance * (count / (count - (1.0 + self.epsilon)))
            for moving, measured in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * update.kept + measured * update.share)
        return outputs

    def _normalized(
        self, inputs: KerasTensor, update: _Update | None
    ) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """The outputs, and the batch's mean and unbiased variance, (c,) float32."""
        if keras.backend.backend() == "tensorflow" and not self.over_devices:
            import tensorflow as tf

            return tf.compat.v1.nn.fused_batch_norm(
                inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
            )[:3]
        exact = ops.cast(inputs, "float32")
        # Keras's own operations subtract squares on PyTorch and products on JAX: digits are lost.
        mean = self._of_all(ops.mean(exact, axis=[0, 1, 2]))
        centred = exact - mean
        variance = self._of_all(ops.mean(ops.square(centred), axis=[0, 1, 2]))
        outputs = centred * (ops.rsqrt(variance + self.epsilon) * self.gamma) + self.beta
        if update is None:
            count = ops.cast(ops.size(inputs) // inputs.shape[-1], "float32")
        else:  # photos that several devices have count once
            count = update.photos * float(inputs.shape[1] * inputs.shape[2])
        unbiased = variance * (count / ops.maximum(count - 1.0, 1.0))
        return ops.cast(outputs, self.compute_dtype), mean, unbiased

    def _of_all(self, value: KerasTensor) -> KerasTensor:
        """The mean of the devices' values, where they share statistics."""
        return _over_devices("MEAN", value) if self.over_devices else value


def _over_devices(reduction: str, value: KerasTensor) -> KerasTensor:
    """The mean or sum of a value over the devices of TensorFlow's strategy, with its gradient."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp[reduction], value)


class MovingStatistics(keras.layers.Layer):
    """Calls a branch, and lets the moving statistics of its batch normalization follow the batch.

    They are debiased: after t calls in training they are the sum of m^(t - i) (1 - m) x_i over the
    batches' statistics x_i, divided by 1 - m^t, m being the momentum. So the first batch replaces what
    was there before, and t is a state of the training, but no weight of the net.
    """

    def __init__(self, branch: keras.Model, momentum: float, over_devices: bool = False) -> None:
        """`branch`: (n, size, size, C) -> (n, d), with the layers of `BatchNormalization`.

        over_devices: as these have it.
        """
        super().__init__(dtype="float32", name="moving_statistics")
        self.branch = branch
        self.momentum, self.over_devices = momentum, over_devices
        self.count = self.add_weight(
            shape=(), initializer="zeros", trainable=False, aggregation="mean", name="count"
        )

    def compute_output_shape(
        self, photos_shape: tuple[int | None, ...], shares_shape: object = None
    ) -> tuple[int | None, ...]:
        """That of the branch's features."""
        return (photos_shape[0], self.branch.output_shape[-1])

    def call(
        self,
        photos: KerasTensor,
        shares: KerasTensor | None = None,
        training: bool | None = None,
    ) -> KerasTensor:
        """The branch's features of preprocessed photos; a frozen branch's statistics rest.

        shares: (n, 1) float32, 1 / k for a photo that is there k times, on other devices (None: once).
        """
        if not (training and self.branch.trainable):
            return self.branch(photos, training=training)
        count = self.count + 1.0
        self.count.assign(count)
        # As a recursion, x_t's share is (1 - m) / (1 - m^t): it needs no second average.
        share = (1.0 - self.momentum) / -ops.expm1(count * math.log(self.momentum))
        share = ops.minimum(share, 1.0)
        number = ops.cast(ops.shape(photos)[0], "float32") if shares is None else ops.sum(shares)
        if self.over_devices:
            number = _over_devices("SUM", number)
        token = _update.set(_Update(number, share, 1.0 - share))
        try:
            return self.branch(photos, training=training)
        finally:
            _update.reset(token)
