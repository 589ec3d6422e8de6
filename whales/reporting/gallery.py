"""Queries with their answers side by side: which to show, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from whales.base.errors import UserError
from whales.base.web_page import data_uri, note, picture
from whales.files.labels import NEW_WHALE, with_jpg
from whales.files.matrices import ScoreMatrix
from whales.files.submissions import ANSWERS
from whales.files.workspace import Workspace
from whales.photos.thumbnails import thumbnail
from whales.reporting.report_parts import blocks
from whales.scores.best_photos import Candidate, KnownPhotos, mark_own, own_columns

MOST = 200
# Of those at most so many are errors where there are right ones too, so that both can be looked at.
MOST_ERRORS = 150
# What the gallery may take of the page, bytes.
MOST_BYTES = 9_000_000
_QUALITY = 70


class AnsweredQuery(NamedTuple):
    """A photo with its answers; `own`: of the true identity, where that is none of the answers."""

    photo: str
    part: str  # of the work: a fold, or test
    truth: str
    candidates: list[Candidate]
    own: Candidate | None

    @property
    def place(self) -> int:
        """Place of the right answer from 1; past the last where it is none of them."""
        names = [one.identity for one in self.candidates]
        return names.index(self.truth) + 1 if self.truth in names else ANSWERS + 1

    @property
    def sure(self) -> float:
        """Best score of any answer: how sure the wrong or the right answer was."""
        return max((one.score or 0.0 for one in self.candidates), default=0.0)


def queries(
    matrix: ScoreMatrix, answers: Sequence[Sequence[str]], who: Mapping[str, str], part: str
) -> list[AnsweredQuery]:
    """The rows of a matrix with their answers and the photos that stand for them.

    who: stem -> identity of rows and columns; a photo does not stand for itself.
    """
    known, own = KnownPhotos(matrix.columns, who), own_columns(matrix.rows, matrix.columns)
    found = []
    for start, block in blocks(matrix):
        block = mark_own(block.copy(), own[start : start + len(block)], -np.inf)
        for row, scores in enumerate(block, start):
            name = matrix.rows[row]
            truth = who[name]
            given = [known.candidate(identity, scores) for identity in answers[row]]
            missed = truth not in answers[row] and truth in known.code_of
            best = known.candidate(truth, scores) if missed else None
            found.append(AnsweredQuery(name, part, truth, given, best))
    return found


def chosen(
    found: Sequence[AnsweredQuery], most: int = MOST, errors: int = MOST_ERRORS
) -> list[AnsweredQuery]:
    """Up to `most` queries, errors first: those without the right answer, then by how sure they were."""

    def order(query: AnsweredQuery) -> tuple[Any, ...]:
        return -query.place, -query.sure, query.photo, query.part

    wrong = sorted((query for query in found if query.place > 1), key=order)
    right = sorted((query for query in found if query.place == 1), key=order)
    kept = wrong[: max(errors, most - len(right))]
    return kept + right[: most - len(kept)]


class Thumbnails:
    """Crops of photos as `img` elements, each made once; a broken photo is a line of text."""

    def __init__(self, workspace: Workspace, boxes: Mapping[str, Sequence[float]]) -> None:
        """boxes: stem -> box; a photo without one shows its whole frame."""
        self._workspace, self._boxes = workspace, dict(boxes)
        self._made: dict[str, tuple[str, int, int] | None] = {}

    def element(self, name: str, text: str) -> str:
        """The fluke of a photo (stem); `text` stands for it."""
        if name not in self._made:
            try:
                pixels = thumbnail(self._workspace, self._boxes, name)
                self._made[name] = (data_uri(pixels, _QUALITY), *pixels.shape[1::-1])
            except UserError:
                self._made[name] = None
        made = self._made[name]
        return picture(made[0], text, *made[1:]) if made else '<div class="none">no photo</div>'


def gallery(
    found: Sequence[AnsweredQuery], thumbnails: Thumbnails, most_bytes: int = MOST_BYTES
) -> str:
    """The queries with controls to sort and filter them; fewer where they would take too much room."""
    cards: list[str] = []
    size = 0
    for number, query in enumerate(chosen(found)):
        card = _card(query, number, thumbnails)
        size += len(card)
        if size > most_bytes:
            break
        cards.append(card)
    wrong = sum(query.place > 1 for query in found)
    told = f"{len(cards):,} of {len(found):,} queries are shown"
    told += f" ({wrong:,} of all are errors: the first answer is wrong)." if found else "."
    return f'{note(told)}{_CONTROLS}<div id="cards">{"".join(cards)}</div>'


_CONTROLS = """
<form id="choose" aria-label="Sort and filter the gallery">
<label>Show <select id="show"><option value="all">all</option><option value="wrong">errors</option>
<option value="absent">right answer not among the five</option>
<option value="right">right first answers</option>
<option value="known">known whales</option><option value="new">new whales</option></select></label>
<label>Sort by <select id="sort"><option value="number">errors first</option>
<option value="sure">best score, high to low</option><option value="unsure">best score, low to high</option>
<option value="photo">file name</option><option value="truth">true identity</option></select></label>
<label>Find <input id="find" type="search" placeholder="file or identity"></label>
<output id="count" aria-live="polite"></output>
</form>
"""


def _card(query: AnsweredQuery, number: int, thumbnails: Thumbnails) -> str:
    place = query.place
    state = "right" if place == 1 else "wrong"
    told = {1: "right", ANSWERS + 1: "error: the right answer is not among the five"}.get(
        place, f"error: the right answer is number {place}"
    )
    names = [query.photo, query.truth, query.part, *(one.identity for one in query.candidates)]
    known = "new" if query.truth == NEW_WHALE else "known"
    facts = {
        "number": number, "state": state, "place": place, "known": known, "photo": query.photo,
        "truth": query.truth, "sure": f"{query.sure:.6f}", "words": " ".join(names).lower(),
    }  # fmt: skip
    data = " ".join(f'data-{name}="{escape(str(value))}"' for name, value in facts.items())
    shown = thumbnails.element(query.photo, f"query {query.photo}, {query.truth}")
    caption = (
        f"<b>{escape(query.truth)}</b><br>{escape(with_jpg(query.photo))} ({escape(query.part)})"
    )
    tiles = [f'<figure class="query">{shown}<figcaption>{caption}</figcaption></figure>']
    for rank, one in enumerate(query.candidates, 1):
        right = one.identity == query.truth
        tiles.append(_tile(one, f"{rank}. ", "answer right" if right else "answer", thumbnails))
    if query.own:
        tiles.append(_tile(query.own, "true whale: ", "answer own", thumbnails))
    return f'<article class="{state}" {data}><h3>{told}</h3><div class="row">{"".join(tiles)}</div></article>'


def _tile(one: Candidate, before: str, kind: str, thumbnails: Thumbnails) -> str:
    if one.photo is None:
        shown, told = f'<div class="none">{escape(one.identity)}</div>', ""
    else:
        shown = thumbnails.element(one.photo, f"{one.identity}, {one.photo}")
        told = f"<br>{escape(with_jpg(one.photo))}, score {one.score:.3f}"
    mark = " ✓ right" if kind.endswith("right") else ""
    caption = f"{before}<b>{escape(one.identity)}</b>{mark}{told}"
    return f'<figure class="{kind}">{shown}<figcaption>{caption}</figcaption></figure>'


STYLE = """
#choose { display: flex; flex-wrap: wrap; gap: .5rem 1.2rem; position: sticky; top: 0; background: #fff;
  padding: .5rem 0; border-bottom: 1px solid #14202b; z-index: 1; }
