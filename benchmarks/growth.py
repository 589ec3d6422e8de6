"""How cost grows with the number of photos: identification, mining among candidates, dense mining.

`python -m benchmarks.growth identify WAY COUNT FOLDER` and `mine WAY COUNT` measure one line in a process.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks.measure import Line, process
from benchmarks.mining import IDENTITIES, PHOTOS, late_scores
from benchmarks.pair_scores import WIDTH
from whales.scores.feature_files import FeatureTable, Streamed, open_features, write_arrays
from whales.scores.head import HeadWeights
from whales.training.mining import HardPairs

COUNTS = (1000, 2500, 5000, 10000, 25000)
# Known photos that queries are compared with, one fold of each net; what is beyond is told by the line.
KNOWN, QUERIES, BEYOND = (10_000, 50_000, 100_000), 100, 1_000_000
NETS = {"v5": (1024, 0.3), "v6": (2048, 0.3), "kernel": (512, 0.4)}  # features, share
MINED, CANDIDATES, LARGE = 10_000, (16, 64), 50_000


def lines(quick: bool) -> Iterator[Line]:
    """Identification, then mining among candidates, then seconds of dense mining."""
    yield from identification(quick)
    yield from candidates(quick)
    yield from dense(quick)


def identification(quick: bool) -> Iterator[Line]:
    """Seconds for queries by blocks, features on the disk; plain, for the fewest: all in memory."""
    counts, measured = (500, 1000) if quick else KNOWN, []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            make_features(Path(folder), count)
            ours, peak = _in_a_process("identify", "blocks", str(count), folder)
            plain, plain_peak, note = {"seconds": None}, None, ""
            if count == counts[0]:
                plain, plain_peak = _in_a_process("identify", "memory", str(count), folder)
                same = ours["best"] == plain["best"]
                note = f"; plain: in memory, {_costs(plain)}, the same answers: {same}"
        measured.append((ours["seconds"], ours["processor"]))
        yield Line(
            f"{QUERIES} queries, {count:,} known photos", "s", ours["seconds"], plain["seconds"],
            peak_ours=peak, peak_plain=plain_peak, note=f"{_costs(ours)}; {_load()}{note}",
        )  # fmt: skip
    if quick:  # two small counts tell nothing of a million
        return
    slopes, starts = np.polyfit(counts, measured, 1)
    beyond = starts + slopes * BEYOND
    note = (
        f"not measured: {starts[0]:.2f} s + {1e3 * slopes[0]:.3g} ms a known photo, fitted; of the cores "
        f"{starts[1]:.2f} s + {1e3 * slopes[1]:.3g} ms, {beyond[1]:,.0f} s"
    )
    yield Line(f"{QUERIES} queries, {BEYOND:,} known photos", "s", beyond[0], note=note)


def _in_a_process(*arguments: str) -> tuple[dict, float]:
    """What a call of this module measures, and the peak MB of its process."""
    output, _, peak = process(("-m", "benchmarks.growth", *arguments))
    return json.loads(output.splitlines()[-1]), peak  # what comes before says how far it is


def _costs(found: dict[str, float]) -> str:
    return (
        f"{found['processor']:.1f} s of the cores, {found['grown']:.0f} MB more than without features, "
        f"opened in {found['opened']:.1f} s"
    )


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def make_features(folder: Path, count: int) -> None:
    """A file of random features of each net; half are 0, as after the branch's rectifier and pooling."""
    for net, (width, _) in NETS.items():
        rng = np.random.default_rng(width)

        def parts(rng: np.random.Generator = rng, width: int = width) -> Iterator[np.ndarray]:
            for start in range(0, count, 1000):
                shape = min(1000, count - start), width
                yield np.maximum(rng.standard_normal(shape, np.float32), 0)

        names = np.array([f"p{number:07}" for number in range(count)])
        features = Streamed((count, width), parts())
        write_arrays(folder / f"{net}.npz", "made", names=names, features=features)


