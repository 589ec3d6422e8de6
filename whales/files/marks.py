"""How good a photo is and how distinctive its animal, as people mark it: Urian's scale, Q1 to Q3, D1 to D3.

Marks stand in a table beside that of the decisions and of its form: the decision is the kind of mark, the
candidate its value, "" for one that is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from whales.base.errors import UserError
from whales.files.decisions import Decision, DecisionLog

QUALITY, DISTINCTIVENESS = "quality", "distinctiveness"
VALUES = {QUALITY: ("Q1", "Q2", "Q3"), DISTINCTIVENESS: ("D1", "D2", "D3")}
MARKED_BY = "marked_by"
NO_MARKS: Mapping[str, Mapping[str, str]] = MappingProxyType({})


class MarkLog(DecisionLog):
    """The table of marks; it only grows, as that of the decisions."""

    kinds, suffix = tuple(VALUES), "_marks"

    def standing(self) -> dict[str, dict[str, str]]:
        """Content of a query, as decisions know it -> its marks by kind, and who gave them.

        The last word on each kind counts, whoever said it. `UserError` naming the line of an odd value.
        """
        said: dict[str, dict[str, Decision]] = {}
        for row in self.rows():
            if row.candidate not in ("", *VALUES[row.decision]):
                raise UserError(
                    f"{self.path}, line {row.line}: {row.decision} is {row.candidate}, expected one of "
                    f"{', '.join(VALUES[row.decision])}"
                )
            said.setdefault(row.query_content, {})[row.decision] = row
        marks = {content: _told(rows) for content, rows in said.items()}
        return {content: told for content, told in marks.items() if told}


def _told(rows: Mapping[str, Decision]) -> dict[str, str]:
    given = {kind: rows[kind] for kind in VALUES if kind in rows and rows[kind].candidate}
    told = {kind: row.candidate for kind, row in given.items()}
    return {**told, MARKED_BY: _people(given.values())} if told else {}


def _people(rows: Iterable[Decision]) -> str:
    return ", ".join(dict.fromkeys(row.who for row in rows))
