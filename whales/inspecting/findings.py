"""What was found in a file, and the forms in which it is told: tables, CSV, JSON, a picture."""

from __future__ import annotations

import json
import math
import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from whales.base.errors import UserError
from whales.base.pickles import atomic_path, write_text
from whales.base.tables import csv_text
from whales.photos.photos import read_photo

_NAMED = 5  # photos or identities named in one fault
_FAULT, _DULL = "bold red", "dim"
_WIDTH = 110  # characters a line where there is no terminal
_FACT_WIDTH, _NAME_WIDTH = 54, 20  # of a fact's name at most, of a file's name at least
_ACROSS = 3  # pictures beside each other
_TITLE = 70  # characters in a line above a picture


class Share(NamedTuple):
    """`have` of `of` things."""

    have: int
    of: int


class Range(NamedTuple):
    """The lowest and the highest of some numbers."""

    low: float
    high: float


class Percent(float):
    """A share from 0 to 1, told in percent."""


Value = str | int | float | Share | Range | dict[str, Any] | list[float]


class Panel(NamedTuple):
    """One picture: a histogram of `values`, bars of a dict's values, a line for each entry of a dict, or
    a photo: its path and a dict box (x1, y1, x2, y2) -> name.
    """

    form: str  # 'histogram', 'bars', 'lines' or 'photo'
    label: str  # of the x axis
    values: Any


@dataclass
class Finding:
    """What was found in one file, in two compared, or of one photo.

    `facts`: by name, in the order to tell them; `faults`: what is unsound, a sentence each; `head`:
    first entries as (name, text).
    """

    subject: str
    kind: str
    facts: dict[str, Value] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    head: list[tuple[str, str]] = field(default_factory=list)
    panel: Panel | None = None

    def blame(self, what: str, names: Iterable[str]) -> None:
        """Add the fault `what` if it has names, and tell the first of them."""
        names = list(names)
        if names:
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            self.faults.append(f"{len(names):,} {what}: {', '.join(names[:_NAMED])}{more}")


def count_faults(findings: Sequence[Finding]) -> int:
    """Faults of all findings together."""
    return sum(len(finding.faults) for finding in findings)


def tell(value: Value, short: bool = False) -> str:
    """A fact as text; `short`: as part of a line, fewer digits of ranges, a dict in several lines."""
    if isinstance(value, Share):
        return f"{value.have:,}{'/' if short else ' of '}{value.of:,}"
    if isinstance(value, Range):
        ends = dict.fromkeys(tell(end, short) for end in value)
        return (".." if short else " to ").join(ends)
    if isinstance(value, Percent):
        return f"{value:.1%}"
    if isinstance(value, dict):
        parts = [f"{tell(part)} {name}" for name, part in value.items()]
        return ("\n" if short else ", ").join(parts)
    if isinstance(value, list):
        return " ".join(map(tell, value))
    if isinstance(value, float):
        return f"{value:.2f}" if short else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else value


def show(findings: Sequence[Finding], notes: Sequence[str] = (), count: bool = True) -> None:
    """Print findings as tables, those of one kind and folder in one if it is not too wide; then notes;
    then, if asked to `count`, how many faults there are.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(markup=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        folder = finding.subject.rpartition("/")[0]
        groups.setdefault((finding.kind, folder), []).append(finding)
    for (kind, folder), group in groups.items():
        together = len(group) > 1 and _fits(group, console)
        if together:
            console.print(Text(f"\n{kind} in {folder or '.'}", "bold"))
            console.print(_across(group))
        for finding in group:
            if not together:
                console.print(Text(f"\n{finding.subject}", "bold"))
                console.print(_upright(finding))
            for fault in finding.faults if together else ():
                console.print(Text(f"  fault  {_name(finding)}: {fault}", _FAULT))
            if finding.head:
                console.print(Text(f"\nfirst of {finding.subject}", "bold"))
                console.print(_head(finding))
    for note in notes:
        console.print(Text(note, _DULL))
    if not count:
        return
    faults, bad = count_faults(findings), sum(bool(finding.faults) for finding in findings)
    told = f"{faults:,} fault{'s' * (faults > 1)} in {bad:,}" if faults else "no faults"
    console.print(Text(f"\n{len(findings):,} checked: {told}", _FAULT if faults else "bold"))


def _name(finding: Finding) -> str:
    return finding.subject.rpartition("/")[2]


def _table(**options: Any) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), **options)


def _upright(finding: Finding) -> Any:
    """One finding: a line for each fact."""
    table = _table()
    table.add_column(finding.kind, overflow="fold", max_width=_FACT_WIDTH)
    table.add_column("", overflow="fold")
    for name, value in finding.facts.items():
        table.add_row(name, tell(value))
    for fault in finding.faults:
        table.add_row("fault", fault, style=_FAULT)
    return table


def _across(group: Sequence[Finding]) -> Any:
    """Findings of one kind: a line for each, a column for each fact, the name last as in `ls -l`."""
    table = _table()
    columns = _columns(group)
    table.add_column("faults", justify="right")
    for column in columns:
        table.add_column(column.replace(" ", "\n"), justify="right", no_wrap=True)
    table.add_column("file", overflow="fold", min_width=_NAME_WIDTH)
    for finding in group:
        values = [finding.facts.get(column, "") for column in columns]
        cells = [tell(v) if isinstance(v, float) else tell(v, short=True) for v in values]
        faults = str(len(finding.faults)) if finding.faults else "-"
        table.add_row(faults, *cells, _name(finding), style=_FAULT if finding.faults else None)
    return table


def _fits(group: Sequence[Finding], console: Any) -> bool:
    """Whether a line holds the group's table with every value whole; names may be folded."""
    from rich.measure import Measurement

    unbound = console.options.update(max_width=10 * _WIDTH)
    longest = max(len(_name(finding)) for finding in group)
    needed = Measurement.get(console, unbound, _across(group)).minimum
    return needed - max(longest - _NAME_WIDTH, 0) <= console.width


