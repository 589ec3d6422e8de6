"""Training steps of the three nets at full size, SE-ResNeXt50's grouped convolutions, and inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Line, alternately, matrix_product_rate
from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from siamese_net_v6_se_resnext.a01_seamese_net_models_v6 import FULL, SMOKE, Shape

if TYPE_CHECKING:
    import keras

    from whales.nets.net import Net
    from whales.nets.network import SiameseNetwork

# Largest photos of each net, and the pairs of a step there (method, section 5); the smallest, for a CPU.
NETS = ((V5, 512, 4), (V6, 384, 4), (KERNEL, 1024, 20))
SMALLEST = ((V5, 224, 12), (V6, 224, 6), (KERNEL, 384, 64))
QUICK = ((V6, 32, 2),)
STEPS = 20

# ResNeXt's grouped 3x3 convolutions cost what plain ones of half their width do: 32 groups of 4 channels
# and 64 channels (Xie et al., 2017, table 1).
_GROUPED, _PLAIN = 2, 4


def lines(quick: bool) -> Iterator[Line]:
    """A step of SE-ResNeXt50 beside plain convolutions of the same cost; the nets beside Keras's loop.

    Their largest photos would take hours on a CPU: those need an accelerator.
    """
    from whales.scores.pair_scores_gpu import available

    shape, size, pairs = (SMOKE, 32, 2) if quick else (FULL, 128, 4)
    ways = [_step(shape, size, pairs, groups, narrow) for groups, narrow in
            ((shape.groups, _GROUPED), (1, _PLAIN))]  # fmt: skip
    ours, plain = alternately(ways, 2 if quick else 5)
    yield Line(
        f"training step of {shape.name}, {pairs} pairs at {size} px", "s", ours, plain, bar=1 / 1.5,
        note="plain: no groups, 3x3 convolutions half as wide, which cost the same",
    )  # fmt: skip
    rate = matrix_product_rate(512 if quick else 4096)
    if quick:
        yield from (_against_keras(*small, "smoke", 2, 2, rate) for small in QUICK)
    elif available():
        yield from (_against_keras(*large, "full", STEPS, 5) for large in NETS)
    else:
        yield from (_against_keras(*small, "full", 1, 3, rate) for small in SMALLEST)
        yield from (_inference(net, rate) for net, _, _ in NETS)


def _against_keras(
    net: Net,
    size: int,
    pairs: int,
    profile: str,
    steps: int,
    repeats: int,
    rate: float | None = None,
) -> Line:
    """Steps a second of a net, beside Keras's own loop over NumPy arrays.

    rate: GFLOP/s of a matrix product, None where its share is not asked for.
    """
    import keras

    network = net.build(size, None, profile)
    plain = keras.Model(network.model.inputs, network.model.outputs)
    plain.compile("adam", "binary_crossentropy")
    sides, labels = random_pairs(size, pairs)

    def keras_loop() -> None:
        for _ in range(steps):
            plain.train_on_batch(sides, labels)

    seconds = alternately((_epoch(network, sides, labels, steps), keras_loop), repeats)
    what = f"training steps of {net.name}, {pairs} pairs at {size} px"
    ours, theirs = (steps / taken for taken in seconds)
    limit = None if rate is None else rate * 1e9 / (6 * pairs * operations_of(network.branch))
    return Line(
        what, "steps/s", ours, theirs, limit, note=f"plain: train_on_batch{_share(ours, limit)}"
    )


def _inference(net: Net, rate: float) -> Line:
    """Photos a second through a net's branch, one at a time, beside Keras's `predict_on_batch`."""
    size = net.sizes["full"]
    network = net.build(size, None, "full")
    photo = np.random.default_rng(0).random((1, size, size, 3), dtype=np.float32)
    ways = (lambda: network.features(photo), lambda: network.branch.predict_on_batch(photo))
    ours, theirs = (1 / taken for taken in alternately(ways, 5))
    limit = rate * 1e9 / operations_of(network.branch)
    note = f"plain: predict_on_batch{_share(ours, limit)}"
    return Line(
        f"photos through {net.name} at {size} px", "photos/s", ours, theirs, limit, note=note
    )


def _share(ours: float, limit: float | None) -> str:
    return "" if limit is None else f"; {100 * ours / limit:.0f}% of a matrix product's rate"


def operations_of(branch: keras.Model) -> float:
    """Multiplications and additions of a branch's convolutions for one photo; a step takes six times them.

    That is forward, and twice as much back, on both sides of a pair.
    """
    import keras

    total = 0.0
    for layer in branch.layers:
        if isinstance(layer, keras.layers.Conv2D):
            height, width, channels = layer.output.shape[1:]
            taps = np.prod(layer.kernel_size) * layer.input.shape[-1] / layer.groups
            total += 2.0 * taps * height * width * channels
    return total


def _step(shape: Shape, size: int, pairs: int, groups: int, narrow: int) -> Callable[[], object]:
    from siamese_net_v6_se_resnext.a01_se_resnext_branch import build_se_resnext
    from whales.nets.network import assemble, imagenet_preprocess

    branch = build_se_resnext(
        size, shape.stem, shape.blocks, shape.channels, groups, shape.reduction, "branch", narrow
    )
    return _epoch(assemble(branch, imagenet_preprocess, size), *random_pairs(size, pairs), steps=1)


def random_pairs(size: int, pairs: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Both sides' photos, (pairs, size, size, 3) float32 each, and labels (pairs, 1) float32."""
    rng = np.random.default_rng(0)
    sides = tuple(rng.random((pairs, size, size, 3), dtype=np.float32) for _ in range(2))
    return sides, rng.integers(0, 2, (pairs, 1)).astype(np.float32)


def _epoch(
    network: SiameseNetwork, sides: tuple[np.ndarray, ...], labels: np.ndarray, steps: int
) -> Callable[[], object]:
    """An epoch of `steps` equal batches, as our training does it."""
    from whales.training.learner import Learner

    learner = Learner(network)
    learner.begin(frozen=False, learning_rate=1e-4, new_adam=True)

    def batches() -> Iterator[object]:
        for _ in range(steps):
            yield sides, labels

    return lambda: learner.fit(batches, steps)
