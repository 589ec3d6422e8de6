"""Run the whole pipeline with the small numbers of the smoke profile, through Snakemake, and score it.

Without data of your own: `make demo`. On a work root: `make demo ROOT=FOLDER`.
Run again, it picks up where it stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

from whales.base import locks, stopping
from whales.base.children import Children
from whales.base.console import log
from whales.base.errors import UserError
from whales.files.workspace import Workspace
from whales.stages.options import PROFILE_CHOICES, ArgumentParser, positive
from whales.stages.stage import run

HERE = Path(__file__).resolve().parent
# What the sample must reach; the best constant guess gives a MAP@5 of .31 there. Each kind of processor
# rounds otherwise, and 50 test photos are few: runs gave .83 to .86, and IoU of .80 to .81.
LEAST_MAP5, LEAST_IOU = 0.75, 0.75
# Seconds between two looks at what runs, and while all is to end; each looks at every process there is.
_LOOK, _LOOK_AT_THE_END = 1.0, 0.1


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
        help="stages side by side (default: 2 in the smoke profile, else 1)",
    )
    args = parser.parse_args(argv)
    root = Path(args.root).resolve()
    sample = not (root / "data").exists() or Workspace(root).file("sample").exists()
    if root.exists() and not sample and not (root / "data/train.csv").exists():
        raise UserError(f"{root} has no data/train.csv; see docs/pipeline.md, 'The data'")
    os.environ["WHALES_ROOT"] = str(root)
    # Else the first of two stages side by side would take a GPU's whole memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    begin = time.monotonic()
    if sample:
        # Not logged: the folder of the logs must not be there before the sample is.
        with Children() as children:
            code = children.run([sys.executable, "-m", "sample_data", str(root)], folder=HERE)
        if code:
            sys.exit(code)
    workspace = Workspace(root)
    locks.take(workspace.file("lock", name="demo"), f"the demo in {root}")
    stopping.would_keep("the stages that ran have kept what they had done")
    run_stages(workspace, args.profile, args.jobs or (2 if args.profile == "smoke" else 1))
    log(f"all stages: {time.monotonic() - begin:.0f} s")
    ensemble, overlap = log_scores(workspace)
    if sample:
        met = ensemble >= LEAST_MAP5 and overlap >= LEAST_IOU
        log(
            f"ensemble MAP@5 {ensemble:.4f} (the sample's bar {LEAST_MAP5:.2f}), IoU {overlap:.4f} "
            f"(bar {LEAST_IOU:.2f}): {'met' if met else 'not met'}"
        )
        sys.exit(0 if met else 1)


def heed_interrupts() -> None:
    """Heed SIGINT, which shells have what they start in the background ignore, and all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_stages(workspace: Workspace, profile: str, jobs: int, python: str = "") -> None:
    """All stages, `jobs` at once; one that fails stops the others, which can be taken up again.

    python: the command that runs a stage, "" for this interpreter. Exits with the code of one that failed.
    """
    for old in workspace.found("failed_call"):
        old.unlink()
    output = workspace.file("demo_log", call="snakemake")
    output.parent.mkdir(parents=True, exist_ok=True)
    settings = [f"profile={profile}", *([f"python={python}"] if python else [])]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(HERE / "workflow/Snakefile")]
    command += ["--workflow-profile", str(HERE / "workflow/profiles/local"), "--cores", str(jobs)]
    command += ["--quiet", "all", "--config", *settings]
    folder = workspace.file("workflow")
    folder.mkdir(parents=True, exist_ok=True)
    with open(output, "a") as errors, Engine(command, folder, errors.fileno()) as engine:
        while engine.runs():
            if workspace.found("failed_call"):
                engine.end(signal.SIGTERM)
    failures = [path.read_text(encoding="utf-8") for path in workspace.found("failed_call")]
    if failures:
        sys.exit(int(failures[0].splitlines()[0]))
    if engine.code:
        said = output.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
        raise UserError(f"Snakemake failed ({said[-1].strip()}); its whole output: {output}")


class Engine:
    """Snakemake, and the stages that it runs: when this ends, so do they, after one signal to each."""

    def __init__(self, command: Sequence[str], folder: Path, errors: int) -> None:
        self._command, self._folder, self._errors = command, folder, errors
        self._stages: dict[int, psutil.Process] = {}
        self._told: set[int] = set()  # a second signal would end a stage on the spot
        self.code: int | None = None

    def __enter__(self) -> Self:
        # In a group of its own: Ctrl-C, which reaches whole groups, would come to the stages twice.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stderr=self._errors,
            cwd=self._folder,
            process_group=0,
        )
        stopping.at_once(self._kill)
        return self

    def __exit__(self, *_: object) -> None:
        self.end(stopping.requested() or signal.SIGTERM)

    def runs(self, seconds: float = _LOOK) -> bool:
        """Whether Snakemake runs so long yet; notes what it has begun."""
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            for stage in psutil.Process(self._process.pid).children():
                self._stages.setdefault(stage.pid, stage)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.code = self._process.wait(seconds)
        return self.code is None

    def end(self, number: int) -> None:
        """Have Snakemake begin nothing more, send a signal to each stage that runs, and wait for all."""
        if self._process.poll() is None:
            self._process.terminate()  # it waits for what runs, and begins nothing more
        while self.runs(_LOOK_AT_THE_END) or any(map(_lives, self._stages.values())):
            for stage in self._stages.values():
                if stage.pid not in self._told:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        stage.send_signal(number)
                self._told.add(stage.pid)
            if self.code is not None:
                time.sleep(_LOOK_AT_THE_END)

    def _kill(self) -> None:
        """Kill Snakemake and all that it has started, without waiting."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.kill()


def _lives(process: psutil.Process) -> bool:
    """Whether a process runs; one that waits to be buried does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
    heed_interrupts()
    run(main)
