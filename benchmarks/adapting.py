"""What training on few photos adds to first weights: a root's kernel nets beside what they began from.

python3 -m benchmarks.adapting ROOT [ROOT ..] [--samples N]

Roots are of the same photos, trained with different seeds; a photo counts with its mean over them. Each
fold's net is measured on the known photos that the fold holds out, in the pipeline's boxes, and on the test
photos that show a known individual, tight (by reference_boxes.pkl, if the root has it) and whole. Closed
ranking; the bootstrap is over photos, paired.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kernel_snn.a00_net_kernel import GENERATED_START, NET
from kernel_snn.a01_kernel_model import build_network
from whales.base.console import log
from whales.base.errors import UserError
from whales.base.pickles import load
from whales.files.dataset import known_photos, load_boxes, training_identities
from whales.files.labels import stem
from whales.files.workspace import Workspace
from whales.photos.crops import read_crop
from whales.scores.basis import weights_of
from whales.scores.best_photos import mark_own
from whales.scores.closed_ranking import KnownCrops, closed_precision, features_of
from whales.scores.evaluation import interval
from whales.scores.head import head_weights
from whales.scores.pair_scores import score_matrix
from whales.stages.stage import run

if TYPE_CHECKING:
    from whales.nets.network import SiameseNetwork

SIZE = NET.sizes["smoke"]
HELD_OUT = "held out"


class Photos:
    """The photos of a root that nets are measured on."""

    def __init__(self, root: Path) -> None:
        workspace = Workspace(root)
        self.tests = KnownCrops.of_root(root, SIZE)
        identity_of, boxes = training_identities(workspace), load_boxes(workspace)
        self.names = known_photos(identity_of, boxes)
        self.identities = [identity_of[name] for name in self.names]
        self.crops = np.stack(
            [read_crop(workspace.photo(name), boxes[name], SIZE) for name in self.names]
        )
        splits = load(workspace.file(NET.folds))
        photos_of = Counter(self.identities)
        self.held_out: dict[int, list[int]] = {}
        for fold in range(len(splits)):
            valid = set(map(stem, splits[f"fold_{fold}"]["val"]))
            self.held_out[fold] = [
                place
                for place, (name, identity) in enumerate(
                    zip(self.names, self.identities, strict=True)
                )
                if name in valid and photos_of[identity] > 1
            ]

    def precision(self, network: SiameseNetwork, fold: int) -> dict[str, np.ndarray]:
        """Average precision of each photo, by the kind of photos."""
        features, rows = features_of(network, self.crops), self.held_out[fold]
        scores = score_matrix(head_weights(network.head), features[rows], features)
        scores = mark_own(scores, np.array(rows), -1)
        truths = [self.identities[row] for row in rows]
        return {
            HELD_OUT: closed_precision(scores, truths, self.identities),
            **self.tests.precision(network),
        }


def gain(before: np.ndarray, after: np.ndarray, samples: int) -> tuple[float, float, float]:
    """The mean gain of photos (n,), and its interval by the bootstrap over them.

    >>> gain(np.array([0.5, 0.25]), np.array([0.75, 0.5]), 100)
    (0.25, 0.25, 0.25)
    """
    gains = after - before
    drawn = np.random.default_rng(0).integers(len(gains), size=(samples, len(gains)))
    return float(gains.mean()), *interval(gains[drawn].mean(axis=1))


def compare(roots: Sequence[Path], samples: int) -> None:
    """Print a row for each fold and kind of photos, and for all folds together."""
    photos = Photos(roots[0])
    start = Workspace(roots[0]).file("kernel_warm_start")
    start = start if start.exists() else GENERATED_START.checked()
    first, trained = build_network(SIZE, start, channels=1), build_network(SIZE, channels=3)
    seeds = [weights_of(Workspace(root), NET) for root in roots]
    folds = sorted(set(seeds[0]).intersection(*seeds))
    if not folds:
        raise UserError(
            f"no fold of the kernel net is trained in all of {', '.join(map(str, roots))}"
        )
    log(f"start: {start}; nets of {len(roots)} roots; each photo's average precision at 5")
    log("| fold | photos | of | start | trained | gain | 95% interval |", f"|{'---|' * 7}")
    before = {fold: photos.precision(first, fold) for fold in folds}
    after = {
        fold: _mean_of([files[fold] for files in seeds], trained, photos, fold) for fold in folds
    }
    for fold in folds:
        for kind in before[fold]:
            _row(str(fold), kind, before[fold][kind], after[fold][kind], samples)
    all_held_out = (np.concatenate([of[i][HELD_OUT] for i in folds]) for of in (before, after))
    _row("all", HELD_OUT, *all_held_out, samples)
    for kind in photos.tests.queries:
        means = (np.mean([of[i][kind] for i in folds], axis=0) for of in (before, after))
        _row("mean of the folds' nets", kind, *means, samples)


def _mean_of(
    files: Sequence[Path], network: SiameseNetwork, photos: Photos, fold: int
) -> dict[str, np.ndarray]:
    """The photos' precision, a mean over the seeds."""
    found = []
    for path in files:
        network.load_weights(path)
        found.append(photos.precision(network, fold))
    return {kind: np.mean([one[kind] for one in found], axis=0) for kind in found[0]}


def _row(fold: str, kind: str, before: np.ndarray, after: np.ndarray, samples: int) -> None:
    mean, low, high = gain(before, after, samples)
    numbers = f"{before.mean():.3f} | {after.mean():.3f} | {mean:+.3f} | {low:+.3f} to {high:+.3f}"
    log(f"| {fold} | {len(before)} | {kind} | {numbers} |")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", nargs="+", type=Path, metavar="ROOT")
    parser.add_argument("--samples", type=int, default=4000, help="of the bootstrap (4000)")
    args = parser.parse_args(argv)
    compare(args.roots, args.samples)


if __name__ == "__main__":
    run(main)
