"""Split the training photos into four folds, twice (v1 for net v5, v2 for net v6)."""

from collections.abc import Sequence

from whales.base.console import log
from whales.base.pickles import save
from whales.files.dataset import boxed_training_photos
from whales.files.folds import FoldRecipe
from whales.files.labels import stem
from whales.files.sides import read_sides, side_tables
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.stage import run

# Start of the seeds that fold 3 gives to identities of three photos.
COUNTERS = {"folds_v1": 100, "folds_v2": 200}


def main(argv: Sequence[str] | None = None) -> None:
    options, _ = parse_arguments(__doc__, argv, script=__file__)
    ws = options.workspace
    tables = [ws.file(key) for key in ("train_csv", "boxes_averaged", "boxes_averaged_playground")]
    writes = [ws.file(key) for key in COUNTERS]
    reads = [*tables, *side_tables(ws)]
    job = Job(options, __file__, reads, writes, numbers=COUNTERS)
    if job.up_to_date():
        return
    photos = boxed_training_photos(ws)
    recipe = FoldRecipe(
        {identity: [f"{stem(name)}.npy" for name in names] for identity, names in photos.items()},
        read_sides(ws),
    )
    # v2 is made from the lists as v1 left them: the order of COUNTERS matters.
    for key, counter in COUNTERS.items():
        folds = recipe.make(counter)
        save(ws.file(key), folds)
        for name, fold in folds.items():
            log(f"{key} {name}: {len(fold['train'])} train, {len(fold['val'])} valid")
    job.done()


if __name__ == "__main__":
    run(main)
