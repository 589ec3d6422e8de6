"""Answers and people's decisions in the forms of other programs: tables, COCO, folders, captures."""

from __future__ import annotations

import argparse
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from whales.base.console import log
from whales.base.errors import UserError, shown
from whales.base.folders import new_folder, require_new, unique_names
from whales.base.tables import csv_text, for_spreadsheets
from whales.base.workbooks import write_workbook
from whales.base.writing import require_space, require_writable, write_bytes, write_text
from whales.exchange.sightings import ANSWER, DECISION, Sighting
from whales.exchange.wildbook import SPECIES, write_wildbook
from whales.files.import_table import UNMATCHED
from whales.files.labels import stem
from whales.files.submissions import ANSWERS
from whales.files.workspace import Workspace
from whales.photos.photos import photo_header, photo_size, require_file

# A date is cut to so many characters.
OCCASIONS = {"year": 4, "month": 7, "day": 10}


@dataclass(frozen=True)
class Exports:
    """What is to be written, and where; None for what is not asked for.

    csv, xlsx: tables of photos, individuals, boxes and answers; coco: COCO JSON; capture_histories:
    individual x occasion; folders: a new folder with one for each individual, photos as links if `link`;
    wildbook: a new folder with photos and bulk-import workbooks, species: of them, genus and epithet;
    with_labelled: the labelled photos as well, in all but the captures, which always have them;
    decided_only: of the queries those alone that people decided on; occasions: one of `OCCASIONS`, None for
    the finest that all dates have. Raises `UserError` for nothing, for a workbook of another suffix, for a
    folder that is there and not empty, and where one of them cannot be written.
    """

    csv: Path | None = None
    xlsx: Path | None = None
    coco: Path | None = None
    capture_histories: Path | None = None
    folders: Path | None = None
    wildbook: Path | None = None
    species: str = SPECIES
    decided_only: bool = False
    with_labelled: bool = False
    occasions: str | None = None
    link: bool = False

    def __post_init__(self) -> None:
        files = (self.csv, self.xlsx, self.coco, self.capture_histories)
        folders = [folder for folder in (self.folders, self.wildbook) if folder]
        if not (any(files) or folders):
            raise UserError("nothing to write; give --csv, --xlsx, --coco, --folders or another")
        if self.xlsx and self.xlsx.suffix.lower() != ".xlsx":
            raise UserError(f"--xlsx {self.xlsx}: the name must end in .xlsx")
        if len(self.species.split()) != 2:
            raise UserError(
                f"--species is genus and epithet, such as {SPECIES!r}; received {self.species!r}"
            )
        require_writable(*files)
        if len({require_new(folder) for folder in folders}) < len(folders):
            raise UserError(f"{folders[0]} is named twice; name a folder for each")


