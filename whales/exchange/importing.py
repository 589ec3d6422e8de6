"""Records of photos from elsewhere: everything checked, and laid out as a work root."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from whales.base.console import log, refuse
from whales.base.errors import UserError
from whales.base.folders import new_folder, unique_names
from whales.base.pickles import save
from whales.base.progress import progress_bar
from whales.base.tables import csv_text
from whales.base.writing import require_space, write_text
from whales.exchange.forms import Record
from whales.exchange.oddities import carried_sides
from whales.files.boxes import Box
from whales.files.import_table import IMPORT_COLUMNS, PARTS, PLAYGROUND, TEST, TRAIN, UNMATCHED
from whales.files.labels import NEW_WHALE, stem, with_jpg
from whales.files.settings import Settings, settings_text
from whales.files.sides import Sides, side_of
from whales.files.workspace import Workspace
from whales.photos.camera_notes import camera_notes
from whales.photos.photos import photo_header, read_photo
from whales.photos.upright import upright_jpeg

_QUALITY = 95  # of photos that must be encoded anew; from 90 on libvips keeps the full colour
_OVERHANG = 0.05  # of the photo's side: boxes drawn a little too far are clipped, others refused


def check(
    records: Sequence[Record],
    whole_frame: bool = False,
    skip: bool = False,
    workers: int = 1,
) -> list[Record]:
    """The records with everything settled: split, whole pixel boxes, `ready`, labels.

    Each photo is decoded to its end. whole_frame: a photo without a box gets the frame as its box;
    skip: leave out photos that cannot be read. Raises `UserError` naming file and row of all that is wrong,
    and where two columns say the sides.
    """
    _check_once(records)
    carried_sides(records)

    def settle(record: Record) -> Record | _Fault:
        try:
            size, ready, pixels = _look(record)
        except UserError as error:
            return _Fault(f"{record.where}: {error}", can_be_left_out=True)
        box = record.box or ((0, 0, *size) if whole_frame else None)
        if box and record.box and record.in_shares:
            box = box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]
        split = record.split or TRAIN
        identity = record.identity or ("" if split == TEST else NEW_WHALE)
        try:
            whole = _pixels(box, size, record.where)
        except UserError as error:
            return _Fault(str(error), can_be_left_out=False)
        return replace(
            record,
            box=whole,
            ready=ready,
            split=split,
            identity=identity,
            pixels=pixels,
            in_shares=False,
        )

    with ThreadPoolExecutor(workers) as pool:
        results = list(progress_bar("check photos", len(records), items=pool.map(settle, records)))
    checked = [result for result in results if isinstance(result, Record)]
    _tell([result for result in results if isinstance(result, _Fault)], skip, len(records))
    if not any(r.identity != NEW_WHALE for r in checked if r.split == TRAIN):
        raise UserError("no train photo has an identity; check the identity and the split column")
    return checked


@dataclass(frozen=True)
class _Fault:
    """What is wrong with a photo; can_be_left_out: with --skip-broken-photos."""

    text: str
    can_be_left_out: bool


def _tell(faults: Sequence[_Fault], skip: bool, number: int) -> None:
    left_out = [fault.text for fault in faults if fault.can_be_left_out and skip]
    refuse(
        [fault.text for fault in faults if not (fault.can_be_left_out and skip)],
        "photos are at fault",
    )
    for fault in left_out:
        log(f"left out: {fault}")
    if left_out:
        log(f"{len(left_out)} of {number} photos left out because they cannot be read")
    if len(left_out) == number:
        raise UserError(f"none of {number} photos can be read; the first: {left_out[0]}")


def with_camera_notes(records: Sequence[Record], workers: int = 1) -> list[Record]:
    """The records with date and place as the camera noted them, where the source says none."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(_with_notes, records))


def _with_notes(record: Record) -> Record:
    notes = camera_notes(record.path)
    carried = dict(record.carried)
    if notes.latitude and not any(_is_latitude(name) and text for name, text in carried.items()):
        carried |= {"latitude": notes.latitude, "longitude": notes.longitude}
    date_from = "camera" if notes.date and not record.date else ""
    return replace(
        record, date=record.date or notes.date, carried=carried, date_from=date_from,
        doubtful_date="" if record.date else notes.doubtful,
    )  # fmt: skip


def _is_latitude(name: str) -> bool:
    return name.casefold().rpartition(".")[2] in ("lat", "latitude", "decimallatitude")


