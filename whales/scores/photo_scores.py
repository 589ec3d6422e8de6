"""From photos to pair scores by name, through features kept in the work root's cache."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import sparse

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.writing import atomic_path, for_speed_alone
from whales.files.boxes import Box
from whales.files.digests import text_digest
from whales.files.sides import NO_SIDES, Sides
from whales.files.workspace import Workspace
from whales.nets.features import branch_features
from whales.nets.net import Net
from whales.nets.network import SiameseNetwork
from whales.photos.feeding import PhotoFeed
from whales.scores.head import HeadWeights, head_weights
from whales.scores.pair_scores import score_matrix
from whales.scores.pair_screen import Scorer
from whales.scores.pair_screen import mean_scores as mean_of_scorers

Features = dict[str, np.ndarray]  # stem -> (d,) float32


def photo_prints(
    workspace: Workspace, boxes: Mapping[str, Box], digests: Mapping[str, str]
) -> dict[str, str]:
    """Stem -> digest of what a photo's features depend on besides the net: file, box, crop's anisotropy.

    boxes: stem -> box, pixels; digests: stem -> digest of the photo's file.
    """
    anisotropy = workspace.settings.anisotropy
    return {
        name: text_digest([digest, _plain(boxes.get(name)), anisotropy])
        for name, digest in digests.items()
    }


def _plain(box: Box | None) -> list[float] | None:
    return None if box is None else [float(value) for value in box]


class FeatureStore:
    """A net whose features of photos are kept, so that only new and changed photos are computed.

    A photo's features are used again while weights, photo size, precision, file, box and anisotropy are
    the same. Use it in a `with` block, or call `close`.
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
    ) -> tuple[HeadWeights, Features]:
        """One fold's head, and the features of photos: stem -> (d,) float32.

        names: stems; those without a print are left out. `UserError` where the weights are missing or do
        not fit, or a photo cannot be read; with `skip_broken_photos` such a photo is left out, and the
        error is that none can be read.
        """
        path = self._workspace.file("features", net=self.net.name, fold=fold)
        stamp, wanted = self._stamp(weights), sorted(set(names) & set(self._prints))
        stored = read_arrays(path, stamp)
        kept, head = {} if self._force else self._usable(stored), None
        if stored and not self._force:
            head = HeadWeights(*(stored[f"head_{field}"] for field in HeadWeights._fields))
        missing = [name for name in wanted if name not in kept]
        if missing or head is None:
            self.network.load_weights(weights)
            head = head_weights(self.network.head)
            kept |= self._computed(missing, weights)
            if wanted and not kept.keys() & set(wanted):
                raise UserError(f"none of {len(wanted)} photos can be read; see the lines above")
            self._keep(path, stamp, head, kept, stored)
        return head, {name: kept[name] for name in wanted if name in kept}

    def _usable(self, stored: Mapping[str, np.ndarray]) -> Features:
        """The stored features of photos whose print is the same now."""
        if not stored:
            return {}
        rows = zip(stored["names"], stored["prints"], stored["features"], strict=True)
        return {str(name): row for name, mark, row in rows if self._prints.get(str(name)) == mark}

    def _computed(self, names: Sequence[str], weights: Path) -> Features:
        log(f"{weights.name}: features of {len(names)} photos")
        if self._feed is None:
            self._feed = plain_feed(self._workspace, self.size, self._boxes, self._workers)
        kept = self._feed.readable(names) if self._skip else names
        rows = branch_features(self.network, self._feed, kept, "features")
        return dict(zip(kept, rows, strict=True))

    def _keep(
        self,
        path: Path,
        stamp: str,
        head: HeadWeights,
        kept: Features,
        stored: Mapping[str, np.ndarray],
    ) -> None:
        """Write the features `kept`, and those stored of photos that have no print in this run."""
        prints = {name: self._prints[name] for name in kept}
        rows = dict(kept)
        if stored:
            for name, mark, row in zip(
                stored["names"], stored["prints"], stored["features"], strict=True
            ):
                if str(name) not in self._prints:
                    prints[str(name)], rows[str(name)] = str(mark), row
        width = len(head.features)
        names = sorted(rows)
        arrays = {f"head_{field}": np.asarray(value) for field, value in head._asdict().items()}
        write_arrays(
            path,
            stamp,
            names=np.array(names, np.str_),
            prints=np.array([prints[name] for name in names], np.str_),
            features=np.reshape([rows[name] for name in names], (-1, width)).astype(np.float32),
            **arrays,
        )

    def _stamp(self, weights: Path) -> str:
        digest = self._workspace.digests.of(weights)
        return json.dumps([digest, self.size, self._precision or "float32"])

    def close(self) -> None:
        """End the workers that read photos."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None


def plain_feed(workspace: Workspace, size: int, boxes: dict[str, Box], workers: int) -> PhotoFeed:
    """A feed of unaugmented crops of the work root's photos at one size, kept for later stages.

    size: pixels a side; boxes: stem -> box.
    """
    anisotropy, store = workspace.settings.anisotropy, workspace.file("crops")
    return PhotoFeed(workspace.photo, boxes, size, workers, store=store, anisotropy=anisotropy)


def read_arrays(path: Path, stamp: str) -> dict[str, np.ndarray]:
    """The arrays of a cache file by name; empty where it is missing, damaged or of another stamp."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file) if str(file["stamp"]) == stamp else {}
    except (
        OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, OverflowError,
        zipfile.BadZipFile, zlib.error,
    ):  # fmt: skip
        return {}


def write_arrays(path: Path, stamp: str, **arrays: np.ndarray) -> None:
    """Write what `read_arrays` reads, whole or not at all; where that fails, the log says so once."""
    with for_speed_alone(f"files of {path.parent.name}/"), atomic_path(path) as temporary:
        np.savez(temporary, stamp=np.array(stamp), **arrays)


def indices_with(features: Mapping[str, np.ndarray], names: Sequence[str]) -> list[int]:
    """Indices into `names` (stems) of the photos that have features.

    >>> indices_with({"a": np.zeros(2), "c": np.zeros(2)}, ["c", "b", "a"])
    [0, 2]
    """
    return [index for index, name in enumerate(names) if name in features]


def score_photos(
    head: HeadWeights,
    features: Mapping[str, np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    progress: str | None = None,
    sides: Sides = NO_SIDES,
) -> np.ndarray:
    """Pair scores (n, m) float32 of `rows` against `columns` (stems); 0 for photos without features.

    features: stem -> (d,) float32; progress: name of a progress bar, None for none; sides: of the photos,
    unlike ones score 0.
    """
    scores = np.zeros((len(rows), len(columns)), np.float32)
    indices = [indices_with(features, names) for names in (rows, columns)]
    if all(indices):
        queries = np.stack([features[rows[index]] for index in indices[0]])
        gallery = np.stack([features[columns[index]] for index in indices[1]])
        scores[np.ix_(*indices)] = score_matrix(head, queries, gallery, progress=progress)
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
            np.reshape([features[names[index]] for index in kept], (-1, len(head.features)))
            for names, kept in zip((rows, columns), indices, strict=True)
        )
        scorers.append(Scorer(head, right))
        queries.append(left)
    means = mean_of_scorers(scorers, queries, least, "scores").tocoo()
    cells = np.take(indices[0], means.row), np.take(indices[1], means.col)
    scores = sparse.csr_matrix((means.data, cells), (len(rows), len(columns)), np.float32)
    return sides.of(rows, columns).hidden(scores)
