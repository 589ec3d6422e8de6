"""Weight files in the published layout: Keras 2.2.4 HDF5 ("weights only").

They are read in saved order, never by name: the published files name the branch in several ways. Numbers of
any precision are read as float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whales.base.errors import UserError
from whales.base.plain_hdf5 import array_of, finite_floats, group_of, names_of, open_hdf5
from whales.base.writing import atomic_path
from whales.nets.teaching import ATTRIBUTE, Teaching, written

if TYPE_CHECKING:
    import h5py
    import keras

# Keras 2 cut attributes above this many bytes into numbered ones: HDF5 keeps an object's header
# under 64 KiB.
ATTRIBUTE_LIMIT = 64512
_LARGEST_HALF = float(np.finfo(np.float16).max)

# (number of stored arrays, number d of branch features) -> the net that such a file fits.
KNOWN_NETS = {
    (610, 1024): "the v5 net (DenseNet121)",
    (332, 512): "the kernel net",
    (831, 2048): "the v6 net (SE-ResNeXt50)",
    (110, 64): "the v5 net of the smoke profile",
    (130, 256): "the v6 net of the smoke profile",
}


@dataclass(frozen=True)
class _Entry:
    """One weight of the net and the arrays that a file keeps it in.

    A grouped convolution is kept as one kernel per group: the native kernel (h, w, C/groups, C) cut
    along its last axis.
    """

    layer: str
    kind: str
    variable: keras.Variable
    groups: int = 1

    @property
    def piece_shape(self) -> tuple[int, ...]:
        *first, last = self.variable.shape
        return (*first, last // self.groups)

    @property
    def piece_names(self) -> list[str]:
        if self.groups == 1:
            return [f"{self.layer}/{self.kind}:0"]
        return [f"{self.layer}_{i}/{self.kind}:0" for i in range(self.groups)]


@dataclass(frozen=True)
class _Stored:
    """One array of a weight file that is open."""

    name: str
    dataset: h5py.Dataset

    @property
    def shape(self) -> tuple[int, ...]:
        return self.dataset.shape


def _leaf_layers(model: keras.Model) -> Iterable[keras.layers.Layer]:
    """Layers in Keras's order, which Keras 3 kept from Keras 2: by depth, then by creation."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaf_layers(layer)
        else:
            yield layer


def _entries(layer: keras.layers.Layer) -> tuple[list[_Entry], list[_Entry]]:
    """Trained weights and moving statistics of a layer, whatever its `trainable` flag says now."""
    groups = getattr(layer, "groups", 1)
    entries = [
        _Entry(layer.name, variable.name, variable, groups if variable.name == "kernel" else 1)
        for variable in layer.weights
    ]
    moving = [entry for entry in entries if entry.kind.startswith("moving_")]
    return [entry for entry in entries if entry not in moving], moving


def _model_entries(model: keras.Model) -> tuple[list[_Entry], list[_Entry]]:
    trained, moving = [], []
    for layer in _leaf_layers(model):
        layer_trained, layer_moving = _entries(layer)
        trained += layer_trained
        moving += layer_moving
    return trained, moving


