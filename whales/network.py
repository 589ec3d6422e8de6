"""The Siamese network: head, assembly of the two sides, and weight files in the published layout.

A branch turns a photo into d features, the head turns two feature vectors into the probability
that both photos show the same whale. Weight files are Keras 2.2.4 HDF5 ("weights only"), read by
saved order, never by name: the published files name the branch in several ways.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whales.errors import UserError
from whales.pickles import atomic_path

if TYPE_CHECKING:
    import h5py
    import keras

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # RGB, of photos scaled to 0..1
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)

# Keras 2 cut attributes above this many bytes into numbered ones: HDF5 keeps an object's header
# under 64 KiB.
ATTRIBUTE_LIMIT = 64512

# Which net a file fits, by its number of stored arrays and the number d of its branch features.
KNOWN_NETS = {
    (610, 1024): "the v5 net (DenseNet121)",
    (332, 512): "the kernel net",
    (831, 2048): "the v6 net (SE-ResNeXt50)",
    (110, 64): "the v5 net of the smoke profile",
    (130, 256): "the v6 net of the smoke profile",
}


@dataclass(frozen=True, eq=False)
class SiameseNetwork:
    """A branch, a head, and the two-sided model made of them; all three share their weights.

    branch: (n, size, size, C) preprocessed float32 -> (n, d) features, all >= 0
    head: two (n, d) -> (n, 1) probability of the same whale
    model: two (n, size, size, C) preprocessed float32 -> (n, 1); the branch runs once per side, so
        in training each side has batch statistics of its own
    preprocess: (..., h, w, C) photos, 0-255, uint8 or float -> float32, as the branch wants them
    size: side of the photos, pixels
    averaged_kernel: name of the layer whose one-channel kernel may be read into three channels
    """

    branch: keras.Model
    head: keras.Model
    model: keras.Model
    preprocess: Callable[[np.ndarray], np.ndarray]
    size: int
    averaged_kernel: str | None = None

    def load_weights(self, path: Path | str) -> None:
        """Read a weight file in the published layout; see `load_weights`."""
        load_weights(self, path)

    def save_weights(self, path: Path | str) -> None:
        """Write a weight file in the published layout; see `save_weights`."""
        save_weights(self, path)

    def set_branch_trainable(self, trainable: bool) -> None:
        """Freeze or free the branch; a frozen one runs its batch normalization in inference mode.

        A compiled model must be compiled again for this to take effect.
        """
        self.branch.trainable = trainable


@contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Layers made inside compute as Keras's policy `policy` says: "float32" or "mixed_bfloat16"."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_head(d: int) -> keras.Model:
    """Head over two (n, d) feature vectors: (n, 1) float32 probability of the same whale.

    Each feature gives four numbers (a*b, a+b, |a-b|, (a-b)^2); a small perceptron shared by all
    features (4 -> 32 ReLU -> 1) turns them into one, and a logistic unit weighs the d results. The
    layer names are those of the published weights.
    """
    import keras
    from keras import layers, ops

    left = keras.Input((d,), name="features_left")
    right = keras.Input((d,), name="features_right")
    product = layers.Multiply(name="lambda_1")([left, right])
    total = layers.Add(name="lambda_2")([left, right])
    distance = layers.Lambda(
        lambda pair: ops.abs(pair[0] - pair[1]), output_shape=(d,), name="lambda_3"
    )([left, right])
    square = layers.Lambda(ops.square, output_shape=(d,), name="lambda_4")(distance)
    x = layers.Concatenate(name="concat_1")([product, total, distance, square])
    x = layers.Reshape((4, d, 1), name="reshape1")(x)
    x = layers.Conv2D(32, (4, 1), activation="relu", name="hm_conv_2d_1")(x)  # (n, 1, d, 32)
    x = layers.Reshape((d, 32, 1), name="hm_reshape_2")(x)
    x = layers.Conv2D(1, (1, 32), name="hm_conv_2d_2")(x)  # (n, d, 1, 1)
    x = layers.Flatten(name="flatten")(x)
    score = layers.Dense(1, activation="sigmoid", name="weighted-average")(x)
    return keras.Model([left, right], score, name="head")


def assemble(
    branch: keras.Model,
    preprocess: Callable[[np.ndarray], np.ndarray],
    size: int,
    averaged_kernel: str | None = None,
) -> SiameseNetwork:
    """Join `branch` and a new head into a network for photos of `size` pixels a side.

    The head computes in float32, whatever the branch's precision.
    """
    import keras

    photo = branch.input_shape[1:]
    # Scores under 1e-5 count, which half precision would blur.
    with computing_in("float32"):
        head = build_head(branch.output_shape[-1])
        left, right = keras.Input(photo, name="input_1"), keras.Input(photo, name="input_2")
        model = keras.Model([left, right], head([branch(left), branch(right)]), name="siamese")
    return SiameseNetwork(branch, head, model, preprocess, size, averaged_kernel)


def imagenet_preprocess(photos: np.ndarray) -> np.ndarray:
    """(..., 3) RGB, 0-255 -> float32 scaled to 0..1, minus ImageNet's mean, over its deviation."""
    scaled = np.asarray(photos, np.float32) / np.float32(255)
    return (scaled - IMAGENET_MEAN) / IMAGENET_STD


