"""Draw one humpback fluke, seen flat on, from the parameters of an individual.

The canonical frame has the notch at the origin, x to the right and y downwards, in units of half
the fluke's width: the tips lie at x = -1 and x = 1, the trailing edge above, the stalk below. All
that is peculiar to a whale (outline, teeth of the trailing edge, pigmentation, scars, barnacles) is
drawn here, so that it moves with the view; light and sea are the photo's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FRAME_WIDTH, FRAME_HEIGHT = 640, 432  # pixels
UNIT = 300.0  # pixels of the frame per canonical unit
ORIGIN_X, ORIGIN_Y = 320.0, 162.0  # pixel of the canonical origin
_SHIFT = 4  # fractional bits of cv2's drawing coordinates

# Successive multiples of the golden ratio spread the whiteness of any number of individuals evenly.
_GOLDEN = 0.6180339887498949
_DARKEST, _WHITEST = 0.04, 0.9  # share of the fluke's area that is white


@dataclass(frozen=True)
class Lobe:
    """Outline of one half, mirrored to x in [0, 1]; lengths in canonical units."""

    rise: float  # of the tip over the notch's rim
    sweep: float  # exponent of the trailing edge
    bulge: float  # of the trailing edge, upwards
    thickness: float  # from the notch's rim down to the leading edge
    fullness: float  # exponents of the leading edge
    roundness: float
    blunt: float  # how far the tip's corner is rounded off
    notch_depth: float
    notch_width: float
    stalk_width: float
    waves: np.ndarray  # (k, 3) amplitude, cycles per unit, phase of the serration
    nicks: np.ndarray  # (m, 3) x, depth, width of bites out of the trailing edge

    def trailing(self, x: np.ndarray) -> np.ndarray:
        """y of the trailing (upper) edge at x in [0, 1]."""
        y = -self.rise * x**self.sweep - self.bulge * np.sin(np.pi * x)
        y = y + self.blunt * (1 - np.sqrt(1 - np.clip((x - 0.8) / 0.2, 0, 1) ** 2))
        y = y + self.notch_depth * np.exp(-((x / self.notch_width) ** 1.3))
        calm = np.clip(x / 0.12, 0, 1) * np.clip((1 - x) / 0.06, 0, 1)
        for amplitude, cycles, phase in self.waves:
            y = y + calm * amplitude * np.sin(2 * np.pi * (cycles * x + phase))
        for centre, depth, width in self.nicks:
            y = y + calm * depth * np.exp(-(((x - centre) / width) ** 2))
        return y

    def leading(self, x: np.ndarray, stalk: float = 0.4) -> np.ndarray:
        """y of the leading (lower) edge at x in [0, 1]; `stalk`: length of the stalk below it."""
        ellipse = np.clip(1 - x**self.fullness, 0, 1) ** (1 / self.roundness)
        tip = self.blunt - self.rise
        y = tip + (self.thickness - tip) * ellipse
        return y + stalk * np.exp(-((x / self.stalk_width) ** 2))


@dataclass(frozen=True)
class Fluke:
    """One individual's layer.

    `colour`: (FRAME_HEIGHT, FRAME_WIDTH, 3) float32 RGB in [0, 1]; `alpha`: (FRAME_HEIGHT,
    FRAME_WIDTH) float32, 1 inside the outline; `outline`: (n, 2) float64 canonical x, y;
    `thickness`: canonical y where the stalk begins.
    """

    colour: np.ndarray
    alpha: np.ndarray
    outline: np.ndarray
    thickness: float


def draw_fluke(seed: int, individual: int) -> Fluke:
    """Draw individual number `individual` of the sample `seed`: equal arguments, equal layers."""
    rng = np.random.default_rng([seed, 1, individual])
    lobes = _lobes(rng)
    outline = _outline(lobes)
    alpha = _fill(outline)
    distance, across, side = _coordinates(lobes)
    whiteness = _DARKEST + (_WHITEST - _DARKEST) * ((seed * 0.37 + individual * _GOLDEN) % 1.0)
    white = _pigmentation(rng, distance, across, side, alpha > 0.5, whiteness)
    colour = _paint(rng, white, across)
    for draw in (_speckles, _scars, _rakes, _barnacles):
        draw(rng, colour, outline)
    _rim(rng, colour, outline)
    return Fluke(colour, alpha, outline, lobes[0].thickness)


def to_pixels(points: np.ndarray) -> np.ndarray:
    """Canonical (n, 2) points to pixels of the frame."""
    return np.asarray(points) * UNIT + (ORIGIN_X, ORIGIN_Y)


def _lobes(rng: np.random.Generator) -> tuple[Lobe, Lobe]:
    """Left and right lobe: one shape with a little asymmetry, each with teeth of its own."""
    shape = {
        "rise": rng.uniform(0.12, 0.42),
        "sweep": rng.uniform(0.95, 2.2),
        "bulge": rng.uniform(-0.02, 0.09),
        "thickness": rng.uniform(0.25, 0.44),
        "fullness": rng.uniform(1.2, 2.3),
        "roundness": rng.uniform(1.15, 1.9),
        "blunt": rng.uniform(0.02, 0.14),
    }
    middle = {
        "notch_depth": rng.uniform(0.02, 0.15),
        "notch_width": rng.uniform(0.03, 0.13),
        "stalk_width": rng.uniform(0.11, 0.17),
    }
    roughness = rng.uniform(0.3, 1.2)
    lobes = []
    for _ in range(2):
        varied = {key: value * rng.uniform(0.95, 1.05) for key, value in shape.items()}
        # Stalk and notch belong to both lobes: the halves must meet.
        varied["thickness"] = shape["thickness"]
        cycles = np.array([rng.uniform(3, 7), rng.uniform(8, 15), rng.uniform(16, 32)])
        heights = roughness * np.array([0.012, 0.009, 0.007]) * rng.uniform(0.4, 1.4, 3)
        waves = np.stack([heights, cycles, rng.uniform(0, 1, 3)], axis=1)
        count = int(rng.integers(0, 4))
        sizes = [rng.uniform(0.15, 0.92, count), rng.uniform(0.02, 0.07, count)]
        nicks = np.stack([*sizes, rng.uniform(0.01, 0.03, count)], axis=1)
        lobes.append(Lobe(**varied, **middle, waves=waves, nicks=nicks))
    return lobes[0], lobes[1]


def _outline(lobes: tuple[Lobe, Lobe]) -> np.ndarray:
    """(n, 2) closed canonical outline, clockwise from the notch."""
    x = 1 - (1 - np.linspace(0, 1, 260)) ** 1.7  # denser towards the tip, where the edge turns
    left, right = lobes
    edges = [
        np.stack([x, right.trailing(x)], axis=1),
        np.stack([x, right.leading(x)], axis=1)[::-1],
        np.stack([-x, left.leading(x)], axis=1),
        np.stack([-x, left.trailing(x)], axis=1)[::-1],
    ]
    return np.concatenate(edges)


def _fill(outline: np.ndarray) -> np.ndarray:
    mask = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
    cv2.fillPoly(mask, [_fixed(to_pixels(outline))], 255, cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) / 255


def _fixed(pixels: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(pixels) * (1 << _SHIFT)).astype(np.int32)


def _coordinates(lobes: tuple[Lobe, Lobe]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three (FRAME_HEIGHT, FRAME_WIDTH) arrays: distance from the middle in [0, 1], position across
    the lobe (0 trailing, 1 leading edge, beyond it the stalk), and True on the right lobe."""
    x = (np.arange(FRAME_WIDTH) - ORIGIN_X) / UNIT
    y = ((np.arange(FRAME_HEIGHT) - ORIGIN_Y) / UNIT)[:, None]
    distance = np.clip(np.abs(x), 0, 1)
    left, right = lobes
    top = np.where(x < 0, left.trailing(distance), right.trailing(distance))
    bottom = np.where(x < 0, left.leading(distance, 0.0), right.leading(distance, 0.0))
    across = (y - top) / np.maximum(bottom - top, 0.02)
    shape = across.shape
    return np.broadcast_to(distance, shape), across, np.broadcast_to(x >= 0, shape)


