"""A network in training, traced once and used for every fold that the process trains.

TensorFlow takes 10 to 30 seconds on a CPU to trace a training step before it learns anything; folds
that share a plan differ in weights and photos alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whales.base.errors import UserError
from whales.nets.weight_files import is_of_branch_alone
from whales.training.devices import Devices
from whales.training.plan import MOMENTUM, Plan

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from whales.nets.batch_norm import MovingStatistics
    from whales.nets.network import SiameseNetwork

# Makes an epoch's batches: ((left, right), labels), preprocessed photos float32 and (n, 1) float32.
Batch = tuple[tuple[np.ndarray, np.ndarray], np.ndarray]
Batches = Callable[[], Iterator[Batch]]


ONE = Devices()
_WEIGHTED_LOSS = "weighted_loss"
# Steps between two looks at the loss.
_LOOK_AT_LOSS = 50


class Learner:
    """A network with its optimizer, compiled for a frozen and for a free branch when first needed."""

    def __init__(
        self,
        network: SiameseNetwork,
        momentum: float | None = None,
        frozen_inference: bool = False,
        accumulate: int = 1,
        resting: bool = False,
        devices: Devices = ONE,
    ) -> None:
        """`network`: with its first weights, made in the scope of the devices; it is trained in place.

        momentum, frozen_inference, resting: of its batch normalization, as in `Plan`; accumulate: as there,
        so many batches of `fit` are one step of Adam; devices: that share each step.
        """
        from whales.nets.batch_norm import BatchNormalization, MovingStatistics

        self.network, self._accumulate, self._devices = network, accumulate, devices
        over_devices = _over_devices(devices)
        self._statistics = MovingStatistics(
            network.branch, MOMENTUM if momentum is None else momentum, over_devices
        )
        for layer in network.branch.layers:
            if isinstance(layer, BatchNormalization):
                layer.frozen_inference, layer.over_devices = frozen_inference, over_devices
                layer.resting = resting
        self._models: dict[bool, keras.Model] = {}
        self._frozen: bool | None = None

    @property
    def weights(self) -> list[keras.Variable]:
        """All variables of branch and head, moving statistics included, and how often these moved."""
        return [*_variables(self.network), self._statistics.count]

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of the block begun last; KeyError before the first."""
        return self._models[self._frozen].optimizer

    def restart(self, start: SiameseNetwork | Path | str) -> None:
        """Take the weights of a network of the same build, or of a file of all weights.

        Adam and the moving statistics begin anew.
        """
        if isinstance(start, (Path, str)):
            self.network.load_weights(start)  # a network would take a second and more to be built
        else:
            for variable, other in zip(_variables(self.network), _variables(start), strict=True):
                # A copy: on JAX both would share memory that the next training step writes over.
                variable.assign(np.array(other))
        self._statistics.count.assign(0.0)
        self._frozen = None

    def begin(self, frozen: bool, learning_rate: float, new_adam: bool) -> None:
        """Begin a block: freeze or free the branch, and set the learning rate.

        Adam begins anew where `new_adam` asks for it or `frozen` has changed.
        """
        if frozen != self._frozen:
            self.network.set_branch_trainable(not frozen)
            self._frozen, new_adam = frozen, True
            if frozen not in self._models:
                self._models[frozen] = _compiled(
                    self.network, self._statistics, self._accumulate, self._devices.number > 1
                )
        if new_adam:
            for variable in self.optimizer.variables:
                variable.assign(np.zeros(variable.shape, variable.dtype))
        self.optimizer.learning_rate = learning_rate

    def sums(self) -> list[np.ndarray]:
        """Keras's sums and counts of the present epoch's losses and accuracies, after a step."""
        return [np.array(variable) for variable in self._settled().metrics_variables]

    def _settled(self) -> keras.Model:
        """The model in training, whose variables hold what was learnt: JAX keeps that elsewhere."""
        model = self._models[self._frozen]
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        return model

    def fit(
        self,
        batches: Batches,
        steps: int,
        begun: Sequence[np.ndarray] = (),
        after_step: Callable[[int], None] | None = None,
    ) -> dict[str, float]:
        """Train the last `steps` batches of an epoch: the epoch's mean `loss` and `accuracy`.

        begun: `sums` of its batches trained before; after_step: called with the number of steps done
        here, between two steps. `UserError` as soon as the loss is NaN or infinite.
        """
        failed: list[Exception] = []

        def told() -> Iterator[Batch]:
            try:
                yield from batches()
            except (
                Exception
            ) as fault:  # TensorFlow would print it, and make an error of its own of it
                failed.append(fault)

        source = _steady(told, self.network.branch.input_shape[1:], self._devices.number)
        try:
            fitted = self._models[self._frozen].fit(
                source,
                steps_per_epoch=steps,
                epochs=1,
                verbose=0,
                shuffle=False,
                callbacks=[self._each_step(begun, after_step or (lambda _: None))],
            )
        finally:
            if failed:
                raise failed[0]
        measured = {key: values[-1] for key, values in fitted.history.items()}
        # Over several devices Keras's own mean counts a batch that each device has once for each.
        measured["loss"] = measured.pop(_WEIGHTED_LOSS, measured["loss"])
        require_finite(measured["loss"])
        return measured

    def _each_step(
        self, begun: Sequence[np.ndarray], after_step: Callable[[int], None]
    ) -> keras.callbacks.Callback:
        """Adds the sums of an epoch's begun part to its first step, as if that had come after it.

        It also looks at the epoch's mean loss now and then: once NaN, it stays NaN.
        """
        import keras

        done = count(1)

        def each_step(_: int, logs: dict[str, float]) -> None:
            step = next(done)
            if step == 1 and begun:
                variables = self._settled().metrics_variables
                for variable, before in zip(variables, begun, strict=True):
                    variable.assign(before + np.array(variable))
            if step % _LOOK_AT_LOSS == 1:  # to look waits for the device
                require_finite(float(logs["loss"]))
            after_step(step)

        return keras.callbacks.LambdaCallback(on_train_batch_end=each_step)


