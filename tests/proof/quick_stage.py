"""Any stage of the list in a moment: reads and writes the files that the list says, with nothing computed.

    quick_stage.py SCRIPT ARGUMENTS

What it writes are digests of what it read, so that a changed input changes every file after it. Inputs,
folds, stamps, locks and messages are those of a real stage. Files of the work root's `quick/` steer it, by
the key of the stage: `KEY.number` is a number of its page, `KEY.fail` what it fails with; `KEY.wait` makes
it wait while it is there, and then for what it has to keep when it is stopped; `KEY.told` counts signals.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from whales.base import stopping
from whales.base.errors import UserError
from whales.base.writing import write_text
from whales.files.digests import text_digest
from whales.files.workspace import Workspace, pattern
from whales.stages.graph import Graph
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.pipeline import STAGES, Stage, calls, stage_of
from whales.stages.stage import run

REPOSITORY = Path(__file__).resolve().parents[2]
FIELDS = {
    "tag": "final",
    "score": "0.500000",
    "stage": "quick",
    "epoch": 1,
    "iou": 0.5,
    "name": "x",
}


def make_root(root: Path) -> Path:
    """A root with a line of text in each file that is given."""
    written = {key for stage in STAGES for key in stage.writes}
    for key in {key for stage in STAGES for key in stage.reads} - written:
        path = Workspace(root).file(key)
        if path.suffix:
            write_text(path, f"{key}\n")
        else:
            path.mkdir(parents=True, exist_ok=True)
    (root / "quick").mkdir()
    return root


def by_hand(root: Path, profile: str, until: str = "", marked: bool = False) -> Path:
    """Every call of a profile in this process, one after the other, up to a script; marked: as a graph's."""
    graph = Graph.of(Workspace(root), profile, [sys.executable])
    for call in calls(profile):
        main([str(REPOSITORY / call.stage.script), *call.arguments, "--profile", profile])
        if marked:
            graph.mark(call)
        if call.stage.script == until:
            break
    return root


def main(argv: Sequence[str]) -> None:
    """One call of a stage."""
    script, arguments = str(Path(argv[0]).resolve()), list(argv[1:])
    stage = stage_of(script)
    folds = stage.folds
    if folds and folds.flag:
        arguments.remove(folds.flag)
    positional = folds and ((1, 5) if folds.default else (0, 3))
    optional = folds and (folds.default or (-1 if folds.every else None))
    options, args = parse_arguments(
        "quick", arguments, positional, optional, many=not optional, script=script
    )
    chosen = [None]
    if folds:
        chosen = args.fold if isinstance(args.fold, list) else [args.fold]
        chosen = list(folds.numbers) if chosen == [None] else chosen
    numbers = {"number": _steered(options.workspace, stage, "number")}
    for fold in chosen:
        reads = _reads(options.workspace, stage, fold)
        for part, writes in _writes(options.workspace, stage, fold).items():
            job = Job(options, script, reads, writes, numbers=numbers, fold=fold, part=part)
            if not job.up_to_date():
                _write(job, stage)
    if folds and folds.every:
        _mean(options, script, stage, numbers)


def _reads(ws: Workspace, stage: Stage, fold: int | None) -> list[Path]:
    found: list[Path] = []
    for key in (*stage.reads, *stage.optional):
        of_fold = {} if fold is None or stage.folds.default else {"fold": fold}
        paths = [path for path in ws.found(key, **of_fold) if path.is_file()]
        if (
            not paths
            and key in stage.reads
            and "{" not in pattern(key)
            and not ws.file(key).is_dir()
        ):
            paths = [ws.file(key)]
        if not paths and "{" in pattern(key):
            raise UserError(f"{pattern(key)} is missing")
        found += paths
    return found


def _writes(ws: Workspace, stage: Stage, fold: int | None) -> dict[str, list[Path]]:
    """Part -> files; the mean of the folds, and what is no stage's alone, left out."""
    keys = [key for key in stage.writes if key != "history"]
    if fold is not None:
        keys = [key for key in keys if "{fold}" in pattern(key) or not stage.folds.every]
    fields = {**FIELDS, "fold": 1 if fold is None else fold, "part": "train"}
    if not stage.parts:
        return {"": [ws.file(key, **fields) for key in keys]}
    return {
        part: [ws.file(key, **fields) for key in keys if key.endswith(part)] for part in stage.parts
    }


def _write(job: Job, stage: Stage) -> None:
    ws = job.options.workspace
    fault = ws.root / "quick" / f"{stage.key}.fail"
    if fault.exists():
        raise UserError(fault.read_text())
    with stopping.Hold() as hold:
        hold.begin()
        (ws.root / "quick" / f"{stage.key}.begun").touch()
        while (ws.root / "quick" / f"{stage.key}.wait").exists() and not stopping.requested():
            time.sleep(0.02)
        while (ws.root / "quick" / f"{stage.key}.stubborn").exists():
            time.sleep(0.02)
        if stopping.requested():
            time.sleep(0.5)  # longer than what counts as one stop
            (ws.root / "quick" / f"{stage.key}.kept").touch()
            stopping.look()
    content = text_digest([path.read_bytes() for path in job.reads])
    for path in job.writes:
        write_text(path, f"{path.name} {content} {_steered(ws, stage, 'number')}\n")
    job.done()


def _mean(options, script: str, stage: Stage, numbers: dict[str, object]) -> None:
    """The file of all folds, once every fold has its own."""
    ws = options.workspace
    (key,) = (key for key in stage.writes if "{fold}" not in pattern(key))
    folds = [
        ws.file(other, fold=fold) for other in stage.writes if other != key for fold in range(4)
    ]
    if all(path.exists() for path in folds):
        job = Job(options, script, folds, [ws.file(key)], numbers=numbers)
        if not job.up_to_date():
            _write(job, stage)


def _steered(ws: Workspace, stage: Stage, what: str) -> str:
    file = ws.root / "quick" / f"{stage.key}.{what}"
    return file.read_text() if file.exists() else ""


def _count_signals() -> None:
    """Note each signal beside what steers the stage."""
    heeded = stopping._on_signal

    def counting(number, frame):
        stage = stage_of(sys.argv[1])
        with open(Workspace().root / "quick" / f"{stage.key}.told", "a") as told:
            told.write(f"{int(number)} ")
        heeded(number, frame)

    stopping._on_signal = counting


if __name__ == "__main__":
    _count_signals()
    run(lambda: main(sys.argv[1:]))
