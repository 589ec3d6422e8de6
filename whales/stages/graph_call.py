"""One call of a stage as the job of a workflow engine: `python -m whales.stages.graph_call CALL`.

It says when the call begins and ends, keeps what the stage prints in logs/demo/, hands it a GPU of its own
where that is asked for, and leaves the marker by which the engine knows that it has ended.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from whales.base.children import Children
from whales.base.console import log
from whales.base.writing import write_text
from whales.files.digests import text_digest
from whales.files.workspace import Workspace
from whales.stages.gpu_slots import gpu_numbers, gpu_of_ones_own
from whales.stages.graph import Graph
from whales.stages.options import PROFILE_CHOICES, ArgumentParser
from whales.stages.pipeline import Call
from whales.stages.stage import run

_TAIL = 20_000  # bytes of a log in which its last line is looked for


def main(argv: Sequence[str] | None = None) -> None:
    """Run the call; exits with the stage's code where that is not 0."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("call", help="its key in whales.stages.pipeline")
    parser.add_argument("--profile", choices=PROFILE_CHOICES, required=True)
    parser.add_argument("--python", default=sys.executable, help="the command that runs a script")
    parser.add_argument("--force", action="store_true", help="run it even if it is up to date")
    parser.add_argument(
        "--marker", type=Path, help="where the marker goes, if not to the work root"
    )
    parser.add_argument("--hand-out-gpus", action="store_true", help="a GPU that no other call has")
    args = parser.parse_args(argv)
    graph = Graph.of(Workspace().existing(), args.profile, shlex.split(args.python))
    call = graph.call(args.call)
    failure = graph.workspace.file("failed_call", call=call.key)
    failure.unlink(missing_ok=True)
    more = ["--force"] if args.force and _first_time(graph, call) else []
    with _environment(call, args.profile, args.hand_out_gpus) as (environment, locks):
        code, last = _run(graph, call, graph.command(call, *more), environment, locks)
    if code:
        write_text(failure, f"{code}\n{last}\n")
        sys.exit(code)
    graph.mark(call, args.marker)


def _first_time(graph: Graph, call: Call) -> bool:
    """Whether the engine that runs now has not forced the call yet: a retry goes on from a checkpoint.

    A stage that ended before it began still has its former stamp: it is forced again.
    """
    again, note = graph.workspace.file("again"), graph.workspace.file("forced_call", call=call.key)
    run_of_engine = again.read_text(encoding="utf-8") if again.exists() else ""
    stamps = graph.stamps(call)
    former = text_digest([stamps]) if stamps is not None else "none"
    told = f"{run_of_engine}\n{former}\n"
    noted = note.read_text(encoding="utf-8") if note.exists() else ""
    if run_of_engine and noted.startswith(f"{run_of_engine}\n"):
        return noted == told and stamps is not None
    write_text(note, told)
    return True


def _run(
    graph: Graph,
    call: Call,
    command: Sequence[str],
    environment: dict[str, str],
    locks: Sequence[int],
) -> tuple[int, str]:
    """Exit code and last line of a call; a line of progress when it begins and when it ends."""
    title, file, begin = graph.title(call), graph.log_file(call), time.monotonic()
    log(f"{title} ...")
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a", encoding="utf-8") as output, Children() as children:
        code = children.run(command, output, environment, keep=locks)
    last = _last_line(file)
    if code:
        log(f"{title}: failed", last, f"its whole output: {file}")
    elif last.endswith("up to date"):
        log(f"{title}: up to date")
    else:
        log(f"{title}: {time.monotonic() - begin:.1f} s")
    return code, last


@contextlib.contextmanager
def _environment(
    call: Call, profile: str, hand_out: bool
) -> Iterator[tuple[dict[str, str], Sequence[int]]]:
    """The environment of a call, with a GPU of its own where that is asked for and it can use one.

    Also the descriptors of locks that the stage is to hold as long as it runs, whatever becomes of this
    process.
    """
    if not hand_out or not call.stage.takes[profile].gpus:
        yield dict(os.environ), ()
        return
    with gpu_of_ones_own(gpu_numbers()) as (number, lock):
        yield {**os.environ, "CUDA_VISIBLE_DEVICES": number}, (lock,)


def _last_line(file: Path) -> str:
    with open(file, "rb") as source:
        source.seek(max(0, file.stat().st_size - _TAIL))
        lines = source.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    run(main)
