"""Camtrap DP, the exchange format of camera traps: media, observations and deployments as CSV."""

from __future__ import annotations

from collections.abc import Mapping
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
    event count for each of its photos.
    """
    tables = {name: _table(path, content, name) for name in _TABLES if name in _resources(content)}
    media, media_places = tables["media"]
    observations, places = tables["observations"]
    require_columns(media, path.parent / "media", ["mediaID", "filePath"])
    require_columns(observations, path.parent / "observations", ["observationID"])
    seen: dict[str, list[int]] = {}
    events: dict[str, list[int]] = {}
    for index, row in enumerate(observations.to_dict("records")):
        media_id, event = row.get("mediaID", ""), row.get("eventID", "")
        if media_id:
            seen.setdefault(media_id, []).append(index)
        elif event:
            events.setdefault(event, []).append(index)
    observed = observations.to_dict("records")
    sites = _sites(tables.get("deployments"))
    rows, positions, empty = [], [], 0
    for photo, place in zip(media.to_dict("records"), media_places, strict=True):
        indices = seen.get(photo["mediaID"]) or events.get(photo.get("eventID", ""), [])
        animals = [i for i in indices if observed[i].get("observationType", "animal") == "animal"]
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
    if empty:
        log(f"{path.parent}: {empty} photos without an animal (observationType) left out")
    frame = pd.DataFrame(rows, dtype=object)
    kept = [name for name in frame.columns if name == "individualID" or (frame[name] != "").any()]
    return frame[kept], positions


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
