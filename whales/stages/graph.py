"""The calls of the pipeline as the jobs of a workflow engine.

An engine knows files and their times, the stages know contents. Between them stand markers: a call that
has ended leaves a copy of its stamps, and whether that still holds is asked of the stage itself. So an
engine may delete a marker as it likes, and never touches a real file.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import whales
from whales.base.errors import UserError
from whales.base.writing import write_text
from whales.files.trained import profile_of
from whales.files.workspace import Workspace
from whales.stages.pipeline import Call, calls, needed

PROJECT = Path(whales.__file__).resolve().parents[1]
_AT_ONCE = 2  # stages that are asked whether they are up to date

# Threads that an engine may set for its own idea of a job. The order of sums, and so the last bits of every
# weight, depend on them: a stage gets what it would have by hand.
THREADS = (
    *("OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)


@dataclass(frozen=True)
class Graph:
    """The calls of one profile in a work root.

    python: the command that runs a script, such as `python3`; forced: keys of calls to be run whether they
    are up to date or not.
    """

    workspace: Workspace
    profile: str
    python: tuple[str, ...]
    forced: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, workspace: Workspace, profile: str, python: Sequence[str], forced: Collection[str] = ()
    ) -> Graph:
        """Checked: `UserError` for a profile that is not the root's, or a call that is not there."""
        profile = profile_of(workspace, profile)
        known = [call.key for call in calls(profile)]
        for key in forced:
            if key not in known:
                raise UserError(f"{key} is no call of the {profile} profile: {', '.join(known)}")
        return cls(workspace, profile, tuple(python), frozenset(forced))

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls, in README order."""
        return calls(self.profile)

    def call(self, key: str) -> Call:
        """The call of a key; `UserError` where there is none."""
        for call in self.calls:
            if call.key == key:
                return call
        raise UserError(f"{key} is no call of the {self.profile} profile")

    def title(self, call: Call) -> str:
        """A call's number among all and its name, for lines of progress."""
        number = self.calls.index(call) + 1
        return f"[{number:2}/{len(self.calls)}] {call.name}"

    def marker(self, call: Call) -> Path:
        """The file that says that a call has ended."""
        return self.workspace.file("marker", call=call.key)

    def log_file(self, call: Call) -> Path:
        """The file that takes what a call prints, run after run."""
        name = call.name.replace("--", "").replace(" ", "_")
        return self.workspace.file("demo_log", call=name)

    def command(self, call: Call, *more: str) -> list[str]:
        """The command of a call."""
        script = str(PROJECT / call.stage.script)
        return [*self.python, script, *call.arguments, "--profile", self.profile, *more]

    def mark(self, call: Call, marker: Path | None = None) -> None:
        """Leave the marker of a call that has ended; `UserError` where it has left no stamp.

        marker: another place for it, for an engine that takes it to the work root itself.
        """
        stamps = self.stamps(call)
        if stamps is None:
            raise UserError(
                f"{call.name} has ended without its stamp in cache/stages/; start it again"
            )
        write_text(marker or self.marker(call), stamps)

    def outdated(self) -> list[Call]:
        """The calls to run: those without a true marker, those whose stage would run, and all that need them.

        The stages themselves are asked, each in a process of its own, but those that run anyway.
        """
        run: set[Call] = set()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for level in _levels(self.calls, self.profile):
                asked = [c for c in level if not run & {*needed(c, self.profile)}]
                answers = pool.map(self._would_run, asked)
                run |= {call for call, would in zip(asked, answers, strict=True) if would}
                run |= {*level} - {*asked}
        return [call for call in self.calls if call in run]

    def _would_run(self, call: Call) -> bool:
        stamps = self.stamps(call)
        if call.key in self.forced or stamps is None:
            return True
        try:
            if self.marker(call).read_text(encoding="utf-8") != stamps:
                return True
        except (OSError, UnicodeDecodeError):
            return True
        command = self.command(call, "--check", "--quiet")
        environment = {**os.environ, "WHALES_ROOT": str(self.workspace.root)}
        asked = subprocess.run(command, env=environment, capture_output=True, check=False)
        return asked.returncode != 0

    def stamps(self, call: Call) -> str | None:
        """What a call's stamps hold, None where one is missing."""
        text = ""
        for stage in call.stamps:
            with suppress(OSError, UnicodeDecodeError):
                text += self.workspace.file("stamp", stage=stage).read_text(encoding="utf-8")
                continue
            return None
        return text


def _levels(order: Sequence[Call], profile: str) -> Iterator[list[Call]]:
    """The calls in groups: each needs calls of earlier groups alone."""
    left, done = list(order), set[Call]()
    while left:
        level = [call for call in left if done.issuperset(needed(call, profile))]
        yield level
        done.update(level)
        left = [call for call in left if call not in done]


def is_switched_on(name: str, settings: Mapping[str, object]) -> bool:
    """Whether an engine's setting is true, which may come as text; `UserError` for what is neither."""
    text = str(settings.get(name, False)).strip().casefold()
    if text in ("true", "yes", "1"):
        return True
    if text in ("false", "no", "0", "none", ""):
        return False
    raise UserError(f"{name} is true or false, received {settings[name]}")


def threads_as_by_hand(environment: Mapping[str, str]) -> list[str]:
    """Arguments of `env` that put an environment's numbers of threads back.

    >>> threads_as_by_hand({"OMP_NUM_THREADS": "4"})[:3]
    ['OMP_NUM_THREADS=4', '-u', 'GOTO_NUM_THREADS']
    """
    given = [[f"{name}={environment[name]}"] for name in THREADS if name in environment]
    unset = [["-u", name] for name in THREADS if name not in environment]
    return [argument for arguments in given + unset for argument in arguments]
