"""The devices that a network is built and trained on: one, or several that share each step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from whales.base.errors import UserError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Of batch normalization over several devices: of the whole batch, as on one device, or, as in the published
# run on two GPUs, of each device's part alone.
SYNCHRONIZED, PUBLISHED = "synchronized", "published"
STATISTICS = (SYNCHRONIZED, PUBLISHED)


@dataclass(frozen=True)
class Devices:
    """Devices that share each step. number: of them; statistics: one of `STATISTICS`."""

    number: int = 1
    statistics: str = SYNCHRONIZED

    @property
    def synchronized(self) -> bool:
        """Whether batch statistics are taken over all devices."""
        return self.statistics == SYNCHRONIZED

    def __str__(self) -> str:
        """What the log adds, such as ", over 4 devices"; empty for one device."""
        if self.number == 1:
            return ""
        own = "" if self.synchronized else ", batch statistics of each alone"
        return f", over {self.number} devices{own}"


def most_devices() -> int:
    """How many devices a step can be split over: the GPUs that are visible, or virtual CPUs; 1 on PyTorch."""
    return len(_names())


def require_devices(number: int, statistics: str = SYNCHRONIZED) -> None:
    """`UserError` where a step cannot be split over so many devices; imports the backend for 2 or more."""
    if number == 1:
        return
    import keras

    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise UserError(
            f"--devices {number}: KERAS_BACKEND {backend} trains on one device; tensorflow and jax on several"
        )
    if statistics == PUBLISHED and backend != "tensorflow":
        raise UserError(
            f"--statistics {PUBLISHED}: KERAS_BACKEND {backend} takes them over the whole batch; only "
            "tensorflow takes them on each device"
        )
    if number > most_devices():
        raise UserError(
            f"--devices {number}: {backend} sees {most_devices()} here; give fewer, or more GPUs by --device"
        )


@contextmanager
def device_scope(devices: Devices) -> Iterator[None]:
    """A context to build and train in, over so many devices."""
    if devices.number == 1:
        yield
        return
    import keras

    names = _names()[: devices.number]
    if keras.backend.backend() == "tensorflow":
        with _mirrored_strategy(tuple(names)).scope():
            yield
    else:
        with _data_parallel(tuple(names)).scope():
            yield


def _names() -> list[str]:
    """The backend's names of its devices, GPUs alone where there are any."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        return keras.distribution.list_devices()
    if backend != "tensorflow":
        return ["one"]
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in found]


@cache
def _mirrored_strategy(names: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """The process's one strategy for these devices, since a learner stays bound to it."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(names))


@cache
def _data_parallel(names: tuple[str, ...]) -> keras.distribution.DataParallel:
    import keras

    return keras.distribution.DataParallel(devices=list(names), auto_shard_dataset=False)
