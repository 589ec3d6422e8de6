"""Ranked candidates for people to decide on: of a work root's test photos, or of a table of results."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.tables import cell_number, read_table, require_columns
from whales.files.boxes import Box
from whales.files.changes import present_names
from whales.files.dataset import known_photos, load_boxes, test_photos, training_identities
from whales.files.decided_photos import DecidedPhotos
from whales.files.decisions import fluke_content
from whales.files.import_table import imported
from whales.files.labels import check_labelled, stem, with_jpg
from whales.files.matrices import ScoreMatrix
from whales.files.root_matrices import RootMatrices
from whales.files.workspace import Workspace, require
from whales.nets.net import Net
from whales.photos.thumbnails import same_picture
from whales.scores.basis import NO_BASIS, Basis, basis_of_root
from whales.scores.best_photos import Candidate, best_identities
from whales.scores.drawn_boxes import DrawnBox
from whales.scores.ensemble import blend, test_parts
from whales.scores.query_pairs import NO_PAIRS, FlukeKey, QueryPairs, pairs_of_table
from whales.scores.root_pairs import pairs_of_root

SHOWN = 10  # candidates of a query that people see
RANKED = 50  # from which these are taken where people limit them
ENSEMBLE = "ensemble"
_TABLES = ("train_csv", "boxes_averaged", "boxes_averaged_playground")
_CORNERS = ("x1", "y1", "x2", "y2")

# A matrix that the ensemble blends: its key in the work root, the name of its scores, its weight.
BlendedMatrix = tuple[str, str, float]


class ReviewQuery(NamedTuple):
    """A fluke under review.

    name: in the table of decisions; box: x1, y1, x2, y2 in pixels, None for the whole frame; upright:
    whether the box is that of the photo turned as its EXIF note says; new: probability of none of the
    known whales, if there is one; shared: whether its photo shows other flukes too; fluke: its number
    among those of its photo; in_root: the same photo in the work root, where it was imported; drawn_by: who
    drew the box, "" for that of the detector.
    """

    name: str
    path: Path
    box: Box | None
    upright: bool = False
    new: float | None = None
    shared: bool = False
    fluke: str = "1"
    in_root: Path | None = None
    side: str = ""
    drawn_by: str = ""

    def content(self, digest: Callable[[Path], str]) -> str:
        """The query as decisions know it; `digest`: of a file. `UserError` where the photo cannot be read."""
        return fluke_content(digest(self.in_root or self.path), self.fluke)


@dataclass
class Results:
    """The queries under review, and how the nets rank their candidates.

    queries: in order, no two of one name and content; labels: stem -> identity of the known photos; boxes:
    of those, stem -> box; nets: name -> function that ranks each query's candidates, best first, called
    when first needed; basis: what the answers rest on; pairs: the queries compared with each other; drawn:
    index of a query -> its drawn box, whose candidates are those of all `nets`.
    """

    queries: list[ReviewQuery]
    labels: dict[str, str]
    boxes: Mapping[str, Box]
    nets: dict[str, Callable[[], list[list[Candidate]]]]
    basis: Basis = NO_BASIS
    pairs: QueryPairs = NO_PAIRS
    drawn: dict[int, DrawnBox] = field(default_factory=dict)
    _ranked: dict[str, list[list[Candidate]]] = field(default_factory=dict)
    _shown: dict[str, list[list[Candidate]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._detected = list(self.queries)

    def draw(self, drawn: Mapping[str, DrawnBox], digest: Callable[[Path], str]) -> None:
        """Let these drawn boxes be the queries', by `ReviewQuery.content`; others are as detected again."""
        found = [drawn_box(query, drawn, digest) for query in self._detected]
        with self._lock:
            self.drawn = {index: one for index, one in enumerate(found) if one}
            self._shown = {}
            # In place, since others hold the list.
            self.queries[:] = map(with_box, self._detected, found)

    def candidates(self, net: str) -> list[list[Candidate]]:
        """Each query's best candidates by one of `nets`; `UserError` for another name or broken matrices."""
        with self._lock:
            if net not in self._shown:
                self._shown[net] = [candidates[:SHOWN] for candidates in self._all_ranked(net)]
            return self._shown[net]

    def ranked(self, net: str) -> list[list[Candidate]]:
        """As `candidates`, all that are ranked."""
        with self._lock:
            return self._all_ranked(net)

    def _all_ranked(self, net: str) -> list[list[Candidate]]:
        if net not in self.nets:
            raise UserError(f"there is no net {net}; expected one of {', '.join(self.nets)}")
        if net not in self._ranked:
            self._ranked[net] = self.nets[net]()
        if not self.drawn:
            return self._ranked[net]
        drawn = {index: one.answer.candidates for index, one in self.drawn.items()}
        return [drawn.get(index, ranked) for index, ranked in enumerate(self._ranked[net])]