def measure_identification(way: str, count: int, folder: Path) -> dict[str, object]:
    """Seconds of all queries, and to open the files; MB that they take; the best identities' photos."""
    import keras

    from whales.identifying.catalogue import BLOCK, Catalogue, FoldNet, Judge, known_scorer
    from whales.nets.network import build_head
    from whales.scores.best_by_blocks import best_of_parts
    from whales.scores.best_photos import KnownPhotos
    from whales.scores.calibration import Curve
    from whales.scores.head import head_weights

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(1)
    names = [f"p{number:07}" for number in range(count)]
    identities = rng.integers(0, max(2, count * IDENTITIES // PHOTOS), count)
    known = KnownPhotos(names, {n: f"w{who}" for n, who in zip(names, identities, strict=True)})
    heads = {net: head_weights(build_head(width)) for net, (width, _) in NETS.items()}
    queries = [
        [np.maximum(rng.standard_normal((QUERIES, width), np.float32), 0)]
        for width, _ in NETS.values()
    ]
    curve = Curve(np.array([0.0, 1.0]), np.array([0.0, 1.0]))

    def catalogue(tables: dict[str, FeatureTable], photos: KnownPhotos) -> Catalogue:
        judges = []
        for net, (_, share) in NETS.items():
            score = known_scorer(heads[net], tables[net], photos.photos, way == "memory")
            fold = FoldNet(Path(net), [], heads[net], score, tables[net].only([]))
            judges.append(Judge(SimpleNamespace(share=share), 0, None, [fold]))
        block = len(photos.photos) if way == "memory" else BLOCK
        return Catalogue(photos, {}, 1.0, judges, curve, curve, block=block)

    few = KnownPhotos(["a"], {"a": "w"})
    ones = {net: np.ones((1, width), np.float32) for net, (width, _) in NETS.items()}
    made = {net: FeatureTable(row, {"a": 0}) for net, row in ones.items()}
    best_of_parts(few, QUERIES, 5, catalogue(made, few).scores(queries))  # compiled
    before, begin = _peak(), time.perf_counter()
    tables = {}
    for net in NETS:
        opened = open_features(folder / f"{net}.npz", "made")
        if opened is None:
            raise RuntimeError(f"the features of {net} are damaged")
        tables[net] = opened[1]
    ready = catalogue(tables, known)
    opened_in, begin = time.perf_counter() - begin, time.perf_counter()
    begin_processor = time.process_time()
    best = best_of_parts(known, QUERIES, 5, ready.scores(queries))
    return {
        "seconds": time.perf_counter() - begin,
        "processor": time.process_time() - begin_processor,
        "opened": opened_in,
        "grown": _peak() - before,
        "best": best.columns.tolist(),
    }


def _peak() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def candidates(quick: bool) -> Iterator[Line]:
    """Seconds of an epoch's pairs among each photo's best candidates; plain: the dense assignment."""
    count = 300 if quick else MINED
    plain, dense_peak = _in_a_process("mine", "dense", str(count))
    for kept in CANDIDATES[:1] if quick else CANDIDATES:
        ours, peak = _in_a_process("mine", str(kept), str(count))
        note = (
            f"{ours['gain'] / plain['gain']:.3%} of the dense optimum; {ours['left_out']} photos left out; "
            f"costs found in {ours['found']:.1f} s, dense in {plain['found']:.1f} s; {_load()}"
        )
        yield Line(
            f"pairs of {count:,} photos, {kept} candidates", "s", ours["assigned"], plain["assigned"],
            peak_ours=peak, peak_plain=dense_peak, note=note,
        )  # fmt: skip
    if quick:
        return
    count, kept = LARGE, CANDIDATES[-1]
    ours, peak = _in_a_process("mine", str(kept), str(count))
    note = f"costs found in {ours['found']:.0f} s; {ours['left_out']} photos left out; {_load()}"
    what = f"pairs of {count:,} photos, {kept} candidates"
    yield Line(what, "s", ours["assigned"], peak_ours=peak, note=note)


def measure_mining(way: str, count: int) -> dict[str, float]:
    """Seconds to find the costs and to assign an epoch, what its pairs gain, how many photos are left out.

    The scores are those of a trained net: of photos of one whale high, of alike ones in between, else near
    0. way: "dense", or the number of candidates. The noise is that of late training, and the same.
    """
    from whales.training.candidates import FORBIDDEN, candidate_costs, gains
    from whales.training.mining import assign

    rng = np.random.default_rng(0)
    identities = rng.integers(0, max(2, count * IDENTITIES // PHOTOS), count)
    head, features = _trained(identities, rng)
    candidate_costs(head, features[:9], identities[:9], 0.25, 2, rng)  # compiled
    begin = time.perf_counter()
    if way == "dense":
        cost = np.empty((count, count), np.float32)
        for rows, columns, gain in gains(head, features, identities, 0.25, rng):
            cost[rows, columns] = np.where(gain < 0, FORBIDDEN, -gain)
        found, begin = time.perf_counter() - begin, time.perf_counter()
        costs = cost[np.arange(count), assign(cost)]
        costs = costs[costs < FORBIDDEN].astype(np.float64)
    else:
        kept = candidate_costs(head, features, identities, 0.25, int(way), rng)
        found, begin = time.perf_counter() - begin, time.perf_counter()
        pairs = HardPairs.resumed([kept], []).next_epoch()
        costs = np.asarray(kept[pairs[:, 0], pairs[:, 1]], np.float64).ravel()
    assigned = time.perf_counter() - begin
    left_out = count - len(costs)
    return {"found": found, "assigned": assigned, "gain": -costs.sum(), "left_out": left_out}


def _trained(identities: np.ndarray, rng: np.random.Generator) -> tuple[HeadWeights, np.ndarray]:
    """A head whose score grows with the cosine of two photos, and features (n, 32) that suit it."""
    width = 32
    whales = rng.exponential(size=(int(identities.max()) + 1, width))
    features = whales[identities] + 0.3 * rng.exponential(size=(len(identities), width))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    rows = np.zeros((5, 1), np.float32)
    rows[0] = 1  # the product alone
    head = HeadWeights(
        rows, np.ones(1, np.float32), np.full(width, 40, np.float32), np.float32(-34)
    )
    return head, features.astype(np.float32)


def dense(quick: bool) -> Iterator[Line]:
    """Seconds for the scores of all pairs of so many photos, and for one epoch's assignment of them."""
    from whales.nets.network import build_head
    from whales.scores.head import head_weights
    from whales.scores.pair_scores import score_matrix

    head = head_weights(build_head(WIDTH))
    rng = np.random.default_rng(0)
    score_matrix(head, np.zeros((2, WIDTH)))  # compiled before the clock runs
    for count in (100, 200) if quick else COUNTS:
        features = np.maximum(rng.standard_normal((count, WIDTH), dtype=np.float32), 0)
        begin = time.perf_counter()
        score_matrix(head, features)
        scored = time.perf_counter() - begin
        note = f"{count * (count + 1) / 2 / scored:,.0f} pairs/s"
        yield Line(f"scores of {count:,} photos", "s", scored, note=note)
        identities = rng.integers(0, max(2, count * IDENTITIES // PHOTOS), count)
        mined = HardPairs([late_scores(count, rng)], identities, 0.25, rng)
        begin = time.perf_counter()
        mined.next_epoch()
        yield Line(f"assignment of {count:,} photos", "s", time.perf_counter() - begin)


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[0] == "identify":
        result = measure_identification(given[1], int(given[2]), Path(given[3]))
    else:
        result = measure_mining(given[1], int(given[2]))
    print(json.dumps(result))
