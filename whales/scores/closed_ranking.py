"""What a net is worth on photos of known individuals alone: no photo is of a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whales.base.errors import UserError
from whales.base.pickles import load
from whales.files.boxes import Box, checked_boxes
from whales.files.dataset import load_boxes
from whales.files.labels import NEW_WHALE, identities_of, read_labels
from whales.files.submissions import ANSWERS
from whales.files.workspace import Workspace
from whales.nets.features import crop_features
from whales.photos.crops import read_crop
from whales.scores.best_photos import KnownPhotos
from whales.scores.head import head_weights
from whales.scores.metrics import average_precision
from whales.scores.pair_scores import score_matrix

if TYPE_CHECKING:
    from whales.nets.network import SiameseNetwork

_TRUTH, _REFERENCE_BOXES = "test_labels.csv", "reference_boxes.pkl"


def closed_precision(
    scores: np.ndarray, truths: Sequence[str], identities: Sequence[str]
) -> np.ndarray:
    """Average precision at 5 of each query among known individuals, each by its best photo: (n,) float64.

    scores: (n, m); truths: of the n queries; identities: of the m known photos.

    >>> closed_precision(np.array([[0.5, 0.75, 0.25]], np.float32), ["w_a"], ["w_a", "w_b", "w_a"])
    array([0.5])
    """
    names = [str(number) for number in range(len(identities))]
    known = KnownPhotos(names, dict(zip(names, identities, strict=True)))
    order = np.argsort(-known.best(scores), axis=1, kind="stable")[:, :ANSWERS]
    answers = [[known.identities[code] for code in row] for row in order]
    return np.array(list(map(average_precision, truths, answers)))


def cosines(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Scores without a head, (n, m): cosines of features less the gallery's mean."""
    middle = gallery.mean(axis=0)
    queries, gallery = queries - middle, gallery - middle
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(gallery, axis=1)
    return (queries @ gallery.T / np.maximum(lengths, 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class KnownCrops:
    """Crops of a root's known photos and of its test photos that show a known individual.

    queries, gallery: by "tight" and "whole" (of whole frames), each (n, size, size, 3) uint8.
    """

    queries: dict[str, np.ndarray]
    gallery: dict[str, np.ndarray]
    truths: list[str]
    identities: list[str]

    @property
    def size(self) -> int:
        """Of the crops, pixels a side."""
        return self.gallery["tight"].shape[1]

    @classmethod
    def of_root(cls, root: Path | str, size: int) -> KnownCrops:
        """From photos, test_labels.csv and boxes of a work root; `UserError` where one is missing."""
        workspace = Workspace(root)
        truth_file = workspace.root / _TRUTH
        if not truth_file.exists():
            raise UserError(f"{truth_file} is missing: it has the right answers to measure by")
        known = {
            name: identity
            for name, identity in identities_of(read_labels(workspace.file("train_csv"))).items()
            if identity != NEW_WHALE
        }
        there = {*known.values()}
        tests = {
            name: identity
            for name, identity in identities_of(read_labels(truth_file)).items()
            if identity in there
        }
        boxes = _boxes(workspace)

        def crops(names: Mapping[str, str], boxes: Mapping[str, Box]) -> np.ndarray:
            return np.stack(
                [read_crop(workspace.photo(name), boxes.get(name), size) for name in names]
            )

        kinds = {"tight": boxes, "whole": {}}
        return cls(
            {kind: crops(tests, each) for kind, each in kinds.items()},
            {kind: crops(known, each) for kind, each in kinds.items()},
            [*tests.values()],
            [*known.values()],
        )

    def measured(self, network: SiameseNetwork) -> dict[str, float]:
        """MAP@5 of both kinds of crops, by the head and by cosines of the features alone."""
        values: dict[str, float] = {}
        for kind, (by_head, by_cosine) in self._scores(network).items():
            for name, scores in ((kind, by_head), (f"{kind}_cosine", by_cosine)):
                precision = closed_precision(scores, self.truths, self.identities)
                values[name] = float(precision.mean())
        return values

    def precision(self, network: SiameseNetwork) -> dict[str, np.ndarray]:
        """Average precision of each test photo by the head, (n,), of both kinds of crops."""
        return {
            kind: closed_precision(scores, self.truths, self.identities)
            for kind, (scores, _) in self._scores(network).items()
        }

    def _scores(self, network: SiameseNetwork) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Scores of the head and cosines, each (n, m), of both kinds of crops."""
        found = {}
        for kind, crops in self.queries.items():
            queries = features_of(network, crops)
            gallery = features_of(network, self.gallery[kind])
            by_head = score_matrix(head_weights(network.head), queries, gallery)
            found[kind] = by_head, cosines(queries, gallery)
        return found


def features_of(network: SiameseNetwork, crops: np.ndarray) -> np.ndarray:
    """`crop_features` of crops (n, size, size, 3) uint8, grey ones where the network has one channel."""
    if network.branch.input_shape[-1] == 1:
        crops = crops.mean(axis=-1, keepdims=True).round().astype(np.uint8)
    return crop_features(network, crops)


def _boxes(workspace: Workspace) -> dict[str, Box]:
    path = workspace.root / _REFERENCE_BOXES
    return checked_boxes(load(path), path) if path.exists() else load_boxes(workspace)
