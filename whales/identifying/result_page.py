"""Answers for people: a table on the terminal, a CSV, and a page that opens without a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from whales.base.pickles import write_text
from whales.base.tables import csv_text
from whales.base.web_page import image, page
from whales.files.labels import with_jpg
from whales.files.workspace import Workspace
from whales.identifying.identification import Answer, Fluke
from whales.photos.thumbnails import thumbnail
from whales.scores.best_photos import Candidate

COLUMNS = (
    "query", "fluke", "x1", "y1", "x2", "y2", "new_whale",
    "rank", "identity", "probability", "score", "photo",
)  # fmt: skip

_TITLE = "Who is this whale?"
_NOTE = """Each probability answers its own question, whether the photo shows this whale (or none of the
known ones); those of one photo need not add up to 1."""
_STYLE = """
section { display: flex; flex-wrap: wrap; gap: 1rem; padding: 1rem 0; border-top: 1px solid #ccd3da; }
section figure { width: 172px; }
section .query { width: 280px; }
.candidates { display: flex; flex-wrap: wrap; gap: .75rem; flex: 1 1 17rem; }
.bar { height: 4px; background: #e3e7eb; }
.bar i { display: block; height: 4px; background: #2a9d4e; }
@media (max-width: 40rem) {
  section .query { width: 100%; } .candidates figure { width: calc(50% - .4rem); }
}
"""


def where(of: Fluke) -> str:
    """The part of the photo that was used, in words."""
    if of.box is None:
        return "used the whole frame"
    return "fluke at " + ",".join(f"{value:g}" for value in of.box)


def show(answer: Answer, console: Console | None = None) -> None:
    """Print an answer as a table, by default to the standard output."""
    of = answer.fluke
    console = console or Console()
    # Text, since brackets in a plain string would be read as markup.
    console.print(Text(f"{of.photo} #{of.number}: {where(of)}"))
    console.print(Text(f"probability of a new whale: {answer.new:.2f}"))
    table = Table()
    for name in ("rank", "identity", "probability", "score", "photo"):
        table.add_column(name, justify="left" if name in ("identity", "photo") else "right")
    for rank, one in enumerate(answer.candidates, 1):
        numbers = f"{one.probability:.2f}", f"{one.score:.4f}"
        cells = str(rank), one.identity, *numbers, with_jpg(one.photo)
        table.add_row(*map(Text, cells))
    console.print(table)


def write_csv(path: Path, answers: Sequence[Answer]) -> None:
    """Write one row for each query, fluke and rank, columns as COLUMNS; no box: the whole frame."""
    rows = []
    for of, new, candidates in answers:
        box = [""] * 4 if of.box is None else [f"{value:g}" for value in of.box]
        for rank, one in enumerate(candidates, 1):
            numbers = f"{one.probability:.6f}", f"{one.score:.6f}"
            place = of.photo, of.number, *box, f"{new:.6f}"
            rows.append([*place, rank, one.identity, *numbers, with_jpg(one.photo)])
    write_text(path, csv_text(COLUMNS, rows))


def write_html(
    path: Path, answers: Sequence[Answer], workspace: Workspace, boxes: dict[str, Sequence[float]]
) -> None:
    """Write a page of its own: each query at the left, its candidates at the right.

    boxes: stem -> box of the known photos.
    """
    sections = [_section(answer, workspace, boxes) for answer in answers]
    body = f"<h1>{_TITLE}</h1>\n<p>{_NOTE}</p>\n" + "\n".join(sections)
    write_text(path, page(_TITLE, body, _STYLE))


def _section(answer: Answer, workspace: Workspace, boxes: dict[str, Sequence[float]]) -> str:
    of = answer.fluke
    told = f"<b>{escape(of.photo.name)}</b> #{of.number}<br>{where(of)}"
    told += f"<br>new whale: {answer.new:.0%}{_bar(answer.new)}"
    query = f'<figure class="query">{image(of.view, of.photo.name)}<figcaption>{told}</figcaption></figure>'
    candidates = [
        _candidate(rank, one, workspace, boxes) for rank, one in enumerate(answer.candidates, 1)
    ]
    return f'<section>{query}<div class="candidates">{"".join(candidates)}</div></section>'


def _candidate(
    rank: int, one: Candidate, workspace: Workspace, boxes: dict[str, Sequence[float]]
) -> str:
    told = f"{rank}. <b>{escape(one.identity)}</b> {one.probability:.0%}{_bar(one.probability)}"
    told += f"score {one.score:.4f}, {escape(with_jpg(one.photo))}"
    view = image(thumbnail(workspace, boxes, one.photo), one.identity)
    return f"<figure>{view}<figcaption>{told}</figcaption></figure>"


def _bar(share: float) -> str:
    return f'<div class="bar"><i style="width:{share:.0%}"></i></div>'
