"""Split the training photos into four folds for the kernel net."""

from collections.abc import Sequence

from whales.base.console import log
from whales.base.pickles import save
from whales.files.dataset import boxed_training_photos
from whales.files.folds import FoldRecipe
from whales.files.sides import read_sides, side_tables
from whales.stages.job import Job
from whales.stages.options import parse_arguments
from whales.stages.stage import run

# Start of the seeds that fold 3 gives to identities of three photos.
COUNTER = 0


def main(argv: Sequence[str] | None = None) -> None:
    options, _ = parse_arguments(__doc__, argv, script=__file__)
    ws = options.workspace
    tables = [ws.file(key) for key in ("train_csv", "boxes_averaged", "boxes_averaged_playground")]
    reads = [*tables, *side_tables(ws)]
    writes = [ws.file("folds_kernel")]
    job = Job(options, __file__, reads, writes, numbers={"counter": COUNTER})
    if job.up_to_date():
        return
    recipe = FoldRecipe(boxed_training_photos(ws), read_sides(ws))
    folds = recipe.make(COUNTER)
    save(ws.file("folds_kernel"), folds)
    sizes = ", ".join(f"{len(fold['train'])}/{len(fold['val'])}" for fold in folds.values())
    log(f"train/valid photos of the four folds: {sizes}")
    job.done()


if __name__ == "__main__":
    run(main)
