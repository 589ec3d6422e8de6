"""Photos that people decided on, taken into the catalogue: files, boxes, dates, columns and names."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import unique_names
from whales.files.boxes import Box
from whales.files.changes import (
    ADD,
    Change,
    next_number,
    present_names,
    read_changes,
    stems_of_contents,
)
from whales.files.dataset import PHOTO_TABLES, load_boxes, test_photos, training_identities
from whales.files.decided_photos import DecidedPhotos, Settled, settled_photos
from whales.files.decisions import DecisionLog, now
from whales.files.import_table import IMPORT_COLUMNS, TRAIN, UNMATCHED, imported, known_names
from whales.files.labels import NEW_WHALE, read_submission_names, stem, with_jpg
from whales.files.marks import NO_MARKS
from whales.files.sides import column_of
from whales.files.workspace import Workspace, require
from whales.photos.camera_notes import noted
from whales.photos.photo_details import DETAIL_DATE, details_of
from whales.photos.photos import photo_header
from whales.photos.upright import copy_upright
from whales.reviewing.catalogue_edits import Relabelled
from whales.reviewing.relabelling import safe_identities, spoken_names, taken_identities
from whales.scores.drawn_boxes import BoxLog
from whales.scores.query_results import ReviewQuery, drawn_box, results_of_table, with_box


@dataclass(frozen=True)
class Addition:
    """A photo that becomes known.

    query: as it was decided on; name: its stem in the work root; identity: of train.csv; written: the
    individual as people wrote it; new: whether it was not known before; box: pixels of the photo as it will
    lie in the root; moved: whether it is a test photo of the root, which leaves the test photos.
    """

    query: ReviewQuery
    content: str
    name: str
    identity: str
    written: str
    new: bool
    decided_by: str
    box: Box
    moved: bool


def additions(
    workspace: Workspace, decisions: Path, results: Sequence[Path] = ()
) -> list[Addition]:
    """The photos that people settled on and that the catalogue does not have, in the order of the queries.

    decisions: the table of decisions; results: tables of tools/identify.py, for photos that are no test
    photos of the root. `UserError` where a photo or a table is missing, naming it, or the line of a decision.
    """
    require(workspace, decisions)
    labels = training_identities(workspace)
    queries = _without_known(workspace, labels, _queries(workspace, results))
    digest = workspace.digests.of
    drawn = BoxLog.beside(decisions).standing(labels)
    queries = [with_box(query, drawn_box(query, drawn, digest)) for query in queries]
    contents = [partial(query.content, digest) for query in queries]
    photos = DecidedPhotos(
        [query.name for query in queries],
        lambda index: contents[index](),
        lambda name: digest(workspace.train_photo(name)),
    )
    shown, present = [query.name for query in queries], present_names(workspace)
    written = known_names(workspace, labels.values())
    settled = settled_photos(decisions, photos, shown, labels, present, written)
    workspace.digests.remember()
    spoken = spoken_names(DecisionLog(decisions).rows())
    return list(_named(workspace, labels, queries, settled, spoken))


def _queries(workspace: Workspace, results: Sequence[Path]) -> list[ReviewQuery]:
    """The root's test photos and those of the tables, each fluke of a content once."""
    boxes = load_boxes(workspace)
    tests = test_photos(workspace)
    found = [
        ReviewQuery(with_jpg(n), p := workspace.test_photo(n), boxes.get(n), in_root=p)
        for n in tests
    ]
    seen = {query.name for query in found}
    digest = workspace.digests.of
    contents: set[tuple[str, str]] = set()
    for path in results:
        for query in results_of_table(workspace, path).queries:
            key = query.name, query.content(digest)
            is_test = query.in_root and query.fluke == "1" and query.name in seen
            if not is_test and key not in contents:
                contents.add(key)
                found.append(query)
    return found


def _without_known(
    workspace: Workspace, labels: Mapping[str, str], queries: Sequence[ReviewQuery]
) -> list[ReviewQuery]:
    """The queries whose photo is not one of the catalogue's files already."""
    files = {name: workspace.train_photo(name) for name in labels}
    there = {content for content in workspace.digests.of_photos(files).values() if content}
    there |= {*stems_of_contents(workspace)}
    tests = {query.path for query in queries if query.in_root == query.path}
    # Of a test photo the name is proof enough: no photo is in two tables.
    fresh = [q for q in queries if q.path in tests or q.content(workspace.digests.of) not in there]
    if len(fresh) < len(queries):
        log(f"{len(queries) - len(fresh)} photos of the tables are in the catalogue already")
    return fresh