def symmetric_preprocess(photos: np.ndarray) -> np.ndarray:
    """(..., C), 0-255 -> float32 in -1..1."""
    return np.asarray(photos, np.float32) / np.float32(127.5) - np.float32(1)


def check_size(size: int, smallest: int, net: str, reason: str) -> None:
    """Raise `UserError` for photos of fewer than `smallest` pixels a side."""
    if size < smallest:
        raise UserError(
            f"{net} takes photos of at least {smallest} px a side ({reason}), received {size} px"
        )


def check_profile(profile: str, weights: Path | str | None, profiles: Iterable[str]) -> None:
    """Raise `UserError` for an unknown profile, or ImageNet weights with any profile but full."""
    if profile not in profiles:
        raise UserError(f"unknown profile {profile!r}, expected one of {', '.join(profiles)}")
    if weights == "imagenet" and profile != "full":
        raise UserError(
            f"ImageNet weights fit the full profile only, received profile {profile!r}: "
            "start with --weights none or a weight file of that profile"
        )


def start_from(network: SiameseNetwork, weights: Path | str | None) -> SiameseNetwork:
    """Give `network` its first weights: random (None or "none") or those of a file; return it."""
    if weights is not None and str(weights) != "none":
        network.load_weights(weights)
    return network


# ------------------------------------------------------------------------------------------------
# Weight files


@dataclass(frozen=True)
class _Entry:
    """One weight of the net and the arrays that a file keeps it in.

    A grouped convolution is kept as one kernel per group: the native kernel (h, w, C/groups, C) cut
    along its last axis.
    """

    layer: str
    kind: str
    variable: Any
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
    """One array of a weight file."""

    name: str
    value: np.ndarray


