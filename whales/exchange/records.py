"""Rows of a table as records of photos: names found, dates and boxes read, all faults told in one go."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from whales.base.console import log, refuse
from whales.base.dates import NoDateError, date_of_parts, is_nothing, iso_date
from whales.base.errors import UserError
from whales.base.folders import look
from whales.exchange.columns import UNKNOWN, Columns, Form
from whales.files.import_table import IMPORT_COLUMNS, PLAYGROUND, TEST, TRAIN
from whales.files.labels import NEW_WHALE
from whales.files.names import cleaned, means_new_whale
from whales.photos.photo_folders import PhotoNames

# What COCO and programs like it say of a picture or a box, and nothing of an animal.
_TECHNICAL = {
    "id", "image_id", "category_id", "segmentation", "area", "iscrowd", "width", "height", "license",
    "flickr_url", "coco_url", "keypoints", "num_keypoints", "rle", "z_order", "occluded", "file_name",
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One photo of one animal.

    where: file and row, for messages; original: name in the source; identity: "" if not labelled,
    `new_whale` if said to be none of the known; box: (x1, y1, x2, y2) in pixels of the upright photo, or
    in shares of its sides if `in_shares`; date: YYYY, YYYY-MM, YYYY-MM-DD or ""; split: one of `PARTS`, or
    "" if the source does not say.
    ready: whether the file is a JPEG whose pixels are stored upright, pixels: their digest (both known
    once it was checked).
    written: the identity as the source has it; encounter: "" if the source does not say; category: of the
    box; carried: column -> text, all else that the source says; folders: that the photo lies in, of a
    source that is a folder; date_from: "camera" for a date out of its notes; doubtful_date: that of the
    camera, if it cannot be true.
    """

    where: str
    original: str
    path: Path
    identity: str = ""
    box: tuple[float, float, float, float] | None = None
    date: str = ""
    split: str = ""
    ready: bool = False
    written: str = ""
    encounter: str = ""
    category: str = ""
    in_shares: bool = False
    carried: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    pixels: str = ""
    date_from: str = ""
    doubtful_date: str = ""


def read_rows(
    frame: pd.DataFrame,
    positions: Sequence[str],
    columns: Columns,
    form: Form,
    folder: Path,
    split: str = "",
    technical: bool = False,
    levels: bool = False,
) -> list[Record]:
    """Records of all rows; of a row with several photos one each, which are of one encounter.

    positions: file and line of each row; folder: where names begin; split: of all records, where no column
    says it; technical: leave out what COCO says of pictures and boxes; levels: the names' folders are those
    of the source. `UserError` naming all that is wrong.
    """
    carried = _carried_columns(frame, columns, technical)
    reader = _Reader(columns, form, PhotoNames(folder), split, carried, levels)
    records = [
        record
        for row, where in zip(frame.to_dict("records"), positions, strict=True)
        for record in reader.records(row, where)
    ]
    refuse(reader.faults, "faults in these rows")
    log(*reader.names.notes())
    if reader.left_out:
        log(f"{reader.left_out} rows of other categories left out")
        if not records:
            there = ", ".join(sorted(reader.categories)[:20])
            raise UserError(
                f"no row is of --category {' '.join(form.categories)}; there are {there}"
            )
    return records


def _carried_columns(frame: pd.DataFrame, columns: Columns, technical: bool) -> dict[str, str]:
    """Column of the source -> its name in the import table, of those that are carried."""
    names: dict[str, str] = {}
    taken = {name.casefold() for name in IMPORT_COLUMNS}
    for column in map(str, frame.columns):
        if column in columns.used or not column.strip() or column.startswith("Unnamed:"):
            continue
        if technical and column.rpartition(".")[2] in _TECHNICAL:
            continue
        name = f"source_{column}" if column.casefold() in taken else column
        names[column] = name
        taken.add(name.casefold())
    return names


def text_of(value: object) -> str:
    """A cell as text, "" for an empty one of any kind; whole numbers that became floats lose their `.0`."""
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def _as_written(value: object) -> str:
    """`text_of` with blanks at the ends."""
    return value if isinstance(value, str) and value.strip() else text_of(value)


