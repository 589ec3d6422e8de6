"""Answers and people's decisions in the forms of other programs: tables, COCO, folders, captures."""

from __future__ import annotations

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
from whales.base.pickles import load
from whales.base.tables import csv_text, for_spreadsheets
from whales.base.workbooks import write_workbook
from whales.base.writing import require_space, require_writable, write_bytes, write_text
from whales.files.boxes import Box, checked_boxes
from whales.files.dataset import test_photos, training_identities
from whales.files.decided_photos import DecidedPhotos
from whales.files.decisions import SKIP, DecisionLog, words_of
from whales.files.import_table import PLAYGROUND, TEST, TRAIN, UNMATCHED, imported
from whales.files.labels import NEW_WHALE, stem, with_jpg
from whales.files.submissions import ANSWERS, read_known_answers
from whales.files.workspace import Workspace, require
from whales.photos.photos import photo_size, require_file

# A date is cut to so many characters.
OCCASIONS = {"year": 4, "month": 7, "day": 10}


@dataclass(frozen=True)
class Exports:
    """What is to be written, and where; None for what is not asked for.

    csv, xlsx: tables of photos, individuals, boxes and answers; coco: COCO JSON; capture_histories:
    individual x occasion; folders: a new folder with one for each individual, photos as links if `link`;
    with_labelled: the labelled photos as well, in all but the captures, which always have them;
    occasions: one of `OCCASIONS`, None for the finest that all dates have. Raises `UserError` for
    nothing, for a workbook of another suffix, for a folder that is there and not empty, and where one of
    them cannot be written.
    """

    csv: Path | None = None
    xlsx: Path | None = None
    coco: Path | None = None
    capture_histories: Path | None = None
    folders: Path | None = None
    with_labelled: bool = False
    occasions: str | None = None
    link: bool = False

    def __post_init__(self) -> None:
        if not (self.csv or self.xlsx or self.coco or self.capture_histories or self.folders):
            raise UserError("nothing to write; give --csv, --xlsx, --coco, --folders or another")
        if self.xlsx and self.xlsx.suffix.lower() != ".xlsx":
            raise UserError(f"--xlsx {self.xlsx}: the name must end in .xlsx")
        require_writable(self.csv, self.xlsx, self.coco, self.capture_histories)
        if self.folders:
            require_new(self.folders)


@dataclass(frozen=True)
class Sighting:
    """One photo and the individual on it.

    image: file name in the work root; photo: name in the data it was imported from (without
    `data/import.csv`, the path below `data/`); individual: its name there, `unmatched` if none of
    the known; source: label, decision or answer; split: train, test or playground; date: ISO or "";
    box: (x1, y1, x2, y2) in pixels, or None; answers: ranked, best first, none for a labelled photo.
    """

    image: str
    photo: str
    individual: str
    source: str
    split: str
    date: str = ""
    box: tuple[int, int, int, int] | None = None
    answers: tuple[str, ...] = ()


def export(exports: Exports, sightings: Sequence[Sighting], workspace: Workspace) -> None:
    """Write what is asked for of the sightings of `read_sightings`; says how many photos that are.

    All is computed, and all photos are found, before the first file is written.
    """
    chosen = [s for s in sightings if exports.with_labelled or s.split == TEST]
    table = sightings_table(chosen)
    content = coco(chosen, workspace) if exports.coco else {}
    histories = None
    if exports.capture_histories:
        histories, left_out = capture_histories(sightings, exports.occasions)
        for reason, photos in left_out.items():
            log(f"capture histories: {photos} photos {reason} capture nobody")
    if exports.folders:
        write_folders(exports.folders, chosen, workspace, exports.link)
    for path in filter(None, (exports.csv, exports.xlsx)):
        write_table(path, table)
    if exports.coco:
        write_coco(exports.coco, content)
    if exports.capture_histories and histories is not None:
        write_histories(exports.capture_histories, histories)
    matched = sum(s.individual != UNMATCHED for s in chosen)
    decided = sum(s.source == "decision" for s in chosen)
    log(f"{len(chosen)} photos, {matched} matched, {decided} of them decided by people")


def read_sightings(
    workspace: Workspace, answers: Path | None = None, decisions: Path | None = None
) -> list[Sighting]:
    """Sightings of all labelled photos, then of the answered ones, each in file order.

    answers: a submission (default: the ensemble's); decisions: a table `DECISION_COLUMNS` (default:
    the work root's, if it is there). A decision wins over the first answer; without a submission there
    are only the decided photos. Raises `UserError` naming file and row.
    """
    path = require(workspace, decisions) if decisions else workspace.file("decisions")
    needed = answers is not None or not path.exists()
    answers = answers or workspace.file("submission")
    if needed:
        require(workspace, answers)
    labels = training_identities(workspace)
    if answers.exists():
        ranked = read_known_answers(answers, labels.values())
    else:
        log(f"{answers} is not there: of the test photos only those that people decided on")
        ranked = {name: [] for name in test_photos(workspace)}
    decided: dict[str, str] = {}
    if path.exists():
        decided = read_decisions(path, ranked, labels, workspace)
        workspace.digests.remember()
    rows = imported(workspace)
    names = {row["Id"]: row["identity"] for row in rows.values() if row["identity"]}
    names |= {NEW_WHALE: UNMATCHED}
    if UNMATCHED in labels.values() or UNMATCHED in names:
        raise UserError(
            f"an identity is called {UNMATCHED}, which means none; give it another name"
        )
    boxes = _boxes(workspace)

    def sighting(name: str, identity: str, source: str, split: str) -> Sighting:
        row = rows.get(name, {})
        photo = row.get("original") or f"{split}/{with_jpg(name)}"
        individual, date = names.get(identity, identity), row.get("date", "")
        box = _whole_pixels(boxes[name]) if name in boxes else None
        answers = ranked[name] if split == TEST else []
        named = tuple(names.get(answer, answer) for answer in answers)
        return Sighting(with_jpg(name), photo, individual, source, split, date, box, named)

    sightings = [sighting(name, identity, "label", TRAIN) for name, identity in labels.items()]
    # Identities lent to the playground are individuals all the same.
    sightings += [
        sighting(name, row["Id"], "label", PLAYGROUND)
        for name, row in rows.items()
        if row["split"] == PLAYGROUND
    ]
    for name, best in ranked.items():
        if name in decided or best:
            source = "decision" if name in decided else "answer"
            sightings.append(sighting(name, decided.get(name) or best[0], source, TEST))
    return sightings


