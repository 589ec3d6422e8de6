"""How tables name things: what a command line says of it, the usual names, and the columns they lead to."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from whales.base.console import log
from whales.base.errors import UserError
from whales.files.encounters import ENCOUNTER_COLUMNS
from whales.photos.photos import PHOTO_SUFFIXES

# Looks of words that mean "none of the known", without blanks and marks.
UNKNOWN = (
    "newwhale", "unknown", "unmatched", "na", "nan", "none", "null", "nil", "unidentified", "notidentified",
    "unid", "noid", "unk", "unkn", "blank", "tbd", "notknown", "undetermined", "indet", "noname", "unnamed",
    "uncertain", "unsure", "unassigned", "unbekannt", "inconnu", "desconocido", "desconhecido",
)  # fmt: skip
USUAL = {
    "photo": (
        "photo", "path", "image", "Image", "file_name", "filename", "file", "photo_name", "image_name",
        "photo_path", "image_path", "filePath",
    ),
    "identity": (
        "identity", "Identity", "individual", "Id", "individualID", "individual_id", "individual_name",
        "whale_id", "animal_id", "Encounter.individualID", "MarkedIndividual.individualID",
        "Encounter.MarkedIndividual.individualID",
    ),
    "date": (
        "date", "Date", "date_captured", "DateTimeOriginal", "date_taken", "timestamp", "datetime",
        "eventDate",
    ),
    "split": ("split", "original_split"),
    "encounter": ENCOUNTER_COLUMNS,
    "category": ("category", "label", "observationType"),
}  # fmt: skip
# Several photo columns in a row; dates in several columns.
_PHOTO_FAMILIES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"Encounter\.mediaAsset(\d+)", r"(?:photo|image|picture|file)[ _]?(\d+)",
        r"(?:photo|image|file)[ _]?name[ _]?(\d+)",
    )
)  # fmt: skip
_DATE_FAMILIES = (
    ("year", "month", "day"),
    ("Encounter.year", "Encounter.month", "Encounter.day"),
)
_CORNERS = ("x1", "y1", "x2", "y2")
_BOX_NAMES = (("bbox",), ("box",), ("x", "y", "w", "h"), _CORNERS)
_WIDTHS = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")  # Camtrap DP's, shares of the sides
BOX_FORMATS = ("xywh", "xyxy", "xywh-shares", "xyxy-shares")
_WORDS = {
    "unknown": "further identities that mean none of the known",
    "known": "names of animals, though they look as if they meant none of the known",
    "train_words": "what the split column calls train",
    "test_words": "and test",
}


@dataclass(frozen=True)
class Form:
    """How a source names things.

    photo, identity, date, split, encounter, category: column names, several for photos (each is one) and
    dates (year, month, day); None for the usual ones (see `USUAL`), "" for none. A name may be the last
    part of a nested one (`attributes.whale_id`), and of another case, where that is certain.
    box: one column (`[x, y, w, h]`) or four; None for the usual ones, () for none. box_format: of
    `BOX_FORMATS`; None for xyxy where the columns are called x1 y1 x2 y2, shares where they are those of
    Camtrap DP, else xywh.
    columns: names for the columns of a table without a header, () for one with it; sheet: of a workbook,
    "" for the first in which photos are named; categories: those that count (body parts, say), () for all.
    identity_level: which of the folders that a photo lies in is its identity: 1 the first one below the
    source, -1 the one that holds the photo.
    date_formats: of `strptime`, see `whales.base.dates`.
    unknown: words in the identity column that mean "none of the known", in any case, besides `UNKNOWN`;
    known: words that are names all the same.
    train_words, test_words: what the split column may say, in any case, besides `playground`.
    """

    photo: str | Sequence[str] | None = None
    identity: str | None = None
    box: tuple[str, ...] | None = None
    box_format: str | None = None
    date: str | Sequence[str] | None = None
    split: str | None = None
    encounter: str | None = None
    category: str | None = None
    columns: tuple[str, ...] = ()
    sheet: str = ""
    categories: tuple[str, ...] = ()
    identity_level: int = 1
    date_formats: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    train_words: tuple[str, ...] = ("train", "training", "database", "gallery")
    test_words: tuple[str, ...] = ("test", "testing", "query")


def add_form_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `Form`."""
    usual, add = Form(), parser.add_argument
    several = {"photo": "one or several", "date": "one, or year, month and day"}
    for name, names in USUAL.items():
        few = ", ".join(names[:6])
        meaning = f"of the {name}, {several.get(name, '')}, '' for none (else {few}, ..)"
        number = {"nargs": "+"} if name in several else {}
        add(
            f"--{name}-column",
            metavar="NAME",
            dest=name,
            help=meaning.replace(", ,", ","),
            **number,
        )
    boxes = ", ".join(map(" ".join, _BOX_NAMES))
    add(
        "--box-columns",
        nargs="+",
        metavar="NAME",
        dest="box",
        help=f"one or four, '' for none (else {boxes})",
    )
    add("--box-format", choices=BOX_FORMATS, help="default: xyxy for x1 y1 x2 y2, else xywh")
    add("--columns", nargs="+", metavar="NAME", default=(), help="of a table without a header")
    add("--sheet", default="", help="of a workbook (the first in which photos are named)")
    meaning = "take these alone: body parts, kinds of boxes"
    add("--category", nargs="+", metavar="NAME", dest="categories", default=(), help=meaning)
    meaning = "which folder is the identity: 1 the first below SOURCE (default), 2 the one in it, -1 the last"
    add("--identity-level", type=level, default=1, metavar="N", help=meaning)
    meaning = "such as %%d/%%m/%%Y; several are tried in turn"
    add("--date-format", nargs="+", metavar="FORMAT", dest="date_formats", default=(), help=meaning)
    for name, meaning in _WORDS.items():
        words = getattr(usual, name)
        meaning = f"{meaning} (else {', '.join(words)})" if words else meaning
        option = f"--{name.replace('_', '-')}"
        add(option, nargs="+", metavar="WORD", default=words, help=meaning)


