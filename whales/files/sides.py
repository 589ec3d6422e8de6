"""Which side of its animal a photo shows: photos of unlike sides are never compared, nor taught as same.

The column `side` (or `view`) of `data/import.csv` says it, any word of it; a photo whose word is blank or
means unknown may show either side, and is compared with all. Without the column no two photos are unlike.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from whales.base.dates import NOTHING
from whales.base.errors import UserError
from whales.base.tables import csv_rows, from_text
from whales.files.import_table import imported
from whales.files.matrices import Scores
from whales.files.names import quoted, stem
from whales.files.workspace import Workspace

SomeScores = TypeVar("SomeScores", bound=Scores)

LEFT, RIGHT = "left", "right"
_WORDS = {
    **dict.fromkeys(("l", "lhs", "left side", "left flank", "links"), LEFT),
    **dict.fromkeys(("r", "rhs", "right side", "right flank", "rechts"), RIGHT),
}
_EITHER = {*NOTHING, "both", "either", "any"}
# Words that need no remark: each is a side of its own, as any other word is.
_USUAL = {
    LEFT, RIGHT, "top", "bottom", "front", "back", "rear", "up", "down", "above", "below", "dorsal",
    "ventral", "head", "tail", "fluke", "fin", "face", "lateral",
}  # fmt: skip
_COLUMNS = ("side", "view")
_ROWS = 512  # of dense scores at a time
_MOST = 5  # words named in one line


def side_of(text: str) -> str:
    """The side that a cell means: words in one case, blanks and hyphens alike; "" for either side.

    >>> [side_of(text) for text in ("L", "Left-Side", " rechts", "Dorsal", "n/a", "both")]
    ['left', 'left', 'right', 'dorsal', '', '']
    """
    word = " ".join(re.split(r"[\s_-]+", text.strip().casefold())).strip()
    return "" if word in _EITHER else _WORDS.get(word, word)


def side_column(columns: Iterable[str], source: object) -> str | None:
    """The column that says the sides, `side` or `view`, in any case, behind any dots; None for none.

    source: of the columns, for the message. `UserError` where several do, since they may contradict.
    """
    found = [c for c in columns if c.strip().casefold().rpartition(".")[2] in _COLUMNS]
    if len(found) > 1:
        raise UserError(
            f"{source}: columns {' and '.join(map(quoted, found))} both say which side a photo shows; "
            "rename or take out all but one"
        )
    return found[0] if found else None


def odd_words(texts: Iterable[tuple[str, str]]) -> list[str]:
    """A line on words that are not usual for a side; texts: (cell, file and row) of each photo."""
    first: dict[str, str] = {}
    for text, where in texts:
        side = side_of(text)
        if side and side not in _USUAL:
            first.setdefault(" ".join(text.split()), where)
    if not first:
        return []
    more = ", .." if len(first) > _MOST else ""
    return [
        f"words that are unusual for a side: {', '.join(map(quoted, [*first][:_MOST]))}{more} (the first in "
        f"{next(iter(first.values()))}); each is a side of its own, never compared with others; leave it "
        "blank where the side is not known"
    ]


class PairSides(NamedTuple):
    """The sides of the rows (n,) and columns (m,) of scores, int32 codes from 1; 0 may be either."""

    rows: np.ndarray
    columns: np.ndarray

    def part(self, columns: slice) -> PairSides:
        """Those of the same rows and some columns."""
        return PairSides(self.rows, self.columns[columns])

    def unlike(self, rows: slice = slice(None)) -> np.ndarray:
        """Whether pairs are of unlike sides: (n, m) bool, of these rows."""
        return unlike(self.rows[rows, None], self.columns[None])

    def hidden(self, scores: SomeScores, value: float = 0) -> SomeScores:
        """Set the scores of unlike sides to `value`, in place; returns `scores`.

        scores: (n, m), dense, or CSR, which takes 0 alone and loses its stored zeros.
        """
        if not (self.rows.any() and self.columns.any()):
            return scores
        if isinstance(scores, np.ndarray):
            for start in range(0, len(scores), _ROWS):
                rows = slice(start, start + _ROWS)
                scores[rows][self.unlike(rows)] = value
            return scores
        of_row = np.repeat(self.rows, np.diff(scores.indptr))
        scores.data[unlike(of_row, self.columns[scores.indices])] = 0
        scores.eliminate_zeros()
        return scores


def unlike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether codes of sides are unlike, bool of the broadcast shape; 0 is unlike none."""
    return (first != second) & (first != 0) & (second != 0)


