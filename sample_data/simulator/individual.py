"""Draw one individual: outline, pigment, scars and barnacles, in grey, seen flat on.

The canonical frame has the notch at its origin, x to the right and y downwards, in units of half the
fluke's width: tips at x = -1 and 1, the trailing edge above. Both lobes are painted in coordinates of their
own, s from the notch (0) to the tip (1) and t from the trailing (0) to the leading edge (1), and then laid
into the frame; `UNIT` is near the size at which competition photos show a fluke.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

UNIT = 120.0  # pixels of the frame per canonical unit
WIDTH, HEIGHT = 264, 224  # of the frame, pixels
ORIGIN_X, ORIGIN_Y = 132.0, 84.0  # pixel of the canonical origin
STALK = 0.5  # canonical length of the stalk below the lobes
_S, _T = 160, 72  # steps along and across a painted lobe
_SHIFT = 4  # fractional bits of cv2's drawing coordinates

_ALONG = np.linspace(0, 1, _S, dtype=np.float32)
_ACROSS = np.linspace(0, 1, _T, dtype=np.float32)[:, None]
_COLUMNS = ((np.arange(WIDTH) + 0.5 - ORIGIN_X) / UNIT).astype(np.float32)
_ROWS = ((np.arange(HEIGHT) + 0.5 - ORIGIN_Y) / UNIT).astype(np.float32)[:, None]

# A drawing shows these rows, at three scales (width, height).
_DRAWN = slice(10, 150)
_LEVELS = ((8, 4), (16, 9), (44, 24))
LEVEL_SIZES = tuple(width * height for width, height in _LEVELS)
DRAWING = sum(LEVEL_SIZES)

# Shares of individuals by the part of the fluke that is white: most catalogues have many dark ones.
_WHITENESS = ((0.38, 0.0, 0.07), (0.27, 0.07, 0.4), (0.35, 0.4, 0.9))


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
    cv2.fillPoly(alpha, [_fixed(outline)], 255, cv2.LINE_AA, _SHIFT)
    dark, pale = rng.uniform(0.04, 0.16), rng.uniform(0.55, 0.95)
    lobes = _pigment(rng)
    skin = np.empty((HEIGHT, WIDTH), np.float32)
    for lobe, (trailing, leading, _), half in zip(
        lobes, edges, (_COLUMNS < 0, _COLUMNS >= 0), strict=True
    ):
        s = np.clip(np.abs(_COLUMNS[half]), 0, 1)
        top, bottom = np.interp(s, _ALONG, trailing), np.interp(s, _ALONG, leading)
        t = (_ROWS - top) / np.maximum(bottom - top, 0.03)
        map_s = np.broadcast_to((s * (_S - 1)).astype(np.float32), t.shape)
        map_t = (np.clip(t, 0, 1) * (_T - 1)).astype(np.float32)
        painted = cv2.remap(lobe, map_s, map_t, cv2.INTER_LINEAR)
        skin[:, half] = painted * np.clip(1 - (t - 1) / 0.15, 0, 1)  # stalks are dark
    skin = dark + skin * (pale - dark)
    skin *= 1 + 0.1 * grid_noise(rng, (5, 8), skin.shape)
    canvas = np.clip(skin * 255, 0, 255).astype(np.uint8)
    _mark(rng, canvas, outline)
    return Individual(canvas, alpha, outline, shape.thickness)


def grid_noise(
    rng: np.random.Generator, knots: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Smooth noise of about unit variance, float32 of `shape`, from so many knots."""
    field = rng.standard_normal(knots, np.float32)
    return cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Canonical (n, 2) points in cv2's drawing coordinates."""
    pixels = points * UNIT + (ORIGIN_X - 0.5, ORIGIN_Y - 0.5)
    return np.round(pixels * (1 << _SHIFT)).astype(np.int32)


