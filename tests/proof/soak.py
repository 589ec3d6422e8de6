"""The long test of faults: hostile files drawn anew, and stages killed at random moments until time ends.

    make soak [ARGS="--minutes 20 --seed 7"]

First the tests under tests/faults, with many more examples. Then every stage of a small pipeline runs
unbroken in one root; in another it is killed (by SIGKILL or SIGTERM) at moments drawn by the seed and
started again until it ends. After each stage the files of both roots must be equal byte for byte, but for
the root's own path; of the detector's HDF5 models the arrays, whose names Keras changes. Round follows
round until the time is over. Prints a table, and what there was no time for; the exit code is 1 where
anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from small_pipeline import REPOSITORY, make_root

HERE = Path(__file__).resolve().parent
# Notes of when and how long, and what is made again at no cost; all other files must be equal.
VOLATILE = ("cache", "logs", "stamps")
FAULTS_SHARE = 0.4  # of the time, at most
MOST_KILLS = 2  # of one stage in one round
GRACE = 60.0  # seconds that a stage has to end after SIGTERM
PATIENCE = 8  # times as long as unbroken, and a stage hangs


class OutOfTimeError(Exception):
    """The time is over."""


@dataclass
class Row:
    """A line of the table. again: most seconds of work that one stage did twice, its start included."""

    tries: int = 0
    failed: int = 0
    again: float | None = None
    wrong: int | None = None
    notes: list[str] = field(default_factory=list)

    def fail(self, note: str) -> None:
        """Count a failure and keep what is known of it."""
        self.failed += 1
        self.notes.append(note)


class Soak:
    """One soak: its clock, its draws, its table."""

    def __init__(self, options: argparse.Namespace, folder: Path, stages: tuple[str, ...]) -> None:
        self._begin, self._minutes = time.monotonic(), options.minutes
        self._random, self._seed = random.Random(options.seed), options.seed
        self._folder, self._stages = folder, stages
        # Names of one length: tables and pickles may hold the root's path.
        self.whole, self.killed = folder / "whole", folder / "tried"
        self.rows: dict[str, Row] = defaultdict(Row)
        self.untried: list[str] = []
        self._unbroken: dict[str, float] = {}

    def left(self) -> float:
        """Seconds left; `OutOfTimeError` where there are none."""
        seconds = self._begin + 60 * self._minutes - time.monotonic()
        if seconds <= 0:
            raise OutOfTimeError
        return seconds

    # --- the tests of faults --------------------------------------------------------------------

    def faults(self, share: float) -> None:
        """Run tests/faults with the soak's profile for this share of the time at most."""
        results, output = self._folder / "results.jsonl", self._folder / "faults.log"
        results.touch()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "soak_plugin", "tests/faults"]
        command += ["--hypothesis-profile=soak", f"--hypothesis-seed={self._seed}", "--tb=short"]
        paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
        more = {"SOAK_RESULTS": str(results), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with running(command, output, **more) as process:
            code = ended(process, min(self.left(), 60 * self._minutes * share))
        entries = [json.loads(line) for line in results.read_text().splitlines()]
        for entry in entries[1:]:
            row = self.rows[entry["test"].split("::")[0]]
            row.tries += entry["tries"]
            if entry["outcome"] == "failed":
                row.fail(f"{entry['test']}\n{entry['said']}")
        done = {entry["test"] for entry in entries[1:]}
        self.untried += [name for name in (entries or [{}])[0].get("all", ()) if name not in done]
        if not entries or code not in (None, 0, 1):
            self.rows["tests/faults"].fail(f"pytest ended with {code}: {tail(output)}")

    # --- stages that are killed -----------------------------------------------------------------

    def stages(self) -> None:
        """Rounds of all stages until the time is over; the first runs each unbroken too."""
        make_root(self.whole)
        reached: set[str] = set()
        try:
            while True:
                shutil.rmtree(self.killed, ignore_errors=True)
                make_root(self.killed)
                for stage in self._stages:
                    if stage not in self._unbroken:
                        self._run_whole(stage)
                    self._run_killed(stage)
                    reached.add(stage)
        except OutOfTimeError:
            self.untried += [f"kills of {stage}" for stage in self._stages if stage not in reached]

    def _running(self, root: Path, stage: str) -> AbstractContextManager[subprocess.Popen]:
        script, *arguments = stage.split()
        command = [sys.executable, str(HERE / "small_pipeline.py"), script, *arguments]
        command += ["--profile", "smoke", "--workers", "1", "--seed", "3"]
        return running(command, self._log(root), WHALES_ROOT=str(root))

    def _log(self, root: Path) -> Path:
        return self._folder / f"{root.name}.log"

    def _finish(self, root: Path, stage: str, limit: float) -> int | None:
        """Run a stage to its end; its exit code, None where it hangs."""
        with self._running(root, stage) as process:
            code = ended(process, min(limit, self.left()))
        self.left()
        return code

    def _run_whole(self, stage: str) -> None:
        begin = time.monotonic()
        code = self._finish(self.whole, stage, self.left())
        self._unbroken[stage] = time.monotonic() - begin
        if code:
            raise SystemExit(f"{stage} fails unbroken: {tail(self._log(self.whole))}")

    def _run_killed(self, stage: str) -> None:
        """Kill a stage up to `MOST_KILLS` times, let it end, and compare."""
        row, seconds = self.rows[f"killed: {stage}"], self._unbroken[stage]
        row.again, row.wrong = row.again or 0.0, row.wrong or 0
        begin = time.monotonic()
        for _ in range(MOST_KILLS):
            moment = self._random.random() * seconds
            with self._running(self.killed, stage) as process:
                code = ended(process, min(moment, self.left()))
                if code is None:
                    self.left()
                    row.tries += 1
                    self._kill(process, row)
                elif code:
                    row.fail(f"exit code {code} before a kill: {tail(self._log(self.killed))}")
        code = self._finish(self.killed, stage, PATIENCE * seconds + GRACE)
        if code != 0:
            what = "hangs" if code is None else f"ends with exit code {code}"
            row.fail(f"started again it {what}: {tail(self._log(self.killed))}")
            shutil.copytree(self.whole, self.killed, dirs_exist_ok=True)  # for the stages after it
        row.again = max(row.again, time.monotonic() - begin - seconds)
        different = differences(self.whole, self.killed, self._stages[-1] in self._unbroken)
        row.wrong += len(different)
        row.notes += different
        for name in different:  # so that a fault is counted once
            restore(self.whole / name, self.killed / name)
        print(
            f"{stage}: {row.tries} kills, {row.failed} failed, {len(different)} differ", flush=True
        )

    def _kill(self, process: subprocess.Popen, row: Row) -> None:
        """Kill a stage; its children must go by themselves."""
        sent = self._random.choice((signal.SIGKILL, signal.SIGTERM))
        process.send_signal(sent)
        if ended(process, GRACE) is None:
            row.fail(f"{sent.name} does not end it")
            return
        limit = time.monotonic() + GRACE
        while group_lives(process):
            if time.monotonic() > limit:
                row.fail(f"processes that it started are left after {sent.name}")
                return
            time.sleep(0.1)


# --- processes ----------------------------------------------------------------------------------


@contextmanager
def running(command: list[str], output: Path, **more: str) -> Iterator[subprocess.Popen]:
    """A process, head of a group of its own; when the block ends, so do all that are left of it."""
    with open(output, "w") as out:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, **more}, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if group_lives(process):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ended(process: subprocess.Popen, limit: float) -> int | None:
    """Exit code of a process, None where it has not ended within `limit` seconds."""
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None


