"""Dates as people and their programs write them, as ISO text of a year, a month or a day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime

from whales.base.errors import UserError

NOTHING = (
    "", "nan", "none", "null", "[]", "<na>", "nat", "na", "n/a", "#n/a", "n.a.", "-", "--", "?", "unknown",
    "unk", "no date", "0", "0.0",
)  # fmt: skip


def is_nothing(text: str) -> bool:
    """Whether a cell says nothing, or in words that nothing is known; 0 is a word for dates alone.

    >>> is_nothing(" N/A "), is_nothing("0"), is_nothing("Bay")
    (True, False, False)
    """
    word = text.strip().casefold()
    return word in NOTHING and not word.startswith("0")


_TIME = r"(?:[T ]+\d\d?[:.]\d\d.*)?"
# Whole dates, in which the order of the numbers is certain; `2019.0` is a year taken for a number.
_CERTAIN = (
    re.compile(r"(\d{4})(?:\.0+)?"),
    re.compile(r"(\d{4})-(\d\d?)"),
    re.compile(rf"(\d{{4}})-(\d\d?)-(\d\d?){_TIME}"),
    re.compile(rf"(\d{{4}}):(\d\d?):(\d\d?){_TIME}"),  # EXIF
    re.compile(rf"(\d{{4}})/(\d\d?)/(\d\d?){_TIME}"),
    re.compile(rf"(\d{{4}})\.(\d\d?)\.(\d\d?){_TIME}"),
    re.compile(r"((?:19|20)\d\d)([01]\d)([0-3]\d)(?:\.0+)?"),
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMED = re.compile(rf"(\d\d?)[ .-]*([A-Za-z]{{3,9}})\.?[ ,.-]*(\d{{4}}){_TIME}")
_NAMED_FIRST = re.compile(
    rf"([A-Za-z]{{3,9}})\.?[ -]*(\d\d?)(?:st|nd|rd|th)?,?[ -]+(\d{{4}}){_TIME}"
)
_NUMBERS = re.compile(rf"(\d\d?)([/.-])(\d\d?)[/.-](\d{{2}}|\d{{4}}){_TIME}")
_SHORT = re.compile(r"(\d\d?)[ -]([A-Za-z]{3})[ -](\d\d)")
_DAY_PARTS = ("%d", "%j", "%x", "%c", "%D", "%F", "%e")
_MONTH_PARTS = ("%m", "%b", "%B", *_DAY_PARTS)


class NoDateError(ValueError):
    """Why a text is no date, in words that follow it, with the option that helps."""


def iso_date(text: str, formats: Sequence[str] = ()) -> str:
    """YYYY, YYYY-MM or YYYY-MM-DD of a text, "" for what means none; a time of day is left out.

    formats: of `strptime`, tried in turn before the forms whose order is certain; with them, of those only
    ISO's counts. `NoDateError` for other text.

    >>> iso_date("2019:07:14 10:22:33"), iso_date("2019-7-4"), iso_date("20190714"), iso_date("14 Jul 2019")
    ('2019-07-14', '2019-07-04', '2019-07-14', '2019-07-14')
    >>> iso_date("2019-07-00"), iso_date("NA"), iso_date("14/07/2019", ["%d/%m/%Y"])
    ('2019-07', '', '2019-07-14')
    """
    text = " ".join(text.split())
    if text.casefold() in NOTHING:
        return ""
    for form in formats:
        found = _formatted(text, form)
        if found:
            return found
    if formats:
        match = _CERTAIN[2].fullmatch(text)
        if match and len(match[2]) == len(match[3]) == 2:
            return _iso(text, *match.groups())
        raise NoDateError(f"is not of the form {' or '.join(formats)}; see --date-format")
    for pattern in _CERTAIN:
        match = pattern.fullmatch(text)
        if match:
            return _iso(text, *match.groups())
    for pattern, order in ((_NAMED, (2, 1, 0)), (_NAMED_FIRST, (2, 0, 1))):
        match = pattern.fullmatch(text)
        month = match and _month(match.groups()[order[1]])
        if match and month:
            return _iso(text, match.groups()[order[0]], month, match.groups()[order[2]])
    raise NoDateError(_advice(text))


def date_in_cell(text: str, where: str) -> str:
    """`iso_date` of a table's cell whose order must be certain; `UserError`, which begins with `where`."""
    try:
        return iso_date(text)
    except NoDateError:
        raise UserError(
            f"{where}: date is {text}, which could mean several days or none; write it as 2019, 2019-07 or "
            "2019-07-30"
        ) from None


