"""From photos to pair scores by name, through features kept in the work root's cache."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from whales.base.console import log
from whales.base.errors import UserError
from whales.files.boxes import Box
from whales.files.digests import text_digest
from whales.files.sides import NO_SIDES, Sides
from whales.files.workspace import Workspace
from whales.nets.features import branch_features
from whales.nets.net import PRECISIONS, Net
from whales.nets.network import SiameseNetwork
from whales.photos.feeding import PhotoFeed
from whales.photos.photos import DECODING
from whales.scores.feature_files import FeatureTable, joined, open_features, write_arrays
from whales.scores.head import HeadWeights, head_weights
from whales.scores.pair_scores import score_matrix
from whales.scores.pair_screen import Scorer
from whales.scores.pair_screen import mean_scores as mean_of_scorers

# So many photos' features are computed before they are kept, and are in memory until then: 268 MB of v6.
_AT_ONCE = 32768


def photo_prints(
    workspace: Workspace, boxes: Mapping[str, Box], digests: Mapping[str, str]
) -> dict[str, str]:
    """Stem -> digest of what a photo's features depend on besides the net: file, decoding, box, anisotropy.

    boxes: stem -> box, pixels; digests: stem -> digest of the photo's file.
    """
    anisotropy = workspace.settings.anisotropy
    return {
        name: text_digest([digest, DECODING, _plain(boxes.get(name)), anisotropy])
        for name, digest in digests.items()
    }


def _plain(box: Box | None) -> list[float] | None:
    return None if box is None else [float(value) for value in box]


class FeatureStore:
    """A net whose features of photos are kept, so that only new and changed photos are computed.

    A photo's features are used again while weights, photo size, precision, file, box and anisotropy are
    the same. Call `close` when done (`contextlib.closing`).
    """

    def __init__(
        self,
        workspace: Workspace,
        net: Net,
        size: int,
        boxes: Mapping[str, Box],
        prints: Mapping[str, str],
        *,
        profile: str = "full",
        precision: str | None = None,
        workers: int = 1,
        skip_broken_photos: bool = False,
        force: bool = False,
    ) -> None:
        """size: of the photos, pixels a side; boxes: stem -> box; prints: what `photo_prints` returns for
        all photos that will be asked for; the rest as in `whales.stages.options.RunOptions`.
        """
        self.net, self.size = net, size
        self._workspace, self._boxes, self._prints = workspace, dict(boxes), prints
        self._profile, self._precision, self._workers = profile, precision, workers
        self._skip, self._force = skip_broken_photos, force
        self._feed: PhotoFeed | None = None

    @cached_property
    def network(self) -> SiameseNetwork:
        """The network, built when first needed; it has the weights of the fold computed last."""
        return self.net.network(self.size, None, self._profile, self._precision)

    def features(
        self, fold: int, weights: Path, names: Iterable[str]
    ) -> tuple[HeadWeights, FeatureTable]:
        """One fold's head, and the features of photos, read from the cache's file as they are needed.

        names: stems; those without a print are left out. `UserError` where the weights are missing or do
        not fit, or a photo cannot be read; with `skip_broken_photos` such a photo is left out, and the
        error is that none can be read.
        """
        path = self._workspace.file("features", net=self.net.name, fold=fold)
        stamp, wanted = self._stamp(weights), sorted(set(names) & set(self._prints))
        stored = _stored(path, stamp)
        usable: set[str] = set()
        if stored and not self._force:
            prints = stored.prints.items()
            usable = {name for name, mark in prints if self._prints.get(name) == mark}
        missing = [name for name in wanted if name not in usable]
        if stored and not missing and not self._force:
            return stored.head, stored.table.only(wanted)
        self.network.load_weights(weights)
        head = head_weights(self.network.head)
        kept = _Stored(head, {}, FeatureTable(np.zeros((0, len(head.features)), np.float32), {}))
        if stored:
            # Of photos that this run knows nothing of, features stay as they are.
            prints = stored.prints
            same = [name for name in prints if name in usable or name not in self._prints]
            marks = {name: prints[name] for name in same}
            kept = _Stored(head, marks, stored.table.only(same))
        for start in range(0, max(len(missing), 1), _AT_ONCE):
            computed = self._computed(missing[start : start + _AT_ONCE], weights)
            if not wanted or computed or any(name in usable for name in wanted):
                kept = self._kept_with(path, stamp, kept, computed)
        table = kept.table.only(wanted)
        if wanted and not table:
            raise UserError(f"none of {len(wanted)} photos can be read; see the lines above")
        return head, table

    def _computed(self, names: Sequence[str], weights: Path) -> FeatureTable:
        log(f"{weights.name}: features of {len(names)} photos")
        if self._feed is None:
            self._feed = plain_feed(self._workspace, self.size, self._boxes, self._workers)
        kept = self._feed.readable(names) if self._skip else names
        rows = branch_features(self.network, self._feed, kept, "features")
        wrong = ~np.isfinite(rows).all(axis=1)
        if wrong.any():
            raise UserError(
                f"{weights}: features of photo {kept[int(np.argmax(wrong))]} are no finite numbers; train "
                "the net again, or take other weights"
            )
        return FeatureTable(rows, {name: row for row, name in enumerate(kept)})

    def _kept_with(self, path: Path, stamp: str, kept: _Stored, computed: FeatureTable) -> _Stored:
        """Write the features kept before and those computed now; in memory where they cannot be written."""
        prints = {**kept.prints, **{name: self._prints[name] for name in computed}}
        names, tables = sorted(prints), (kept.table, computed)
        arrays = {
            f"head_{field}": np.asarray(value) for field, value in kept.head._asdict().items()
        }
        write_arrays(
            path,
            stamp,
            names=np.array(names, np.str_),
            prints=np.array([prints[name] for name in names], np.str_),
            features=joined(tables, names),
            **arrays,
        )
        written = _stored(path, stamp)
        if written and written.prints == prints:
            return written
        rows = np.concatenate([computed.of([]), *joined(tables, names).blocks])
        table = FeatureTable(rows, {name: row for row, name in enumerate(names)})
        return _Stored(kept.head, prints, table)

    def _stamp(self, weights: Path) -> str:
        return _features_stamp(self._workspace, weights, self.size, self._precision or "float32")

    def close(self) -> None:
        """End the workers that read photos."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None


