"""Hard pairs by linear assignment (method, section 5): from scores and identities to index pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lap
import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from whales.base.pickles import load, save
from whales.files.sides import have_mismatch, unlike
from whales.scores.head import HeadWeights
from whales.scores.pair_scores import score_matrix
from whales.training.candidates import FORBIDDEN, assign_candidates, candidate_costs, without
from whales.training.plan import Plan

# (k, k) costs of a segment, lower for harder pairs: dense float32, or those of its candidates alone.
Costs = np.ndarray | sparse.csr_matrix

# Among candidates alone: the share of photos that may be left out of an epoch before former pairs come back.
_FEW = 0.01


def segments(count: int, parts: int) -> list[slice]:
    """Contiguous slices over `count` photos, each of ceil(count / parts), the last shorter.

    They are `parts` at most: fewer where fewer hold all photos.

    >>> segments(10, 4)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 9, None), slice(9, 10, None)]
    """
    length = -(-count // parts)
    return [slice(start, min(start + length, count)) for start in range(0, count, length)]


def segments_of(identities: np.ndarray, parts: int, sides: np.ndarray | None = None) -> list[slice]:
    """`segments` of photos with these identities, (n,) int: `parts`, or the most that work below that.

    A segment works where it holds photos of two identities that can be compared, since pairs are made
    within it. sides: (n,) int codes, 0 for either, None where none are known.

    >>> segments_of(np.array([0, 0, 1, 1, 0]), 2)
    [slice(0, 3, None), slice(3, 5, None)]
    >>> segments_of(np.array([0, 0, 1, 1, 0]), 3)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    for fewer in range(parts, 1, -1):
        slices = segments(len(identities), fewer)
        if all(
            _mismatches(identities[part], None if sides is None else sides[part]) for part in slices
        ):
            return slices
    return segments(len(identities), 1)


def _mismatches(identities: np.ndarray, sides: np.ndarray | None) -> bool:
    """Whether two of these photos are of two identities and can be compared."""
    if sides is None:
        return bool((identities != identities[0]).any())
    return have_mismatch(identities.tolist(), sides.tolist())


def derangement(count: int, rng: np.random.Generator) -> np.ndarray:
    """A uniformly drawn permutation of range(count) without a fixed point, (count,) int.

    Drawn by rejection: about e tries, whatever the count. ValueError where `count` is below two.

    >>> derangement(2, np.random.default_rng(0)).tolist()
    [1, 0]
    """
    if count < 2:
        raise ValueError(f"expected at least two photos of an identity, received {count}")
    indices = np.arange(count)
    while True:
        drawn = rng.permutation(count)
        if not (drawn == indices).any():
            return drawn


def matches(
    identities: np.ndarray, rng: np.random.Generator, sides: np.ndarray | None = None
) -> np.ndarray:
    """Every photo paired with another of its identity: (n, 2) int64 indices.

    `identities`: (n,) int codes. Each photo is once on either side. ValueError where an identity has
    only one photo.
    sides: (n,) int codes, None where none are known: then only photos of one side are paired. A photo that
    may show either (0) counts as one of its identity's sides, drawn anew at each call; whoever has no mate
    then has no pair.
    """
    groups = identities if sides is None else _by_side(identities, sides, rng)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    found = np.split(order, starts[1:])
    if sides is not None:
        found = [group for group in found if len(group) > 1]
    mates = [group[derangement(len(group), rng)] for group in found]
    return np.stack([np.concatenate(found), np.concatenate(mates)], axis=1)


