"""What the list of stages says, in words: the help of each stage, and the tables of README and docs.

    python3 -m whales.stages.stage_tables README.md docs/pipeline.md

writes the tables anew, each between its two marks.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.writing import write_text
from whales.files.workspace import pattern
from whales.stages.pipeline import STAGES, Stage, stage_of
from whales.stages.stage import run

_WIDTH = 100
BEGIN, END = "<!-- {name}: from whales.stages.pipeline -->", "<!-- end of {name} -->"


def help_text(doc: str | None, script: str) -> str:
    """The text of a stage's `--help`: its page's docstring, what it reads and writes, how it is run."""
    stage = stage_of(script)
    optional = [f"{name} (if it is there)" for name in map(pattern, stage.optional)]
    shipped = [f"{name} (comes with the project)" for name in stage.shipped]
    parts = {
        "Reads": [*map(pattern, stage.reads), *optional, *shipped],
        "Writes": map(pattern, stage.writes),
        "Run": [f"python3 {stage.usage}"],
    }
    lines = [_indented(word, names) for word, names in parts.items()]
    return "\n".join([(doc or "").strip(), "", *lines])


def _indented(word: str, names: Iterable[str]) -> str:
    """Names below each other beside a word, as many in a line as fit."""
    return textwrap.fill(
        ", ".join(names),
        _WIDTH,
        initial_indent=f"{word:7}",
        subsequent_indent=" " * 7,
        break_long_words=False,
        break_on_hyphens=False,
    )


def hours(stage: Stage) -> str:
    """What a call takes in the full profile.

    >>> hours(stage_of("kernel_snn/snn_train_kernel_384_to_1024.py"))
    '10 h a fold'
    """
    takes = stage.takes["full"].hours
    text = "minutes" if takes < 0.1 else f"{takes:g} h"
    several = stage.folds and len(stage.folds.numbers) > 1
    return f"{text} a fold" if several else text


def stages_in_short() -> str:
    """README's table: stage, what it makes, how long it takes."""
    rows = [f"| `python3 {s.usage}` | {s.makes} | {hours(s)} |" for s in STAGES]
    return "\n".join(["| stage | writes | full |", "|---|---|---|", *rows])


def stages_in_full() -> str:
    """The table of docs/pipeline.md: stage, files read and written."""
    rows = [
        f"| `{s.usage}` | {_names([*map(pattern, s.reads + s.optional), *s.shipped])} | "
        f"{_names(map(pattern, s.writes))} |"
        for s in STAGES
    ]
    return "\n".join(["| stage | reads | writes |", "|---|---|---|", *rows])


def _names(paths: Iterable[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


TABLES: Mapping[str, Callable[[], str]] = {
    "stages in short": stages_in_short,
    "stages in full": stages_in_full,
}


def rewritten(text: str) -> str:
    """A page with its tables as the list has them; other text stays. `UserError` for an unfinished mark."""
    for name, table in TABLES.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        if begin not in text:
            continue
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise UserError(f"{begin} has no {end} after it")
        text = f"{before}{begin}\n\n{table()}\n\n{end}{after}"
    return text


def main(argv: Sequence[str] | None = None) -> None:
    """Write the tables of the named pages anew."""
    for name in sys.argv[1:] if argv is None else argv:
        path = Path(name)
        text = path.read_text(encoding="utf-8")
        if rewritten(text) != text:
            write_text(path, rewritten(text))
            log(f"wrote the tables of {path}")


if __name__ == "__main__":
    run(main)
