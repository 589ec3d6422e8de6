"""Camtrap DP, the exchange format of camera traps: media, observations and deployments as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.tables import read_table, require_columns

_TABLES = ("media", "observations", "deployments")
_OF_MEDIA = ("filePath", "timestamp", "deploymentID", "fileName", "mediaComments")
_OF_DEPLOYMENTS = ("locationID", "locationName", "latitude", "longitude", "cameraID", "setupBy")
_OF_OBSERVATIONS = (
    "observationType", "individualID", "eventID", "scientificName", "count", "lifeStage", "sex", "behavior",
    "bboxX", "bboxY", "bboxWidth", "bboxHeight", "classifiedBy", "observationComments",
)  # fmt: skip


def is_camera_trap_package(content: object) -> bool:
    """Whether the JSON is a data package that has media and observations."""
    return {"media", "observations"} <= {*_resources(content)}


def read_camera_traps(path: Path, content: Mapping[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """A row per observed animal of a photo, and per photo without observation, with file and line.

    Left out, and counted, are photos on which people saw nothing, or no animal. Observations of a whole
    event count for each photo of its deployment between its begin and its end (version 1.0), or of its
    `eventID`, that has none of its own, or none that names an individual where the event's do. Those that no
    photo belongs to are counted in the log.
    """
    tables = {name: _table(path, content, name) for name in _TABLES if name in _resources(content)}
    media, media_places = tables["media"]
    observations, places = tables["observations"]
    require_columns(media, path.parent / "media", ["mediaID", "filePath"])
    require_columns(observations, path.parent / "observations", ["observationID"])
    observed = observations.to_dict("records")
    seen: dict[str, list[int]] = {}
    for index, row in enumerate(observed):
        if row.get("mediaID"):
            seen.setdefault(row["mediaID"], []).append(index)
    events = _Events(observed)
    sites = _sites(tables.get("deployments"))
    rows, positions, empty = [], [], 0
    for photo, place in zip(media.to_dict("records"), media_places, strict=True):
        indices, of_event = seen.get(photo["mediaID"], []), events.of(photo)
        animals = [index for index in indices if _is_animal(observed[index])]
        if not indices or (animals and not _named(observed, animals)):
            named = [index for index in of_event if _is_animal(observed[index])]
            if not indices or _named(observed, named):
                indices, animals = of_event, named
        if indices and not animals:
            empty += 1
            continue
        base = {name: photo.get(name, "") for name in _OF_MEDIA} | sites.get(
            photo.get("deploymentID", ""), {}
        )
        for index in animals or [-1]:
            said = observed[index] if index >= 0 else {}
            rows.append({**base, **{name: said.get(name, "") for name in _OF_OBSERVATIONS}})
            positions.append(places[index] if index >= 0 else place)
    if events.unused:
        log(
            f"{path.parent}: {len(events.unused)} observations of events that no photo belongs to are left "
            f"out, the first in {places[min(events.unused)]}"
        )
    if empty:
        log(f"{path.parent}: {empty} photos without an animal (observationType) left out")
    frame = pd.DataFrame(rows, dtype=object)
    kept = [name for name in frame.columns if name == "individualID" or (frame[name] != "").any()]
    return frame[kept], positions


class _Events:
    """Observations of whole events, and the photos that these are of."""

    def __init__(self, observed: Sequence[Mapping[str, str]]) -> None:
        self._of_name: dict[str, list[int]] = {}
        self._of_deployment: dict[str, list[tuple[datetime, datetime, int]]] = {}
        self.unused: set[int] = set()  # that no photo was found for yet
        for index, row in enumerate(observed):
            if row.get("mediaID"):
                continue
            begin, end = (_time(row.get(name, "")) for name in ("eventStart", "eventEnd"))
            if row.get("eventID"):
                self._of_name.setdefault(row["eventID"], []).append(index)
            if begin and end:
                times = begin, end, index
                self._of_deployment.setdefault(row.get("deploymentID", ""), []).append(times)
            self.unused.add(index)

    def of(self, photo: Mapping[str, str]) -> list[int]:
        """Indices of a photo's observations."""
        found = {*self._of_name.get(photo.get("eventID", ""), [])}
        taken = _time(photo.get("timestamp", ""))
        if taken:
            known = self._of_deployment.get(photo.get("deploymentID", ""), [])
            found |= {index for begin, end, index in known if begin <= taken <= end}
        self.unused -= found
        return sorted(found)


def _time(text: str) -> datetime | None:
    """A time of ISO, one without a zone as that of UTC; None for other text."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _is_animal(observation: Mapping[str, str]) -> bool:
    return observation.get("observationType", "animal") == "animal"


def _named(observed: Sequence[Mapping[str, str]], indices: Sequence[int]) -> bool:
    return any(observed[index].get("individualID") for index in indices)


def _resources(content: object) -> dict[str, str]:
    """Name -> file of the tables that a data package lists."""
    entries = content.get("resources") if isinstance(content, dict) else None
    found: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("path"), str):
            found[str(entry.get("name"))] = entry["path"]
    return found


def _table(path: Path, content: Mapping[str, Any], name: str) -> tuple[pd.DataFrame, list[str]]:
    file = _resources(content)[name]
    if "://" in file or Path(file).is_absolute() or ".." in Path(file).parts:
        raise UserError(f"{path}: table {name} lies elsewhere ({file}); put it beside this file")
    return read_table(path.parent / file)


def _sites(deployments: tuple[pd.DataFrame, list[str]] | None) -> dict[str, dict[str, str]]:
    if deployments is None or "deploymentID" not in deployments[0]:
        return {}
    rows = deployments[0].to_dict("records")
    return {
        row["deploymentID"]: {name: row[name] for name in _OF_DEPLOYMENTS if row.get(name)}
        for row in rows
    }
