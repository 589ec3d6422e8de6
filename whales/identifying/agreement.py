"""Where two flukes agree: the cells of each crop that their pair score hangs on, by occlusion.

A square of the crop's mean colour slides over one crop; where hiding a cell lowers the score, that cell
speaks for one whale.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import unique_names
from whales.base.writing import atomic_path
from whales.files.decisions import fluke_content
from whales.files.import_table import written_names
from whales.files.workspace import Workspace
from whales.identifying.catalogue import Catalogue, Judge
from whales.identifying.identification import Answer, Fluke, cut_flukes
from whales.photos.crops import crop_window, cut
from whales.photos.photos import read_photo

# A crop has 8 x 8 cells; the square covers 2 x 2 of them and moves by one: 7 x 7 positions.
CELLS = 8
WIDTH = 2
POSITIONS = CELLS - WIDTH + 1
_HEIGHT = 300  # of a drawn crop, pixels
_NAME = 100  # characters of a photo in the name of its drawing
_DRAWN = "Fluke"  # the PNG's note on what it shows
_LEAST = 1e-6  # scores nearer to 0 or 1 are rounding


def occluded(crop: np.ndarray) -> np.ndarray:
    """A crop with the square at each position, row by row.

    crop: (size, size, 3) uint8. Returns (POSITIONS², size, size, 3) uint8.
    """
    edges = np.linspace(0, len(crop), CELLS + 1).astype(int)
    colour = crop.reshape(-1, crop.shape[-1]).mean(axis=0).astype(np.uint8)
    hidden = np.repeat(crop[None], POSITIONS**2, axis=0)
    for position, picture in enumerate(hidden):
        row, column = divmod(position, POSITIONS)
        rows = slice(edges[row], edges[row + WIDTH])
        columns = slice(edges[column], edges[column + WIDTH])
        picture[rows, columns] = colour
    return hidden


def spread(drops: np.ndarray) -> np.ndarray:
    """Each cell's mean over the squares that cover it: (POSITIONS²,) to (CELLS, CELLS) float64."""
    total, covers = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for position, drop in enumerate(drops):
        row, column = divmod(position, POSITIONS)
        total[row : row + WIDTH, column : column + WIDTH] += drop
        covers[row : row + WIDTH, column : column + WIDTH] += 1
    return total / covers


def agreement(
    judges: Sequence[Judge], query: dict[int, np.ndarray], known: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """How much hiding a cell of either crop lowers the log-odds that both show one whale.

    query, known: size -> (size, size, 3) uint8. Returns two (CELLS, CELLS) float64, of the query and of
    the known photo, blended over the nets, each with the first fold it has weights of.
    """
    from whales.nets.features import crop_features
    from whales.scores.pair_scores import score_matrix

    maps = np.zeros((2, CELLS, CELLS))
    for judge in judges:
        fold, size = judge.folds[0], judge.size
        network = judge.with_weights(fold)
        crops = [side[size] for side in (query, known)]
        features = [
            crop_features(network, np.concatenate([crop[None], occluded(crop)])) for crop in crops
        ]
        for side in range(2):
            other = features[1 - side][:1]
            odds = _log_odds(score_matrix(fold.head, features[side], other)[:, 0])
            maps[side] += judge.net.share * spread(odds[0] - odds[1:])
    maps /= sum(judge.net.share for judge in judges)
    return maps[0], maps[1]


def _log_odds(scores: np.ndarray) -> np.ndarray:
    scores = np.clip(scores.astype(np.float64), _LEAST, 1 - _LEAST)
    return np.log(scores / (1 - scores))


def draw_agreement(catalogue: Catalogue, answer: Answer, workspace: Workspace, path: Path) -> None:
    """Draw a query and its best candidate, what they agree in painted over; path: of the PNG.

    `UserError` for a photo that cannot be read, or a query that has changed since it was answered.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fluke, best = answer.fluke, answer.candidates[0]
    pixels = read_photo(workspace.photo(best.photo))
    shape = catalogue.anisotropy
    view = max(1, round(_HEIGHT * shape)), _HEIGHT  # the crop's own shape
    height, width = pixels.shape[:2]
    window = crop_window(catalogue.boxes[best.photo], width, height, anisotropy=shape)
    sizes = {judge.size for judge in catalogue.judges}
    known = {size: cut(pixels, window, size) for size in sizes}
    query = _crops_again(fluke, sizes, shape)
    maps = agreement(catalogue.judges, query, known)
    strongest = max(*(cells.max() for cells in maps), 1e-9)
    largest = max(sizes)
    name = written_names(workspace).get(best.identity, best.identity)
    titles = fluke.photo.name, f"{name}, {best.photo}.jpg, score {best.score:.4f}"
    figure, axes = plt.subplots(2, 1, figsize=(7, 7.2))
    crops = query[largest], known[largest]
    for axis, crop, heat, title in zip(axes, crops, maps, titles, strict=True):
        axis.imshow(cut(crop, (0, 0, largest, largest), *view))
        share = cv2.resize(np.clip(heat / strongest, 0, 1), view, interpolation=cv2.INTER_LINEAR)
        axis.imshow(share, "inferno", vmin=0, vmax=1, alpha=0.6 * share)
        axis.set_title(title, fontsize=9, parse_math=False)
        axis.set_axis_off()
    figure.tight_layout(pad=0.5)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90, metadata={_DRAWN: _shown_by(answer)})
    plt.close(figure)


def _crops_again(fluke: Fluke, sizes: set[int], anisotropy: float) -> dict[int, np.ndarray]:
    """Size -> crop of an answered fluke, which does not keep them."""
    boxes = [fluke.box] if fluke.box else []
    [again] = cut_flukes(fluke.photo, boxes, sizes, anisotropy)
    if again.content != fluke.content:
        raise UserError(f"photo {fluke.photo} has changed since it was answered; ask again")
    return again.crops


def draw_all(
    catalogue: Catalogue, answers: Sequence[Answer], workspace: Workspace, folder: Path
) -> list[str]:
    """Draw each answer into a folder; returns what is wrong with photos that cannot be read any more."""
    faults = []
    for answer, path in zip(answers, drawing_paths(answers, folder), strict=True):
        try:
            draw_agreement(catalogue, answer, workspace, path)
            log(f"wrote {path}")
        except UserError as fault:
            faults.append(str(fault))
    return faults


def drawing_paths(answers: Sequence[Answer], folder: Path) -> list[Path]:
    """A path in `folder` for the drawing of each answer, none that of another photo of the same name.

    A drawing of an earlier run is written over by that of the same photo alone.
    """
    names = [f"{answer.fluke.photo.stem[:_NAME]}_fluke_{answer.fluke.number}" for answer in answers]
    mine: dict[str, Path] = {}
    taken: list[str] = []
    for path in sorted(folder.glob("*.png")) if folder.is_dir() else ():
        photo = _drawn_photo(path)
        if photo:
            mine.setdefault(photo, path)
        taken.append(path.stem)
    again = [mine.pop(_shown_by(answer), None) for answer in answers]
    new = [name for name, path in zip(names, again, strict=True) if path is None]
    free = iter(unique_names(new, taken))
    return [path or folder / f"{next(free)}.png" for path in again]


def _shown_by(answer: Answer) -> str:
    """What tells the fluke of a drawing from every other, "" where its photo's content is not known."""
    fluke = answer.fluke
    return fluke_content(fluke.content, str(fluke.number)) if fluke.content else ""


def _drawn_photo(path: Path) -> str:
    """The fluke that a PNG was drawn of, "" where it does not say."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return str(image.info.get(_DRAWN, ""))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # somebody else's file
        return ""
