"""Who is on a photo: the flukes of any photo files, compared with the catalogue."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from whales.base.console import log, log_error
from whales.base.errors import UserError, shown
from whales.files.boxes import Box
from whales.files.digests import file_digest
from whales.files.settings import ANISOTROPY
from whales.identifying.catalogue import Catalogue
from whales.photos import thumbnails
from whales.photos.crops import crop_window, cut
from whales.photos.photo_folders import no_photo_in, photos_below
from whales.photos.photos import photo_size, read_photo
from whales.scores.basis import NO_BASIS, Basis
from whales.scores.best_by_blocks import Best, best_of_parts
from whales.scores.best_photos import Candidate

NO_QUERY_SIDES: Mapping[Path, str] = MappingProxyType({})


class Fluke(NamedTuple):
    """One fluke of a photo, cut out."""

    photo: Path
    number: int  # among those of its photo, from 1
    box: Box | None  # x1, y1, x2, y2 in pixels of the photo held upright; None: the whole frame
    view: np.ndarray  # (100, w, 3) uint8, for people
    crops: dict[int, np.ndarray]  # size -> (size, size, 3) uint8; none once the nets have answered
    content: str = ""  # digest of the photo's file
    side: str | None = None  # that it shows, "" for either; None where the root knows no sides


class Answer(NamedTuple):
    """Who a fluke may be.

    new: probability of none of the known whales; candidates: best first, each with photo, score and
    probability; basis: what all that rests on; features: of the fluke, by each fold of each judge, (d,)
    float32. A probability is None where the validation photos tell nothing of it.
    """

    fluke: Fluke
    new: float | None
    candidates: list[Candidate]
    basis: Basis = NO_BASIS
    features: Sequence[np.ndarray] = ()


def photo_files(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The photos among files and folders, and what is wrong with the rest.

    Of a folder what `photos_below` finds, at any depth; what is left out is said in the log. Each photo once.
    """
    photos: list[Path] = []
    faults: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            photos += _photos_in(path, faults)
        elif os.path.lexists(path):
            photos.append(path)
        else:
            faults.append(f"photo {shown(path)} does not exist")
    readable: list[Path] = []
    for photo in dict.fromkeys(photos):
        try:
            photo_size(photo)  # from its header: what is no photo is known at once
            readable.append(photo)
        except UserError as fault:
            faults.append(str(fault))
    return readable, faults


def _photos_in(folder: Path, faults: list[str]) -> list[Path]:
    try:
        found = photos_below(folder)
    except UserError as fault:
        faults.append(str(fault))
        return []
    if not found.photos:
        faults.append(no_photo_in(folder, found))
        return []
    log(*(f"{shown(folder)}: {note}" for note in found.notes()))
    return found.photos


def nothing_to_read(faults: Sequence[str]) -> str:
    """One line where `photo_files` found no photo but `faults`, one or more."""
    if len(faults) == 1:
        return faults[0]
    return f"none of {len(faults)} photos can be read; the first: {faults[0]}"


def name_faults(faults: Sequence[str], left_out: bool) -> None:
    """Name and count the photos that were not identified; `UserError` unless they were to be left out."""
    if left_out:
        for fault in faults:
            log(f"left out: {fault}")
        if faults:
            log(f"{len(faults)} photos left out because they cannot be read")
    elif faults:
        if len(faults) > 1:
            log(f"{len(faults)} photos cannot be read:")
        for fault in faults[:-1]:
            log_error(fault)
        raise UserError(faults[-1])


def box_by_hand(text: str | None, photos: Sequence[Path]) -> dict[Path, list[Box]]:
    """The box of `--box`, if given, for the one photo; `UserError` where it does not fit."""
    if text is None:
        return {}
    box = parse_box(text)
    if len(photos) != 1:
        raise UserError(f"--box is for a single photo, received {len(photos)}")
    cut_flukes(photos[0], [box], ())  # before all that takes time
    return {photos[0]: [box]}


def parse_box(text: str) -> Box:
    """`x1,y1,x2,y2` as four numbers with x1 < x2 and y1 < y2; `UserError` for anything else."""
    try:
        x1, y1, x2, y2 = map(float, text.split(","))
    except ValueError:
        x1 = y1 = x2 = y2 = 0.0
    if not (0 <= x1 < x2 < np.inf and 0 <= y1 < y2 < np.inf):
        raise UserError(
            f"--box takes x1,y1,x2,y2 in pixels, x1 < x2 and y1 < y2, from 0; received {text}"
        )
    return x1, y1, x2, y2


