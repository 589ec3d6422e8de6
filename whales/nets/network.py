"""The Siamese network: the head, and the assembly of two branches and a head.

A branch turns a photo into d features, the head turns two feature vectors into the probability
that both photos show the same whale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whales.base.console import log
from whales.base.errors import UserError
from whales.nets.inference import inference_function
from whales.nets.teaching import Teaching
from whales.nets.weight_files import (
    is_of_branch_alone,
    load_branch,
    load_weights,
    save_weights,
)

if TYPE_CHECKING:
    import keras

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # RGB, of photos scaled to 0..1
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True, eq=False)
class SiameseNetwork:
    """A branch, a head, and the two-sided model made of them; all three share their weights.

    branch: (n, size, size, C) preprocessed float32 -> (n, d) features, all >= 0
    head: two (n, d) -> (n, 1) probability of the same whale
    preprocess: (..., h, w, C) photos, 0-255, uint8 or float -> float32 as the branch takes them
    size: side of the photos, pixels
    averaged_kernel: name of the layer whose one-channel kernel may be read into three channels
    """

    branch: keras.Model
    head: keras.Model
    preprocess: Callable[[np.ndarray], np.ndarray]
    size: int
    averaged_kernel: str | None = None

    @cached_property
    def model(self) -> keras.Model:
        """Two (n, size, size, C) preprocessed float32 -> (n, 1); built when first needed: it takes seconds.

        The branch runs once per side, so that in training each side has batch statistics of its own.
        """
        import keras

        photo = self.branch.input_shape[1:]
        with computing_in("float32"):
            left, right = keras.Input(photo, name="input_1"), keras.Input(photo, name="input_2")
            score = self.head([self.branch(left), self.branch(right)])
            return keras.Model([left, right], score, name="siamese")

    @cached_property
    def features(self) -> Callable[[np.ndarray], np.ndarray]:
        """The branch without gradients: (n, size, size, C) preprocessed float32 -> (n, d)."""
        return inference_function(self.branch)

    def load_weights(self, path: Path | str) -> None:
        """Read a weight file in the published layout; see `whales.nets.weight_files.load_weights`."""
        load_weights(self.branch, self.head, path, self.averaged_kernel)

    def save_weights(self, path: Path | str, taught: Teaching = (), half: bool = False) -> None:
        """Write a weight file in the published layout; see `whales.nets.weight_files.save_weights`."""
        save_weights(self.branch, self.head, path, taught, half)

    def set_branch_trainable(self, trainable: bool) -> None:
        """Freeze or free the branch; a compiled model must be compiled again for this to take effect."""
        self.branch.trainable = trainable


@contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Layers made in the `with` block compute by this Keras policy: "float32" or "mixed_bfloat16"."""
    import keras

    outer = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(outer)


def build_head(d: int) -> keras.Model:
    """Head over two (n, d) arrays of features: (n, 1) float32 probabilities of the same whale.

    Each feature gives four numbers (a*b, a+b, |a-b|, (a-b)^2); a small perceptron shared by all
    features (4 -> 32 ReLU -> 1) turns them into one number, and a logistic unit weighs the d results.
    The layer names are those of the published weights (method, section 3).
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
    probability = layers.Dense(1, activation="sigmoid", name="weighted-average")(x)
    return keras.Model([left, right], probability, name="head")


def assemble(
    branch: keras.Model,
    preprocess: Callable[[np.ndarray], np.ndarray],
    size: int,
    averaged_kernel: str | None = None,
) -> SiameseNetwork:
    """Join `branch` and a new head into a network for photos of `size` pixels a side.

    preprocess, averaged_kernel: as in `SiameseNetwork`. The head computes in float32, whatever the
    branch's precision.
    """
    # Pair scores below 1e-5 count, and half precision would blur them.
    with computing_in("float32"):
        head = build_head(branch.output_shape[-1])
    return SiameseNetwork(branch, head, preprocess, size, averaged_kernel)


def imagenet_preprocess(photos: np.ndarray) -> np.ndarray:
    """(..., 3) RGB, 0-255 -> float32: scaled to 0..1, minus ImageNet's mean, over its deviation."""
    scaled = np.asarray(photos, np.float32) / np.float32(255)
    return (scaled - IMAGENET_MEAN) / IMAGENET_STD


def symmetric_preprocess(photos: np.ndarray) -> np.ndarray:
    """(..., C), 0-255 -> float32 in -1..1.

    >>> symmetric_preprocess(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    return np.asarray(photos, np.float32) / np.float32(127.5) - np.float32(1)


def check_size(size: int, smallest: int, net: str, reason: str) -> None:
    """Raise `UserError` for photos of fewer than `smallest` pixels a side; net, reason: to name in it."""
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
    """Give `network` its first weights and return it: random (None or "none"), or those of a file.

    A file of the branch alone, such as ImageNet's, leaves the head as it is; the log says so.
    """
    if weights is None or str(weights) == "none":
        return network
    if is_of_branch_alone(weights):
        load_branch(network.branch, weights)
        log(f"{weights}: weights of the branch alone; the head stays as initialised")
    else:
        network.load_weights(weights)
    return network
