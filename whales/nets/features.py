"""Branch features of photos: what a net makes of each photo by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from whales.base.progress import progress_bar
from whales.photos.feeding import PhotoFeed

if TYPE_CHECKING:
    from whales.nets.network import SiameseNetwork

# Photos of one call of a branch without gradients, by the crop's area: 64 at 224 px.
_INFERENCE_PIXELS = 64 * 224 * 224


def branch_features(
    network: SiameseNetwork, feed: PhotoFeed, names: Sequence[str], progress: str | None = None
) -> np.ndarray:
    """Features of unaugmented photos: (n, d) float32, the branch's outputs after its last rectifier."""
    batch = max(1, min(256, _INFERENCE_PIXELS // feed.size**2))
    return _features(network, feed.plain_batches(names, batch), batch, progress, len(names))


def crop_features(network: SiameseNetwork, crops: np.ndarray) -> np.ndarray:
    """`branch_features` of crops in memory: (n, size, size, 3) uint8 to (n, d) float32."""
    batch = max(1, min(len(crops), _INFERENCE_PIXELS // network.size**2))
    batches = (crops[start : start + batch] for start in range(0, len(crops), batch))
    return _features(network, batches, batch, None, len(crops))


def _features(
    network: SiameseNetwork,
    batches: Iterable[np.ndarray],
    batch: int,
    progress: str | None,
    total: int,
) -> np.ndarray:
    parts = []
    bar = progress_bar(progress, total)
    for crops in batches:
        count = len(crops)
        if count < batch:  # one shape only: another one would be traced anew
            crops = np.concatenate([crops, np.repeat(crops[-1:], batch - count, axis=0)])
        features = network.branch.predict_on_batch(network.preprocess(crops))
        parts.append(np.asarray(features)[:count])
        bar.update(count)
    bar.close()
    if not parts:
        return np.zeros((0, network.branch.output_shape[-1]), np.float32)
    return np.concatenate(parts).astype(np.float32)