def _whole_pixels(box: Box) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (int(value) for value in box)
    return x1, y1, x2, y2


def read_decisions(
    path: Path | str,
    queries: Mapping[str, object],
    labels: Mapping[str, str],
    workspace: Workspace | None = None,
) -> dict[str, str]:
    """Query (stem) -> identity or `new_whale` that people settled on.

    Left out are queries whose last decision is a skip, those on which people differ, and decisions on
    photos of other content, even of the same name (the log names both). queries: test photos, keyed by
    stem; labels: stem -> identity of the training photos; workspace: where the photos are (None: only
    decisions that know no content are taken). Raises `UserError` naming the line.
    """
    rows = DecisionLog(path).rows()
    for row in rows:
        if stem(row.query) not in queries and not row.query_content:
            raise UserError(
                f"{path}, line {row.line}: query {row.query} is no test photo of this work root; "
                "take the row out"
            )
    known = {*labels.values()} - {NEW_WHALE}
    settled: dict[str, str] = {}
    differing = []
    names = list(queries)
    verdicts = _decided_photos(names, workspace).verdicts(rows)
    for index, stack in verdicts.of_photo.items():
        query = names[index]
        words = words_of(stack, labels, known, path)
        if len({*words.values()}) > 1:
            differing.append(query)
        elif stack[-1].decision != SKIP:
            settled[query] = words[stack[-1].who]
    if differing:
        log(f"{path}: people differ on {', '.join(differing)}: no decision there")
    if verdicts.elsewhere:
        others = ", ".join(verdicts.elsewhere)
        log(f"{path}: decisions on photos that are no test photos are left out: {others}")
    for note in verdicts.notes():
        log(f"{path}: {note}")
    return settled


def _decided_photos(names: Sequence[str], workspace: Workspace | None) -> DecidedPhotos:
    """The test photos (stems) of a work root, as decisions name them."""
    if workspace is None:
        return DecidedPhotos(names)
    digest = workspace.digests.of
    return DecidedPhotos(
        names,
        lambda index: digest(workspace.test_photo(names[index])),
        lambda name: digest(workspace.train_photo(name)),
    )


def _boxes(workspace: Workspace) -> dict[str, Box]:
    """Stem -> box: the final boxes, else the first ones; none where there is no file of either."""
    pairs = (
        ("boxes_averaged_playground", "boxes_playground_v2"), ("boxes_averaged", "boxes_v5")
    )  # fmt: skip
    boxes: dict[str, Box] = {}
    for keys in pairs:
        present = [path for path in map(workspace.file, keys) if path.exists()]
        boxes |= checked_boxes(load(present[0]), present[0]) if present else {}
    return boxes


def sightings_table(sightings: Sequence[Sighting]) -> pd.DataFrame:
    """A row per photo: photo, image, identity, source, date, split, x, y, w, h, answer_1 .. answer_5."""
    rows = []
    for s in sightings:
        x1, y1, x2, y2 = s.box or (0, 0, 0, 0)
        box = (x1, y1, x2 - x1, y2 - y1) if s.box else ("",) * 4
        answers = [*s.answers, *[""] * ANSWERS][:ANSWERS]
        rows.append((s.photo, s.image, s.individual, s.source, s.date, s.split, *box, *answers))
    columns = ["photo", "image", "identity", "source", "date", "split", "x", "y", "w", "h"]
    columns += [f"answer_{rank}" for rank in range(1, ANSWERS + 1)]
    return pd.DataFrame(rows, columns=columns, dtype=object)


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
            width, height = sizes[s.photo] = photo_size(workspace.photo(stem(s.image)))
            images[s.photo] = {
                "id": len(images) + 1, "file_name": s.photo, "width": width, "height": height,
                "date_captured": s.date, "split": s.split,
            }  # fmt: skip
        x1, y1, x2, y2 = s.box or (0, 0, *sizes[s.photo])
        annotations.append({
            "id": number, "image_id": images[s.photo]["id"], "category_id": categories[s.individual],
            "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0,
            "source": s.source,
        })  # fmt: skip
    named = [{"id": number, "name": name} for name, number in categories.items()]
    return {"images": list(images.values()), "annotations": annotations, "categories": named}


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
    files = [workspace.photo(stem(s.image)) for s in sightings]
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


def write_histories(path: Path | str, table: pd.DataFrame) -> None:
    """Write capture histories: MARK's lines `/* individual */ 0101 1;` for .inp, else CSV or .xlsx."""
    if Path(path).suffix.lower() != ".inp":
        write_table(path, table.reset_index())
        return
    lines = [f"/* occasions: {' '.join(table.columns)} */"]
    lines += [
        # MARK ends a comment at the first */.
        f"/* {shown(individual).replace('*/', '* /')} */ {''.join(map(str, row))} 1;"
        for individual, row in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]
    write_text(path, "\n".join(lines) + "\n")