select, input { font: inherit; min-height: 2.2rem; max-width: 15rem; }
article { padding: .6rem 0; border-bottom: 1px solid #b5bec7; }
article h3 { margin: 0 0 .4rem; font-size: 1rem; }
article.wrong h3 { color: #9c1c00; } article.right h3 { color: #12602e; } article[hidden] { display: none; }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .6rem; }
.row figure { border: 4px solid transparent; } .row .query { border-color: #14202b; }
.row .right { border-color: #1b7a3d; } .row .own { border: 4px dashed #7a2a8f; }
.none { aspect-ratio: var(--shape); display: flex; align-items: center; justify-content: center;
  background: #e6eaee; color: #14202b; }
@media (max-width: 34rem) { .row { grid-template-columns: 1fr 1fr; } #choose { position: static; } }
"""

SCRIPT = """
(() => {
  const cards = document.getElementById("cards");
  if (!cards) return;
  const all = [...cards.children], field = name => document.getElementById(name);
  const kept = {
    all: () => true, wrong: d => d.state === "wrong", right: d => d.state === "right",
    absent: d => +d.place > 5, known: d => d.known === "known", new: d => d.known === "new",
  };
  const text = name => (a, b) => a[name] < b[name] ? -1 : a[name] > b[name] ? 1 : a.number - b.number;
  const orders = {
    number: (a, b) => a.number - b.number, sure: (a, b) => b.sure - a.sure, unsure: (a, b) => a.sure - b.sure,
    photo: text("photo"), truth: text("truth"),
  };
  const update = () => {
    const words = field("find").value.trim().toLowerCase(), order = orders[field("sort").value];
    all.sort((a, b) => order(a.dataset, b.dataset));
    let shown = 0;
    for (const card of all) {
      card.hidden = !(kept[field("show").value](card.dataset) && card.dataset.words.includes(words));
      shown += !card.hidden;
    }
    cards.append(...all);
    field("count").textContent = shown + " shown";
  };
  field("choose").addEventListener("input", update);
  field("choose").addEventListener("submit", event => event.preventDefault());
  update();
})();
"""
