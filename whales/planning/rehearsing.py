"""Every stage run at its true photo sizes, batches and nets for a few steps: what fails, takes and fits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from whales.base import stopping
from whales.base.console import log
from whales.base.errors import UserError
from whales.base.numbers import as_number
from whales.base.tables import cell_number, csv_text, read_csv, read_table, require_columns
from whales.base.writing import write_text
from whales.files.folds import FOLDS
from whales.files.workspace import Workspace
from whales.planning.few_photos import few_photos
from whales.stages.pipeline import STAGES, Call, Stage, calls, needed
from whales.stages.rehearsal import BRANCHES, link_to, peak_gigabytes, rehearsal_root

DONE = "done"
# As `whales.stages.rehearsal.log_rehearsed` says it.
_STEP = re.compile(rf": (\d+) px, batch (\d+), ({'|'.join(BRANCHES)}): ([\d.]+) s a step$", re.M)
_COLUMNS = ("stage", "seconds", "peak_gb", "outcome")
_STEP_COLUMNS = ("stage", "size", "pairs", "branch", "seconds")


class Rehearsed(NamedTuple):
    """A stage as it went. seconds: of its process; peak_gb: memory of its largest process; outcome: DONE, or
    its last line; then with which options it ran, and why.
    """

    stage: str
    seconds: float
    peak_gb: float
    outcome: str


class Step(NamedTuple):
    """A kind of training step. size: pixels; pairs: that the net takes at once; branch: frozen or whole."""

    stage: str
    size: int
    pairs: int
    branch: str
    seconds: float


def rehearse(
    workspace: Workspace, project: Path, profile: str, steps: int, only: Sequence[str] = ()
) -> list[Rehearsed]:
    """Run every stage of README order on few of the root's photos, one fold of each, and say how each went.

    project: the folder of the scripts; steps: of an epoch, at most; only: parts of the names of the stages
    to run, else all. A stage that fails does not stop the others. The tables `rehearsal_tables` names are
    written after each stage; a stage that is up to date keeps its rows.
    Raises `UserError` where the root has too few photos, or `only` names no stage.
    """
    every = _one_fold_each(profile)
    for part in only:
        if not any(part in call.stage.script for call in every):
            raise UserError(f"no stage has {part} in its name; see README.md for the stages")
    chosen = [call for call in every if _named(call.stage, only)]
    few = few_photos(workspace)
    root = rehearsal_root(few, profile)
    done = {row.stage: row for row in rehearsed(workspace, profile)}
    kinds = {step[:4]: step for step in rehearsed_steps(workspace, profile)}
    for number, call in enumerate(chosen, 1):
        log(f"[{number:2}/{len(chosen)}] {call.name} ...")
        row, output = _rehearsed(call, project, few, root, profile, steps)
        if not output.rstrip().endswith("up to date") or call.name not in done:
            done[call.name] = row
        row = done[call.name]
        for size, pairs, branch, seconds in _STEP.findall(output):
            step = Step(call.stage.script, int(size), int(pairs), branch, float(seconds))
            kinds[step[:4]] = step
        _name_other_folds(call.stage, root)
        took = f"{row.seconds:.0f} s, {row.peak_gb:.1f} GB"
        log(f"[{number:2}/{len(chosen)}] {call.name}: {took}, {row.outcome}")
        stages, of_steps = rehearsal_tables(workspace, profile)
        write_text(stages, csv_text(_COLUMNS, _in_order(done, profile)))
        write_text(of_steps, csv_text(_STEP_COLUMNS, kinds.values()))
    return _in_order(done, profile)


def rehearsal_tables(workspace: Workspace, profile: str) -> tuple[Path, Path]:
    """The table of the stages rehearsed, and that of their kinds of training steps."""
    folder = workspace.root / "rehearsal"
    return folder / f"{profile}_stages.csv", folder / f"{profile}_steps.csv"


def rehearsed(workspace: Workspace, profile: str) -> list[Rehearsed]:
    """The stages rehearsed so far; empty where there are none. `UserError` for a damaged table."""
    rows = _rows(rehearsal_tables(workspace, profile)[0], _COLUMNS)
    return [Rehearsed(row[0], as_number(row[1]), as_number(row[2]), row[3]) for row in rows]


def rehearsed_steps(workspace: Workspace, profile: str) -> list[Step]:
    """The kinds of training steps rehearsed so far; `UserError` for a damaged table."""
    return steps_of(rehearsal_tables(workspace, profile)[1])


def steps_of(table: Path) -> list[Step]:
    """The kinds of training steps of a table that a rehearsal wrote, here or elsewhere; empty without one.

    `UserError` naming the line of what is no number, or no kind of branch.
    """
    if not table.exists():
        return []
    frame, places = read_table(table)
    require_columns(frame, table, _STEP_COLUMNS)
    steps = []
    for record, where in zip(frame.to_dict("records"), places, strict=True):
        row = {**record, "where": where}
        size, pairs, seconds = (
            cell_number(row, name) or 0 for name in ("size", "pairs", "seconds")
        )
        if min(size, pairs, seconds) <= 0 or row["branch"] not in BRANCHES:
            raise UserError(
                f"{where}: expected size, pairs and seconds above 0, and a branch of "
                f"{' or '.join(BRANCHES)}; take the row out, or rehearse again"
            )
        steps.append(Step(row["stage"], int(size), int(pairs), row["branch"], seconds))
    return steps


def _rows(path: Path, columns: Sequence[str]) -> list[list[str]]:
    if not path.exists():
        return []
    frame, _ = read_csv(path)
    require_columns(frame, path, columns)
    return frame[list(columns)].to_numpy().tolist()


def _in_order(done: dict[str, Rehearsed], profile: str) -> list[Rehearsed]:
    names = [call.name for call in _one_fold_each(profile)]
    return [done[name] for name in names if name in done]


def _one_fold_each(profile: str) -> list[Call]:
    """Every stage once, for its first fold; inference for all, since its mean needs all."""
    first: dict[str, Call] = {}
    for call in calls(profile):
        folds = call.stage.folds
        numbers = () if not folds else folds.numbers if folds.every else folds.numbers[:1]
        first.setdefault(call.stage.script, Call(call.stage, numbers))
    return list(first.values())


def scripts_for_training(profile: str) -> list[str]:
    """The stages that train, and those before them that make what they read."""
    waiting = [call for call in calls(profile) if call.stage.trains]
    found: set[str] = set()
    while waiting:
        call = waiting.pop()
        if call.stage.script not in found:
            found.add(call.stage.script)
            waiting += needed(call, profile)
    return [stage.script for stage in STAGES if stage.script in found]


def _named(stage: Stage, only: Sequence[str]) -> bool:
    return not only or any(part in stage.script for part in only)


def _rehearsed(
    call: Call, project: Path, few: Workspace, root: Workspace, profile: str, steps: int
) -> tuple[Rehearsed, str]:
    """Run a call; a training that is refused runs once more with what helps. Also its output."""
    trains = call.stage.trains
    command = [str(project / call.stage.script), *call.arguments, "--profile", profile]
    command += ["--steps", str(steps)] if trains else []
    # A training makes its way to the rehearsal's root by itself.
    where, helped = (few if trains else root).root, ""
    while True:
        code, output, seconds, peak = _run(command, where)
        last = _last_line(output)
        remedy = _remedy(last) if code == 2 and trains else []
        if not remedy or remedy[0] in command:
            break
        command += remedy
        helped += f" with {' '.join(remedy)}, since {last};"
    if code < 0:
        last = f"ended by signal {-code}" + ", as where memory runs out" * (code == -signal.SIGKILL)
    outcome = (DONE if code == 0 else last) + helped.removesuffix(";")
    return Rehearsed(call.name, seconds, peak, outcome), output


def _remedy(refusal: str) -> list[str]:
    """Options with which a training that refused its first weights, or its memory, can be rehearsed."""
    parts = re.search(r"--accumulate (\d+)", refusal)
    if parts:
        return ["--accumulate", parts[1]]
    return ["--weights", "none"] if "--weights" in refusal else []


def _run(command: Sequence[str], root: Path) -> tuple[int, str, float, float]:
    """Exit code, output, seconds and peak gigabytes of a script, run to its end."""
    environment = {**os.environ, "WHALES_ROOT": str(root)}
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        child = subprocess.Popen(
            [sys.executable, *command], env=environment, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if child.returncode is None:  # a signal came: the stage keeps what it has done, too
                child.send_signal(stopping.requested() or signal.SIGTERM)
                child.wait()
        output.seek(0)
        text = output.read()
    return child.returncode, text, time.monotonic() - begin, peak_gigabytes(usage)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else "ended without a word"


def _name_other_folds(stage: Stage, root: Workspace) -> None:
    """Let the weights of a net's first fold stand for its other folds, which inference needs as well."""
    if not (stage.folds and stage.trains):
        return
    first = stage.folds.numbers[0]
    for key in stage.writes:
        if not key.startswith("weights_"):
            continue
        for other in range(FOLDS):  # of weights of an earlier rehearsal, which were moved away
            for path in root.found(key, fold=other):
                if path.is_symlink() and not path.exists():
                    path.unlink()
        for path in root.found(key, fold=first):
            for fold in range(FOLDS):
                name = re.sub(rf"(fold_|finetune_){first}_", rf"\g<1>{fold}_", path.name)
                if name != path.name:
                    link_to(path, path.with_name(name))
