"""A process with virtual devices: one learner on one device and one on several take the same steps.

`python two_devices.py STATISTICS DEVICES OUT`; each step begins with a new Adam and moves no weight, so that
its rounding does not count. Writes losses, gradients, moving statistics and features to OUT (.npz).
"""

import os
import sys

import keras
import numpy as np

from whales.nets.batch_norm import BatchNormalization
from whales.nets.network import SiameseNetwork, assemble, symmetric_preprocess
from whales.training.devices import Devices, device_scope
from whales.training.learner import Batch, Learner

STILL = 1e-30
COUNTS = (8, 8, 3, 1)  # of one epoch each; the last two cannot be cut in two


def make_virtual_devices(number: int) -> None:
    """So many CPUs for TensorFlow; those of JAX are in the environment."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        one = tf.config.list_physical_devices("CPU")[0]
        virtual = [tf.config.LogicalDeviceConfiguration()] * number
        tf.config.set_logical_device_configuration(one, virtual)


def network() -> SiameseNetwork:
    """Two normalizations: the second one's gradient passes through the first."""
    keras.utils.set_random_seed(3)
    photo = keras.Input((4, 6, 2))
    x = BatchNormalization(epsilon=0.01, name="bn1")(photo)
    x = keras.layers.Conv2D(5, 3)(x)
    x = BatchNormalization(epsilon=0.01, name="bn2")(x)
    x = keras.layers.Activation("tanh")(x)
    branch = keras.Model(photo, keras.layers.GlobalAveragePooling2D()(x), name="tiny")
    return assemble(branch, symmetric_preprocess, 5)


def batches() -> list[Batch]:
    r = np.random.default_rng(0)
    drawn = []
    for count in COUNTS:
        # Photos of one batch differ in mean, so that a device's part has other statistics.
        shift = np.linspace(-3, 3, count)[:, None, None, None]
        sides = [(r.normal(m, 2, (count, 4, 6, 2)) + shift).astype(np.float32) for m in (1, 3)]
        drawn.append((tuple(sides), (np.arange(count)[:, None] % 3 == 0).astype(np.float32)))
    return drawn


def arrays(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def measure(devices: Devices, found: dict[str, np.ndarray], prefix: str) -> None:
    with device_scope(devices):
        learner = Learner(network(), 0.9, devices=devices)
        moving = [v for v in learner.network.branch.variables if "moving" in v.path]
        for number, batch in enumerate(batches()):
            # Adam's first moment is a tenth of its first gradient.
            learner.begin(frozen=False, learning_rate=STILL, new_adam=True)
            fitted = learner.fit(lambda batch=batch: (b for b in [batch]), 1)
            found[f"{prefix}/loss/{number}"] = np.array([fitted["loss"], fitted["accuracy"]])
            moments = [v for v in learner.optimizer.variables if v.path.endswith("_momentum")]
            for i, value in enumerate(arrays(moments)):
                found[f"{prefix}/gradient/{number}/{i}"] = value * 10
            for i, value in enumerate(arrays(moving)):
                found[f"{prefix}/moving/{number}/{i}"] = value
        learner.begin(frozen=False, learning_rate=STILL, new_adam=True)
        once = (b for b in batches())  # as a trainer hands them: what is taken twice is lost
        fitted = learner.fit(lambda: once, len(COUNTS))
        found[f"{prefix}/loss/epoch"] = np.array([fitted["loss"], fitted["accuracy"]])
        # An epoch that was stopped after its second step, with Keras's sums of before.
        learner.fit(lambda: (b for b in batches()[:2]), 2)
        sums = learner.sums()
        fitted = learner.fit(lambda: (b for b in batches()[2:]), 2, sums)
        found[f"{prefix}/loss/resumed"] = np.array([fitted["loss"], fitted["accuracy"]])
        learner.begin(frozen=True, learning_rate=STILL, new_adam=True)
        fitted = learner.fit(lambda: (b for b in batches()[:1]), 1)
        found[f"{prefix}/loss/frozen"] = np.array([fitted["loss"], fitted["accuracy"]])
        found[f"{prefix}/features"] = learner.network.features(batches()[2][0][0])


def main() -> None:
    statistics, number, out = sys.argv[1:]
    make_virtual_devices(int(number))
    found: dict[str, np.ndarray] = {}
    measure(Devices(), found, "one")
    measure(Devices(int(number), statistics), found, "several")
    np.savez(out, **found)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
