"""Boxes that people drew round flukes, and whom the nets see in them: they replace what a detector found.

They stand in a table beside that of the decisions and of its form: the candidate is the box, "" for the
detector's again, the score what the nets say, JSON. The last row on a fluke counts, whoever wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import NamedTuple

from whales.base.errors import UserError
from whales.base.plain_json import JSONFaultError, parse_json
from whales.files.boxes import Box, is_finite
from whales.files.decisions import UNDO, Decision, DecisionLog, now, standing
from whales.files.labels import NEW_WHALE, stem, with_jpg
from whales.scores.basis import NO_BASIS, Basis
from whales.scores.best_photos import Candidate

DRAWN = "box"
SMALLEST = 8  # pixels of a side


class BoxAnswer(NamedTuple):
    """Whom the nets see in a box.

    new: probability of none of the known whales, None if unknown; candidates: best first; basis: what all
    that rests on.
    """

    new: float | None
    candidates: list[Candidate]
    basis: Basis = NO_BASIS


class DrawnBox(NamedTuple):
    """A box that stands: who drew it, x1, y1, x2, y2 in pixels, and whom the nets see in it."""

    who: str
    box: Box
    answer: BoxAnswer


class BoxLog(DecisionLog):
    """The table of drawn boxes; it only grows, as that of the decisions."""

    kinds, suffix = (DRAWN, UNDO), "_boxes"

    def keep(
        self, who: str, query: str, content: str, box: Box | None, answer: BoxAnswer | None
    ) -> None:
        """Add a row; query: its name in the table of decisions; content: `fluke_content` of it.

        box, answer: None for the box that the detector found. `UserError` where it cannot be written.
        """
        text = ",".join(f"{value:.12g}" for value in box or ())
        said = _as_text(answer) if answer else ""
        self.append(Decision(who, now(), query, DRAWN, text, said, query_content=content))

    def standing(self, labels: Mapping[str, str]) -> dict[str, DrawnBox]:
        """Content of a query -> its drawn box, without those that were taken back.

        labels: stem -> identity of the known photos, as they are now: candidates whose photo is not known any
        more are left out. `UserError` naming the line of a box or of an answer that is none.
        """
        stacks = standing(self.rows(), lambda row: row.query_content)
        last = [(content, stack[-1]) for content, stack in stacks.items()]
        return {content: self._read(row, labels) for content, row in last if row.candidate}

    def _read(self, row: Decision, labels: Mapping[str, str]) -> DrawnBox:
        where = f"{self.path}, line {row.line}"
        try:
            box = checked_box([float(text) for text in row.candidate.split(",")])
        except (ValueError, UserError):
            raise UserError(
                f"{where}: the box is {row.candidate}, expected x1,y1,x2,y2 in pixels; mend the row or take "
                "it out"
            ) from None
        try:
            return DrawnBox(row.who, box, _from_text(row.score, labels))
        except (JSONFaultError, KeyError, TypeError, ValueError):
            raise UserError(
                f"{where}: score is not what tools/review.py wrote; take the row out, and draw the box again"
            ) from None


def checked_box(given: object, size: tuple[int, int] | None = None) -> Box:
    """Four finite numbers that are a box; size: (width, height) of the photo that it must lie in, pixels.

    `UserError` for anything else, or a box with a side shorter than `SMALLEST`.
    """
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 4:
        raise UserError("a box is four numbers, x1, y1, x2, y2")
    if not all(isinstance(v, Real) and not isinstance(v, bool) and is_finite(v) for v in given):
        raise UserError("a box is four numbers, x1, y1, x2, y2; received something else")
    x1, y1, x2, y2 = (float(value) for value in given)
    told = ",".join(f"{value:g}" for value in (x1, y1, x2, y2))
    if x1 >= x2 or y1 >= y2:
        raise UserError(
            f"box {told} is inverted or empty; left is less than right, and top less than bottom"
        )
    if size is not None and (x1 < 0 or y1 < 0 or x2 > size[0] or y2 > size[1]):
        raise UserError(
            f"box {told} does not lie in the photo of {size[0]} x {size[1]} pixels; draw it inside"
        )
    if x2 - x1 < SMALLEST or y2 - y1 < SMALLEST:
        raise UserError(f"box {told} is too small; each side has {SMALLEST} pixels or more")
    return x1, y1, x2, y2


def _as_text(answer: BoxAnswer) -> str:
    def number(value: float | None) -> float | None:
        return None if value is None else round(value, 6)

    candidates = [
        [with_jpg(c.photo), number(c.score), number(c.probability)] for c in answer.candidates
    ]
    basis = {name: text for name, text in answer.basis._asdict().items() if text}
    return json.dumps({"new_whale": number(answer.new), "candidates": candidates, **basis})


def _from_text(text: str, labels: Mapping[str, str]) -> BoxAnswer:
    """The answer that `_as_text` wrote; identities that became one have the first of their photos."""
    said = parse_json(text)
    best: dict[str, Candidate] = {}
    for photo, score, probability in said["candidates"]:
        name = stem(str(photo))
        identity = labels.get(name, NEW_WHALE)
        if identity != NEW_WHALE:
            candidate = Candidate(identity, name, _number(score), _number(probability))
            best.setdefault(identity, candidate)
    basis = Basis(**{name: said[name] for name in Basis._fields if name in said})
    return BoxAnswer(_number(said["new_whale"]), [*best.values()], basis)


def _number(value: object) -> float | None:
    if value is None or (isinstance(value, Real) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise TypeError(f"expected a number, received {value}")
