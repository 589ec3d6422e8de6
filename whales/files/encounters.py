"""Which photos were taken at one encounter, as the columns say that people have in their tables."""

from __future__ import annotations

from collections.abc import Mapping

from whales.base.dates import is_nothing

ENCOUNTER_COLUMNS = (
    "encounter", "encounter_id", "Encounter", "encounterID", "sighting", "sighting_id", "sequence_id",
    "eventID", "event_id", "Sighting.sightingID", "Encounter.sightingID", "Encounter.occurrenceID",
)  # fmt: skip
# The last part of a dotted name, in any case.
_PLACES = (
    "place", "location", "locality", "verbatimlocality", "locationid", "site", "area", "region", "station",
)  # fmt: skip
_LATITUDES, _LONGITUDES = ("latitude", "decimallatitude"), ("longitude", "decimallongitude")
_DAY = 10  # letters of a whole date
_DEGREES = 2  # decimals: about a kilometre


def encounter_of(details: Mapping[str, str]) -> str:
    """What tells a photo's encounter from others: its column, else day and place; "" where neither is known.

    details: column -> text, `date` among them.

    >>> encounter_of({"Encounter": "E7", "date": "2019"}), encounter_of({"date": "2019-07-01"})
    ('E7', '')
    >>> encounter_of({"date": "2019-07-01", "Site": "Tonga"})
    '2019-07-01, Tonga'
    """
    named = {name.casefold() for name in ENCOUNTER_COLUMNS}
    for column, text in details.items():
        if column.casefold() in named and not is_nothing(text):
            return text.strip()
    day, place = details.get("date", ""), place_of(details)
    return f"{day}, {place}" if len(day) == _DAY and place else ""


def place_of(details: Mapping[str, str]) -> str:
    """Where a photo was taken, in the words of its table, else its degrees to a kilometre; "" if not known.

    >>> place_of({"Encounter.locationID": "Bay"}), place_of({"latitude": "-18.6512", "longitude": "-173.98"})
    ('Bay', '-18.65 -173.98')
    """
    texts = {name.rpartition(".")[2].casefold(): text.strip() for name, text in details.items()}
    for column in _PLACES:
        if not is_nothing(texts.get(column, "")):
            return texts[column]
    degrees = [
        next((texts[name] for name in names if texts.get(name)), "")
        for names in (_LATITUDES, _LONGITUDES)
    ]
    try:
        return " ".join(f"{float(text):.{_DEGREES}f}" for text in degrees)
    except ValueError:  # one is missing, or in minutes and seconds
        return ""
