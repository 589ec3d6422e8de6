"""Other people's forms of a data set: a folder per identity, tables, COCO; all become `Record`s.

The steps that follow know nothing of the forms.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from whales.base.console import log
from whales.base.errors import UserError, shown
from whales.base.plain_json import read_json
from whales.base.tables import read_table, require_columns
from whales.files.import_table import PLAYGROUND, TEST, TRAIN, UNMATCHED
from whales.files.labels import NEW_WHALE
from whales.files.names import cleaned, look, means_new_whale, quoted
from whales.photos.photos import PHOTO_SUFFIXES

UNKNOWN = (NEW_WHALE, "unknown", UNMATCHED)  # wildlife-datasets writes `unknown`

_NOTHING = ("", "nan", "none", "null", "[]", "<na>", "nat")
# A time of day may follow a whole date; `2019.0` is a year that a spreadsheet took for a number.
_DATE = re.compile(r"(\d{4})(?:\.0)?|(\d{4})-(\d\d)(?:-(\d\d)(?:[T ]\d\d:.*)?)?")
USUAL = {
    "photo": ("photo", "path", "image", "Image", "file_name", "filename"),
    "identity": ("identity", "Identity", "individual", "Id"),
    "date": ("date", "Date", "date_captured"),
    "split": ("split", "original_split"),
}
_CORNERS = ("x1", "y1", "x2", "y2")
_MOST_FIELDS = 1_000  # names in the objects of a COCO list
_BOX_NAMES = (("bbox",), ("box",), ("x", "y", "w", "h"), _CORNERS)
_WORDS = {
    "unknown": "identities that mean none of the known",
    "train_words": "what the split column calls train",
    "test_words": "and test",
}


@dataclass(frozen=True)
class Form:
    """How a table names things.

    photo, identity, date, split: column names; None for the usual ones (see `USUAL`), "" for none.
    box: one column (`[x, y, w, h]`) or four; None for the usual ones, () for none. box_format: xywh or
    xyxy; None for xyxy where the columns are called x1 y1 x2 y2, else xywh.
    unknown: words in the identity column that mean "none of the known", in any case.
    train_words, test_words: what the split column may say, in any case, besides `playground`.
    """

    photo: str | None = None
    identity: str | None = None
    box: tuple[str, ...] | None = None
    box_format: str | None = None
    date: str | None = None
    split: str | None = None
    unknown: tuple[str, ...] = UNKNOWN
    train_words: tuple[str, ...] = ("train", "training", "database", "gallery")
    test_words: tuple[str, ...] = ("test", "testing", "query")


def add_form_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `Form`."""
    usual, add = Form(), parser.add_argument
    for name, names in USUAL.items():
        meaning = f"of the {name}, '' for none (else {', '.join(names)})"
        add(f"--{name}-column", metavar="NAME", dest=name, help=meaning)
    boxes = ", ".join(map(" ".join, _BOX_NAMES))
    add(
        "--box-columns",
        nargs="+",
        metavar="NAME",
        dest="box",
        help=f"one or four, '' for none (else {boxes})",
    )
    add("--box-format", choices=("xywh", "xyxy"), help="default: xyxy for x1 y1 x2 y2, else xywh")
    for name, meaning in _WORDS.items():
        words = getattr(usual, name)
        meaning = f"{meaning} (else {', '.join(words)})"
        option = f"--{name.replace('_', '-')}"
        add(option, nargs="+", metavar="WORD", default=words, help=meaning)


@dataclass(frozen=True)
class Record:
    """One photo of one animal.

    where: file and row, for messages; original: name in the source; identity: "" if not labelled,
    `new_whale` if said to be none of the known; box: (x1, y1, x2, y2) in pixels of the upright photo;
    date: YYYY, YYYY-MM, YYYY-MM-DD or ""; split: one of `PARTS`, or "" if the source does not say.
    ready: whether the file is a JPEG whose pixels are stored upright (known once it was checked).
    """

    where: str
    original: str
    path: Path
    identity: str = ""
    box: tuple[float, float, float, float] | None = None
    date: str = ""
    split: str = ""
    ready: bool = False


def read_source(
    source: Path | str, form: Form, photos: Path | str | None = None, split: str = ""
) -> list[Record]:
    """Records of a folder per identity, a COCO file (.json) or a table (.csv, .tsv, .xlsx).

    photos: where the names of a table or COCO file begin (default: the file's folder); split: of all
    the records, whatever a split column says. Raises `UserError` naming file and row.
    """
    source = Path(source)
    folder = Path(photos) if photos else source.parent
    if source.is_dir():
        folder, (frame, positions) = source, _folder_table(source)
        # The options that name columns are for the tables beside it.
        form = replace(form, photo="photo", identity="identity", box=(), date="", split="")
    elif source.suffix.lower() == ".json":
        frame, positions = _coco_table(source)
    else:
        frame, positions = read_table(source)
    if frame.empty:
        raise UserError(f"{source} has no photos; name a folder per identity, a table or COCO JSON")
    return records_of(frame, source, form, folder, split, positions)