def _check_once(records: Sequence[Record]) -> None:
    """A photo may come again only for another animal, with a box of its own."""
    seen: dict[tuple[Path, object], Record] = {}
    faults = []
    for record in records:
        key = record.path, record.box
        first = seen.setdefault(key, record)
        if first is not record:
            names = {first.written or first.identity, record.written or record.identity}
            under = f", as {' and as '.join(sorted(names))}" if len(names) > 1 else ""
            faults.append(
                f"{record.where}: photo {record.original} is listed twice{under}, first in {first.where}; "
                "keep one, or give each animal its box"
            )
    refuse(faults, "photos are listed twice")


def _look(record: Record) -> tuple[tuple[int, int], bool, str]:
    """Upright (width, height) of a photo, whether it can be used as it is, and the digest of its pixels."""
    header = photo_header(record.path)
    pixels = read_photo(record.path, upright=True)  # to its end
    digest = hashlib.blake2b(pixels, digest_size=16, key=str(pixels.shape).encode()).hexdigest()
    return header.upright_size, header.format == "JPEG" and header.turn == 1, digest


def _pixels(
    box: Sequence[float] | None, size: Sequence[int], where: str
) -> tuple[int, int, int, int]:
    """The box in whole pixels, none of it lost, inside a photo of (width, height) `size`."""
    if box is None:
        raise UserError(
            f"{where}: the photo has no box; add it, or let --whole-frame-boxes take the whole frame"
        )
    shown = " ".join(f"{value:g}" for value in box)
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        raise UserError(
            f"{where}: box {shown} (x1 y1 x2 y2) is inverted or under a pixel; "
            "give pixels, and see --box-format"
        )
    for low, high, side in ((box[0], box[2], size[0]), (box[1], box[3], size[1])):
        if low < -_OVERHANG * side or high > (1 + _OVERHANG) * side or low >= side or high <= 0:
            raise UserError(
                f"{where}: box {shown} (x1 y1 x2 y2) leaves the upright photo of "
                f"{size[0]} x {size[1]} pixels; mend it, or see --box-format"
            )
    x1, y1 = (max(math.floor(value), 0) for value in box[:2])
    x2, y2 = (min(math.ceil(value), side) for value, side in zip(box[2:], size, strict=True))
    return x1, y1, x2, y2


def write_root(
    root: Path | str,
    records: Sequence[Record],
    link: bool = False,
    without_detector: bool = False,
    workers: int = 1,
    anisotropy: float | None = None,
) -> None:
    """Lay checked records out as a work root, which must be new or empty; whole or not at all.

    link: JPEGs that can be used as they are become symbolic links. without_detector: write empty
    detections, with which the stage that averages boxes keeps the given ones. anisotropy: width : height
    of crops where it is not a fluke's.
    """
    names = [with_jpg(name) for name in unique_names([stem(r.original) for r in records])]
    identities = list(
        dict.fromkeys(r.identity for r in records if r.identity not in ("", NEW_WHALE))
    )
    # Answers are separated by spaces and columns by commas: no identity may hold either.
    ids = dict(zip(identities, unique_names(identities, (NEW_WHALE, UNMATCHED)), strict=True))
    ids |= {NEW_WHALE: NEW_WHALE, "": ""}
    copied = [record.path for record in records if not (record.ready and link)]
    require_space(root, sum(path.stat().st_size for path in copied))
    with new_folder(root) as folder:
        workspace = Workspace(folder)
        for key in (*_FOLDERS.values(), "playground_test_photos"):
            workspace.file(key).mkdir(parents=True)

        def put(item: tuple[str, Record]) -> None:
            name, record = item
            _put(record, workspace.file(_FOLDERS[record.split]) / name, link)

        with ThreadPoolExecutor(workers) as pool:
            items = pool.map(put, zip(names, records, strict=True))
            list(progress_bar("write photos", len(records), items=items))
        _write_tables(workspace, names, records, ids)
        if anisotropy:
            write_text(workspace.file("settings"), settings_text(Settings(anisotropy)))
        if without_detector:
            for key in ("boxes_retinanet", "boxes_retinanet_playground"):
                save(workspace.file(key), {})


_FOLDERS = {TRAIN: "train_photos", TEST: "test_photos", PLAYGROUND: "playground_train_photos"}


def _put(record: Record, path: Path, link: bool) -> None:
    if record.ready and link:
        path.symlink_to(record.path)
    elif record.ready:
        shutil.copy2(record.path, path)
    else:
        try:
            path.write_bytes(upright_jpeg(record.path))
        except UserError as error:
            raise UserError(f"{record.where}: {error}") from error


