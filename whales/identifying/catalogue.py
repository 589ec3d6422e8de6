"""The known photos as identification needs them: each net's features, kept in the work root's cache.

Where the features of all nets and folds would take too much memory they stay in their files, and queries are
compared with one block of known photos after the other: slower, with the same result in every bit.

A query's pair score with a known photo is the mean over a net's folds, as in the inference stages, then
the nets' weighted mean. Probabilities are calibrated on the folds' held-out photos, which the fold's net
has not seen.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from whales.base.console import log
from whales.base.errors import UserError, shown
from whales.base.pickles import load
from whales.base.progress import progress_bar
from whales.files.boxes import Box
from whales.files.dataset import known_photos, load_boxes, training_identities
from whales.files.digests import text_digest
from whales.files.folds import checked_fold
from whales.files.sides import NO_SIDES, PairSides, Sides, read_sides
from whales.files.trained import part_name, require_trained_shape
from whales.files.workspace import Workspace, require
from whales.nets.net import Net
from whales.scores.basis import NO_BASIS, Basis, TrainedNet, basis_of, weights_of
from whales.scores.best_by_blocks import blocks
from whales.scores.best_photos import KnownPhotos, own_columns, zero_own
from whales.scores.calibration import (
    FITTED_IDENTITIES,
    NO_CURVE,
    CalibrationPairs,
    Curve,
    fit_curves,
    joined,
    pairs_by_parts,
)
from whales.scores.feature_files import FeatureTable, read_arrays, write_arrays
from whales.scores.photo_scores import photo_prints
from whales.stages.memory import free_gigabytes
from whales.stages.options import RunOptions
from whales.stages.photo_inputs import feature_store, photo_files

if TYPE_CHECKING:
    from whales.nets.network import SiameseNetwork
    from whales.scores.head import HeadWeights

# Rows of scores that are dense at a time.
_ROWS = 256
# Known photos of one block, where features stay in their files: 64 MB of each of v6's folds, in turn.
BLOCK = 8192
# The share of the free memory that known photos may take.
_SHARE = 0.5


# Of each judge, each fold's features of the queries: (n, d) float32.
QueryFeatures = Sequence[Sequence[np.ndarray]]


class FoldNet(NamedTuple):
    """A net with one fold's weights.

    branch: the weights, since to read the file again takes longer than a query; NumPy's, since what a
    variable holds may be written over or given away, and how differs by backend; score: features
    (n, d) float32 and a part of the known photos -> pair scores (n, photos of the part) float32; held_out:
    features of the photos that the fold holds out.
    """

    weights: Path
    branch: list[np.ndarray]
    head: HeadWeights
    score: Callable[[np.ndarray, slice], np.ndarray]
    held_out: FeatureTable


@dataclass(frozen=True)
class Judge:
    """A net of the ensemble, ready to score photos of side `size`, pixels.

    network: carries the weights of one fold at a time.
    """

    net: Net
    size: int
    network: SiameseNetwork
    folds: list[FoldNet]

    def features(self, crops: np.ndarray) -> list[np.ndarray]:
        """Each fold's features of crops (n, size, size, 3) uint8: (n, d) float32."""
        from whales.nets.features import crop_features

        return [crop_features(self.with_weights(fold), crops) for fold in self.folds]

    def scores(self, features: Sequence[np.ndarray], part: slice) -> np.ndarray:
        """Mean over the folds of the scores of queries with a part of the known photos, (n, k) float32.

        features: as the method of this name returns.
        """
        total = np.float32(0)
        for fold, queries in zip(self.folds, features, strict=True):
            total = total + fold.score(queries, part)
        return total / np.float32(len(self.folds))

    def warm_up(self) -> None:
        """Score one crop with one fold: the first call of a branch traces it, which all folds share."""
        from whales.nets.features import crop_features

        crops = np.zeros((1, self.size, self.size, 3), np.uint8)
        fold = self.folds[-1]  # the network has its weights already
        fold.score(crop_features(self.network, crops), slice(0, 1))

    def with_weights(self, fold: FoldNet) -> SiameseNetwork:
        """The network, its branch with the weights of a fold."""
        for variable, value in zip(self.network.branch.weights, fold.branch, strict=True):
            variable.assign(value)
        return self.network


