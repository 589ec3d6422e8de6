"""What the stages that score photos with a trained net do alike, and the submission of one net alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import move_to_earlier
from whales.base.locks import in_turn
from whales.base.pickles import load
from whales.base.writing import require_space
from whales.files.boxes import Box
from whales.files.dataset import (
    crop_tables,
    known_photos,
    load_boxes,
    test_photos,
    training_identities,
)
from whales.files.folds import FOLDS, checked_fold
from whales.files.matrices import ScoreMatrix, matrix_bytes, save_tuple
from whales.files.root_matrices import RootMatrices
from whales.files.sides import Sides, read_sides, side_tables
from whales.files.submissions import write_submission
from whales.files.trained import part_name, require_trained_shape
from whales.files.workspace import Workspace, require
from whales.nets.net import Net
from whales.scores.ensemble import mean_matrix
from whales.scores.ranking import rank, validation_map
from whales.stages.job import Job
from whales.stages.options import RunOptions, add_precision, parse_arguments
from whales.stages.photo_inputs import feature_store, photo_files

if TYPE_CHECKING:
    from whales.scores.photo_scores import FeatureStore

_FOLD_MATRICES = ("valid_matrix", "test_matrix_fold")


@dataclass(frozen=True)
class Tables:
    """What an inference stage reads besides weights and photos.

    files: where from; identity_of: stem -> identity of the training photos; boxes: stem -> box;
    columns: known photos (stems, sorted); test: stems in the submission's order; sides: of all photos.
    """

    files: list[Path]
    identity_of: dict[str, str]
    boxes: dict[str, Box]
    columns: list[str]
    test: list[str]
    sides: Sides

    @classmethod
    def read(cls, workspace: Workspace, *more: str) -> Tables:
        """Read them; `more`: keys of further files that must be there. `UserError` for a missing one."""
        files = [workspace.file(key) for key in ("train_csv", "sample_submission", *more)]
        files += crop_tables(workspace) + side_tables(workspace)
        for path in files:
            require(workspace, path)
        identity_of, boxes = training_identities(workspace), load_boxes(workspace)
        columns = known_photos(identity_of, boxes)
        if not columns:
            raise UserError(
                f"no photo of {files[0]} with an identity has a box in {workspace.file('boxes_averaged')}; "
                "one of them is of another data set"
            )
        sides = read_sides(workspace)
        return cls(files, identity_of, boxes, columns, test_photos(workspace), sides)


def inference_stage(doc: str | None, script: str, argv: Sequence[str] | None, net: Net) -> None:
    """A whole inference stage of v5 or v6: matrices of one fold, or of all; then the mean over folds."""
    options, args = parse_arguments(
        doc, argv, fold=(0, FOLDS - 1), default_fold=-1, extra=add_precision, script=script
    )
    tables = Tables.read(options.workspace, net.folds)
    folds = range(FOLDS) if args.fold is None else [args.fold]
    require_trained_shape(options.workspace, [part_name(net.name, fold) for fold in folds])
    # Every fold's weights are looked up before the first is used: nothing fails after hours.
    folder = options.workspace.file(f"models_{net.name}")
    weights = {fold: net.weights.find(folder, fold) for fold in folds}
    jobs = {fold: _fold_job(options, script, net, tables, fold, weights[fold]) for fold in folds}
    with closing(stage_features(options, net, tables.boxes, list(jobs.values()))) as store:
        for fold, job in jobs.items():
            if not job.up_to_date():
                _score_fold(job, store, tables, fold, weights[fold])
                job.done()
    for fold in set(range(FOLDS)) - set(folds):
        try:
            path = net.weights.find(folder, fold)
            jobs[fold] = _fold_job(options, script, net, tables, fold, path)
        except UserError:  # a fold that is not trained yet, or whose files are gone
            continue
    with in_turn(options.workspace.file("lock", name=f"mean_{net.name}"), f"{net.name}'s mean"):
        _write_mean(options, script, net, jobs)


def stage_features(
    options: RunOptions, net: Net, boxes: dict[str, Box], jobs: Sequence[Job]
) -> FeatureStore:
    """The features of the photos of `jobs`; those whose box is empty are named in the log."""
    from whales.photos.crops import check_boxes
    from whales.scores.photo_scores import photo_prints

    digests = {name: digest for job in jobs for name, digest in job.photo_digests.items()}
    check_boxes(boxes, sorted(digests))
    return feature_store(options, net, boxes, photo_prints(options.workspace, boxes, digests))


def _valid_photos(workspace: Workspace, net: Net, tables: Tables, fold: int) -> list[str]:
    """Stems of the photos that a fold holds out, sorted."""
    path = workspace.file(net.folds)
    return sorted(checked_fold(load(path), fold, path, tables.identity_of)[1])


def _fold_job(
    options: RunOptions, script: str, net: Net, tables: Tables, fold: int, weights: Path
) -> Job:
    ws = options.workspace
    names = sorted({*tables.columns, *_valid_photos(ws, net, tables, fold), *tables.test})
    return Job(
        options,
        script,
        [*tables.files, weights],
        [ws.file(f"{part}_{net.name}", fold=fold) for part in _FOLD_MATRICES],
        numbers={"size": net.sizes[options.profile]},
        fold=fold,
        photos=photo_files(options, names),
    )


def _score_fold(job: Job, store: FeatureStore, tables: Tables, fold: int, weights: Path) -> None:
    """Write one fold's valid-vs-known and test-vs-known matrices."""
    from whales.scores.photo_scores import score_photos

    valid = _valid_photos(job.options.workspace, store.net, tables, fold)
    for path, rows in zip(job.writes, (valid, tables.test), strict=True):
        require_space(path, matrix_bytes(rows, tables.columns))
    log(f"{job.name}: {len(job.photo_digests)} photos with {weights.name}")
    head, features = store.features(fold, weights, job.photo_digests)
    for path, rows in zip(job.writes, (valid, tables.test), strict=True):
        scores = score_photos(head, features, rows, tables.columns, path.stem, tables.sides)
        if rows is valid:
            score = validation_map(
                scores, rows, tables.columns, tables.identity_of, sides=tables.sides
            )
            log(f"{job.name}: MAP@5 {score:.6f}")
        save_tuple(path, ScoreMatrix(scores, rows, tables.columns))
        del scores  # before the next one is made


