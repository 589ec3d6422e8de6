"""Water around a fluke: sea, sky and land behind it, what else swims there, foam, spray and drops."""

from __future__ import annotations

import numpy as np

from sample_data.simulator.canvas import grid_noise


def sea(rng: np.random.Generator, size: int) -> np.ndarray:
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
    if rng.random() < 0.08:
        picture = _another_back(rng, picture)
    return picture.astype(np.float32)


def _another_back(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """The back or fin of another animal, or a boat: a dark or pale hump in the water."""
    size = len(picture)
    along = np.linspace(0, 1, size, dtype=np.float32)
    centre, width = rng.uniform(-0.1, 1.1), rng.uniform(0.08, 0.5)
    height, waterline = rng.uniform(0.05, 0.3), rng.uniform(0.3, 1.1)
    rise = height * np.clip(1 - ((along - centre) / width) ** 2, 0, 1) ** rng.uniform(0.5, 2)
    hump = (along[:, None] > waterline - rise) & (along[:, None] < waterline) & (rise > 0)
    tone = rng.uniform(0.05, 0.3) if rng.random() < 0.8 else rng.uniform(0.6, 1.0)
    tone = tone * (1 + 0.15 * grid_noise(rng, (4, 6), picture.shape))
    return np.where(hump, tone, picture)


def splash(
    rng: np.random.Generator,
    picture: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    water: float,
) -> np.ndarray:
    """Foam along the water's edge, spray, drops: a new picture of floats.

    x (1, size), y (size, 1): of the crop; water: the waterline's y.
    """
    size, foam = len(picture), rng.uniform(0.75, 1.0)
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
    foam = foam * (
        1 - rng.uniform(0.05, 0.25) * np.abs(grid_noise(rng, (size // 5, size // 5), picture.shape))
    )
    return picture + rng.uniform(0.6, 1.0) * cover * (foam - picture)
