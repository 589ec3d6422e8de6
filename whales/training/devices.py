"""The devices that a network is built and trained on: one, or all that are visible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def device_scope(data_parallel: bool) -> AbstractContextManager[str]:
    """A context to build and train in: over all visible devices if asked and there are several.

    Its value is the text that the log adds, such as ", over 4 devices"; empty for one device.
    """
    if not data_parallel:
        return nullcontext("")
    import keras

    if keras.backend.backend() == "tensorflow":
        strategy = _mirrored_strategy()
        return _scope(strategy) if strategy else nullcontext("")
    devices = keras.distribution.list_devices() if keras.backend.backend() == "jax" else []
    if len(devices) > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        return nullcontext(f", over {len(devices)} devices")
    return nullcontext("")


@cache
def _mirrored_strategy() -> tf.distribute.MirroredStrategy | None:
    """The process's one strategy, since a learner stays bound to it; None for fewer than two GPUs."""
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else None


@contextmanager
def _scope(strategy: tf.distribute.MirroredStrategy) -> Iterator[str]:
    with strategy.scope():
        yield f", over {strategy.num_replicas_in_sync} devices"