def _write_mean(options: RunOptions, script: str, net: Net, jobs: Mapping[int, Job]) -> None:
    """Write the mean over folds, if every fold's scores are of its present weights, numbers and photos.

    A mean of an earlier run that no longer is one of them is set aside, so that no later stage takes it.
    """
    ws = options.workspace
    target = ws.file(f"test_matrix_{net.name}")
    missing = [fold for fold in range(FOLDS) if fold not in jobs or not jobs[fold].current(True)]
    if missing:
        stamped = Job(options, script, [], [target], numbers={}).stamped()
        names = ", ".join(map(str, missing))
        log(f"no mean over folds: fold {names} has no scores of its present weights and photos")
        if target.exists() and stamped and not options.check:
            move_to_earlier(target)
        return
    parts = [ws.file(f"test_matrix_fold_{net.name}", fold=fold) for fold in range(FOLDS)]
    job = Job(options, script, parts, [target], numbers={})
    if not job.up_to_date():
        require_space(target, parts[0].stat().st_size)
        save_tuple(target, mean_matrix(parts, RootMatrices(ws).test))
        job.done()


def submission_stage(doc: str | None, script: str, argv: Sequence[str] | None, net: Net) -> None:
    """A whole stage that answers with one net alone: mean matrix, the net's threshold, CSV."""
    options, _ = parse_arguments(doc, argv, script=script)
    ws, threshold = options.workspace, net.threshold
    if threshold is None:
        raise ValueError(f"net {net.name} has no threshold of its own")
    reads = [ws.file(key) for key in ("train_csv", "sample_submission", f"test_matrix_{net.name}")]
    reads += side_tables(ws)
    writes = [ws.file(f"submission_{net.name}")]
    job = Job(options, script, reads, writes, numbers={"threshold": threshold})
    if job.up_to_date():
        return
    identity_of, names = training_identities(ws), test_photos(ws)
    matrices = RootMatrices(ws, identity_of, names)
    matrix = matrices.test(reads[2])
    tests = set(names)
    columns = [name for name in matrix.columns if name not in tests]
    matrix = matrix.aligned(names, columns, reads[2])
    identities = [identity_of[name] for name in matrix.columns]
    answers = rank(matrix.scores, identities, threshold, sides=matrices.sides_of(matrix))
    write_submission(job.writes[0], names, dict(zip(names, answers, strict=True)), identities)
    job.done()
