"""Photograph an individual: pose, water, light, lens and print, straight to the crop that a net takes.

The crop is sampled from a fluke about as large as competition photos show it, by the same interpolation
that cuts crops out of real photos, so that both lose the same detail.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sample_data.simulator.camera import developed, lit
from sample_data.simulator.canvas import ORIGIN_X, ORIGIN_Y, UNIT, grid_noise
from sample_data.simulator.individual import STALK, Individual
from sample_data.simulator.water import sea, splash
from whales.files.settings import ANISOTROPY
from whales.photos.crops import CROP_MARGIN

_TABLE = 256  # steps of the table that inverts a lobe's foreshortening


_Window = tuple[float, float, float, float]  # what a crop shows: x1, y1, x2, y2


@dataclass(frozen=True)
class _Lobe:
    """How one lobe stands, by the two formulas of `forward`; near: how much nearer its tip is."""

    cos: float
    curl: float
    near: float
    lift: float
    bend: float

    def forward(self, x: np.ndarray, y: np.ndarray, tall: float) -> tuple[np.ndarray, np.ndarray]:
        depth = 1 + self.near * x
        return (
            self.cos * (x - self.curl * x**2 / 2) / depth,
            (tall * y - self.lift * x - self.bend * x**2) / depth,
        )

    def backward(
        self, across: np.ndarray, down: np.ndarray, tall: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of `forward`; beyond the tip x stays just outside."""
        x = np.linspace(0, 1.15, _TABLE, dtype=np.float32)
        there = self.forward(x, x, tall)[0]
        rising = np.maximum.accumulate(there)
        # A table of equal steps, so that a look-up is an index.
        table = np.interp(np.linspace(0, rising[-1], _TABLE), rising, x).astype(np.float32)
        index = np.clip(across * ((_TABLE - 1) / rising[-1]), 0, _TABLE - 1).astype(np.int32)
        x = table[index]
        x = np.where(across > rising[-1], np.float32(1.2), x)
        return x, (down * (1 + self.near * x) + self.lift * x + self.bend * x**2) / tall


@dataclass(frozen=True)
class _Pose:
    left: _Lobe
    right: _Lobe
    tall: float
    roll: float


def photograph(
    rng: np.random.Generator,
    whale: Individual,
    size: int,
    whole: bool = False,
    hardness: float = 1.0,
) -> np.ndarray:
    """A crop of a new photo of `whale`: (size, size) uint8 grey.

    whole: the whole frame instead of the box that a detector finds. Equal states of `rng` give equal pixels.
    """
    pose = _pose(rng, hardness)
    outline = _placed(pose, whale.outline)
    if rng.random() < 0.4:  # the water covers a part of the lobes
        low_water = whale.thickness * rng.uniform(0.3, 1.0)
    else:
        low_water = whale.thickness + rng.uniform(0, STALK - 0.1)
    water = float(_placed(pose, np.array([[0, low_water]], np.float32))[0, 1])
    # Now and then one tip is under water.
    tilt = rng.normal(0, 0.05 if rng.random() < 0.92 else 0.05 + 0.25 * hardness)
    seen = outline[outline[:, 1] <= water + tilt * outline[:, 0]]
    if len(seen) < 50:
        seen = outline
    window = _window(rng, seen.min(axis=0), seen.max(axis=0), whole)
    easy = rng.random() > hardness
    x, y = _grid(window, size)
    skin, alpha = _project(rng, whale, pose, x, y)
    picture = sea(rng, size)
    ripple = 0.01 * grid_noise(rng, (1, rng.integers(4, 14)), (1, size))
    above = np.clip((water + tilt * x + ripple - y) * (size / (window[3] - window[1])) + 0.5, 0, 1)
    skin = lit(rng, skin, x, y, water, window[1])
    alpha = alpha * above
    picture = picture + alpha * (skin - picture)
    if easy:
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return developed(rng, splash(rng, picture, x, y, water))


def photograph_nothing(rng: np.random.Generator, size: int) -> np.ndarray:
    """Water and no fluke, as where a detector was wrong: (size, size) uint8 grey."""
    x, y = _grid((-1.1, -0.6, 1.1, 0.6), size)
    picture = sea(rng, size)
    if rng.random() < 0.6:
        picture = splash(rng, picture, x, y, float(rng.uniform(-0.4, 0.6)))
    return developed(rng, picture)


def _grid(window: _Window, size: int) -> tuple[np.ndarray, np.ndarray]:
    """x (1, size) and y (size, 1) of the centres of a crop's pixels."""
    x = np.linspace(window[0], window[2], 2 * size + 1, dtype=np.float32)[1::2]
    y = np.linspace(window[1], window[3], 2 * size + 1, dtype=np.float32)[1::2]
    return x[None], y[:, None]


