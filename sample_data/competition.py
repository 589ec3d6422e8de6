"""Lay the generated photos out as a competition: names, labels, splits, first boxes, answers."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pyvips

from sample_data.flukes import Fluke, draw_fluke
from sample_data.scene import take_photo
from whales.base import pickles, writing
from whales.base.errors import UserError
from whales.base.plain_json import read_json
from whales.files.labels import NEW_WHALE
from whales.files.workspace import Workspace

REFERENCE_BOXES = "reference_boxes.pkl"
TEST_LABELS = "test_labels.csv"
VERSION = 3  # raise when the drawing changes, so that older samples are made anew

# Photos in train of each known identity: some seen once, twice, three times, most more often.
TRAIN_COUNTS = (1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8)
NEW_IN_TRAIN = 25
# Test photos: of the identities from the end of TRAIN_COUNTS two each, of the others one each.
TWICE_IN_TEST = 13
NEW_IN_TEST = 13
PLAYGROUND_COUNTS = (4,) * 24
NEW_IN_PLAYGROUND = 4
PLAYGROUND_TEST = 6
HAND_DRAWN = 30  # rows of cropping_train_v2.csv

JITTER = 0.04  # of the box's side: how far the first boxes are off, at most
_HAND_JITTER = 0.01
_SCANS = 0.12  # share of grey photos
# Odd files: part and number within it, in the order of making.
_ODD = {
    ("train", 14): "grey",
    ("train", 40): "cmyk",
    ("train", 75): "wide",
    ("train", 140): "cmyk",
    ("test", 20): "grey",
}


@dataclass(frozen=True)
class Shot:
    """One photo to make. `part`: train, test, playground_train or playground_test; `odd`: '' or
    'grey' (one-channel JPEG), 'cmyk' (four channels), 'wide' (600 x 110)."""

    number: int
    name: str
    part: str
    identity: str
    individual: int
    odd: str = ""


def plan(seed: int) -> list[Shot]:
    """All photos of the sample `seed`, sorted by name within each part; the same every time."""
    rng = np.random.default_rng([seed, 0])
    names, individuals = _names(rng, 9), count()
    identities = (f"w_{name}" for name in _names(rng, 7))
    shots: list[Shot] = []
    shots_of_part: Counter[str] = Counter()

    def add(part: str, identity: str, individual: int) -> None:
        odd = _ODD.get((part, shots_of_part[part]), "")
        shots_of_part[part] += 1
        shots.append(Shot(len(shots), next(names), part, identity, individual, odd))

    for number, times in enumerate(TRAIN_COUNTS):
        identity, individual = next(identities), next(individuals)
        in_test = 2 if len(TRAIN_COUNTS) - number <= TWICE_IN_TEST else 1
        for part in ["train"] * times + ["test"] * in_test:
            add(part, identity, individual)
    for part, times in (("train", NEW_IN_TRAIN), ("test", NEW_IN_TEST)):
        for _ in range(times):
            add(part, NEW_WHALE, next(individuals))
    for number, times in enumerate(PLAYGROUND_COUNTS):
        identity, individual = next(identities), next(individuals)
        in_test = int(number < PLAYGROUND_TEST)
        for part in ["playground_train"] * times + ["playground_test"] * in_test:
            add(part, identity, individual)
    for _ in range(NEW_IN_PLAYGROUND):
        add("playground_train", NEW_WHALE, next(individuals))
    return sorted(shots, key=lambda shot: (shot.part, shot.name))


def make(root: Path | str, seed: int = 1, force: bool = False) -> bool:
    """Write the sample `seed` under `root`; False if it is there already.

    Raises `UserError` where `root` holds anything else, unless `force`: then the sample's tables
    and photos replace what has their names, and the photos of a former sample are removed.
    """
    workspace = Workspace(root)
    shots = plan(seed)
    paths = [_path(workspace, shot) for shot in shots]
    marker = workspace.file("sample")
    former = _claim(workspace.root, seed, force)
    written = [*paths, *_tables(workspace)]
    if former.get("complete") and not force and all(path.exists() for path in written):
        return False
    for name in former.get("photos", []):
        if _is_photo(name):
            (workspace.root / name).unlink(missing_ok=True)
    photos = [str(path.relative_to(workspace.root).as_posix()) for path in paths]
    state = {"version": VERSION, "seed": seed, "complete": False, "photos": photos}
    writing.write_text(marker, json.dumps(state, indent=0))
    # In the order of making an individual's photos follow each other: few layers are kept.
    order = sorted(shots, key=lambda shot: shot.number)
    draw = lru_cache(maxsize=8)(lambda individual: draw_fluke(seed, individual))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        drawn = pool.map(lambda shot: shoot(seed, shot, _path(workspace, shot), draw), order)
        boxes = {shot.name: box for shot, box in zip(order, drawn, strict=True)}
    _write_tables(workspace, seed, shots, boxes)
    writing.write_text(marker, json.dumps({**state, "complete": True}, indent=0))
    return True


def _names(rng: np.random.Generator, digits: int) -> Iterator[str]:
    """Hexadecimal names, none twice."""
    used: set[str] = set()
    while True:
        name = "".join("0123456789abcdef"[digit] for digit in rng.integers(0, 16, digits))
        if name not in used:
            used.add(name)
            yield name


def _path(workspace: Workspace, shot: Shot) -> Path:
    return workspace.file(f"{shot.part}_photos") / f"{shot.name}.jpg"


def _is_photo(name: object) -> bool:
    """Whether a marker's entry is a photo under data/: a damaged marker removes nothing else."""
    path = Path(str(name))
    return path.suffix == ".jpg" and path.parts[:1] == ("data",) and ".." not in path.parts