def level(text: str) -> int:
    """Parser of an argument that is the number of a folder's level, not 0."""
    if re.fullmatch(r"-?[1-9]\d?", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"expected 1, 2, .. or -1, -2, .., received {text}")


@dataclass(frozen=True)
class Columns:
    """The columns of a table that say what is needed; "" and () where there is none.

    photos: one or several; dates: one, or of year, month and day; boxes: one or four; box_format: of
    `BOX_FORMATS`.
    """

    photos: tuple[str, ...]
    identity: str
    dates: tuple[str, ...]
    split: str
    encounter: str
    category: str
    boxes: tuple[str, ...]
    box_format: str

    @property
    def used(self) -> set[str]:
        """Columns whose content has a place of its own; an encounter is carried besides."""
        return {*self.photos, self.identity, *self.dates, self.split, *self.boxes} - {""}

    def described(self) -> str:
        """What is taken for what, for the log."""
        named = {
            "photo": self.photos, "identity": (self.identity,), "date": self.dates,
            "split": (self.split,), "encounter": (self.encounter,), "box": self.boxes,
        }  # fmt: skip
        texts = {name: " ".join(filter(None, columns)) for name, columns in named.items()}
        return ", ".join(f"{name} = {text}" for name, text in texts.items() if text)


def columns_of(
    frame: pd.DataFrame,
    source: Path | str,
    form: Form,
    need_identity: bool = True,
    else_identity: str = "",
) -> Columns:
    """The columns of a table, as the form names them or as they are usually called.

    else_identity: the column of the identity where the form names none and none is called so.
    `UserError` for a name that is no column, and where no column is that of the photo or, if needed, the
    identity.
    """
    finder = _Finder([*map(str, frame.columns)], source)
    photos = finder.photos(form)
    identity = finder.one("identity", form.identity)
    if form.identity is None and not identity:
        identity = else_identity
    for name, found in (("photo", photos), ("identity", identity)):
        if not found and (name == "photo" or need_identity):
            headless = "" if form.columns else finder.headless() or _lower_header(frame)
            name_it = f"name it with --{name}-column (received {', '.join(finder.columns)})"
            raise UserError(f"{source}: no column of the {name}; {headless or name_it}")
    log(*finder.unread(photos, dates := finder.dates(form)))
    boxes = finder.boxes(form.box)
    usual = "xyxy" if boxes == _CORNERS else "xywh-shares" if boxes == _WIDTHS else "xywh"
    return Columns(
        photos,
        identity,
        dates,
        finder.one("split", form.split),
        finder.one("encounter", form.encounter),
        finder.one("category", form.category),
        boxes,
        form.box_format or usual,
    )


def _lower_header(frame: pd.DataFrame) -> str:
    """What to do about a header that lies below others lines, "" where none does."""
    usual = {_bare(name) for name in USUAL["photo"]}
    for cells in frame.head(10).itertuples(index=False, name=None):
        if any(isinstance(cell, str) and _bare(cell) in usual for cell in cells):
            names = ", ".join(str(cell) for cell in cells if str(cell).strip())
            return f"its header seems to lie below other lines ({names}); take these out"
    return ""


def has_photos(frame: pd.DataFrame, form: Form) -> bool:
    """Whether a table has the columns of photos that the form names, or a usual one."""
    try:
        return bool(_Finder([*map(str, frame.columns)], "").photos(form))
    except UserError:
        return False


