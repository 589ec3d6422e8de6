"""Numbers of a training for TensorBoard, for people to look at; no stage reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from whales.base.writing import WriteError, for_speed_alone


def write_scalars(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """Add numbers by name to the log in a folder; where that fails, the stage's log says so once."""
    import tensorflow as tf

    with for_speed_alone("logs for TensorBoard"):
        try:
            with tf.summary.create_file_writer(str(folder)).as_default():
                for name, value in values.items():
                    tf.summary.scalar(name, value, step=step)
        except tf.errors.OpError as reason:
            words = " ".join(str(reason.message).split())
            raise WriteError(f"{folder} cannot be written ({words})") from reason
