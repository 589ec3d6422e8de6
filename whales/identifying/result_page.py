"""Answers for people: a table on the terminal, a CSV, and a page that opens without a network."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from whales.base.console import log, table_console
from whales.base.errors import UserError, shown
from whales.base.tables import csv_text, for_spreadsheets
from whales.base.web_page import image, page, warned
from whales.base.writing import write_text
from whales.files.boxes import Box
from whales.files.import_table import written_names
from whales.files.labels import with_jpg
from whales.files.workspace import Workspace
from whales.identifying.identification import Answer, Fluke
from whales.photos.thumbnails import thumbnail
from whales.scores.best_photos import Candidate
from whales.scores.calibration import in_words

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


class Row(NamedTuple):
    """An identity that a fluke may be of, as the CSV has it.

    query: path of the photo; fluke: number among those of its photo, from 1; x1 to y2: its box in pixels
    of the photo held upright, None for the whole frame; new_whale: probability of none of the known;
    rank: from 1; probability, score: of the identity; photo: file name of the known photo most like it; a
    probability is None where validation photos tell nothing of it;
    content: digest of the query's file, by which the review knows it again; name: that people gave the
    identity, where the work root had to write it otherwise; nets to warning: of the answer's `Basis`; side:
    that the query shows, "" for either, None where the root knows no sides: then no table has the column.
    """

    query: str
    fluke: int
    x1: float | None
    y1: float | None
    x2: float | None
    y2: float | None
    new_whale: float | None
    rank: int
    identity: str
    probability: float | None
    score: float
    photo: str
    content: str
    name: str
    nets: str = ""
    taught_on: str = ""
    validation_photos: int | None = None
    warning: str = ""
    side: str | None = None


WITH_SIDES = Row._fields
COLUMNS = WITH_SIDES[:-1]
FORMER_COLUMNS = COLUMNS[: COLUMNS.index("nets")]  # of earlier tables
NO_NAMES: Mapping[str, str] = MappingProxyType({})
_CORNERS = ("x1", "y1", "x2", "y2")
_FLOATS = (*_CORNERS, "new_whale", "probability")

_TITLE = "Who is this whale?"
_NOTE = """Each probability answers its own question, whether the photo shows this whale (or none of the
known ones); those of one photo need not add up to 1."""
_REVIEW_PAGE = "http://127.0.0.1:8765/"
# Only a script can search: without one the fields are not there.
_TOOLS = """<form class="tools" hidden>
<label>Search photos and individuals <input type="search" id="search" autocomplete="off"></label>
<label>Order <select id="order"><option value="place">as they were asked</option>
<option value="sure">surest first</option><option value="name">file name</option></select></label>
<span id="count" role="status"></span>
</form>"""
_SCRIPT = """
const [search, order, count] = ["search", "order", "count"].map((id) => document.getElementById(id));
const sections = [...document.querySelectorAll("section")];
sections.forEach((section, place) => { section.dataset.place = place; });
const numbers = (key, sign) => (a, b) => sign * (a.dataset[key] - b.dataset[key]);
const orders = {
  place: numbers("place", 1),
  sure: numbers("sure", -1),
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, "en", { numeric: true }),
};
function arrange() {
  const text = search.value.trim().toLowerCase();
  for (const section of sections) section.hidden = !section.dataset.words.toLowerCase().includes(text);
  sections[0]?.parentNode.append(...[...sections].sort(orders[order.value]));
  count.textContent = `${sections.filter((one) => !one.hidden).length} of ${sections.length} flukes`;
}
search.addEventListener("input", arrange);
order.addEventListener("change", arrange);
search.form.addEventListener("submit", (event) => event.preventDefault());
search.form.hidden = false;
arrange();
"""
_STYLE = """
.tools { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; padding: .5rem 0; }
.tools[hidden], section[hidden] { display: none; }
section { display: flex; flex-wrap: wrap; gap: 1rem; padding: 1rem 0; border-top: 1px solid #ccd3da; }
section figure { width: 172px; }
section .warning { flex: 1 1 100%; margin: 0; }
section .query { width: 280px; }
.candidates { display: flex; flex-wrap: wrap; gap: .75rem; flex: 1 1 17rem; }
.bar { height: 4px; background: #e3e7eb; }
.bar i { display: block; height: 4px; background: #2a9d4e; }
@media (max-width: 40rem) {
  section .query { width: 100%; } .candidates figure { width: calc(50% - .4rem); }
}
"""


def used_part(fluke: Fluke) -> str:
    """The part of the photo that was used, and the side that it shows, in words."""
    box = fluke.box
    used = "used the whole frame" if box is None else f"fluke at {','.join(f'{v:g}' for v in box)}"
    if fluke.side is None:
        return used
    return f"{used}, side: {fluke.side or 'not known, compared with all'}"


def show(
    answer: Answer, console: Console | None = None, names: Mapping[str, str] = NO_NAMES
) -> None:
    """Print an answer as a table, by default to the standard output.

    names: here and below, of `written_names`: what identities are called where people read them.
    """
    from rich.table import Table
    from rich.text import Text

    fluke = answer.fluke
    console = console or table_console()
    # Text, since brackets in a plain string would be read as markup; a path is one line, to be copied.
    head = Text(f"{shown(str(fluke.photo))} #{fluke.number}: {used_part(fluke)}")
    console.print(head, soft_wrap=True)
    if answer.basis.warning:
        console.print(Text(f"WARNING: {answer.basis.warning}", "bold red"), soft_wrap=True)
    console.print(Text(f"probability of a new whale: {in_words(answer.new)}"))
    grid = Table()
    for name in ("rank", "identity", "probability", "score", "photo"):
        grid.add_column(name, justify="left" if name in ("identity", "photo") else "right")
    for rank, candidate in enumerate(answer.candidates, 1):
        numbers = in_words(candidate.probability), f"{candidate.score:.4f}"
        name = names.get(candidate.identity, candidate.identity)
        cells = str(rank), name, *numbers, with_jpg(candidate.photo)
        grid.add_row(*map(Text, map(shown, cells)))
    console.print(grid)


def rows(answers: Iterable[Answer], names: Mapping[str, str] = NO_NAMES) -> list[Row]:
    """A row for each query, fluke and rank."""
    return [
        _row(answer, rank, candidate, names)
        for answer in answers
        for rank, candidate in enumerate(answer.candidates, 1)
    ]


def _row(answer: Answer, rank: int, candidate: Candidate, names: Mapping[str, str]) -> Row:
    fluke, basis = answer.fluke, answer.basis
    x1, y1, x2, y2 = (None,) * 4 if fluke.box is None else fluke.box
    return Row(
        str(fluke.photo), fluke.number, x1, y1, x2, y2, answer.new,
        rank, candidate.identity, candidate.probability, candidate.score, with_jpg(candidate.photo),
        fluke.content, names.get(candidate.identity, candidate.identity),
        basis.nets, basis.taught_on, basis.validation_photos, basis.warning, fluke.side,
    )  # fmt: skip


def table(answers: Iterable[Answer], names: Mapping[str, str] = NO_NAMES) -> pd.DataFrame:
    """`rows` as a table of COLUMNS or WITH_SIDES; corners and probabilities are float64, NaN for none."""
    import pandas as pd

    found = rows(answers, names)
    frame = pd.DataFrame(found, columns=list(WITH_SIDES)).astype(dict.fromkeys(_FLOATS, float))
    return frame if any(row.side is not None for row in found) else frame[list(COLUMNS)]


def write_csv(
    path: Path,
    answers: Iterable[Answer],
    names: Mapping[str, str] = NO_NAMES,
    before: Sequence[Sequence[object]] = (),
) -> None:
    """Write `rows`: six decimals, corners as short as they are, empty for the whole frame.

    names: as `rows` takes them; before: rows of cells that stand before them.
    """
    cells = [*before, *(_cells(row) for row in rows(answers, names))]
    if not any(len(row) == len(WITH_SIDES) for row in cells):
        text = csv_text(COLUMNS, cells)
    else:  # rows of an earlier watch may know no sides
        text = csv_text(WITH_SIDES, [[*row, ""][: len(WITH_SIDES)] for row in cells])
    write_text(path, for_spreadsheets(text))


def _cells(row: Row) -> list[object]:
    cells: dict[str, object] = row._asdict()
    for name in _CORNERS:
        cells[name] = "" if cells[name] is None else f"{cells[name]:g}"
    for name in ("new_whale", "probability", "score"):
        cells[name] = "" if cells[name] is None else f"{cells[name]:.6f}"
    if row.validation_photos is None:
        cells["validation_photos"] = ""
    if row.side is None:
        del cells["side"]
    return list(cells.values())


def write_html(
    path: Path,
    answers: Iterable[Answer],
    workspace: Workspace,
    boxes: Mapping[str, Box],
    csv: Path | None = None,
) -> None:
    """Write a page of its own: each query at the left, its candidates at the right; to search and to sort.

    boxes: stem -> box of the known photos; csv: the table of the same answers, for the review.
    """
    answers = list(answers)
    names = written_names(workspace)
    sections = [_section(answer, workspace, boxes, names) for answer in answers]
    notes = dict.fromkeys(text for answer in answers for text in answer.basis.notes())
    told = "".join(f"<p>{escape(text)}</p>\n" for text in (*notes, _NOTE))
    told += f"<p>{_how_to_decide(csv)}</p>\n{_TOOLS}\n"
    body = f"<h1>{_TITLE}</h1>\n{told}<main>" + "\n".join(sections) + "</main>"
    write_text(path, page(_TITLE, body, _STYLE, _SCRIPT))


def _how_to_decide(csv: Path | None) -> str:
    """The command of the review, and its page, HTML."""
    if csv is None:
        return "To decide with your own eyes, ask with <code>--csv FILE</code>: the review takes that table."
    command = f"python3 tools/review.py --results {shlex.quote(str(csv))}"
    page_link = f'<a href="{_REVIEW_PAGE}">its page</a>'
    return f"To decide with your own eyes: <code>{escape(command)}</code>, which opens {page_link}."


def _section(
    answer: Answer, workspace: Workspace, boxes: Mapping[str, Box], names: Mapping[str, str]
) -> str:
    fluke = answer.fluke
    caption = f"<b>{escape(fluke.photo.name)}</b> #{fluke.number}<br>{escape(used_part(fluke))}"
    caption += f"<br>new whale: {in_words(answer.new, percent=True)}{_bar(answer.new)}"
    view = image(fluke.view, fluke.photo.name)
    query = f'<figure class="query">{view}<figcaption>{caption}</figcaption></figure>'
    candidates = [
        _candidate(rank, candidate, workspace, boxes, names)
        for rank, candidate in enumerate(answer.candidates, 1)
    ]
    warning = warned(answer.basis.warning)
    best = answer.candidates[0].value if answer.candidates else 0.0
    words = [fluke.photo.name, *(names.get(c.identity, c.identity) for c in answer.candidates)]
    told = {"name": fluke.photo.name, "sure": f"{best:.6f}", "words": " ".join(words)}
    data = "".join(f' data-{key}="{escape(text)}"' for key, text in told.items())
    return f'<section{data}>{warning}{query}<div class="candidates">{"".join(candidates)}</div></section>'


def _candidate(
    rank: int,
    candidate: Candidate,
    workspace: Workspace,
    boxes: Mapping[str, Box],
    names: Mapping[str, str],
) -> str:
    identity = names.get(candidate.identity, candidate.identity)
    probability = candidate.probability
    caption = f"{rank}. <b>{escape(identity)}</b> {in_words(probability, percent=True)}{_bar(probability)}"
    caption += f"score {candidate.score:.4f}, {escape(with_jpg(candidate.photo))}"
    try:
        view = image(thumbnail(workspace, boxes, candidate.photo), identity)
    except UserError as reason:  # the answers count, whatever became of the photo since
        log(f"not shown: {reason}")
        view = '<div class="none">no photo</div>'
    return f"<figure>{view}<figcaption>{caption}</figcaption></figure>"


def _bar(share: float | None) -> str:
    return "<br>" if share is None else f'<div class="bar"><i style="width:{share:.0%}"></i></div>'
