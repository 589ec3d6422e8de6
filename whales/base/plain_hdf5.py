"""HDF5 files of strangers: arrays that lie in the file itself, their size known before they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whales.base.errors import UserError

if TYPE_CHECKING:
    import h5py

# An array may be so many times larger than its whole file, which compression allows for.
_UNFOLD_RATIO = 8


class HDF5FaultError(Exception):
    """What is wrong with an HDF5 file, in a few words."""


@contextmanager
def open_hdf5(path: Path, what: str) -> Iterator[h5py.File]:
    """Open a file for reading; what is wrong with it, now or in the block, is a `UserError`.

    what: the kind of file, for messages. A folder or a named pipe counts as a missing file.
    """
    import h5py

    if not path.is_file():
        raise UserError(f"{path}: {what} is missing")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, HDF5FaultError) as reason:
        fault = " ".join(str(reason).split()) or type(reason).__name__
        raise UserError(f"{path}: not a whole Keras 2 HDF5 {what} ({fault})") from reason


def item_of(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """What lies under a name, parts of which are divided by slashes; links out of the file are refused."""
    import h5py

    item: h5py.Group | h5py.Dataset = group
    for part in filter(None, name.split("/")):
        if not isinstance(item, h5py.Group):
            raise HDF5FaultError(f"{item.name} is no group")
        link = item.get(part, getlink=True)
        if link is None:
            raise KeyError(f"{name} is missing in {group.name}")
        if not isinstance(link, h5py.HardLink):
            raise HDF5FaultError(f"{item.name.rstrip('/')}/{part} is a link to elsewhere")
        child = item[part]
        if not isinstance(child, h5py.Group | h5py.Dataset):
            raise HDF5FaultError(f"{child.name} is neither a group nor an array")
        item = child
    return item


def group_of(group: h5py.Group, name: str) -> h5py.Group:
    """The group under a name; as `item_of`."""
    import h5py

    item = item_of(group, name)
    if not isinstance(item, h5py.Group):
        raise HDF5FaultError(f"{item.name} is no group")
    return item


def array_of(group: h5py.Group, name: str) -> h5py.Dataset:
    """The numeric array under a name, not read yet; as `item_of`. Its numbers lie in the file itself."""
    import h5py

    item = item_of(group, name)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
        raise HDF5FaultError(f"{item.name} is no array of numbers")
    if item.external is not None or item.is_virtual:
        raise HDF5FaultError(f"the numbers of {item.name} lie outside the file")
    if item.nbytes > _UNFOLD_RATIO * Path(item.file.filename).stat().st_size:
        raise HDF5FaultError(f"{item.name} is far larger than its file")
    return item


def finite_floats(array: h5py.Dataset) -> np.ndarray:
    """The array as float32; one with NaN or infinite numbers is refused by name."""
    values = np.asarray(array, np.float32)
    if not np.isfinite(values).all():
        raise HDF5FaultError(f"{array.name} holds NaN or infinite numbers; make the file again")
    return values


def names_of(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names kept in one attribute, or cut into `attribute`0, `attribute`1, ..."""
    if attribute in group.attrs:
        chunks = [group.attrs[attribute]]
    else:
        chunks, number = [], 0
        while f"{attribute}{number}" in group.attrs:
            chunks.append(group.attrs[f"{attribute}{number}"])
            number += 1
        if not chunks:
            raise KeyError(f"no attribute {attribute} in {group.name}")
    return [
        name.decode() if isinstance(name, bytes) else str(name)
        for chunk in chunks
        for name in chunk
    ]