class _Reader:
    """Makes records of rows; keeps what is wrong with them."""

    def __init__(
        self,
        columns: Columns,
        form: Form,
        names: PhotoNames,
        split: str,
        carried: Mapping[str, str],
        levels: bool,
    ) -> None:
        self.columns, self.form, self.names = columns, form, names
        self.split, self.carried, self.levels = split, carried, levels
        self.faults: list[str] = []
        self.left_out = 0
        self.categories: set[str] = set()
        self._categories = {category.casefold() for category in form.categories}

    def records(self, row: Mapping[str, object], where: str) -> Iterable[Record]:
        columns = self.columns
        category = text_of(row[columns.category]) if columns.category else ""
        if self._categories and category.casefold() not in self._categories:
            self.left_out += 1
            self.categories.add(category or "(none)")
            return
        cells = [cell for column in columns.photos if (cell := text_of(row[column]))]
        photos = [name for cell in cells for name in self._photos(cell)]
        if not photos:
            self.faults.append(f"{where}: {columns.photos[0]} is empty; fill it in")
            return
        written = _as_written(row[columns.identity]) if columns.identity else ""
        encounter = text_of(row[columns.encounter]) if columns.encounter else ""
        encounter = "" if is_nothing(encounter) else encounter
        box = self._told(where, lambda: self._box(row))
        date = self._told(where, lambda: self._date(row)) or ""
        split = self._told(where, lambda: self._split(row)) or ""
        if box and len(photos) > 1:
            self.faults.append(f"{where}: a box for {len(photos)} photos; see --box-columns")
        carried = {name: _carried(row[column]) for column, name in self.carried.items()}
        for name in photos:
            name = name.replace("\\", "/")
            path = self._told(where, lambda name=name: self.names.find(name))
            if path is None:
                continue
            yield Record(
                where,
                name,
                Path(os.path.abspath(path)),
                self.identity(written),
                box,
                date,
                split,
                written=written,
                encounter=encounter or (where if len(photos) > 1 else ""),
                category=category,
                in_shares=columns.box_format.endswith("shares"),
                carried=carried,
                folders=tuple(name.split("/")[:-1]) if self.levels else (),
            )

    def _photos(self, cell: str) -> list[str]:
        """The names in a cell: one, or several with semicolons, bars or line ends between them."""
        several = [name.strip() for name in re.split(r"[;|\n]", cell) if name.strip()]
        alone = len(several) < 2 or os.path.lexists(self.names.folder / cell)
        return [cell] if alone else several

    def identity(self, text: str) -> str:
        """An identity as it was meant: `new_whale` for all words that mean none of the known."""
        name = cleaned(text)
        unknown = means_new_whale(name) or (text.strip() and means_nobody(name, self.form))
        return NEW_WHALE if unknown else name

    def _told(self, where: str, call):
        try:
            return call()
        except (UserError, NoDateError, _FaultError) as fault:
            self.faults.append(f"{where}: {fault}")
            return None

    def _date(self, row: Mapping[str, object]) -> str:
        texts = [text_of(row[column]) for column in self.columns.dates]
        try:
            if len(texts) > 1:
                return date_of_parts(texts)
            return iso_date(texts[0], self.form.date_formats) if texts else ""
        except NoDateError as fault:
            raise NoDateError(f"date is {' '.join(texts)[:60]}; it {fault}") from None

    def _split(self, row: Mapping[str, object]) -> str:
        if not self.columns.split or self.split:
            return self.split
        text = text_of(row[self.columns.split])
        form = self.form
        words = {TRAIN: form.train_words, TEST: form.test_words, PLAYGROUND: (PLAYGROUND,)}
        for split, known in words.items():
            if text.casefold() in {word.casefold() for word in known}:
                return split
        raise _FaultError(
            f"split is {text or 'empty'}, expected one of "
            f"{', '.join(word for known in words.values() for word in known)}; "
            "name other words with --train-words and --test-words"
        )

    def _box(self, row: Mapping[str, object]) -> tuple[float, float, float, float] | None:
        """(x1, y1, x2, y2) of one cell with four numbers or of four cells; None where all are empty."""
        cells: Sequence[object] = [row[column] for column in self.columns.boxes]
        box_format = self.columns.box_format
        if len(cells) == 1 and isinstance(cells[0], (list, tuple, np.ndarray)):
            cells = list(cells[0])
        texts = [text_of(cell) for cell in cells]
        if all(map(is_nothing, texts)):
            return None
        if len(texts) == 1:
            texts = re.split(r"[\s,;]+", texts[0].strip("[]() "))
        try:
            x, y, width, height = (float(text) for text in texts)
        except ValueError:
            x = y = width = height = math.nan
        if not all(map(math.isfinite, (x, y, width, height))):
            raise _FaultError(
                f"box is {' '.join(texts)}; expected four numbers, pixels, as {box_format}"
            )
        xyxy = box_format.startswith("xyxy")
        return (x, y, width, height) if xyxy else (x, y, x + width, y + height)


class _FaultError(ValueError):
    """What is wrong with a cell, in words that follow its place."""


def means_nobody(name: str, form: Form) -> bool:
    """Whether a name is a word for none of the known, or has no letter and no digit at all.

    Words of the form count as they stand, in any case; `UNKNOWN` without blanks and marks as well.
    """
    seen = look(name)
    if seen in map(look, form.known):
        return False
    bare = _bare_look(name)
    return not bare or bare in UNKNOWN or seen in map(look, form.unknown)


def _bare_look(name: str) -> str:
    """A name without blanks and marks, in one case and form."""
    return "".join(letter for letter in look(name) if letter.isalnum())


def _carried(value: object) -> str:
    """A cell as it is carried: lists and objects are none."""
    if isinstance(value, (list, tuple, dict, np.ndarray)):
        return ""
    return " ".join(text_of(value).split())
