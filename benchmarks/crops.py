"""Training crops of photos: ours beside decoding, augmenting and cutting the plain way."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import MethodType

import albumentations as A
import cv2
import numpy as np

from benchmarks.measure import Line, alternately
from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from whales.files.boxes import Box
from whales.nets.net import Net
from whales.photos.augment import GaussNoise, ShiftScaleRotate
from whales.photos.crops import crop_window, cut, read_crop
from whales.photos.photo_store import PhotoStore

WIDTH, HEIGHT = 1050, 600
# An epoch shows each photo twice among the matches and twice among the mismatches; a round, the least
# that a training does with its photos, is five epochs (method, section 5).
LOOKS, EPOCHS = 4, 5


def lines(quick: bool) -> Iterator[Line]:
    """Crops a second of one core, at 384 px from photos of 1050 x 600."""
    count = 4 if quick else 20
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = _photos(Path(folder), count)
        box = (200, 150, 850, 450)

        def plain_crops() -> None:
            for path in paths:
                cut(_by_opencv(path), crop_window(box, WIDTH, HEIGHT), 384)

        def our_crops() -> None:
            for path in paths:
                read_crop(path, box, 384)

        ours, plain = alternately((our_crops, plain_crops), 2 if quick else 5)
        note = "plain: decoded by OpenCV"
        yield Line("crops, not augmented", "crops/s", count / ours, count / plain, note=note)
        for net in (V5, KERNEL):
            yield from _augmented(net, paths, box, folder, 2 if quick else 5)


def _augmented(
    net: Net, paths: Sequence[Path], box: Box, folder: str, repeats: int
) -> Iterator[Line]:
    """Looks at some photos of the first epoch, which decodes them, of a later one, and of a round."""
    looks = list(enumerate([*paths] * LOOKS))
    decoded = Path(folder) / "decoded"
    store, augmenter, plain_way = PhotoStore(decoded), net.augmenter(), _plain_way(net)

    def later() -> None:
        for seed, path in looks:
            augmenter.crop(store.read(path), box, 384, seed)

    def first() -> None:
        shutil.rmtree(decoded, ignore_errors=True)
        later()

    def plain_epoch() -> None:
        for seed, path in looks:
            plain_way(_by_opencv(path), box, 384, seed)

    def whole_round() -> None:
        first()
        for _ in range(EPOCHS - 1):
            later()

    seconds = alternately((first, later, whole_round, plain_epoch), repeats)
    once, again, in_round, plain = (len(looks) / taken for taken in seconds)
    note = "plain: decoded, whole photo and box through albumentations' Compose"
    what = f"crops, augmented for {net.name}"
    yield Line(f"{what}, first epoch", "crops/s", once, plain, note=note)
    yield Line(f"{what}, later epochs", "crops/s", again, plain, note=note)
    yield Line(f"{what}, a round", "crops/s", EPOCHS * in_round, plain, bar=2, note=note)


def _photos(folder: Path, count: int) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        pixels = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        paths.append(folder / f"{number}.jpg")
        cv2.imwrite(str(paths[-1]), pixels)
    return paths


def _by_opencv(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def _plain_way(net: Net) -> Callable[[np.ndarray, Box, int, int], np.ndarray]:
    """The net's transforms in a `Compose` that carries the box; a crop as in training."""
    transforms = net.transforms()
    members = [transform.transforms for transform in transforms if isinstance(transform, A.OneOf)]
    for transform in chain(transforms, *members):  # warp and noise as albumentations', not as ours
        if isinstance(transform, ShiftScaleRotate):
            transform.apply = MethodType(A.Affine.apply, transform)
        elif isinstance(transform, GaussNoise):
            transform.__class__ = A.GaussNoise
    compose = A.Compose(
        transforms,
        bbox_params=A.BboxParams(
            "pascal_voc", label_fields=["kind"], min_area=1, min_visibility=0.1
        ),
    )

    def crop(pixels: np.ndarray, box: Box, size: int, seed: int) -> np.ndarray:
        compose.set_random_seed(seed)
        margin = random.Random(seed).uniform(0.01, 0.09)
        window = crop_window(box, pixels.shape[1], pixels.shape[0], margin)
        data = compose(image=pixels, bboxes=[window], kind=["fluke"])
        if len(data["bboxes"]):
            pixels, window = data["image"], [int(value) for value in data["bboxes"][0]]
        return cut(pixels, window, size)

    return crop
