"""The recipe of the kernel net's own first weights: generated individuals alone, no photo of a real whale."""

from __future__ import annotations

import importlib.metadata
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kernel_snn.a00_net_kernel import GENERATED_START
from kernel_snn.a01_kernel_model import build_branch
from sample_data.simulator.stream import Easing, PhotoStream
from whales.base.console import log
from whales.files.digests import text_digest
from whales.nets.network import assemble, symmetric_preprocess
from whales.nets.teaching import Lesson
from whales.training.start_training import Round, StartPlan, StartTraining

if TYPE_CHECKING:
    import keras

RECIPE = StartPlan(
    steps=5000,
    sizes=(64, 64, 64, 96),
    # Negatives by chance: the hardest of thousands of generated flukes look more alike than two photos of
    # one, and teach the head the contrary.
    rounds=tuple(Round(3200, epochs=2, rate=rate, amplitude=1000) for rate in (1e-3, 5e-4, 2e-4)),
)
PHOTOS = 2  # of each individual
EASING = Easing(first=40_000, last=380_000)
# Individuals after which the curve is measured.
_CURVE = tuple(64 * number for number in (16, 47, 157, 469, 1000, 1563, 2500, 3500, 5000))
_SIZE = 64  # of the head's rounds
_SIZES = (64, 96)  # at which it is measured
# Batch normalization inside of a block's own path, which has its rectifier before it.
_INSIDE = ("bm_bn_2_sub", "bm_bn_3_sub")
_OWN_PATH = 0.3  # at first, of what Keras draws
_PACKAGES = ("keras", "tensorflow", "numpy", "opencv-python-headless")


def teach(
    folder: Path,
    steps: int,
    rounds: int | None,
    seed: int,
    workers: int,
    measured_on: Path | None = None,
) -> None:
    """Run the recipe, or a shorter one, and write its files into `folder`.

    steps, rounds: of the contrast and of pairs, at most; measured_on: a work root. `UserError` as of
    `KnownCrops.of_root`.
    """
    import keras

    from whales.scores.closed_ranking import KnownCrops

    plan = replace(RECIPE, steps=steps, rounds=RECIPE.rounds[:rounds])
    crops = [KnownCrops.of_root(measured_on, each) for each in _SIZES] if measured_on else []
    keras.utils.set_random_seed(seed)
    network = assemble(build_branch(None, channels=1), symmetric_preprocess, _SIZE)
    open_blocks(network.branch)
    target = replace(GENERATED_START, folder=folder)

    def measure() -> dict[str, float]:
        return {
            f"{name}_{each.size}": value
            for each in crops
            for name, value in each.measured(network).items()
        }

    with closing(PhotoStream(seed, _SIZE, workers, PHOTOS, EASING)) as stream:
        training = StartTraining(
            network,
            plan,
            stream,
            checkpoint=folder / "generated_start_checkpoint.pkl",
            seed=seed,
            made_of={**_photos(), "code": _code()},
            measure=measure if crops else None,
            measure_at=_CURVE,
        )
        training.run()
    training.write_curve(folder / "generated_start_curve.csv")
    individuals = plan.all_individuals
    taught = (Lesson(individuals * PHOTOS, individuals, generated=True),)
    target.save(network, taught, _recipe(plan, seed))
    log(f"wrote {target.path}: {individuals:,} generated individuals, {PHOTOS} photos each")


def open_blocks(branch: keras.Model) -> None:
    """Let blocks pass on nearly what they get, for a training from random weights; in place.

    As Keras draws them, each block's rectifier cuts half of what its batch normalization has centred. After
    sixteen of them a feature answers to few photos, and contrast stays at chance for hundreds of steps.
    Shifted by one deviation it cuts a sixth, and the blocks' own paths begin small.
    """
    for layer in branch.layers:
        if layer.name.startswith("bm_bn_") and not layer.name.startswith(_INSIDE):
            layer.beta.assign(np.ones(layer.beta.shape, np.float32))
        if layer.name.startswith("bm_conv2d_3_sub"):
            layer.kernel.assign(_OWN_PATH * layer.kernel)


def _photos() -> dict[str, object]:
    return {"photos_of_each": PHOTOS, "easing": EASING._asdict()}


def _code() -> str:
    """A digest of this page and the simulator's: another one draws other photos, or begins otherwise."""
    import sample_data.simulator as simulator

    pages = [Path(__file__), *Path(simulator.__file__).parent.glob("*.py")]
    return text_digest(page.read_bytes() for page in sorted(pages, key=lambda page: page.name))


def _recipe(plan: StartPlan, seed: int) -> dict[str, object]:
    return {
        "command": "python3 tools/train_start.py FOLDER",
        "seed": seed,
        **_photos(),
        "plan": plan.numbers(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "backend": os.environ.get("KERAS_BACKEND") or "tensorflow",
        "cores": os.cpu_count(),
        "licence": "as the project",
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
