"""What a table says of photos besides whom they show: dates, and any other columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whales.base.console import log
from whales.base.dates import date_in_cell
from whales.base.errors import UserError
from whales.base.tables import read_table, require_columns
from whales.photos.photo_folders import PhotosByName

DETAIL_PHOTO, DETAIL_DATE = "photo", "date"


def details_of(table: Path, photos: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """Photo -> column -> text, of the photos that the table names, without the column `photo`.

    table: with a column `photo`: a path from the table's folder or the current one, or a name as
    `PhotosByName` finds it; photos: their absolute paths. Rows on other photos are left out, and the log
    counts them. `UserError` naming the row of a name that may mean several photos, of a photo that has two
    rows, or of a date that is none.
    """
    frame, positions = read_table(table)
    require_columns(frame, table, [DETAIL_PHOTO], f"{DETAIL_PHOTO},{DETAIL_DATE},..")
    resolved = {path.resolve(): path for path in photos}
    by_name = PhotosByName(resolved)
    found: dict[Path, dict[str, str]] = {}
    others: list[str] = []
    for row, where in zip(frame.to_dict("records"), positions, strict=True):
        name = row.pop(DETAIL_PHOTO)
        places = {
            p for p in ((table.parent / name).resolve(), Path(name).resolve()) if p in resolved
        }
        hits = places or {*by_name.find(name)}
        if len(hits) > 1:
            raise UserError(f"{where}: photo {name} is the name of several photos; write its path")
        if not hits:
            others.append(f"{name} ({where})")
            continue
        photo = resolved[hits.pop()]
        if photo in found:
            raise UserError(f"{where}: photo {name} has two rows; keep one")
        row[DETAIL_DATE] = date_in_cell(row.get(DETAIL_DATE, ""), where)
        found[photo] = row
    if others and photos:
        log(
            f"{table}: {len(others)} of its rows name none of the {len(photos)} photos, such as {others[0]}"
        )
    return found
