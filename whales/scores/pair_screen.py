"""Find the pairs that certainly score below a cut-off, so that only the others need an exact score.

A pair's logit is a constant plus a sum over features c of w_c F(a_c, b_c), F the head's small perceptron
(`whales.scores.pair_scores`). The gallery's values of a feature are put into bins; for one query and one
feature a table holds, for each bin, a bound that w_c F does not exceed anywhere in the bin. A pair's
bound is then one table look-up a feature, some ten times cheaper than F itself.

The bound in a bin [e, f] of width h comes from chords: each unit relu(g) of F is compared with the chord
between its values at the edges.
- A unit that is active in the whole bin strays from its chord by -q (b - e)(f - b); these add up over units
  with their signs.
- Else g, which is quadratic, strays from the chord of g by at most mu = |q| h^2 / 4. So relu(g) exceeds its
  chord by at most mu, and falls below it by at most mu + gap, where
  gap = |g(e) g(f)| / (|g(e)| + |g(f)|) if the unit switches between the edges, else 0.
- In the bin that contains a, where |a - b| has its kink, mu is |q| h^2 / 4 + |d| h / 2 for every unit.
The rounding of float32 in the bound and in the exact score is bounded as well.
"""

# Arguments of compiled functions have no annotations: Numba infers their types, for which Python has no
# names, from each call. Docstrings give shapes and dtypes.
# ruff: noqa: ANN001, ANN201, ANN202, RUF100

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from scipy import sparse

from whales.base.compiling import cached_njit
from whales.base.console import log
from whales.base.progress import progress_bar
from whales.files.matrices import cut_small
from whales.scores.head import HeadWeights, as_features
from whales.scores.pair_scores import score_matrix, score_pairs

# Bins of a feature's values; their codes are bytes.
BINS = 127
# Gallery photos of one inner loop: their sums and one feature's table fit a first-level cache.
_LANES = 256
# The bins' edges are chosen by the values of so many gallery photos.
_SAMPLE = 2048
# With fewer gallery photos all pairs are candidates: the tables would cost more than they save.
_WORTHWHILE = 4 * BINS
# Once more than this share of pairs is left to be scored exactly, all pairs are.
_MOST = 0.5
# Queries of one dense block.
_ROWS = 256
_ROUNDING = 2.0**-24


class _Bins(NamedTuple):
    """The bins of each feature, and the bins that the gallery's values lie in, in padded tiles."""

    edges: np.ndarray  # (d, BINS + 1) float32, not falling
    codes: np.ndarray  # (tiles, d, _LANES) uint8