def _pigmentation(
    rng: np.random.Generator,
    distance: np.ndarray,
    across: np.ndarray,
    side: np.ndarray,
    inside: np.ndarray,
    whiteness: float,
) -> np.ndarray:
    """(FRAME_HEIGHT, FRAME_WIDTH) share of white in [0, 1], `whiteness` of the fluke's area.

    A smooth random field over the lobes, partly common to both, with the tendencies that real
    flukes show (dark middle, dark or pale tips, dark trailing edge), cut at the wanted share.
    """
    common_knots = rng.standard_normal((3, 5))
    lobe_knots = rng.standard_normal((2, 3, 5))
    lobe_knots[1, :, 0] = lobe_knots[0, :, 0]  # the lobes meet in the middle without a seam
    mixture = rng.uniform(0.45, 0.95)  # how alike the lobes are
    score = np.empty(distance.shape, np.float32)
    for right in (False, True):
        knots = mixture * common_knots + np.sqrt(1 - mixture**2) * lobe_knots[int(right)]
        field = cv2.resize(knots.astype(np.float32), (160, 80), interpolation=cv2.INTER_CUBIC)
        sampled = cv2.remap(
            field,
            (distance * 159).astype(np.float32),
            (np.clip(across, 0, 1) * 79).astype(np.float32),
            cv2.INTER_LINEAR,
        )
        score[side == right] = sampled[side == right]
    score -= rng.uniform(0.2, 2.2) * np.exp(-((distance / rng.uniform(0.15, 0.4)) ** 2))
    score += rng.uniform(-1.0, 1.2) * (distance - 0.5)
    score -= rng.uniform(0.0, 1.6) * np.exp(-np.clip(across, 0, None) / 0.1)
    score -= rng.uniform(0.0, 3.0) * np.clip(across - 0.9, 0, 1)  # stalks are mostly dark
    score += rng.uniform(0.15, 0.5) * _cloud(rng, score.shape, 5)
    score += rng.uniform(0.05, 0.3) * _cloud(rng, score.shape, 1.6)
    level = np.quantile(score[inside], 1 - whiteness)
    softness = rng.uniform(0.05, 0.22)
    return 1 / (1 + np.exp(-np.clip((score - level) / softness, -30, 30)))


