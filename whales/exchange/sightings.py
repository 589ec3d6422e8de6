"""Who is on each photo: labels, people's decisions and the nets' answers, photos from elsewhere included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.pickles import load
from whales.files.boxes import Box, checked_boxes, whole_pixels
from whales.files.changes import deciders, present_names, stems_of_contents
from whales.files.dataset import test_photos, training_identities
from whales.files.decided_photos import DecidedPhotos, Settled, settled_photos
from whales.files.decisions import DecisionLog
from whales.files.import_table import (
    PLAYGROUND,
    TEST,
    TRAIN,
    UNMATCHED,
    carried,
    imported,
    known_names,
)
from whales.files.labels import NEW_WHALE, stem, with_jpg
from whales.files.marks import MarkLog
from whales.files.submissions import read_known_answers, renamed_answers
from whales.files.workspace import Workspace, require
from whales.photos.camera_notes import noted
from whales.photos.photo_details import DETAIL_DATE, details_of
from whales.scores.drawn_boxes import BoxLog
from whales.scores.query_results import Results, ReviewQuery, results_of_table

LABEL, DECISION, ANSWER = "label", "decision", "answer"  # values of `source`
ELSEWHERE = "elsewhere"  # the split of a photo that is not in the work root


@dataclass(frozen=True)
class Sighting:
    """One photo and the individual on it.

    image: file name in the work root; photo: name in the data it was imported from (without
    `data/import.csv`, the path below `data/`; of a photo from elsewhere, its path); individual: its name
    there, `unmatched` if none of the known; source: label, decision or answer; split: train, test,
    playground or elsewhere; date: ISO or ""; box: (x1, y1, x2, y2) in pixels, or None; answers: ranked, best
    first, none for a labelled photo; decided_by: the people who decided, "" where nobody is known; details:
    the carried columns; file: where a photo from elsewhere lies, None for one of the work root; asked:
    whether it was among the queries.
    """

    image: str
    photo: str
    individual: str
    source: str
    split: str
    date: str = ""
    box: tuple[int, int, int, int] | None = None
    answers: tuple[str, ...] = ()
    decided_by: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    asked: bool = False

    def path(self, workspace: Workspace) -> Path:
        """The photo's file; `UserError` where the work root has none of the name."""
        return self.file or workspace.photo(stem(self.image))


def read_sightings(
    workspace: Workspace,
    answers: Path | None = None,
    decisions: Path | None = None,
    results: Sequence[Path] = (),
    details: Path | None = None,
) -> list[Sighting]:
    """Sightings of all labelled photos, then of the queries, each in file order.

    answers: a submission (default: the ensemble's); decisions: a table `DECISION_COLUMNS` (default:
    the work root's, if it is there); results: tables of tools/identify.py, whose photos are then the
    queries, in place of the test photos; details: a table of them with a column `photo`, and date or any
    others. A decision wins over the first answer; without a submission there
    are only the decided photos. Raises `UserError` naming file and row.
    """
    path = require(workspace, decisions) if decisions else workspace.file("decisions")
    if details and not results:
        raise UserError("--details are of photos from elsewhere; name their tables with --results")
    if results and answers:
        raise UserError("--answers are of the test photos; leave it out with --results")
    if not results and (answers is not None or not path.exists()):
        require(workspace, answers or workspace.file("submission"))
    labels = training_identities(workspace)
    names = _Names(workspace, labels)
    if results:
        tables = [results_of_table(workspace, table) for table in results]
        asked = _asked_elsewhere(names, path, tables, details)
    else:
        asked = _asked_tests(names, path, answers)
    workspace.digests.remember()
    shown = {s.image for s in asked if s.file is None}
    known = [names.labelled(name, who, TRAIN) for name, who in labels.items()]
    # Identities lent to the playground are individuals all the same.
    known += [
        names.labelled(name, row["Id"], PLAYGROUND)
        for name, row in names.rows.items()
        if row["split"] == PLAYGROUND
    ]
    return [s for s in known if s.image not in shown] + asked


