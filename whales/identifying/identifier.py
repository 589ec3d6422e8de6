"""Whales on photos from Python: a work root opened once, and asked as often as one likes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from whales.base.errors import UserError
from whales.files.boxes import Box
from whales.files.import_table import written_names
from whales.files.sides import Sides, read_sides, side_of
from whales.identifying import identification, result_page
from whales.identifying.catalogue import Catalogue, open_catalogue, trained
from whales.identifying.identification import Answer
from whales.identifying.result_page import Row
from whales.nets.net import Net
from whales.scores.basis import TrainedNet, untrained_start
from whales.scores.drawn_boxes import BoxAnswer, checked_box
from whales.scores.query_results import ImportedPhotos
from whales.stages.options import RunOptions

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 64  # photos whose crops are in memory at a time

# (photos, options, all_flukes) -> photo -> its boxes, none where the whole frame is to be used
FindBoxes = Callable[[Sequence[Path], RunOptions, bool], Mapping[Path, Sequence[Box]]]


@dataclass(frozen=True, eq=False)
class Identifier:
    """A work root's nets and known photos, which say who is on any photo.

    options: the work root and how to run; nets: with their weights, as `opened` finds them; find_boxes:
    what finds the flukes in photos, boxes (x1, y1, x2, y2) in pixels of the photo held upright.
    """

    options: RunOptions
    nets: Sequence[TrainedNet]
    find_boxes: FindBoxes

    @cached_property
    def catalogue(self) -> Catalogue:
        """The known photos, loaded when they are first needed; `UserError` as of `open_catalogue`."""
        return open_catalogue(self.options, self.nets)

    @cached_property
    def _sides(self) -> Sides:
        return read_sides(self.options.workspace)

    @cached_property
    def _imported(self) -> ImportedPhotos:
        return ImportedPhotos(self.options.workspace)

    def check_side(self, side: str | None) -> None:
        """`UserError` for a side of queries that no photo of the root shows; None: none is given."""
        if side is None or side_of(side) in ("", *self._sides.names):
            return
        if not self._sides:
            raise UserError(
                f"--side {side}: no photo of {self.options.workspace.root} says which side it shows; leave "
                "--side out, or import with a column side"
            )
        raise UserError(
            f"--side {side}: no photo of the root shows it; there are {', '.join(self._sides.names)}"
        )

    def sides_of(self, photos: Sequence[Path], side: str | None) -> dict[Path, str]:
        """The sides of queries: the given one, else what the root says of those photos that are in it."""
        if not self._sides:
            return {}
        if side is not None:
            return dict.fromkeys(photos, side_of(side))
        in_root = {photo: self._imported.photo(photo) for photo in photos}
        return {
            photo: self._sides.side_of.get(own.stem, "") for photo, own in in_root.items() if own
        }

    def identify(
        self,
        photos: Path | str | Iterable[Path | str],
        top: int = 5,
        all_flukes: bool = False,
        side: str | None = None,
    ) -> list[Answer]:
        """The `top` best identities of each fluke, photos in the order they are given.

        photos: files, or folders of photos; all_flukes: of a photo all flukes, not the best alone;
        side: that all of them show, None for what the root says of each photo that is in it.
        `UserError` for a photo that is not there or cannot be read, unless the options skip broken
        photos: then it is left out, and the log says so.
        """
        self.check_side(side)
        given = [photos] if isinstance(photos, str | Path) else photos
        paths, faults = identification.photo_files(map(Path, given))
        skip = self.options.skip_broken_photos
        if not skip:
            identification.name_faults(faults, left_out=False)
        boxes = self.find_boxes(paths, self.options, all_flukes) if paths else {}
        answers = list(self.answers(paths, boxes, top, faults, side))
        identification.name_faults(faults, skip)
        return answers

    def answers(
        self,
        photos: Sequence[Path],
        boxes: Mapping[Path, Sequence[Box]],
        top: int,
        faults: list[str],
        side: str | None = None,
    ) -> Iterator[Answer]:
        """An answer for each box, or for the whole frame of a photo without one, one after the other.

        boxes: of each photo; what is wrong with a photo is added to `faults`; side: as `identify` takes it.
        `UserError` for a `top` below 1.
        """
        if top < 1:
            raise UserError(f"top says how many identities are named, 1 or more; received {top}")
        for start in range(0, len(photos), CHUNK):
            chunk = {photo: boxes[photo] for photo in photos[start : start + CHUNK]}
            sides = self.sides_of(list(chunk), side)
            yield from identification.answers(self.catalogue, chunk, top, faults, sides)

    def in_box(self, photo: Path, box: Box, top: int, side: str | None = None) -> BoxAnswer:
        """The `top` best identities of the fluke in a box, pixels of the photo held upright.

        side: as `identify` takes it. `UserError` for what is no box in the photo, and as `identify`.
        """
        self.check_side(side)
        box, faults = checked_box(box), list[str]()
        answers = list(self.answers([photo], {photo: [box]}, top, faults, side))
        identification.name_faults(faults, left_out=False)
        [answer] = answers
        return BoxAnswer(answer.new, answer.candidates, answer.basis)

    def rows(self, answers: Iterable[Answer]) -> list[Row]:
        """A row for each query, fluke and rank, as the command writes them, numbers not rounded."""
        return result_page.rows(answers, written_names(self.options.workspace))

    def table(self, answers: Iterable[Answer]) -> pd.DataFrame:
        """`rows` as a table; the corners of the box are NaN where the whole frame was used."""
        return result_page.table(answers, written_names(self.options.workspace))


def opened(
    options: RunOptions,
    nets: Sequence[Net],
    ensemble: Sequence[Net],
    folds: Sequence[int],
    find_boxes: FindBoxes,
) -> Identifier:
    """An identifier of those of the nets that have weights; folds: of each these alone, none for all.

    ensemble: all nets that there are. Where the root has weights of none of them, and no folds are asked for,
    the weights that come with the project answer, as far as one of the nets has such.
    """
    workspace = options.workspace
    untrained = [] if folds else untrained_start(workspace, nets, ensemble)
    return Identifier(options, untrained or trained(workspace, nets, folds), find_boxes)