def _pose(rng: np.random.Generator, hardness: float) -> _Pose:
    h = hardness
    yaw = np.deg2rad(rng.normal(0, 14 * h))
    lift, bend = rng.normal(0.12, 0.17 * h), rng.normal(0.02, 0.12 * h)
    wild = h * (1.0 if rng.random() < 0.8 else 2.2)
    lobes = []
    for sign in (-1, 1):
        turn = float(np.clip(sign * yaw + np.deg2rad(rng.normal(0, 14 * wild)), -1.15, 1.15))
        lobes.append(
            _Lobe(
                cos=float(np.cos(turn)),
                curl=float(np.clip(rng.normal(0.12, 0.15 * h), -0.2, 0.6)),
                near=float(0.22 * np.sin(turn)),
                lift=float(lift + rng.normal(0, 0.07 * wild)),
                bend=float(bend + rng.normal(0, 0.06 * wild)),
            )
        )
    tall = float(np.clip(rng.normal(0.95, 0.17 * h), 0.5, 1.4))
    if rng.random() < 0.06 * h:  # seen from low or late: hardly more than an edge
        tall = float(rng.uniform(0.3, 0.6))
    return _Pose(*lobes, tall=tall, roll=float(np.deg2rad(rng.normal(0, 6 * h))))


def _placed(pose: _Pose, points: np.ndarray) -> np.ndarray:
    """Canonical (n, 2) points in the plane of the photo."""
    x, y = points[:, 0], points[:, 1]
    left = pose.left.forward(np.abs(x), y, pose.tall)
    right = pose.right.forward(np.abs(x), y, pose.tall)
    across = np.where(x < 0, -left[0], right[0])
    down = np.where(x < 0, left[1], right[1])
    c, s = np.cos(pose.roll), np.sin(pose.roll)
    return np.stack([c * across - s * down, s * across + c * down], axis=1)


def _window(rng: np.random.Generator, low: np.ndarray, high: np.ndarray, whole: bool) -> _Window:
    """What the crop shows: the box with its margin, or the frame of the photo."""
    sides = high - low
    frame_low = low - sides * rng.uniform(0.0, 0.6 if whole else 0.35, 2) * (1, 1.2)
    frame_high = high + sides * rng.uniform(0.0, 0.6 if whole else 0.35, 2) * (1, 0.8)
    if rng.random() < 0.1:  # the frame cuts a part off
        cut = rng.uniform(0, 0.22) * sides[0]
        if rng.random() < 0.5:
            frame_low[0] = low[0] + cut
        else:
            frame_high[0] = high[0] - cut
    if whole:
        return (*map(float, frame_low), *map(float, frame_high))
    spread = 0.025 if rng.random() < 0.93 else 0.09
    error = rng.normal(0, spread, (2, 2)) * sides + CROP_MARGIN * np.array([-sides, sides])
    low, high = np.maximum(low + error[0], frame_low), np.minimum(high + error[1], frame_high)
    sides = high - low
    wanted = np.maximum(sides, (sides[1] * ANISOTROPY, sides[0] / ANISOTROPY))
    middle = (low + high) / 2
    low = np.maximum(middle - wanted / 2, frame_low)
    high = np.minimum(middle + wanted / 2, frame_high)
    return (*map(float, low), *map(float, high))


def _project(
    rng: np.random.Generator, whale: Individual, pose: _Pose, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Skin and alpha, (size, size) float32 in [0, 1], at the crop's x (1, size) and y (size, 1)."""
    c, s = np.float32(np.cos(pose.roll)), np.float32(np.sin(pose.roll))
    across, down = c * x + s * y, c * y - s * x
    away = np.abs(across)
    left = pose.left.backward(away, down, pose.tall)
    right = pose.right.backward(away, down, pose.tall)
    on_left = across < 0
    plane_x = np.where(on_left, -left[0], right[0])
    plane_y = np.where(on_left, left[1], right[1])
    map_x = (plane_x * np.float32(UNIT) + np.float32(ORIGIN_X - 0.5)).astype(np.float32)
    map_y = (plane_y * np.float32(UNIT) + np.float32(ORIGIN_Y - 0.5)).astype(np.float32)
    layers = cv2.merge([whale.skin, whale.alpha])
    if rng.random() < 0.45:
        sigma = rng.uniform(0.5, 1.5) if rng.random() < 0.8 else rng.uniform(1.5, 4)
        layers = cv2.GaussianBlur(layers, (0, 0), sigma, sigmaY=sigma * rng.uniform(0.6, 1.6))
    found = cv2.remap(layers, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    found = found.astype(np.float32) / 255
    return found[..., 0], found[..., 1]