def drawn_box(
    query: ReviewQuery, drawn: Mapping[str, DrawnBox], digest: Callable[[Path], str]
) -> DrawnBox | None:
    """The box that was drawn on a query, if any; drawn: by content; digest: of a file."""
    with contextlib.suppress(UserError):  # a photo that cannot be read is not the one drawn on
        return drawn.get(query.content(digest)) if drawn else None
    return None


def with_box(query: ReviewQuery, drawn: DrawnBox | None) -> ReviewQuery:
    """A query with its drawn box, if there is one, in the place of the detected one."""
    if drawn is None:
        return query
    return query._replace(box=drawn.box, new=drawn.answer.new, drawn_by=drawn.who)


def decided_photos(workspace: Workspace, results: Results) -> DecidedPhotos:
    """The queries of `results`, their contents and those of the known photos, as decisions name them."""
    digest = workspace.digests.of
    return DecidedPhotos(
        [query.name for query in results.queries],
        lambda index: results.queries[index].content(digest),
        lambda name: digest(workspace.train_photo(name)),
    )


def results_of(workspace: Workspace, nets: Sequence[Net], table: Path | None = None) -> Results:
    """`results_of_table` of a table, if there is one, else `results_of_root`; nets: of the ensemble."""
    if table:
        return results_of_table(workspace, table)
    results = results_of_root(workspace, test_parts(nets))
    results.basis = basis_of_root(workspace, nets)
    names = [stem(query.name) for query in results.queries]
    results.pairs = pairs_of_root(workspace, nets, names)
    return results


def results_of_root(workspace: Workspace, matrices: Sequence[BlendedMatrix]) -> Results:
    """The root's test photos, ranked by the blend of all nets and by each net, as far as there are matrices.

    matrices: as the ensemble blends them. A test photo without a box has no candidates. `UserError`
    where a table or every matrix is missing.
    """
    for key in (*_TABLES, "sample_submission"):
        require(workspace, workspace.file(key))
    labels, boxes = training_identities(workspace), load_boxes(workspace)
    names = test_photos(workspace)
    rows = [name for name in names if name in boxes]
    columns = known_photos(labels, boxes)
    read = RootMatrices(workspace, labels, names)

    def ranked(matrix: ScoreMatrix) -> list[list[Candidate]]:
        candidates = best_identities(matrix, labels, RANKED)
        return [candidates.get(name, []) for name in names]

    def blended(chosen: Sequence[BlendedMatrix]) -> Callable[[], list[list[Candidate]]]:
        files = [(workspace.file(key), scores, weight) for key, scores, weight in chosen]
        return lambda: ranked(blend(files, rows, columns, read.for_ensemble))

    def mean(path: Path) -> Callable[[], list[list[Candidate]]]:
        return lambda: ranked(read.test(path).aligned(rows, columns, path))

    nets = {}
    if all(workspace.file(key).exists() for key, _, _ in matrices):
        nets[ENSEMBLE] = blended(matrices)
    for key, scores, _ in matrices:
        name = key.rsplit("_", 1)[-1]
        if workspace.file(key).exists():
            nets[name] = blended([(key, scores, 1.0)])
        elif name in ("v5", "v6") and workspace.file(f"test_matrix_{name}").exists():
            nets[name] = mean(workspace.file(f"test_matrix_{name}"))
    if not nets:
        require(workspace, workspace.file(matrices[0][0]))
    queries = [
        ReviewQuery(with_jpg(name), workspace.test_photo(name), boxes.get(name)) for name in names
    ]
    return Results(queries, labels, boxes, nets)


