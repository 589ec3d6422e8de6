"""A rehearsal: a training cut to a few steps, at its true sizes, in a work root of its own."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from whales.base.console import log
from whales.base.writing import write_fault
from whales.files.workspace import Workspace
from whales.training.forecast import Forecast

# What a rehearsal reads of the real work root, unless stages run in the rehearsal's own have made it there.
_READ = (
    "boxes_v5", "boxes_playground_v2", "cropping_train_v2", "kernel_warm_start", "retinanet_folds",
    "retinanet_fold_csv", "retinanet_classes", "boxes_retinanet", "boxes_retinanet_playground",
    "boxes_averaged", "boxes_averaged_playground", "folds_v1", "folds_v2", "folds_kernel",
)  # fmt: skip
FEWEST_PHOTOS = 32

# Kinds of training steps, as logs and tables of rehearsals name them.
BRANCHES = (FROZEN, WHOLE) = ("frozen branch", "whole net")


def rehearsal_root(workspace: Workspace, profile: str) -> Workspace:
    """The work root in which a profile is rehearsed: `ROOT/rehearsal/PROFILE`, made where it is missing.

    Its photos, tables, boxes and folds are links to those of the real root; whatever a stage writes there
    takes the place of a link and leaves the real file alone. `UserError` where it cannot be made.
    """
    rehearsal = Workspace(workspace.root / "rehearsal" / profile)
    links = {workspace.root / "data": rehearsal.root / "data"}
    for key in _READ:
        for path in workspace.found(key):
            links[path] = rehearsal.root / path.relative_to(workspace.root)
    for path, link in links.items():
        link_to(path, link)
    return rehearsal


def link_to(path: Path, link: Path) -> None:
    """Make a link, or renew one; a file that a stage has written in its place stays.

    `UserError` where the disk does not let it.
    """
    target = os.path.relpath(path, link.parent)
    if os.path.lexists(link) and (not link.is_symlink() or os.readlink(link) == target):
        return
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=path.is_dir())
    except OSError as reason:
        raise write_fault(link, reason) from reason


def most_photos(steps: int, batch: int) -> int:
    """Photos that are enough for so many steps of so many photos or pairs."""
    return max(FEWEST_PHOTOS, steps * batch)


def log_rehearsed(name: str, forecast: Forecast) -> None:
    """Log what a rehearsed plan took: seconds a step, of each kind of step, and the process's memory."""
    plan, said = forecast.plan, set()
    for block in plan.blocks:
        pairs = plan.pairs_at_once(block)
        seconds = forecast.seconds_a_step(block)
        if seconds is not None and (block.frozen, pairs) not in said:
            said.add((block.frozen, pairs))
            branch = FROZEN if block.frozen else WHOLE
            log(f"{name}: {plan.size} px, batch {pairs}, {branch}: {seconds:.2f} s a step")
    peak = peak_gigabytes(resource.getrusage(resource.RUSAGE_SELF))
    log(f"{name}: peak memory of the process {peak:.1f} GB")


def peak_gigabytes(usage: resource.struct_rusage) -> float:
    """The most memory that a process has had, from what the system says of it."""
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / 1e9
