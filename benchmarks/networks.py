"""Training steps of SE-ResNeXt50, whose grouped convolutions are slow to train on CPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.measure import Line, alternately
from siamese_net_v6_se_resnext.a01_seamese_net_models_v6 import FULL, SMOKE, Shape

# ResNeXt's grouped 3x3 convolutions cost what plain ones of half their width do: 32 groups of 4 channels
# and 64 channels (Xie et al., 2017, table 1).
_GROUPED, _PLAIN = 2, 4


def lines(quick: bool) -> Iterator[Line]:
    """Seconds of a step of a pair batch, beside the same net with plain convolutions of the same cost."""
    shape, size, pairs = (SMOKE, 32, 2) if quick else (FULL, 128, 4)
    ways = [_step(shape, size, pairs, groups, narrow) for groups, narrow in
            ((shape.groups, _GROUPED), (1, _PLAIN))]  # fmt: skip
    ours, plain = alternately(ways, 2 if quick else 5)
    yield Line(
        f"training step of {shape.name}, {pairs} pairs at {size} px", "s", ours, plain, bar=1 / 1.5,
        note="plain: no groups, 3x3 convolutions half as wide, which cost the same",
    )  # fmt: skip


def _step(shape: Shape, size: int, pairs: int, groups: int, narrow: int) -> Callable[[], object]:
    from whales.learner import Learner
    from whales.network import assemble, imagenet_preprocess
    from whales.se_resnext import build_se_resnext

    branch = build_se_resnext(
        size, shape.stem, shape.blocks, shape.channels, groups, shape.reduction, "branch", narrow
    )
    learner = Learner(assemble(branch, imagenet_preprocess, size))
    learner.begin(frozen=False, learning_rate=1e-4, new_adam=True)
    rng = np.random.default_rng(0)
    sides = tuple(rng.random((pairs, size, size, 3), dtype=np.float32) for _ in range(2))
    labels = rng.integers(0, 2, (pairs, 1)).astype(np.float32)

    def batches() -> Iterator[object]:
        yield sides, labels

    return lambda: learner.fit(batches, 1)
