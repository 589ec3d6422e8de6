"""A picture of test photos with their answers beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.writing import atomic_path
from whales.files.boxes import Box
from whales.files.dataset import load_boxes, training_identities
from whales.files.matrices import ScoreMatrix, dense
from whales.files.submissions import read_answers
from whales.files.workspace import Workspace
from whales.photos.thumbnails import thumbnail, thumbnail_size
from whales.scores.best_photos import KnownPhotos

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RIGHT, _WRONG = "#2a9d4e", "#b8bec4"


def answers_picture(
    workspace: Workspace,
    path: Path,
    matrix: ScoreMatrix,
    truth: dict[str, str] | None,
    lines: int = 8,
) -> None:
    """Draw test photos, each with its five answers beside it, right ones framed in green; a PNG.

    matrix: the ensemble's scores, which choose the training photo that stands for an answer;
    truth: stem -> identity where known.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    answers, boxes = read_answers(workspace.file("submission")), load_boxes(workspace)
    identity_of, scored = training_identities(workspace), set(matrix.rows)
    shape = workspace.settings.anisotropy
    chosen = [name for name in answers if name in scored][:: max(1, len(scored) // lines)][:lines]
    known = KnownPhotos(matrix.columns, identity_of)
    rows = dense(matrix.aligned(chosen, matrix.columns, path).scores)
    figure, axes = plt.subplots(len(chosen), 6, figsize=(13, 1.25 * len(chosen)), squeeze=False)
    for line, name, scores in zip(axes, chosen, rows, strict=True):
        _draw(line[0], _shown(workspace, boxes, name), f"{name}.jpg", None, shape)
        for axis, identity in zip(line[1:], answers[name], strict=True):
            photo = known.candidate(identity, scores).photo
            pixels = _shown(workspace, boxes, photo) if photo else None
            _draw(axis, pixels, identity, truth and truth[name] == identity, shape)
    figure.tight_layout(pad=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=80)
    plt.close(figure)


def _shown(workspace: Workspace, boxes: Mapping[str, Box], name: str) -> np.ndarray | None:
    """The thumbnail of a photo (stem); None for one that cannot be read, which the log says."""
    try:
        return thumbnail(workspace, boxes, name)
    except UserError as reason:
        log(f"not shown: {reason}")
        return None


def _draw(
    axis: Axes, pixels: np.ndarray | None, title: str, right: bool | None, anisotropy: float
) -> None:
    """pixels: (h, w, 3) uint8, None for a grey field; right: None where the answer is not known."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=8, pad=2, parse_math=False)
    if pixels is None:
        pixels = np.full((*thumbnail_size(anisotropy)[::-1], 3), 245, np.uint8)
    axis.imshow(pixels)
    for side in axis.spines.values():
        side.set_color(_RIGHT if right else _WRONG)
        side.set_linewidth(4 if right else 1)