def _named(
    workspace: Workspace,
    labels: Mapping[str, str],
    queries: Sequence[ReviewQuery],
    settled: Mapping[int, Settled],
    spoken: Collection[str],
) -> Iterator[Addition]:
    """Additions with names of their own among the photos and identities of the root."""
    known = {*labels.values()} - {NEW_WHALE}
    written = {
        row["Id"]: row["identity"] for row in imported(workspace).values() if row["identity"]
    }
    taken = {*taken_identities(workspace), UNMATCHED, NEW_WHALE}
    words = [verdict.identity for verdict in settled.values()]
    identities = safe_identities(words, known, taken, spoken)
    stems = _stems(workspace)
    boxes = load_boxes(workspace)
    for (index, verdict), who in zip(settled.items(), identities, strict=True):
        query, new = queries[index], who not in known
        name = who if verdict.identity == NEW_WHALE else verdict.identity
        moved = _is_test_photo(workspace, query)
        stem_there = stem(query.name)
        if not moved:
            [stem_there] = unique_names([stem(query.path.name)], stems)
            stems.add(stem_there)
        detected = moved and stem_there in boxes and not query.drawn_by
        box = boxes[stem_there] if detected else _whole_pixels(query)
        content = query.content(workspace.digests.of)
        shown = name if new else written.get(who, who)
        yield Addition(query, content, stem_there, who, shown, new, verdict.decided_by, box, moved)


def _is_test_photo(workspace: Workspace, query: ReviewQuery) -> bool:
    """Whether the query is a test photo's first fluke, whose file becomes a known photo as it is."""
    path = query.in_root
    return path is not None and query.fluke == "1" and path == workspace.test_photo(path.stem)


def _stems(workspace: Workspace) -> set[str]:
    """Every photo's name in the root's tables, and on its disk."""
    names = {
        stem(name)
        for key in PHOTO_TABLES
        if workspace.file(key).exists()
        for name in read_submission_names(workspace.file(key))
    }
    return names | {path.stem for path in workspace.file("train_photos").glob("*.jpg")}


def _whole_pixels(query: ReviewQuery) -> Box:
    """The box in whole pixels of the photo held upright, none of it lost; the frame where there is none."""
    width, height = photo_header(query.in_root or query.path).upright_size
    if query.box is None:
        return 0, 0, width, height
    x1, y1, x2, y2 = query.box
    return (
        max(math.floor(x1), 0),
        max(math.floor(y1), 0),
        min(math.ceil(x2), width),
        min(math.ceil(y2), height),
    )


def addition_edit(
    workspace: Workspace,
    added: Sequence[Addition],
    who: str,
    details: Path | None = None,
    marks: Mapping[str, Mapping[str, str]] = NO_MARKS,
) -> tuple[Relabelled, list[Change]]:
    """What is to become of the catalogue, and the rows of review/changes.csv.

    who: gives the command; details: a table with a column `photo`, and any of `date` and others, of the added
    photos; marks: of `MarkLog`, which become carried columns. `UserError` for a photo that cannot be read, or
    a row of the table that fits none.
    """
    number, when = str(next_number(read_changes(workspace))), now()
    said = details_of(details, [a.query.path for a in added]) if details else {}
    wanted, trace = Relabelled(), []
    originals = {row["original"] for row in imported(workspace).values()}
    side_column = column_of(workspace)
    for a in added:
        wanted.identity_of[a.name] = a.identity
        wanted.boxes[a.name] = a.box
        told = {**marks.get(a.content, {}), **said.get(a.query.path, {})}
        row = _row(a, told, originals, side_column)
        wanted.rows[a.name] = row
        if a.new:
            wanted.names[a.identity] = a.written
        target = workspace.train_photo(a.name)
        if a.moved:
            wanted.tested.add(a.name)
            wanted.edit.moves[workspace.test_photo(a.name)] = target
        else:
            wanted.edit.copies[target] = partial(copy_upright, a.query.in_root or a.query.path)
        trace.append(
            Change(
                number, when, who, ADD, with_jpg(a.name), "", a.identity, a.written, a.decided_by, a.content
            )
        )  # fmt: skip
    return wanted, trace


def _row(
    a: Addition, said: Mapping[str, str], originals: set[str], side_column: str | None
) -> dict[str, str]:
    """The photo's columns of data/import.csv; of a test photo only those that change."""
    row = {"Image": with_jpg(a.name), "identity": a.written, "split": TRAIN}
    if not a.moved:
        path = str(a.query.path)
        original = a.query.path.name if a.query.path.name not in originals else path
        originals.add(original)
        row |= {"original": original, "path": path, "date": "", **noted(a.query.path)}
        row |= {side_column: a.query.side} if side_column else {}
    date = {DETAIL_DATE: said[DETAIL_DATE]} if said.get(DETAIL_DATE) else {}
    more = {k: text for k, text in said.items() if text and k not in IMPORT_COLUMNS}
    return {**row, **date, **more}


def summary(added: Sequence[Addition]) -> list[str]:
    """Lines for people on what becomes of the catalogue."""
    new = {a.identity for a in added if a.new}
    moved = sum(a.moved for a in added)
    lines = [
        f"{len(added)} photos become known: {sum(not a.new for a in added)} of known whales, "
        f"{sum(a.new for a in added)} of {len(new)} new ones"
    ]
    lines += [
        f"  {a.query.name} -> {a.written}{' (new)' if a.new else ''}, photo {with_jpg(a.name)}, "
        f"decided by {a.decided_by}"
        for a in added
    ]
    if moved:
        lines.append(f"{moved} of them were test photos and are none any more")
    return lines


def require_any(added: Sequence[Addition], decisions: Path) -> None:
    """`UserError` where there is nothing to add."""
    if not added:
        raise UserError(
            f"{decisions}: no decided photo is new to the catalogue; decide with tools/review.py, and name "
            "the tables that photos from elsewhere were identified in with --results"
        )
