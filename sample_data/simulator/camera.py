"""What light, lens and paper make of a picture: exposure, haze, blur, noise, prints, drawings, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from sample_data.simulator.canvas import grid_noise

_CAPTIONS = list("0123456789HWABP#-")


def lit(
    rng: np.random.Generator,
    skin: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    water: float,
    top: float,
) -> np.ndarray:
    """Skin under the photo's light: uneven, shaded lobe by lobe, wet, glaring, or against the light.

    skin: (size, size) float32; x (1, size), y (size, 1): of the crop; water, top: y of the waterline and of
    the crop's upper edge.
    """
    size = len(skin)
    # White skin in shade is no brighter than grey.
    skin = skin ** np.float32(rng.uniform(0.8, 1.4)) * np.float32(rng.uniform(0.55, 1.2))
    shade = 1 + rng.uniform(0.03, 0.25) * grid_noise(rng, (3, 4), (size, size))
    sides = rng.normal(1, 0.13, 2)
    shade = shade * np.where(x < 0, sides[0], sides[1])
    skin = skin * shade + np.float32(rng.uniform(0, 0.07) if rng.random() < 0.6 else 0)
    if rng.random() < 0.07:  # against the light
        skin = skin * rng.uniform(0.2, 0.6)
    if rng.random() < 0.35:  # glare on wet skin
        glare = np.clip(grid_noise(rng, (4, 6), (size, size)) - rng.uniform(0.3, 1.3), 0, 1)
        skin = skin + rng.uniform(0.1, 0.5) * glare
    if rng.random() < 0.45:  # water runs off, mostly in the middle
        streaks = np.clip(grid_noise(rng, (3, 40), (size, size)) - rng.uniform(0, 1.2), 0, 1)
        middle = np.exp(-((x / rng.uniform(0.08, 0.5)) ** 2))
        below = np.clip((y - top) / max(water - top, 0.05), 0, 1)
        skin = skin + rng.uniform(0.2, 0.9) * streaks * middle * below
    return skin.astype(np.float32)


def developed(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Everything between the light and the file: (size, size) floats to uint8."""
    picture = _blurred(rng, _exposed(rng, picture).astype(np.float32))
    noise = rng.standard_normal(picture.shape, np.float32)
    picture = picture + 0.05 * rng.random() ** 2 * noise
    if rng.random() < 0.06:
        picture = _printed(rng, picture)
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.08:
        _drawn_on(rng, pixels)
    if rng.random() < 0.25:
        for _ in range(rng.integers(1, 4)):
            pixels = _compressed(pixels, int(rng.integers(12, 75)))
    return pixels


def _compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """uint8 grey as a JPEG file of this quality gives it back."""
    file = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE))


def _exposed(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Exposure, contrast and haze."""
    picture = np.clip(picture, 0, 1) ** np.float32(rng.uniform(0.65, 1.5))
    if rng.random() < 0.12:  # few greys are left
        middle, steep = rng.uniform(0.2, 0.6), rng.uniform(1.3, 3.5)
        picture = 0.5 + steep * (picture - middle)
    picture = 0.5 + rng.uniform(0.6, 1.25) * (picture - 0.5) + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.25:
        haze = rng.uniform(0.1, 0.5)
        picture = (1 - haze) * picture + haze * rng.uniform(0.55, 0.95)
    return picture


def _blurred(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A small photo made large, one out of focus, shaken, or sharpened; most are as they were."""
    size, kind = len(picture), rng.random()
    if kind < 0.07:
        small = int(rng.integers(size // 4, size * 3 // 4))
        picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        how = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
        return cv2.resize(picture, (size, size), interpolation=how)
    if kind < 0.18:
        return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.1) * size / 64)
    if kind < 0.24:
        return cv2.filter2D(picture, -1, _shake(rng, size), borderType=cv2.BORDER_REPLICATE)
    if kind < 0.37:
        return picture + rng.uniform(0.3, 1) * (picture - cv2.GaussianBlur(picture, (0, 0), 1.0))
    return picture


def _shake(rng: np.random.Generator, size: int) -> np.ndarray:
    """The path of a camera that moved while the shutter was open: a kernel of sum 1."""
    reach = rng.uniform(0.01, 0.045) * size
    side = 2 * int(np.ceil(reach)) + 1
    angle, middle = rng.uniform(0, np.pi), side // 2
    step = reach * np.array([np.cos(angle), np.sin(angle)])
    ends = [np.round((middle + sign * step) * 16).astype(int).tolist() for sign in (-1, 1)]
    kernel = np.zeros((side, side), np.uint8)
    cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, 4)
    return kernel.astype(np.float32) / kernel.sum()


def _printed(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """The scan of a print: uneven paper, a screen's dots, an edge of paper."""
    size = len(picture)
    across = np.linspace(-1, 1, size, dtype=np.float32)
    paper = rng.uniform(0.75, 1.0)
    picture = paper * (rng.uniform(0.0, 0.2) + rng.uniform(0.7, 0.9) * picture)
    picture = picture * (1 - rng.uniform(0, 0.3) * (across**2 + across[:, None] ** 2) / 2)
    if rng.random() < 0.5:
        waves = rng.uniform(0.15, 0.45) * size * np.pi * across
        picture = picture + rng.uniform(0.02, 0.1) * np.sin(waves) * np.sin(waves)[:, None]
    if rng.random() < 0.4:
        edge = rng.integers(1, max(2, size // 10))
        side = int(rng.integers(4))
        turned = np.rot90(picture, side).copy()
        turned[:edge] = paper
        picture = np.rot90(turned, -side)
    return np.ascontiguousarray(picture, np.float32)


def _drawn_on(rng: np.random.Generator, pixels: np.ndarray) -> None:
    """Text, or an arrow that points at something, as catalogues have them; in place on uint8 grey."""
    size, tone = len(pixels), int(rng.choice([0, 255]))
    if rng.random() < 0.6:
        text = "".join(rng.choice(_CAPTIONS, rng.integers(2, 8)))
        place = int(rng.integers(0, size // 2)), int(rng.integers(size // 8, size))
        scale = rng.uniform(0.25, 0.45) * size / 64
        cv2.putText(pixels, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, tone, 1, cv2.LINE_AA)
    if rng.random() < 0.5:
        end = rng.uniform(0.1, 0.9, 2) * size
        angle = rng.uniform(0, 2 * np.pi)
        begin = end + rng.uniform(0.1, 0.35) * size * np.array([np.cos(angle), np.sin(angle)])
        points = [np.round(point).astype(int).tolist() for point in (begin, end)]
        cv2.arrowedLine(pixels, points[0], points[1], tone, int(rng.integers(1, 3)), cv2.LINE_AA)
