"""What a new detector starts from: ImageNet's weights, a file's, or none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from retinanet.detector.legacy_keras import legacy_keras
from retinanet.detector.model_files import load_matching_layers
from whales.base.console import log
from whales.base.errors import UserError
from whales.nets.weight_files import FirstWeights

if TYPE_CHECKING:
    import tf_keras

# As keras-retinanet 1.0.0 takes it.
IMAGENET = FirstWeights(
    name="ResNet-152-model.keras.h5",
    url="https://github.com/fizyr/keras-models/releases/download/v0.0.1/ResNet-152-model.keras.h5",
    md5="6ee11ef2b135592f8031058820bb9e71",
)


def load_first_weights(model: tf_keras.Model, weights: str) -> None:
    """Load 'imagenet' (downloaded by the library), 'none', or an HDF5 file, by layer name.

    Raises UserError if the file cannot be had, is unsound, or fits no layer.
    """
    if weights == "none":
        return
    path = imagenet_weights() if weights == "imagenet" else Path(weights)
    taken = load_matching_layers(model, path)
    if not taken:
        raise UserError(f"{path} has no weights for any layer of this network")
    log(f"{taken} of {len(model.weights)} weight arrays come from {path}")


def imagenet_weights() -> Path:
    """The ResNet-152 file of the library's release, downloaded if need be.

    Raises UserError where it cannot be downloaded, with the address and where to put it.
    """
    legacy_keras()
    from keras_retinanet.models import backbone

    try:
        return Path(backbone("resnet152").download_imagenet())
    except Exception as reason:  # get_file raises plain Exception
        raise UserError(
            f"ImageNet weights {IMAGENET.name} cannot be downloaded ({reason}); get {IMAGENET.url} and put "
            f"it into {IMAGENET.path.parent}, or give it with --weights FILE"
        ) from reason
