"""Which photo a decision is on: that of its content, and by name alone only in tables of former versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from whales.base.console import log
from whales.base.errors import UserError
from whales.files.decisions import (
    HELD_BACK,
    UNDO,
    Decision,
    DecisionLog,
    last_of_each,
    name_and_content,
    spelled_alike,
    standing,
    words_of,
)
from whales.files.labels import NEW_WHALE, stem

_NAMED = 10  # rows named in one line


def _unknown(_: object) -> str:
    return ""


@dataclass
class Verdicts:
    """The decisions of a table, told apart by the photos under review.

    of_photo: index of a photo -> its standing decisions, oldest first; elsewhere: the decided photos that
    are not under review, by name; changed, ambiguous: lines whose decision is not applied, since the
    photo or the candidate has other content now, or several photos may be meant; by_name: lines that
    are applied by the photo's name, for want of its content.
    """

    of_photo: dict[int, list[Decision]] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    changed: list[Decision] = field(default_factory=list)
    ambiguous: list[Decision] = field(default_factory=list)
    by_name: list[Decision] = field(default_factory=list)

    def notes(self) -> list[str]:
        """A line for each reason why decisions are not applied, or are applied by name."""
        reasons = (
            (
                self.changed,
                "not applied, since the photo has other content than the one decided on",
            ),
            (
                self.ambiguous,
                "not applied, since several photos have the name; decide on them again",
            ),
            (self.by_name, "of a former version applied by the photo's name, having no content"),
        )
        return [f"{len(rows)} decisions {why}: {_rows(rows)}" for rows, why in reasons if rows]


def _rows(rows: Sequence[Decision]) -> str:
    named = [f"line {row.line} ({row.query})" for row in rows[:_NAMED]]
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return ", ".join(named) + more


class DecidedPhotos:
    """The photos under review, and how to find the one that a decision is on."""

    def __init__(
        self,
        names: Sequence[str],
        content_of: Callable[[int], str] = _unknown,
        candidate_content_of: Callable[[str], str] = _unknown,
    ) -> None:
        """names: of the photos; content_of: index of a photo -> its content now, as `fluke_content` has it;
        candidate_content_of: stem of a known photo -> digest of its file now. Contents are asked for when
        they are first needed; a `UserError` counts as "there is none".
        """
        self._stems = [stem(name) for name in names]
        self._content_of, self._candidate_content_of = content_of, candidate_content_of
        self._by_stem: dict[str, list[int]] = {}
        for index, name in enumerate(self._stems):
            self._by_stem.setdefault(name, []).append(index)

    def index_of(self, row: Decision) -> int | None:
        """Index of the photo that a decision is on; None where it is on none of them or is not certain."""
        named = self._by_stem.get(stem(row.query), [])
        if not row.query_content:
            return named[0] if len(named) == 1 else None
        for index in named:
            if self._content(index) == row.query_content:
                return index
        # Renamed since; two copies of one file under other names cannot be told apart.
        same = self._by_content.get(row.query_content, [])
        return same[0] if len(same) == 1 else None

    def verdicts(self, rows: Sequence[Decision]) -> Verdicts:
        """What a table's rows, in file order, say of the photos."""
        found, rows = Verdicts(), spelled_alike(rows)
        mine: list[tuple[Decision, int]] = []
        others: list[Decision] = []
        for row in rows:
            index = self.index_of(row)
            if index is None:
                others.append(row)
            else:
                mine.append((row, index))
        places = {id(row): index for row, index in mine}
        stacks = standing([row for row, _ in mine], lambda row: places[id(row)])
        for index, stack in stacks.items():
            stale = [row for row in last_of_each(stack).values() if self._other_candidate(row)]
            if stale:
                found.changed += stale
            else:
                found.of_photo[index] = stack
                found.by_name += [row for row in stack if not row.query_content]
        for (name, content), stack in standing(others, name_and_content).items():
            if name not in self._by_stem:
                copies = len(self._by_content.get(content, [])) if content else 0
                if copies:
                    found.ambiguous += stack
                else:
                    found.elsewhere.append(stack[-1].query)
            elif content:
                found.changed += stack
            else:
                found.ambiguous += stack
        return found

    def _content(self, index: int) -> str:
        try:
            return self._content_of(index)
        except UserError:  # a photo that cannot be read is not the one decided on
            return ""

    @cached_property
    def _by_content(self) -> dict[str, list[int]]:
        photos: dict[str, list[int]] = {}
        for index in range(len(self._stems)):
            photos.setdefault(self._content(index), []).append(index)
        return photos

    def _other_candidate(self, row: Decision) -> bool:
        if not row.candidate_content or row.decision == UNDO:
            return False
        try:
            return self._candidate_content_of(stem(row.candidate)) != row.candidate_content
        except UserError:
            return True


class Settled(NamedTuple):
    """What people settled on: an identity, the name of a new one or `new_whale`, and who they are."""

    identity: str
    decided_by: str


def settled_photos(
    path: Path | str,
    photos: DecidedPhotos,
    names: Sequence[str],
    labels: Mapping[str, str],
    present: Mapping[str, str] = MappingProxyType({}),
    written: Mapping[str, str] = MappingProxyType({}),
) -> dict[int, Settled]:
    """Index of a photo -> what people settled on.

    Left out, and named in the log, are photos on which people differ, and decisions on other photos; those
    whose last decision holds them back are left out too. names: of the photos, to show; labels: stem ->
    identity of the known photos; present: identity of former tables -> as it is called now; written:
    what people call known individuals -> identity. `UserError` naming the line of a candidate that is none,
    or of a new individual's name that is taken.
    """
    verdicts = photos.verdicts(DecisionLog(path).rows())
    known = {*labels.values(), *present} - {NEW_WHALE}
    settled: dict[int, Settled] = {}
    differing = []
    for index, stack in verdicts.of_photo.items():
        words = words_of(stack, labels, known, path, written)
        words = {who: present.get(word, word) for who, word in words.items()}
        if len({*words.values()}) > 1:
            differing.append(names[index])
        elif stack[-1].decision not in HELD_BACK:
            settled[index] = Settled(words[stack[-1].who], decided_by(stack))
    if differing:
        log(f"{path}: people differ on {', '.join(differing)}: no decision there")
    elsewhere = [name for name in verdicts.elsewhere if stem(name) not in labels]
    if elsewhere:  # those in the catalogue need no decision any more
        log(
            f"{path}: decisions on photos that are not among the queries are left out: "
            f"{', '.join(elsewhere)}; name the tables that they were identified in with --results"
        )
    for note in verdicts.notes():
        log(f"{path}: {note}")
    return settled


def decided_by(stack: Sequence[Decision]) -> str:
    """The people whose last decision on one photo names somebody, as a table shows them."""
    return ", ".join(
        who for who, row in last_of_each(stack).items() if row.decision not in HELD_BACK
    )
