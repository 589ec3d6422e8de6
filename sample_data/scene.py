"""Take a photo of a fluke: pose, sea, splash, light, lens, and the scanner of old catalogues.

A photo is drawn at `_FINE` times its size and averaged down, which smooths every edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sample_data.flukes import ORIGIN_X, ORIGIN_Y, UNIT, Fluke

WIDTH = 300  # pixels, about that of the real photos when made small
WIDE = (600, 110)  # width, height of the odd very wide photo
_LOWEST, _HIGHEST = 96, 216  # photo heights
_FINE = 2
_CAMERA = 4.0  # distance in canonical units: near enough for visible perspective

# Sea colours, RGB in [0, 1]: trough and crest.
_SEAS = np.array(
    [
        [[0.12, 0.27, 0.47], [0.45, 0.60, 0.75]],
        [[0.22, 0.31, 0.40], [0.56, 0.63, 0.70]],
        [[0.30, 0.34, 0.36], [0.66, 0.69, 0.70]],
        [[0.19, 0.34, 0.36], [0.52, 0.66, 0.66]],
        [[0.55, 0.60, 0.66], [0.88, 0.90, 0.93]],
        [[0.10, 0.16, 0.26], [0.38, 0.47, 0.58]],
        [[0.33, 0.33, 0.30], [0.62, 0.60, 0.55]],
    ]
)


@dataclass(frozen=True)
class Photo:
    """`pixels`: (h, w, 3) uint8 RGB; `box`: x1, y1, x2, y2 of the visible fluke, integers with
    0 <= x1 < x2 <= w and 0 <= y1 < y2 <= h; `quality`: of the JPEG to write."""

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    quality: int


@dataclass(frozen=True)
class _View:
    """How a fluke stands in a photo of `size` (width, height); lengths in fine pixels."""

    size: tuple[int, int]
    matrix: np.ndarray  # (3, 3) canonical plane to fine pixels
    bends: tuple[float, float]  # of the left and the right lobe, canonical
    water: float  # y of the water's edge at the stalk


def take_photo(
    rng: np.random.Generator, fluke: Fluke, scan: bool = False, wide: bool = False
) -> Photo:
    """Photograph `fluke`.

    `scan`: a grey one, three equal channels, as in old catalogues; `wide`: 600 x 110 pixels.
    Equal states of `rng` give equal pixels.
    """
    view = _choose_view(rng, fluke, wide)
    colour, alpha = _project(fluke, view)
    picture, above = _sea(rng, view)
    splash = _splash(rng, view, alpha)
    alpha = alpha * above
    lit = colour * rng.uniform(0.8, 1.25) * _shading(rng, colour.shape[:2])
    lit = lit + rng.uniform(0.0, 0.1)  # haze and glare lift the dark skin
    picture = picture + alpha[..., None] * (lit - picture)
    foam = rng.uniform(0.8, 1.0) * np.array([0.97, 0.99, 1.0], np.float32)
    picture = picture + splash[..., None] * (foam - picture)
    visible = _shrink(alpha * (1 - splash), view.size)
    picture = _develop(rng, _shrink(picture, view.size), scan)
    box = _tight_box(visible)
    if scan and rng.random() < 0.5:
        picture = _caption(rng, picture, box[3])
    return Photo(picture, box, int(rng.integers(62, 92)))


def _choose_view(rng: np.random.Generator, fluke: Fluke, wide: bool) -> _View:
    """Draw a pose, then the scale and position that put the visible fluke into the photo."""
    pitch = np.deg2rad(rng.uniform(5, 30) * rng.choice([-1, 1]))
    yaw, roll = np.deg2rad(rng.uniform(-14, 14)), np.deg2rad(np.clip(rng.normal(0, 4), -10, 10))
    bends = tuple(rng.normal(0.02, 0.06) + rng.normal(0, 0.03, 2))
    pose = _pose(pitch, yaw, roll)
    ink = _forward(pose, bends, fluke.outline)
    level = fluke.thickness * rng.uniform(0.75, 1.0) + rng.uniform(0.0, 0.22)
    water = _forward(pose, bends, np.array([[0.0, level]]))[0, 1]
    ink = ink[ink[:, 1] <= water]
    low, high = ink.min(axis=0), ink.max(axis=0)
    spread = high - low
    share = 0.45 + 0.5 * rng.beta(1.6, 1.0)  # most photos are filled, as the real ones are
    width = WIDE[0] if wide else WIDTH
    scale = share * width / spread[0]
    if wide:
        height = WIDE[1]
    else:
        height = int(np.clip(scale * spread[1] * rng.uniform(1.08, 2.0), _LOWEST, _HIGHEST))
    scale = min(scale, 0.96 * height / spread[1])
    room = np.array([width, height]) - scale * spread
    corner = room * (rng.uniform(0, 1), rng.uniform(0.1, 0.9))
    if rng.random() < 0.06:  # cut by the frame
        corner[0] += rng.choice([-1, 1]) * (room[0] / 2 + 0.06 * width)
    zoom = _FINE * scale
    shift = _FINE * corner - zoom * low
    placement = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]], [0, 0, 1.0]])
    return _View((width, height), placement @ pose, bends, zoom * water + shift[1])


def _pose(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """(3, 3) homography of the canonical plane, turned about its three axes, before the camera."""
    cp, sp, cy, sy, cr, sr = (f(a) for a in (pitch, yaw, roll) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    turned = about_z @ about_y @ about_x
    # A point x, y of the plane lies at x·column 0 + y·column 1, and the plane _CAMERA ahead.
    plane = np.column_stack([turned[:, 0], turned[:, 1], [0, 0, _CAMERA]])
    return np.diag([_CAMERA, _CAMERA, 1.0]) @ plane


def _forward(matrix: np.ndarray, bends: tuple[float, float], points: np.ndarray) -> np.ndarray:
    """Canonical (n, 2) points to the plane of the photo: lobes bent, then projected."""
    bend = np.where(points[:, 0] < 0, bends[0], bends[1])
    bent = np.column_stack([points[:, 0], points[:, 1] + bend * points[:, 0] ** 2])
    homogeneous = np.column_stack([bent, np.ones(len(points))]) @ matrix.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def _grid(view: _View) -> tuple[np.ndarray, np.ndarray]:
    """Fine pixel centres: x (1, w) and y (h, 1), float32."""
    width, height = view.size
    x = np.arange(width * _FINE, dtype=np.float32)[None] + 0.5
    y = np.arange(height * _FINE, dtype=np.float32)[:, None] + 0.5
    return x, y


def _project(fluke: Fluke, view: _View) -> tuple[np.ndarray, np.ndarray]:
    """Colour (h, w, 3) and alpha (h, w) of the fluke in fine pixels."""
    back = np.linalg.inv(view.matrix).astype(np.float32)
    x, y = _grid(view)
    depth = back[2, 0] * x + back[2, 1] * y + back[2, 2]
    plane_x = (back[0, 0] * x + back[0, 1] * y + back[0, 2]) / depth
    plane_y = (back[1, 0] * x + back[1, 1] * y + back[1, 2]) / depth
    bend = np.where(plane_x < 0, view.bends[0], view.bends[1]).astype(np.float32)
    plane_y = plane_y - bend * plane_x**2
    map_x = (plane_x * np.float32(UNIT) + ORIGIN_X).astype(np.float32)
    map_y = (plane_y * np.float32(UNIT) + ORIGIN_Y).astype(np.float32)
    colour = cv2.remap(
        fluke.colour, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return colour, cv2.remap(fluke.alpha, map_x, map_y, cv2.INTER_LINEAR)


def _sea(rng: np.random.Generator, view: _View) -> tuple[np.ndarray, np.ndarray]:
    """Background (h, w, 3) and how far each fine pixel lies above the near water's edge (h, w)."""
    x, y = _grid(view)
    height = y.shape[0]
    with_horizon = rng.random() < 0.35
    horizon = -rng.uniform(0.2, 0.7) * height
    if with_horizon:
        horizon = min(rng.uniform(0.03, 0.45) * height, view.water - 12)
    depth = 1 / (np.maximum(y - horizon, 1.5) / height)  # grows towards the horizon
    waves = np.zeros((height, x.shape[1]), np.float32)
    middle = x - x.shape[1] / 2
    for stretch, strength in ((0.05, 0.7), (0.15, 0.8), (0.45, 0.7)):
        tile = cv2.GaussianBlur(rng.standard_normal((128, 128), np.float32), (0, 0), 1.2)
        shift = rng.uniform(0, 128, 2)
        across = middle * np.clip(depth, 0, 9) * stretch + shift[0]
        along = np.broadcast_to(depth * height * stretch * 4 + shift[1], waves.shape)
        map_x, map_y = (across % 128).astype(np.float32), (along % 128).astype(np.float32)
        tile = cv2.remap(tile / tile.std(), map_x, map_y, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)
        waves += strength * tile
    trough, crest = _SEAS[int(rng.integers(len(_SEAS)))] * rng.uniform(0.85, 1.15)
    level = 0.35 + rng.uniform(0.06, 0.2) * waves + rng.uniform(-0.1, 0.2) * (1 - y / height)
    level = np.clip(level, -0.3, 1.5) + rng.uniform(0, 0.6) * np.clip(waves - 1.9, 0, 2)
    picture = (trough + level[..., None] * (crest - trough)).astype(np.float32)
    if with_horizon:
        _sky(rng, picture, x, y, horizon, crest)
    ripples = sum(
        rng.uniform(0.5, 2.5) * np.sin(x * rng.uniform(0.01, 0.08) + rng.uniform(0, 6.3))
        for _ in range(3)
    )
    above = np.clip((view.water + ripples + rng.normal(0, 0.012) * middle - y) / 2 + 0.5, 0, 1)
    return picture, above


