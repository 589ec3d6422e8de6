"""A training step against facts of Keras 2.2.4 and against NumPy: what the learner does to a net."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from whales.nets.batch_norm import BatchNormalization
from whales.nets.network import SiameseNetwork, assemble, symmetric_preprocess
from whales.training.learner import Batch, Learner, Learners
from whales.training.plan import Plan

STILL = 1e-30  # a learning rate at which weights stand still


def values(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def step(learner: Learner, batch: Batch) -> float:
    """Train one step; its loss."""

    def batches() -> Iterator[Batch]:
        yield batch

    return learner.fit(batches, 1)["loss"]


# --- v5, step by step, against the published stack ------------------------------------------------

SIZE, PAIRS = 64, 8
LABELS = (np.arange(PAIRS)[:, None] % 2 == 0).astype(np.float32)


def photos(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Both sides of a step's batch, 0-255, by the recipe of the stored facts."""
    r = np.random.RandomState(100 + number)
    total = np.zeros((PAIRS, SIZE, SIZE, 3), np.float32)
    for side in (4, 8, 16, 32):
        squares = r.uniform(-1, 1, (PAIRS, side, side, 3))
        repeat = SIZE // side
        total += squares.repeat(repeat, 1).repeat(repeat, 2) * 1.5 / np.sqrt(side)
    total += r.uniform(-0.1, 0.1, total.shape)
    left = (128 + 70 * total).clip(0, 255).astype(np.uint8)
    return left, np.roll(left, 1, axis=0)


def batch_of(network: SiameseNetwork, number: int) -> Batch:
    left, right = photos(number)
    return (network.preprocess(left), network.preprocess(right)), LABELS


def saved_order(network: SiameseNetwork) -> list[keras.Variable]:
    """The branch's trained weights, its moving statistics, the head's weights."""
    moving = [variable for variable in network.branch.weights if "moving" in variable.name]
    trained = [variable for variable in network.branch.weights if "moving" not in variable.name]
    return [*trained, *moving, *network.head.weights]


def draw_first_weights(network: SiameseNetwork) -> None:
    r = np.random.RandomState(5)
    for variable in saved_order(network):
        shape = variable.shape
        if len(shape) > 1:
            limit = np.sqrt(6 / (np.prod(shape[:-1]) + shape[-1] * np.prod(shape[:-2])))
            variable.assign(r.uniform(-1, 1, shape) * limit)


def projections(arrays: Sequence[np.ndarray]) -> np.ndarray:
    drawn = (np.random.RandomState(i).standard_normal(a.shape) for i, a in enumerate(arrays))
    return np.array([np.sum(a * d) for a, d in zip(arrays, drawn, strict=True)])


