"""Each step split over two virtual devices, against one device: losses, gradients, moving statistics."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny_training import finish, history, killed_after, start, tiny_root, weights
from two_devices import COUNTS, batches

from whales.base.errors import UserError
from whales.stages.training_stage import Given
from whales.training.devices import Devices, require_devices
from whales.training.plan import Block, Plan

Found = dict[str, np.ndarray]


def python_with(backend: str, repository: Path) -> str | Path:
    """An interpreter that has a backend, or the test is skipped."""
    if backend == "tensorflow" or importlib.util.find_spec(backend):
        return sys.executable
    if not (repository / ".venv-backends/installed").exists():
        pytest.skip(f"needs {backend}: make test-backends")
    return repository / ".venv-backends/bin/python"


def two_virtual(backend: str, repository: Path) -> Mapping[str, str]:
    """The environment in which JAX has two CPUs; TensorFlow's are made by its own call."""
    return {
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(repository),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
    }


def measured(repository: Path, folder: Path, backend: str, statistics: str) -> Found:
    """What `two_devices` finds with a backend."""
    out, python = folder / f"{backend}_{statistics}.npz", python_with(backend, repository)
    env = {**os.environ, **two_virtual(backend, repository)}
    script = repository / "tests/two_devices.py"
    command = [python, script, statistics, "2", out]
    ended = subprocess.run(command, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    with np.load(out) as found:
        return dict(found)


def apart(found: Found, what: str) -> float:
    """Largest difference of the two learners, as a share of the array's largest value."""
    names = [name.removeprefix("one/") for name in found if name.startswith(f"one/{what}")]
    assert names
    return max(
        np.abs(found[f"several/{name}"] - found[f"one/{name}"]).max()
        / max(np.abs(found[f"one/{name}"]).max(), 1e-3)
        for name in names
    )


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_are_one(repository, tmp_path, backend):
    found = measured(repository, tmp_path, backend, "synchronized")
    assert {f"one/loss/{number}" for number in range(len(COUNTS))} <= {*found}
    assert apart(found, "loss") < 2e-5
    assert apart(found, "gradient") < 1e-4
    assert apart(found, "moving") < 1e-5
    assert found["several/features"].shape == found["one/features"].shape
    assert apart(found, "features") < 1e-5


def layout(root: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays in a stage's weight files."""
    found = {}
    for path in sorted((root / "saved_models/PLAN21").iterdir()):
        with h5py.File(path) as file:
            file.visititems(lambda name, item: found.update({name: getattr(item, "shape", ())}))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_whole_stage_on_two_devices(repository, sample, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; `make test-backends` installs it")
    make = "from two_devices import make_virtual_devices as make; make(2)"
    tests = f"sys.path.insert(0, {str(repository / 'tests')!r})"
    setting = {
        "plans": "Plan(64, 4, 2, (temp(1), temp(1, frozen=True), final(1e-7, 1, 2)), steps=2),",
        "rate": 1e-7,  # Adam turns the rounding of small gradients into whole steps
        **two_virtual(backend, repository),
    }
    # JAX has them by its environment.
    before = f"{tests}; {make}" if backend == "tensorflow" else ""
    both = {**setting, "before": before, "options": ("--devices", "2")}
    one, two, killed = (tiny_root(sample, tmp_path / name) for name in ("one", "two", "killed"))
    finish(start(one, **setting))
    assert "over 2 devices" in finish(start(two, **both))
    killed_after(1, killed, **both)
    assert "resumed in block" in finish(start(killed, **both))
    assert weights(killed) == weights(two)
    assert layout(two) == layout(one)
    # Later epochs are mined by scores, of which rounding makes other pairs.
    first, expected = history(two)[0], history(one)[0]
    assert float(first["loss"]) == pytest.approx(float(expected["loss"]), rel=4e-3)
    assert [row["pairs"] for row in history(two)] == [row["pairs"] for row in history(one)]


def test_published_statistics_are_each_devices_own(repository, tmp_path):
    """By hand: the first layer's moving variance is the mean of both halves' own, of a batch of 8."""
    found = measured(repository, tmp_path, "tensorflow", "published")
    (_, right), _ = batches()[0]
    halves = [right[:4].astype(float).reshape(-1, 2), right[4:].astype(float).reshape(-1, 2)]
    count = len(halves[0])
    expected = np.mean([half.var(axis=0, ddof=1) for half in halves], axis=0)
    expected *= count / (count - 1 - 0.01)
    np.testing.assert_allclose(found["several/moving/0/1"], expected, rtol=1e-5)
    whole = right.astype(float).reshape(-1, 2).mean(axis=0)
    np.testing.assert_allclose(found["several/moving/0/0"], whole, rtol=1e-5)
    assert apart(found, "loss") > 1e-3


def test_more_devices_than_there_are():
    with pytest.raises(UserError, match=r"--devices 64: \w+ sees \d+ here"):
        require_devices(64)
    require_devices(1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--devices", "64"), r"--devices 64: tensorflow sees \d+ here"),
        (("--devices", "0"), "expected a whole number from 1"),
        (("--statistics", "published"), "say how many, such as --devices 2"),
        (("--devices", "2", "--accumulate", "2"), "cut the same batch: give one of them"),
    ],
)
def test_a_stage_refuses_what_it_cannot(work_root, script, given, said):
    stage = script("kernel_snn/snn_train_kernel_384_to_1024.py")
    with pytest.raises(UserError, match=said):
        stage.main(["--RUN_FOLD", "0", *given])


def test_batches_that_do_not_divide():
    plan = Plan(64, 6, 1, (Block("a", 1, 1, 1, 1, batch=16), Block("b", 1, 1, 1, 1)))
    assert Given(None, None, devices=2).plan(plan) == plan
    with pytest.raises(UserError, match=r"--devices 3 does not divide .* \(6, 16 pairs a step\)"):
        Given(None, None, devices=3).plan(plan)


def test_the_stamp_names_what_changes_the_result():
    assert "devices" not in Given(None, None, devices=2).for_stamp()
    stamp = Given(None, None, devices=2, statistics="published").for_stamp()
    assert (stamp["devices"], stamp["statistics"]) == (2, "published")


def test_a_plan_for_all_devices_takes_those_asked_for():
    plan = Plan(64, 6, 1, (Block("a", 1, 1, 1, 1),), data_parallel=True)
    assert Given(None, None, devices=1).devices_of(plan) == Devices()
    assert Given(None, None, devices=3).devices_of(plan) == Devices(3)
    assert Given(None, None).devices_of(plan.accumulating(2)) == Devices()
    assert Given(None, None).devices_of(replace(plan, data_parallel=False)) == Devices()


def test_what_the_log_says():
    said = [str(Devices()), str(Devices(2)), str(Devices(4, "published"))]
    own = ", over 4 devices, batch statistics of each alone"
    assert said == ["", ", over 2 devices", own]
