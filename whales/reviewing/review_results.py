"""Ranked candidates for people to decide on: of a work root's test photos, or of a table of results."""

from __future__ import annotations

import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from whales.base.errors import UserError
from whales.base.tables import read_table, require_columns
from whales.files.boxes import Box
from whales.files.dataset import known_photos, load_boxes, test_photos, training_identities
from whales.files.import_table import imported
from whales.files.labels import check_labelled, stem, with_jpg
from whales.files.matrices import ScoreMatrix
from whales.files.root_matrices import RootMatrices
from whales.files.workspace import Workspace, require
from whales.scores.best_photos import Candidate, best_identities
from whales.scores.ensemble import blend

SHOWN = 10  # candidates of a query that people see
ENSEMBLE = "ensemble"
_TABLES = ("train_csv", "boxes_averaged", "boxes_averaged_playground")
_CORNERS = ("x1", "y1", "x2", "y2")

# A matrix that the ensemble blends: its key in the work root, the name of its scores, its weight.
BlendedMatrix = tuple[str, str, float]


class ReviewQuery(NamedTuple):
    """A fluke under review.

    name: in the table of decisions; box: x1, y1, x2, y2 in pixels, None for the whole frame; upright:
    whether the box is that of the photo turned as its EXIF note says; new: probability of none of the
    known whales, if there is one; shared: whether its photo shows other flukes too.
    """

    name: str
    path: Path
    box: Box | None
    upright: bool = False
    new: float | None = None
    shared: bool = False


@dataclass
class Results:
    """The queries under review, and how the nets rank their candidates.

    queries: in order, their names (stems) differ; labels: stem -> identity of the known photos; boxes:
    of those, stem -> box; nets: name -> function that ranks each query's candidates, best first, called
    when first needed.
    """

    queries: list[ReviewQuery]
    labels: dict[str, str]
    boxes: Mapping[str, Box]
    nets: dict[str, Callable[[], list[list[Candidate]]]]
    _ranked: dict[str, list[list[Candidate]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def candidates(self, net: str) -> list[list[Candidate]]:
        """Each query's candidates by one of `nets`; `UserError` for another name or broken matrices."""
        if net not in self.nets:
            raise UserError(f"there is no net {net}; expected one of {', '.join(self.nets)}")
        with self._lock:
            if net not in self._ranked:
                self._ranked[net] = self.nets[net]()
            return self._ranked[net]


def results_of(
    workspace: Workspace, matrices: Sequence[BlendedMatrix], table: Path | None = None
) -> Results:
    """`results_of_table` of a table, if there is one, else `results_of_root`."""
    return results_of_table(workspace, table) if table else results_of_root(workspace, matrices)


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
        candidates = best_identities(matrix, labels, SHOWN)
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
    probability and score that are there. Raises `UserError` naming the line.
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
    flukes, names_in_root = Counter(photo for photo, _ in groups), _names_in_root(workspace)
    queries, ranked = [], []
    for (photo, fluke), group in groups.items():
        shared = flukes[photo] > 1
        queries.append(_query(photo, fluke, group[0], Path(path), names_in_root, shared))
        group.sort(key=lambda row: _number(row, "rank") or 0.0)
        ranked.append([_candidate(row, labels) for row in group][:SHOWN])
    named: dict[str, str] = {}
    for query, (photo, _) in zip(queries, groups, strict=True):
        if named.setdefault(stem(query.name), photo) != photo:
            raise UserError(
                f"{path}: {named[stem(query.name)]} and {photo} have one name, and decisions are kept "
                "by name; rename one photo and identify it again"
            )
    if not queries:
        raise UserError(f"{path} has no rows; run tools/identify.py --csv again")
    return Results(queries, labels, load_boxes(workspace), {"results": lambda: ranked})


def _names_in_root(workspace: Workspace) -> dict[str, str]:
    """Real path of an imported photo -> its file name in the work root, which may be another.

    Photos that show several animals are left out: they have a name for each animal.
    """
    rows = [(os.path.realpath(row["path"]), row["Image"]) for row in imported(workspace).values()]
    counts = Counter(path for path, _ in rows)
    return {path: name for path, name in rows if counts[path] == 1}


def _query(
    photo: str,
    fluke: str,
    row: dict[str, str],
    table: Path,
    names_in_root: Mapping[str, str],
    shared: bool,
) -> ReviewQuery:
    files = [path for path in (Path(photo), table.parent / photo) if path.is_file()]
    name = photo.replace("\\", "/").rsplit("/", 1)[-1]
    if files:
        name = names_in_root.get(os.path.realpath(files[0]), name)
    if fluke != "1":
        # In front of the extension, since the readers of the table of decisions cut that off.
        name = f"{stem(name)}#{fluke}{Path(name).suffix}"
    if not name or not files:
        raise UserError(
            f"{row['where']}: photo {photo or '(empty)'} is not there; start where identify.py was started"
        )
    corners = [_number(row, corner) for corner in _CORNERS]
    box = None if None in corners else tuple(corners)
    return ReviewQuery(name, files[0].resolve(), box, True, _number(row, "new_whale"), shared)


def _candidate(row: dict[str, str], labels: Mapping[str, str]) -> Candidate:
    photo, identity = stem(row["photo"]), row["identity"]
    check_labelled([photo], labels, row["where"])
    if labels[photo] != identity:
        raise UserError(
            f"{row['where']}: photo {row['photo']} is of {labels[photo]} in train.csv, not {identity}; "
            "run tools/identify.py again"
        )
    return Candidate(identity, photo, _number(row, "score"), _number(row, "probability"))


def _number(row: dict[str, str], column: str) -> float | None:
    text = row.get(column, "")
    if text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{row['where']}: {column} is {text}, expected a number")
    return value