def _claim(root: Path, seed: int, force: bool) -> dict:
    """State of a former sample at `root`, {} if there is none; `UserError` for other content."""
    if root.exists() and not root.is_dir():
        raise UserError(f"{root} is a file; name a folder for the sample")
    if not root.exists() or not any(root.iterdir()):
        return {}
    try:
        state = read_json(Workspace(root).file("sample"))
        same = (state["version"], state["seed"]) == (VERSION, seed)
    except FileNotFoundError:
        if force:
            return {}
        raise UserError(
            f"{root} is not empty and holds no sample; name another folder, or --force"
        ) from None
    except (UserError, TypeError, KeyError):
        state, same = {}, False
    if not same and not force:
        raise UserError(
            f"{root} holds a sample of another seed or version; name another folder, or --force"
        )
    return state


def shoot(
    seed: int, shot: Shot, path: Path, draw: Callable[[int], Fluke]
) -> tuple[int, int, int, int]:
    """Make the photo `shot`, write it to `path` and return its true box x1, y1, x2, y2.

    `draw`: from the number of an individual to its layer. Pixels and box depend on seed and shot
    alone, never on what was made before.
    """
    rng = np.random.default_rng([seed, 2, shot.number])
    scan = bool(rng.random() < _SCANS) or shot.odd == "grey"
    fluke = draw(shot.individual)
    photo = take_photo(rng, fluke, scan and shot.odd != "cmyk", shot.odd == "wide")
    with writing.atomic_path(path) as temporary:
        if shot.odd == "cmyk":
            _write_four_channels(temporary, photo.pixels, photo.quality)
        else:
            pixels = photo.pixels[..., 0] if shot.odd == "grey" else photo.pixels[..., ::-1]
            if not cv2.imwrite(str(temporary), pixels, [cv2.IMWRITE_JPEG_QUALITY, photo.quality]):
                raise UserError(f"cannot write {path}; is there room on the disk?")
    return photo.box


def _write_four_channels(path: Path, pixels: np.ndarray, quality: int) -> None:
    """A CMYK JPEG without a profile, in the inks of libvips's usual one."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels), interpretation="srgb")
    inks = image.icc_transform("cmyk", input_profile="srgb")
    path.write_bytes(inks.jpegsave_buffer(Q=quality, keep="none"))


def _tables(workspace: Workspace) -> list[Path]:
    keys = (
        "train_csv", "sample_submission", "playground_train_csv", "playground_sample_submission",
        "boxes_v5", "boxes_playground_v2", "cropping_train_v2",
    )  # fmt: skip
    for_measuring = [workspace.root / REFERENCE_BOXES, workspace.root / TEST_LABELS]
    return [workspace.file(key) for key in keys] + for_measuring


def _write_tables(
    workspace: Workspace, seed: int, shots: Sequence[Shot], boxes: dict[str, tuple]
) -> None:
    by_part: dict[str, list[Shot]] = {}
    for shot in shots:
        by_part.setdefault(shot.part, []).append(shot)
    for part, prefix in (("train", ""), ("playground_train", "playground_")):
        answers = [(shot.name, shot.identity) for shot in by_part[part]]
        _write_csv(workspace.file(f"{prefix}train_csv"), answers)
        # As in the real one: new_whale and the commonest identities.
        known = Counter(identity for _, identity in answers if identity != NEW_WHALE)
        guess = " ".join([NEW_WHALE, *(identity for identity, _ in known.most_common(4))])
        test = by_part[part.replace("train", "test")]
        path = workspace.file(f"{prefix}sample_submission")
        _write_csv(path, [(shot.name, guess) for shot in test])
    _write_csv(workspace.root / TEST_LABELS, [(s.name, s.identity) for s in by_part["test"]])
    pickles.save(workspace.root / REFERENCE_BOXES, dict(sorted(boxes.items())))
    rng = np.random.default_rng([seed, 3])
    sizes = {shot.name: _size(_path(workspace, shot)) for shot in shots}

    def jittered(group: Sequence[Shot], amount: float) -> dict[str, tuple[int, int, int, int]]:
        return {s.name: jitter(rng, boxes[s.name], sizes[s.name], amount) for s in group}

    pickles.save(workspace.file("boxes_v5"), jittered(by_part["train"] + by_part["test"], JITTER))
    playground = by_part["playground_train"] + by_part["playground_test"]
    pickles.save(workspace.file("boxes_playground_v2"), jittered(playground, JITTER))
    drawn = jittered(by_part["playground_train"][:HAND_DRAWN], _HAND_JITTER)
    # The authors drew these on Windows: only the stem of the path counts.
    rows = [
        f"E:\\photos\\input/playground/train/{name}.jpg,{','.join(map(str, box))},whale\n"
        for name, box in drawn.items()
    ]
    writing.write_text(workspace.file("cropping_train_v2"), "".join(rows))


def jitter(
    rng: np.random.Generator,
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    amount: float,
) -> tuple[int, int, int, int]:
    """Move each side of `box` (x1, y1, x2, y2, pixels) by up to `amount` of the box's own side,
    inside a photo of `size` (width, height)."""
    sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    moved = np.round(np.array(box) + rng.uniform(-amount, amount, 4) * sides)
    x1, y1, x2, y2 = (int(value) for value in np.clip(moved, 0, np.array([*size, *size])))
    return x1, y1, x2, y2


def _size(path: Path) -> tuple[int, int]:
    image = pyvips.Image.new_from_file(str(path))
    return image.width, image.height


def _write_csv(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    lines = ["Image,Id\n", *(f"{name}.jpg,{answer}\n" for name, answer in rows)]
    writing.write_text(path, "".join(lines))