def records_of(
    frame: pd.DataFrame,
    source: Path | str,
    form: Form,
    folder: Path | str,
    split: str = "",
    positions: Sequence[str] | None = None,
) -> list[Record]:
    """Records of a table in memory, such as the metadata frame of wildlife-datasets.

    source: name of the table in messages; folder: where photo names begin; split: as in `read_source`;
    positions: file and line of each row, for messages. Raises `UserError` naming source and row.
    """
    columns = {name: _column(frame, source, form, name) for name in USUAL}
    if split:
        columns["split"] = ""
    for name in ("photo", "identity"):
        # Queries need no identities.
        if not columns[name] and not (name == "identity" and split == TEST):
            raise UserError(
                f"{source}: no column of the {name}; name it with --{name}-column, "
                f"received {','.join(map(str, frame.columns))}"
            )
    box = _box_columns(frame, source, form)
    if not Path(source).is_dir():  # a folder has no columns to mistake
        used = {**columns, "box": " ".join(box)}
        log(f"{source}: " + ", ".join(f"{key} = {value}" for key, value in used.items() if value))
    box_format = form.box_format or ("xyxy" if box == _CORNERS else "xywh")
    positions = positions or [f"{source}, row {label}" for label in frame.index]
    rows = frame.to_dict("records")
    return [
        _record(row, where, columns, box, box_format, form, Path(folder), split)
        for row, where in zip(rows, positions, strict=True)
    ]