def load_weights(
    branch: keras.Model,
    head: keras.Model,
    path: Path | str,
    averaged_kernel: str | None = None,
) -> None:
    """Fill branch and head from a Keras 2 weight file in either published layout.

    Plain: groups of the inputs (empty), of the branch, of the head. Two-GPU: one group with every
    trained weight of branch then head, then every moving statistic; the other groups are empty. Arrays
    are taken in order, whatever their names; every shape is checked before anything is assigned.
    averaged_kernel: a layer whose kernel the file may hold for one channel; a third of it is then read
    into each of three channels.

    Raises `UserError` where the file is missing, damaged, or holds the weights of another net.
    """
    path = Path(path)
    with open_hdf5(path, "weight file") as file:
        groups = [group for group in _stored_groups(file) if group]
        branch_trained, branch_moving = _model_entries(branch)
        head_trained, head_moving = _model_entries(head)
        if len(groups) == 2:
            pairs = [
                (branch_trained + branch_moving, groups[0]),
                (head_trained + head_moving, groups[1]),
            ]
        elif len(groups) == 1:
            entries = branch_trained + head_trained + branch_moving + head_moving
            pairs = [(entries, groups[0])]
        else:
            raise UserError(
                f"{path}: no weights of a Siamese net: expected groups of a branch and a head, or one "
                f"group with both, received {len(groups)} groups with weights"
            )
        matched = []
        for entries, stored in pairs:
            try:
                matched += _match(entries, stored, averaged_kernel)
            except _MismatchError as mismatch:
                raise UserError(
                    f"{path}: weights of another net than {branch.name}: {mismatch}{_guess(groups)}"
                ) from None
        values = [_value(entry, arrays) for entry, arrays in matched]
    for (entry, _), value in zip(matched, values, strict=True):
        entry.variable.assign(value)


def load_branch(branch: keras.Model, path: Path | str) -> None:
    """Fill `branch` from a Keras 2 weight file of the branch alone, one group per layer.

    This is the layout of the ImageNet files; order counts, names do not. Raises `UserError` as
    `load_weights` does.
    """
    entries = [
        entry for layer in _leaf_layers(branch) for kind in _entries(layer) for entry in kind
    ]
    path = Path(path)
    with open_hdf5(path, "weight file") as file:
        stored = [array for group in _stored_groups(file) for array in group]
        try:
            matched = _match(entries, stored, None)
        except _MismatchError as mismatch:
            raise UserError(f"{path}: not ImageNet weights of {branch.name}: {mismatch}") from None
        values = [_value(entry, arrays) for entry, arrays in matched]
    for (entry, _), value in zip(matched, values, strict=True):
        entry.variable.assign(value)


def is_of_branch_alone(path: Path | str) -> bool:
    """Whether a weight file has one group per layer, as `load_branch` reads it, and so no head.

    `UserError` where it is missing or damaged.
    """
    with open_hdf5(Path(path), "weight file") as file:
        return sum(bool(group) for group in _stored_groups(file)) > 2


def fitting_net(path: Path | str) -> str:
    """The known net that a weight file fits, in words; every array is read.

    Raises `UserError` where the file is damaged, fits none, or holds NaN or infinite numbers.
    """
    path = Path(path)
    with open_hdf5(path, "weight file") as file:
        groups = [group for group in _stored_groups(file) if group]
        net = _known_net(groups)
        if not net:
            arrays = sum(len(group) for group in groups)
            raise UserError(f"{path}: {arrays} arrays, which fit no net of this project")
        for group in groups:
            for array in group:
                finite_floats(array.dataset)
    return net


class _MismatchError(Exception):
    """The first difference between a file and the net it is read into."""


def _match(
    entries: list[_Entry], stored: list[_Stored], averaged_kernel: str | None
) -> list[tuple[_Entry, list[_Stored]]]:
    """Pair weights with arrays by order, by their shapes alone: nothing is read yet.

    Raises `_MismatchError` at the first that does not fit.
    """
    wanted = [(entry, name) for entry in entries for name in entry.piece_names]
    for number, ((entry, name), array) in enumerate(zip(wanted, stored, strict=False), start=1):
        shape = entry.piece_shape
        grey = (*shape[:2], 1, *shape[3:]) if entry.layer == averaged_kernel else shape
        if array.shape not in (shape, grey):
            raise _MismatchError(
                f"array {number} ({name}): expected {shape}, received {array.name} {array.shape}"
            )
    if len(stored) != len(wanted):
        raise _MismatchError(f"expected {len(wanted)} arrays, received {len(stored)}")
    remaining = iter(stored)
    return [(entry, [next(remaining) for _ in range(entry.groups)]) for entry in entries]