def _columns(group: Sequence[Finding]) -> list[str]:
    """Facts that findings have, in an order that keeps each one's own. Lists need a file shown alone."""
    columns: list[str] = []
    for finding in group:
        place = 0
        for name, value in finding.facts.items():
            if name in columns:
                place = columns.index(name) + 1
            elif not isinstance(value, list):
                columns.insert(place, name)
                place += 1
    return columns


def _head(finding: Finding) -> Any:
    table = _table(show_header=False)
    table.add_column("", overflow="fold")
    table.add_column("", overflow="fold")
    for name, text in finding.head:
        table.add_row(name, text)
    return table


def write_csv(path: Path, findings: Sequence[Finding]) -> None:
    """Write a table `subject,kind,fact,value`, one line for each fact and each fault."""
    table = []
    for finding in findings:
        facts = finding.facts.items()
        rows = [(name, v if isinstance(v, int | float) else tell(v)) for name, v in facts]
        rows += [("fault", fault) for fault in finding.faults]
        table += [(finding.subject, finding.kind, *row) for row in rows]
    write_text(path, csv_text(("subject", "kind", "fact", "value"), table))


def write_json(path: Path, findings: Sequence[Finding]) -> None:
    """Write a list of objects `subject, kind, facts, faults, head`; what is no number becomes null."""
    keys = ("subject", "kind", "facts", "faults", "head")
    rows = [{key: _plain(getattr(finding, key)) for key in keys} for finding in findings]
    write_text(path, json.dumps(rows, indent=1) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plot(path: Path, findings: Sequence[Finding]) -> None:
    """Draw the panels of all findings into one PNG; `UserError` where there are none."""
    drawn = [finding for finding in findings if finding.panel]
    if not drawn:
        raise UserError(f"nothing to draw into {path}: no numbers and no photo")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    across = min(_ACROSS, len(drawn))
    down = math.ceil(len(drawn) / across)
    figure, axes = plt.subplots(down, across, figsize=(5 * across, 3.2 * down), squeeze=False)
    for axis in axes.flat[len(drawn) :]:
        axis.axis("off")
    for axis, finding in zip(axes.flat, drawn, strict=False):
        _FORMS[finding.panel.form](axis, finding.panel.values)
        axis.set_title(textwrap.fill(finding.subject, _TITLE), fontsize=7)
        axis.set_xlabel(finding.panel.label, fontsize=8)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
    plt.close(figure)


def _histogram(axis: Any, values: np.ndarray) -> None:
    values = np.asarray(values, np.float64)
    axis.hist(values[np.isfinite(values)], bins=40)


def _bars(axis: Any, values: dict[str, float]) -> None:
    axis.bar(list(values), list(values.values()))


def _lines(axis: Any, values: dict[str, Sequence[float]]) -> None:
    for name, numbers in values.items():
        # Numbers far apart may be missing: single points are shown too.
        known = [(x, y) for x, y in enumerate(numbers, start=1) if math.isfinite(y)]
        axis.plot(*zip(*known, strict=True), marker=".", label=name) if known else None
    axis.legend(fontsize=7)


def _photo(axis: Any, values: tuple[Path, dict[Sequence[float], str]]) -> None:
    from matplotlib.patches import Rectangle

    path, boxes = values
    axis.imshow(read_photo(path))
    for number, ((x1, y1, x2, y2), name) in enumerate(boxes.items()):
        style = {"fill": False, "edgecolor": f"C{number}", "label": name}
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **style))
    if boxes:
        axis.legend(fontsize=5)


_FORMS: dict[str, Callable[[Any, Any], None]] = {
    "histogram": _histogram,
    "bars": _bars,
    "lines": _lines,
    "photo": _photo,
}
