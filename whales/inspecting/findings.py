"""Findings about files, and the forms in which people get them: tables, CSV, JSON, a picture."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from whales.base.console import table_console
from whales.base.errors import UserError, shown
from whales.base.tables import csv_text
from whales.base.writing import atomic_path, write_text
from whales.photos.photos import read_photo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console
    from rich.table import Table

_NAMED = 5  # photos or identities named in one fault
_FAULT, _DULL = "bold red", "dim"
_WIDTH = 110  # characters a line, if there are so many, of tables that show several files
_FACT_WIDTH, _NAME_WIDTH = 54, 20  # of a fact's name at most, of a file's name at least
_ACROSS = 3  # pictures beside each other
_TITLE = 70  # characters in a line above a picture


class Share(NamedTuple):
    """`count` of `total` things."""

    count: int
    total: int


class Range(NamedTuple):
    """The lowest and the highest of some numbers."""

    low: float
    high: float


class Percent(float):
    """A share from 0 to 1, shown in percent."""


Value = str | int | float | Share | Range | dict[str, int] | list[float]
BoxedPhoto = tuple[Path, Mapping[tuple[float, ...], str]]  # a photo, and names by box, pixels
PanelValues = (
    np.ndarray | Sequence[float] | Mapping[str, float] | Mapping[str, np.ndarray] | BoxedPhoto
)


class Panel(NamedTuple):
    """One picture.

    form: `histogram` of numbers, `bars` of a dict of numbers, `lines` of a dict of number sequences, or
    `photo` with its boxes; label, counts: of the x and of the y axis; values: as the form takes them.
    """

    form: str
    label: str
    values: PanelValues
    counts: str = "number"


@dataclass
class Finding:
    """What is known of one file, of two compared, or of one photo.

    facts: by name, in the order to show them; faults: what is unsound, a sentence each; head: first
    entries as (name, text).
    """

    subject: str
    kind: str
    facts: dict[str, Value] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    head: list[tuple[str, str]] = field(default_factory=list)
    panel: Panel | None = None

    def blame(self, fault: str, names: Iterable[str]) -> None:
        """Add a fault of the photos or identities `names`, if there are any; it names the first of them."""
        names = list(names)
        if names:
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            first = ", ".join(map(shown, names[:_NAMED]))
            self.faults.append(f"{len(names):,} {fault}: {first}{more}")


def count_faults(findings: Sequence[Finding]) -> int:
    """Faults of all findings together."""
    return sum(len(finding.faults) for finding in findings)


def value_text(value: Value, short: bool = False) -> str:
    """A fact as text; `short`: as part of a line, fewer digits of ranges, a dict in several lines."""
    if isinstance(value, Share):
        return f"{value.count:,}{'/' if short else ' of '}{value.total:,}"
    if isinstance(value, Range):
        ends = dict.fromkeys(value_text(end, short) for end in value)
        return (".." if short else " to ").join(ends)
    if isinstance(value, Percent):
        return f"{value:.1%}"
    if isinstance(value, dict):
        counts = [f"{value_text(count)} {name}" for name, count in value.items()]
        return ("\n" if short else ", ").join(counts)
    if isinstance(value, list):
        return " ".join(map(value_text, value))
    if isinstance(value, float):
        return f"{value:.2f}" if short else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else value


def show(findings: Sequence[Finding], notes: Sequence[str] = (), count: bool = True) -> None:
    """Print findings as tables, those of one kind and folder in one if it is not too wide; then notes;
    then, if asked to `count`, how many faults there are.
    """
    from rich.text import Text

    console = table_console(markup=False, highlight=False)
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        folder = finding.subject.rpartition("/")[0]
        groups.setdefault((finding.kind, folder), []).append(finding)
    for (kind, folder), group in groups.items():
        together = len(group) > 1 and _fits(group, console)
        if together:
            console.print(Text(f"\n{shown(kind)} in {shown(folder) or '.'}", "bold"))
            console.print(_across(group))
        for finding in group:
            if not together:
                console.print(Text(f"\n{shown(finding.subject)}", "bold"))
                console.print(_upright(finding, console))
            for fault in finding.faults if together else ():
                console.print(Text(f"  fault  {_name(finding)}: {shown(fault)}", _FAULT))
            if finding.head:
                console.print(Text(f"\nfirst of {shown(finding.subject)}", "bold"))
                console.print(_head(finding))
    for note in notes:
        console.print(Text(shown(note), _DULL))
    if not count:
        return
    faults, bad = count_faults(findings), sum(bool(finding.faults) for finding in findings)
    result = f"{faults:,} fault{'s' * (faults > 1)} in {bad:,}" if faults else "no faults"
    console.print(Text(f"\n{len(findings):,} checked: {result}", _FAULT if faults else "bold"))


def _name(finding: Finding) -> str:
    return shown(finding.subject.rpartition("/")[2])


def _table(show_header: bool = True) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_header=show_header)


def _upright(finding: Finding, console: Console) -> Table:
    """One finding: a line for each fact."""
    table = _table()
    widest = _FACT_WIDTH if console.width <= _WIDTH else None
    table.add_column(shown(finding.kind), overflow="fold", max_width=widest)
    table.add_column("", overflow="fold")
    for name, value in finding.facts.items():
        table.add_row(shown(name), shown(value_text(value), keep="\n"))
    for fault in finding.faults:
        table.add_row("fault", shown(fault), style=_FAULT)
    return table


def _across(group: Sequence[Finding]) -> Table:
    """Findings of one kind: a line for each, a column for each fact, the name last as in `ls -l`."""
    table = _table()
    columns = _columns(group)
    table.add_column("faults", justify="right")
    for column in columns:
        table.add_column(shown(column).replace(" ", "\n"), justify="right", no_wrap=True)
    table.add_column("file", overflow="fold", min_width=_NAME_WIDTH)
    for finding in group:
        values = [finding.facts.get(column, "") for column in columns]
        cells = [value_text(value, short=not isinstance(value, float)) for value in values]
        cells = [shown(cell, keep="\n") for cell in cells]
        faults = str(len(finding.faults)) if finding.faults else "-"
        table.add_row(faults, *cells, _name(finding), style=_FAULT if finding.faults else None)
    return table


def _fits(group: Sequence[Finding], console: Console) -> bool:
    """Whether a line holds the group's table with every value whole; names may be folded."""
    from rich.measure import Measurement

    unbound = console.options.update(max_width=10 * _WIDTH)
    longest = max(len(_name(finding)) for finding in group)
    needed = Measurement.get(console, unbound, _across(group)).minimum
    return needed - max(longest - _NAME_WIDTH, 0) <= min(console.width, _WIDTH)