def _folder_table(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """A folder per identity: photos at any depth below it; those beside the folders have none."""
    photos, others = _files_below(folder)
    if others:
        log(f"{folder}: {others} files that are no photos are left out")
    rows = []
    for path in photos:
        names = path.relative_to(folder).parts
        rows.append(("/".join(names), names[0] if len(names) > 1 else ""))
    return pd.DataFrame(rows, columns=["photo", "identity"]), [shown(path) for path in photos]


def _files_below(folder: Path) -> tuple[list[Path], int]:
    """What has a photo's extension at any depth of a folder, sorted, and the number of other files.

    Nothing hidden counts; linked folders count as other files. A folder with a photo's extension that
    lies in an identity's folder is taken for a photo, which it will be refused as. `UserError` for a
    folder that cannot be read.
    """

    def refuse(reason: OSError) -> None:
        raise UserError(f"folder {shown(reason.filename)} cannot be read ({reason.strerror})")

    photos: list[Path] = []
    others = 0
    for place, folders, files in os.walk(folder, onerror=refuse):
        named = [name for name in folders if Path(name).suffix.lower() in PHOTO_SUFFIXES]
        named = [] if Path(place) == folder else named
        folders[:] = [name for name in folders if name[0] != "." and name not in named]
        others += sum(os.path.islink(os.path.join(place, name)) for name in folders)
        for name in [*files, *named]:
            if name[0] == ".":
                continue
            if Path(name).suffix.lower() in PHOTO_SUFFIXES:
                photos.append(Path(place, name))
            else:
                others += 1
    return sorted(photos), others


def _coco_table(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """A row per annotation, and one per image without any; categories are the identities.

    The fields of image and annotation keep their names, so that columns can be chosen among them.
    """
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    if not isinstance(content, dict) or "images" not in content:
        raise UserError(
            f"{path} is not COCO JSON: expected images with an id, categories with id and name"
        )
    images = _by_id(path, "image", content["images"])
    categories = _by_id(path, "category", content.get("categories", []))
    annotations = _objects(path, "annotation", content.get("annotations", []))
    rows, positions, seen = [], [], set()
    for number, entry in enumerate(annotations):
        where = f"{path}, annotation {entry.get('id', number)}"
        image, category = entry.get("image_id"), entry.get("category_id")
        if not (_is_id(image) and (category is None or _is_id(category))):
            raise UserError(f"{where}: image_id and category_id must be numbers or words")
        if image not in images:
            raise UserError(f"{where}: there is no image {image}; add it or take the entry out")
        if category is not None and category not in categories:
            raise UserError(f"{where}: there is no category {category}; add it")
        seen.add(image)
        identity = {
            "identity": "" if category is None else _word(categories[category], "name", where)
        }
        photo = {"photo": _word(images[image], "file_name", where)}
        rows.append({**identity, **images[image], **entry, **photo})
        positions.append(where)
    for key, image in images.items():
        if key not in seen:
            where = f"{path}, image {key}"
            rows.append({"identity": "", **image, "photo": _word(image, "file_name", where)})
            positions.append(where)
    return pd.DataFrame(rows), positions


def _objects(path: Path, kind: str, entries: object) -> list[dict[str, object]]:
    """A COCO list; `UserError` where it is none, or not of objects, or has too many kinds of fields."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path} is not COCO JSON: its list of each {kind} must hold objects")
    if len({name for entry in entries for name in entry}) > _MOST_FIELDS:
        raise UserError(f"{path}: its {kind} entries have more than {_MOST_FIELDS} kinds of fields")
    return entries


def _by_id(path: Path, kind: str, entries: object) -> dict[object, dict[str, object]]:
    """A COCO list by its ids; `UserError` for an entry without one, or with that of another."""
    found: dict[object, dict[str, object]] = {}
    for number, entry in enumerate(_objects(path, kind, entries)):
        key = entry.get("id")
        if not _is_id(key):
            raise UserError(f"{path}, {kind} number {number}: its id must be a number or a word")
        if key in found:
            raise UserError(f"{path}: {kind} {key} is there twice; give each an id of its own")
        found[key] = entry
    return found


def _is_id(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _word(entry: Mapping[str, object], name: str, where: str) -> object:
    """A name in an object, None where there is none; `UserError` for a list or object."""
    value = entry.get(name)
    if value is not None and not _is_id(value):
        raise UserError(f"{where}: {name} must be a word")
    return value


def _column(frame: pd.DataFrame, source: Path | str, form: Form, name: str) -> str:
    """The column for `name`: that which the form names, else the first usual one there is, else ""."""
    given = getattr(form, name)
    if given is None:
        return next((column for column in USUAL[name] if column in frame.columns), "")
    if given:
        require_columns(frame, source, [given])
    return given


def _box_columns(frame: pd.DataFrame, source: Path | str, form: Form) -> tuple[str, ...]:
    if form.box is None:
        return next((names for names in _BOX_NAMES if {*names} <= {*frame.columns}), ())
    names = tuple(filter(None, form.box))
    if len(names) not in (0, 1, 4):
        raise UserError(f"a box is one column or four, received {len(names)}: {' '.join(names)}")
    require_columns(frame, source, names)
    return names


def _text(value: object) -> str:
    """A cell as text, "" for an empty one of any kind; whole numbers that became floats lose their `.0`."""
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def _record(
    row: Mapping[str, object],
    where: str,
    columns: Mapping[str, str],
    box: Sequence[str],
    box_format: str,
    form: Form,
    folder: Path,
    split: str,
) -> Record:
    cells = {name: _text(row[column]) if column else "" for name, column in columns.items()}
    if not cells["photo"]:
        raise UserError(f"{where}: {columns['photo']} is empty; fill it in")
    name = cells["photo"].replace("\\", "/")
    path = folder / name
    if not os.path.lexists(path):  # what is there but no photo is seen when it is opened
        raise UserError(
            f"{where}: photo {quoted(name)} is not in {folder}; put it there, or name the folder "
            "with --photos"
        )
    identity = cleaned(cells["identity"])
    if cells["identity"] and not any(letter.isalnum() for letter in identity):
        raise UserError(
            f"{where}: identity {quoted(cells['identity'])} has no letter and no digit; name the animal, "
            "or leave the cell empty"
        )
    words = {look(word) for word in form.unknown}
    unknown = means_new_whale(identity) or look(identity) in words
    return Record(
        where,
        name,
        Path(os.path.abspath(path)),
        NEW_WHALE if unknown else identity,
        _box([row[column] for column in box], box_format, where),
        _date(cells["date"], where),
        _split(cells["split"], where, form) if columns["split"] else split,
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _split(text: str, where: str, form: Form) -> str:
    words = {TRAIN: form.train_words, TEST: form.test_words, PLAYGROUND: (PLAYGROUND,)}
    for split, known in words.items():
        if text.casefold() in {word.casefold() for word in known}:
            return split
    raise UserError(
        f"{where}: split is {text or 'empty'}, expected one of "
        f"{', '.join(word for known in words.values() for word in known)}; "
        "name other words with --train-words and --test-words"
    )


def _date(text: str, where: str) -> str:
    """ISO text cut to YYYY, YYYY-MM or YYYY-MM-DD."""
    if text.casefold() in _NOTHING:
        return ""
    match = _DATE.fullmatch(text)
    year, *rest = [number for number in match.groups() if number] if match else [""]
    month, day = [*rest, "1", "1"][:2]
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        raise UserError(
            f"{where}: date is {text}; expected ISO, such as 2019, 2019-07 or 2019-07-30"
        ) from None
    return "-".join([year, *rest])


def _box(
    cells: Sequence[object], box_format: str, where: str
) -> tuple[float, float, float, float] | None:
    """(x1, y1, x2, y2) of one cell with four numbers or of four cells; None where all are empty."""
    if len(cells) == 1 and isinstance(cells[0], (list, tuple, np.ndarray)):
        cells = list(cells[0])
    texts = [_text(cell) for cell in cells]
    if all(text.casefold() in _NOTHING for text in texts):
        return None
    if len(texts) == 1:
        texts = re.split(r"[\s,;]+", texts[0].strip("[]() "))
    try:
        x, y, width, height = (float(text) for text in texts)
    except ValueError:
        x = y = width = height = math.nan
    if not all(map(math.isfinite, (x, y, width, height))):
        raise UserError(
            f"{where}: box is {' '.join(texts)}; expected four numbers, pixels, as {box_format}"
        )
    return (x, y, width, height) if box_format == "xyxy" else (x, y, x + width, y + height)
