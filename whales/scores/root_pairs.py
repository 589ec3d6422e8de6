"""A root's test photos compared with each other, by the features that its inference stages kept."""

from __future__ import annotations

from collections.abc import Sequence

from whales.files.dataset import load_boxes
from whales.files.sides import PairSides, read_sides
from whales.files.workspace import Workspace
from whales.nets.net import Net
from whales.scores.basis import weights_of
from whales.scores.query_pairs import Alike, QueryPairs, SeenQueries, alike_of, blended, most_alike

# Beyond so many photos they are not compared while a page waits.
MOST = 2000
_TOO_MANY = (
    f"More than {MOST:,} photos are not compared with each other here: run tools/identify.py on their folder "
    "with --csv and --among, and review with --results."
)
_NOT_KEPT = (
    "The photos are not compared with each other: their features are not in cache/features/. Run the "
    "inference stages, or tools/identify.py with --csv and --among."
)


def pairs_of_root(workspace: Workspace, nets: Sequence[Net], names: Sequence[str]) -> QueryPairs:
    """The test photos (stems) compared with each other; features are read when they are first needed.

    nets: of the ensemble; those whose features are not kept have no say. A photo without features is compared
    with none.
    """
    if len(names) > MOST:
        return QueryPairs(note=_TOO_MANY)
    return QueryPairs(lambda: _of_features(workspace, nets, names), note=_NOT_KEPT)


def _of_features(
    workspace: Workspace, nets: Sequence[Net], names: Sequence[str]
) -> dict[int, list[Alike]]:
    from whales.scores.photo_scores import kept_features, photo_prints

    boxes = load_boxes(workspace)
    files = {name: workspace.test_photo(name) for name in names if name in boxes}
    prints = photo_prints(workspace, boxes, workspace.digests.of_photos(files))
    kept = []
    for net in nets:
        files_of = weights_of(workspace, net).items()
        folds = [kept_features(workspace, net, fold, path, prints) for fold, path in files_of]
        kept += [(net.share / len(folds), *fold) for fold in folds if fold and all(folds)]
    compared = [name for name in names if kept and all(name in table for _, _, table in kept)]
    if len(compared) < 2:
        return {}
    seen = [SeenQueries(share, head, table.of(compared)) for share, head, table in kept]
    codes = read_sides(workspace).codes(compared)
    best = most_alike(blended(seen), compared, PairSides(codes, codes))
    place = [names.index(name) for name in compared]
    return {
        place[row]: [Alike(place[column], score) for column, score in alike_of(best, row)]
        for row in range(len(compared))
    }
