"""The detector's network: building, saving, loading, predicting.

Boxes are (x1, y1, x2, y2). Photos enter as the library wants them: BGR, ImageNet's mean subtracted
(caffe style).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from retinanet.detector.geometry import Detector
from retinanet.detector.legacy_keras import legacy_keras

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

Key = TypeVar("Key")
# Network inputs (n, h, w, 3) to boxes, scores and labels: see `predictor`.
Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]

MAX_WAITING = 64  # photos that wait for others of their shape


def build(detector: Detector) -> tf_keras.Model:
    """A new training model: `regression` (n, anchors, 4), `classification` (n, anchors, 1)."""
    keras = legacy_keras()
    from keras_retinanet.models import retinanet as library

    warnings.filterwarnings("ignore", message="The initializer RandomNormal is unseeded")
    inputs = keras.layers.Input(shape=(None, None, 3))
    stages = _backbone_stages(detector, inputs)
    anchors = detector.anchor_parameters().num_anchors()
    width = detector.width
    submodels = [
        ("regression", library.default_regression_model(4, anchors, width, width)),
        (
            "classification",
            library.default_classification_model(
                1, anchors, width, classification_feature_size=width
            ),
        ),
    ]
    _redraw(submodels[0][1])
    pyramid = partial(vars(library)["__create_pyramid_features"], feature_size=width)
    return library.retinanet(
        inputs,
        dict(zip(("C2", "C3", "C4", "C5"), stages, strict=True)),
        num_classes=1,
        num_anchors=anchors,
        create_pyramid_features=pyramid,
        pyramid_levels=list(detector.levels),
        submodels=submodels,
    )


def _redraw(submodel: tf_keras.Model) -> None:
    """Draw each kernel anew: the library shares one initializer, which today repeats itself."""
    keras = legacy_keras()
    for layer in submodel.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(keras.initializers.RandomNormal(0.0, 0.01)(layer.kernel.shape))


def _backbone_stages(detector: Detector, inputs: tf.Tensor) -> list[tf.Tensor]:
    """The backbone's outputs C2 to C5, each half the size of the one before."""
    import keras_resnet.blocks
    import keras_resnet.models

    if detector.backbone == "resnet152":
        return keras_resnet.models.ResNet152(
            inputs, include_top=False, freeze_bn=detector.freeze_bn
        ).outputs
    narrow = detector.width

    def block(features: int, *args: object, **kwargs: object) -> Callable[[tf.Tensor], tf.Tensor]:
        return keras_resnet.blocks.basic_2d(features * narrow // 128, *args, **kwargs)

    net = keras_resnet.models.ResNet2D(
        inputs, [1, 1, 1, 1], block, include_top=False, freeze_bn=detector.freeze_bn
    )
    return net.outputs


def network_input(pixels: np.ndarray, detector: Detector) -> np.ndarray:
    """(h, w, 3) uint8 RGB as the network wants it: resized, float32 BGR, mean subtracted."""
    from keras_retinanet.utils.image import preprocess_image

    return preprocess_image(resized(pixels, detector)[..., ::-1], mode="caffe")


def resized(pixels: np.ndarray, detector: Detector) -> np.ndarray:
    """(h, w, 3) uint8 at the network's size: the short side as given, if the long one allows."""
    from keras_retinanet.utils.image import resize_image

    return resize_image(pixels, detector.short_side, detector.long_side)[0]


def with_detections(model: tf_keras.Model, detector: Detector) -> tf_keras.Model:
    """The training model plus box regression, clipping and the library's filter.

    Score > .05, non-maximum suppression at .5, 300 boxes by falling score, the rest padding (-1):
    the library's defaults.
    """
    from keras_retinanet.models import convert_model

    return convert_model(
        model, anchor_params=detector.anchor_parameters(), pyramid_levels=list(detector.levels)
    )


def predictor(model: tf_keras.Model) -> Predict:
    """Compile a model of `with_detections` once for photos of any size.

    The function takes (n, h, w, 3) float32 of `network_input` and returns boxes (n, 300, 4) float32
    in shares of the sides, scores (n, 300) float32 and labels (n, 300) int32; padding is -1
    throughout.
    """
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    def graph(images: tf.Tensor) -> list[tf.Tensor]:
        return model(images, training=False)

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes, scores, labels = (output.numpy() for output in graph(images))
        height, width = images.shape[1:3]
        shares = boxes / np.array([width, height, width, height], np.float32)
        shares[scores < 0] = -1
        return shares, scores, labels

    return predict


def by_shape(
    photos: Iterable[tuple[Key, np.ndarray]], size: int
) -> Iterator[tuple[list[Key], np.ndarray]]:
    """Batch up to `size` photos of one shape: padding would move the border that clips boxes.

    Not more than MAX_WAITING photos wait for others of their shape.
    """
    waiting: dict[tuple[int, ...], list[tuple[Key, np.ndarray]]] = {}
    for key, pixels in photos:
        group = waiting.setdefault(pixels.shape, [])
        group.append((key, pixels))
        if len(group) == size:
            yield _stack(waiting.pop(pixels.shape))
        elif sum(map(len, waiting.values())) > MAX_WAITING:
            yield _stack(waiting.pop(max(waiting, key=lambda shape: len(waiting[shape]))))
    for group in waiting.values():
        yield _stack(group)


def _stack(group: list[tuple[Key, np.ndarray]]) -> tuple[list[Key], np.ndarray]:
    return [key for key, _ in group], np.stack([pixels for _, pixels in group])