_FORMS = {
    "csv": "table of photos, individuals, boxes and the five answers",
    "xlsx": "the same as a workbook",
    "coco": "COCO JSON, an individual a category",
    "capture-histories": "individual x occasion of 0 and 1, labelled photos too; "
    "MARK's lines if the name ends in .inp, a workbook if in .xlsx, else CSV",
}


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `Exports`, and what `read_sightings` is asked."""
    add = parser.add_argument
    for name, meaning in _FORMS.items():
        add(f"--{name}", type=Path, metavar="FILE", help=meaning)
    add("--folders", type=Path, metavar="OUT", help="a folder per individual, and unmatched")
    bulk = "photos and workbooks for the bulk import of Wildbook and Flukebook"
    add("--wildbook", type=Path, metavar="OUT", help=bulk)
    add("--species", default=SPECIES, help=f"in these workbooks (default: {SPECIES})")
    add("--decided-only", action="store_true", help="no photo that nobody has decided on")
    add("--with-labelled", action="store_true", help="the labelled photos as well, in all of them")
    add("--occasions", choices=OCCASIONS, help="default: the finest that all dates have")
    add("--link", action="store_true", help="links instead of copies in --folders")
    add("--answers", type=Path, metavar="FILE", help="default: the ensemble's submission")
    queries = "tables of identify.py, whose photos are given out in place of the test photos"
    add("--results", type=Path, nargs="+", default=[], metavar="FILE", help=queries)
    details = "table with a column photo, and date or any others, of photos from elsewhere"
    add("--details", type=Path, metavar="TABLE", help=details)
    add("--decisions", type=Path, metavar="FILE", help="default: the work root's")


def export(exports: Exports, sightings: Sequence[Sighting], workspace: Workspace) -> None:
    """Write what is asked for of the sightings of `read_sightings`; says how many photos that are.

    All is computed, and all photos are found, before the first file is written.
    """
    if exports.decided_only:
        left_out = sum(s.source == ANSWER for s in sightings)
        sightings = [s for s in sightings if s.source != ANSWER]
        log(f"{left_out} photos that nobody has decided on are left out")
    chosen = [s for s in sightings if exports.with_labelled or s.asked]
    table = sightings_table(chosen)
    content = coco(chosen, workspace) if exports.coco else {}
    histories, unseen = None, 0
    if exports.capture_histories:
        histories, unseen = _histories(sightings, exports.occasions)
    if exports.folders:
        write_folders(exports.folders, chosen, workspace, exports.link)
    if exports.wildbook:
        write_wildbook(exports.wildbook, chosen, workspace, exports.species)
    for path in filter(None, (exports.csv, exports.xlsx)):
        write_table(path, table)
    if exports.coco:
        write_coco(exports.coco, content)
    if exports.capture_histories and histories is not None:
        write_histories(exports.capture_histories, histories, unseen)
    matched = sum(s.individual != UNMATCHED for s in chosen)
    decided = sum(s.source == DECISION for s in chosen)
    log(f"{len(chosen)} photos, {matched} matched, {decided} of them decided by people")


def _histories(sightings: Sequence[Sighting], occasions: str | None) -> tuple[pd.DataFrame, int]:
    """Capture histories, and how many of their captures nobody looked at; the log counts both."""
    histories, left_out = capture_histories(sightings, occasions)
    for reason, photos in left_out.items():
        log(f"capture histories: {photos} photos {reason} capture nobody")
    captures, unseen = int(histories.to_numpy().sum()), unseen_captures(sightings, histories)
    log(
        f"capture histories: {captures} captures, {unseen} of which nobody looked at"
        + (" (first answers of the nets; --decided-only leaves them out)" if unseen else "")
    )
    return histories, unseen


def sightings_table(sightings: Sequence[Sighting]) -> pd.DataFrame:
    """A row per photo: photo, image, identity, source, decided_by, date, split, x, y, w, h, answer_1 ..
    answer_5, and the carried columns.
    """
    rows = []
    details = list(dict.fromkeys(column for s in sightings for column in s.details))
    for s in sightings:
        x1, y1, x2, y2 = s.box or (0, 0, 0, 0)
        box = (x1, y1, x2 - x1, y2 - y1) if s.box else ("",) * 4
        answers = [*s.answers, *[""] * ANSWERS][:ANSWERS]
        who = s.photo, s.image, s.individual, s.source, s.decided_by, s.date, s.split
        rows.append((*who, *box, *answers, *(s.details.get(column, "") for column in details)))
    columns = ["photo", "image", "identity", "source", "decided_by", "date", "split"]
    columns += ["x", "y", "w", "h", *(f"answer_{rank}" for rank in range(1, ANSWERS + 1))]
    # A column that people gave may have the name of one of these.
    carried = [f"{column}_2" if column in columns else column for column in details]
    return pd.DataFrame(rows, columns=[*columns, *carried], dtype=object)


def write_table(path: Path | str, table: pd.DataFrame) -> None:
    """Write a table as .xlsx if the name ends so, else as UTF-8 CSV; whole or not at all."""
    header, rows = list(map(str, table.columns)), table.to_numpy(object).tolist()
    if Path(path).suffix.lower() == ".xlsx":
        content = io.BytesIO()  # a ZIP file that cannot be ended complains once more when it goes
        write_workbook(content, [header, *rows])
        write_bytes(path, content.getbuffer())
    else:
        write_text(path, for_spreadsheets(csv_text(header, rows)))


def coco(sightings: Sequence[Sighting], workspace: Workspace) -> dict[str, list[dict[str, object]]]:
    """COCO's images, annotations and categories: an individual is a category, `unmatched` is one too.

    A photo of several animals is one image with several annotations. Without a box the whole frame is
    the box. bbox is [x, y, width, height] in pixels of the photo in the work root.
    """
    individuals = sorted({s.individual for s in sightings})
    categories = {name: number for number, name in enumerate(individuals, start=1)}
    images: dict[str, dict[str, object]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    annotations: list[dict[str, object]] = []
    for number, s in enumerate(sightings, start=1):
        if s.photo not in images:
            width, height = sizes[s.photo] = _size(s, workspace)
            images[s.photo] = {
                "id": len(images) + 1, "file_name": s.photo, "width": width, "height": height,
                "date_captured": s.date, "split": s.split, **_other(s.details, "id"),
            }  # fmt: skip
        x1, y1, x2, y2 = s.box or (0, 0, *sizes[s.photo])
        annotations.append({
            "id": number, "image_id": images[s.photo]["id"], "category_id": categories[s.individual],
            "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0,
            "source": s.source, "decided_by": s.decided_by,
        })  # fmt: skip
    named = [{"id": number, "name": name} for name, number in categories.items()]
    return {"images": list(images.values()), "annotations": annotations, "categories": named}


def _size(sighting: Sighting, workspace: Workspace) -> tuple[int, int]:
    """(width, height) of a photo, as its box has it: photos from elsewhere are held upright."""
    if sighting.file:
        return photo_header(sighting.file).upright_size
    return photo_size(sighting.path(workspace))


def _other(details: Mapping[str, str], *taken: str) -> dict[str, str]:
    """The carried columns that do not bear the name of one of COCO's own fields."""
    own = {"file_name", "width", "height", "date_captured", "split", *taken}
    return {column: text for column, text in details.items() if column not in own}