@dataclass(frozen=True)
class Catalogue:
    """Everything that a query is compared with, and what scores mean.

    boxes: stem -> (x1, y1, x2, y2) in pixels; anisotropy: width : height of crops; same: score of an
    identity (that of its best photo) -> probability that the query shows it; new: best score of all ->
    probability that the query shows none of the known whales; basis: of all answers; sides: of the known
    photos; block: so many known photos are compared at once.
    """

    known: KnownPhotos
    boxes: Mapping[str, Box]
    anisotropy: float
    judges: list[Judge]
    same: Curve
    new: Curve
    basis: Basis = NO_BASIS
    sides: Sides = NO_SIDES
    block: int = sys.maxsize

    def check_side(self, side: str) -> None:
        """`UserError` where no known photo can be compared with one of this side."""
        if self.compared([side]).unlike().all():
            raise UserError(
                f"no known photo shows its side, {shown(side)} (there are {', '.join(self.sides.names)})"
            )

    def compared(self, sides: Sequence[str]) -> PairSides:
        """The sides of queries, "" for either, and of the known photos."""
        return PairSides(self.sides.codes_of(sides), self.sides.codes(self.known.photos))

    def features(self, crops: Mapping[int, np.ndarray]) -> QueryFeatures:
        """Features of crops (n, size, size, 3) uint8, by size, for the size of every judge."""
        return [judge.features(crops[judge.size]) for judge in self.judges]

    def scores(self, queries: QueryFeatures) -> Iterator[tuple[slice, np.ndarray]]:
        """Blended scores of queries, (n, k) float32 in [0, 1], with each part of the known photos in turn."""
        shares = sum(judge.net.share for judge in self.judges)
        for part in blocks(len(self.known.photos), self.block):
            weighted = [
                judge.scores(features, part) * judge.net.share
                for judge, features in zip(self.judges, queries, strict=True)
            ]
            yield part, np.asarray(sum(weighted) / shares, np.float32)


def trained(
    workspace: Workspace, nets: Sequence[Net], folds: Sequence[int] = ()
) -> list[TrainedNet]:
    """The nets that have weights; the log names those without. folds: of each these alone, none for all.

    `UserError` where there are none, or the root's settings have changed since they were trained.
    """
    with_files, makers = [], []
    for net in nets:
        files = weights_of(workspace, net, folds)
        makers.append(f"{net.weights.maker(0)} (and the stages before it)")
        if files:
            require_trained_shape(workspace, [part_name(net.name, fold) for fold in files])
            with_files.append(TrainedNet(net, files))
    if not with_files:
        chosen = f" of fold {', '.join(map(str, folds))}" if folds else ""
        raise UserError(
            f"no net has weights{chosen} in {workspace.root}; run {', or '.join(makers)}"
        )
    absent = [net.title for net in nets if net not in [other for other, _ in with_files]]
    if absent:
        log(f"no weights of {', '.join(absent)}")
    return with_files