def _by_side(identities: np.ndarray, sides: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A code for each identity and side, (n,) int; photos of either side are drawn into one of them."""
    drawn = sides.copy()
    for index in np.flatnonzero(sides == 0):
        shown = np.unique(sides[(identities == identities[index]) & (sides != 0)])
        if len(shown):
            drawn[index] = rng.choice(shown)
    return np.unique(np.stack([identities, drawn], axis=1), axis=0, return_inverse=True)[1].ravel()


def assign(cost: np.ndarray, solver: str = "lap") -> np.ndarray:
    """Column of each row in an assignment of least total cost: (n,) int; `cost`: (n, n) float.

    `solver`: "lap" or "scipy", else ValueError. Both find the same optimum; `lap` takes a third to a
    tenth of the time on costs early and late in training (`python -m benchmarks mining`).

    >>> assign(np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]])).tolist()
    [1, 0, 2]
    """
    if len(cost) < 2:  # `lap` writes outside an empty matrix
        return np.arange(len(cost))
    if solver == "lap":
        return lap.lapjv(np.ascontiguousarray(cost, np.float64))[1]
    if solver != "scipy":
        raise ValueError(f"expected solver scipy or lap, received {solver}")
    return linear_sum_assignment(cost)[1]


class HardPairs:
    """The mismatches of one round: hard negatives, each photo once a side, no pair repeated.

    Where too few pairs are left for another epoch, those of the earliest epochs come back.
    """

    def __init__(
        self,
        scores: Sequence[np.ndarray],
        identities: np.ndarray,
        amplitude: float,
        rng: np.random.Generator,
        sides: np.ndarray | None = None,
    ) -> None:
        """`scores`: one (k, k) float32 matrix a segment, photos in order; `identities`: (n,) int codes.

        sides: (n,) int codes, 0 for either, None where none are known; unlike ones are never paired.

        Uniform noise of [0, amplitude) is added to every score. ValueError where the segments' photos are
        not n.
        """
        photos = sum(map(len, scores))
        if photos != len(identities):
            raise ValueError(f"expected scores of {len(identities)} photos, received {photos}")
        self.costs: list[Costs] = []
        self._used: list[np.ndarray] = []  # the mismatches (k, 2) of each epoch
        start = 0
        for block in scores:
            codes = identities[start : start + len(block)]
            # In place: at the competition's size another array would take .5 GB.
            cost = rng.random(block.shape, dtype=np.float32)
            cost *= np.float32(amplitude)
            cost += block
            np.negative(cost, out=cost)
            cost[codes[:, None] == codes[None, :]] = FORBIDDEN
            if sides is not None:
                shown = sides[start : start + len(block)]
                cost[unlike(shown[:, None], shown[None, :])] = FORBIDDEN
            self.costs.append(cost)
            start += len(block)

    @classmethod
    def resumed(cls, costs: list[Costs], used: Sequence[np.ndarray]) -> HardPairs:
        """Resume a round from its costs; `used`: the mismatches (k, 2) of the epochs already trained."""
        mined = cls([], np.zeros(0, int), 0, np.random.default_rng(0))
        mined.costs, mined._used = costs, list(used)
        return mined

    def next_epoch(self, solver: str = "lap") -> np.ndarray:
        """The pairs of least total cost, of different identities: (<= n, 2) int64 indices.

        They and their mirror images are forbidden from then on. Fewer than n where an identity has more
        than half of a segment's photos, or of those of a side.
        """
        pairs = []
        start = 0
        for cost in self.costs:
            end = start + cost.shape[0]
            inside = [epoch[(start <= epoch[:, 0]) & (epoch[:, 0] < end)] for epoch in self._used]
            before = [epoch - start for epoch in inside]
            hardest = _hardest if isinstance(cost, np.ndarray) else _hardest_candidates
            pairs.append(hardest(cost, before, solver) + start)
            start = end
        self._used.append(np.concatenate(pairs))
        return self._used[-1]


def _hardest(cost: np.ndarray, used: Sequence[np.ndarray], solver: str) -> np.ndarray:
    """The hardest pairs of a segment, (k, 2), without those of the epochs `used`, earliest first.

    These come back, one epoch after the other, until there are as many pairs as with all of them. `cost`
    changes meanwhile, and is then as before.
    """
    both = [np.concatenate([pairs, pairs[:, ::-1]]).T for pairs in used]
    before = [cost[rows, columns] for rows, columns in both]

    def forbid_from(first: int) -> None:
        for (rows, columns), values in zip(both, before, strict=True):
            cost[rows, columns] = values
        for rows, columns in both[first:]:
            cost[rows, columns] = FORBIDDEN

    def solve() -> np.ndarray:
        columns = assign(cost, solver)
        rows = np.flatnonzero(cost[np.arange(len(cost)), columns] < FORBIDDEN)
        return np.stack([rows, columns[rows]], axis=1)

    forbid_from(0)
    chosen = solve()
    if len(chosen) < len(cost):
        forbid_from(len(both))
        most = len(solve())
        for first in range(1, len(both) + 1):
            if len(chosen) >= most:
                break
            forbid_from(first)
            chosen = solve()
    forbid_from(len(both))
    return chosen


def _hardest_candidates(
    cost: sparse.csr_matrix, used: Sequence[np.ndarray], solver: str
) -> np.ndarray:
    """As `_hardest`, of candidates alone; few photos may be left out before former pairs come back."""

    def solve(first: int) -> np.ndarray:
        taken = used[first:]
        return assign_candidates(without(cost, np.concatenate(taken)) if taken else cost, solver)

    chosen = solve(0)
    if used and len(chosen) < (1 - _FEW) * cost.shape[0]:
        most = len(solve(len(used)))
        for first in range(1, len(used) + 1):
            if len(chosen) >= (1 - _FEW) * most:
                break
            chosen = solve(first)
    return chosen


def mine_round(
    head: HeadWeights,
    features: np.ndarray,
    identities: np.ndarray,
    plan: Plan,
    amplitude: float,
    rng: np.random.Generator,
    sides: np.ndarray | None = None,
) -> HardPairs:
    """The hard pairs of a round, photos in the order of features (n, d) and identities (n,) int codes.

    Segments of up to `plan.most_dense` photos are mined as the method says, larger ones among the best
    candidates of each photo. sides: as `HardPairs` takes them.
    """
    slices = segments_of(identities, plan.segments, sides)
    if all(part.stop - part.start <= plan.most_dense for part in slices):
        scores = [score_matrix(head, features[part], progress="mining") for part in slices]
        return HardPairs(scores, identities, amplitude, rng, sides)
    costs: list[Costs] = [
        candidate_costs(
            head,
            features[part],
            identities[part],
            amplitude,
            plan.candidates,
            rng,
            sides=None if sides is None else sides[part],
        )
        for part in slices
    ]
    return HardPairs.resumed(costs, [])


def come_back(pairs: np.ndarray, used: Sequence[np.ndarray]) -> bool:
    """Whether any of the mismatches (k, 2) is one of an epoch in `used`, or the mirror image of one."""
    sizes = [int(epoch.max(initial=0)) + 1 for epoch in (pairs, *used)]

    def codes(epoch: np.ndarray) -> np.ndarray:
        return epoch.min(axis=1) * max(sizes) + epoch.max(axis=1)

    return any(np.isin(codes(pairs), codes(epoch)).any() for epoch in used)


def keep_costs(path: Path, mined: HardPairs) -> None:
    """Write a round's costs for `mine_epoch`."""
    save(path, {"costs": mined.costs})


def mine_epoch(path: Path, used: Sequence[np.ndarray], solver: str = "lap") -> np.ndarray:
    """The mismatches of a round's next epoch, as `HardPairs.next_epoch`, from the costs kept in a file.

    `used`: the mismatches (k, 2) of the epochs before. It is meant for another process, since `lap`
    holds Python's lock.
    """
    return HardPairs.resumed(load(path)["costs"], used).next_epoch(solver)


def epoch_pairs(
    matched: np.ndarray, mismatched: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Shuffle both kinds of pairs and alternate them: match, mismatch, match, ...

    `matched`, `mismatched`: (n, 2) and (m, 2) int. Returns pairs (2k, 2) int64 and labels (2k,) float32
    (1 = same whale), k the smaller of n and m.
    """
    count = min(len(matched), len(mismatched))
    pairs = np.empty((2 * count, 2), dtype=np.int64)
    pairs[0::2] = rng.permutation(matched)[:count]
    pairs[1::2] = rng.permutation(mismatched)[:count]
    labels = np.tile(np.array([1, 0], dtype=np.float32), count)
    return pairs, labels
