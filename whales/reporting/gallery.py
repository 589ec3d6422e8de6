"""Queries with their answers side by side: which to show, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from whales.base.errors import UserError
from whales.base.web_page import data_uri, note, picture
from whales.files.boxes import Box
from whales.files.labels import NEW_WHALE, with_jpg
from whales.files.matrices import ScoreMatrix
from whales.files.sides import NO_SIDES, Sides
from whales.files.submissions import ANSWERS
from whales.files.workspace import Workspace
from whales.photos.thumbnails import thumbnail
from whales.reporting.report_parts import blocks
from whales.scores.best_photos import Candidate, KnownPhotos, mark_own, own_columns

NO_NAMES: Mapping[str, str] = MappingProxyType({})
MOST = 200
# Of those at most so many are errors where there are right ones too, so that both can be looked at.
MOST_ERRORS = 150
# What the gallery may take of the page, bytes.
MOST_BYTES = 9_000_000
_QUALITY = 70


class AnsweredQuery(NamedTuple):
    """A query (stem) with its answers.

    group: which photos it is among, `fold N` or `test`; truth: its identity; candidates: the answers,
    best first; missed: the true identity, where it is none of the answers.
    """

    photo: str
    group: str
    truth: str
    candidates: list[Candidate]
    missed: Candidate | None

    @property
    def rank(self) -> int:
        """Rank of the right answer from 1; past the last where it is none of them."""
        names = [candidate.identity for candidate in self.candidates]
        return names.index(self.truth) + 1 if self.truth in names else ANSWERS + 1

    @property
    def best_score(self) -> float:
        """Best pair score behind any answer: how sure the wrong or the right answer was."""
        return max((candidate.score or 0.0 for candidate in self.candidates), default=0.0)


def queries(
    matrix: ScoreMatrix,
    answers: Sequence[Sequence[str]],
    identity_of: Mapping[str, str],
    group: str,
    sides: Sides = NO_SIDES,
) -> list[AnsweredQuery]:
    """The rows of a matrix with their answers and the known photos that stand for them.

    answers: of each row, best first; identity_of: stem -> identity of rows and columns; group: of the
    rows; sides: of the photos. A photo does not stand for itself, nor for one of another side.
    """
    known = KnownPhotos(matrix.columns, identity_of)
    own_column = own_columns(matrix.rows, matrix.columns)
    shown = sides.of(matrix.rows, matrix.columns)
    answered = []
    for start, block in blocks(matrix):
        rows = slice(start, start + len(block))
        block = mark_own(block.copy(), own_column[rows], -np.inf)
        block = shown._replace(rows=shown.rows[rows]).hidden(block, -np.inf)
        for row, scores in enumerate(block, start):
            name = matrix.rows[row]
            truth = identity_of[name]
            candidates = [known.candidate(identity, scores) for identity in answers[row]]
            is_missed = truth not in answers[row] and truth in known.code_of
            missed = known.candidate(truth, scores) if is_missed else None
            answered.append(AnsweredQuery(name, group, truth, candidates, missed))
    return answered


def chosen(
    answered: Sequence[AnsweredQuery], most: int = MOST, errors: int = MOST_ERRORS
) -> list[AnsweredQuery]:
    """Up to `most` queries, errors first: those without the right answer, then by their best score.

    errors: at most so many of them where there are right ones to fill the rest.
    """

    def order(query: AnsweredQuery) -> tuple[float, float, str, str]:
        return -query.rank, -query.best_score, query.photo, query.group

    wrong = sorted((query for query in answered if query.rank > 1), key=order)
    right = sorted((query for query in answered if query.rank == 1), key=order)
    kept = wrong[: max(errors, most - len(right))]
    return kept + right[: most - len(kept)]


class Thumbnails:
    """Crops of photos as `img` elements, each made once; a broken photo becomes a line of text."""

    def __init__(self, workspace: Workspace, boxes: Mapping[str, Box]) -> None:
        """boxes: stem -> box; a photo without one shows its whole frame."""
        self._workspace, self._boxes = workspace, dict(boxes)
        self._made: dict[str, tuple[str, int, int] | None] = {}

    def element(self, name: str, text: str) -> str:
        """The fluke of a photo (stem); `text`: its alt text."""
        if name not in self._made:
            try:
                pixels = thumbnail(self._workspace, self._boxes, name)
                self._made[name] = (data_uri(pixels, _QUALITY), *pixels.shape[1::-1])
            except UserError:
                self._made[name] = None
        made = self._made[name]
        return picture(made[0], text, *made[1:]) if made else '<div class="none">no photo</div>'


def gallery(
    answered: Sequence[AnsweredQuery],
    thumbnails: Thumbnails,
    most_bytes: int = MOST_BYTES,
    names: Mapping[str, str] = NO_NAMES,
) -> str:
    """The queries with controls to sort and filter them, HTML; as many as `most_bytes` have room for.

    names: identity -> what people call it, of those that differ.
    """
    cards: list[str] = []
    size = 0
    for number, query in enumerate(chosen(answered)):
        card = _card(query, number, thumbnails, names)
        size += len(card)
        if size > most_bytes:
            break
        cards.append(card)
    wrong = sum(query.rank > 1 for query in answered)
    text = f"{len(cards):,} of {len(answered):,} queries are shown"
    text += f" ({wrong:,} of all are errors: the first answer is wrong)." if answered else "."
    return f'{note(text)}{_CONTROLS}<div id="cards">{"".join(cards)}</div>'


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


def _card(
    query: AnsweredQuery, number: int, thumbnails: Thumbnails, names: Mapping[str, str]
) -> str:
    rank = query.rank
    state = "right" if rank == 1 else "wrong"
    title = {1: "right", ANSWERS + 1: "error: the right answer is not among the five"}.get(
        rank, f"error: the right answer is number {rank}"
    )
    identities = [query.truth, *(candidate.identity for candidate in query.candidates)]
    called = [names[identity] for identity in identities if identity in names]
    words = [query.photo, query.group, *identities, *called]
    known = "new" if query.truth == NEW_WHALE else "known"
    facts = {
        "number": number, "state": state, "place": rank, "known": known, "photo": query.photo,
        "truth": query.truth, "sure": f"{query.best_score:.6f}", "words": " ".join(words).lower(),
    }  # fmt: skip
    data = " ".join(f'data-{name}="{escape(str(value))}"' for name, value in facts.items())
    shown = thumbnails.element(query.photo, f"query {query.photo}, {query.truth}")
    truth = names.get(query.truth, query.truth)
    caption = f"<b>{escape(truth)}</b><br>{escape(with_jpg(query.photo))} ({escape(query.group)})"
    tiles = [f'<figure class="query">{shown}<figcaption>{caption}</figcaption></figure>']
    for position, candidate in enumerate(query.candidates, 1):
        kind = "answer right" if candidate.identity == query.truth else "answer"
        tiles.append(_tile(candidate, f"{position}. ", kind, thumbnails, names))
    if query.missed:
        tiles.append(_tile(query.missed, "true whale: ", "answer own", thumbnails, names))
    row = f'<div class="row">{"".join(tiles)}</div>'
    return f'<article class="{state}" {data}><h3>{title}</h3>{row}</article>'


def _tile(
    candidate: Candidate, label: str, kind: str, thumbnails: Thumbnails, names: Mapping[str, str]
) -> str:
    identity = names.get(candidate.identity, candidate.identity)
    if candidate.photo is None:
        shown, source = f'<div class="none">{escape(identity)}</div>', ""
    else:
        shown = thumbnails.element(candidate.photo, f"{identity}, {candidate.photo}")
        source = f"<br>{escape(with_jpg(candidate.photo))}, score {candidate.score:.3f}"
    mark = " ✓ right" if kind.endswith("right") else ""
    caption = f"{label}<b>{escape(identity)}</b>{mark}{source}"
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
