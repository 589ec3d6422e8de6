"""Candidates limited by what is known of them: place, season, side, seen before a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from whales.base.dates import NoDateError, iso_date
from whales.base.errors import UserError
from whales.files.encounters import place_of
from whales.files.sides import side_of
from whales.reviewing.album import AlbumPhoto


class Limits(NamedTuple):
    """Which individuals are shown as candidates; each limit by itself, empty or 0 for none.

    place: part of its name, in any case; first, last: months of the season, 1 to 12, over the turn of the
    year where the first is later; side: as the root calls it; before: day, ISO.
    """

    place: str = ""
    first: int = 0
    last: int = 0
    side: str = ""
    before: str = ""

    def unknown(self, photos: Sequence[AlbumPhoto]) -> list[str] | None:
        """What of an individual that passes is not known; None for one that does not pass.

        It passes a limit if one of its photos does, or if none of them says anything of it.

        >>> limits = Limits(place="tonga", first=11, last=2)
        >>> limits.unknown([AlbumPhoto("a", {"place": "Tonga, Vava'u"})])
        ['season']
        >>> limits.unknown([AlbumPhoto("a", {"place": "Fiji", "date": "2019-12"})]) is None
        True
        """
        missing = []
        for name, value, passes in self._checks():
            values = [text for photo in photos if (text := value(photo))]
            if not values:
                missing.append(name)
            elif not any(map(passes, values)):
                return None
        return missing

    def _checks(self) -> list[tuple[str, Callable[[AlbumPhoto], str], Callable[[str], bool]]]:
        """Of each limit that is set: its name, what a photo says of it, and whether that passes."""
        first, last = self.first or 1, self.last or 12
        season = {m % 12 + 1 for m in range(first - 1, last + 12 * (first > last))}
        place, side = self.place.casefold(), side_of(self.side)
        checks: list[tuple[str, Callable[[AlbumPhoto], str], Callable[[str], bool]]] = []
        if place:
            checks.append(("place", lambda p: place_of(p.details), lambda t: place in t.casefold()))
        if self.first or self.last:
            checks.append(("season", lambda p: _date(p)[5:7], lambda month: int(month) in season))
        if side:
            checks.append(("side", lambda photo: photo.side, lambda shown: shown == side))
        if self.before:
            checks.append(("date", _date, lambda day: day < self.before))
        return checks


def _date(photo: AlbumPhoto) -> str:
    return photo.details.get("date", "")


def limits_of(args: Mapping[str, str]) -> Limits:
    """The limits that a page asks for: place, first, last, side, before; `UserError` for what is none."""

    def month(name: str) -> int:
        text = args.get(name) or "0"
        if not (text.isascii() and text.isdecimal() and int(text) <= 12):
            raise UserError(f"{name} is {text}, expected a month from 1 to 12")
        return int(text)

    try:
        before = iso_date(args.get("before", ""))
    except NoDateError:
        raise UserError(f"before is {args['before']}, expected a date such as 2019-07-30") from None
    place, side = (args.get(name, "").strip() for name in ("place", "side"))
    return Limits(place, month("first"), month("last"), side, before)