def _write_tables(
    workspace: Workspace, names: Sequence[str], records: Sequence[Record], ids: Mapping[str, str]
) -> None:
    labels: dict[str, list[tuple[str, str]]] = {split: [] for split in PARTS}
    boxes: dict[str, dict[str, Box]] = {split: {} for split in PARTS}
    rows, path_of = [], {}
    carried = list(dict.fromkeys(column for r in records for column in r.carried))
    for name, r in zip(names, records, strict=True):
        # Two sources may have a photo of one name each.
        original = r.original if path_of.setdefault(r.original, r.path) == r.path else r.path
        labels[r.split].append((name, ids[r.identity]))
        if r.box is not None:
            boxes[r.split][stem(name)] = r.box
        identity = "" if r.identity == NEW_WHALE else r.identity
        told = [r.carried.get(column, "") for column in carried]
        rows.append((name, original, r.path, ids[r.identity], identity, r.date, r.split, *told))
    guess = [(name, NEW_WHALE) for name, _ in labels[TEST]]
    tables: dict[str, list[tuple[str, str]]] = {
        "train_csv": labels[TRAIN],
        "sample_submission": guess,
        "playground_train_csv": labels[PLAYGROUND],
        "playground_sample_submission": [],
    }
    for key, content in tables.items():
        write_text(workspace.file(key), csv_text(("Image", "Id"), content, contract=True))
    write_text(workspace.file("import_table"), csv_text((*IMPORT_COLUMNS, *carried), rows))
    save(workspace.file("boxes_v5"), boxes[TRAIN] | boxes[TEST])
    save(workspace.file("boxes_playground_v2"), boxes[PLAYGROUND])
    write_text(workspace.file("cropping_train_v2"), "")
    # Where all are called unknown, as in wildlife-datasets' competitions, nobody has labelled them.
    identities = {identity for _, identity in labels[TEST]}
    if identities and "" not in identities and identities != {NEW_WHALE}:
        known = {identity for _, identity in labels[TRAIN]}
        truth = [
            (name, identity if identity in known else NEW_WHALE) for name, identity in labels[TEST]
        ]
        write_text(workspace.file("test_labels"), csv_text(("Image", "Id"), truth, contract=True))


def notes(records: Sequence[Record]) -> list[str]:
    """Lines on the photos and identities of a root, and on what its stages will refuse."""
    lines = []
    for split in PARTS:
        group = [r for r in records if r.split == split]
        if split == TEST and not group:
            lines.append("test: no photos; ask about new ones with tools/identify.py")
            continue
        counts = Counter(r.identity for r in group)
        new, unlabelled = counts.pop(NEW_WHALE, 0), counts.pop("", 0)
        lines.append(
            f"{split}: {len(group)} photos, {len(counts)} identities ({sum(n > 1 for n in counts.values())} "
            f"with two photos or more), {new} {NEW_WHALE}, {unlabelled} not labelled"
        )
        if split == TRAIN and (len(counts) < 5 or 0 < new < 5):
            lines.append(
                "note: the detector's folds need five identities, and five photos of new_whale or none"
            )
        if split == PLAYGROUND and sum(n > 1 for n in counts.values()) < 2:
            lines.append(
                "note: warm starts need two playground identities with two photos each; without "
                "them leave those stages out and give the first r15 stage --weights imagenet or none"
            )
    turned = sum(not r.ready for r in records)
    dated = sum(r.date_from == "camera" for r in records)
    lines += [f"{dated} dates are the cameras' (EXIF), where the source has none"] if dated else []
    doubtful = [r for r in records if r.doubtful_date]
    if doubtful:
        lines.append(
            f"note: {len(doubtful)} photos have no date: their cameras' cannot be true, such as "
            f"{doubtful[0].doubtful_date} of {doubtful[0].original}"
        )
    carried = list(dict.fromkeys(column for r in records for column in r.carried))
    lines += [f"carried along: {', '.join(carried)}"] if carried else []
    lines += _sides(records)
    return [
        *lines,
        f"{turned} photos turned upright or made JPEGs, {len(records) - turned} as they were",
    ]


def _sides(records: Sequence[Record]) -> list[str]:
    """A line on the sides that photos show, where a column says them."""
    told = [side_of(text) for text, _ in carried_sides(records)]
    if not told:
        return []
    counts = Counter(side or "not known" for side in told)
    sides = Sides({str(number): side for number, side in enumerate(told) if side})
    groups: dict[str, list[str]] = {}
    for number, record in enumerate(records):
        if record.split == TRAIN and record.identity not in ("", NEW_WHALE):
            groups.setdefault(record.identity, []).append(str(number))
    apart = sum(len(names) > 1 and not sides.comparable(names) for names in groups.values())
    line = f"sides: {', '.join(f'{number} {side}' for side, number in counts.most_common())}; "
    line += "photos of unlike sides are never compared"
    if apart:
        line += f"; {apart} train identities have photos of unlike sides alone, which teach nothing"
    return [line]
