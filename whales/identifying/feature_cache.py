"""Features of known photos kept on disk: a photo's count while weights, box and file are the same."""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whales.console import log
from whales.crop_store import key_of
from whales.errors import UserError
from whales.pickles import atomic_path
from whales.siamese import Net, plain_feed

if TYPE_CHECKING:
    from whales.feeding import PhotoFeed
    from whales.pair_scores import HeadWeights

Arrays = dict[str, np.ndarray]


def photo_prints(
    args: argparse.Namespace, boxes: dict[str, Any], names: Iterable[str]
) -> dict[str, str]:
    """What features of a photo depend on besides the weights: its crop and file, as one short text."""
    prints, shape = {}, args.workspace.settings.anisotropy
    for name in sorted(names):
        try:
            prints[name] = digest(key_of(args.workspace.photo(name), boxes[name], shape))
        except UserError as reason:
            if not args.skip_broken_photos:
                raise
            log(f"left out: {reason}")
    return prints


def digest(content: object) -> str:
    """A short text for content whose `repr` says all."""
    return hashlib.sha256(repr(content).encode()).hexdigest()[:32]


class FeatureCache:
    """A net while features of its folds are loaded or made; `network` ends with any fold's weights."""

    def __init__(
        self,
        args: argparse.Namespace,
        net: Net,
        size: int,
        boxes: dict[str, Any],
        prints: dict[str, str],
    ) -> None:
        """args: of `whales.stage.parse_arguments`; size: of the photos, pixels; prints: of `photo_prints`."""
        self.args, self.net, self.size, self.boxes, self.prints = args, net, size, boxes, prints
        self.network = net.build(size, None, args.profile)
        self._feed: PhotoFeed | None = None

    def features(
        self, fold: int, weights: Path, names: Iterable[str]
    ) -> tuple[HeadWeights, Arrays]:
        """The head, and features (d,) float32 of the photos (stems) that have a box and can be read.

        Those of other weights, of another box or of a changed file are made anew.
        """
        from whales.pair_scores import HeadWeights, head_weights

        path = self.args.workspace.file("catalogue", part=f"{self.net.name}_fold_{fold}")
        stamp, wanted = weights_stamp(weights, self.size), sorted(set(names) & set(self.prints))
        stored = {} if self.args.force else read_arrays(path, stamp)
        found = {}
        if stored:
            rows = zip(stored["names"], stored["prints"], stored["features"], strict=True)
            found = {str(name): row for name, text, row in rows if self.prints.get(name) == text}
            head = HeadWeights(*(stored[f"head_{part}"] for part in HeadWeights._fields))
        missing = [name for name in wanted if name not in found]
        if missing or not stored:
            self.network.load_weights(weights)
            head = head_weights(self.network.head)
            found |= self._computed(missing, f"{weights.name}: features of {len(missing)} photos")
        kept = [name for name in wanted if name in found]
        if not kept:
            raise UserError("none of the known photos can be read")
        if missing or len(found) > len(kept) or not stored:
            parts = {f"head_{part}": value for part, value in head._asdict().items()}
            texts = [self.prints[name] for name in kept]
            matrix = np.stack([found[name] for name in kept])
            write_arrays(path, stamp, names=kept, prints=texts, features=matrix, **parts)
        return head, {name: found[name] for name in kept}

    def _computed(self, names: list[str], told: str) -> Arrays:
        from whales.feeding import branch_features

        log(told)
        if self._feed is None:
            self._feed = plain_feed(self.args, self.size, self.boxes)
        kept = self._feed.readable(names) if self.args.skip_broken_photos else names
        rows = branch_features(self.network, self._feed, kept, "features")
        return dict(zip(kept, rows, strict=True))

    def close(self) -> None:
        """End the workers that read photos."""
        if self._feed is not None:
            self._feed.close()


def weights_stamp(weights: Path, size: int) -> str:
    """What tells a net of one weight file and photo size from others."""
    status = weights.stat()
    return json.dumps([weights.name, status.st_size, status.st_mtime_ns, size])


def read_arrays(path: Path, stamp: str) -> Arrays:
    """The arrays of a cache file; none where it is missing, damaged or of another stamp."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file) if str(file["stamp"]) == stamp else {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def write_arrays(path: Path, stamp: str, **arrays: Any) -> None:
    """Write what `read_arrays` reads, whole or not at all."""
    with atomic_path(path) as temporary:
        np.savez(temporary, stamp=np.array(stamp), **arrays)