def require_finite(loss: float) -> None:
    """Raise `UserError` for a loss that is NaN or infinite: what was learnt is lost, more would be too."""
    if not math.isfinite(loss):
        raise UserError(
            f"the loss is {loss}: training has stopped, the last checkpoint is kept; try a lower learning "
            "rate on the stage's page, --precision float32, or look for odd photos and weights"
        )


class Learners:
    """The learners of a process: plans and folds that train a net of the same size alike share one."""

    def __init__(self, build: Callable[[int, Path | str | None], SiameseNetwork]) -> None:
        """`build`: photo size in pixels and first weights -> a new network."""
        self._build = build
        self._kept: dict[tuple[object, ...], Learner] = {}

    def start(
        self, plan: Plan, weights: Path | str | None, seed: int, devices: Devices = ONE
    ) -> Learner:
        """A learner with these first weights, drawn by `seed` where they are random.

        `weights`: as `build` takes them; `devices`: that share each step, in whose scope this is called;
        a learner stays on them.
        """
        import keras

        numbers = plan.momentum, plan.frozen_inference, plan.accumulate, plan.resting
        key = (plan.size, *numbers, devices)
        kept = self._kept.get(key)
        if kept and _is_of_whole_net(weights):
            kept.restart(weights)
            return kept
        if kept:
            # Keras's initializers draw their seeds from Python's numbers. `set_random_seed` makes TensorFlow
            # forget what it has compiled besides, which takes the kernel net 2 s at its next step.
            random.seed(seed)
            kept.restart(self._build(plan.size, weights))
            return kept
        keras.utils.set_random_seed(seed)
        network = self._build(plan.size, weights)
        return self._kept.setdefault(key, Learner(network, *numbers, devices))


def _is_of_whole_net(weights: Path | str | None) -> bool:
    """Whether first weights are a file of branch and head, as stages write them."""
    named = weights is None or str(weights) in ("none", "imagenet")
    return not named and not is_of_branch_alone(weights)


