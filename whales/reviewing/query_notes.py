"""What is known of the photos under review besides whom they show: date, place, encounter."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from whales.files.encounters import encounter_of
from whales.files.workspace import Workspace
from whales.photos.camera_notes import noted
from whales.photos.photo_details import details_of
from whales.reviewing.album import Album
from whales.scores.query_results import Results


class QueryNotes:
    """Details of the queries, from the import table, a table that people give, and their cameras."""

    def __init__(
        self, workspace: Workspace, results: Results, album: Album, table: Path | None = None
    ) -> None:
        """table: with a column `photo`, of photos from elsewhere; `UserError` as `details_of`."""
        self._queries, self._album = results.queries, album
        self._tests = workspace.file("test_photos")
        self._given = details_of(table, [q.path for q in self._queries]) if table else {}
        # Before the first question: cameras' notes of many photos take a while to read.
        self._encounters: list[str] = []
        self._reader = threading.Thread(target=self._read_encounters, daemon=True)
        self._reader.start()

    def of(self, index: int) -> Mapping[str, str]:
        """Column -> text of a query, `date` first; only what is known."""
        query = self._queries[index]
        in_root = query.in_root or (query.path if query.path.parent == self._tests else None)
        known = self._album.details(in_root.stem) if in_root else noted(query.path)
        return {**known, **{k: text for k, text in self._given.get(query.path, {}).items() if text}}

    def of_one_encounter(self, index: int) -> list[int]:
        """The other queries of the same encounter, in their order; none where it is not known."""
        self._reader.join()
        key = self._encounters[index]
        return [
            i for i, other in enumerate(self._encounters) if key and other == key and i != index
        ]

    def _read_encounters(self) -> None:
        self._encounters = [encounter_of(self.of(index)) for index in range(len(self._queries))]