def group_lives(process: subprocess.Popen) -> bool:
    """Whether a process, or one that it started, is there."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def tail(path: Path) -> str:
    """The last words of a log."""
    return " / ".join(path.read_text(errors="replace").strip().splitlines()[-5:])


# --- files --------------------------------------------------------------------------------------


def files(root: Path) -> set[str]:
    """Names of the files that must be equal, from the root."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {str(name) for name in found if name.parts[0] not in VOLATILE}


def differences(whole: Path, killed: Path, partial: bool) -> list[str]:
    """Files that are not as in the unbroken root; partial: it has those of later stages as well."""
    first, second = files(whole), files(killed)
    odd = second - first if partial else second ^ first
    return sorted(odd | {name for name in first & second if not equal(whole, killed, name)})


def equal(whole: Path, killed: Path, name: str) -> bool:
    """Whether a file holds the same in two roots, the path of the root itself aside."""
    first, second = whole / name, killed / name
    if first.read_bytes().replace(bytes(whole), bytes(killed)) == second.read_bytes():
        return True
    return first.suffix == ".h5" and equal_arrays(arrays(first), arrays(second))


def arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an HDF5 file; Keras drops the optimizer's name when it saves a loaded model again."""
    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[name.replace("Adam/", "")] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def equal_arrays(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    """Whether all arrays are the same."""
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def restore(source: Path, target: Path) -> None:
    """Make a file what it is in the unbroken root, which may lack it."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    else:
        target.unlink()


# --- the table ----------------------------------------------------------------------------------


def printed(soak: Soak) -> bool:
    """Print the table, the notes and what was not tried; whether all went well."""
    print("| fault | tries | failed | lost work | wrong results |\n|---|---|---|---|---|")
    for name, row in sorted(soak.rows.items()):
        again = "" if row.again is None else f"{row.again:.0f} s at most"
        wrong = "" if row.wrong is None else row.wrong
        print(f"| {name} | {row.tries} | {row.failed} | {again} | {wrong} |")
    for name, row in sorted(soak.rows.items()):
        for note in row.notes:
            print(f"{name}: {note}")
    print(f"not tried for lack of time: {len(soak.untried)}")
    for name, count in Counter(name.split("::")[0] for name in soak.untried).items():
        print(f"  {name}" + (f": {count} tests" if name.endswith(".py") else ""))
    return not any(row.failed or row.wrong for row in soak.rows.values())


def main() -> None:
    """Soak for as long as was asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=50, help="all in all (default: 50)")
    parser.add_argument("--seed", type=int, help="of the moments and the examples")
    parser.add_argument("--no-faults", action="store_true", help="kill stages only")
    parser.add_argument("--no-kills", action="store_true", help="run tests/faults only")
    parser.add_argument("--only", default="", help="kill only up to the first stage with this text")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {options.seed}, {options.minutes:g} minutes", flush=True)
    sys.path.insert(0, str(REPOSITORY))
    from whales.stages.pipeline import calls

    stages = tuple(" ".join([call.stage.script, *call.arguments]) for call in calls("smoke"))
    last = next((i for i, stage in enumerate(stages, 1) if options.only in stage), len(stages))
    chosen = stages[:last] if options.only else stages
    with tempfile.TemporaryDirectory(prefix="soak_") as folder:
        soak = Soak(options, Path(folder), chosen)
        if not options.no_faults:
            soak.faults(1.0 if options.no_kills else FAULTS_SHARE)
        if not options.no_kills:
            soak.stages()
        sys.exit(0 if printed(soak) else 1)


if __name__ == "__main__":
    main()
