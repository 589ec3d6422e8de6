"""Features of photos in files that are read without taking them into memory.

A file is an `.npz`: a zip of plain `.npy` arrays that are not compressed. The array `features` is mapped
where it lies in the file, read-only, and only the rows asked for are copied.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from whales.base.writing import atomic_path, for_speed_alone

FEATURES = "features"  # the array that is mapped
_LOCAL_HEADER = struct.Struct(
    "<26xHH"
)  # of a file in a zip: lengths of its name and of what follows
_READ = 1 << 23  # bytes that are proven at once
_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, OverflowError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class MappedRows:
    """Rows (n, d) float32 of an array in a file; memory is taken for the rows asked for alone."""

    def __init__(self, file: IO[bytes], offset: int, shape: tuple[int, int]) -> None:
        """file: stays what it was when another one takes its name; offset: of the first row, bytes."""
        self.shape = shape
        # The whole file, since a map must begin where a page of memory does.
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        count = shape[0] * shape[1]
        self._rows = np.frombuffer(self._map, "<f4", count, offset).reshape(shape)

    def __getitem__(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Copies of some rows: (k, d) float32."""
        rows = self._rows[np.asarray(indices, np.int64)]
        if hasattr(
            mmap, "MADV_DONTNEED"
        ):  # else all that was ever read would count as this process's
            self._map.madvise(mmap.MADV_DONTNEED)
        return rows


class FeatureTable(Mapping[str, np.ndarray]):
    """Features of photos by stem: (d,) float32 each, in memory or mapped.

    >>> table = FeatureTable(np.array([[1, 2], [3, 4]], np.float32), {"a": 0, "b": 1})
    >>> table["b"].tolist(), table.of(["b", "a"]).tolist(), list(table.only(["c", "b"]))
    ([3.0, 4.0], [[3.0, 4.0], [1.0, 2.0]], ['b'])
    """

    def __init__(self, rows: np.ndarray | MappedRows, index_of: Mapping[str, int]) -> None:
        """rows: (n, d) float32; index_of: stem -> row."""
        self._rows, self._index_of = rows, index_of
        self.width = rows.shape[1]

    def __getitem__(self, name: str) -> np.ndarray:
        return self._rows[[self._index_of[name]]][0]

    def __contains__(self, name: object) -> bool:
        return name in self._index_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._index_of)

    def __len__(self) -> int:
        return len(self._index_of)

    def of(self, names: Iterable[str]) -> np.ndarray:
        """The features of these photos in memory: (k, d) float32. KeyError for one that is not there."""
        return self._rows[np.array([self._index_of[name] for name in names], np.int64)]

    def only(self, names: Iterable[str]) -> FeatureTable:
        """Those of the photos that are there, in the order of `names`; nothing is copied."""
        index_of = self._index_of
        return FeatureTable(
            self._rows, {name: index_of[name] for name in names if name in index_of}
        )


class Streamed(NamedTuple):
    """An array that is written in blocks: its rows (n, d) float32, one block after the other."""

    shape: tuple[int, int]
    blocks: Iterable[np.ndarray]


def joined(tables: Sequence[FeatureTable], names: Sequence[str], block: int = 8192) -> Streamed:
    """The features of `names`, each in one of the tables, which are all of one width."""

    def rows() -> Iterator[np.ndarray]:
        for start in range(0, len(names), block):
            part = names[start : start + block]
            merged = np.empty((len(part), tables[0].width), np.float32)
            for table in tables:
                places = [place for place, name in enumerate(part) if name in table]
                merged[places] = table.of(part[place] for place in places)
            yield merged

    return Streamed((len(names), tables[0].width), rows())


def read_arrays(path: Path, stamp: str) -> dict[str, np.ndarray]:
    """The arrays of a cache file by name; empty where it is missing, damaged or of another stamp."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file) if str(file["stamp"]) == stamp else {}
    except _UNREADABLE:
        return {}


def open_features(path: Path, stamp: str) -> tuple[dict[str, np.ndarray], FeatureTable] | None:
    """The features in a cache file, mapped, and its other arrays by name, of which `names` are the rows'.

    None where it is missing or of another stamp, and where it is damaged: its header or length is wrong, its
    checksum does not fit, or a feature is no finite number.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["stamp"]) != stamp:
                return None
            content = {name: arrays[name] for name in arrays.files if name != FEATURES}
            names = content["names"].tolist()
            rows = _mapped(file, len(names))
    except _UNREADABLE:
        return None
    return content, FeatureTable(rows, {name: row for row, name in enumerate(names)})


def _mapped(file: IO[bytes], count: int) -> MappedRows | np.ndarray:
    """The proven `count` rows of features in an open file; ValueError, BadZipFile where they are damaged."""
    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo(f"{FEATURES}.npy")
        file.seek(member.header_offset)
        lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        start = file.seek(sum(lengths), 1)
        version = np.lib.format.read_magic(file)
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
        length = offset - start + dtype.itemsize * int(np.prod(shape))
        sound = version == (1, 0) and len(shape) == 2 and shape[0] == count
        if by_columns or dtype != np.dtype("<f4") or not sound or length != member.file_size:
            raise ValueError("not the features of so many photos")
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError("compressed features cannot be mapped")
        with archive.open(member) as data:  # which proves the checksum at the end
            data.read(offset - start)
            while block := data.read(_READ):
                if not np.isfinite(np.frombuffer(block, "<f4")).all():
                    raise ValueError("features that are no finite numbers")
    try:
        return MappedRows(file, offset, shape)
    except OSError:  # some network disks cannot be mapped
        file.seek(offset)
        return np.fromfile(file, "<f4", shape[0] * shape[1]).reshape(shape)


def write_arrays(path: Path, stamp: str, **arrays: np.ndarray | Streamed) -> None:
    """Write what `read_arrays` reads, whole or not at all; where that fails, the log says so once.

    The file is that of `np.savez`, of which no array but those given has to be in memory.
    """
    with (
        for_speed_alone(f"files of {path.parent.name}/"),
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        for name, array in {"stamp": np.array(stamp), **arrays}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if isinstance(array, Streamed):
                    _write_blocks(member, array)
                else:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _write_blocks(member: IO[bytes], array: Streamed) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(member, header)
    for block in array.blocks:
        member.write(np.ascontiguousarray(block, "<f4").tobytes())
