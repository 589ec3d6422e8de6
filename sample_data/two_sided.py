"""Make a small generated catalogue of animals whose two sides differ: turtles, zebras or dolphins' fins.

    python3 -m sample_data.two_sided KIND FOLDER [--animals 6] [--photos 3] [--seed 1]

Writes FOLDER, which must be new or empty: so many photos of each side of each animal, and catalogue.csv with
photo, identity, side, date and box, as tools/import_dataset.py reads it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import new_folder
from whales.base.tables import csv_text
from whales.base.writing import write_text
from whales.files.sides import LEFT, RIGHT
from whales.stages.options import positive
from whales.stages.stage import run

# Width : height of each kind's box, which is what --anisotropy of the import takes.
SHAPES = {"turtle": 1.4, "zebra": 1.7, "dolphin": 1.2}
SIDES = (LEFT, RIGHT)
COLUMNS = ("photo", "identity", "side", "date", "x1", "y1", "x2", "y2")
_HEIGHT = 160  # of an animal before its photo is taken, pixels
_BACKGROUNDS = {
    "turtle": (70, 140, 150),
    "zebra": (190, 165, 110),
    "dolphin": (95, 120, 135),
}  # RGB


class Flank(NamedTuple):
    """One side of an animal: colour (h, w, 3) float32 RGB of 0 to 255, and mask (h, w) bool."""

    colour: np.ndarray
    mask: np.ndarray


def draw_flank(kind: str, seed: int, animal: int, side: str) -> Flank:
    """One side of an animal; equal numbers give equal pixels. A left side looks left, a right one right."""
    height, width = _HEIGHT, round(_HEIGHT * SHAPES[kind])
    rng = np.random.default_rng([seed, animal, SIDES.index(side)])
    both = np.random.default_rng([seed, animal])  # what is alike on both sides
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    flank = _DRAWN[kind](x, y, rng, both)
    return flank if side == LEFT else Flank(*(part[:, ::-1] for part in flank))


def _turtle(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, both: np.random.Generator
) -> Flank:
    """A head from the side: scales of their own shape and shade, with light seams."""
    middle = SHAPES["turtle"] / 2
    mask = ((x - middle) / middle) ** 2 + ((y - 0.5) / 0.5) ** 2 < 1
    centres = rng.uniform((0, 0), (2 * middle, 1), (22, 2)).astype(np.float32)
    far = np.stack([np.hypot(x - cx, y - cy) for cx, cy in centres])
    nearest = np.sort(far, axis=0)[:2]
    shade = rng.uniform(40, 150, len(centres))[far.argmin(axis=0)]
    shade = np.where(nearest[1] - nearest[0] < 0.03, 215, shade)
    return Flank(shade[..., None] * np.array([1, 0.9, 0.6], np.float32), mask)


def _zebra(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, both: np.random.Generator
) -> Flank:
    """A flank: stripes that bend and fork."""
    mask = (np.abs(x / SHAPES["zebra"] - 0.5) < 0.48) & (np.abs(y - 0.5) < 0.46)
    bend = sum(
        rng.uniform(0.02, 0.12)
        * np.sin(rng.uniform(2, 7) * y + rng.uniform(1, 5) * x + rng.uniform(0, 6.3))
        for _ in range(5)
    )
    stripes = np.sin(2 * np.pi * rng.uniform(5, 8) * (x + bend)) > rng.uniform(-0.3, 0.3)
    return Flank(np.where(stripes, 235, 30)[..., None] * np.ones(3, np.float32), mask)


def _dolphin(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, both: np.random.Generator
) -> Flank:
    """A dorsal fin: nicks of the trailing edge are seen from both sides, scratches from one."""
    width = SHAPES["dolphin"]
    leading, trailing = 0.75 * (1 - y) ** 1.3, width - (width - 0.8) * (1 - y) ** 0.8
    for depth in both.uniform(0.05, 0.2, 4):
        place = both.uniform(0.1, 0.9)
        trailing = trailing - depth * np.exp(-(((y - place) / 0.04) ** 2))
    mask = (x > leading) & (x < trailing)
    colour = np.full((*x.shape, 3), 95, np.float32)
    ends = rng.uniform(0.2, 1, (9, 2, 2)) * (x.shape[1], x.shape[0])
    for start, end in ends.astype(int):
        cv2.line(colour, start.tolist(), end.tolist(), (205, 205, 210), int(rng.integers(1, 4)))
    return Flank(colour, mask)


_DRAWN = {"turtle": _turtle, "zebra": _zebra, "dolphin": _dolphin}


def take_photo(
    flank: Flank, background: Sequence[float], rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A photo (300, 400, 3) uint8 RGB of a side, turned and moved a little, and its box in pixels."""
    height, width = flank.mask.shape
    matrix = cv2.getRotationMatrix2D(
        (width / 2, height / 2), rng.uniform(-6, 6), rng.uniform(0.95, 1.25)
    )
    matrix[:, 2] += np.array([200 - width / 2, 150 - height / 2]) + rng.uniform(-15, 15, 2)
    colour = cv2.warpAffine(np.ascontiguousarray(flank.colour, np.float32), matrix, (400, 300))
    mask = cv2.warpAffine(np.ascontiguousarray(flank.mask, np.float32), matrix, (400, 300))
    water = np.asarray(background, np.float32) + rng.normal(0, 12, (30, 40, 1))
    water = cv2.resize(water.astype(np.float32), (400, 300))
    pixels = water + mask[..., None] * (colour - water)
    pixels = pixels * rng.uniform(0.8, 1.15) + rng.normal(0, 4, pixels.shape)
    rows, columns = (np.flatnonzero(mask.max(axis=axis) > 0.5) for axis in (1, 0))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return np.clip(pixels, 0, 255).astype(np.uint8), box


def make(kind: str, folder: Path | str, animals: int = 6, photos: int = 3, seed: int = 1) -> Path:
    """Write a catalogue and return its table; `UserError` where the folder is there and not empty.

    photos: of each side of each of the animals.
    """
    with new_folder(folder) as made:
        rows = []
        for animal in range(animals):
            name = f"{kind}_{animal + 1:02d}"
            for side in SIDES:
                flank = draw_flank(kind, seed, animal, side)
                for number in range(photos):
                    rng = np.random.default_rng([seed, animal, SIDES.index(side), number])
                    pixels, box = take_photo(flank, _BACKGROUNDS[kind], rng)
                    photo = f"{name}_{side}_{number + 1}.jpg"
                    if not cv2.imwrite(str(made / photo), pixels[..., ::-1]):
                        raise UserError(f"{made / photo} cannot be written")
                    rows.append((photo, name, side, f"{2020 + number}-07-14", *box))
        write_text(made / "catalogue.csv", csv_text(COLUMNS, rows))
    return Path(folder) / "catalogue.csv"


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the arguments and write the catalogue."""
    parser = argparse.ArgumentParser(
        prog="python3 -m sample_data.two_sided",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", metavar="KIND", choices=SHAPES, help=", ".join(SHAPES))
    parser.add_argument("folder", metavar="FOLDER", help="to make; new or empty")
    parser.add_argument("--animals", type=positive, default=6, help="(default 6)")
    parser.add_argument("--photos", type=positive, default=3, help="of each side (default 3)")
    parser.add_argument("--seed", type=positive, default=1, help="another seed, other animals (1)")
    args = parser.parse_args(argv)
    table = make(args.kind, args.folder, args.animals, args.photos, args.seed)
    log(f"wrote {table}; import it with --anisotropy {SHAPES[args.kind]}")


if __name__ == "__main__":
    run(main)
