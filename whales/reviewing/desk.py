"""What the review page shows, and what becomes of what people decide there; HTTP is in `review_app`."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from flask import abort, url_for

from whales.base.errors import UserError
from whales.base.folders import look
from whales.files.changes import present_names
from whales.files.decisions import (
    HELD_BACK,
    NEW,
    SAME,
    SKIP,
    UNDO,
    UNSURE,
    Decision,
    DecisionLog,
    checked_name,
    last_of_each,
    now,
    now_together,
)
from whales.files.labels import stem, with_jpg
from whales.files.marks import VALUES, MarkLog
from whales.files.workspace import Workspace
from whales.reviewing.album import Album
from whales.reviewing.drawing import AskNets, Drawing, no_nets
from whales.reviewing.joining import NamePattern, given_names, join
from whales.reviewing.limits import Limits
from whales.reviewing.query_notes import QueryNotes
from whales.reviewing.review_views import VIEWS
from whales.scores.best_photos import Candidate
from whales.scores.drawn_boxes import BoxLog
from whales.scores.query_pairs import clusters
from whales.scores.query_results import SHOWN, Results, decided_photos

CONFLICT = "conflict"
NO_LIMITS = Limits()
_PATIENCE = 0.2  # seconds that a page waits for photos to be compared


class Filter(NamedTuple):
    """Which queries are listed.

    net: whose candidates count; low, high: of the best candidate's value, included; identity: part of
    a candidate's name, in any case.
    """

    net: str
    low: float | None = None
    high: float | None = None
    identity: str = ""
    undecided: bool = False


class Desk:
    """The queries under review, and what people have decided so far; its dicts are the page's JSON."""

    def __init__(
        self,
        workspace: Workspace,
        results: Results,
        decisions: DecisionLog,
        pattern: NamePattern = NamePattern(),  # noqa: B008 - frozen
        details: Path | None = None,
        ask_nets: AskNets = no_nets,
    ) -> None:
        """pattern: of new individuals' names that nobody gave; details: a table of photos from elsewhere;
        ask_nets: looks into boxes that people draw.

        `UserError` as `details_of`, and for a broken table of boxes.
        """
        self.workspace, self.results, self.decisions = workspace, results, decisions
        self._decided = decided_photos(workspace, results)
        self._album, self._present = Album(workspace, results.labels), present_names(workspace)
        self._notes = QueryNotes(workspace, results, self._album, details)
        self._pattern, self.marks = pattern, MarkLog.beside(decisions.path)
        self.boxes = Drawing(workspace, results, BoxLog.beside(decisions.path), ask_nets)
        self.boxes.refresh()
        self._contents: dict[Path, str] = {}  # of the files as people first saw them
        # In the photos' addresses: a browser keeps photos, and number 3 is another one next time.
        self._run = secrets.token_hex(4)

    def index_of(self, number: object) -> int:
        """Index of a query from its number, which counts from 1; 404 for another."""
        # True and False are whole numbers too.
        if (
            isinstance(number, int)
            and number is not True
            and 1 <= number <= len(self.results.queries)
        ):
            return number - 1
        abort(404, f"there is no photo number {number}")

    def sides(self) -> list[str]:
        """The sides that photos of the root show."""
        return self._album.sides.names

    def listed(self, wanted: Filter) -> dict[str, object]:
        """Number and state of the queries that pass a filter, and how many there are and are decided."""
        stacks = self._stacks()
        decided = {index for index, stack in stacks.items() if not _waits(stack)}
        ranked = self.results.candidates(wanted.net)
        chosen = [
            {"number": index + 1, "state": self._state(stacks.get(index, []))}
            for index, candidates in enumerate(ranked)
            if _passes(wanted, candidates, index in decided, self._album.name)
        ]
        return {"queries": chosen, "total": len(ranked), "decided": len(decided)}

    def query_view(self, index: int, net: str, limits: Limits = NO_LIMITS) -> dict[str, object]:
        """All that the page shows of one query; limits: of its candidates."""
        query = self.results.queries[index]
        stacks, mates = self._stacks(), self._notes.of_one_encounter(index)
        stack = stacks.get(index, [])
        ranked = self.results.ranked(net)[index]
        passing = [(one, limits.unknown(self._album.known(one.identity))) for one in ranked]
        limited = [(one, unknown) for one, unknown in passing if unknown is not None]
        candidates = [one for one, _ in limited[:SHOWN]]
        with contextlib.suppress(UserError):  # the page says what cannot be read
            query.content(self._seen)
            for candidate in candidates:
                self._seen(self.workspace.train_photo(candidate.photo or ""))
        return {
            "number": index + 1,
            "name": query.name,
            "new": query.new,
            "state": self._state(stack),
            "decided": [
                {
                    "who": person,
                    "decision": row.decision,
                    "identity": self._album.name(self._identity(row)),
                }
                for person, row in last_of_each(stack).items()
            ],
            "views": self._query_views(index),
            "drawn": self._drawn(index),
            "candidates": [
                {
                    "photo": with_jpg(candidate.photo),
                    "identity": self._album.name(candidate.identity),
                    "score": candidate.score,
                    "probability": candidate.probability,
                    "unknown": unknown,
                    "views": self._views("known_photo", name=candidate.photo),
                }
                for candidate, unknown in limited[:SHOWN]
            ],
            "left_out": len(ranked) - len(limited),
            "among": self._among(index, stacks, mates),
            "marks": self._marks(index),
            "note": self._note(index),
            "together": [
                self._mate(i)
                for i in mates
                if _waits(stacks.get(i, [])) and self.results.queries[i].path != query.path
            ],
        }

    def _note(self, index: int) -> str:
        """Why there are no new photos like a query, or what they rest on, for people."""
        note = self.results.pairs.note(_PATIENCE)
        drawn = index in self.results.drawn and not note
        return "New photos were compared with the box that was detected." if drawn else note

    def _among(
        self, index: int, stacks: Mapping[int, Sequence[Decision]], mates: Sequence[int]
    ) -> list[dict[str, object]]:
        """The other photos under review that may show the same new individual; of one encounter first."""
        path = self.results.queries[index].path
        others = [
            one
            for one in self.results.pairs.of(index, _PATIENCE)
            if self._may_be_new(stacks.get(one.index, []))
            and self.results.queries[one.index].path != path
        ]
        return [
            {
                **self._mate(one.index),
                "score": one.score,
                "probability": one.probability,
                "encounter": one.index in mates,
                "identity": ", ".join(given_names(stacks.get(one.index, []))),
            }
            for one in sorted(others, key=lambda one: one.index not in mates)
        ]

    def _mate(self, index: int) -> dict[str, object]:
        """What the page shows of another query."""
        return {
            "number": index + 1,
            "name": self.results.queries[index].name,
            "views": self._query_views(index),
        }

    def _drawn(self, index: int) -> dict[str, str] | None:
        """Who drew a query's box, and what its candidates rest on; None for the box that was detected."""
        drawn = self.results.drawn.get(index)
        return drawn and {
            "who": drawn.who,
            "nets": drawn.answer.basis.nets,
            "warning": drawn.answer.basis.warning,
        }

    @staticmethod
    def _may_be_new(stack: Sequence[Decision]) -> bool:
        """Whether nobody said that a photo shows a known individual, or that it cannot be told."""
        said = {row.decision for row in last_of_each(stack).values()}
        return SAME not in said and (not stack or stack[-1].decision != UNSURE)

    def clusters(self, net: str, least: float) -> dict[str, object]:
        """Groups of photos that may show one new individual each, and are not joined yet.

        least: the probability or score from which two photos are linked; an undecided photo whose best known
        individual has so much is taken for that one, and is in no group.
        """
        stacks, best = self._stacks(), self.results.candidates(net)
        names = {index: given_names(stack) for index, stack in stacks.items()}
        new = {
            index
            for index, candidates in enumerate(best)
            if self._may_be_new(stacks.get(index, []))
            and (names.get(index) or not candidates or candidates[0].value < least)
        }
        pairs = self.results.pairs
        links = [
            (index, one.index)
            for index in sorted(new)
            for one in pairs.of(index, _PATIENCE)
            if one.index in new and one.value >= least
        ]
        joined: dict[str, list[int]] = {}
        for index in sorted(new):
            for name in names.get(index, []):
                joined.setdefault(look(name), []).append(index)
        groups = clusters(links, joined.values())
        open_ones = [
            g
            for g in groups
            if len({tuple(names.get(i, [])) for i in g}) > 1 or not names.get(g[0])
        ]
        return {
            "groups": [[self._grouped(i, best[i], names.get(i, [])) for i in g] for g in open_ones],
            "note": pairs.note(_PATIENCE),
        }

    def _grouped(
        self, index: int, candidates: Sequence[Candidate], names: Sequence[str]
    ) -> dict[str, object]:
        best = candidates[0] if candidates else None
        return {
            **self._mate(index),
            "identity": ", ".join(names),
            "best": best and {"identity": self._album.name(best.identity), "value": best.value},
        }

    def decide(self, posted: Mapping[str, object]) -> dict[str, object]:
        """Keep what a person decided.

        posted: number, decision, who; `with`: numbers of other photos that are decided alike, in one act; for
        `same` the candidate's photo and net; instead of a decision an identity, of a known individual or a
        new one's name, or `like`, the number of another photo of the same new individual. Photos decided
        together as new are of one individual, which gets a name. `UserError` for a decision or candidate that
        there is not, and for photos that cannot be of one new individual.
        """
        numbers = [posted.get("number"), *_listed(posted.get("with", []))]
        shown, *others = dict.fromkeys(self.index_of(number) for number in numbers)
        person, decision = checked_name(str(posted.get("who", ""))), posted.get("decision")
        candidate, scores = "", {}
        if posted.get("identity"):
            decision, candidate = self._album.meant(str(posted["identity"]))
        elif posted.get("like") is not None:
            decision = NEW
            others = list(dict.fromkeys([*others, self.index_of(posted["like"])]))
        elif decision not in (SAME, NEW, UNSURE, SKIP):
            raise UserError(f"a decision is {SAME}, {NEW}, {UNSURE} or {SKIP}; received {decision}")
        elif decision == SAME:
            net, candidate = str(posted.get("net", "")), str(posted.get("photo", ""))
            self._candidate(shown, net, candidate)
            scores = {i: self._score(i, net, candidate) for i in (shown, *others)}
        if decision == SAME:
            self._require_different_photos([shown, *others], "decide on each by itself")
        photo_content = self._seen(self.workspace.train_photo(stem(candidate))) if scores else ""
        named = candidate

        def plan(rows: list[Decision]) -> list[Decision]:
            nonlocal named, decision
            indices = [shown, *others]
            if decision == NEW and (others or posted.get("like") is not None):
                named, indices = self._joined(rows, indices, candidate)
                if self._album.knows(named):  # it was taken into the catalogue since
                    decision, named = self._album.meant(named)
            when = now() if len(indices) == 1 else now_together()
            return [
                Decision(
                    person, when, self.results.queries[i].name, str(decision), named, scores.get(i, ""),
                    self.results.queries[i].content(self._seen), photo_content,
                )
                for i in indices
            ]  # fmt: skip

        kept = self.decisions.extend(plan)
        stack = self._stacks().get(shown, [])
        decided = [index + 1 for index in map(self._decided.index_of, kept) if index is not None]
        return {
            "number": shown + 1,
            "state": self._state(stack),
            "numbers": decided,
            "name": named if decision == NEW else "",
        }

    def _require_different_photos(self, indices: Sequence[int], advice: str) -> None:
        """`UserError` where two queries are flukes of one photo, or one is there twice."""
        if len({self.results.queries[i].path for i in indices}) < len(indices):
            raise UserError(f"two flukes of one photo are of two animals; {advice}")

    def _joined(
        self, rows: Sequence[Decision], photos: Sequence[int], given: str
    ) -> tuple[str, list[int]]:
        """As `join`, by the table's rows as they are now; `UserError` for photos of other animals."""
        stacks = self._decided.verdicts(rows).of_photo
        self._require_different_photos(photos, "choose another photo")
        for index in photos[1:]:  # the first is the one on the page, which may be decided anew
            said = [r for r in last_of_each(stacks.get(index, [])).values() if r.decision == SAME]
            if said:
                raise UserError(
                    f"photo {index + 1} is decided as {self._album.name(self._identity(said[0]))} by "
                    f"{said[0].who}; decide for that one, or undo it first"
                )
        taken = self._album.taken() | {row.candidate for row in rows if row.decision == NEW}
        name, indices = join(photos, stacks, taken, self._pattern, given)
        if not indices:
            raise UserError(f"these photos are of one new individual already, {name}")
        return name, indices

    def mark(self, posted: Mapping[str, object]) -> dict[str, object]:
        """Keep how good a photo is or how distinctive its animal.

        posted: number, who, kind and value, of `VALUES`, "" to take it away. `UserError` for another.
        """
        index = self.index_of(posted.get("number"))
        person, kind, value = (str(posted.get(name, "")) for name in ("who", "kind", "value"))
        if kind not in VALUES or value not in ("", *VALUES[kind]):
            known = ", ".join(value for values in VALUES.values() for value in values)
            raise UserError(f"a mark is one of {known}; received {kind} {value}")
        query = self.results.queries[index]
        content = query.content(self._seen)
        row = Decision(checked_name(person), now(), query.name, kind, value, query_content=content)
        self.marks.append(row)
        return {"number": index + 1, "marks": self._marks(index)}

    def draw(self, posted: Mapping[str, object]) -> dict[str, object]:
        """Look into a box that a person drew, and keep it, as `Drawing.ask`.

        posted: number, who, and box, x1, y1, x2, y2 in pixels, null for the detected one.
        """
        index = self.index_of(posted.get("number"))
        content = self.results.queries[index].content(self._seen)
        return self.boxes.ask(index, str(posted.get("who", "")), posted.get("box", ()), content)

    def _marks(self, index: int) -> dict[str, str]:
        marks = self.marks.standing()
        try:
            return marks.get(self.results.queries[index].content(self._seen), {}) if marks else {}
        except UserError:  # the page says that the photo cannot be read
            return {}

    def known_and_new_names(self) -> dict[str, list[str]]:
        """What people call the known individuals, and the new ones that standing decisions name."""
        known = self._album.all_names()
        rows = [row for stack in self._stacks().values() for row in last_of_each(stack).values()]
        given = {row.candidate for row in rows if row.decision == NEW and row.candidate}
        return {"known": known, "new": sorted(given - {*known}, key=str.casefold)}

    def photos_of(self, identity: str) -> dict[str, object]:
        """All known photos of an individual, and what their source said of them; `UserError` for nobody's."""
        return {
            "identity": identity,
            "photos": [
                {
                    "photo": with_jpg(photo.name),
                    "details": photo.details,
                    "views": self._views("known_photo", name=photo.name),
                }
                for photo in self._album.photos(identity)
            ],
        }

    def undo(self, person: str) -> dict[str, object]:
        """Take back a person's last act on what is under review, a drawn box too; `UserError` for none."""
        who, index_of, boxes = checked_name(person), self._decided.index_of, self.boxes.log
        # Of one second the decision is the later: the nets have to answer before a box is kept.
        drawn = boxes.last_time(who, index_of) > self.decisions.last_time(who, index_of)
        rows = (boxes if drawn else self.decisions).undo(who, index_of)
        self.boxes.refresh()
        numbers = [(index_of(row) or 0) + 1 for row in rows]
        what = {"what": "the drawn box"} if drawn else {}
        return {"number": numbers[0], "numbers": numbers, "decision": UNDO, **what}

    def _seen(self, path: Path) -> str:
        """Digest of a photo, which must stay what people saw; `UserError` where it has changed."""
        content = self.workspace.digests.of(path)
        if self._contents.setdefault(path, content) != content:
            raise UserError(f"{path} has changed since it was shown; start the program again")
        return content

    def _stacks(self) -> dict[int, list[Decision]]:
        """Index of a query -> its standing decisions, from the table as it is now."""
        return self._decided.verdicts(self.decisions.rows()).of_photo

    def _query_views(self, index: int) -> dict[str, str]:
        """Addresses of a query's views, others for each box that is drawn on it."""
        drawn = self.results.drawn.get(index)
        more = {"box": ",".join(f"{value:g}" for value in drawn.box)} if drawn else {}
        return self._views("query_photo", number=index + 1, **more)

    def _views(self, endpoint: str, **key: int | str | None) -> dict[str, str]:
        """Addresses of a photo's views, and of where its fluke lies in them; `key`: which photo."""
        views = {view: url_for(endpoint, view=view, run=self._run, **key) for view in VIEWS}
        return views | {"outline": url_for(f"{endpoint}_outline", **key)}

    def _identity(self, row: Decision) -> str:
        """Whom a decision names, as called now; "" for nobody. A candidate may be a photo of an identity."""
        who = self.results.labels.get(stem(row.candidate), row.candidate)
        return self._present.get(who, who)

    def _state(self, stack: Sequence[Decision]) -> str:
        """The last decision on a query, `conflict` where people differ, "" for none."""
        last = last_of_each(stack).values()
        words = {
            (row.decision, self._identity(row)) for row in last if row.decision not in HELD_BACK
        }
        if len(given_names(stack)) == 1:  # who gives no name to a new one agrees with who does
            words.discard((NEW, ""))
        return CONFLICT if len(words) > 1 else stack[-1].decision if stack else ""

    def _candidate(self, index: int, net: str, photo: str) -> Candidate:
        for candidate in self.results.ranked(net)[index]:
            if with_jpg(candidate.photo) == photo:
                return candidate
        raise UserError(f"photo {photo} is no candidate of this one; reload the page")

    def _score(self, index: int, net: str, photo: str) -> str:
        """The score of a candidate as the table has it; "" where it is none of a photo's candidates."""
        found = [c.score for c in self.results.ranked(net)[index] if with_jpg(c.photo) == photo]
        return "" if not found or found[0] is None else f"{found[0]:.6f}"


def _waits(stack: Sequence[Decision]) -> bool:
    """Whether a photo is undecided, as a skipped one is; one that nobody can tell is done with."""
    return not stack or stack[-1].decision == SKIP


def _passes(
    wanted: Filter, candidates: Sequence[Candidate], decided: bool, name: Callable[[str], str]
) -> bool:
    if wanted.undecided and decided:
        return False
    value = candidates[0].value if candidates else 0.0
    if wanted.low is not None and value < wanted.low:
        return False
    if wanted.high is not None and value > wanted.high:
        return False
    text = wanted.identity.casefold()
    identities = [candidate.identity for candidate in candidates]
    return not text or any(text in f"{who}\n{name(who)}".casefold() for who in identities)


def _listed(numbers: object) -> list[object]:
    if not isinstance(numbers, list):
        raise UserError(f"with is a list of numbers; received {numbers}")
    return numbers