def cut_flukes(
    photo: Path, boxes: Sequence[Box], sizes: Iterable[int], anisotropy: float = ANISOTROPY
) -> list[Fluke]:
    """The flukes of a photo, held upright; without boxes one, the whole frame.

    boxes: x1, y1, x2, y2 in pixels; sizes: of the crops, pixels; anisotropy: as in
    `whales.photos.crops.crop_window`.
    Raises `UserError` where the photo cannot be read, or a box does not lie in it.
    """
    pixels, content = read_photo(photo, upright=True), file_digest(photo)
    height, width = pixels.shape[:2]
    for box in boxes:
        if min(box[:2]) < 0 or box[2] > width or box[3] > height:
            corners = ",".join(f"{value:g}" for value in box)
            raise UserError(
                f"box {corners} does not lie in photo {photo} of {width} x {height} pixels"
            )
    flukes = []
    for number, box in enumerate(boxes or [None], 1):
        window = crop_window(box, width, height, anisotropy=anisotropy)
        crops = {size: cut(pixels, window, size) for size in sizes}
        view = thumbnails.fluke(pixels, box, anisotropy)
        flukes.append(Fluke(photo, number, box, view, crops, content))
    return flukes


def answers(
    catalogue: Catalogue,
    boxes: Mapping[Path, Sequence[Box]],
    top: int,
    faults: list[str],
    sides: Mapping[Path, str] = NO_QUERY_SIDES,
) -> list[Answer]:
    """`identify` of the flukes of photos; what is wrong with a photo is added to `faults`.

    boxes: of each photo, as `cut_flukes` takes them; sides: of photos, of those whose side is known.
    """
    flukes: list[Fluke] = []
    sizes = {judge.size for judge in catalogue.judges}
    for photo, boxes_in_photo in boxes.items():
        side = sides.get(photo, "") if catalogue.sides else None
        try:
            if side:
                _check_side(catalogue, photo, side)
            cut_out = cut_flukes(photo, boxes_in_photo, sizes, catalogue.anisotropy)
            flukes += [fluke._replace(side=side) for fluke in cut_out]
        except UserError as fault:
            faults.append(str(fault))
    return identify(catalogue, flukes, top)


def _check_side(catalogue: Catalogue, photo: Path, side: str) -> None:
    try:
        catalogue.check_side(side)
    except UserError as fault:
        raise UserError(f"photo {shown(photo)}: {fault}") from fault


def identify(catalogue: Catalogue, flukes: Sequence[Fluke], top: int) -> list[Answer]:
    """The `top` best identities of each fluke, fewer only where fewer are known, or known from its side.

    An identity's score is that of its best photo; photos of another side than the fluke's do not count.
    """
    if not flukes:
        return []
    sizes = {judge.size for judge in catalogue.judges}
    queries = catalogue.features(
        {size: np.stack([fluke.crops[size] for fluke in flukes]) for size in sizes}
    )
    compared = catalogue.compared([fluke.side or "" for fluke in flukes])
    scores = (
        (part, compared.part(part).hidden(block, -np.inf))
        for part, block in catalogue.scores(queries)
    )
    best = best_of_parts(catalogue.known, len(flukes), top, scores)
    return [
        _answer(catalogue, fluke, best, row)._replace(
            features=[f[row] for fs in queries for f in fs]
        )
        for row, fluke in enumerate(flukes)
    ]


def _answer(catalogue: Catalogue, fluke: Fluke, best: Best, row: int) -> Answer:
    """row: the fluke's in `best`, which has no identities that cannot be compared."""
    known, candidates = catalogue.known, []
    for code, column, score in zip(
        best.codes[row], best.columns[row], best.scores[row], strict=True
    ):
        if score == -np.inf:
            break
        probability = catalogue.same.of(float(score))
        candidates.append(
            Candidate(known.identities[code], known.photos[column], float(score), probability)
        )
    new = catalogue.new.of(float(best.scores[row, 0]))
    # Of thousands of photos the crops would fill the memory.
    return Answer(fluke._replace(crops={}), new, candidates, catalogue.basis)
