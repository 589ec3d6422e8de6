"""Model files of the detector: Keras-2 HDF5 with weights, optimizer and a note.

A model is built from the code here and then given the arrays of a file, by layer and order. What the file
says of layers and losses is never looked at: in Keras's own loader it can run code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import h5py
import numpy as np

from retinanet.detector.geometry import DETECTORS
from retinanet.detector.network import build, with_detections
from whales.base.console import log
from whales.base.errors import UserError
from whales.base.plain_hdf5 import (
    HDF5FaultError,
    array_of,
    finite_floats,
    group_of,
    names_of,
    open_hdf5,
)
from whales.base.plain_json import parse_json
from whales.base.writing import atomic_path

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

NOTE = "whales"  # the HDF5 attribute that holds a model file's note, as JSON
_LOSSES = "whales_losses"  # the group of losses of an epoch that is not over
# The layer that a converted model has and a training model lacks.
_FILTER = "filtered_detections"
_WHAT = "model file"


class ModelNote(TypedDict, total=False):
    """What a model file says of itself; other makers' files say nothing.

    profile: it was made in; description: what its training is made from; progress: of a training,
    the fields of `DetectorProgress`; key: digest in the place of `description` before version 0.2.
    """

    profile: str
    description: Mapping[str, object]
    progress: dict[str, object]
    key: str


def save_model(
    path: Path,
    model: tf_keras.Model,
    note: ModelNote,
    losses: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a Keras-2 HDF5 model, with its optimizer if any, and `note` as a JSON attribute.

    losses: of the steps of an epoch that is not over, for `read_losses`.
    """
    warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
    with atomic_path(path) as temporary:
        model.save(temporary, save_format="h5")
        with h5py.File(temporary, "a") as file:
            file.attrs[NOTE] = json.dumps(note)
            for name, values in (losses or {}).items():
                file[f"{_LOSSES}/{name}"] = values


def read_losses(path: Path) -> dict[str, np.ndarray]:
    """The losses of `save_model`: name -> (steps,) float32; empty where the file has none."""
    with open_hdf5(path, _WHAT) as file:
        if _LOSSES not in file:
            return {}
        group = group_of(file, _LOSSES)
        return {name: finite_floats(array_of(group, name)) for name in group}


def read_note(path: Path) -> ModelNote:
    """The note of a model file, empty for other makers' files; `UserError` if it is no HDF5."""
    with open_hdf5(path, _WHAT) as file:
        note = parse_json(file.attrs.get(NOTE, "{}"))
        if not isinstance(note, dict):
            raise HDF5FaultError(f"its attribute {NOTE} is no object")
        return note


def load_model(path: Path, profile: str) -> tf_keras.Model:
    """The detector with the weights of a file of `save_model` or keras-retinanet, not compiled.

    A converted model's file gives a model of `with_detections`. Raises `UserError` for a file of the
    other profile, for the weights of another network, and for weights that are NaN or infinite.
    """
    noted = read_note(path).get("profile", profile)
    if noted != profile:
        raise UserError(
            f"{path} was made with --profile {noted}, not {profile}; "
            "run this stage with the same profile, or the training again"
        )
    detector = DETECTORS[profile]
    model = build(detector)
    with open_hdf5(path, _WHAT) as file:
        root = group_of(file, "model_weights") if "model_weights" in file else file
        layers = names_of(root, "layer_names")
        if _FILTER in layers:
            model = with_detections(model, detector)
        pairs = [pair for layer in model.layers for pair in _layer_pairs(layer, root, layers)]
        values = [finite_floats(array) for _, array in pairs]
    for (variable, _), value in zip(pairs, values, strict=True):
        variable.assign(value)
    return model


def load_matching_layers(model: tf_keras.Model, path: Path) -> int:
    """Give the layers of a model the weights of a file's layers of the same names and shapes.

    Other layers keep what they have. Returns how many arrays were taken; `UserError` as `load_model`.
    """
    with open_hdf5(path, "weight file") as file:
        root = group_of(file, "model_weights") if "model_weights" in file else file
        layers = names_of(root, "layer_names")
        pairs = []
        for layer in model.layers:
            if layer.name in layers:
                with contextlib.suppress(_OtherLayerError):
                    pairs += _layer_pairs(layer, root, layers)
        values = [finite_floats(array) for _, array in pairs]
    for (variable, _), value in zip(pairs, values, strict=True):
        variable.assign(value)
    return len(pairs)


class _OtherLayerError(HDF5FaultError):
    """A layer of a file has other shapes than the model's."""


def _layer_pairs(
    layer: tf_keras.layers.Layer, root: h5py.Group, layers: list[str]
) -> list[tuple[tf.Variable, h5py.Dataset]]:
    """A layer's variables with their arrays, in saved order: trained ones first."""
    variables = [*layer.trainable_weights, *layer.non_trainable_weights]
    if not variables:
        return []
    if layer.name not in layers:
        raise HDF5FaultError(f"it has no layer {layer.name}: not a RetinaNet model of this profile")
    group = group_of(root, layer.name)
    arrays = [array_of(group, name) for name in names_of(group, "weight_names")]
    shapes = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != shapes:
        raise _OtherLayerError(f"layer {layer.name} is that of another network")
    return list(zip(variables, arrays, strict=True))


def restore_optimizer(model: tf_keras.Model, path: Path) -> bool:
    """Give a compiled model's optimizer the state and learning rate of a file; whether it had one."""
    model.optimizer.build(model.trainable_variables)
    variables = model.optimizer.variables
    with open_hdf5(path, _WHAT) as file:
        if "optimizer_weights" not in file:
            return False
        group = group_of(file, "optimizer_weights")
        arrays = [array_of(group, name) for name in names_of(group, "weight_names")]
        if [array.shape for array in arrays] != [tuple(v.shape) for v in variables]:
            log(f"{path}: its optimizer is another version's; training goes on with a new one")
            return False
        values = [np.asarray(array) for array in arrays]
        rate = _learning_rate(file.attrs.get("training_config"))
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    model.optimizer.learning_rate.assign(rate)
    return True


def _learning_rate(config: object) -> float:
    """The learning rate that a file's training had come to."""
    text = config.decode() if isinstance(config, bytes) else str(config)
    content = parse_json(text)
    for key in ("optimizer_config", "config", "learning_rate"):
        content = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(content, float) or not (math.isfinite(content) and content > 0):
        raise HDF5FaultError("its learning rate is no number above 0")
    return content


def digest(path: Path) -> str:
    """SHA-256 of a file: tells detections of these weights from those of others."""
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
