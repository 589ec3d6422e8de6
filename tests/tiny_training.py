"""A training of the kernel net that is over in seconds: the stage itself, with still smaller numbers."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from whales.base.pickles import save

HERE = Path(__file__).resolve().parents[1]

# The stage's script with still smaller numbers: everything else is the real thing.
TINY = """
import sys
sys.path.insert(0, {folder!r})
from whales.training.plan import Block, Plan
import snn_train_kernel_384_to_1024 as stage
temp = lambda epochs, **more: Block("temp", {rate}, 1, epochs, 1, **more)
final = lambda rate, rounds, epochs: Block("final", rate, rounds, epochs, 0.5, each_round=True)
stage.PLANS["smoke"] = stage.COLD_PLANS["smoke"] = ({plans})
{before}
stage.run(lambda: stage.main(sys.argv[1:]))
"""
# Waits after the first checkpoint that has so many epochs behind it, and a step of the next one or none.
PAUSE = """
import time
from pathlib import Path
from typing import Any
from whales.base.stopping import requested
from whales.training.trainer import Trainer
def pausing(trainer, keep=Trainer._checkpoint):
    keep(trainer)
    tables = Path({root!r}).glob("cache/history/*.csv")
    epochs = sum(len(table.read_text().splitlines()) - 1 for table in tables)
    if epochs >= {epochs} and bool(trainer.progress.step) == {within}:
        Path({root!r}, "paused").touch()
        while not requested():
            time.sleep(0.01)
Trainer._checkpoint = pausing
"""
PLANS = """
    Plan(64, 8, 2, (temp(2), temp(2, frozen=True))),
    Plan(64, 8, 2, steps=2, blocks=(final(lambda i: 1e-4 / (i + 1), 2, 2),)),
"""


def tiny_root(sample: Path, root: Path) -> Path:
    """A work root with the sample's photos, its first boxes as final ones, and small kernel folds."""
    shutil.copytree(sample, root)
    boxes = root / "modified_data"
    shutil.copy(boxes / "p2bb_v5.pkl", boxes / "p2bb_averaged_v1.pkl")
    shutil.copy(boxes / "p2bb_playground_v2.pkl", boxes / "p2bb_averaged_playground_v1.pkl")
    rows = list(csv.DictReader(open(root / "data/train.csv")))
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["Id"], []).append(row["Image"])
    big = sorted(who for who in groups if who != "new_whale" and len(groups[who]) > 3)[:6]
    train = [name for who in big for name in groups[who][:3]]
    valid = [groups[who][3] for who in big] + groups["new_whale"][:2]
    fold = {"train": train, "val": valid}
    kept = [f"{row['Image']},{row['Id']}" for row in rows if row["Image"] in {*train, *valid}]
    (root / "data/train.csv").write_text("\n".join(["Image,Id", *kept]) + "\n")
    save(boxes / "new_4_folds_split_train_val.pkl", {f"fold_{i}": fold for i in range(4)})
    return root


def start(
    root: Path,
    *folds: int,
    options: tuple[str, ...] = (),
    rate: float = 1e-4,
    plans: str = PLANS,
    checkpoints: str = "",
    before: str = "",
    weights: str = "none",
    pause: int | None = None,
    within: bool = False,
    start_new_session: bool = False,
    **variables: str,
) -> subprocess.Popen:
    """The tiny stage in a process of its own; fold 0 unless others are given.

    rate: learning rate of the first plan, as if it were edited on the page; plans: their code;
    checkpoints: seconds between two within an epoch, instead of the usual; before: code that is run before
    the stage; weights: that it starts from, "" where it is to choose; pause: epochs of its root after whose
    checkpoint it waits, or within the next of them; variables: of the environment.
    """
    if pause is not None:
        before = PAUSE.format(root=str(root), epochs=pause, within=within) + before
    code = TINY.format(folder=str(HERE / "kernel_snn"), rate=rate, plans=plans, before=before)
    chosen = [str(fold) for fold in folds or (0,)]
    command = [sys.executable, "-c", code, "--RUN_FOLD", *chosen, "--profile", "smoke", *options]
    command += ["--weights", weights] if weights else []
    environment = {**os.environ, "WHALES_ROOT": str(root), **variables}
    return subprocess.Popen(
        command,
        env={**environment, "WHALES_CHECKPOINT_SECONDS": checkpoints},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=start_new_session,
    )


def weights(root: Path) -> dict[str, bytes]:
    files = [path for path in (root / "saved_models/PLAN21").iterdir() if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


def history(root: Path) -> list[dict[str, str]]:
    """Rows of all history files, without the seconds, which differ from run to run."""
    rows = []
    for path in sorted((root / "cache/history").glob("*.csv")):
        rows += list(csv.DictReader(open(path)))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def finish(run: subprocess.Popen) -> str:
    """Wait for a stage that must end well; what it said."""
    output = run.communicate()[0]
    assert run.returncode == 0, output
    return output


def refused(run: subprocess.Popen) -> str:
    """Wait for a stage that must refuse its input; what it said."""
    output = run.communicate()[0]
    assert run.returncode == 2, output
    return output


def wait_for_pause(run: subprocess.Popen, root: Path) -> None:
    """Wait until a stage that was started with `pause` waits."""
    while not (root / "paused").exists():
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.01)
    (root / "paused").unlink()


def killed_after(epochs: int, root: Path, **arguments: Any) -> None:
    """Start a stage, and kill it right after the checkpoint of so many epochs of its root."""
    run = start(root, pause=epochs, **arguments)
    wait_for_pause(run, root)
    run.kill()
    run.communicate()