def open_catalogue(options: RunOptions, nets: Sequence[TrainedNet]) -> Catalogue:
    """Load the catalogue, making what the cache does not hold yet.

    nets: of `trained`, or untrained ones. Raises `UserError` where a table is missing, or a photo that is
    needed and broken ones are not to be skipped.
    """
    workspace = options.workspace
    keys = ["train_csv", "boxes_averaged", "boxes_averaged_playground"]
    for key in keys + [net.folds for net, _ in nets if not net.untrained]:
        require(workspace, workspace.file(key))
    identity_of, boxes = training_identities(workspace), load_boxes(workspace)
    known = known_photos(identity_of, boxes)
    held_out = _held_out_photos(workspace, nets, identity_of)
    wanted = sorted({*known, *chain(*held_out.values())} & set(boxes))
    digests = workspace.digests.of_photos(photo_files(options, wanted))
    workspace.digests.remember()
    prints = photo_prints(workspace, boxes, digests)
    if not set(known) & set(prints):
        table = workspace.file("train_csv")
        raise UserError(f"{table} names no photo of a known whale that has a box")
    stores = {net.name: feature_store(options, net, boxes, prints) for net, _ in nets}
    computed = {}
    for net, files in nets:
        with closing(stores[net.name]) as store:
            for fold, weights in files.items():
                names = {*known, *held_out[net.name, fold]}
                computed[net.name, fold] = store.features(fold, weights, names)
    # A photo that was left out is left out of all nets.
    known = [name for name in known if all(name in rows for _, rows in computed.values())]
    if not known:
        raise UserError("none of the known photos can be read")
    in_memory = _fit(known, [head for head, _ in computed.values()])
    block = len(known) if in_memory else BLOCK
    judges = []
    for net, files in nets:
        begin = time.monotonic()
        network, size = stores[net.name].network, net.sizes[options.profile]
        folds = []
        for fold, path in files.items():
            head, features = computed[net.name, fold]
            names = held_out[net.name, fold]
            score = known_scorer(head, features, known, in_memory)
            folds.append(_fold_net(network, path, head, score, features.only(names)))
        judges.append(Judge(net, size, network, folds))
        judges[-1].warm_up()
        log(f"loaded {net.name}, {len(folds)} folds, in {time.monotonic() - begin:.1f} s")
    columns, sides = KnownPhotos(known, identity_of), read_sides(workspace)
    curves = _curves(options, judges, columns, block, identity_of, prints, sides)
    basis = basis_of(nets, *curves)
    log(*basis.notes())
    return Catalogue(
        columns,
        boxes,
        workspace.settings.anisotropy,
        judges,
        *curves,
        basis=basis,
        sides=sides,
        block=block,
    )


def _fit(known: Sequence[str], heads: Sequence[HeadWeights]) -> bool:
    """Whether the features of all nets and folds fit into the memory that is free; the log says if not."""
    size = 4 * len(known) * sum(len(head.features) for head in heads) / 1e9
    free = free_gigabytes()
    if free is None or size <= _SHARE * free:
        return True
    log(
        f"features of {len(known)} known photos take {size:.3g} GB, {free:.3g} GB of memory are free: they "
        "stay in cache/features/ and are compared by blocks, which is slower"
    )
    return False


def known_scorer(
    head: HeadWeights, features: FeatureTable, known: Sequence[str], in_memory: bool
) -> Callable[[np.ndarray, slice], np.ndarray]:
    """The `score` of a `FoldNet`; in memory it takes all known photos at once, else any part."""
    from whales.scores.pair_scores import gallery_scorer, score_matrix

    if in_memory:
        score = gallery_scorer(head, features.of(known))
        return lambda queries, part: score(queries)[:, part]
    return lambda queries, part: score_matrix(head, queries, features.of(known[part]))


def _held_out_photos(
    workspace: Workspace, nets: Sequence[TrainedNet], identity_of: Mapping[str, str]
) -> dict[tuple[str, int], list[str]]:
    """(net, fold) -> photos (stems) that the fold holds out; `UserError` for one without an identity.

    An untrained net holds none out, since it has no folds.
    """
    held_out: dict[tuple[str, int], list[str]] = {}
    for net, files in nets:
        if net.untrained:
            held_out |= {(net.name, fold): [] for fold in files}
            continue
        path = workspace.file(net.folds)
        splits = load(path)
        for fold in files:
            _, held_out[net.name, fold] = checked_fold(splits, fold, path, identity_of)
    return held_out


def _fold_net(
    network: SiameseNetwork,
    weights: Path,
    head: HeadWeights,
    score: Callable[[np.ndarray, slice], np.ndarray],
    held_out: FeatureTable,
) -> FoldNet:
    network.load_weights(weights)
    branch = [np.array(value) for value in network.branch.get_weights()]
    return FoldNet(weights, branch, head, score, held_out)