def write_coco(path: Path | str, content: Mapping[str, object]) -> None:
    """Write COCO's JSON, UTF-8; whole or not at all."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def write_folders(
    path: Path | str, sightings: Sequence[Sighting], workspace: Workspace, link: bool = False
) -> None:
    """Write a folder per individual and `unmatched`, photos under their names in the work root.

    path: must be new or empty; link: symbolic links instead of copies. Letters that a folder's name
    cannot have become `_`.
    """
    files = [s.path(workspace) for s in sightings]
    for file in files:
        require_file(file)
    individuals = sorted({s.individual for s in sightings} - {UNMATCHED})
    folders = dict(zip(individuals, unique_names(individuals, [UNMATCHED]), strict=True))
    if not link:
        require_space(path, sum(file.stat().st_size for file in files))
    names = _file_names([(folders.get(s.individual, UNMATCHED), s.image) for s in sightings])
    with new_folder(path) as top:
        (top / UNMATCHED).mkdir()
        for name in folders.values():
            (top / name).mkdir()
        for name, file in zip(names, files, strict=True):
            target = top / name
            if link:
                target.symlink_to(file.resolve())
            else:
                shutil.copy2(file, target)


def _file_names(photos: Sequence[tuple[str, str]]) -> list[str]:
    """A path below the top for each (folder, file name), different in any case; names stay where they can."""
    result = []
    taken: dict[str, set[str]] = {}
    for folder, name in photos:
        used = taken.setdefault(folder, set())
        if name.casefold() in used:
            [free] = unique_names([stem(name)], {stem(other) for other in used})
            name = f"{free}{Path(name).suffix}"
        used.add(name.casefold())
        result.append(f"{folder}/{name}")
    return result


def capture_histories(
    sightings: Sequence[Sighting], occasions: str | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Individual x occasion of 0 and 1, and how many photos of each kind are left out.

    occasions: year, month or day; None for the finest that all dates have. An occasion is every one
    with a dated photo, even if none was matched; photos without a date, and unmatched ones, capture
    nobody. Returns the table (index: individual, columns: occasions, sorted) and the counts.
    Raises `UserError` where no photo has a date, or one is not precise enough.
    """
    dated = [s for s in sightings if s.date]
    if not dated:
        raise UserError("no photo has a date; capture histories need the dates of data/import.csv")
    coarsest = min(dated, key=lambda s: len(s.date))
    length = OCCASIONS[occasions] if occasions else len(coarsest.date)
    if len(coarsest.date) < length:
        raise UserError(
            f"photo {coarsest.photo}: date {coarsest.date} has no {occasions}; "
            "choose coarser occasions or complete data/import.csv"
        )
    columns = sorted({s.date[:length] for s in dated})
    matched = [s for s in dated if s.individual != UNMATCHED]
    individuals = sorted({s.individual for s in matched})
    table = pd.DataFrame(0, index=pd.Index(individuals, name="individual"), columns=columns)
    for s in matched:
        table.loc[s.individual, s.date[:length]] = 1
    undated = len(sightings) - len(dated)
    return table, {"without a date": undated, UNMATCHED: len(dated) - len(matched)}


def unseen_captures(sightings: Sequence[Sighting], table: pd.DataFrame) -> int:
    """How many of a table's captures rest on answers alone, which nobody looked at.

    table: of `capture_histories` of the same sightings.
    """
    length = len(table.columns[0])
    seen = {(s.individual, s.date[:length]) for s in sightings if s.date and s.source != ANSWER}
    unseen = {(s.individual, s.date[:length]) for s in sightings if s.date} - seen
    return sum(individual != UNMATCHED for individual, _ in unseen)


def write_histories(path: Path | str, table: pd.DataFrame, unseen: int = 0) -> None:
    """Write capture histories: MARK's lines `/* individual */ 0101 1;` for .inp, else CSV or .xlsx.

    unseen: captures that nobody looked at; MARK's file says so too.
    """
    if Path(path).suffix.lower() != ".inp":
        write_table(path, table.reset_index())
        return
    lines = [f"/* occasions: {' '.join(table.columns)} */"]
    if unseen:
        captures = int(table.to_numpy().sum())
        lines.append(f"/* {unseen} of {captures} captures are answers that nobody looked at */")
    lines += [
        # MARK ends a comment at the first */.
        f"/* {shown(individual).replace('*/', '* /')} */ {''.join(map(str, row))} 1;"
        for individual, row in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]
    write_text(path, "\n".join(lines) + "\n")