def _variables(network: SiameseNetwork) -> list[keras.Variable]:
    return [*network.branch.variables, *network.head.variables]


def _over_devices(devices: Devices) -> bool:
    """Whether batch normalization has to ask the other devices: JAX does so by itself."""
    import keras

    several = devices.number > 1 and devices.synchronized
    return several and keras.backend.backend() == "tensorflow"


def _compiled(
    network: SiameseNetwork, statistics: MovingStatistics, accumulate: int, several: bool
) -> keras.Model:
    """A model over the same layers, compiled so that a step is traced once.

    several: for several devices; it takes the pairs' shares as a third input, see `_for_devices`.

    The moving statistics follow the right side alone: in Keras 2.2.4 each side kept averages of its own,
    and the side that wrote last was kept.
    """
    import keras

    left, right = network.model.inputs
    shares = [keras.Input((1,), name="shares")] if several else []
    features = [network.branch(left), statistics(right, *shares)]
    model = keras.Model([left, right, *shares], network.head(features))
    accuracy = [keras.metrics.BinaryAccuracy(name="accuracy")]
    weighted = [*accuracy, keras.metrics.BinaryCrossentropy(name=_WEIGHTED_LOSS)]
    model.compile(
        optimizer=keras.optimizers.Adam(
            gradient_accumulation_steps=accumulate if accumulate > 1 else None
        ),
        loss=keras.losses.BinaryCrossentropy(reduction="mean_with_sample_weight")
        if several
        else "binary_crossentropy",
        metrics=None if several else accuracy,
        weighted_metrics=weighted if several else None,
        # XLA compiles for minutes on a CPU; elsewhere Keras decides.
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    # TensorFlow traces a step that makes variables a second time: all are there before the first.
    model.optimizer.build(model.trainable_variables)
    if several:
        # Under a strategy of TensorFlow, Keras takes batches out of each epoch and drops them, to build loss
        # and metrics from the first. It has no public way to build them before, or to leave that out.
        pair = tuple(np.zeros((1, *side.shape[1:]), np.float32) for side in network.model.inputs)
        one = np.ones((1, 1), np.float32)
        model._symbolic_build(data_batch=((*pair, one), one, one))  # pyright: ignore[reportPrivateUsage]
        if keras.backend.backend() == "tensorflow":
            model._maybe_symbolic_build = lambda **_: None  # pyright: ignore[reportPrivateUsage]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            # Takes seconds after each trace and makes a step on a CPU 3% faster.
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    return model


def _for_devices(batches: Iterator[Batch], number: int) -> Iterator[tuple[object, ...]]:
    """Batches that can be cut into `number` equal parts: ((left, right, shares), labels, shares).

    The last batch of an epoch may be smaller; where it cannot be cut, every device gets the whole of it, and
    a pair's share is 1 / number: gradients and statistics are those of one device.
    """
    for (left, right), labels in batches:
        copies = number if len(labels) % number else 1
        arrays = [np.tile(a, (copies, *[1] * (a.ndim - 1))) for a in (left, right, labels)]
        share = np.full((len(labels) * copies, 1), 1 / copies, np.float32)
        yield (arrays[0], arrays[1], share), arrays[2], share


def _steady(
    batches: Batches, photo: tuple[int, ...], number: int
) -> Iterator[tuple[object, ...]] | tf.data.Dataset:
    """One epoch's batches as `fit` takes them; photo: shape of one preprocessed photo; number: of devices.

    Keras hands a plain generator to tf.data, whose tuning thread sleeps for 10 seconds or more, and
    each epoch's end waits for it; here it is switched off.
    """
    import keras

    def divided() -> Iterator[tuple[object, ...]]:
        return _for_devices(batches(), number) if number > 1 else batches()

    if keras.backend.backend() != "tensorflow":
        return divided()
    import tensorflow as tf

    side = tf.TensorSpec((None, *photo), tf.float32)
    column = tf.TensorSpec((None, 1), tf.float32)
    signature = ((side, side, column), column, column) if number > 1 else ((side, side), column)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(divided, output_signature=signature)
    return dataset.prefetch(2).with_options(options)