def _leaf_layers(model: keras.Model) -> Iterable[keras.layers.Layer]:
    """Layers in Keras's order, which Keras 3 kept from Keras 2: by depth, then by creation."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _leaf_layers(layer)
        else:
            yield layer


def _entries(layer: keras.layers.Layer) -> tuple[list[_Entry], list[_Entry]]:
    """(trained weights, moving statistics) of a layer, whatever its `trainable` flag says now."""
    groups = getattr(layer, "groups", 1)
    found = [
        _Entry(layer.name, variable.name, variable, groups if variable.name == "kernel" else 1)
        for variable in layer.weights
    ]
    moving = [entry for entry in found if entry.kind.startswith("moving_")]
    return [entry for entry in found if entry not in moving], moving


def _model_entries(model: keras.Model) -> tuple[list[_Entry], list[_Entry]]:
    trained, moving = [], []
    for layer in _leaf_layers(model):
        layer_trained, layer_moving = _entries(layer)
        trained += layer_trained
        moving += layer_moving
    return trained, moving


def load_weights(network: SiameseNetwork, path: Path | str) -> None:
    """Fill `network` from a Keras 2 weight file in either published layout.

    Plain: groups of the inputs (empty), of the branch, of the head. Two-GPU: one group with every
    trained weight of branch then head, then every moving statistic; other groups empty. Names do
    not count, the order does; every shape is checked before anything is assigned. Where the network
    names an `averaged_kernel`, a one-channel kernel is read as a third of it in each channel.

    Raises `UserError` where the file is missing, damaged, or holds the weights of another net.
    """
    groups = [group for group in _read_groups(Path(path)) if group]
    branch_trained, branch_moving = _model_entries(network.branch)
    head_trained, head_moving = _model_entries(network.head)
    if len(groups) == 2:
        parts = [
            (branch_trained + branch_moving, groups[0]),
            (head_trained + head_moving, groups[1]),
        ]
    elif len(groups) == 1:
        everything = branch_trained + head_trained + branch_moving + head_moving
        parts = [(everything, groups[0])]
    else:
        raise UserError(
            f"{path}: no weights of a Siamese net: expected groups of a branch and a head, or one "
            f"group with both, received {len(groups)} groups with weights"
        )
    assignments = []
    for entries, stored in parts:
        try:
            assignments += _match(entries, stored, network.averaged_kernel)
        except _MismatchError as mismatch:
            raise UserError(
                f"{path}: weights of another net than {network.branch.name}: "
                f"{mismatch}{_guess(groups)}"
            ) from None
    for variable, value in assignments:
        variable.assign(value)


def load_branch(branch: keras.Model, path: Path | str) -> None:
    """Fill `branch` from a Keras 2 weight file of the branch alone, one group per layer.

    This is the layout of the ImageNet files; order counts, names do not. Raises `UserError` as
    `load_weights` does.
    """
    entries = [
        entry for layer in _leaf_layers(branch) for part in _entries(layer) for entry in part
    ]
    stored = [array for group in _read_groups(Path(path)) for array in group]
    try:
        assignments = _match(entries, stored, None)
    except _MismatchError as mismatch:
        raise UserError(f"{path}: not ImageNet weights of {branch.name}: {mismatch}") from None
    for variable, value in assignments:
        variable.assign(value)


class _MismatchError(Exception):
    """The first difference between a file and the net it is read into."""


def _match(
    entries: list[_Entry], stored: list[_Stored], averaged_kernel: str | None
) -> list[tuple[Any, np.ndarray]]:
    """Pair weights with arrays by order; raise `_MismatchError` at the first that does not fit."""
    wanted = [(entry, name) for entry in entries for name in entry.piece_names]
    pieces: list[np.ndarray] = []
    for (entry, name), array in zip(wanted, stored, strict=False):
        value, shape = array.value, entry.piece_shape
        if entry.layer == averaged_kernel and value.shape == (*shape[:2], 1, *shape[3:]):
            # A grey photo is R=G=B: a third in each channel gives the same response.
            value = np.repeat(value / np.float32(shape[2]), shape[2], axis=2)
        if value.shape != shape:
            raise _MismatchError(
                f"array {len(pieces) + 1} ({name}): expected {shape}, "
                f"received {array.name} {value.shape}"
            )
        pieces.append(value)
    if len(stored) != len(wanted):
        raise _MismatchError(f"expected {len(wanted)} arrays, received {len(stored)}")
    remaining = iter(pieces)
    return [
        (entry.variable, np.concatenate([next(remaining) for _ in range(entry.groups)], axis=-1))
        for entry in entries
    ]


def _guess(groups: list[list[_Stored]]) -> str:
    """Name the known net that a file fits, if any."""
    arrays = [array for group in groups for array in group]
    widths = [array.value.shape[0] for array in arrays if array.value.ndim == 2]
    net = KNOWN_NETS.get((len(arrays), widths[-1] if widths else 0))
    return f"; the file fits {net}" if net else ""


def _read_groups(path: Path) -> list[list[_Stored]]:
    """The arrays of a Keras 2 weight file, one list per layer group, in saved order."""
    import h5py

    if not path.is_file():
        raise UserError(f"{path}: weight file is missing")
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            return [
                [
                    _Stored(name, np.asarray(root[layer][name], np.float32))
                    for name in _read_names(root[layer], "weight_names")
                ]
                for layer in _read_names(root, "layer_names")
            ]
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as reason:
        raise UserError(
            f"{path}: not a whole Keras 2 HDF5 weight file ({_one_line(reason)})"
        ) from reason


def _one_line(reason: Exception) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__


def _read_names(group: h5py.Group, attribute: str) -> list[str]:
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
        name.decode() if isinstance(name, bytes) else str(name) for part in chunks for name in part
    ]


def _write_names(group: h5py.Group, attribute: str, names: list[str]) -> None:
    encoded = np.array([name.encode() for name in names], dtype="S" if names else "S1")
    if encoded.nbytes <= ATTRIBUTE_LIMIT:
        group.attrs[attribute] = encoded
        return
    per_chunk = ATTRIBUTE_LIMIT // encoded.itemsize
    for number, start in enumerate(range(0, len(encoded), per_chunk)):
        group.attrs[f"{attribute}{number}"] = encoded[start : start + per_chunk]


def save_weights(network: SiameseNetwork, path: Path | str) -> None:
    """Write the weights in the plain published layout, which Keras 2.2.4 reads too.

    Equal weights give equal bytes; the file appears whole or not at all.
    """
    import h5py

    parts = [("input_1", None), ("input_2", None)]
    parts += [(network.branch.name, network.branch), (network.head.name, network.head)]
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.2.4"
        _write_names(file, "layer_names", [name for name, _ in parts])
        for name, model in parts:
            _write_group(file.create_group(name), model)


def _write_group(group: h5py.Group, model: keras.Model | None) -> None:
    """Write the weights of `model`, trained ones first; none for an input."""
    from keras import ops

    names: list[str] = []
    trained, moving = _model_entries(model) if model is not None else ([], [])
    for entry in trained + moving:
        value = np.asarray(ops.convert_to_numpy(entry.variable), np.float32)
        for name, piece in zip(entry.piece_names, np.split(value, entry.groups, -1), strict=True):
            # track_times=False: no time of writing in the file.
            group.create_dataset(name, data=piece, track_times=False)
            names.append(name)
    _write_names(group, "weight_names", names)


@dataclass(frozen=True)
class FirstWeights:
    """Weights of a branch that others trained on ImageNet: file name, address and md5 digest."""

    name: str
    url: str
    md5: str

    def fetch(self) -> Path:
        """Path of the file: from Keras's model folder, else downloaded into it.

        Raises `UserError` where the file is neither there (with this digest) nor to be had.
        """
        import keras

        folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
        try:
            return Path(
                keras.utils.get_file(self.name, self.url, file_hash=self.md5, cache_subdir="models")
            )
        except Exception as reason:  # get_file raises bare Exception when the network is away
            raise UserError(
                f"ImageNet weights {self.name} are not in {folder} and cannot be downloaded "
                f"({_one_line(reason)}): put the file (md5 {self.md5}) of {self.url} there, "
                "or start with --weights none or --weights FILE"
            ) from reason
