"""Photograph an individual: pose, water, light, lens and print, straight to the crop that a net takes.

The crop is sampled from a fluke about as large as competition photos show it, by the same interpolation
that cuts crops out of real photos, so that both lose the same detail.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sample_data.simulator.individual import (
    ORIGIN_X,
    ORIGIN_Y,
    STALK,
    UNIT,
    Individual,
    grid_noise,
)
from whales.files.settings import ANISOTROPY
from whales.photos.crops import CROP_MARGIN

_TABLE = 256  # steps of the table that inverts a lobe's foreshortening
_CAPTIONS = "0123456789HWABP#-"


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
    if rng.random() < 0.55:  # the water covers a part of the lobes
        low_water = whale.thickness * rng.uniform(0.2, 1.0)
    else:
        low_water = whale.thickness + rng.uniform(0, STALK - 0.1)
    water = float(_placed(pose, np.array([[0, low_water]], np.float32))[0, 1])
    tilt = rng.normal(0, 0.05)
    seen = outline[outline[:, 1] <= water + tilt * outline[:, 0]]
    if len(seen) < 50:
        seen = outline
    window = _window(rng, seen.min(axis=0), seen.max(axis=0), whole)
    easy = rng.random() > hardness
    x = np.linspace(window[0], window[2], 2 * size + 1, dtype=np.float32)[1::2][None]
    y = np.linspace(window[1], window[3], 2 * size + 1, dtype=np.float32)[1::2][:, None]
    skin, alpha = _project(rng, whale, pose, x, y)
    picture = _sea(rng, size)
    ripple = 0.01 * grid_noise(rng, (1, rng.integers(4, 14)), (1, size))
    above = np.clip((water + tilt * x + ripple - y) * (size / (window[3] - window[1])) + 0.5, 0, 1)
    skin = _lit(rng, skin, x, y, water, window)
    alpha = alpha * above
    picture = picture + alpha * (skin - picture)
    if easy:
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    picture = _splash(rng, picture, x, y, water, seen, size)
    return _developed(rng, picture, size)


def _pose(rng: np.random.Generator, hardness: float) -> _Pose:
    h = hardness
    yaw = np.deg2rad(rng.normal(0, 16 * h))
    lift, bend = rng.normal(0.12, 0.17 * h), rng.normal(0.02, 0.12 * h)
    wild = h * (1.0 if rng.random() < 0.85 else 1.8)
    lobes = []
    for sign in (-1, 1):
        turn = float(np.clip(sign * yaw + np.deg2rad(rng.normal(0, 17 * wild)), -1.15, 1.15))
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


def _window(
    rng: np.random.Generator, low: np.ndarray, high: np.ndarray, whole: bool
) -> tuple[float, float, float, float]:
    """What the crop shows, x1, y1, x2, y2: the box with its margin, or the frame of the photo."""
    sides = high - low
    frame_low = low - sides * rng.uniform(0.0, 0.6 if whole else 0.35, 2) * (1, 1.2)
    frame_high = high + sides * rng.uniform(0.0, 0.6 if whole else 0.35, 2) * (1, 0.8)
    if rng.random() < 0.08:  # the frame cuts a part off
        cut = rng.uniform(0, 0.15) * sides[0]
        if rng.random() < 0.5:
            frame_low[0] = low[0] + cut
        else:
            frame_high[0] = high[0] - cut
    if whole:
        return (*map(float, frame_low), *map(float, frame_high))
    error = rng.normal(0, 0.025, (2, 2)) * sides + CROP_MARGIN * np.array([-sides, sides])
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


def _sea(rng: np.random.Generator, size: int) -> np.ndarray:
    """Water, and sometimes sky or land above it: (size, size) float32."""
    level = rng.uniform(0.28, 0.65) if rng.random() < 0.6 else rng.uniform(0.55, 1.0)
    shape = (size, size)
    rows = rng.integers(12, size)
    waves = grid_noise(rng, (rows, max(2, rows // rng.integers(2, 5))), shape)
    waves += 0.6 * grid_noise(rng, (min(2 * rows, size), rows), shape)
    picture = level + rng.uniform(0.01, 0.13) * waves
    if rng.random() < 0.3:
        crests = np.clip(waves - rng.uniform(0.8, 1.8), 0, 1)
        picture += rng.uniform(0.2, 0.8) * crests
    slope = rng.normal(0, 0.12)
    picture += slope * np.linspace(-1, 1, size, dtype=np.float32)[:, None]
    if rng.random() < 0.3:
        horizon = rng.uniform(0.02, 0.6) * size
        sky = rng.uniform(0.5, 1.0) + 0.03 * grid_noise(rng, (2, 3), shape)
        above = np.clip(horizon - np.arange(size, dtype=np.float32)[:, None], 0, 1)
        picture = picture + above * (sky - picture)
        if rng.random() < 0.4:
            ridge = horizon * (1 - np.abs(0.25 * grid_noise(rng, (1, 5), (1, size))))
            land = np.clip(np.arange(size, dtype=np.float32)[:, None] - ridge, 0, 1) * above
            picture = picture + land * (rng.uniform(0.2, 0.7) - picture)
    return picture.astype(np.float32)


def _lit(
    rng: np.random.Generator,
    skin: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    water: float,
    window: tuple[float, float, float, float],
) -> np.ndarray:
    """Skin under the photo's light: uneven, shaded lobe by lobe, wet, glaring."""
    size = len(skin)
    # White skin in shade is no brighter than grey.
    skin = skin ** np.float32(rng.uniform(0.8, 1.4)) * np.float32(rng.uniform(0.55, 1.2))
    shade = 1 + rng.uniform(0.03, 0.25) * grid_noise(rng, (3, 4), (size, size))
    sides = rng.normal(1, 0.13, 2)
    shade = shade * np.where(x < 0, sides[0], sides[1])
    skin = skin * shade + np.float32(rng.uniform(0, 0.07) if rng.random() < 0.6 else 0)
    if rng.random() < 0.35:  # glare on wet skin
        glare = np.clip(grid_noise(rng, (4, 6), (size, size)) - rng.uniform(0.3, 1.3), 0, 1)
        skin = skin + rng.uniform(0.1, 0.5) * glare
    if rng.random() < 0.45:  # water runs off, mostly in the middle
        streaks = np.clip(grid_noise(rng, (3, 40), (size, size)) - rng.uniform(0, 1.2), 0, 1)
        middle = np.exp(-((x / rng.uniform(0.08, 0.5)) ** 2))
        below = np.clip((y - window[1]) / max(water - window[1], 0.05), 0, 1)
        skin = skin + rng.uniform(0.2, 0.9) * streaks * middle * below
    return skin.astype(np.float32)


