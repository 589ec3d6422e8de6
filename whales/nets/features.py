"""Branch features of photos: the vectors that a net computes from each photo alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from whales.base.progress import progress_bar
from whales.photos.feeding import PhotoFeed

if TYPE_CHECKING:
    from whales.nets.network import SiameseNetwork

# Pixels that one call of a branch takes without gradients: 64 photos at 224 px.
_INFERENCE_PIXELS = 64 * 224 * 224


def branch_features(
    network: SiameseNetwork, feed: PhotoFeed, names: Sequence[str], progress: str | None = None
) -> np.ndarray:
    """Features of unaugmented photos: (n, d) float32, the branch's outputs after its last rectifier.

    names: stems, in the order of the rows; progress: name of a progress bar, None for none. `UserError`
    where a photo is missing or unreadable.
    """
    batch = max(1, min(256, _INFERENCE_PIXELS // feed.size**2))
    return _features(network, feed.plain_batches(names, batch), batch, progress, len(names))


def crop_features(network: SiameseNetwork, crops: np.ndarray) -> np.ndarray:
    """`branch_features` of crops in memory: (n, size, size, 3) uint8 to (n, d) float32."""
    batch = max(1, min(_batch_for(len(crops)), _INFERENCE_PIXELS // network.size**2))
    batches = (crops[start : start + batch] for start in range(0, len(crops), batch))
    return _features(network, batches, batch, None, len(crops))


def _batch_for(count: int) -> int:
    """The size of one call for `count` crops; on JAX, which compiles for every size, a power of two.

    TensorFlow traces for two sizes, then once for all others; PyTorch takes any.
    """
    import keras

    if keras.backend.backend() != "jax":
        return count
    return 1 << max(count - 1, 0).bit_length()


def _features(
    network: SiameseNetwork,
    batches: Iterable[np.ndarray],
    batch: int,
    progress: str | None,
    total: int,
) -> np.ndarray:
    rows = []
    bar = progress_bar(progress, total)
    for crops in batches:
        count = len(crops)
        if count < batch:  # every call has one shape: another one would be traced anew
            crops = np.concatenate([crops, np.repeat(crops[-1:], batch - count, axis=0)])
        features = network.features(network.preprocess(crops))
        rows.append(np.asarray(features)[:count])
        bar.update(count)
    bar.close()
    if not rows:
        return np.zeros((0, network.branch.output_shape[-1]), np.float32)
    return np.concatenate(rows).astype(np.float32)
