"""The known photos as identification needs them: each net's features, kept in the work root's cache.

A query's score with a known photo is the mean over a net's folds, as in the inference stages, then the
nets' weighted mean. What a score is worth is learnt from the folds' valid photos, which each fold's net
has not seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from whales.best_photos import KnownPhotos, own_columns, zero_own
from whales.calibration import (
    FITTED_IDENTITIES,
    CalibrationPairs,
    Curve,
    fit_curves,
    joined,
    pairs_of,
)
from whales.console import log
from whales.dataset import known_photos, load_boxes, training_identities
from whales.errors import UserError
from whales.folds import FOLDS, require_fold
from whales.identifying.feature_cache import (
    Arrays,
    FeatureCache,
    digest,
    photo_prints,
    read_arrays,
    weights_stamp,
    write_arrays,
)
from whales.labels import check_labelled, stem
from whales.pickles import load
from whales.progress import progress_bar
from whales.siamese import BestOf, Net
from whales.stage import require
from whales.workspace import Workspace

if TYPE_CHECKING:
    from whales.pair_scores import HeadWeights

# Rows of scores that are dense at a time.
_ROWS = 256


class Member(NamedTuple):
    """A net of the ensemble: photo size in pixels, each fold's weights, and its share of the blend."""

    net: Net
    size: int
    weights: BestOf
    share: float


class FoldNet(NamedTuple):
    """A net with one fold's weights."""

    weights: Path
    branch: list[Any]  # the backend's tensors: to read the file again takes longer than a query
    head: HeadWeights
    score: Callable[
        [np.ndarray], np.ndarray
    ]  # features (n, d) -> scores with the known photos (n, m)
    valid: Arrays  # features (d,) of the photos that the fold holds out, by stem


@dataclass(frozen=True)
class Judge:
    """A net of the ensemble, ready to score; `network` carries the weights of one fold at a time."""

    member: Member
    network: Any
    folds: list[FoldNet]

    def scores(self, crops: np.ndarray) -> np.ndarray:
        """Mean over the folds of the scores of crops (n, size, size, 3) uint8: (n, m) float32."""
        from whales.feeding import crop_features

        total = np.float32(0)
        for fold in self.folds:
            total = total + fold.score(crop_features(self.with_weights(fold), crops))
        return total / np.float32(len(self.folds))

    def with_weights(self, fold: FoldNet) -> Any:
        """The network, its branch with the weights of a fold."""
        for variable, value in zip(self.network.branch.weights, fold.branch, strict=True):
            variable.assign(value)
        return self.network


@dataclass(frozen=True)
class Catalogue:
    """Everything that a query is compared with, and what scores mean.

    boxes: stem -> (x1, y1, x2, y2); anisotropy: width : height of crops; same: score of an identity ->
    probability that the query is that whale; new: best score of all -> probability that the query is
    none of the known whales.
    """

    known: KnownPhotos
    boxes: dict[str, Any]
    anisotropy: float
    judges: list[Judge]
    same: Curve
    new: Curve

    def scores(self, crops: dict[int, np.ndarray]) -> np.ndarray:
        """Blended scores of queries with the known photos, (n, m) float32 in [0, 1].

        crops: photo size -> (n, size, size, 3) uint8, for the size of every judge.
        """
        shares = sum(judge.member.share for judge in self.judges)
        parts = [
            judge.scores(crops[judge.member.size]) * judge.member.share for judge in self.judges
        ]
        return np.asarray(sum(parts) / shares, np.float32)


def trained(
    workspace: Workspace, members: Sequence[Member]
) -> list[tuple[Member, dict[int, Path]]]:
    """The members that have weights, with their files by fold; `UserError` if there are none."""
    found, makers = [], []
    for member in members:
        files: dict[int, Path] = {}
        for fold in range(FOLDS):
            try:
                folder = workspace.file(f"models_{member.net.name}")
                files[fold] = member.weights.find(folder, fold)
            except UserError:
                continue
        makers.append(f"{member.weights.maker.format(fold=0)} (and the stages before it)")
        if files:
            found.append((member, files))
    if not found:
        raise UserError(f"no net has weights in {workspace.root}; run {', or '.join(makers)}")
    told = [f"{member.net.name} (folds {', '.join(map(str, files))})" for member, files in found]
    absent = [member.net.name for member in members if member not in [one for one, _ in found]]
    log(f"nets: {', '.join(told)}" + (f"; no weights of {', '.join(absent)}" if absent else ""))
    return found


