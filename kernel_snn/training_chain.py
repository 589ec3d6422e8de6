"""The kernel net's training of one fold: three plans, each from the weights of the one before."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from kernel_snn.a00_net_kernel import GENERATED_START, NAME
from whales.base.console import log
from whales.files.dataset import training_reads
from whales.files.digests import file_digest
from whales.files.workspace import Workspace
from whales.nets.net import WEIGHTS_SUFFIX, Net
from whales.stages.job import Job
from whales.stages.memory import require_memory
from whales.stages.options import fold_type, parse_arguments
from whales.stages.training_stage import (
    Given,
    Start,
    Workbench,
    add_training_options,
    check_folds,
    file_of,
    train,
)
from whales.training.plan import Plan, numbered

PlanChain = tuple[Plan, ...]


class StartingPoint(NamedTuple):
    """Where the first plan starts. reads, numbers: as a `Job` takes them; note: for the log."""

    weights: Start
    reads: list[Path]
    numbers: dict[str, object]
    note: str

    @classmethod
    def of(cls, workspace: Workspace, given: Given) -> StartingPoint:
        """Those of `--weights`, else the root's warm start, else those that come with the project.

        `UserError` where the project's own are missing or damaged.
        """
        if given.weights:
            nothing = ": the net starts from nothing" if given.weights == "none" else ""
            note = f"{given.weights}, by --weights{nothing}"
            return cls(given.weights, file_of(given.weights), {}, note)
        warm_start = workspace.file("kernel_warm_start")
        if os.path.lexists(warm_start):
            return cls(warm_start, file_of(warm_start), {}, f"{warm_start}, the warm start")
        path = GENERATED_START.checked()
        # By content, not as an input by its path, which is one of this machine.
        numbers = {"start": {path.name: file_digest(path)}}
        note = (
            f"{path.name}, which comes with the project and has seen generated flukes alone: there is no "
            f"{warm_start} (docs/pipeline.md, 'The data')"
        )
        return cls(path, [], numbers, note)


def training_chain(
    doc: str | None,
    script: str,
    argv: Sequence[str] | None,
    net: Net,
    plans: dict[str, PlanChain],
    cold_plans: dict[str, PlanChain],
) -> None:
    """The whole stage; the published flags choose folds and GPUs.

    doc, script: the page's docstring and `__file__`; plans: a chain for each profile; cold_plans: the
    same where the net starts from random weights. Raises `UserError` for a missing table, photo or first
    weights.
    """

    def add_options(parser: argparse.ArgumentParser) -> None:
        add, folds = parser.add_argument, "0 to 3; several train one after the other"
        add("--RUN_FOLD", type=fold_type((0, 3)), nargs="+", required=True, metavar="F", help=folds)
        add("--CUDA_VISIBLE_DEVICES", dest="device", default="auto", help="as --device")
        add_training_options(parser, "none|FILE", "start from these instead of the warm start")

    options, args = parse_arguments(doc, argv, extra=add_options, script=script)
    given = Given.of(args, options)
    first = StartingPoint.of(options.workspace, given)
    chosen = cold_plans if first.weights == "none" else plans
    chain = [given.plan(plan) for plan in numbered(chosen[options.profile])]
    check_folds(options.workspace, net, args.RUN_FOLD)
    with closing(Workbench(options, net, given)) as bench:
        for fold in args.RUN_FOLD:
            _train_fold(bench, script, chain, first, given, fold)


def _train_fold(
    bench: Workbench,
    script: str,
    chain: Sequence[Plan],
    first: StartingPoint,
    given: Given,
    fold: int,
) -> None:
    """One fold through its chain of plans, from first weights."""
    ws = bench.options.workspace
    suffixes = [f"_plan_{number}" for number in range(1, len(chain) + 1)]
    job = Job(
        bench.options,
        script,
        training_reads(ws, bench.net.folds, fold) + first.reads,
        [ws.file("history", stage=Job.key_of(script, fold) + suffix) for suffix in suffixes],
        numbers={"plans": [plan.numbers() for plan in chain], **first.numbers},
        fold=fold,
        given=given.for_stamp(),
    )
    if job.up_to_date(begins=False):
        return
    require_memory(Path(script).stem, bench.net, chain)
    log(f"{job.name}: first weights: {first.note}")
    names = Names(ws.file("models_kernel"), fold)
    start, done = first.weights, list[str]()
    earlier = [names.temporary, names.final, *bench.net.weights.names(fold)]
    for suffix, plan in zip(suffixes, chain, strict=True):
        begins = suffix == suffixes[0]
        saved = train(job, bench, plan, start, names.save_as, fold, earlier, suffix, done)
        done += [path.name for path, _ in saved]
        best, last = max(saved, key=lambda item: item[1])[0], saved[-1][0]
        start = best if begins else last
    job.done([best])
    for suffix in suffixes:
        shutil.rmtree(ws.file("checkpoint", stage=job.key + suffix), ignore_errors=True)


class Names:
    """The published names of one fold's weight files."""

    def __init__(self, folder: Path, fold: int) -> None:
        self.folder = folder
        self.final = f"{NAME}_fold_{fold}_"
        self.temporary = f"mpiotte-standard_{NAME}_fold_{fold}_"

    def save_as(self, tag: str, score: float) -> Path:
        """File of a block's weights: `tag` alone on the way, with the MAP@5 (`score`) at the end."""
        if tag.startswith("temp"):
            return self.folder / f"{self.temporary}{tag}{WEIGHTS_SUFFIX}"
        return self.folder / f"{self.final}{tag}_{score:.6f}{WEIGHTS_SUFFIX}"