def _sky(
    rng: np.random.Generator,
    picture: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    horizon: float,
    crest: np.ndarray,
) -> None:
    """Paint sky, and sometimes a hazy shore, above the horizon; in place."""
    sky = 0.5 * crest + 0.5 * rng.uniform(0.7, 1.0)
    above = np.clip(horizon - y + 0.5, 0, 1)[..., None]
    picture += above * ((sky * (1 + 0.1 * (y / len(y))[..., None])).astype(np.float32) - picture)
    if rng.random() < 0.5:
        ridge = sum(
            rng.uniform(0.1, 0.35) * np.sin(x * rng.uniform(0.004, 0.04) + rng.uniform(0, 6.3))
            for _ in range(4)
        )
        top = horizon * (1 - rng.uniform(0.2, 0.6) * np.clip(0.6 + ridge, 0, None))
        land = (np.clip(y - top + 0.5, 0, 1) * above[..., 0])[..., None]
        shore = sky * rng.uniform(0.55, 0.85) * np.array([0.95, 1.0, 1.03])
        picture += land * (shore.astype(np.float32) - picture)


def _splash(rng: np.random.Generator, view: _View, alpha: np.ndarray) -> np.ndarray:
    """(h, w) cover of foam and drops, mostly at the water's edge near the stalk."""
    x, y = _grid(view)
    width = x.shape[1]
    columns = np.flatnonzero(alpha.max(axis=0) > 0.5)
    centre = columns.mean() + rng.normal(0, 0.05) * width
    reach = rng.uniform(0.1, 0.4) * width
    tall = rng.uniform(2, 14) if rng.random() < 0.75 else rng.uniform(14, 34)
    foam = np.zeros(alpha.shape, np.float32)
    for sigma, strength in ((2.0, 0.6), (6.0, 1.0)):
        small = rng.standard_normal((-(-len(y) // 2), -(-width // 2)), np.float32)
        noise = cv2.GaussianBlur(small, (0, 0), sigma, sigmaY=sigma * 0.6)
        foam += strength * cv2.resize(noise / noise.std(), (width, len(y)))
    distance = y - view.water
    near = np.exp(-((distance / np.where(distance < 0, tall, 1.5 * tall)) ** 2))
    near = near * np.exp(-(((x - centre) / reach) ** 2))
    cover = np.clip((foam * 0.7 + 3.2 * near - 1.9) * 0.8, 0, 0.95)
    drops = np.zeros(alpha.shape, np.float32)
    for _ in range(int(rng.integers(0, 40)) if rng.random() < 0.5 else 0):
        spot = rng.normal(centre, reach), view.water - abs(rng.normal(0, 3 * tall))
        centre_of_drop, radius = (int(spot[0]), int(spot[1])), int(rng.integers(1, 3))
        cv2.circle(drops, centre_of_drop, radius, 0.7, -1, cv2.LINE_AA)
    return np.maximum(cover, drops)


def _shading(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, 1) uneven light over the fluke: a smooth slope and a smooth blotch."""
    knots = 1 + rng.normal(0, 0.13, (3, 4))
    light = cv2.resize(knots.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return light[..., None]


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _develop(rng: np.random.Generator, picture: np.ndarray, scan: bool) -> np.ndarray:
    """Light, colour cast, haze, blur and noise; (h, w, 3) float in [0, 1] to uint8 RGB."""
    picture = np.clip(picture, 0, 1) ** rng.uniform(0.75, 1.35)
    contrast = rng.uniform(0.7, 1.25)
    picture = 0.5 + contrast * (picture - 0.5) + rng.uniform(-0.08, 0.08)
    picture = picture * rng.normal(1, 0.035, 3)
    if rng.random() < 0.25:
        haze = rng.uniform(0.1, 0.3)
        picture = (1 - haze) * picture + haze * rng.uniform(0.6, 0.85)
    if scan:
        grey = picture @ np.array([0.299, 0.587, 0.114])
        grey = (grey - 0.5) * rng.uniform(0.9, 1.8) + rng.uniform(0.5, 0.65)
        picture = np.repeat(grey[..., None], 3, axis=2)
    picture = picture.astype(np.float32)
    if rng.random() < 0.55:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.3))
    channels = 1 if scan else 3
    grain = rng.standard_normal((*picture.shape[:2], channels), np.float32)
    picture = picture + rng.uniform(0.004, 0.03) * grain
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _caption(rng: np.random.Generator, picture: np.ndarray, bottom: int) -> np.ndarray:
    """Add the white strip with a catalogue number below the fluke; the number says nothing."""
    strip = 18
    if bottom > len(picture) - strip:
        return picture
    picture = picture.copy()
    picture[-strip:] = 250
    text = f"#{int(rng.integers(1000, 9999))}"
    font, ink, corner = cv2.FONT_HERSHEY_SIMPLEX, (20, 20, 20), (4, len(picture) - 5)
    cv2.putText(picture, text, corner, font, 0.4, ink, 1, cv2.LINE_AA)
    return picture


def _tight_box(visible: np.ndarray) -> tuple[int, int, int, int]:
    """Box x1, y1, x2, y2 (ends exclusive) of the pixels that are fluke for more than a half."""
    ys, xs = np.nonzero(visible > 0.5)
    if not len(xs):
        raise RuntimeError("a pose left nothing of the fluke above the water")
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
