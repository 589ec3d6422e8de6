"""The v6 net: SE-ResNeXt50 32x4d branch, global max pooling, ImageNet preprocessing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whales.nets.first_weights import FirstWeights
from whales.nets.network import (
    SiameseNetwork,
    assemble,
    check_profile,
    check_size,
    imagenet_preprocess,
    start_from,
)
from whales.nets.weight_files import load_branch

IMAGENET = FirstWeights(
    name="seresnext50_imagenet_1000_no_top.h5",
    url="https://github.com/qubvel/classification_models/releases/download/0.0.1/"
    "seresnext50_imagenet_1000_no_top.h5",
    md5="b0f23d2e1cd406d67335fb92d85cc279",
)
SMALLEST = 32  # pixels a side: five halvings


@dataclass(frozen=True)
class Shape:
    """Depth and width of an SE-ResNeXt.

    stem: channels of the first convolution; blocks, channels: of each stage; groups: of the 3x3
    convolutions; reduction: of the squeeze-excite bottleneck.
    """

    name: str
    stem: int
    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    groups: int
    reduction: int


FULL = Shape(
    name="seresnext50",
    stem=64,
    blocks=(3, 4, 6, 3),
    channels=(256, 512, 1024, 2048),
    groups=32,
    reduction=16,
)
SMOKE = Shape(
    name="seresnext_smoke",
    stem=32,
    blocks=(1, 1, 1, 1),
    channels=(32, 64, 128, 256),
    groups=8,
    reduction=16,
)
PROFILES = {"full": FULL, "smoke": SMOKE}


def build_network(
    size: int, weights: Path | str | None = None, profile: str = "full"
) -> SiameseNetwork:
    """Siamese net for RGB photos of `size` pixels a side.

    weights: None or "none" (random), "imagenet" (branch only), or a weight file, see `start_from`.
    Raises `UserError` for a size below 32, ImageNet weights with another profile than full, or a file
    that does not fit.
    """
    check_size(size, SMALLEST, "the v6 net", "SE-ResNeXt halves them five times")
    check_profile(profile, weights, PROFILES)
    from siamese_net_v6_se_resnext.a01_se_resnext_branch import build_se_resnext

    shape = PROFILES[profile]
    branch = build_se_resnext(
        size, shape.stem, shape.blocks, shape.channels, shape.groups, shape.reduction, shape.name
    )
    network = assemble(branch, imagenet_preprocess, size)
    if weights == "imagenet":
        load_branch(branch, IMAGENET.fetch())
        return network
    return start_from(network, weights)