def results_of_table(workspace: Workspace, path: Path | str) -> Results:
    """The rows of tools/identify.py's CSV: a query for each photo and fluke, in the order of the table.

    Columns query, identity and photo, and those of fluke, x1, y1, x2, y2, new_whale, rank,
    probability, score and content that are there; a photo of another content than identified is refused,
    and a second copy of one file under one name is left out. Raises `UserError` naming the line.
    """
    for key in _TABLES:
        require(workspace, workspace.file(key))
    labels = training_identities(workspace)
    table, positions = read_table(path)
    needed = ("query", "identity", "photo")
    require_columns(table, path, needed, "the table of tools/identify.py --csv")
    records = table.to_dict("records")
    rows = [{**row, "where": where} for row, where in zip(records, positions, strict=True)]
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["query"], row.get("fluke") or "1"), []).append(row)
    flukes = Counter(photo for photo, _ in groups)
    digest = workspace.digests.of
    workspace.digests.of_photos({p: Path(p) for p in flukes if p and Path(p).is_file()})  # at once
    imports, present = ImportedPhotos(workspace), present_names(workspace)
    queries, ranked = [], []
    seen: dict[tuple[str, str], str] = {}
    index_of: dict[FlukeKey, int] = {}
    for (photo, fluke), group in groups.items():
        query = _query(photo, fluke, group[0], Path(path), imports, flukes[photo] > 1, digest)
        first = seen.setdefault((query.name, query.content(digest)), photo)
        if first != photo:
            log(f"{photo} is the same file as {first} and is shown once")
            continue
        index_of[photo, fluke] = len(queries)
        queries.append(query)
        group.sort(key=lambda row: cell_number(row, "rank") or 0.0)
        ranked.append([_candidate(row, labels, present) for row in group])
    if not queries:
        raise UserError(f"{path} has no rows; run tools/identify.py --csv again")
    basis = _basis(row for group in groups.values() for row in group)
    pairs = pairs_of_table(Path(path), index_of, lambda i: digest(queries[i].path))
    boxes, nets = load_boxes(workspace), {"results": lambda: ranked}
    return Results(queries, labels, boxes, nets, basis, pairs)


def _basis(rows: Iterable[Mapping[str, str]]) -> Basis:
    """What the rows of a table say that they rest on; what several say, all of them."""
    told: dict[str, dict[str, None]] = {"nets": {}, "taught_on": {}, "warning": {}}
    for row in rows:
        for name, texts in told.items():
            if row.get(name):
                texts[row[name]] = None
    return Basis(**{name: " / ".join(texts) for name, texts in told.items()})


class ImportedPhotos:
    """The photos that a work root was imported from, which may have other names in it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        rows = [
            (os.path.realpath(row["path"]), row["Image"]) for row in imported(workspace).values()
        ]
        counts = Counter(path for path, _ in rows)
        # Photos that show several animals are left out: they have a name for each animal.
        self._names = {path: name for path, name in rows if counts[path] == 1}

    def photo(self, path: Path) -> Path | None:
        """The photo of the work root that a file is, or was imported from; None where it is another now."""
        for key in ("train_photos", "test_photos"):
            own = self._workspace.file(key)
            if path.suffix == ".jpg" and os.path.realpath(path.parent) == os.path.realpath(own):
                return own / path.name
        name = self._names.get(os.path.realpath(path))
        if name is None:
            return None
        try:
            in_root = self._workspace.photo(stem(name))
            digest = self._workspace.digests.of
            if digest(in_root) == digest(path) or same_picture(in_root, path):
                return in_root
        except UserError:  # one of them is gone or broken: no longer the same
            return None
        # The same path may be that of the next memory card.
        log(f"{path} is not the photo that was imported from there as {name}")
        return None


def _query(
    photo: str,
    fluke: str,
    row: dict[str, str],
    table: Path,
    imports: ImportedPhotos,
    shared: bool,
    digest: Callable[[Path], str],
) -> ReviewQuery:
    files = [path for path in (Path(photo), table.parent / photo) if path.is_file()]
    if not photo or not files:
        raise UserError(
            f"{row['where']}: photo {photo or '(empty)'} is not there; start where identify.py was started"
        )
    content = row.get("content", "")
    file = next((path for path in files if content in ("", digest(path))), None)
    if file is None:
        raise UserError(
            f"{row['where']}: photo {photo} is not the one that was identified, its content is another; "
            "start where identify.py was started, or identify it again"
        )
    in_root = imports.photo(file)
    name = in_root.name if in_root else photo.replace("\\", "/").rsplit("/", 1)[-1]
    if fluke != "1":
        # In front of the extension, since the readers of the table of decisions cut that off.
        name = f"{stem(name)}#{fluke}{Path(name).suffix}"
    corners = [cell_number(row, corner) for corner in _CORNERS]
    box = None if None in corners else tuple(corners)
    new = cell_number(row, "new_whale")
    side = row.get("side", "")
    return ReviewQuery(name, file.resolve(), box, True, new, shared, fluke, in_root, side)


def _candidate(
    row: dict[str, str], labels: Mapping[str, str], present: Mapping[str, str]
) -> Candidate:
    """present: identity of former tables -> as it is called now."""
    photo, identity = stem(row["photo"]), present.get(row["identity"], row["identity"])
    check_labelled([photo], labels, row["where"])
    if labels[photo] != identity:
        raise UserError(
            f"{row['where']}: photo {row['photo']} is of {labels[photo]} in train.csv, not {identity}; "
            "run tools/identify.py again"
        )
    return Candidate(identity, photo, cell_number(row, "score"), cell_number(row, "probability"))
