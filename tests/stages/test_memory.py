"""A training that does not fit into memory is refused before it begins, with what would fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import write
from tiny_training import tiny_root

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.stages import memory
from whales.stages.memory import free_gigabytes, require_memory
from whales.training.plan import Block, Plan

PLAN = Plan(512, 4, 4, (Block("a", 1, 1, 1, 1, frozen=True, batch=16), Block("b", 1, 1, 1, 1)))
MEMINFO = "MemTotal: 32000000 kB\nMemFree: 5 kB\nMemAvailable: 16000000 kB\n"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_what_fits_is_let_through_and_the_rest_named(monkeypatch: pytest.MonkeyPatch) -> None:
    step = NET.memory.gigabytes
    whole = 1.1 + max(step(512, 16, frozen=True), step(512, 4))
    halves = 1.1 + max(step(512, 8, frozen=True), step(512, 2))
    monkeypatch.setenv(memory.VARIABLE, f"{whole + 0.01}")
    require_memory("stage", NET, [PLAN])
    monkeypatch.setenv(memory.VARIABLE, f"{halves + 0.01}")
    with pytest.raises(
        UserError, match=f"512 px takes about {whole:.1f} GB .*--accumulate 2 takes"
    ):
        require_memory("stage", NET, [PLAN])
    require_memory("stage", NET, [PLAN.accumulating(2)])
    monkeypatch.setenv(memory.VARIABLE, "0.5")
    with pytest.raises(UserError, match="use a machine that has them"):
        require_memory("stage", NET, [PLAN])
    # As seen with 20 pairs of 1024 px: 20.3 GB.
    monkeypatch.setenv(memory.VARIABLE, "20.2")
    with pytest.raises(UserError, match=r"1024 px takes about 20\.5 GB"):
        require_memory("stage", KERNEL, [Plan(1024, 20, 2, PLAN.blocks[1:])])
    small = Plan(64, 16, 2, (Block("a", 1, 1, 1, 1),))  # takes little beside its step, too
    monkeypatch.setenv(memory.VARIABLE, f"{2 * step(64, 16) - NET.memory.base + 0.01}")
    require_memory("stage", NET, [small])
    monkeypatch.setenv(memory.VARIABLE, "lots")
    with pytest.raises(UserError, match="is a number of gigabytes, received 'lots'"):
        require_memory("stage", NET, [PLAN])


def test_a_container_may_have_less_than_its_machine(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(memory.VARIABLE, raising=False)
    assert free_gigabytes(tmp_path) is None  # a system that does not say: nothing is refused
    require = 16_000_000 * 1024 / 1e9
    write(tmp_path, "proc/meminfo", MEMINFO)
    assert free_gigabytes(tmp_path) == require
    cgroup = {"memory.max": "max\n", "memory.current": "7000000000\n", "memory.stat": "anon 1\n"}
    for name, text in cgroup.items():
        write(tmp_path, f"sys/fs/cgroup/{name}", text)
    assert free_gigabytes(tmp_path) == require
    write(tmp_path, "sys/fs/cgroup/memory.max", "10000000000\n")
    assert free_gigabytes(tmp_path) == 3
    # Of 7 GB in use 2 are files that the kernel can drop.
    write(tmp_path, "sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 2000000000\n")
    assert free_gigabytes(tmp_path) == 5


@pytest.mark.parametrize(
    "command",
    [
        ("siamese_net_v5_densenet121/r15_seamese_net_train_v5_finetune_512px.py", "0"),
        ("siamese_net_v6_se_resnext/r11_seamese_net_warmstart_from_scratch_224px.py",),
        ("kernel_snn/snn_train_kernel_384_to_1024.py", "--RUN_FOLD", "0"),
    ],
)
def test_stages_say_so_at_once(
    command: tuple[str, ...], sample: Path, tmp_path: Path, repository: Path, monkeypatch
) -> None:
    root = tiny_root(sample, tmp_path / "root")
    folds = load(root / "modified_data/new_4_folds_split_train_val.pkl")
    (root / "modified_data/kfold").mkdir(exist_ok=True)
    for version in (1, 2):
        save(root / f"modified_data/kfold/new_4_folds_split_train_val_v{version}.pkl", folds)
    monkeypatch.setenv("WHALES_ROOT", str(root))
    monkeypatch.setenv(memory.VARIABLE, "3.5")
    code = f"""
import runpy, sys
sys.argv = {[str(repository / command[0]), *command[1:], "--profile", "full", "--weights", "none"]!r}
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    assert not {{"tensorflow", "keras"}} & {{*sys.modules}}
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True
    )
    assert ended.returncode == 2, ended.stderr
    assert "GB of memory, 3.5 GB are free; " in ended.stderr.splitlines()[-1]