class _Finder:
    """Finds columns by their names, or names near to them."""

    def __init__(self, columns: Sequence[str], source: Path | str) -> None:
        self.columns, self.source = columns, source

    def named(self, name: str) -> str:
        """The column of a name that somebody gave."""
        for same in (
            lambda column: column == name,
            lambda column: column.rpartition(".")[2] == name,
            lambda column: _bare(column) == _bare(name),
            lambda column: _bare(column.rpartition(".")[2]) == _bare(name),
        ):
            found = [column for column in self.columns if same(column)]
            if len(found) == 1:
                return found[0]
        raise UserError(
            f"{self.source}: column {name} is missing; received {', '.join(self.columns)}"
        )

    def one(self, kind: str, given: str | None) -> str:
        if given is not None:
            return self.named(given) if given else ""
        return self.usual(USUAL[kind])

    def usual(self, names: Sequence[str]) -> str:
        """The first usual name that is a column, else one of another case, else a nested one; "" for none."""
        whole = {_bare(column): column for column in reversed(self.columns)}
        last = {_bare(column.rpartition(".")[2]): column for column in reversed(self.columns)}
        for known in ({column: column for column in self.columns}, whole, last):
            for name in names:
                # `id` is the number of a row as often as not.
                found = known.get(name) or (known.get(_bare(name)) if name != "Id" else "")
                if found:
                    return found
        return ""

    def photos(self, form: Form) -> tuple[str, ...]:
        given = _several(form.photo)
        if given is not None:
            found = tuple(map(self.named, given))
            self.require_header(found, form)
            return found
        usual = self.usual(USUAL["photo"])
        if usual:
            return (usual,)
        for family in _PHOTO_FAMILIES:
            numbered = [(int(m[1]), m[0]) for m in map(family.fullmatch, self.columns) if m]
            if numbered:
                return tuple(column for _, column in sorted(numbered))
        return ()

    def dates(self, form: Form) -> tuple[str, ...]:
        given = _several(form.date)
        if given is not None:
            return tuple(map(self.named, given))
        usual = self.usual(USUAL["date"])
        if usual:
            return (usual,)
        lower = {column.casefold(): column for column in self.columns}
        for family in _DATE_FAMILIES:
            parts = [lower.get(name.casefold(), "") for name in family]
            if parts[0]:
                return tuple(parts[: parts.index("")] if "" in parts else parts)
        return ()

    def unread(self, photos: Sequence[str], dates: Sequence[str]) -> list[str]:
        """Lines on columns that belong to those that were named, and are not read."""
        notes = []
        for family in _PHOTO_FAMILIES:
            numbered = [column for column in self.columns if family.fullmatch(column)]
            left = [column for column in numbered if column not in photos]
            if left and len(left) < len(numbered):
                named = " ".join(numbered)
                notes.append(
                    f"{self.source}: {', '.join(left)} may name photos too and is not read; "
                    f"--photo-column takes several: {named}"
                )
        for family in _DATE_FAMILIES:
            parts = [name for name in family if name in self.columns]
            if len(dates) == 1 and dates[0] == family[0] and len(parts) > 1:
                notes.append(f"{self.source}: --date-column takes several: {' '.join(parts)}")
        return notes

    def boxes(self, given: tuple[str, ...] | None) -> tuple[str, ...]:
        if given is None:
            known = (*_BOX_NAMES, _WIDTHS)
            return next((names for names in known if {*names} <= {*self.columns}), ())
        names = tuple(filter(None, given))
        if len(names) not in (0, 1, 4):
            raise UserError(
                f"a box is one column or four, received {len(names)}: {' '.join(names)}"
            )
        return tuple(map(self.named, names))

    def require_header(self, photos: Sequence[str], form: Form) -> None:
        """Refuse a first line that is a photo's, taken for a header: its photo would be lost."""
        first = [column for column in photos if _names_a_photo(column)]
        if first and not form.columns:
            raise UserError(f"{self.source}: {self.headless()}")

    def headless(self) -> str:
        """What to do about a first line that is a photo's, "" where it is not."""
        photos = [column for column in self.columns if _names_a_photo(column)]
        if not photos:
            return ""
        others = iter(
            ["identity", *(f"column{place}" for place in range(3, len(self.columns) + 2))]
        )
        names = ["photo" if _names_a_photo(column) else next(others) for column in self.columns]
        return (
            f"its first line names photo {photos[0]}, so that it has no header; name all columns in their "
            f"order, such as --columns {' '.join(names)}"
        )


def _bare(column: str) -> str:
    """A column's name without case, blanks and dashes: `Whale ID` is `whale_id`."""
    return re.sub(r"[\s_-]+", "", column.casefold())


def _names_a_photo(column: str) -> bool:
    return column.casefold().endswith(PHOTO_SUFFIXES)


def _several(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    return tuple(filter(None, [given] if isinstance(given, str) else given))
