"""Run the whole pipeline in README order with the small numbers of the smoke profile, and score it.

Without data of your own: `make demo`. On a work root: `make demo ROOT=FOLDER`.
Run again, it picks up where it stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from whales.base import locks, stopping
from whales.base.console import log
from whales.base.errors import UserError
from whales.files.workspace import Workspace
from whales.stages.options import PROFILE_CHOICES, ArgumentParser, positive
from whales.stages.stage import run

HERE = Path(__file__).resolve().parent
V5, V6 = "siamese_net_v5_densenet121", "siamese_net_v6_se_resnext"


@dataclass(frozen=True)
class Chain:
    """Stages that need each other in turn, to be run after other chains have finished."""

    name: str
    after: tuple[str, ...]
    stages: tuple[str, ...]


# README order; the folds of a stage are trained by one process, which saves tracing the net anew.
CHAINS = (
    Chain(
        "boxes and folds",
        (),
        (
            "retinanet/r10_create_csv_for_retinanet.py",
            "retinanet/r30_train_backbone_resnet152_kfold.py 1",
            "retinanet/r31_convert_retinanet_model.py 1",
            "retinanet/r31_get_vectors_backbone_resnet152_kfold.py 1",
            "retinanet/r32_average_boxes.py",
            "r10_create_kfold_split.py",
        ),
    ),
    Chain(
        "v5",
        ("boxes and folds",),
        (
            f"{V5}/r10_seamese_net_warmstart_from_scratch_224px.py",
            f"{V5}/r11_seamese_net_warmstart_finetune_384px.py",
            f"{V5}/r15_seamese_net_train_v5_finetune_384px.py 0 1 2 3",
            f"{V5}/r15_seamese_net_train_v5_finetune_512px.py 0 1 2 3",
            f"{V5}/r26_seamese_net_inference_v5_512px.py",
            f"{V5}/r28_seamese_net_create_submission_v5_512px.py",
        ),
    ),
    Chain(
        "v6",
        ("boxes and folds",),
        (
            f"{V6}/r11_seamese_net_warmstart_from_scratch_224px.py",
            f"{V6}/r12_seamese_net_warmstart_from_scratch_384px.py",
            f"{V6}/r15_seamese_net_train_v6_finetune_384px.py 0 1 2 3",
            f"{V6}/r16_seamese_net_inference_v6_384px.py",
            f"{V6}/r18_seamese_net_create_submission_v6_384px.py",
        ),
    ),
    Chain("matrices", ("v5", "v6"), ("r20_prepare_matrices_for_ensemble.py",)),
    Chain(
        "kernel",
        ("boxes and folds",),
        (
            "kernel_snn/kfold_splits_for_kernel.py",
            "kernel_snn/snn_train_kernel_384_to_1024.py --RUN_FOLD 0 1 2 3",
            "kernel_snn/snn_inference_kernel_1024.py",
        ),
    ),
    Chain("ensemble", ("matrices", "kernel"), ("final_ensemble_with_post_proc.py",)),
)
STAGES = tuple(stage for chain in CHAINS for stage in chain.stages)
# What the sample must reach; the best constant guess gives a MAP@5 of .31 there.
LEAST_MAP5, LEAST_IOU = 0.60, 0.70


def main(argv: Sequence[str] | None = None) -> None:
    """Make the sample where there is no data, run all stages, log the scores.

    With the sample the exit code is 1 where the scores stay under its bars.
    """
    parser = ArgumentParser(__doc__)
    parser.add_argument("--root", default="demo_root", help="work root (default: demo_root)")
    parser.add_argument("--profile", choices=PROFILE_CHOICES, default="smoke")
    parser.add_argument(
        "--jobs",
        type=positive,
        help="stages of different nets side by side (default: 2 in the smoke profile, else 1)",
    )
    args = parser.parse_args(argv)
    root = Path(args.root).resolve()
    sample = not (root / "data").exists() or (root / "sample.json").exists()
    if root.exists() and not sample and not (root / "data/train.csv").exists():
        raise UserError(f"{root} has no data/train.csv; see docs/pipeline.md, 'The data'")
    os.environ["WHALES_ROOT"] = str(root)
    # Else the first of two stages side by side would take a GPU's whole memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    begin = time.monotonic()
    if sample:
        # Not logged: the folder of the logs must not be there before the sample is.
        command = [sys.executable, "-m", "sample_data", str(root)]
        with ThreadPoolExecutor(1) as pool, Children() as children:
            code = pool.submit(children.run, command, None).result()
        if code:
            sys.exit(code)
    locks.take(Workspace(root).file("lock", name="demo"), f"the demo in {root}")
    jobs = args.jobs or (2 if args.profile == "smoke" else 1)
    stopping.would_keep("the stages that ran have kept what they had done")
    Runner(root, args.profile).run(jobs)
    log(f"all stages: {time.monotonic() - begin:.0f} s")
    ensemble, overlap = log_scores(Workspace(root))
    if sample:
        met = ensemble >= LEAST_MAP5 and overlap >= LEAST_IOU
        log(
            f"ensemble MAP@5 {ensemble:.4f} (the sample's bar {LEAST_MAP5:.2f}), IoU {overlap:.4f} "
            f"(bar {LEAST_IOU:.2f}): {'met' if met else 'not met'}"
        )
        sys.exit(0 if met else 1)


class Children:
    """Processes that end before this one: a stop is passed on to them and waited for."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen] = set()
        self._ending = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        stopping.at_once(self.kill)
        return self

    def __exit__(self, *_: object) -> None:
        self.end(stopping.requested() or signal.SIGTERM)

    def run(self, command: Sequence[str], stdout: IO[str] | None) -> int:
        """Run a command to its end; its exit code. With `stdout` its errors go there too."""
        with self._lock:
            if self._ending:
                return 128 + self._ending
            # In a group of its own: Ctrl-C, which reaches whole groups, would come to it twice.
            process = subprocess.Popen(
                command,
                cwd=HERE,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stdout and subprocess.STDOUT,
                process_group=0,
            )
            self._running.add(process)
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code if code >= 0 else 128 - code

    def end(self, number: int) -> None:
        """Send a signal to what runs, begin nothing more, and wait."""
        with self._lock:
            self._ending = number
            running = list(self._running)
        for process in running:
            process.send_signal(number)
        for process in running:
            process.wait()

    def kill(self) -> None:
        """Kill what runs, without waiting."""
        for process in list(self._running):
            process.kill()