class _Names:
    """What the work root knows of its photos and individuals besides their labels."""

    def __init__(self, workspace: Workspace, labels: dict[str, str]) -> None:
        self.workspace, self.labels = workspace, labels
        self.rows, self.details = imported(workspace), carried(workspace)
        self.individuals = {
            row["Id"]: row["identity"] for row in self.rows.values() if row["identity"]
        }
        self.individuals |= {NEW_WHALE: UNMATCHED}
        if UNMATCHED in labels.values() or UNMATCHED in self.individuals:
            raise UserError(
                f"an identity is called {UNMATCHED}, which means none; give it another name"
            )
        self.deciders, self.present = deciders(workspace), present_names(workspace)
        self.of_known = known_names(workspace, labels.values())
        self.boxes = _boxes(workspace)

    def individual(self, identity: str) -> str:
        """An identity as people wrote it."""
        return self.individuals.get(identity, identity)

    def sighting(self, name: str, identity: str, source: str, split: str) -> Sighting:
        """A photo (stem) of the work root."""
        row = self.rows.get(name, {})
        photo = row.get("original") or f"{split}/{with_jpg(name)}"
        box = whole_pixels(self.boxes[name]) if name in self.boxes else None
        return Sighting(
            with_jpg(name),
            photo,
            self.individual(identity),
            source,
            split,
            row.get("date", ""),
            box,
            details=self.details.get(name, {}),
        )

    def labelled(self, name: str, identity: str, split: str, asked: bool = False) -> Sighting:
        """A labelled photo (stem), and who decided on it, if it came into the catalogue by a decision."""
        sighting = self.sighting(name, identity, LABEL, split)
        return replace(sighting, decided_by=self.deciders.get(name, ""), asked=asked)


def _asked_tests(names: _Names, decisions: Path, answers: Path | None) -> list[Sighting]:
    """The test photos that have a decision or an answer."""
    workspace = names.workspace
    answers = answers or workspace.file("submission")
    tests = test_photos(workspace)
    if answers.exists():
        read = read_known_answers(answers, {*names.labels.values(), *names.present})
        asked = {name: best for name, best in read.items() if name not in names.labels}
        ranked = renamed_answers(asked, names.present)
        if len(ranked) < len(read):
            taken = len(read) - len(ranked)
            log(f"{answers}: {taken} of its photos are in the catalogue now; their label counts")
    else:
        log(f"{answers} is not there: of the test photos only those that people decided on")
        ranked = {name: [] for name in tests}
    decided: dict[str, Settled] = {}
    if decisions.exists():
        decided = settled_queries(
            decisions, ranked, names.labels, workspace, names.present, names.of_known
        )
    marks, found = MarkLog.beside(decisions).standing(), []
    drawn = BoxLog.beside(decisions).standing(names.labels)
    for name, best in ranked.items():
        if name not in decided and not best:
            continue
        settled = decided.get(name)
        source = DECISION if settled else ANSWER
        identity = settled.identity if settled else best[0]
        content = workspace.digests.of(workspace.test_photo(name)) if marks or drawn else ""
        sighting = _marked(names.sighting(name, identity, source, TEST), marks.get(content, {}))
        if content in drawn:
            sighting = replace(sighting, box=whole_pixels(drawn[content].box))
        found.append(
            replace(
                sighting,
                answers=tuple(map(names.individual, best)),
                decided_by=settled.decided_by if settled else "",
                asked=True,
            )
        )
    return found


def _asked_elsewhere(
    names: _Names, decisions: Path, results: Sequence[Results], details: Path | None
) -> list[Sighting]:
    """The photos of tables of results, each fluke once; those in the catalogue by now with their label."""
    digest = names.workspace.digests.of
    drawn = BoxLog.beside(decisions).standing(names.labels)
    asked: dict[tuple[str, str], tuple[ReviewQuery, list[str]]] = {}
    for result in results:
        result.draw(drawn, digest)
        for query, candidates in zip(result.queries, result.candidates("results"), strict=True):
            ranked = [candidate.identity for candidate in candidates]
            asked.setdefault((query.name, query.content(digest)), (query, ranked))
    paths = [query.path for query, _ in asked.values()]
    said = details_of(details, paths) if details else {}
    in_catalogue = stems_of_contents(names.workspace)
    labelled: list[Sighting] = []
    for (name, content), (query, _) in list(asked.items()):
        # Of a photo with several flukes the root's label is of the first.
        own = query.in_root.stem if query.in_root and query.fluke == "1" else ""
        there = in_catalogue.get(content) or own
        if there in names.labels:
            label = names.labelled(there, names.labels[there], TRAIN, asked=True)
            labelled.append(_told(label, said.get(query.path, {})))
            del asked[name, content]
    contents = [content for _, content in asked]
    queries = [query for query, _ in asked.values()]
    photos = DecidedPhotos(
        [query.name for query in queries],
        contents.__getitem__,
        lambda name: digest(names.workspace.train_photo(name)),
    )
    settled: dict[int, Settled] = {}
    if decisions.exists():
        shown = [query.name for query in queries]
        settled = settled_photos(
            decisions, photos, shown, names.labels, names.present, names.of_known
        )
    marks = MarkLog.beside(decisions).standing()
    return labelled + [
        _marked(
            _queried(names, query, ranked, settled.get(index), said.get(query.path, {})),
            marks.get(contents[index], {}),
        )
        for index, (query, ranked) in enumerate(asked.values())
        if index in settled or ranked
    ]


