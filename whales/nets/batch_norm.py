"""Batch normalization as Keras 2 trained it, in one operation where the backend has one."""

from __future__ import annotations

import keras


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer; in training on TensorFlow it is one fused operation instead of some thirty.

    That halves the time to trace a training step. The moving variance follows the unbiased variance
    of the batch, as in Keras 2.2.4; Keras 3 itself takes the biased one. Other backends, and inference
    everywhere, use Keras's code.
    """

    def call(
        self,
        inputs: keras.KerasTensor,
        training: bool | None = None,
        mask: keras.KerasTensor | None = None,
    ) -> keras.KerasTensor:
        """(n, h, w, c) -> the same shape, normalized by the batch's statistics in training."""
        if not (training and self.trainable and keras.backend.backend() == "tensorflow"):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        for moving, measured in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + measured * (1.0 - self.momentum))
        return outputs