def open_catalogue(
    args: argparse.Namespace, nets: Sequence[tuple[Member, dict[int, Path]]]
) -> Catalogue:
    """Load the catalogue, making what the cache does not hold yet.

    args: of `whales.stage.parse_arguments`; nets: of `trained`. Raises `UserError` where a table is
    missing, or a photo that is needed and `--skip-broken-photos` is not given.
    """
    ws = args.workspace
    keys = ["train_csv", "boxes_averaged", "boxes_averaged_playground"]
    for key in keys + [member.net.folds for member, _ in nets]:
        require(ws, ws.file(key))
    identity_of, boxes = training_identities(ws), load_boxes(ws)
    known = known_photos(identity_of, boxes)
    valid = _valid_photos(ws, nets, identity_of)
    prints = photo_prints(args, boxes, {*known, *chain(*valid.values())} & set(boxes))
    if not set(known) & set(prints):
        raise UserError(f"{ws.file('train_csv')} names no photo of a known whale that has a box")
    opened, features = [], {}
    for member, files in nets:
        store = FeatureCache(args, member.net, member.size, boxes, prints)
        for fold, weights in files.items():
            names = {*known, *valid[member.net.name, fold]}
            features[member.net.name, fold] = store.features(fold, weights, names)
        store.close()
        opened.append((member, files, store.network))
    # A photo that was left out is left out of all nets.
    known = [name for name in known if all(name in found for _, found in features.values())]
    judges = []
    for member, files, network in opened:
        places = [(path, (member.net.name, fold)) for fold, path in files.items()]
        folds = [
            _fold_net(network, path, *features[place], known, valid[place])
            for path, place in places
        ]
        judges.append(Judge(member, network, folds))
    group = KnownPhotos(known, identity_of)
    curves = _curves(args, judges, group, identity_of, prints)
    catalogue = Catalogue(group, boxes, ws.settings.anisotropy, judges, *curves)
    # The first call of a branch traces it, which takes longer than all later ones.
    sizes = {judge.member.size for judge in judges}
    catalogue.scores({size: np.zeros((1, size, size, 3), np.uint8) for size in sizes})
    return catalogue


def _valid_photos(
    workspace: Workspace,
    nets: Sequence[tuple[Member, dict[int, Path]]],
    identity_of: dict[str, str],
) -> dict[tuple[str, int], list[str]]:
    """Stems of the photos that each net's folds hold out, by the net's name and fold."""
    valid = {}
    for member, files in nets:
        path = workspace.file(member.net.folds)
        splits = load(path)
        for fold in files:
            names = [stem(name) for name in require_fold(splits, fold, path)["val"]]
            check_labelled(names, identity_of, path)
            valid[member.net.name, fold] = names
    return valid


def _fold_net(
    network: Any,
    weights: Path,
    head: HeadWeights,
    found: Arrays,
    known: list[str],
    valid: list[str],
) -> FoldNet:
    from keras import ops

    from whales.pair_scores import gallery_scorer

    network.load_weights(weights)
    branch = [ops.convert_to_tensor(value) for value in network.branch.get_weights()]
    gallery = np.stack([found[name] for name in known])
    held_out = {name: found[name].copy() for name in valid if name in found}
    return FoldNet(weights, branch, head, gallery_scorer(head, gallery), held_out)


def _curves(
    args: argparse.Namespace,
    judges: Sequence[Judge],
    known: KnownPhotos,
    identity_of: dict[str, str],
    prints: dict[str, str],
) -> tuple[Curve, Curve]:
    """The two curves of a `Catalogue`, from the cache or fitted."""
    valid = sorted({name for judge in judges for fold in judge.folds for name in fold.valid})
    photos = [(name, identity_of[name], prints[name]) for name in sorted({*valid, *known.photos})]
    nets = [
        (judge.member.share, weights_stamp(fold.weights, judge.member.size), sorted(fold.valid))
        for judge in judges
        for fold in judge.folds
    ]
    stamp = digest((FITTED_IDENTITIES, known.photos, photos, nets))
    path = args.workspace.file("catalogue", part="calibration")
    stored = {} if args.force else read_arrays(path, stamp)
    if stored:
        parts = [stored[f"{curve}_{axis}"] for curve in ("same", "new") for axis in ("x", "y")]
        return Curve(*parts[:2]), Curve(*parts[2:])
    if not valid:
        log("no valid photo has a box: scores are given as probabilities")
        ends = np.array([0.0, 1.0])
        return Curve(ends, ends), Curve(ends, ends[::-1])
    log(f"calibration: scores of {len(valid)} valid photos")
    pairs = calibration_pairs(judges, known, valid, identity_of)
    same, new = fit_curves(pairs)
    write_arrays(path, stamp, same_x=same[0], same_y=same[1], new_x=new[0], new_y=new[1])
    return same, new


def calibration_pairs(
    judges: Sequence[Judge], known: KnownPhotos, valid: Sequence[str], identity_of: dict[str, str]
) -> CalibrationPairs:
    """What the curves are fitted on; `valid` (stems): photos that some fold of a judge holds out."""
    parts = []
    bar = progress_bar("calibration", len(valid))
    for start in range(0, len(valid), _ROWS):
        rows = valid[start : start + _ROWS]
        scores = held_out_scores(judges, rows, known.photos)
        parts.append(pairs_of(scores, rows, known, identity_of))
        bar.update(len(rows))
    bar.close()
    return joined(parts)


def held_out_scores(
    judges: Sequence[Judge], names: Sequence[str], known: Sequence[str]
) -> np.ndarray:
    """Scores of valid photos (stems) with the known photos, blended as a query's: (n, m) float32.

    Only folds that hold a photo out score it, and only nets that have such a fold; each of `names`
    must have one. A photo's score with itself is 0.
    """
    total = np.zeros((len(names), len(known)), np.float32)
    shares = np.zeros(len(names), np.float32)
    for judge in judges:
        sums, counts = np.zeros_like(total), np.zeros(len(names), np.float32)
        for fold in judge.folds:
            rows = [row for row, name in enumerate(names) if name in fold.valid]
            if rows:
                sums[rows] += fold.score(np.stack([fold.valid[names[row]] for row in rows]))
                counts[rows] += 1
        share = np.float32(judge.member.share) * (counts > 0)
        total += sums * (share / np.maximum(counts, 1))[:, None]
        shares += share
    total /= shares[:, None]
    return zero_own(total, own_columns(names, known))