def lengths(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([np.linalg.norm(array) for array in arrays])


class Steps:
    """The steps of the stored facts as our learner takes them."""

    def __init__(self, facts: dict[str, np.ndarray]) -> None:
        self.facts, self.names = facts, facts["names"].tolist()
        network = V5.network(SIZE, None, "full")
        draw_first_weights(network)
        variables = saved_order(network)
        assert [str(variable.shape) for variable in variables] == facts["shapes"].tolist()
        moving = [variables[self.names.index(name)] for name in facts["moving_names"]]
        trained = [variables[self.names.index(name)] for name in facts["gradient_of"]]
        sides, _ = batch_of(network, 0)
        scores = np.clip(network.model.predict_on_batch(list(sides)), 1e-7, 1 - 1e-7)
        self.inference_loss = -np.mean(np.log(np.where(LABELS == 1, scores, 1 - scores)))

        learner = Learner(network)
        learner.begin(frozen=False, learning_rate=STILL, new_adam=True)
        self.losses, self.moving = [], []
        for number in range(3):
            self.losses.append(step(learner, batch_of(network, number)))
            self.moving.append([value.astype(float) for value in values(moving)])
            if number == 0:  # Adam's first moment is a tenth of the first gradient
                moments = [v for v in learner.optimizer.variables if v.path.endswith("_momentum")]
                self.gradients = [10 * value.astype(float) for value in values(moments)]
        learner.begin(frozen=True, learning_rate=8e-5, new_adam=True)
        before = values(variables)
        self.frozen_loss = step(learner, batch_of(network, 0))
        self.frozen_moved = [
            name
            for name, old, new in zip(self.names, before, values(variables), strict=True)
            if not np.array_equal(old, new)
        ]
        draw_first_weights(network)
        for variable in network.head.weights:
            if len(variable.shape) == 1:
                variable.assign(np.zeros(variable.shape))
        before = values(trained)
        learner.begin(frozen=False, learning_rate=8e-5, new_adam=True)
        step(learner, batch_of(network, 0))
        self.moves = lengths([new - old for old, new in zip(before, values(trained), strict=True)])


@pytest.fixture(scope="module")
def steps(shared: Path) -> Steps:
    with np.load(shared / "fixtures/training_step/v5.npz", allow_pickle=False) as facts:
        return Steps(dict(facts))


@pytest.mark.slow
def test_loss_and_gradients_of_v5_are_those_of_keras_2(steps: Steps) -> None:
    facts = steps.facts
    assert steps.losses[0] == pytest.approx(float(facts["loss"]), rel=2e-6)
    expected = facts["gradient_norm"]
    counted = expected > 1e-4 * expected.max()  # others are sums of near zero
    off = np.abs(lengths(steps.gradients) - expected)[counted] / expected[counted]
    # Rounding alone differs this far: on eight threads instead of two, medians of 3e-4 and 4e-3.
    assert np.median(off) < 1e-3
    assert off.max() < 1e-2
    off = np.abs(projections(steps.gradients) - facts["gradient_projection"])[counted]
    assert np.median(off / expected[counted]) < 1e-2
    moves = facts["adam_step_norm"][[steps.names.index(name) for name in facts["gradient_of"]]]
    np.testing.assert_allclose(steps.moves[counted], moves[counted], rtol=2e-2)


@pytest.mark.slow
def test_moving_statistics_of_v5_are_those_of_keras_2(steps: Steps) -> None:
    for number, moving in enumerate(steps.moving, start=1):
        mean = np.array([array.mean() for array in moving])
        expected = steps.facts[f"moving_mean_of_step_{number}"]
        np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
        expected = steps.facts[f"moving_projection_of_step_{number}"]
        off = np.abs(projections(moving) - expected) / lengths(moving)
        assert off.max() < 3e-5


@pytest.mark.slow
def test_a_frozen_branch_of_v5_normalizes_by_the_batch_as_in_keras_2(steps: Steps) -> None:
    facts = steps.facts
    assert steps.frozen_loss == pytest.approx(float(facts["frozen_loss"]), rel=2e-6)
    assert steps.inference_loss == pytest.approx(float(facts["inference_loss"]), rel=1e-5)
    assert len(steps.frozen_moved) == len(facts["frozen_moved"]) == 6
    assert set(steps.frozen_moved) == set(steps.names[-6:])


# --- any net, against NumPy -----------------------------------------------------------------------


def small_network() -> SiameseNetwork:
    """A branch whose first layer is the normalization, so that its input is known."""
    photo = keras.Input((2, 3, 2))
    x = BatchNormalization(epsilon=0.01, name="bn")(photo)
    x = keras.layers.Conv2D(3, 1)(x)
    branch = keras.Model(photo, keras.layers.GlobalMaxPooling2D()(x), name="tiny")
    return assemble(branch, symmetric_preprocess, 2)


def batches(*counts: int, seed: int = 0) -> list[Batch]:
    r = np.random.default_rng(seed)
    drawn = []
    for count in counts:
        left, right = (r.normal(m, 2, (count, 2, 3, 2)).astype(np.float32) for m in (1, 3))
        drawn.append(((left, right), (np.arange(count)[:, None] % 2).astype(np.float32)))
    return drawn


def averaged(taken: list[Batch], momentum: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance that Keras 2.2.4 keeps: two sums over all steps, divided by 1 - m^t.

    The variance is made unbiased by TensorFlow, and once more by Keras, with its epsilon.
    """
    sums, weights = np.zeros((2, 2)), 0.0
    for t, ((_, right), _) in enumerate(reversed(taken)):
        x = right.astype(float).reshape(-1, 2)
        n = len(x)
        variance = x.var(axis=0, ddof=1) * n / (n - 1 - 0.01)
        share = (1 - momentum) * momentum**t
        sums += share * np.stack([x.mean(axis=0), variance])
        weights += share
    assert weights == pytest.approx(1 - momentum ** len(taken))
    return tuple(sums / weights)


def moving(network: SiameseNetwork) -> list[np.ndarray]:
    layer = network.branch.get_layer("bn")
    return values([layer.moving_mean, layer.moving_variance])


@pytest.mark.parametrize("momentum", [0.5, 0.99])
def test_moving_statistics_are_debiased_averages_of_the_right_side(momentum: float) -> None:
    network = small_network()
    layer = network.branch.get_layer("bn")
    layer.moving_mean.assign([50.0, -50.0])  # loaded: forgotten with the first step
    learner = Learner(network, momentum)
    learner.begin(frozen=False, learning_rate=STILL, new_adam=True)
    taken = batches(6, 6, 4, 6)
    for number, batch in enumerate(taken, start=1):
        step(learner, batch)
        for ours, expected in zip(moving(network), averaged(taken[:number], momentum), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_frozen_steps_neither_move_statistics_nor_count() -> None:
    network, (first, second, third) = small_network(), batches(6, 6, 6)
    learner = Learner(network, 0.9)
    learner.begin(frozen=True, learning_rate=STILL, new_adam=True)
    before = moving(network)
    frozen = step(learner, first)
    for old, new in zip(before, moving(network), strict=True):
        np.testing.assert_array_equal(old, new)
    learner.begin(frozen=False, learning_rate=STILL, new_adam=False)
    assert step(learner, first) == frozen  # by the batch's statistics, frozen or free
    learner.begin(frozen=True, learning_rate=STILL, new_adam=False)
    step(learner, second)
    learner.begin(frozen=False, learning_rate=STILL, new_adam=False)
    step(learner, third)
    for ours, expected in zip(moving(network), averaged([first, third], 0.9), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_frozen_inference_normalizes_by_the_moving_statistics() -> None:
    network, (batch,) = small_network(), batches(6)
    learner = Learner(network, frozen_inference=True)
    (left, right), labels = batch
    learner.begin(frozen=True, learning_rate=STILL, new_adam=True)
    loss = step(learner, batch)
    scores = network.model.predict_on_batch([left, right])
    expected = -np.mean(np.log(np.where(labels == 1, scores, 1 - scores)))
    assert loss == pytest.approx(expected, rel=1e-5)
    learner.begin(frozen=False, learning_rate=STILL, new_adam=True)
    assert step(learner, batch) != pytest.approx(expected, rel=1e-3)


def test_resting_statistics_normalize_a_branch_that_is_trained() -> None:
    """Every photo stands for itself: the loss of a step is that of inference, and no statistic moves."""
    network, (batch,) = small_network(), batches(6)
    learner = Learner(network, resting=True)
    (left, right), labels = batch
    learner.begin(frozen=False, learning_rate=1e-3, new_adam=True)
    before, kernels = moving(network), values(network.branch.trainable_weights)
    scores = network.model.predict_on_batch([left, right])
    expected = -np.mean(np.log(np.where(labels == 1, scores, 1 - scores)))
    assert step(learner, batch) == pytest.approx(expected, rel=1e-5)
    for old, new in zip(before, moving(network), strict=True):
        np.testing.assert_array_equal(old, new)
    trained = values(network.branch.trainable_weights)
    assert any(not np.array_equal(old, new) for old, new in zip(kernels, trained, strict=True))


def test_two_half_batches_are_one_step_of_adam() -> None:
    """With a branch whose statistics rest, so that a photo does not depend on its batch."""
    (batch,) = batches(6)
    (left, right), labels = batch
    halves = [((left[part], right[part]), labels[part]) for part in (slice(3), slice(3, 6))]
    learners = []
    for parts in (1, 2, 2):
        keras.utils.set_random_seed(5)
        learners.append(Learner(small_network(), frozen_inference=True, accumulate=parts))
    whole, halved, other = learners
    start = values(whole.network.head.trainable_weights)
    for learner in learners:
        learner.begin(frozen=True, learning_rate=0.01, new_adam=True)
    for _ in range(3):
        step(whole, batch)
        step(halved, halves[0])
        step(halved, halves[1])
    trained = values(whole.network.head.trainable_weights)
    for ours, expected in zip(values(halved.network.head.trainable_weights), trained, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)
    assert any(not np.allclose(a, b, atol=0.02) for a, b in zip(start, trained, strict=True))
    step(halved, halves[0])  # gathered, and no step yet
    for ours, expected in zip(values(halved.network.head.trainable_weights), trained, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)
    # A checkpoint between the two halves has what the first one left.
    for mine, kept in ((other.weights, halved.weights),
                       (other.optimizer.variables, halved.optimizer.variables)):  # fmt: skip
        for variable, value in zip(mine, values(kept), strict=True):
            variable.assign(value)
    for learner in (halved, other):
        step(learner, halves[1])
    for ours, theirs in zip(values(other.weights), values(halved.weights), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_restart_counts_anew() -> None:
    """As a fold in a process of its own, in which each average starts from nothing."""
    learners, taken = Learners(lambda size, weights: small_network()), batches(6, 6)
    plan = Plan(2, 6, 1, (), momentum=0.9)
    for _ in range(2):
        learner = learners.start(plan, None, seed=0)
        learner.begin(frozen=False, learning_rate=STILL, new_adam=True)
        for batch in taken:
            step(learner, batch)
        expected = averaged(taken, 0.9)
        for ours, wanted in zip(moving(learner.network), expected, strict=True):
            np.testing.assert_allclose(ours, wanted, rtol=1e-5)


def test_all_that_the_statistics_need_is_among_the_weights_of_a_checkpoint() -> None:
    taken = batches(6, 6, 6)
    learner = Learner(small_network(), 0.9)
    learner.begin(frozen=False, learning_rate=STILL, new_adam=True)
    for batch in taken[:2]:
        step(learner, batch)
    kept = values(learner.weights)
    other = Learner(small_network(), 0.9)
    other.begin(frozen=False, learning_rate=STILL, new_adam=True)
    for variable, value in zip(other.weights, kept, strict=True):
        variable.assign(value)
    for each in (learner, other):
        step(each, taken[2])
    for ours, theirs in zip(moving(learner.network), moving(other.network), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("net", [V5, V6, KERNEL], ids=lambda net: net.name)
def test_every_normalization_of_a_net_is_this_layer(net) -> None:
    network = net.network(64, None, "smoke")
    layers = network.branch.layers
    found = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(found) > 5
    assert {type(layer) for layer in found} == {BatchNormalization}
    assert not any(hasattr(layer, "layers") for layer in layers)
    # A weight file has room for gamma, beta and two moving statistics alone.
    assert {len(layer.weights) for layer in found} == {4}
    parameters = network.branch.count_params() + network.head.count_params()
    Learner(network).begin(frozen=False, learning_rate=STILL, new_adam=True)
    assert network.branch.count_params() + network.head.count_params() == parameters