class Runner:
    """Runs the chains, each stage in a process of its own whose output goes to logs/demo/."""

    def __init__(self, root: Path, profile: str) -> None:
        self._logs = root / "logs" / "demo"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._profile = profile
        self._stopped = False

    def run(self, jobs: int) -> None:
        """All chains, `jobs` at once; one that fails stops the others, which can be taken up again."""
        waiting, running, finished = list(CHAINS), {}, set()
        with ThreadPoolExecutor(jobs) as pool, Children() as self._children:
            try:
                while waiting or running:
                    ready = [chain for chain in waiting if finished.issuperset(chain.after)]
                    for chain in ready:
                        waiting.remove(chain)
                        running[pool.submit(self._chain, chain)] = chain.name
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        future.result()
                        finished.add(running.pop(future))
            finally:
                self._stopped = True
                pool.shutdown(wait=False, cancel_futures=True)

    def _chain(self, chain: Chain) -> None:
        for stage in chain.stages:
            self._stage(stage)

    def _stage(self, stage: str) -> None:
        """One stage; a progress line here when it begins and when it ends."""
        script, *arguments = stage.split()
        name = " ".join([Path(script).stem, *arguments])
        progress = f"[{STAGES.index(stage) + 1:2}/{len(STAGES)}] {name}"
        file = self._logs / (name.replace("--", "").replace(" ", "_") + ".log")
        begin = time.monotonic()
        log(f"{progress} ...")
        command = [sys.executable, str(HERE / script), *arguments, "--profile", self._profile]
        with open(file, "a") as out:
            code = self._children.run(command, out)
        last = (file.read_text(errors="replace").strip().splitlines() or [""])[-1]
        if code:
            if not self._stopped:
                log(f"{progress}: failed", last, f"its whole output: {file}")
            sys.exit(code)
        outcome = (
            "up to date" if last.endswith("up to date") else f"{time.monotonic() - begin:.1f} s"
        )
        log(f"{progress}: {outcome}")


def log_scores(workspace: Workspace) -> tuple[float, float]:
    """Log the scores and where the files are.

    Returns the ensemble's MAP@5 on the test photos and the detector's mean IoU, 0 where unknown.
    """
    from whales_tools.nets import NETS
    from whales_tools.report import page

    from whales.reporting.answers_picture import answers_picture
    from whales.scores import root_scores
    from whales.scores.ensemble import blended

    table = root_scores.fold_map5(workspace)
    truth = root_scores.test_answers(workspace)
    ensemble = overlap = 0.0
    if truth:
        table += [
            root_scores.submission_map5(workspace, "submission_v5", truth),
            root_scores.submission_map5(workspace, "submission_v6", truth),
            root_scores.kernel_map5(workspace, truth),
            root_scores.submission_map5(workspace, "submission", truth),
            *root_scores.known_map5_of_nets(workspace, truth),
        ]
        ensemble = next(row.map5 for row in table if row.net == "ensemble")
    log("", "net       fold    photos  MAP@5")
    for row in table:
        log(f"{row.net:9} {row.fold:6} {row.photos:7}  {row.map5:.4f}")
    log(
        "(test: five answers with new_whale; known: test photos of known whales, without new_whale)"
    )
    detection = root_scores.detection_iou(workspace)
    if detection:
        overlap, photos, missed = detection
        log(f"detection: mean IoU {overlap:.4f} on {photos} photos, {missed} not found")
    picture = workspace.root / "report" / "answers.png"
    answers_picture(workspace, picture, blended(workspace, NETS), truth)
    log(f"submission: {workspace.file('submission')}")
    log(f"picture:    {picture}", f"logs:       {workspace.root / 'logs'}")
    log(f"report:     {page(workspace)}")
    return ensemble, overlap


if __name__ == "__main__":
    run(main)
