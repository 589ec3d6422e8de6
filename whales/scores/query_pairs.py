"""Photos under review compared with each other: which of them may show one animal that nobody knows yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.tables import cell_number, read_table, require_columns
from whales.files.sides import PairSides
from whales.files.workspace import pairs_path
from whales.scores.best_by_blocks import Best, blocks
from whales.scores.head import HeadWeights

MOST_ALIKE = 10  # others that are kept of each photo
PAIR_COLUMNS = (
    "query", "fluke", "rank", "other", "other_fluke", "probability", "score", "content", "other_content",
)  # fmt: skip
_ROWS = 256  # of scores at a time
# A fluke in the tables of tools/identify.py: the photo as it is written there, and the fluke's number.
FlukeKey = tuple[str, str]


class Alike(NamedTuple):
    """Another query that may show the same animal. index: among the queries; probability: None if unknown."""

    index: int
    score: float
    probability: float | None = None

    @property
    def value(self) -> float:
        """The number that people see and filter by, as of a `Candidate`."""
        return self.score if self.probability is None else self.probability


class QueryPairs:
    """The others most like each query, best first; found by a thread when they are first needed."""

    def __init__(
        self, find: Callable[[], Mapping[int, list[Alike]]] = dict, note: str = ""
    ) -> None:
        """find: index of a query -> the others, best first; note: why there are none, for people."""
        self._find, self._note = find, note
        self._found: Mapping[int, list[Alike]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._lock = threading.Lock()

    def of(self, index: int, patience: float | None = None) -> list[Alike]:
        """The others most like a query; none where nothing was compared, or not in `patience`, seconds."""
        return self._found.get(index, []) if self._ready(patience) else []

    def note(self, patience: float | None = None) -> str:
        """Why there are none, "" where there are some; `patience`: seconds, None for as long as it takes."""
        if not self._ready(patience):
            return "The new photos are still being compared with each other; look again in a while."
        return "" if self._found else self._note

    def _ready(self, patience: float | None) -> bool:
        with self._lock:
            if not self._thread.ident:
                self._thread.start()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._found = self._find()
        except UserError as fault:
            self._note = str(fault)


NO_PAIRS = QueryPairs()


class SeenQueries(NamedTuple):
    """What a net with one fold's weights sees in the queries: its share in the blend, (n, d) features."""

    share: float
    head: HeadWeights
    features: np.ndarray


def blended(seen: Sequence[SeenQueries]) -> Callable[[slice], np.ndarray]:
    """Rows of queries -> scores with all queries, (k, n) float32, blended as those of known photos."""
    from whales.scores.pair_scores import gallery_scorer

    scorers = [gallery_scorer(one.head, one.features) for one in seen]
    whole = sum(one.share for one in seen)

    def scores(rows: slice) -> np.ndarray:
        parts = (
            score(one.features[rows]) * one.share for score, one in zip(scorers, seen, strict=True)
        )
        return np.asarray(sum(parts) / whole, np.float32)

    return scores


def most_alike(
    scores: Callable[[slice], np.ndarray],
    photos: Sequence[Hashable],
    sides: PairSides,
    count: int = MOST_ALIKE,
) -> Best:
    """Of each query the `count` others with the best scores; code and column are their index, -1 for none.

    scores: rows of queries -> their scores with all queries, (k, n) float32; photos: what tells each
    query's photo from others (n,), since a photo is none of its own candidates, nor are its other flukes,
    which are other animals; sides: of rows and columns, all queries both; unlike ones are not compared.
    """
    names = {photo: code for code, photo in enumerate(dict.fromkeys(photos))}
    own = np.array([names[photo] for photo in photos], np.int64)
    best = Best(len(photos), count)
    everyone = np.arange(len(photos))
    for rows in blocks(len(photos), _ROWS):
        block = PairSides(sides.rows[rows], sides.columns).hidden(scores(rows), -np.inf)
        block[own[rows, None] == own[None]] = -np.inf
        best.add(block, everyone, everyone, rows.start)
    return best


def alike_of(best: Best, row: int) -> list[tuple[int, float]]:
    """Index and score of the others that `most_alike` found for one query."""
    pairs = zip(best.columns[row].tolist(), best.scores[row].tolist(), strict=True)
    return [(column, score) for column, score in pairs if score > -np.inf]


def clusters(
    links: Iterable[tuple[int, int]], together: Iterable[Sequence[int]] = ()
) -> list[list[int]]:
    """Groups of two or more that links join, chains of them too, each sorted, the first by its first member.

    links: pairs of indices; together: groups that are joined already.

    >>> clusters([(4, 2), (7, 4), (1, 9)], [[9, 5]])
    [[1, 5, 9], [2, 4, 7]]
    """
    pairs = [*links, *((group[0], other) for group in together for other in group)]
    members = sorted({index for pair in pairs for index in pair})
    place = {index: at for at, index in enumerate(members)}
    rows, columns = [place[a] for a, _ in pairs], [place[b] for _, b in pairs]
    graph = sparse.coo_matrix((np.ones(len(pairs)), (rows, columns)), shape=(len(members),) * 2)
    groups: dict[int, list[int]] = {}
    for index, label in zip(members, connected_components(graph, directed=False)[1], strict=True):
        groups.setdefault(int(label), []).append(index)
    return sorted(group for group in groups.values() if len(group) > 1)


def pairs_of_table(
    table: Path, index_of: Mapping[FlukeKey, int], content_of: Callable[[int], str]
) -> QueryPairs:
    """The pairs beside a table of results, as `tools/identify.py --among` writes them.

    index_of: fluke as the table of results names it -> index of the query; content_of: index -> digest of its
    photo's file. Rows on photos that are no query, or have other content now, are left out, and the log
    counts them. `UserError` naming the line of a number that is none.
    """
    path = pairs_path(table)
    if not path.exists():
        return QueryPairs(
            note="The photos were not compared with each other: run tools/identify.py --csv with --among."
        )
    frame, positions = read_table(path)
    require_columns(frame, path, PAIR_COLUMNS, "the table of tools/identify.py --among")
    contents = {index: content_of(index) for index in {*index_of.values()}}
    found: dict[int, list[Alike]] = {}
    left_out = 0
    for record, where in zip(frame.to_dict("records"), positions, strict=True):
        row = {**record, "where": where}
        ends = [
            (index_of.get((row[name], row[fluke])), row[content])
            for name, fluke, content in (
                ("query", "fluke", "content"),
                ("other", "other_fluke", "other_content"),
            )
        ]
        indices = [i for i, content in ends if i is not None and contents[i] == content]
        if len(indices) < 2:
            left_out += 1
            continue
        index, other = indices
        score, probability = cell_number(row, "score"), cell_number(row, "probability")
        alike = Alike(other, score or 0.0, probability)
        if other != index and all(alike.index != one.index for one in found.get(index, [])):
            found.setdefault(index, []).append(alike)
    if left_out:
        log(
            f"{path}: {left_out} rows are on photos that are not in {table} as they are now; left out"
        )
    best_first = {i: sorted(others, key=lambda one: -one.value) for i, others in found.items()}
    return QueryPairs(lambda: best_first)