def _curves(
    options: RunOptions,
    judges: Sequence[Judge],
    known: KnownPhotos,
    block: int,
    identity_of: Mapping[str, str],
    prints: Mapping[str, str],
    sides: Sides,
) -> tuple[Curve, Curve]:
    """The two curves of a `Catalogue`, from the cache or fitted; block: as of a `Catalogue`."""
    digests = options.workspace.digests
    held_out = sorted({name for judge in judges for fold in judge.folds for name in fold.held_out})
    names = sorted({*held_out, *known.photos})
    photos = [(name, identity_of[name], prints[name]) for name in names]
    nets = [
        (judge.net.share, judge.size, digests.of(fold.weights), sorted(fold.held_out))
        for judge in judges
        for fold in judge.folds
    ]
    shown_sides = [[sides.side_of.get(name, "") for name in names]] if sides else []
    stamp = text_digest(["venn-abers", FITTED_IDENTITIES, known.photos, photos, nets, *shown_sides])
    path = options.workspace.file("calibration")
    stored = {} if options.force else read_arrays(path, stamp)
    if stored:
        same, new = (
            Curve(stored[f"{kind}_x"], stored[f"{kind}_y"], *map(int, stored[f"{kind}_photos"]))
            for kind in ("same", "new")
        )
        return same, new
    if not held_out:
        return NO_CURVE, NO_CURVE
    log(f"calibration: scores of {len(held_out)} valid photos")
    pairs = calibration_pairs(judges, known, held_out, identity_of, sides, block)
    same, new = fit_curves(pairs)
    arrays = {}
    for kind, curve in (("same", same), ("new", new)):
        photos_told = np.array([curve.photos, curve.came_true])
        arrays |= {
            f"{kind}_x": curve.scores,
            f"{kind}_y": curve.probabilities,
            f"{kind}_photos": photos_told,
        }
    write_arrays(path, stamp, **arrays)
    return same, new


def calibration_pairs(
    judges: Sequence[Judge],
    known: KnownPhotos,
    held_out: Sequence[str],
    identity_of: Mapping[str, str],
    sides: Sides = NO_SIDES,
    block: int = sys.maxsize,
) -> CalibrationPairs:
    """What the curves are fitted on; `held_out` (stems): photos that some fold of a judge holds out.

    sides: of these and of the known photos; unlike ones are not compared; block: so many known photos are
    compared at once.
    """
    groups = []
    bar = progress_bar("calibration", len(held_out))
    for start in range(0, len(held_out), _ROWS):
        names = held_out[start : start + _ROWS]
        compared = sides.of(names, known.photos)
        scores = (
            (
                part,
                compared.part(part).hidden(
                    held_out_scores(judges, names, known.photos, part), -np.inf
                ),
            )
            for part in blocks(len(known.photos), block)
        )
        groups.append(pairs_by_parts(scores, names, known, identity_of))
        bar.update(len(names))
    bar.close()
    return joined(groups)


def held_out_scores(
    judges: Sequence[Judge], names: Sequence[str], known: Sequence[str], part: slice
) -> np.ndarray:
    """Pair scores of held-out photos (stems) with a part of the known ones, blended as a query's.

    Returns (n, photos of the part) float32.

    Only folds that hold a photo out score it, and only nets that have such a fold; each of `names`
    must have one. A photo's score with itself is 0.
    """
    total = np.zeros((len(names), len(known[part])), np.float32)
    shares = np.zeros(len(names), np.float32)
    for judge in judges:
        sums, counts = np.zeros_like(total), np.zeros(len(names), np.float32)
        for fold in judge.folds:
            rows = [row for row, name in enumerate(names) if name in fold.held_out]
            if rows:
                features = fold.held_out.of(names[row] for row in rows)
                sums[rows] += fold.score(features, part)
                counts[rows] += 1
        share = np.float32(judge.net.share) * (counts > 0)
        total += sums * (share / np.maximum(counts, 1))[:, None]
        shares += share
    total /= shares[:, None]
    return zero_own(total, own_columns(names, known[part]))
