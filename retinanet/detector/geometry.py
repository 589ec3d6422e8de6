"""The detector's numbers: folds, anchors and photo sizes of both profiles, and a training's plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from retinanet.detector.legacy_keras import legacy_keras
from whales.training.plan import Block, Plan

if TYPE_CHECKING:
    from keras_retinanet.utils.anchors import AnchorParameters

DETECTOR_FOLDS = 5  # numbered from 1


@dataclass(frozen=True)
class Detector:
    """Everything that training, conversion and detection must agree on.

    backbone: 'resnet152', or 'small', a one-block-a-stage ResNet of `width` channels. sizes,
    strides: pixels, one for each of the pyramid's `levels`; ratios: height / width; scales: times size.
    short_side, long_side: the photo is resized to the short side unless the long side then exceeds
    its limit.
    """

    backbone: str
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    ratios: tuple[float, ...]
    scales: tuple[float, ...]
    levels: tuple[int, ...]
    short_side: int
    long_side: int
    width: int = 256

    @property
    def freeze_bn(self) -> bool:
        """Whether batch normalization keeps the statistics that it is given: a batch of one has none."""
        return self.backbone == "resnet152"

    def anchor_parameters(self) -> AnchorParameters:
        """The library's own record of the anchors."""
        legacy_keras()
        from keras_retinanet.utils.anchors import AnchorParameters

        return AnchorParameters(
            sizes=list(self.sizes),
            strides=list(self.strides),
            ratios=np.array(self.ratios, np.float32),
            scales=np.array(self.scales, np.float32),
        )


FULL = Detector(
    backbone="resnet152",
    sizes=(16, 32, 64, 128, 256),
    strides=(8, 16, 32, 64, 128),
    ratios=(0.1, 0.5, 1, 2, 4, 8),
    scales=(1, 1.25, 1.5, 1.75),
    levels=(3, 4, 5, 6, 7),
    short_side=600,
    long_side=800,
)
SMOKE = Detector(
    backbone="small",
    sizes=(30, 60, 80),
    strides=(8, 16, 32),
    ratios=(0.2, 0.35, 0.6, 1),
    scales=(1, 1.35, 1.75),
    levels=(3, 4, 5),
    short_side=120,
    long_side=160,
    width=48,
)
DETECTORS = {"full": FULL, "smoke": SMOKE}


@dataclass(frozen=True)
class DetectorPlan:
    """The numbers of a detector's training.

    steps: batches an epoch; clipnorm: largest norm of a weight's gradient. epoch_rate: factor on the
    learning rate after every epoch; plateau_factor, plateau_patience: on top of it, when the loss has
    not improved for so many epochs. weights: 'imagenet', 'none', or the path of an HDF5 file.
    small_photos: resize before augmenting, and keep the photos in memory.
    """

    epochs: int
    steps: int
    batch: int
    learning_rate: float
    clipnorm: float
    plateau_factor: float
    plateau_patience: int
    weights: str
    epoch_rate: float = 1.0
    small_photos: bool = False

    def rehearsed(self, steps: int | None) -> DetectorPlan:
        """The plan cut to two epochs of `steps` steps, at most; as it is without a number."""
        if steps is None:
            return self
        return replace(self, epochs=min(2, self.epochs), steps=min(steps, self.steps))

    def as_blocks(self, size: int) -> Plan:
        """The training as a Siamese net's plan, to tell how long it takes: each epoch is a round."""
        epochs = Block("epoch", self.learning_rate, self.epochs, 1, 0, each_round=True)
        return Plan(size, self.batch, 1, (epochs,), steps=self.steps)
