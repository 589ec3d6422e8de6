"""Marks on a fluke: scars, rakes, scratches, spots, rings, barnacles, algae; and what years change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sample_data.simulator.canvas import HEIGHT, WIDTH, discs, fill, grid_noise, lines

if TYPE_CHECKING:
    from sample_data.simulator.individual import Individual


def mark(
    rng: np.random.Generator, canvas: np.ndarray, outline: np.ndarray, share: float = 1.0
) -> None:
    """Scars, rakes, scratches, spots, rings and barnacles, drawn in place on uint8 grey.

    share: of the marks that a whole life leaves.
    """
    busy = share * rng.lognormal(0, 0.7)  # how much happened to it
    scars, rakes = min(rng.poisson(2 * busy), 12), min(rng.poisson(0.7 * busy), 4)
    for place, tone in zip(_places(rng, scars), _tones(rng, scars, 0.6), strict=True):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, 12))
        steps = rng.uniform(0.01, 0.045) * np.stack([np.cos(heading), np.sin(heading)], 1)
        lines(canvas, [place + np.cumsum(steps, axis=0)], tone, int(rng.integers(1, 4)))
    for place, tone in zip(_places(rng, rakes), _tones(rng, rakes, 0.7), strict=True):
        along = _direction(rng.uniform(0, np.pi)) * rng.uniform(0.05, 0.16)
        aside = np.array([-along[1], along[0]]) * rng.uniform(0.12, 0.35)
        tracks = place + np.arange(rng.integers(3, 7))[:, None, None] * aside
        lines(canvas, list(tracks + np.stack([-along, along])), tone, 1)
    scratches = min(rng.poisson(7 * busy), 40)  # mostly one way
    angles = rng.uniform(0, np.pi) + rng.uniform(0.1, 0.8) * rng.standard_normal(scratches)
    along = (_direction(angles) * rng.uniform(0.01, 0.1, scratches)).T
    tracks = _places(rng, scratches)[:, None] + np.stack([-along, along], axis=1)
    for track, tone in zip(tracks, _tones(rng, scratches, 0.5), strict=True):
        lines(canvas, [track], tone, 1)
    spots = min(rng.poisson(12 * busy), 70)
    sizes = np.where(
        rng.random(spots) < 0.93, rng.uniform(0.5, 2.2, spots), rng.uniform(2.5, 7, spots)
    )
    discs(canvas, _places(rng, spots), sizes, _tones(rng, spots, 0.65), -1)
    rings = min(rng.poisson(1.2 * busy), 8)  # scars of barnacles
    discs(canvas, _places(rng, rings), rng.uniform(2, 5, rings), _tones(rng, rings, 0.8), 1)
    for centre in outline[rng.integers(len(outline), size=rng.poisson(share))] * 0.96:
        if abs(centre[0]) > 0.3:  # barnacles, at tips and edges
            count = int(rng.integers(3, 16))
            places = centre + rng.normal(0, 0.03, (count, 2))
            tones = [int(rng.integers(110, 220))] * count
            discs(canvas, places, rng.uniform(0.8, 2.5, count), tones, -1)


def years_later(rng: np.random.Generator, whale: Individual) -> Individual:
    """The same individual some years before or after: other marks, pigment that changed, a new nick."""
    skin, alpha = whale.skin.copy(), whale.alpha
    years = rng.uniform(0.3, 1)
    if rng.random() < 0.6:  # patches that darken or fade
        place = np.clip(grid_noise(rng, (4, 6), skin.shape) - rng.uniform(0, 1), 0, 1)
        _blend(skin, place * rng.uniform(0.3, 0.9) * years, int(rng.integers(20, 200)))
    mark(rng, skin, whale.outline, 0.6 * years)
    if rng.random() < 0.2:  # a film of algae
        film = np.clip(0.6 + 0.5 * grid_noise(rng, (7, 10), skin.shape), 0, 1)
        film = film * np.clip(1 + 0.4 * grid_noise(rng, (60, 70), skin.shape), 0, 1)
        _blend(skin, film * rng.uniform(0.1, 0.6), int(rng.integers(60, 150)))
    if rng.random() < 0.2 * years:
        alpha = alpha.copy()
        edge = whale.outline[_on_trailing_edge(rng, whale.outline)]
        width, depth = rng.uniform(0.01, 0.04), rng.uniform(0.03, 0.12)
        fill(alpha, edge + np.array([[-width, -0.06], [width, -0.06], [0, depth]]), 0)
    return replace(whale, skin=skin, alpha=alpha)


def _on_trailing_edge(rng: np.random.Generator, outline: np.ndarray) -> int:
    """The number of a point between notch and tip, where a nick leaves one piece."""
    upper = np.flatnonzero((np.abs(outline[:, 0]) > 0.15) & (np.abs(outline[:, 0]) < 0.8))
    columns = np.round(np.abs(outline[upper, 0]) * 1000) * np.sign(outline[upper, 0])
    place = rng.choice(columns)
    same = upper[np.abs(columns - place) < 8]
    return int(same[np.argmin(outline[same, 1])])


def _blend(skin: np.ndarray, share: np.ndarray, tone: int) -> None:
    """Mix a share (HEIGHT, WIDTH) of a tone into uint8 grey, in place."""
    mixed = skin + share * (np.float32(tone) - skin)
    skin[:] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8).reshape(HEIGHT, WIDTH)


def _places(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 2) canonical points of the fluke's surroundings."""
    return rng.uniform((-1, -0.4), (1, 0.5), (count, 2))


def _tones(rng: np.random.Generator, count: int, light: float) -> list[int]:
    """Greys, a share of `light` of them light, the others dark."""
    is_light = rng.random(count) < light
    return np.where(is_light, rng.integers(130, 245, count), rng.integers(5, 60, count)).tolist()


def _direction(angle: float | np.ndarray) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])
