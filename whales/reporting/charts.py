"""Charts as SVG text, to stand inside a page; equal numbers give equal text."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (5.4, 3.0)  # inches; scaled to the page, so that letters stay readable on a phone
# Dark enough on white, and different in dashes as well as in colour.
_COLOURS = ("#004a8f", "#b33c00", "#1b7a3d", "#7a2a8f", "#5c4a00", "#14202b")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))


def lines(
    title: str,
    x_label: str,
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    marks: Mapping[str, float] | None = None,
    intervals: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> str:
    """A drawing of line charts below each other, as SVG text.

    title: alt text; panels: y label -> the panel's lines, name -> (x, y), NaN left out; marks: upright
    lines, name -> x; intervals: line's name -> (low, high) of each of its points.
    """
    figure, axes = _figure(len(panels))
    from matplotlib.ticker import MaxNLocator

    for axis, (label, drawn) in zip(axes, panels.items(), strict=True):
        for number, (name, (x, y)) in enumerate(drawn.items()):
            known = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(b)]
            style = {"color": _COLOURS[number % 6], "linestyle": _DASHES[number % 6]}
            axis.plot(
                *(zip(*known, strict=True) if known else ([], [])), label=_plain(name), **style
            )
            if len(known) < 12:
                axis.lines[-1].set(marker="o", markersize=4)
            ends = (intervals or {}).get(name, [])
            for a, (low, high) in zip(x, ends, strict=False):
                axis.plot([a, a], [low, high], color=style["color"], linewidth=1)
        _mark(axis, marks or {})
        axis.set(xlabel=x_label, ylabel=label)
        all_x = [value for xs, _ in drawn.values() for value in xs]
        if all_x and all(isinstance(value, int) for value in all_x):
            # Whole numbers, and as many of them in every panel, whatever of y is known.
            locator = axis.xaxis.get_major_locator()
            if isinstance(locator, MaxNLocator):
                locator.set_params(integer=True)
            axis.set_xlim(min(all_x) - 0.5, max(all_x) + 0.5)
        axis.grid(color="#d5dbe0", linewidth=0.6)
        if drawn:
            axis.legend(fontsize=8)
    return _svg(figure, title)


def _mark(axis: Axes, marks: Mapping[str, float]) -> None:
    """Upright lines, each with its name in a row of its own above the drawing: they may be close together."""
    low, high = axis.get_xlim()
    for row, (name, x) in enumerate(sorted(marks.items(), key=lambda mark: mark[1])):
        top, place = 1.06 + 0.085 * row, axis.get_xaxis_transform()
        axis.plot([x, x], [0, top], color="#14202b", linewidth=1, transform=place, clip_on=False)
        side = "right" if x > (low + high) / 2 else "left"
        axis.text(x, top, f" {_plain(name)} ", transform=place, va="center", ha=side, fontsize=9)


def histogram(
    title: str, x_label: str, y_label: str, groups: Mapping[str, np.ndarray], log: bool = False
) -> str:
    """Steps over [0, 1] as SVG text, for each of `groups`: name -> (bins,) heights; `title`: alt text."""
    figure, (axis,) = _figure(1)
    for number, (name, heights) in enumerate(groups.items()):
        edges = np.linspace(0, 1, len(heights) + 1)
        colour = _COLOURS[number % 6]
        style = {"color": colour, "linestyle": _DASHES[number % 6], "linewidth": 1.4}
        shade = {"facecolor": colour, "edgecolor": "none", "alpha": 0.2}
        # A log axis has no zero to begin at.
        bottom = min((g[g > 0].min() for g in groups.values() if g.any()), default=1)
        heights = np.where(heights > 0, heights, np.nan) if log else heights
        baseline = bottom / 2 if log else 0
        axis.stairs(heights, edges, baseline=baseline, fill=True, **shade)
        axis.stairs(heights, edges, baseline=baseline, label=_plain(name), **style)
    if log:
        axis.set_yscale("log")
    axis.set(xlabel=x_label, ylabel=y_label, xlim=(0, 1))
    if len(groups) > 1:
        axis.legend(fontsize=8)
    return _svg(figure, title)


def _plain(name: str) -> str:
    """A name in which a dollar begins no formula of Matplotlib's."""
    return name.replace("$", r"\$")


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    size = (_SIZE[0], _SIZE[1] * panels)
    figure, axes = plt.subplots(panels, 1, figsize=size, squeeze=False, layout="constrained")
    return figure, list(axes[:, 0])


def _svg(figure: Figure, title: str) -> str:
    """The drawing as an `svg` element; `title`: its alt text."""
    import matplotlib
    from matplotlib import pyplot as plt

    out = io.StringIO()
    # Letters stay letters; names inside the drawing come from its content, not from a random number.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    # A style inside would hold for the whole page.
    text = re.sub(r"<(metadata|style).*?</\1>", "", text, flags=re.DOTALL)
    # Matplotlib counts its groups from 1 in every drawing: a page must not have one name twice.
    text = re.sub(r' id="[a-zA-Z][\w.]*_\d+"', "", text)
    text = re.sub(r' (?:xmlns:\w+|xmlns)="[^"]*"', "", text)
    text = text.replace("xlink:href", "href")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