def have_mismatch(identities: Iterable[Hashable], sides: Iterable[Hashable]) -> bool:
    """Whether two photos show two identities and can be compared.

    identities, sides: of each photo, sides as names or codes; "" and 0 may be either.

    >>> have_mismatch("aab", ["left", "right", "left"]), have_mismatch("ab", [1, 2])
    (True, False)
    """
    of_side: dict[Hashable, set[Hashable]] = {}
    for identity, side in zip(identities, sides, strict=True):
        of_side.setdefault(side or None, set()).add(identity)
    either = of_side.pop(None, set())
    groups = [group | either for group in of_side.values()] or [either]
    return any(len(group) > 1 for group in groups)


@dataclass(frozen=True)
class Sides:
    """The sides of a root's photos: side_of: stem -> side, of those whose side is known."""

    side_of: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.side_of)

    def of_files(self, names: Iterable[str]) -> Sides:
        """The same sides by file names, in place of their stems."""
        return Sides({n: self.side_of[stem(n)] for n in names if stem(n) in self.side_of})

    def of(self, rows: Sequence[str], columns: Sequence[str]) -> PairSides:
        """The sides of score rows and columns (stems)."""
        return PairSides(self.codes(rows), self.codes(columns))

    def codes(self, names: Sequence[str]) -> np.ndarray:
        """The sides of photos (stems) as codes from 1, 0 where unknown: (n,) int32."""
        return self.codes_of([self.side_of.get(name, "") for name in names])

    def codes_of(self, sides: Sequence[str]) -> np.ndarray:
        """Sides as codes of `codes`; one that no photo shows has the code after the last: (n,) int32."""
        known = {side: code for code, side in enumerate(self.names, 1)} | {"": 0}
        return np.array([known.get(side, len(known)) for side in sides], np.int32)

    @property
    def names(self) -> list[str]:
        """The sides that photos show, sorted."""
        return sorted({*self.side_of.values()})

    def like(self, first: str, second: str) -> bool:
        """Whether two photos (stems) can be compared."""
        one, other = self.side_of.get(first), self.side_of.get(second)
        return one is None or other is None or one == other

    def comparable(self, names: Sequence[str]) -> list[str]:
        """Those photos of one identity (stems) that can be compared with another of them, in their order.

        >>> Sides({"a": "left", "b": "right", "c": "left"}).comparable(["a", "b", "c"])
        ['a', 'c']
        >>> Sides().comparable(["a"])
        []
        """
        return [n for n in names if any(self.like(n, other) for other in names if other != n)]

    def and_of(self, rows: Mapping[str, Mapping[str, str]]) -> Sides:
        """The same with those of further photos: stem -> column -> text; `UserError` as `side_column`."""
        more = {}
        for name, row in rows.items():
            column = side_column(row, f"photo {name}")
            if column and side_of(row[column]):
                more[name] = side_of(row[column])
        return Sides({**self.side_of, **more})


NO_SIDES = Sides()


def read_sides(workspace: Workspace) -> Sides:
    """The sides of a root's photos; none without a column of `data/import.csv` that says them.

    `UserError` as `side_column` and `whales.files.import_table.imported`.
    """
    column = column_of(workspace)
    if column is None:
        return NO_SIDES
    sides = {name: side_of(row[column]) for name, row in imported(workspace).items()}
    return Sides({name: side for name, side in sides.items() if side})


def column_of(workspace: Workspace) -> str | None:
    """The column of `data/import.csv` that says the sides, None for none; `UserError` as `side_column`."""
    path = workspace.file("import_table")
    if not path.exists():
        return None
    # The header alone: a root without sides reads no further.
    header = next(csv_rows(path, ",;\t"), (1, []))[1]
    return side_column([from_text(cell).strip() for cell in header], path)


def side_tables(workspace: Workspace) -> list[Path]:
    """The file that says the sides, for stages that heed them; empty where none does."""
    return [workspace.file("import_table")] if column_of(workspace) else []