def _value(entry: _Entry, arrays: list[_Stored]) -> np.ndarray:
    """The numbers of a weight: its arrays joined; all must be finite."""
    pieces = []
    for array in arrays:
        value, shape = finite_floats(array.dataset), entry.piece_shape
        if value.shape != shape:
            # A grey photo is R=G=B: a third in each channel gives the same response.
            value = np.repeat(value / np.float32(shape[2]), shape[2], axis=2)
        pieces.append(value)
    return np.concatenate(pieces, axis=-1)


def _guess(groups: list[list[_Stored]]) -> str:
    """The end of a message: the known net that a file fits, if any."""
    net = _known_net(groups)
    return f"; the file fits {net}" if net else ""


def _known_net(groups: list[list[_Stored]]) -> str:
    """The known net of so many arrays and features, in words, or nothing."""
    arrays = [array for group in groups for array in group]
    widths = [array.shape[0] for array in arrays if len(array.shape) == 2]
    return KNOWN_NETS.get((len(arrays), widths[-1] if widths else 0), "")


def _stored_groups(file: h5py.File) -> list[list[_Stored]]:
    """The arrays of a Keras 2 weight file, one list per layer group, in saved order; not read yet."""
    root = group_of(file, "model_weights") if "model_weights" in file else file
    groups = []
    for layer in names_of(root, "layer_names"):
        group = group_of(root, layer)
        names = names_of(group, "weight_names")
        groups.append([_Stored(name, array_of(group, name)) for name in names])
    return groups


def _write_names(group: h5py.Group, attribute: str, names: list[str]) -> None:
    encoded = np.array([name.encode() for name in names], dtype="S" if names else "S1")
    if encoded.nbytes <= ATTRIBUTE_LIMIT:
        group.attrs[attribute] = encoded
        return
    per_chunk = ATTRIBUTE_LIMIT // encoded.itemsize
    for number, start in enumerate(range(0, len(encoded), per_chunk)):
        group.attrs[f"{attribute}{number}"] = encoded[start : start + per_chunk]


def save_weights(
    branch: keras.Model,
    head: keras.Model,
    path: Path | str,
    taught: Teaching = (),
    half: bool = False,
) -> None:
    """Write the weights in the plain published layout, which Keras 2.2.4 reads too.

    taught: what the file is to say of the net, if anything is known of it; half: as float16, rounded, for
    half the bytes. Equal weights that were taught alike give equal bytes; the file appears whole or not at
    all. Raises `UserError` for numbers that float16 cannot hold.
    """
    import h5py

    layers = [("input_1", None), ("input_2", None)]
    layers += [(branch.name, branch), (head.name, head)]
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.2.4"
        if taught:
            file.attrs[ATTRIBUTE] = written(taught)
        _write_names(file, "layer_names", [name for name, _ in layers])
        for name, model in layers:
            _write_group(file.create_group(name), model, half)


def _write_group(group: h5py.Group, model: keras.Model | None, half: bool) -> None:
    """Write the weights of `model`, trained ones first; none for an input."""
    from keras import ops

    names: list[str] = []
    trained, moving = _model_entries(model) if model is not None else ([], [])
    for entry in trained + moving:
        value = np.asarray(ops.convert_to_numpy(entry.variable), np.float32)
        if half:
            value = _halved(value, entry)
        for name, piece in zip(entry.piece_names, np.split(value, entry.groups, -1), strict=True):
            # track_times=False: the file holds no time of writing, so equal weights give equal bytes.
            group.create_dataset(name, data=piece, track_times=False)
            names.append(name)
    _write_names(group, "weight_names", names)


def _halved(value: np.ndarray, entry: _Entry) -> np.ndarray:
    if not (np.abs(value) <= _LARGEST_HALF).all():
        raise UserError(
            f"{entry.layer}/{entry.kind} has numbers that float16 cannot hold; write float32"
        )
    return value.astype(np.float16)
