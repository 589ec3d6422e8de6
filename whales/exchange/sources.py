"""From a source to a table of its photos: folders, tables, JSON and XML of programs that mark photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from whales.base.console import log
from whales.base.errors import UserError, shown
from whales.base.plain_json import read_json
from whales.base.tables import WORKBOOKS, read_table
from whales.base.workbooks import WorkbookFaultError, workbook_sheets
from whales.exchange import annotations
from whales.exchange.camera_traps import is_camera_trap_package, read_camera_traps
from whales.exchange.columns import Form, has_photos
from whales.photos.photo_folders import no_photo_in, photos_below

_MOST_FIELDS = 1_000  # names in the objects of a list


@dataclass(frozen=True)
class SourceTable:
    """A source as a table.

    positions: file and place of each row, for messages; folder: where its photos' names begin; form: as
    given, or what the source itself settles; else_identity: column of the identity where none is named;
    technical: whether the columns hold much that is no matter of animals; levels: whether the names' folders
    are those of the source.
    """

    frame: pd.DataFrame
    positions: Sequence[str]
    folder: Path
    form: Form
    else_identity: str = ""
    technical: bool = False
    levels: bool = False


def source_table(source: Path, form: Form, photos: Path | None = None) -> SourceTable:
    """The table of a folder or file; photos: where names begin (None: the file's folder).

    `UserError` where it is none of the forms, in words that name the form it looks like.
    """
    if source.is_dir():
        inside = _description_in(source)
        if not inside:
            return _folder_table(source, form)
        log(f"{source}: read as {inside.relative_to(source)} says; its folders are no identities")
        source = inside
    ending = source.suffix.lower()
    folder = photos or _photo_folder(source)
    if ending == ".json":
        return _json_table(source, form, folder)
    if ending == ".xml":
        return _marked(annotations.cvat_rows(source), folder, form)
    if ending in (".zip", ".rar", ".7z", ".gz", ".tar"):
        raise UserError(f"{source} is packed; unpack it, and name the folder or file in it")
    if ending in WORKBOOKS:
        form = _with_sheet(source, form)
    frame, positions = read_table(source, form.sheet, form.columns)
    return SourceTable(frame, positions, folder, form)


def _description_in(folder: Path) -> Path | None:
    """The file in a folder that says what its photos are, where a program has written one."""
    names = ("datapackage.json", "annotations.xml", "annotations/instances_default.json")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _photo_folder(source: Path) -> Path:
    # CVAT's COCO lies in annotations/, beside images/.
    return source.parent.parent if source.parent.name == "annotations" else source.parent


def _folder_table(folder: Path, form: Form) -> SourceTable:
    """A folder per identity: photos at any depth below it; those beside the folders have none."""
    found = photos_below(folder, of_identities=True)
    for note in found.notes():
        log(f"{folder}: {note}")
    if not found.photos:
        raise UserError(no_photo_in(folder, found))
    rows, level, shallow = [], form.identity_level, 0
    for path in found.photos:
        names = path.relative_to(folder).parts
        folders = names[:-1]
        deep = len(folders) >= abs(level)
        shallow += bool(folders) and not deep
        identity = folders[level - 1 if level > 0 else level] if deep else ""
        rows.append(("/".join(names), identity))
    if shallow:
        log(
            f"{folder}: {shallow} photos lie less than {abs(level)} folders deep: they have no identity"
        )
    frame = pd.DataFrame(rows, columns=["photo", "identity"])
    # The options that name columns are for the tables beside it.
    form = replace(
        form, photo="photo", identity="identity", box=(), date="", split="", encounter="", category="",
        categories=(), columns=(),
    )  # fmt: skip
    return SourceTable(frame, [shown(path) for path in found.photos], folder, form, levels=True)


def _with_sheet(source: Path, form: Form) -> Form:
    """The form with the sheet to read: the one that is named, else the first in which photos are."""
    try:
        sheets = workbook_sheets(source)
    except FileNotFoundError:
        raise UserError(f"{source} is missing") from None
    except WorkbookFaultError as reason:
        raise UserError(
            f"{source} is not a table with a header ({reason}); save it as UTF-8 CSV or .xlsx"
        ) from reason
    if form.sheet and form.sheet not in sheets:
        raise UserError(
            f"{source} has no sheet {form.sheet}; --sheet takes one of {', '.join(sheets)}"
        )
    if form.sheet or len(sheets) < 2:
        return form
    if form.columns:
        chosen = sheets[0]
    else:
        named = (name for name in sheets if has_photos(_header(source, name), form))
        chosen = next(named, sheets[0])
    others = ", ".join(name for name in sheets if name != chosen)
    log(f"{source}: sheet {chosen} is read, {others} not; choose with --sheet")
    return replace(form, sheet=chosen)


def _header(source: Path, sheet: str) -> pd.DataFrame:
    try:
        return read_table(source, sheet)[0]
    except UserError:  # it may be any text
        return pd.DataFrame()


def _json_table(source: Path, form: Form, folder: Path) -> SourceTable:
    try:
        content = read_json(source)
    except FileNotFoundError:
        raise UserError(f"{source} is missing") from None
    if is_camera_trap_package(content):
        table = read_camera_traps(source, content)
        return SourceTable(
            *table, folder, replace(form, category=form.category or "observationType")
        )
    if isinstance(content, dict) and "images" in content:
        return _marked(annotations.coco_rows(source, content), folder, form, "category")
    regions = annotations.via_photos(content)
    if regions is not None:
        return _marked(annotations.via_rows(source, regions), folder, form)
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        rows = ((f"{source}, entry {n}", annotations.flat(row)) for n, row in enumerate(content, 1))
        return _marked(rows, folder, form)
    raise UserError(
        f"{source} is none of the JSON that is read: COCO JSON (images with an id, categories with id and "
        "name), VIA, Camtrap DP (datapackage.json), or a list of objects"
    )


def _marked(
    rows: Iterable[tuple[str, Mapping[str, object]]],
    folder: Path,
    form: Form,
    else_identity: str = "",
) -> SourceTable:
    placed = list(rows)
    if len({name for _, row in placed for name in row}) > _MOST_FIELDS:
        raise UserError(f"{folder}: entries have more than {_MOST_FIELDS} kinds of fields")
    frame = pd.DataFrame([dict(row) for _, row in placed], dtype=object)
    return SourceTable(
        frame, [where for where, _ in placed], folder, form, else_identity, technical=True
    )
