"""Identities that look alike, and equal photos: what a catalogue may hold twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from whales.base.errors import UserError
from whales.files.matrices import ScoreMatrix
from whales.files.sides import NO_SIDES, Sides
from whales.photos.photos import read_eighth, require_file
from whales.scores.best_photos import KnownPhotos

PAIRS = 20
# Photos that the likeness of a pair must be a mean over: a single one says little.
LEAST_PHOTOS = 2
# Identities of a valid photo that are remembered with a photo to show.
_REMEMBERED = 20


class Pair(NamedTuple):
    """Two identities and how alike they are.

    photos: how many the likeness is a mean over; example: (pair score, valid photo, known photo) of the
    two photos most alike, stems; None where no photo ranked the other identity high.
    """

    first: str
    second: str
    likeness: float
    photos: int
    example: tuple[float, str, str] | None


class Likeness:
    """How alike identities are, gathered from matrices of valid photos against known ones.

    Of a valid photo of A its best pair score with a photo of B counts; the likeness of A and B is the
    mean of that over the valid photos of A (with B) and of B (with A); where sides are known, over those
    that can be compared with a photo of the other. Memory: identities² float32, with sides twice.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sums = np.zeros((0, 0), np.float32)
        self._counts = np.zeros((0, 1), np.int64)
        self._examples: dict[tuple[int, int], tuple[float, str, str]] = {}

    def add(
        self, matrix: ScoreMatrix, identity_of: Mapping[str, str], sides: Sides = NO_SIDES
    ) -> None:
        """Take in a dense matrix; the columns of all must be of the same identities.

        identity_of, sides: stem -> those of rows and columns, the same for all matrices.
        """
        if not self._names:
            self._names = sorted({identity_of[name] for name in matrix.columns})
            self._sums = np.zeros((len(self._names),) * 2, np.float32)
            wide = len(self._names) if sides else 1
            self._counts = np.zeros((len(self._names), wide), np.int32)
        known = KnownPhotos(matrix.columns, identity_of, self._names)
        pairs = sides.of(matrix.rows, matrix.columns)
        for row, (photo, scores) in enumerate(zip(matrix.rows, matrix.scores, strict=True)):
            code = known.code_of.get(identity_of[photo])
            if code is None:  # a new whale
                continue
            best = known.best(scores[None])[0]
            best[code] = 0
            self._sums[code] += best
            unlike = pairs.unlike(slice(row, row + 1)) if sides else None
            self._counts[code] += 1 if unlike is None else known.best(~unlike)[0]
            for other in np.argsort(-best, kind="stable")[:_REMEMBERED].tolist():
                column = known.best_column(scores, other)
                example = float(best[other]), photo, matrix.columns[column]
                self._remember((min(code, other), max(code, other)), example)

    def _remember(self, pair: tuple[int, int], example: tuple[float, str, str]) -> None:
        if pair[0] != pair[1] and example[0] > self._examples.get(pair, (0.0,))[0]:
            self._examples[pair] = example

    def pairs(self, most: int = PAIRS, least: int = LEAST_PHOTOS) -> list[Pair]:
        """At most `most` pairs whose likeness is a mean over `least` valid photos or more, best first."""
        photos = self._counts + self._counts.T
        likeness = np.triu(self._sums + self._sums.T, 1)
        likeness[photos < least] = 0
        likeness /= np.maximum(photos, 1)
        flat = likeness.ravel()
        kept = np.flatnonzero(flat > 0)
        if len(kept) > most:  # ties at the edge stay in until they are sorted
            edge = np.partition(flat[kept], -most)[-most]
            kept = kept[flat[kept] >= edge]
        pairs = []
        for index in kept[np.argsort(-flat[kept], kind="stable")][:most].tolist():
            a, b = divmod(index, len(self._names))
            example, count = self._examples.get((a, b)), int(photos[a, b])
            pairs.append(Pair(self._names[a], self._names[b], float(flat[index]), count, example))
        return pairs


class Twins(NamedTuple):
    """Files that hold one and the same photo; `bytes`: whether all their bytes are equal, or only pixels."""

    files: list[Path]
    bytes: bool


def identical_photos(folders: Iterable[Path], workers: int = 2) -> list[Twins]:
    """Groups of equal photos among the JPEG files of folders, files and groups by name.

    Equal are files of equal bytes, and photos whose pixels are equal once decoded at an eighth of the
    size (a file saved anew with other notes, say). Files that cannot be decoded are only compared byte
    by byte; hidden files, and what is no file, are not looked at.
    """
    found = [path for folder in folders for path in folder.glob("[!.]*.jpg")]
    files = sorted(path for path in found if _length(path))
    # Only files of one length can be equal: the others need not be read.
    same_length = _groups(files, _length)
    with ThreadPoolExecutor(workers) as pool:
        equal = [twins for group in same_length for twins in _groups(group, _digest, pool)]
        followers = {path for group in equal for path in group[1:]}
        alike = _groups([path for path in files if path not in followers], _small, pool)
    group_of = {group[0]: group for group in equal}
    all_twins = [Twins(group, True) for group in equal]
    for group in alike:
        all_twins = [twins for twins in all_twins if twins.files[0] not in group]
        members = sorted(file for path in group for file in group_of.get(path, [path]))
        all_twins.append(Twins(members, False))
    return sorted(all_twins, key=lambda twins: twins.files)


def _groups(
    files: Sequence[Path],
    key: Callable[[Path], Hashable | None],
    pool: ThreadPoolExecutor | None = None,
) -> list[list[Path]]:
    """Files of equal keys, two or more, in their order; those of the key None are left out."""
    groups: dict[Hashable, list[Path]] = {}
    for path, value in zip(files, (pool.map if pool else map)(key, files), strict=True):
        if value is not None:
            groups.setdefault(value, []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _length(path: Path) -> int | None:
    """Bytes of a file; None for what is no file, is empty, or has a name that no page can show."""
    try:
        return require_file(path).st_size
    except UserError:
        return None


def _digest(path: Path) -> bytes | None:
    try:
        with open(path, "rb") as source:
            return hashlib.file_digest(source, "sha256").digest()
    except OSError:
        return None


def _small(path: Path) -> Hashable | None:
    try:
        pixels = read_eighth(path)
    except UserError:
        return None
    # Where all is of one colour, a small picture cannot tell photos apart.
    if not pixels.reshape(-1, pixels.shape[2]).std(0).any():
        return None
    return pixels.shape, hashlib.sha256(pixels.tobytes()).digest()