def _cloud(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Smooth noise of unit variance; `sigma`: pixels of the frame."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigma)
    return noise / noise.std()


def _paint(rng: np.random.Generator, white: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(FRAME_HEIGHT, FRAME_WIDTH, 3) float32 RGB: skin, pigment, and a faint relief."""
    dark = rng.uniform(0.07, 0.17) * (1 + rng.uniform(-0.08, 0.08, 3))
    pale = rng.uniform(0.62, 0.92) * (1 + rng.uniform(-0.03, 0.03, 3))
    colour = dark + white[..., None] * (pale - dark)
    relief = 1 + 0.06 * _cloud(rng, white.shape, 9) - 0.12 * np.clip(across - 0.5, 0, 1)
    return np.clip(colour * relief[..., None], 0, 1).astype(np.float32)


def _inside_points(
    rng: np.random.Generator, outline: np.ndarray, count: int, lowest: float = 0.35
) -> np.ndarray:
    """(count, 2) canonical points inside the outline, above canonical y = `lowest`."""
    contour = outline.astype(np.float32)
    points: list[np.ndarray] = []
    while len(points) < count:
        point = rng.uniform((-1, -0.45), (1, lowest))
        if cv2.pointPolygonTest(contour, (float(point[0]), float(point[1])), False) > 0:
            points.append(point)
    return np.array(points).reshape(count, 2)


def _line(colour: np.ndarray, points: np.ndarray, tone: float, width: int) -> None:
    path = [_fixed(to_pixels(points))]
    cv2.polylines(colour, path, False, (tone, tone, tone), width, cv2.LINE_AA, _SHIFT)


def _ring(colour: np.ndarray, point: np.ndarray, radius: float, tone: float, width: int) -> None:
    x, y = (int(value) for value in _fixed(to_pixels(point)))
    size = max(1, round(radius * (1 << _SHIFT)))
    cv2.circle(colour, (x, y), size, (tone, tone, tone), width, cv2.LINE_AA, _SHIFT)


def _speckles(rng: np.random.Generator, colour: np.ndarray, outline: np.ndarray) -> None:
    """Small pale dots on dark skin and dark ones on pale skin."""
    for tone in (rng.uniform(0.55, 0.8), rng.uniform(0.1, 0.2)):
        for point in _inside_points(rng, outline, int(rng.integers(0, 45))):
            _ring(colour, point, rng.uniform(0.8, 3.0), tone, -1)


def _scars(rng: np.random.Generator, colour: np.ndarray, outline: np.ndarray) -> None:
    """A few long bent lines, light on most whales, dark on some."""
    for start in _inside_points(rng, outline, int(rng.integers(0, 6))):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.18, 14))
        step = rng.uniform(0.012, 0.04)
        track = start + step * np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), axis=0)
        tone = rng.uniform(0.7, 0.95) if rng.random() < 0.65 else rng.uniform(0.04, 0.12)
        _line(colour, track, tone, int(rng.integers(1, 5)))


def _rakes(rng: np.random.Generator, colour: np.ndarray, outline: np.ndarray) -> None:
    """Parallel tooth marks of killer whales."""
    for start in _inside_points(rng, outline, int(rng.integers(0, 3))):
        heading = rng.uniform(0, np.pi)
        along = np.array([np.cos(heading), np.sin(heading)])
        aside = np.array([-along[1], along[0]]) * rng.uniform(0.018, 0.03)
        length, tone = rng.uniform(0.1, 0.3), rng.uniform(0.55, 0.9)
        bend = np.linspace(-1, 1, 9)[:, None]
        for mark in range(int(rng.integers(3, 6))):
            track = start + mark * aside + bend * along * length / 2 + 0.4 * (1 - bend**2) * aside
            _line(colour, track, tone, 2)


def _barnacles(rng: np.random.Generator, colour: np.ndarray, outline: np.ndarray) -> None:
    """Clusters of pale rings, mostly at the tips and along the edges."""
    for _ in range(int(rng.integers(0, 4))):
        centre = outline[int(rng.integers(len(outline)))] * 0.95
        for _ in range(int(rng.integers(3, 14))):
            point = centre + rng.normal(0, 0.035, 2)
            _ring(colour, point, rng.uniform(2.0, 4.5), rng.uniform(0.6, 0.85), 2)


def _rim(rng: np.random.Generator, colour: np.ndarray, outline: np.ndarray) -> None:
    """A thin dark edge."""
    closed = np.concatenate([outline, outline[:1]])
    _line(colour, closed, rng.uniform(0.05, 0.15), int(rng.integers(2, 6)))