class Scorer:
    """One net's head and a gallery: tells the pairs that may reach a cut-off, and scores chosen pairs."""

    def __init__(self, weights: HeadWeights, gallery: np.ndarray) -> None:
        """`weights`: of the net's head; `gallery`: (m, d) features.

        ValueError where d differs from the head's.
        """
        self.weights = weights
        self.gallery = as_features(gallery, self.weights)
        self._bins = _binned(self.gallery) if len(gallery) >= _WORTHWHILE else None

    @property
    def screens(self) -> bool:
        """Whether the gallery is large enough for screening to pay."""
        return self._bins is not None

    def candidates(self, queries: np.ndarray, least: float) -> np.ndarray:
        """(n, m) bool: False only where the exact score is certain to be below `least`.

        `queries`: (n, d) features; `least`: a score; all pairs are candidates unless it lies between 1e-30
        and 1. ValueError where d differs from the head's.
        """
        queries = as_features(queries, self.weights)
        possible = np.ones((len(queries), len(self.gallery)), np.bool_)
        if self._bins is not None and 1e-30 < least < 1:
            # Room for the sigmoid's own rounding: near 1 a step of a score is a wide step of its logit.
            room = 1e-4 + 4 * _ROUNDING / (1 - least)
            cut = math.log(least) - math.log1p(-least) - room
            _screen(queries, *self.weights, *self._bins, np.float32(cut), possible)
        return possible

    def scores(self, queries: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Exact scores of the pairs where `wanted` (n, m) is True: (count,) float32 in row-major order.

        On a CPU they are the numbers of `whales.scores.pair_scores.score_matrix`, bit for bit.
        """
        return score_pairs(self.weights, queries, self.gallery, wanted)


def mean_scores(
    scorers: Sequence[Scorer],
    queries: Sequence[np.ndarray],
    least: float,
    progress: str | None = None,
) -> sparse.csr_matrix:
    """Mean score over nets of all pairs of queries and gallery, without those below `least`.

    `scorers`: one a net, all galleries with the same photos in order; `queries`: (n, d) features of each
    net. Returns (n, m) CSR float32, equal to the dense mean with small values cut, since a mean reaches
    `least` only where the score of some net does. Where screening leaves most pairs possible, it logs so
    and scores them all.
    """
    count, blocks, screened = len(queries[0]), [], scorers[0].screens
    bar = progress_bar(progress, count)
    for start in range(0, count, _ROWS):
        rows = [features[start : start + _ROWS] for features in queries]
        nets = list(zip(scorers, rows, strict=True))
        if screened:
            wanted = np.logical_or.reduce([net.candidates(block, least) for net, block in nets])
            if wanted.mean() > _MOST:
                log(f"{wanted.mean():.0%} of pairs may reach {least}: all are scored")
                screened = False
        if screened:
            total = sum(net.scores(block, wanted) for net, block in nets)
            mean = np.zeros(wanted.shape, np.float32)
            mean[wanted] = total / np.float32(len(nets))
        else:
            total = sum(score_matrix(net.weights, block, net.gallery) for net, block in nets)
            mean = total / np.float32(len(nets))
        blocks.append(cut_small(mean, least))
        bar.update(len(rows[0]))
    bar.close()
    if not blocks:
        return sparse.csr_matrix((0, len(scorers[0].gallery)), dtype=np.float32)
    return sparse.vstack(blocks, format="csr")


def _binned(features: np.ndarray) -> _Bins:
    """Bins of each feature of (m, d): narrower where values are dense; the lowest, often 0, has its own."""
    count, width = features.shape
    tiles = -(-count // _LANES)
    edges = np.empty((width, BINS + 1), np.float32)
    codes = np.zeros((width, tiles * _LANES), np.uint8)
    sample = np.sort(features[:: max(1, count // _SAMPLE)], axis=0)
    lowest, highest = features.min(axis=0), features.max(axis=0)
    sample[0], sample[-1] = lowest, highest
    # Widths in proportion to the density to the power -1/2 have the least mean over the values.
    measure = np.sqrt(np.diff(sample, axis=0, prepend=sample[:1]).astype(np.float64)).cumsum(axis=0)
    for c in range(width):
        values = np.ascontiguousarray(features[:, c])
        marks = np.linspace(0, measure[-1, c], BINS)
        edges[c, 0] = lowest[c]
        edges[c, 1:] = np.interp(marks, measure[:, c], sample[:, c])
        edges[c, 1], edges[c, -1] = lowest[c], highest[c]
        code = np.searchsorted(edges[c], values, side="left")
        code -= edges[c, code] > values
        codes[c, :count] = np.minimum(code, BINS - 1)
    return _Bins(edges, np.ascontiguousarray(codes.reshape(width, tiles, _LANES).swapaxes(0, 1)))


@cached_njit(parallel=True, fastmath=True, error_model="numpy")
def _screen(queries, rows, mix, features, constant, edges, codes, cut, possible):
    """Set `possible` (n, m) bool to whether a pair's bound reaches `cut`, a float32 logit.

    queries: (n, d) float32; rows to constant: a `HeadWeights`; edges, codes: a `_Bins`.
    """
    tiles, width, lanes = codes.shape
    count = possible.shape[1]
    for job in numba.prange(len(queries)):
        table = np.empty((width, edges.shape[1] - 1), np.float32)
        room = _fill_table(queries[job], rows, mix, features, edges, table)
        start = constant + room + _ROUNDING * 4 * abs(constant) - cut
        total = np.empty(lanes, np.float32)
        for tile in range(tiles):
            total[:] = start
            for c in range(width):
                bounds, code = table[c], codes[tile, c]
                for j in range(lanes):
                    total[j] += bounds[code[j]]
            base = tile * lanes
            for j in range(min(lanes, count - base)):
                possible[job, base + j] = total[j] >= 0


@cached_njit(fastmath=True, error_model="numpy")
def _fill_table(query, rows, mix, features, edges, table):
    """Bounds of w_c F of one query (d,) in each bin into `table` (d, bins) float32.

    rows, mix, features: of a `HeadWeights`; edges: of a `_Bins`. Returns the room for rounding, which is
    to be added to a sum of bounds.
    """
    width, bins = table.shape
    units = rows.shape[1]
    # Sizes of all units' q and d, for the bin in which they have their kinks.
    square_size = distance_size = np.float32(0.0)
    for k in range(units):
        square_size += abs(mix[k] * rows[3, k])
        distance_size += abs(mix[k] * rows[2, k])
    value = np.empty(bins + 1, np.float32)
    unit = np.empty(bins + 1, np.float32)
    work = np.empty((3, bins), np.float32)
    square, bend, rough = work[0], work[1], work[2]
    terms = sums = 0.0
    for c in range(width):
        a, weight, edge = query[c], features[c], edges[c]
        terms += abs(weight) * _add_units(a, weight > 0, rows, mix, edge, value, unit, work)
        highest = np.float32(0.0)
        for j in range(bins):
            room = rough[j] + square[j] * max(-bend[j] if weight > 0 else bend[j], np.float32(0.0))
            if edge[j] < a and a < edge[j + 1]:
                step = edge[j + 1] - edge[j]
                room = rough[j] + square_size * square[j] + np.float32(0.5) * distance_size * step
            if weight > 0:
                table[c, j] = weight * (max(value[j], value[j + 1]) + room)
            else:
                table[c, j] = weight * (min(value[j], value[j + 1]) - room)
            highest = max(highest, abs(table[c, j]))
        sums += highest
    # A sum of n terms in any order is off by at most n roundings of the sum of their sizes; inside a
    # feature a dozen operations a unit, taken for the exact score and for the bound.
    return np.float32(
        _ROUNDING * (2 * (units + 16) * terms + 2 * (width + 4) * (sums + terms * 1e-3))
    )


@cached_njit(fastmath=True, error_model="numpy")
def _add_units(a, upwards, rows, mix, edge, value, unit, work):
    """F(a, b) of one feature at the bins' edges, and how far it may stray from the chords between them.

    Inputs: a, the query's value; upwards, whether the bound is from above; rows, mix: of a `HeadWeights`;
    edge: (bins + 1,). Outputs: value, (bins + 1,), F; work, (3, bins): h^2 / 4, the signed sum of q of
    the units active in the whole bin, and the sum of mu and gap of those that may switch in it. unit:
    (bins + 1,) scratch. Returns a bound of the sum of the sizes of all terms of F.
    """
    bins = len(edge) - 1
    square, bend, rough = work[0], work[1], work[2]
    none = np.float32(0.0)
    value[:] = 0
    bend[:] = 0
    rough[:] = 0
    for j in range(bins):
        step = edge[j + 1] - edge[j]
        square[j] = np.float32(0.25) * step * step
    reach = max(abs(a), max(abs(edge[0]), abs(edge[bins])))
    largest = none
    for k in range(rows.shape[1]):
        slope = rows[0, k] * a + rows[1, k]
        offset = rows[1, k] * a + rows[4, k]
        d, q, v = rows[2, k], rows[3, k], mix[k]
        for j in range(bins + 1):
            distance = abs(a - edge[j])
            unit[j] = slope * edge[j] + offset + d * distance + q * distance * distance
            value[j] += v * max(unit[j], none)
        # A gap counts where the unit bends against the bound: below, for a bound from above.
        switch = abs(v) if (v < 0) == upwards else none
        for j in range(bins):
            low, high = min(unit[j], unit[j + 1]), max(unit[j], unit[j + 1])
            stray = abs(q) * square[j]
            below, above = max(-low, none), max(high, none)
            gap = below * above / (below + above + np.float32(1e-30))
            active, idle = low > stray, high < -stray
            bend[j] += v * q if active else none
            rough[j] += none if active or idle else abs(v) * stray + switch * gap
        largest += abs(v) * (
            (abs(rows[0, k]) + 4 * abs(q)) * reach * reach
            + 2 * (abs(rows[1, k]) + abs(d)) * reach
            + abs(rows[4, k])
        )
    return largest