def _marked(sighting: Sighting, marks: Mapping[str, str]) -> Sighting:
    """A sighting with how good its photo and how distinctive its animal was found."""
    return replace(sighting, details={**sighting.details, **marks}) if marks else sighting


def _told(sighting: Sighting, said: Mapping[str, str]) -> Sighting:
    """A sighting with what a table of details says of its photo, where that is not blank."""
    more = {column: text for column, text in said.items() if text}
    date = more.pop(DETAIL_DATE, sighting.date)
    return replace(sighting, date=date, details={**sighting.details, **more})


def _queried(
    names: _Names,
    query: ReviewQuery,
    ranked: Sequence[str],
    settled: Settled | None,
    said: Mapping[str, str],
) -> Sighting:
    """A photo of a table of results that is not in the catalogue."""
    identity = settled.identity if settled else ranked[0]
    source = DECISION if settled else ANSWER
    shown = {
        "answers": tuple(map(names.individual, ranked)),
        "decided_by": settled.decided_by if settled else "",
        "asked": True,
    }
    box = whole_pixels(query.box) if query.box else None
    if query.in_root:
        sighting = names.sighting(query.in_root.stem, identity, source, TEST)
        # The root's box is that of the first fluke, as it was found.
        if query.drawn_by:
            sighting = replace(sighting, box=box)
        if query.fluke != "1":
            sighting = replace(sighting, image=query.name, box=box, file=query.in_root)
        return replace(_told(sighting, said), **shown)
    individual = names.individual(identity)
    sighting = Sighting(query.name, str(query.path), individual, source, ELSEWHERE, box=box)
    sighting = _told(_told(sighting, noted(query.path)), said)
    return replace(sighting, file=query.path, **shown)


def read_decisions(
    path: Path | str,
    queries: Mapping[str, object],
    labels: Mapping[str, str],
    workspace: Workspace | None = None,
) -> dict[str, str]:
    """Query (stem) -> identity, name of a new one, or `new_whale` that people settled on.

    As `settled_queries`, without who decided.
    """
    settled = settled_queries(path, queries, labels, workspace)
    return {name: verdict.identity for name, verdict in settled.items()}


def settled_queries(
    path: Path | str,
    queries: Mapping[str, object],
    labels: Mapping[str, str],
    workspace: Workspace | None = None,
    present: Mapping[str, str] = MappingProxyType({}),
    written: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Settled]:
    """Query (stem) -> what people settled on.

    Left out are queries whose last decision is a skip, those on which people differ, and decisions on
    photos of other content, even of the same name (the log names both). queries: test photos, keyed by
    stem; labels: stem -> identity of the training photos; workspace: where the photos are (None: only
    decisions that know no content are taken); present: identity of former tables -> as it is called now;
    written: what people call known individuals -> identity. Raises `UserError` naming the line.
    """
    listed = {*queries, *labels}
    for row in DecisionLog(path).rows():
        if stem(row.query) not in listed and not row.query_content:
            raise UserError(
                f"{path}, line {row.line}: query {row.query} is no test photo of this work root; "
                "name the table that it was identified in with --results, or take the row out"
            )
    names = list(queries)
    photos = _decided_photos(names, workspace)
    settled = settled_photos(path, photos, names, labels, present, written)
    return {names[index]: verdict for index, verdict in settled.items()}


def _decided_photos(names: Sequence[str], workspace: Workspace | None) -> DecidedPhotos:
    """The test photos (stems) of a work root, as decisions name them."""
    if workspace is None:
        return DecidedPhotos(names)
    digest: Callable[[Path], str] = workspace.digests.of
    return DecidedPhotos(
        names,
        lambda index: digest(workspace.test_photo(names[index])),
        lambda name: digest(workspace.train_photo(name)),
    )


def _boxes(workspace: Workspace) -> dict[str, Box]:
    """Stem -> box: the final boxes, else the first ones; none where there is no file of either."""
    pairs = (
        ("boxes_averaged_playground", "boxes_playground_v2"), ("boxes_averaged", "boxes_v5")
    )  # fmt: skip
    boxes: dict[str, Box] = {}
    for keys in pairs:
        present = [path for path in map(workspace.file, keys) if path.exists()]
        boxes |= checked_boxes(load(present[0]), present[0]) if present else {}
    return boxes
