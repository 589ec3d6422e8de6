"""What a table says of photos besides whom they show: dates, and any other columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whales.base.dates import NoDateError, iso_date
from whales.base.errors import UserError
from whales.base.tables import read_table, require_columns

DETAIL_PHOTO, DETAIL_DATE = "photo", "date"


def details_of(table: Path, photos: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """Photo -> column -> text, of the photos that the table names, without the column `photo`.

    table: with a column `photo`: a path from the table's folder or the current one, or a file name that is
    one photo's alone; photos: their absolute paths. Rows on other photos are left out. `UserError` naming the
    row of a name that may mean several photos, of a photo that has two rows, or of a date that is none.
    """
    frame, positions = read_table(table)
    require_columns(frame, table, [DETAIL_PHOTO], f"{DETAIL_PHOTO},{DETAIL_DATE},..")
    resolved = {path.resolve(): path for path in photos}
    found: dict[Path, dict[str, str]] = {}
    for row, where in zip(frame.to_dict("records"), positions, strict=True):
        name = row.pop(DETAIL_PHOTO)
        places = {
            p for p in ((table.parent / name).resolve(), Path(name).resolve()) if p in resolved
        }
        named = [
            path
            for path in resolved
            if path.name == Path(name).name and Path(name).parent == Path()
        ]
        hits = places or {*named}
        if len(hits) > 1:
            raise UserError(f"{where}: photo {name} is the name of several photos; write its path")
        if not hits:
            continue
        photo = resolved[hits.pop()]
        if photo in found:
            raise UserError(f"{where}: photo {name} has two rows; keep one")
        try:
            row[DETAIL_DATE] = iso_date(row.get(DETAIL_DATE, ""))
        except NoDateError:
            raise UserError(
                f"{where}: date is {row[DETAIL_DATE]}, which could mean several days or none; write it as "
                "2019, 2019-07 or 2019-07-30"
            ) from None
        found[photo] = row
    return found
