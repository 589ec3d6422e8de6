"""Sightings for Wildbook and Flukebook: photos, and workbooks in the form of their bulk import."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from whales.base.console import log
from whales.base.folders import new_folder
from whales.base.workbooks import write_workbook
from whales.base.writing import require_space
from whales.exchange.sightings import Sighting
from whales.files.import_table import UNMATCHED
from whales.files.workspace import Workspace
from whales.photos.photos import require_file

SPECIES = "Megaptera novaeangliae"
ENCOUNTERS = 200  # of one workbook, as Wildbook asks
WORKBOOK = "bulk_import"
PHOTOS = "photos"
_INDIVIDUAL = "Encounter.individualID"
# Carried columns, in lower case, and what Wildbook calls them.
_FIELDS = {
    "place": "Encounter.verbatimLocality",
    "location": "Encounter.verbatimLocality",
    "locality": "Encounter.verbatimLocality",
    "site": "Encounter.verbatimLocality",
    "latitude": "Encounter.decimalLatitude",
    "longitude": "Encounter.decimalLongitude",
    "country": "Encounter.country",
    "sex": "Encounter.sex",
    "photographer": "Encounter.photographer0.fullName",
    "encounter": "Occurrence.occurrenceID",
}
_FIRST = (
    "Encounter.mediaAsset0", _INDIVIDUAL, "Encounter.year", "Encounter.month", "Encounter.day",
    "Encounter.genus", "Encounter.specificEpithet",
)  # fmt: skip
_SOURCE = "Encounter.researcherComments"


def write_wildbook(
    path: Path, sightings: Sequence[Sighting], workspace: Workspace, species: str = SPECIES
) -> None:
    """Write a new folder: `photos/`, and workbooks of 200 encounters each, one for each sighting.

    Photos get names of English letters, digits and spaces alone, since Wildbook drops all others; a photo
    of several animals is there once. Individuals are as people wrote them, none for `unmatched`; carried
    columns go in where Wildbook has a field for them. species: genus and epithet.
    """
    files = [s.path(workspace) for s in sightings]
    sizes = {file: require_file(file).st_size for file in files}
    require_space(path, sum(sizes.values()))
    names = _photo_names(files)
    rows = encounters(sightings, [names[file] for file in files], species)
    header = [*_FIRST, *dict.fromkeys(key for row in rows for key in row if key not in _FIRST)]
    with new_folder(path) as top:
        (top / PHOTOS).mkdir()
        for file, name in names.items():
            shutil.copy2(file, top / PHOTOS / name)
        parts = [rows[start : start + ENCOUNTERS] for start in range(0, len(rows), ENCOUNTERS)]
        for number, part in enumerate(parts or [[]], 1):
            name = WORKBOOK + (f"_{number}" if len(parts) > 1 else "")
            content = io.BytesIO()
            write_workbook(content, [header, *([row.get(k, "") for k in header] for row in part)])
            (top / f"{name}.xlsx").write_bytes(content.getbuffer())
    undated = sum(not row["Encounter.year"] for row in rows)
    if undated:
        log(f"wildbook: {undated} encounters have no year, which Wildbook asks for; fill them in")
    if rows and not {"Encounter.verbatimLocality", "Encounter.decimalLatitude"} & {*header}:
        log("wildbook: no place is known; add Encounter.locationID or Encounter.verbatimLocality")


def encounters(
    sightings: Sequence[Sighting], names: Sequence[str], species: str
) -> list[dict[str, str]]:
    """A row for each sighting, field of Wildbook -> text; names: of the photos in its folder."""
    genus, epithet = species.split()
    rows = []
    for s, name in zip(sightings, names, strict=True):
        year, month, day = [*s.date.split("-"), "", ""][:3]
        who = "" if s.individual == UNMATCHED else s.individual
        values = name, who, year, month.lstrip("0"), day.lstrip("0"), genus, epithet
        said = f"{s.source}, decided by {s.decided_by}" if s.decided_by else s.source
        rows.append(
            {**_carried(s.details), **dict(zip(_FIRST, values, strict=True)), _SOURCE: said}
        )
    return rows


def _carried(details: Mapping[str, str]) -> dict[str, str]:
    """Carried columns that Wildbook has a field for; those with its own names as they are."""
    named = {
        column if column.startswith("Encounter.") else _FIELDS.get(column.casefold(), ""): text
        for column, text in details.items()
        if text
    }
    return {field: text for field, text in named.items() if field}


def _photo_names(files: Sequence[Path]) -> dict[Path, str]:
    """File -> a name of English letters, digits and spaces, different from all others in any case."""
    names: dict[Path, str] = {}
    used: set[str] = set()
    for file in dict.fromkeys(files):
        plain = " ".join(re.sub(r"[^A-Za-z0-9]+", " ", file.stem).split()) or "photo"
        numbered = (plain if n == 1 else f"{plain} {n}" for n in count(1))
        free = next(name for name in numbered if name.casefold() not in used)
        used.add(free.casefold())
        names[file] = f"{free}{file.suffix}"
    return names