class _Shape:
    """The outline that both lobes of an individual share."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rise = rng.uniform(0.1, 0.5)  # of the tip over the notch's rim
        self.sweep = rng.uniform(0.8, 1.9)  # exponent of the trailing edge
        self.bulge = rng.normal(0.03, 0.05)
        self.thickness = float(rng.uniform(0.34, 0.66))
        self.fullness, self.roundness = rng.uniform(1.1, 2.3), rng.uniform(1.05, 2.1)
        self.blunt = rng.uniform(0.02, 0.16)
        self.notch_depth, self.notch_width = rng.uniform(0.04, 0.22), rng.uniform(0.02, 0.12)
        self.stalk = rng.uniform(0.1, 0.2)
        self.rough = rng.lognormal(-0.1, 0.6)

    def edges(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One lobe: y of the trailing edge, of the leading edge, and of that with its stalk, at each s."""
        s = _ALONG
        own = rng.normal(1, 0.06, 5)
        top = -self.rise * own[0] * s ** (self.sweep * own[1]) - self.bulge * np.sin(np.pi * s)
        top = top + self.blunt * own[2] * (1 - np.sqrt(1 - np.clip((s - 0.8) / 0.2, 0, 1) ** 2))
        top = top + self.notch_depth * np.exp(-((s / self.notch_width) ** 1.3))
        calm = np.clip(s / 0.1, 0, 1) * np.clip((1 - s) / 0.05, 0, 1)
        top = top + calm * self._teeth(rng)
        ellipse = np.clip(1 - s ** (self.fullness * own[3]), 0, 1) ** (1 / self.roundness)
        tip = top[-1]
        leading = tip + (self.thickness - tip) * ellipse
        leading = np.maximum(leading, top + 0.012)
        return (
            top.astype(np.float32),
            leading.astype(np.float32),
            (leading + STALK * np.exp(-((s / self.stalk) ** 2))).astype(np.float32),
        )

    def _teeth(self, rng: np.random.Generator) -> np.ndarray:
        """Serration of a trailing edge: waves of four lengths, sharpened, and bites."""
        rows = [grid_noise(rng, (1, k), (1, _S))[0] for k in (5, 11, 22, 44)]
        heights = self.rough * rng.uniform(0.3, 1.4, 4) * (0.012, 0.011, 0.011, 0.008)
        teeth = heights[0] * rows[0] + heights[1] * rows[1]
        teeth = teeth + heights[2] * np.abs(rows[2]) + heights[3] * np.abs(rows[3])
        # Rough in places.
        teeth = teeth * np.clip(1 + 0.5 * grid_noise(rng, (1, 4), (1, _S))[0], 0.2, 2)
        for _ in range(rng.poisson(0.9)):
            centre, width = rng.uniform(0.1, 0.95), rng.uniform(0.008, 0.035)
            teeth = teeth + rng.uniform(0.02, 0.1) * np.exp(-(((_ALONG - centre) / width) ** 2))
        return teeth


def _half(trailing: np.ndarray, _: np.ndarray, whole: np.ndarray, sign: int) -> np.ndarray:
    """(2 * _S, 2) outline of one lobe and its half of the stalk: out along the trailing edge, and back."""
    x = sign * _ALONG
    return np.concatenate([np.stack([x, trailing], 1), np.stack([x, whole], 1)[::-1]])


def _pigment(rng: np.random.Generator) -> list[np.ndarray]:
    """The share of white of the left and the right lobe: two (_T, _S) float32 in [0, 1]."""
    shares = [share for share, *_ in _WHITENESS]
    _, low, high = _WHITENESS[rng.choice(len(_WHITENESS), p=shares)]
    whiteness = rng.uniform(low, high)
    shape = (_T, _S)
    alike = rng.uniform(0.4, 0.97)  # how alike the lobes are
    tendency = (
        -rng.uniform(0.3, 2.5) * np.exp(-((_ALONG / rng.uniform(0.1, 0.5)) ** 2))
        + rng.normal(0.2, 0.8) * (_ALONG - 0.5)
        + rng.normal(-0.3, 1.2) * np.exp(-_ACROSS / rng.uniform(0.05, 0.3))
        + rng.normal(-0.3, 0.9) * np.exp((_ACROSS - 1) / rng.uniform(0.05, 0.3))
    )
    strengths = (
        *(rng.uniform(0.2, 1.2), rng.uniform(0, 0.45), rng.uniform(0, 0.7)),
        *(rng.uniform(0.05, 0.8), rng.uniform(0, 0.8)),
    )
    knots = ((3, 5), (4, rng.integers(20, 60)), (9, 18), (24, 50), (48, 120))
    common = [grid_noise(rng, each, shape) for each in knots[:2]]
    slant = rng.normal(0, 12)
    softness = rng.choice([0.05, 0.15, 0.4], p=[0.45, 0.4, 0.15]) * rng.uniform(0.6, 1.6)
    rims = rng.uniform(0, 0.14, 2) * (rng.random(2) < 0.75)
    scores, fields = [], []
    for _ in range(2):
        field = tendency.copy()
        for number, (strength, each) in enumerate(zip(strengths, knots, strict=True)):
            own = grid_noise(rng, each, shape)
            if number < 2:
                own = alike * common[number] + np.sqrt(1 - alike**2) * own
            if number == 1:  # streaks run across the lobe, somewhat slanted
                own = cv2.warpAffine(
                    own,
                    np.array([[1, slant / _T, 0], [0, 1, 0]]),
                    (_S, _T),
                    borderMode=cv2.BORDER_REFLECT,
                )
            field = field + strength * own
        fields.append(field)
    level = np.quantile(np.concatenate(fields)[::3, ::3], 1 - whiteness)
    for field in fields:
        white = 1 / (1 + np.exp(-np.clip((field - level) / softness, -20, 20)))
        for rim, place in ((rims[0], _ACROSS), (rims[1], 1 - _ACROSS)):
            if rim:
                ragged = rim * (1 + 0.6 * grid_noise(rng, (1, 30), (1, _S)))
                white = white * np.clip((place - ragged) / 0.03 + 0.5, 0, 1)
        scores.append(np.clip(white, 0, 1).astype(np.float32))
    return scores


