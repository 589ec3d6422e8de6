"""What a new detector starts from: ImageNet's weights, a file's, or none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retinanet.detector.geometry import Detector
from retinanet.detector.model_files import load_matching_layers
from whales.base.console import log
from whales.base.errors import UserError
from whales.nets.first_weights import FirstWeights

if TYPE_CHECKING:
    import tf_keras

# As keras-retinanet 1.0.0 takes it.
IMAGENET = FirstWeights(
    name="ResNet-152-model.keras.h5",
    url="https://github.com/fizyr/keras-models/releases/download/v0.0.1/ResNet-152-model.keras.h5",
    md5="6ee11ef2b135592f8031058820bb9e71",
)


def first_weights_file(weights: str, detector: Detector, rehearsal: bool = False) -> Path | None:
    """The file that 'imagenet' (downloaded if need be) or a path stands for; None for 'none'.

    No framework is loaded. `UserError` as of `FirstWeights.fetch`, and for 'none' where batch
    normalization is frozen: it would keep the statistics of no training, and nothing is ever found.
    A rehearsal need not find anything.
    """
    if weights == "none":
        if detector.freeze_bn and not rehearsal:
            raise UserError(
                f"--weights none: {detector.backbone} of random weights learns nothing, since its batch "
                "normalization is frozen; leave --weights out for ImageNet's, or give --weights FILE"
            )
        return None
    return IMAGENET.fetch() if weights == "imagenet" else Path(weights)


def load_first_weights(model: tf_keras.Model, path: Path | None) -> None:
    """Load an HDF5 file by layer name; None leaves the model as it is.

    Raises UserError if the file is unsound, or fits no layer.
    """
    if path is None:
        return
    taken = load_matching_layers(model, path)
    if not taken:
        raise UserError(f"{path} has no weights for any layer of this network")
    log(f"{taken} of {len(model.weights)} weight arrays come from {path}")
