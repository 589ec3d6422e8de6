"""Mutation testing: change one thing in the code at a time, and see whether a test notices.

    make mutants [ARGS="--minutes 20 --only folds"]

The mutants are those of cosmic-ray (comparisons, arithmetic, booleans, numbers, loops, exceptions,
decorators). Each is tried in a copy of the tree by the tests of its own module alone, with Numba's compiler
off, so that the compiled loops are mutated too. Survivors are held against `mutants_survivors.csv`,
which says of each why no test can or need tell it from the code. The exit code is 1 where fewer than 85
of 100 of a module's mutants are killed.
"""

from __future__ import annotations

import argparse
import csv
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

REPOSITORY = Path(__file__).resolve().parents[2]
SURVIVORS = Path(__file__).with_name("mutants_survivors.csv")
LEAST_KILLED = 0.85
# Module -> arguments of pytest: the module's own tests, in the order that finds faults soonest.
TARGETS = {
    "whales/scores/ranking.py": "tests/scores/test_ranking.py",
    "whales/scores/ranking_loop.py": "tests/scores/test_ranking.py",
    "whales/scores/best_photos.py": "tests/scores/test_best_photos.py",
    "whales/files/folds.py": "tests/files/test_folds.py",
    "whales/files/boxes.py": "tests/files/test_boxes.py tests/faults/test_odd_numbers.py",
    "whales/files/submissions.py": "tests/files/test_submissions.py",
    "whales/training/mining.py": "tests/training/test_mining.py",
    "retinanet/detector/detections.py": "tests/detector/test_detections.py",
}
_PYTEST = "-m pytest -x -q -p no:cacheprovider --hypothesis-profile=mutants -m 'not shared'"
# In these modules `|` stands only between types, in annotations that nothing evaluates.
_LEFT_OUT = ("core/ReplaceBinaryOperator_BitOr_",)


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: killed, or None where the time was over; its line before and after."""

    mutation: MutationSpec
    killed: bool | None
    before: str = ""
    after: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells a survivor from others, though lines be added above it."""
        return key_of(str(self.mutation.module_path), self.before, self.after)


def key_of(module: str, before: str, after: str) -> tuple[str, str, str]:
    """The module and its line before and after, without spaces, of which cosmic-ray adds some."""
    return module, "".join(before.split()), "".join(after.split())


def mutants(module: str) -> list[MutationSpec]:
    """All mutants of a module, in the order of their lines."""
    with (
        tempfile.TemporaryDirectory() as folder,
        use_db(f"{folder}/session.sqlite", WorkDB.Mode.create) as session,
    ):
        init([Path(module)], session, {})
        found = [mutation for item in session.work_items for mutation in item.mutations]
    found.sort(key=lambda one: (one.start_pos, one.operator_name, one.occurrence))
    return [one for one in found if not one.operator_name.startswith(_LEFT_OUT)]


def command(module: str) -> str:
    """The command that tests a module."""
    return f"{sys.executable} {_PYTEST} {TARGETS[module]}"


def copy_tree(folder: Path) -> Path:
    """Copy all files that git knows or does not ignore into a folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


def enter(copies: queue.Queue) -> None:
    """Make the next copy of the tree this process's own."""
    folder = copies.get()
    os.chdir(folder)
    os.environ.update(PYTHONPATH=str(folder), NUMBA_DISABLE_JIT="1", PYTHONDONTWRITEBYTECODE="1")


def try_out(mutation: MutationSpec, timeout: float, deadline: float) -> Outcome:
    """Whether the tests tell a mutant from the code; more than `timeout` seconds tell as well."""
    if time.time() > deadline:
        return Outcome(mutation, None)
    result = mutate_and_test([mutation], command(str(mutation.module_path)), timeout)
    diff = [line for line in (result.diff or "").splitlines() if line[:3] not in ("---", "+++")]
    before, after = (
        " ".join(line[1:].strip() for line in diff if line[:1] == sign).strip() for sign in "-+"
    )
    return Outcome(mutation, result.is_killed, before, after)


def baseline(module: str) -> float:
    """Seconds that a module's tests take without a mutant; the end where they do not pass."""
    begin = time.monotonic()
    run = subprocess.run(command(module), shell=True, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{module}: its tests do not pass as it is\n{run.stdout[-2000:]}")
    return time.monotonic() - begin


def outcomes(modules: Sequence[str], options: argparse.Namespace) -> Iterator[Outcome]:
    """Try the mutants of modules, in an order drawn by the seed, in as many copies as jobs."""
    deadline = time.time() + 60 * options.minutes
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, context.Manager() as manager:
        copies = manager.Queue()
        for job in range(options.jobs):
            copies.put(copy_tree(Path(folder) / str(job)))
        with ProcessPoolExecutor(options.jobs, context, enter, (copies,)) as pool:
            limits = {
                module: 10 + 5 * seconds
                for module, seconds in zip(modules, pool.map(baseline, modules), strict=True)
            }
            waiting = [mutation for module in modules for mutation in mutants(module)]
            random.Random(options.seed).shuffle(waiting)
            if options.sample:
                waiting = waiting[: options.sample]
            tried = [
                pool.submit(try_out, one, limits[str(one.module_path)], deadline) for one in waiting
            ]
            for number, future in enumerate(tried, start=1):
                yield future.result()
                if number % 100 == 0:
                    print(f"{number} of {len(tried)}", file=sys.stderr, flush=True)


def known_reasons() -> dict[tuple[str, str, str], str]:
    """Reasons of known survivors."""
    with open(SURVIVORS, newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    return {key_of(row["module"], row["line"], row["mutant"]): row["reason"] for row in rows}


def main() -> None:
    """Try the mutants, print a line a survivor and a table of the modules."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=50, help="stop after them (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the order in which they are tried")
    parser.add_argument("--sample", type=int, help="so many mutants only")
    parser.add_argument("--jobs", type=int, default=2, help="copies of the tree (default: 2)")
    parser.add_argument("--only", default="", help="modules whose path holds this text")
    parser.add_argument("--csv", type=Path, help="survivors without a reason also go here")
    options = parser.parse_args()
    modules = [module for module in TARGETS if options.only in module]
    os.chdir(REPOSITORY)
    reasons, fresh = known_reasons(), []
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for outcome in outcomes(modules, options):
        place, explained = str(outcome.mutation.module_path), reasons.get(outcome.key)
        kind = 3 if outcome.killed is None else 0 if outcome.killed else 1 if explained else 2
        counts[place][kind] += 1
        if kind == 2:
            fresh.append(outcome)
            line = outcome.mutation.start_pos[0]
            print(
                f"survived: {place}:{line}\n  - {outcome.before}\n  + {outcome.after}", flush=True
            )
    if options.csv:
        with open(options.csv, "w", newline="", encoding="utf-8") as out:
            rows = [(str(one.mutation.module_path), one.before, one.after, "") for one in fresh]
            csv.writer(out).writerows(rows)
    print(
        f"seed {options.seed}\n| module | killed | survived, reason known | survived | not tried | killed |"
    )
    print("|---|---|---|---|---|---|")
    weak = []
    for module, (killed, known, unknown, untried) in sorted(counts.items()):
        share = killed / max(killed + known + unknown, 1)
        print(f"| {module} | {killed} | {known} | {unknown} | {untried} | {share:.1%} |")
        if share < LEAST_KILLED:
            weak.append(module)
    if weak:
        sys.exit(f"fewer than {LEAST_KILLED:.0%} killed: {', '.join(weak)}")


if __name__ == "__main__":
    main()