def _splash(
    rng: np.random.Generator,
    picture: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    water: float,
    seen: np.ndarray,
    size: int,
) -> np.ndarray:
    """Foam along the water's edge, spray, drops."""
    foam = rng.uniform(0.75, 1.0)
    tall = rng.uniform(0.01, 0.07) if rng.random() < 0.7 else rng.uniform(0.07, 0.3)
    centre = rng.normal(0, 0.15)
    near = np.exp(-(((y - water) / np.where(y < water, tall, 2 * tall)) ** 2))
    near = near * np.exp(-(((x - centre) / rng.uniform(0.15, 1.0)) ** 2))
    noise = 0.7 * grid_noise(rng, (size // 3, size // 3), picture.shape)
    noise += 0.7 * grid_noise(rng, (size // 8, size // 8), picture.shape)
    cover = np.clip((noise + rng.uniform(2, 4.5) * near - 1.9), 0, 0.95)
    if rng.random() < 0.3:
        drops = rng.random(picture.shape, np.float32) > 1 - rng.uniform(0.002, 0.03)
        spread = np.exp(-((np.maximum(water - y, 0) / rng.uniform(0.05, 0.5)) ** 2))
        cover = np.maximum(cover, 0.7 * drops * spread)
    return picture + cover * (foam - picture)


def _developed(rng: np.random.Generator, picture: np.ndarray, size: int) -> np.ndarray:
    """Exposure, haze, scan, blur, noise, JPEG: float to (size, size) uint8."""
    picture = np.clip(picture, 0, 1) ** np.float32(rng.uniform(0.65, 1.5))
    if rng.random() < 0.12:  # a print of few greys
        middle, steep = rng.uniform(0.2, 0.6), rng.uniform(1.3, 3.5)
        picture = 0.5 + steep * (picture - middle)
    picture = 0.5 + rng.uniform(0.6, 1.25) * (picture - 0.5) + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.25:
        haze = rng.uniform(0.1, 0.5)
        picture = (1 - haze) * picture + haze * rng.uniform(0.55, 0.95)
    picture = picture.astype(np.float32)
    if rng.random() < 0.08:  # a small photo made large
        small = int(rng.integers(size // 4, size * 3 // 4))
        picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        how = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
        picture = cv2.resize(picture, (size, size), interpolation=how)
    elif rng.random() < 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.1))
    elif rng.random() < 0.15:
        picture = picture + rng.uniform(0.3, 1) * (picture - cv2.GaussianBlur(picture, (0, 0), 1.0))
    picture = picture + rng.uniform(0.0, 0.05) * rng.standard_normal(picture.shape, np.float32)
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.05:
        text = "".join(rng.choice(list(_CAPTIONS), rng.integers(2, 8)))
        place = int(rng.integers(0, size // 2)), int(rng.integers(8, size))
        cv2.putText(
            pixels, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.3, int(rng.choice([0, 255])), 1
        )
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 70))]
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_GRAYSCALE)
    return pixels
