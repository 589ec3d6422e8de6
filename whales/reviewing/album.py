"""The known individuals as the review page offers them: by name, with all their photos, dates and places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from whales.base.errors import UserError
from whales.files.decisions import NEW, SAME
from whales.files.import_table import carried, imported, written_names
from whales.files.labels import NEW_WHALE, stem, with_jpg
from whales.files.sides import read_sides
from whales.files.workspace import Workspace
from whales.reviewing.identities import called, checked_new_name
from whales.reviewing.relabelling import taken_identities


class AlbumPhoto(NamedTuple):
    """A known photo. name: its stem; details: what its source said of it: `date`, then other columns; side:
    that it shows, "" if that is not known.
    """

    name: str
    details: dict[str, str]
    side: str = ""


class Album:
    """Known individuals and their photos. Read once: the catalogue rests while people decide."""

    def __init__(self, workspace: Workspace, labels: Mapping[str, str]) -> None:
        """labels: stem -> identity of the known photos."""
        self._labels = labels
        self.names, self.sides = written_names(workspace), read_sides(workspace)
        dates = {name: row["date"] for name, row in imported(workspace).items()}
        self._details = {
            name: {
                column: text
                for column, text in {"date": dates.get(name, ""), **more}.items()
                if text
            }
            for name, more in carried(workspace).items()
        }
        self._photos: dict[str, list[str]] = {}
        for name, identity in labels.items():
            if identity != NEW_WHALE:
                self._photos.setdefault(identity, []).append(name)
        self._taken = taken_identities(workspace) | {*self._photos}

    def details(self, name: str) -> dict[str, str]:
        """What the source of a photo of the root (stem) said of it: `date`, then other columns."""
        return self._details.get(name, {})

    def taken(self) -> set[str]:
        """Names that a new individual cannot have."""
        return {*self._taken, *self.names.values()}

    def name(self, identity: str) -> str:
        """What people call an identity."""
        return self.names.get(identity, identity)

    def all_names(self) -> list[str]:
        """What people call the known individuals, sorted."""
        return sorted(map(self.name, self._photos), key=str.casefold)

    def _called(self, text: str) -> str | None:
        """The identity that a name means, None for nobody's; `UserError` for that of several."""
        hits = called(text, self._photos, self.names)
        if len(hits) > 1:
            raise UserError(f"{text} may be {' or '.join(hits)}; type one of these names")
        return hits[0] if hits else None

    def knows(self, name: str) -> bool:
        """Whether a known individual is called so."""
        return bool(called(name, self._photos, self.names))

    def photos(self, identity: str) -> list[AlbumPhoto]:
        """All photos of an individual, named as the tables or as people do, latest date first.

        `UserError` for nobody's name.
        """
        who = self._called(identity)
        if who is None:
            raise UserError(f"nobody is called {identity}")
        return sorted(self.known(who), key=lambda p: p.details.get("date", ""), reverse=True)

    def known(self, identity: str) -> list[AlbumPhoto]:
        """The known photos of an identity of the tables, in their order."""
        sides = self.sides.side_of
        return [
            AlbumPhoto(n, self.details(n), sides.get(n, "")) for n in self._photos.get(identity, [])
        ]

    def meant(self, text: str) -> tuple[str, str]:
        """The decision and its candidate for a name that a person typed: a known individual or a new one.

        `UserError` for what can be no name, or differs from a known one by case, blanks and the like alone.
        """
        name = text.strip()
        who = self._called(name)
        if who is None:
            return NEW, checked_new_name(name, self._taken)
        # A photo may be called as an individual is: then one of its photos says who is meant.
        clash = self._labels.get(stem(who)) not in (None, who)
        return SAME, with_jpg(self._photos[who][0]) if clash else who