def _features_stamp(workspace: Workspace, weights: Path, size: int, precision: str) -> str:
    return json.dumps([workspace.digests.of(weights), size, precision])


def kept_features(
    workspace: Workspace, net: Net, fold: int, weights: Path, prints: Mapping[str, str]
) -> tuple[HeadWeights, FeatureTable] | None:
    """A fold's head, and the kept features of photos as they are now, of any profile and precision.

    prints: of the photos wanted; None where the cache's file has none of these weights. Loads no framework.
    """
    path = workspace.file("features", net=net.name, fold=fold)
    for size, precision in product(net.sizes.values(), PRECISIONS):
        stored = _stored(path, _features_stamp(workspace, weights, size, precision))
        if stored:
            same = [name for name, mark in prints.items() if stored.prints.get(name) == mark]
            return stored.head, stored.table.only(same)
    return None


def plain_feed(workspace: Workspace, size: int, boxes: dict[str, Box], workers: int) -> PhotoFeed:
    """A feed of unaugmented crops of the work root's photos at one size, kept for later stages.

    size: pixels a side; boxes: stem -> box.
    """
    anisotropy, store = workspace.settings.anisotropy, workspace.file("crops")
    return PhotoFeed(workspace.photo, boxes, size, workers, store=store, anisotropy=anisotropy)


class _Stored(NamedTuple):
    """The content of a file of features: the net's head, stem -> print, and the features."""

    head: HeadWeights
    prints: dict[str, str]
    table: FeatureTable


def _stored(path: Path, stamp: str) -> _Stored | None:
    """A file of features; None as `open_features`."""
    opened = open_features(path, stamp)
    if opened is None:
        return None
    arrays, table = opened
    try:
        head = HeadWeights(*(arrays[f"head_{field}"] for field in HeadWeights._fields))
        prints = dict(zip(arrays["names"].tolist(), arrays["prints"].tolist(), strict=True))
    except (KeyError, ValueError):
        return None
    return _Stored(head, prints, table) if len(head.features) == table.width else None


def indices_with(features: Mapping[str, np.ndarray], names: Sequence[str]) -> list[int]:
    """Indices into `names` (stems) of the photos that have features.

    >>> indices_with({"a": np.zeros(2), "c": np.zeros(2)}, ["c", "b", "a"])
    [0, 2]
    """
    return [index for index, name in enumerate(names) if name in features]


def score_photos(
    head: HeadWeights,
    features: FeatureTable,
    rows: Sequence[str],
    columns: Sequence[str],
    progress: str | None = None,
    sides: Sides = NO_SIDES,
) -> np.ndarray:
    """Pair scores (n, m) float32 of `rows` against `columns` (stems); 0 for photos without features.

    progress: name of a progress bar, None for none; sides: of the photos, unlike ones score 0.
    """
    indices = [indices_with(features, names) for names in (rows, columns)]
    if not all(indices):
        return np.zeros((len(rows), len(columns)), np.float32)
    queries = features.of(rows[index] for index in indices[0])
    gallery = features.of(columns[index] for index in indices[1])
    scores = score_matrix(head, queries, gallery, progress=progress)
    if scores.shape != (len(rows), len(columns)):  # else a second matrix would be for nothing
        found, scores = scores, np.zeros((len(rows), len(columns)), np.float32)
        scores[np.ix_(*indices)] = found
    return sides.of(rows, columns).hidden(scores)


def mean_scores(
    store: FeatureStore,
    weights: Mapping[int, Path],
    rows: Sequence[str],
    columns: Sequence[str],
    least: float,
    sides: Sides = NO_SIDES,
) -> sparse.csr_matrix:
    """Mean over folds of the pair scores of `rows` against `columns` (stems): (n, m) CSR float32.

    weights: fold -> file; sides: of the photos; scores below `least`, those of unlike sides, and those of
    photos left out as unreadable, are not stored. `UserError` as `FeatureStore.features`.
    """
    scorers, queries, indices = [], [], [[], []]
    for fold, path in weights.items():
        head, features = store.features(fold, path, [*rows, *columns])
        indices = [indices_with(features, names) for names in (rows, columns)]
        left, right = (
            features.of(names[index] for index in kept)
            for names, kept in zip((rows, columns), indices, strict=True)
        )
        scorers.append(Scorer(head, right))
        queries.append(left)
    means = mean_of_scorers(scorers, queries, least, "scores").tocoo()
    cells = np.take(indices[0], means.row), np.take(indices[1], means.col)
    scores = sparse.csr_matrix((means.data, cells), (len(rows), len(columns)), np.float32)
    return sides.of(rows, columns).hidden(scores)