def _columns(group: Sequence[Finding]) -> list[str]:
    """Names of the findings' facts, in an order that keeps that of each finding.

    Lists are left out: they are shown where a file is shown alone.
    """
    columns: list[str] = []
    for finding in group:
        index = 0
        for name, value in finding.facts.items():
            if name in columns:
                index = columns.index(name) + 1
            elif not isinstance(value, list):
                columns.insert(index, name)
                index += 1
    return columns


def _head(finding: Finding) -> Table:
    table = _table(show_header=False)
    table.add_column("", overflow="fold")
    table.add_column("", overflow="fold")
    for name, text in finding.head:
        table.add_row(shown(name), shown(text, keep="\n"))
    return table


def write_csv(path: Path, findings: Sequence[Finding]) -> None:
    """Write a table `subject,kind,fact,value`, one line for each fact and each fault."""
    table = []
    for finding in findings:
        facts = finding.facts.items()
        rows = [(name, v if isinstance(v, int | float) else value_text(v)) for name, v in facts]
        rows += [("fault", fault) for fault in finding.faults]
        table += [(finding.subject, finding.kind, *row) for row in rows]
    write_text(path, csv_text(("subject", "kind", "fact", "value"), table))


def write_json(path: Path, findings: Sequence[Finding]) -> None:
    """Write a list of objects `subject, kind, facts, faults, head`; what is no number becomes null."""
    keys = ("subject", "kind", "facts", "faults", "head")
    rows = [{key: _plain(getattr(finding, key)) for key in keys} for finding in findings]
    write_text(path, json.dumps(rows, indent=1) + "\n")


def _plain(value: object) -> object:
    """What JSON can hold of a value."""
    if isinstance(value, dict):
        return {name: _plain(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(content) for content in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plot(path: Path, findings: Sequence[Finding]) -> None:
    """Draw the panels of all findings into one PNG; `UserError` where there are none."""
    drawn = [finding for finding in findings if finding.panel]
    if not drawn:
        raise UserError(f"nothing to draw into {path}: no numbers and no photo")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with matplotlib.rc_context({"text.parse_math": False}):  # a dollar in a name is no formula
        across = min(_ACROSS, len(drawn))
        down = math.ceil(len(drawn) / across)
        figure, axes = plt.subplots(down, across, figsize=(5 * across, 3.2 * down), squeeze=False)
        for axis in axes.flat[len(drawn) :]:
            axis.axis("off")
        for axis, finding in zip(axes.flat, drawn, strict=False):
            _FORMS[finding.panel.form](axis, finding.panel.values)
            axis.set_title(textwrap.fill(finding.subject, _TITLE), fontsize=7)
            axis.set_xlabel(finding.panel.label, fontsize=8)
            axis.set_ylabel(finding.panel.counts, fontsize=8)
            axis.tick_params(labelsize=7)
        figure.tight_layout()
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=100, format="png")
        plt.close(figure)


def _histogram(axis: Axes, values: Sequence[float] | np.ndarray) -> None:
    values = np.asarray(values, np.float64)
    axis.hist(values[np.isfinite(values)], bins=40)


def _bars(axis: Axes, values: Mapping[str, float]) -> None:
    axis.bar(list(values), list(values.values()))


def _lines(axis: Axes, values: Mapping[str, np.ndarray]) -> None:
    for name, numbers in values.items():
        # Not every epoch has a number: single points are shown too.
        known = np.flatnonzero(np.isfinite(numbers))
        if len(known):
            axis.plot(known + 1, numbers[known], marker=".", label=name)
    axis.legend(fontsize=7)


def _photo(axis: Axes, values: BoxedPhoto) -> None:
    from matplotlib.patches import Rectangle

    path, boxes = values
    axis.imshow(read_photo(path))
    for number, ((x1, y1, x2, y2), name) in enumerate(boxes.items()):
        style = {"fill": False, "edgecolor": f"C{number}", "label": name}
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **style))
    if boxes:
        axis.legend(fontsize=5)


_FORMS: dict[str, Callable[..., None]] = {
    "histogram": _histogram,
    "bars": _bars,
    "lines": _lines,
    "photo": _photo,
}