def date_of_parts(parts: Sequence[str]) -> str:
    """The date of a year, a month (a number or an English name) and a day; the later ones may be empty.

    >>> date_of_parts(["2019", "7", "4"]), date_of_parts(["2019.0", "July", ""]), date_of_parts(["", "", ""])
    ('2019-07-04', '2019-07', '')
    """
    cells = ["" if part.casefold() in NOTHING else re.sub(r"\.0+$", "", part) for part in parts]
    if not any(cells):
        return ""
    year, month, day = [*cells, "", ""][:3]
    month = _month(month) or month
    if not re.fullmatch(r"\d{4}", year) or not all(
        re.fullmatch(r"\d{0,2}", part) for part in (month, day)
    ):
        raise NoDateError("is no year, month and day, in that order; see --date-column")
    if day and not month:
        raise NoDateError("has a day and no month; see --date-column")
    return _iso(" ".join(parts), year, month or "0", day or "0")


def _formatted(text: str, form: str) -> str:
    for candidate in (text, re.sub(r"[T ]+\d\d?[:.]\d\d.*$", "", text)):
        try:
            found = datetime.strptime(candidate, form)
        except (ValueError, re.error):
            continue
        if any(part in form for part in _DAY_PARTS):
            return f"{found:%Y-%m-%d}".zfill(10)
        return f"{found:%Y-%m}" if any(part in form for part in _MONTH_PARTS) else f"{found:%Y}"
    return ""


def _month(text: str) -> str:
    """The number of an English month, "" for other text."""
    begin = text.casefold()[:3]
    return str(_MONTHS.index(begin) + 1) if begin in _MONTHS else ""


def _iso(text: str, year: str, month: str = "", day: str = "") -> str:
    """A month or day of 0 means that it is not known; a year of 0 that nothing is."""
    numbers = [int(part) for part in (year, month, day) if part]
    if not any(numbers):
        return ""
    known = numbers[: numbers.index(0)] if 0 in numbers else numbers
    try:
        date(*[*known, 1, 1][:3])
    except (ValueError, TypeError):
        raise NoDateError("is no day of the calendar; mend it, or see --date-format") from None
    if any(numbers[len(known) :]):
        raise NoDateError("is no day of the calendar; mend it, or see --date-format")
    return "-".join(
        f"{number:04}" if place == 0 else f"{number:02}" for place, number in enumerate(known)
    )


def _advice(text: str) -> str:
    match = _NUMBERS.fullmatch(text)
    if match:
        first, mark, second, year = int(match[1]), match[2], int(match[3]), match[4]
        century = "%Y" if len(year) == 4 else "%y"
        orders = {
            "%d{0}%m{0}": first <= 31 and second <= 12,
            "%m{0}%d{0}": first <= 12 and second <= 31,
        }
        fitting = [
            f"--date-format {order.format(mark)}{century}" for order, fits in orders.items() if fits
        ]
        if fitting:
            return f"has no form that is certain; name it: {' or '.join(fitting)}"
    match = _SHORT.fullmatch(text)
    if match and _month(match[2]):
        form = re.sub(r"[A-Za-z]{3}", "%b", re.sub(r"^\d+", "%d", text))
        form = re.sub(r"\d\d$", "%y", form)
        return f'has a year of two digits; name its form: --date-format "{form}"'
    if re.fullmatch(r"[3-5]\d{4}(\.\d+)?", text):
        return (
            "is a spreadsheet's number of a day; format the column as dates there and save it again"
        )
    return (
        "has no usual form, such as 2019, 2019-07 or 2019-07-30; name its form with --date-format "
        "(such as %d/%m/%Y), or leave dates out with --date-column ''"
    )
