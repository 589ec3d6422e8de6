"""A network in training, traced once and used for every fold that the process trains.

TensorFlow takes 10 to 30 seconds on a CPU to trace a training step before it learns anything; folds
that share a plan differ in weights and photos alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from whales.base.errors import UserError
from whales.training.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    import tensorflow as tf

    from whales.nets.network import SiameseNetwork

# Makes an epoch's batches: ((left, right), labels), preprocessed photos float32 and (n, 1) float32.
Batch = tuple[tuple[np.ndarray, np.ndarray], np.ndarray]
Batches = Callable[[], Iterator[Batch]]


# Steps between two looks at the loss.
_LOOK_AT_LOSS = 50


class Learner:
    """A network with its optimizer, compiled for a frozen and for a free branch when first needed."""

    def __init__(self, network: SiameseNetwork) -> None:
        """`network`: with its first weights; it is trained in place."""
        self.network = network
        self._models: dict[bool, keras.Model] = {}
        self._frozen: bool | None = None

    @property
    def weights(self) -> list[keras.Variable]:
        """All variables of branch and head, moving statistics included."""
        return _variables(self.network)

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of the block begun last; KeyError before the first."""
        return self._models[self._frozen].optimizer

    def restart(self, network: SiameseNetwork) -> None:
        """Copy the weights of a network of the same build; the next block begins with a new Adam."""
        for variable, other in zip(self.weights, _variables(network), strict=True):
            # A copy: on JAX both would share memory that the next training step writes over.
            variable.assign(np.array(other))
        self._frozen = None

    def begin(self, frozen: bool, learning_rate: float, new_adam: bool) -> None:
        """Begin a block: freeze or free the branch, and set the learning rate.

        Adam begins anew where `new_adam` asks for it or `frozen` has changed.
        """
        if frozen != self._frozen:
            self.network.set_branch_trainable(not frozen)
            self._frozen, new_adam = frozen, True
            if frozen not in self._models:
                self._models[frozen] = _compiled(self.network.model)
        if new_adam:
            for variable in self.optimizer.variables:
                variable.assign(np.zeros(variable.shape, variable.dtype))
        self.optimizer.learning_rate = learning_rate

    def fit(self, batches: Batches, steps: int) -> dict[str, float]:
        """Train one epoch of `steps` batches: its mean `loss` and `accuracy`.

        `UserError` as soon as the loss is NaN or infinite.
        """
        source = _steady(batches, self.network.branch.input_shape[1:])
        fitted = self._models[self._frozen].fit(
            source,
            steps_per_epoch=steps,
            epochs=1,
            verbose=0,
            shuffle=False,
            callbacks=[_stop_at_nan()],
        )
        measured = {key: values[-1] for key, values in fitted.history.items()}
        require_finite(measured["loss"])
        return measured


def require_finite(loss: float) -> None:
    """Raise `UserError` for a loss that is NaN or infinite: what was learnt is lost, more would be too."""
    if not math.isfinite(loss):
        raise UserError(
            f"the loss is {loss}: training has stopped, the last checkpoint is kept; try a lower learning "
            "rate on the stage's page, --precision float32, or look for odd photos and weights"
        )


def _stop_at_nan() -> keras.callbacks.Callback:
    """Looks at the epoch's mean loss now and then: once NaN, it stays NaN."""
    import keras

    class StopAtNaN(keras.callbacks.Callback):
        """Raises `UserError` where the loss is no number."""

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            """Every so many steps, since to look at the loss waits for the device."""
            if batch % _LOOK_AT_LOSS == 0 and logs:
                require_finite(float(logs["loss"]))

    return StopAtNaN()


class Learners:
    """The learners of a process: plans and folds that train a net of the same size alike share one."""

    def __init__(self, build: Callable[[int, Path | str | None], SiameseNetwork]) -> None:
        """`build`: photo size in pixels and first weights -> a new network."""
        self._build = build
        self._kept: dict[tuple[int, float | None, str], Learner] = {}

    def start(
        self, plan: Plan, weights: Path | str | None, seed: int, devices: str = ""
    ) -> Learner:
        """A learner with these first weights, drawn by `seed` where they are random.

        `weights`: as `build` takes them; `devices`: names the devices that it trains on, since a learner
        stays on them.
        """
        import keras

        keras.utils.set_random_seed(seed)
        network = self._build(plan.size, weights)
        key = (plan.size, plan.momentum, devices)
        if key in self._kept:
            self._kept[key].restart(network)
            return self._kept[key]
        for layer in network.branch.layers if plan.momentum else ():
            if hasattr(layer, "momentum"):
                layer.momentum = plan.momentum
        return self._kept.setdefault(key, Learner(network))


def _variables(network: SiameseNetwork) -> list[keras.Variable]:
    return [*network.branch.variables, *network.head.variables]


def _compiled(network_model: keras.Model) -> keras.Model:
    """A model over the same layers, compiled so that a step is traced once."""
    import keras

    model = keras.Model(network_model.inputs, network_model.outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss="binary_crossentropy",
        metrics=[keras.metrics.BinaryAccuracy(name="accuracy")],
        # XLA compiles for minutes on a CPU; elsewhere Keras decides.
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    # TensorFlow traces a step that makes variables a second time: all are there before the first.
    model.optimizer.build(model.trainable_variables)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            # Takes seconds after each trace and makes a step on a CPU 3% faster.
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    return model


def _steady(batches: Batches, photo: tuple[int, ...]) -> Iterator[Batch] | tf.data.Dataset:
    """One epoch's batches as `fit` takes them; photo: shape of one preprocessed photo.

    Keras hands a plain generator to tf.data, whose tuning thread sleeps for 10 seconds or more, and
    each epoch's end waits for it; here it is switched off.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return batches()
    import tensorflow as tf

    side = tf.TensorSpec((None, *photo), tf.float32)
    signature = ((side, side), tf.TensorSpec((None, 1), tf.float32))
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return dataset.prefetch(2).with_options(options)
