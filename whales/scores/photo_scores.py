"""From photos to scores: each photo's features, kept in the work root's cache, and scores by name."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
from scipy import sparse

from whales.base.console import log
from whales.base.pickles import atomic_path
from whales.files.boxes import Box
from whales.files.digests import text_digest
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
    """What features of photos depend on besides the weights: the file's content, its box, the crop's shape.

    digests: stem -> digest of the photo's file.
    """
    shape = workspace.settings.anisotropy
    return {
        name: text_digest([digest, _plain(boxes.get(name)), shape])
        for name, digest in digests.items()
    }


def _plain(box: Box | None) -> list[float] | None:
    return None if box is None else [float(value) for value in box]


class FeatureStore:
    """A net whose features of photos are kept, so that only new and changed photos are computed.

    A photo's features count while weights, photo size, precision, file, box and crop shape are the same.
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
        """size: of the photos, pixels; boxes: stem -> box; prints: of `photo_prints`, of all photos
        that will be asked for; the rest as in `whales.stages.options.RunOptions`.
        """
        self.net, self.size = net, size
        self._workspace, self._boxes, self._prints = workspace, dict(boxes), prints
        self._profile, self._precision, self._workers = profile, precision, workers
        self._skip, self._force = skip_broken_photos, force
        self._feed: PhotoFeed | None = None

    @cached_property
    def network(self) -> SiameseNetwork:
        """The net, built when it is first needed; it carries the weights of the fold computed last."""
        return self.net.network(self.size, None, self._profile, self._precision)

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def features(
        self, fold: int, weights: Path, names: Iterable[str]
    ) -> tuple[HeadWeights, Features]:
        """The head, and features (d,) float32 of the photos (stems) that have a print.

        Photos that cannot be read are a `UserError`, or absent where they are to be skipped.
        """
        path = self._workspace.file("features", net=self.net.name, fold=fold)
        stamp, wanted = self._stamp(weights), sorted(set(names) & set(self._prints))
        stored = {} if self._force else read_arrays(path, stamp)
        kept, head = self._usable(stored), None
        if stored:
            head = HeadWeights(*(stored[f"head_{part}"] for part in HeadWeights._fields))
        missing = [name for name in wanted if name not in kept]
        if missing or head is None:
            self.network.load_weights(weights)
            head = head_weights(self.network.head)
            kept |= self._computed(missing, weights)
            self._keep(path, stamp, head, kept, stored)
        return head, {name: kept[name] for name in wanted if name in kept}

    def _usable(self, stored: Mapping[str, np.ndarray]) -> Features:
        """The kept features whose photo is as it was."""
        if not stored:
            return {}
        rows = zip(stored["names"], stored["prints"], stored["features"], strict=True)
        return {str(name): row for name, text, row in rows if self._prints.get(str(name)) == text}

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
        found: Features,
        stored: Mapping[str, np.ndarray],
    ) -> None:
        """Write the features of `found`, and those that are kept of photos nobody asked for now."""
        texts = {name: self._prints[name] for name in found}
        rows = dict(found)
        if stored:
            for name, text, row in zip(
                stored["names"], stored["prints"], stored["features"], strict=True
            ):
                if str(name) not in self._prints:
                    texts[str(name)], rows[str(name)] = str(text), row
        width = len(head.features)
        names = sorted(rows)
        parts = {f"head_{part}": np.asarray(value) for part, value in head._asdict().items()}
        write_arrays(
            path,
            stamp,
            names=np.array(names, np.str_),
            prints=np.array([texts[name] for name in names], np.str_),
            features=np.reshape([rows[name] for name in names], (-1, width)).astype(np.float32),
            **parts,
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
    """Unaugmented crops of the work root's photos at one size, kept for later stages."""
    shape, store = workspace.settings.anisotropy, workspace.file("crops")
    return PhotoFeed(workspace.photo, boxes, size, workers, store=store, anisotropy=shape)


def read_arrays(path: Path, stamp: str) -> dict[str, np.ndarray]:
    """The arrays of a cache file; none where it is missing, damaged or of another stamp."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file) if str(file["stamp"]) == stamp else {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def write_arrays(path: Path, stamp: str, **arrays: np.ndarray) -> None:
    """Write what `read_arrays` reads, whole or not at all."""
    with atomic_path(path) as temporary:
        np.savez(temporary, stamp=np.array(stamp), **arrays)


def indices_with(features: Mapping[str, np.ndarray], names: Sequence[str]) -> list[int]:
    """Indices into `names` (stems) of the photos that have features."""
    return [index for index, name in enumerate(names) if name in features]


def score_photos(
    head: HeadWeights,
    features: Mapping[str, np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    progress: str | None = None,
) -> np.ndarray:
    """Pair scores (n, m) float32 of photos by stem; 0 for those without features.

    `progress`: as for `whales.scores.pair_scores.score_matrix`.
    """
    scores = np.zeros((len(rows), len(columns)), np.float32)
    indices = [indices_with(features, names) for names in (rows, columns)]
    if all(indices):
        queries = np.stack([features[rows[index]] for index in indices[0]])
        gallery = np.stack([features[columns[index]] for index in indices[1]])
        scores[np.ix_(*indices)] = score_matrix(head, queries, gallery, progress=progress)
    return scores


def mean_scores(
    store: FeatureStore,
    weights: Mapping[int, Path],
    rows: Sequence[str],
    columns: Sequence[str],
    least: float,
) -> sparse.csr_matrix:
    """Mean over weight files of the scores of `rows` against `columns` (stems), without those below
    `least`: (n, m) CSR float32. weights: fold -> file.
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
    found = mean_of_scorers(scorers, queries, least, "scores").tocoo()
    where = np.take(indices[0], found.row), np.take(indices[1], found.col)
    return sparse.csr_matrix((found.data, where), (len(rows), len(columns)), np.float32)
