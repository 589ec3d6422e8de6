"""Kills on a real Slurm: the pipeline's files must be those of stages run by hand.

    make slurm [ARGS="--root FINISHED_ROOT"]

Training, inference and r20 are each killed with SIGKILL, cancelled with scancel, and lose the node's slurmd,
in one run of Snakemake that is never started again. Prints a table. Without --root every stage is one that
is over in a moment (`quick_stage.py`); with a finished root of `small_pipeline.py` they are the real ones.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]
import quick_stage  # noqa: E402
import slurm_cluster  # noqa: E402
import soak  # noqa: E402

from whales.files.workspace import Workspace  # noqa: E402
from whales.stages.graph import PROJECT, Graph  # noqa: E402
from whales.stages.pipeline import Call, calls  # noqa: E402

# What is killed: a training, an inference, and the gathering of their matrices.
KEYS = (
    "kernel_snn.snn_train_kernel_384_to_1024",
    "siamese_net_v6_se_resnext.r16_seamese_net_inference_v6_384px",
    "r20_prepare_matrices_for_ensemble",
)
# How long the real ones are left at work before a kill; the last is over in three.
SECONDS = dict(zip(KEYS, (15, 5, 0), strict=True))
PATIENCE = 900.0


class Kills:
    """One run of Snakemake on the cluster, and what is done to its jobs."""

    def __init__(
        self, cluster: slurm_cluster.Cluster, root: Path, page: Path, quick: bool, one_each: bool
    ) -> None:
        self._cluster, self._root, self._page, self._quick = cluster, root, page, quick
        self._one_each, self._turn = one_each, threading.Lock()
        self.rows: list[tuple[str, str]] = []

    def run(self) -> str:
        """Run it, kill, wait for its end; what it printed."""
        command = [sys.executable, "-m", "snakemake", "-s", str(PROJECT / "workflow/Snakefile")]
        command += ["--workflow-profile", str(PROJECT / "workflow/profiles/slurm")]
        command += ["--slurm-no-account", "--slurm-status-command", "squeue"]
        command += ["--slurm-init-seconds-before-status-checks", "1"]
        command += ["--seconds-between-status-checks", "1", "--latency-wait", "10"]
        command += ["--default-resources", "cpus_per_task=1", "slurm_partition=work"]
        command += ["--config", "profile=smoke", f"python={sys.executable} {self._page}"]
        environment = {**self._cluster.environment, "WHALES_ROOT": str(self._root)}
        output = self._root.parent / "snakemake.log"
        with open(output, "w") as out:
            engine = subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, cwd=self._root
            )
        try:
            with ThreadPoolExecutor(len(KEYS)) as pool:
                list(pool.map(self._kill_one, KEYS, [engine] * len(KEYS)))
            code = engine.wait(PATIENCE)
        finally:
            engine.kill()
        text = output.read_text()
        assert code == 0, text
        return text

    def _kill_one(self, key: str, engine: subprocess.Popen) -> None:
        (call,) = (call for call in calls("smoke") if call.key == key)
        waits = self._root / f"quick/{key}.wait"
        before: set[int] = set()
        kinds = (self._sigkill, self._scancel, self._slurmd)
        for kill in [kinds[KEYS.index(key)]] if self._one_each else kinds:
            stage = self._stage(call, engine, before)
            before.add(stage.pid)
            time.sleep(0 if self._quick else SECONDS[key])
            self.rows.append((key, kill(stage)))
        waits.unlink(missing_ok=True)

    def _stage(self, call: Call, engine: subprocess.Popen, before: set[int]) -> psutil.Process:
        """The process of a call, once it runs."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert engine.poll() is None, (self._root.parent / "snakemake.log").read_text()
            for process in psutil.process_iter(["cmdline"]):
                line = process.info["cmdline"] or []
                page = line[1:3] == [str(self._page), str(PROJECT / call.stage.script)]
                if page and "--check" not in line and process.pid not in before:
                    return process
            time.sleep(0.05)
        raise AssertionError(f"{call.name} has not begun")

    def _sigkill(self, stage: psutil.Process) -> str:
        stage.kill()
        psutil.wait_procs([stage], timeout=60)
        return "kill -9 of the stage"

    def _scancel(self, stage: psutil.Process) -> str:
        jobs = self._cluster.call("squeue", "-h", "-t", "R", "-o", "%i %k").splitlines()
        rule = stage.cmdline()[2].removeprefix(f"{PROJECT}/").removesuffix(".py").replace("/", "_")
        (job,) = (line.split()[0] for line in jobs if f"rule_{rule}" in line)
        self._cluster.call("scancel", job)
        gone, _ = psutil.wait_procs([stage], timeout=120)
        assert gone, "scancel does not end the stage"
        return "scancel of its job"

    def _slurmd(self, stage: psutil.Process) -> str:
        with self._turn:  # one node has one daemon
            self._cluster.kill("slurmd")
            time.sleep(3)
            self._cluster.start("slurmd")
        return "kill -9 of slurmd, started again"


def quick_root(folder: Path) -> Path:
    """A finished root of moments, made by hand."""
    whole = quick_stage.make_root(folder / "whole")
    os.environ["WHALES_ROOT"] = str(whole)
    with contextlib.redirect_stdout(io.StringIO()):
        return quick_stage.by_hand(whole, "smoke")


def unfinished(finished: Path, folder: Path) -> Path:
    """A copy of a finished root that lacks what the stages make that are to be killed; they wait."""
    tried = shutil.copytree(finished, folder / "tried", symlinks=True)
    graph = Graph.of(Workspace(tried), "smoke", [sys.executable])
    for call in graph.calls:
        if call.key not in KEYS:
            graph.mark(call)
            continue
        graph.marker(call).unlink(missing_ok=True)
        (tried / "quick").mkdir(exist_ok=True)
        (tried / f"quick/{call.key}.wait").touch()
        for stamp in call.stamps:
            graph.workspace.file("stamp", stage=stamp).unlink()
        for key in call.stage.writes:
            for path in graph.workspace.found(key):
                if key != "history" or call.stage.key in path.name:
                    path.unlink()
    return tried


def same_bytes(first: Path, second: Path) -> bool:
    """Whether two files are there and equal."""
    there = first.exists() and second.exists()
    return there and first.read_bytes() == second.read_bytes()


def main() -> None:
    """Kill, compare, print the table; exit code 1 where files differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one-each", action="store_true", help="one kind of kill for each stage")
    parser.add_argument("--root", type=Path, help="a finished root of small_pipeline.py")
    options = parser.parse_args()
    reason = slurm_cluster.missing()
    if reason:
        raise SystemExit(f"not run: {reason}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the daemons end too
    with tempfile.TemporaryDirectory(prefix="kills_") as name, slurm_cluster.slurm() as cluster:
        folder = Path(name)
        quick = options.root is None
        whole = quick_root(folder) if quick else options.root.resolve()
        tried = unfinished(whole, folder)
        page = HERE / ("quick_stage.py" if quick else "small_pipeline.py")
        kills = Kills(cluster, tried, page, quick, options.one_each)
        begin = time.monotonic()
        kills.run()
        names = soak.differences(whole, tried, False)
        names = [name for name in names if not name.startswith(("quick/", ".snakemake/"))]
        # What was copied as it is names the first root; what was made again names the second.
        different = [name for name in names if not same_bytes(whole / name, tried / name)]
        print("| stage | what was done to it |\n|---|---|")
        for key, what in kills.rows:
            print(f"| {key} | {what} |")
        print(
            f"{time.monotonic() - begin:.0f} s; files that differ from stages run by hand: {len(different)}"
        )
        print(*different, sep="\n")
        sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
