"""Photos drawn for the test and the playground: whole encounters, whole identities."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from whales.base.console import log
from whales.exchange.records import Record
from whales.files.import_table import PLAYGROUND, TEST, TRAIN
from whales.files.labels import NEW_WHALE


@dataclass
class _Group:
    """Encounters of one identity, each a list of indices of records; those that were drawn."""

    encounters: list[list[int]]
    drawn: list[int]

    @cached_property
    def size(self) -> int:
        return sum(map(len, self.encounters))

    def size_drawn(self) -> int:
        return sum(len(self.encounters[place]) for place in self.drawn)


def draw_test(records: Sequence[Record], share: float, rng: np.random.Generator) -> list[Record]:
    """Make about `share` of the train photos test photos, so that the test has known and new whales.

    Whole encounters go: photos of one encounter, or of one animal and day, are near copies. Of an identity
    of several encounters about the share goes, never all. Of identities of one encounter, and of unlabelled
    photos, about the share goes: the new whales of the test. What the one kind cannot give the other does,
    as far as it can, but for one identity that stays.
    """
    several, once = _groups(records)
    wanted = [share * sum(group.size for group in groups) for groups in (several, once)]
    _draw(several, wanted[0], rng, leave=1)
    missing = wanted[0] - sum(group.size_drawn() for group in several)
    labelled = [g for g in once if records[g.encounters[0][0]].identity not in ("", NEW_WHALE)]
    if not several and labelled:  # somebody must be known
        kept = labelled[int(rng.integers(len(labelled)))]
        once = [group for group in once if group is not kept]
    _draw(once, wanted[1] + missing, rng, leave=0)
    missing = sum(wanted) - sum(group.size_drawn() for group in (*several, *once))
    if missing > 0:
        _draw(several, wanted[0] + missing, rng, leave=1)
    drawn = {
        index
        for group in (*several, *once)
        for place in group.drawn
        for index in group.encounters[place]
    }
    total = sum(record.split in ("", TRAIN) for record in records)
    known = {i for group in several for place in group.drawn for i in group.encounters[place]}
    log(
        f"drawn for the test: {len(drawn)} of {total} photos ({len(drawn) / max(total, 1):.0%}, asked for "
        f"{share:.0%}), {len(known)} of them of whales that stay known"
    )
    if not known:
        log(
            "note: no whale has two encounters, so that the test has new whales alone; photos of one animal "
            "and day are one encounter, unless an --encounter-column says more"
        )
    return [replace(r, split=TEST) if i in drawn else r for i, r in enumerate(records)]


def _groups(records: Sequence[Record]) -> tuple[list[_Group], list[_Group]]:
    """Train photos: identities of several encounters; then those of one, and the unlabelled encounters."""
    encounters: dict[tuple[str, object], list[int]] = {}
    for index, record in enumerate(records):
        if record.split in ("", TRAIN):
            identity = "" if record.identity == NEW_WHALE else record.identity
            day = record.date if len(record.date) == 10 and identity else ""
            key = record.encounter or day or record.path or index
            encounters.setdefault((identity, key), []).append(index)
    of_identity: dict[str, list[list[int]]] = {}
    once: list[_Group] = []
    for (identity, _), indices in encounters.items():
        if identity:
            of_identity.setdefault(identity, []).append(indices)
        else:
            once.append(_Group([indices], []))
    several = [_Group(found, []) for found in of_identity.values() if len(found) > 1]
    once += [_Group(found, []) for found in of_identity.values() if len(found) == 1]
    return several, once


def _draw(groups: Sequence[_Group], wanted: float, rng: np.random.Generator, leave: int) -> None:
    """Draw encounters until their photos are about `wanted`; `leave` encounters of each group stay.

    That encounter comes first which leaves the smallest share of its group drawn, at random among equals.
    """
    drawn = sum(group.size_drawn() for group in groups)
    heap = []
    for number, group in enumerate(groups):
        for place in sorted({*range(len(group.encounters))} - {*group.drawn}):
            heap.append((_share_with(group, place), float(rng.random()), number, place))
    heapq.heapify(heap)
    while heap:
        share, chance, number, place = heapq.heappop(heap)
        group = groups[number]
        size = len(group.encounters[place])
        # It must bring the number nearer, and the number only grows.
        if size > 2 * (wanted - drawn) or len(group.drawn) >= len(group.encounters) - leave:
            continue
        now = _share_with(group, place)
        if now > share:  # others of its group were drawn meanwhile
            heapq.heappush(heap, (now, chance, number, place))
            continue
        group.drawn.append(place)
        drawn += size


def _share_with(group: _Group, place: int) -> float:
    return (group.size_drawn() + len(group.encounters[place])) / group.size


def draw_playground(
    records: Sequence[Record], share: float, rng: np.random.Generator
) -> list[Record]:
    """Give the playground a share of the identities that have several train photos and no test photo.

    share: of these identities, rounded at random.
    """
    taken = {"", NEW_WHALE} | {record.identity for record in records if record.split == TEST}
    counts: dict[str, int] = {}
    for record in records:
        if record.split in ("", TRAIN):
            counts[record.identity] = counts.get(record.identity, 0) + 1
    free = [name for name, count in counts.items() if count > 1 and name not in taken]
    count = int(share * len(free) + rng.random())
    drawn = {free[index] for index in rng.permutation(len(free))[:count]}
    return [
        replace(r, split=PLAYGROUND) if r.split in ("", TRAIN) and r.identity in drawn else r
        for r in records
    ]