def _mark(rng: np.random.Generator, canvas: np.ndarray, outline: np.ndarray) -> None:
    """Scars, rakes, scratches, spots, rings and barnacles, drawn in place on uint8 grey."""
    busy = rng.lognormal(0, 0.7)  # how much happened to it
    scars, rakes = min(rng.poisson(2 * busy), 12), min(rng.poisson(0.7 * busy), 4)
    for place, tone in zip(_places(rng, scars), _tones(rng, scars, 0.6), strict=True):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, 12))
        steps = rng.uniform(0.01, 0.045) * np.stack([np.cos(heading), np.sin(heading)], 1)
        _lines(canvas, [place + np.cumsum(steps, axis=0)], tone, int(rng.integers(1, 4)))
    for place, tone in zip(_places(rng, rakes), _tones(rng, rakes, 0.7), strict=True):
        along = _direction(rng.uniform(0, np.pi)) * rng.uniform(0.05, 0.16)
        aside = np.array([-along[1], along[0]]) * rng.uniform(0.12, 0.35)
        marks = place + np.arange(rng.integers(3, 7))[:, None, None] * aside
        _lines(canvas, list(marks + np.stack([-along, along])), tone, 1)
    scratches = min(rng.poisson(7 * busy), 40)  # mostly one way
    angles = rng.uniform(0, np.pi) + rng.uniform(0.1, 0.8) * rng.standard_normal(scratches)
    along = (_direction(angles) * rng.uniform(0.01, 0.1, scratches)).T
    tracks = _places(rng, scratches)[:, None] + np.stack([-along, along], axis=1)
    for track, tone in zip(tracks, _tones(rng, scratches, 0.5), strict=True):
        _lines(canvas, [track], tone, 1)
    spots = min(rng.poisson(12 * busy), 70)
    sizes = np.where(
        rng.random(spots) < 0.93, rng.uniform(0.5, 2.2, spots), rng.uniform(2.5, 7, spots)
    )
    _discs(canvas, _places(rng, spots), sizes, _tones(rng, spots, 0.65), -1)
    rings = min(rng.poisson(1.2 * busy), 8)  # scars of barnacles
    _discs(canvas, _places(rng, rings), rng.uniform(2, 5, rings), _tones(rng, rings, 0.8), 1)
    for centre in outline[rng.integers(len(outline), size=rng.poisson(1.0))] * 0.96:
        if abs(centre[0]) > 0.3:  # barnacles, at tips and edges
            count = int(rng.integers(3, 16))
            places = centre + rng.normal(0, 0.03, (count, 2))
            tones = [int(rng.integers(110, 220))] * count
            _discs(canvas, places, rng.uniform(0.8, 2.5, count), tones, -1)


def _places(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 2) canonical points of the fluke's surroundings."""
    return rng.uniform((-1, -0.4), (1, 0.5), (count, 2))


def _tones(rng: np.random.Generator, count: int, light: float) -> list[int]:
    """Greys, a share of `light` of them light, the others dark."""
    is_light = rng.random(count) < light
    return np.where(is_light, rng.integers(130, 245, count), rng.integers(5, 60, count)).tolist()


def _direction(angle: float | np.ndarray) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def _lines(canvas: np.ndarray, tracks: list[np.ndarray], tone: int, width: int) -> None:
    cv2.polylines(canvas, list(map(_fixed, tracks)), False, tone, width, cv2.LINE_AA, _SHIFT)


def _discs(
    canvas: np.ndarray, places: np.ndarray, radii: np.ndarray, tones: list[int], width: int
) -> None:
    """Discs, or rings of a `width`; radii: in pixels of the frame."""
    sizes = np.maximum(np.round(radii * (1 << _SHIFT)).astype(int), 1).tolist()
    for (x, y), size, tone in zip(_fixed(places).tolist(), sizes, tones, strict=True):
        cv2.circle(canvas, (x, y), size, tone, width, cv2.LINE_AA, _SHIFT)
