"""The photos that a stage or tool scores, and the store of their features, as the options of a run say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whales.base.console import log
from whales.base.errors import UserError
from whales.files.boxes import Box
from whales.nets.net import Net
from whales.stages.options import RunOptions

if TYPE_CHECKING:
    from whales.scores.photo_scores import FeatureStore


def photo_files(options: RunOptions, names: Sequence[str]) -> dict[str, Path]:
    """Stem -> file of photos; one that is in no folder is a `UserError`, or is left out and said so."""
    files: dict[str, Path] = {}
    for name in names:
        try:
            files[name] = options.workspace.photo(name)
        except UserError as reason:
            if not options.skip_broken_photos:
                raise
            log(f"left out: {reason}")
    if len(files) < len(names):
        log(f"{len(names) - len(files)} of {len(names)} photos left out because they are missing")
    return files


def feature_store(
    options: RunOptions, net: Net, boxes: Mapping[str, Box], prints: Mapping[str, str]
) -> FeatureStore:
    """The features of a net at the size it scores at; `prints`: of all photos that will be asked for."""
    from whales.scores.photo_scores import FeatureStore

    return FeatureStore(
        options.workspace,
        net,
        net.sizes[options.profile],
        boxes,
        prints,
        profile=options.profile,
        precision=options.precision,
        workers=options.workers,
        skip_broken_photos=options.skip_broken_photos,
        force=options.force,
    )
