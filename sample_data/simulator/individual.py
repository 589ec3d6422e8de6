"""Draw one individual: outline, pigment and marks, in grey, seen flat on.

Both lobes are drawn in coordinates of their own (`pigment`), and then laid into the canonical frame
(`canvas`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sample_data.simulator.canvas import HEIGHT, ORIGIN_X, ORIGIN_Y, UNIT, WIDTH, fill, grid_noise
from sample_data.simulator.marks import mark
from sample_data.simulator.pigment import ALONG, DEPTH, LENGTH, pigment

STALK = 0.5  # canonical length of the stalk below the lobes
_CALM = 21  # columns over which teeth even out
_THINNEST = 0.012  # canonical depth of a lobe
_COLUMNS = ((np.arange(WIDTH) + 0.5 - ORIGIN_X) / UNIT).astype(np.float32)
_ROWS = ((np.arange(HEIGHT) + 0.5 - ORIGIN_Y) / UNIT).astype(np.float32)[:, None]

# A drawing shows these rows, at three scales (width, height).
_DRAWN = slice(10, 150)
_LEVELS = ((8, 4), (16, 9), (44, 24))
LEVEL_SIZES = tuple(width * height for width, height in _LEVELS)
DRAWING = sum(LEVEL_SIZES)


@dataclass(frozen=True)
class Individual:
    """One whale's fluke.

    skin: (HEIGHT, WIDTH) uint8 grey, beyond the outline as at its edge; alpha: (HEIGHT, WIDTH) uint8, 255
    inside; outline: (n, 2) float32 canonical x, y; thickness: canonical y where the stalk begins.
    """

    skin: np.ndarray
    alpha: np.ndarray
    outline: np.ndarray
    thickness: float


def drawing(whale: Individual) -> np.ndarray:
    """How white the skin is, flat and seen from near, farther and far: (DRAWING,) float32 in [0, 1]."""
    inside = whale.alpha[_DRAWN].astype(np.float32) / 255
    white = inside * whale.skin[_DRAWN] / 255
    levels = []
    for level in _LEVELS:
        share = cv2.resize(inside, level, interpolation=cv2.INTER_AREA)
        mean = cv2.resize(white, level, interpolation=cv2.INTER_AREA)
        levels.append((mean / (share + 0.05)).ravel())
    return np.concatenate(levels)


def draw(rng: np.random.Generator) -> Individual:
    """A new individual; equal states of `rng` give equal ones."""
    shape = _Shape(rng)
    edges = [shape.edges(rng) for _ in range(2)]
    outline = np.concatenate([_half(*edges[1], 1), _half(*edges[0], -1)[::-1]])
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    fill(alpha, outline, 255)
    dark, pale = rng.uniform(0.04, 0.16), rng.uniform(0.55, 0.95)
    lobes = pigment(rng)
    skin = np.empty((HEIGHT, WIDTH), np.float32)
    for lobe, (trailing, leading, _), half in zip(
        lobes, edges, (_COLUMNS < 0, _COLUMNS >= 0), strict=True
    ):
        s = np.clip(np.abs(_COLUMNS[half]), 0, 1)
        top, bottom = np.interp(s, ALONG, trailing), np.interp(s, ALONG, leading)
        # A rim follows every tooth, the pattern within does not.
        calm = cv2.blur(top[None], (_CALM, 1), borderType=cv2.BORDER_REPLICATE)[0]
        at_edge = (_ROWS - top) / np.maximum(bottom - top, 0.03)
        within = (_ROWS - calm) / np.maximum(bottom - calm, 0.03)
        t = at_edge + np.clip(at_edge * 5, 0, 1) * (within - at_edge)
        map_s = np.broadcast_to((s * (LENGTH - 1)).astype(np.float32), t.shape)
        map_t = (np.clip(t, 0, 1) * (DEPTH - 1)).astype(np.float32)
        painted = cv2.remap(lobe, map_s, map_t, cv2.INTER_LINEAR)
        skin[:, half] = painted * np.clip(1 - (t - 1) / 0.15, 0, 1)  # stalks are dark
    skin = dark + skin * (pale - dark)
    # Tones go over into one another, widely and finely.
    for knots, most in (((5, 8), 0.16), ((20, 24), 0.12)):
        skin *= 1 + rng.uniform(0.03, most) * grid_noise(rng, knots, skin.shape)
    canvas = np.clip(skin * 255, 0, 255).astype(np.uint8)
    mark(rng, canvas, outline)
    return Individual(canvas, alpha, outline, shape.thickness)


class _Shape:
    """The outline that both lobes of an individual share."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rise = rng.uniform(0.1, 0.5)  # of the tip over the notch's rim
        self.sweep = rng.uniform(0.8, 1.9)  # exponent of the trailing edge
        self.bulge = rng.normal(0.03, 0.05)
        self.thickness = float(rng.uniform(0.34, 0.66))
        self.fullness, self.roundness = rng.uniform(1.1, 2.3), rng.uniform(1.05, 2.1)
        self.blunt = 0.02 + 0.14 * rng.random() ** 2
        self.hook = rng.uniform(-0.03, 0.12)  # how far the tip bends up
        self.notch_depth, self.notch_width = rng.uniform(0.04, 0.22), rng.uniform(0.02, 0.12)
        self.stalk = rng.uniform(0.1, 0.2)
        self.rough = rng.lognormal(-0.1, 0.6)

    def edges(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One lobe: y of the trailing edge, of the leading edge, and of that with its stalk, at each s."""
        s = ALONG
        own = rng.normal(1, 0.06, 5)
        top = -self.rise * own[0] * s ** (self.sweep * own[1]) - self.bulge * np.sin(np.pi * s)
        top = top + self.blunt * own[2] * (1 - np.sqrt(1 - np.clip((s - 0.8) / 0.2, 0, 1) ** 2))
        top = top - self.hook * own[4] * s**5
        top = top + self.notch_depth * np.exp(-((s / self.notch_width) ** 1.3))
        calm = np.clip(s / 0.1, 0, 1) * np.clip((1 - s) / 0.05, 0, 1)
        top = top + calm * self._teeth(rng)
        ellipse = np.clip(1 - s ** (self.fullness * own[3]), 0, 1) ** (1 / self.roundness)
        tip = top[-1]
        leading = tip + (self.thickness - tip) * ellipse
        leading = np.maximum(leading, top + _THINNEST)
        top = top + _torn(rng) * (leading - top)
        return (
            top.astype(np.float32),
            leading.astype(np.float32),
            (leading + STALK * np.exp(-((s / self.stalk) ** 2))).astype(np.float32),
        )

    def _teeth(self, rng: np.random.Generator) -> np.ndarray:
        """Serration of a trailing edge: waves, teeth of any distance and height, and bites."""
        rows = [grid_noise(rng, (1, k), (1, LENGTH))[0] for k in (5, 11, 22, 44)]
        heights = self.rough * rng.uniform(0.3, 1.4, 4) * (0.012, 0.011, 0.011, 0.008)
        teeth = heights[0] * rows[0] + heights[1] * rows[1]
        if rng.random() < 0.5:
            teeth = teeth + heights[2] * np.abs(rows[2]) + heights[3] * np.abs(rows[3])
        else:
            places = np.sort(rng.uniform(0, 1, rng.integers(8, 50)))
            points = rng.exponential(1, len(places)) * (np.arange(len(places)) % 2)
            teeth = teeth + 1.2 * heights[2] * np.interp(ALONG, places, points)
        # Rough in places.
        teeth = teeth * np.clip(1 + 0.5 * grid_noise(rng, (1, 4), (1, LENGTH))[0], 0.2, 2)
        for _ in range(rng.poisson(0.9)):
            centre, width = rng.uniform(0.1, 0.95), rng.uniform(0.008, 0.035)
            teeth = teeth + rng.uniform(0.02, 0.1) * np.exp(-(((ALONG - centre) / width) ** 2))
        return teeth


def _torn(rng: np.random.Generator) -> np.ndarray | float:
    """The share of a lobe's depth that is torn off its trailing edge: of few, mostly at the tip."""
    if rng.random() > 0.06:
        return 0.0
    begin, depth = rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.7)
    ragged = depth * (1 + 0.2 * grid_noise(rng, (1, 24), (1, LENGTH))[0])
    return np.clip(ragged, 0, 0.8) * np.clip((ALONG - begin) / rng.uniform(0.02, 0.15), 0, 1)


def _half(trailing: np.ndarray, _: np.ndarray, whole: np.ndarray, sign: int) -> np.ndarray:
    """(2 * LENGTH, 2) outline of a lobe and its half of the stalk: out along the trailing edge, and back."""
    x = sign * ALONG
    return np.concatenate([np.stack([x, trailing], 1), np.stack([x, whole], 1)[::-1]])
