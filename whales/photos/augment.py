"""Augmentation of training photos, in today's albumentations, with the strengths of 2019's.

| then                                | now                                                        |
|-------------------------------------|------------------------------------------------------------|
| IAAAdditiveGaussianNoise()          | GaussNoise(std .01-.05 of 255, one noise for all channels) |
| GaussNoise(var 10-50)               | GaussNoise(std sqrt(10)-sqrt(50) of 255, per channel)      |
| IAASharpen(), IAAEmboss()           | Sharpen, Emboss, same ranges                               |
| JpegCompression(a, b)               | ImageCompression(quality a-b)                              |
| RandomBrightness, RandomContrast    | RandomBrightnessContrast, the other limit 0                |
| ShiftScaleRotate, mirrored border   | `ShiftScaleRotate` below                                   |
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # read at import; it would use the network

import albumentations as A
import cv2
import numpy as np
from albumentations.augmentations.geometric import functional as geometric
from scipy.special import ndtri

from whales.files.boxes import Box
from whales.files.settings import ANISOTROPY
from whales.photos import reach
from whales.photos.crops import crop_window, cut

# Training crops leave this margin around the box, as a share of its sides.
MARGIN_RANGE = (0.01, 0.09)
# A box of less than this, in pixels and as a share of itself, is lost.
MIN_AREA, MIN_VISIBILITY = 1, 0.1
# The kernel net's extra crop keeps this share of each side.
EXTRA_CROP = (0.7, 0.9)

Transforms = list[A.BasicTransform | A.BaseCompose]
# A transform, and its (3, 3) matrix if it moves pixels.
_Step = tuple[A.BasicTransform, np.ndarray | None]


class ShiftScaleRotate(A.Affine):
    """Shift, scale and rotate with a mirrored border; a box moves without its mirror images.

    With mirrored borders albumentations returns those images as boxes too; here only the fluke's box
    is returned.
    """

    def __init__(self, shift: float, scale: float, rotate: float, p: float) -> None:
        """Largest change either way: `shift` share of the sides, `scale` share, `rotate` degrees.

        `p`: probability.
        """
        super().__init__(
            translate_percent={"x": (-shift, shift), "y": (-shift, shift)},
            scale=(1 - scale, 1 + scale),
            keep_ratio=True,
            rotate=(-rotate, rotate),
            border_mode=cv2.BORDER_REFLECT_101,
            p=p,
        )

    def drawn(self, shape: Sequence[int], box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draw a random move of a photo of `shape` (h, w, ..), and move a box by it.

        `box`: (4,) in shares of the photo's sides. Returns the (3, 3) matrix that maps pixels, and the
        moved box, (4,) in shares.
        """
        params = {"shape": tuple(shape)}
        params |= self.get_params_dependent_on_data(params, {})
        return params["matrix"], self.apply_to_bboxes(box[None], **params)[0]

    def apply(self, img: np.ndarray, matrix: np.ndarray, **params: object) -> np.ndarray:
        """Move a whole photo (h, w, 3) uint8 by `matrix` (3, 3)."""
        whole = (0, 0, img.shape[1], img.shape[0])
        return reach.warped(img, matrix, whole, whole)

    def apply_to_bboxes(
        self,
        bboxes: np.ndarray,
        bbox_matrix: np.ndarray,
        output_shape: Sequence[int],
        shape: Sequence[int],
        **params: object,
    ) -> np.ndarray:
        """Move boxes (n, 4), in shares of a photo of `shape`, as if the border were constant."""
        return geometric.bboxes_affine(
            bboxes,
            bbox_matrix,
            self.rotate_method,
            shape[:2],
            cv2.BORDER_CONSTANT,
            output_shape,
        )


class GaussNoise(A.GaussNoise):
    """Albumentations' noise on uint8 photos, in a third of the time.

    Albumentations cuts the noise to whole numbers before adding it. Those are drawn here directly: 16
    random bits are the index into a table of quantiles, which ends at 4.2 standard deviations.
    """

    def get_params_dependent_on_data(
        self, params: dict[str, object], data: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Draw the noise: `noise_map` (h, w, 1 or 3) int16."""
        deviation = np.float32(255 * self.py_random.uniform(*self.std_range))
        steps = (_normal_quantiles() * deviation).astype(np.int16)
        height, width, channels = data["image"].shape
        shape = height, width, channels if self.per_channel else 1
        drawn = self.random_generator.integers(0, 2**16, shape, np.uint16)
        return {"noise_map": steps.take(drawn, mode="clip")}

    def apply(self, img: np.ndarray, noise_map: np.ndarray, **params: object) -> np.ndarray:
        """Add the noise to (h, w, 3) uint8; a noise of one channel is added to every channel."""
        if noise_map.shape[2] < img.shape[2]:
            noise_map = cv2.merge([noise_map[..., 0]] * img.shape[2])
        return cv2.add(img, noise_map, dtype=cv2.CV_8U)


@cache
def _normal_quantiles() -> np.ndarray:
    """Quantiles of the standard normal distribution at (i + 0.5) / 2**16: (2**16,) float32."""
    return ndtri((np.arange(2**16) + 0.5) / 2**16).astype(np.float32)


def noises() -> Transforms:
    """The two Gaussian noises: one for all channels together, one a channel."""
    return [
        GaussNoise(std_range=(0.01, 0.05), per_channel=False),
        GaussNoise(std_range=(math.sqrt(10) / 255, math.sqrt(50) / 255), per_channel=True),
    ]


def blurs(each: float = 0.5) -> Transforms:
    """Motion, median and box blur, the last two of 3 pixels; `each`: the probability of each."""
    return [
        A.MotionBlur(p=each),
        A.MedianBlur(blur_limit=(3, 3), p=each),
        A.Blur(blur_limit=(3, 3), p=each),
    ]


def details() -> Transforms:
    """Local contrast, sharpening, embossing."""
    return [A.CLAHE(clip_limit=2.0), A.Sharpen(), A.Emboss()]


def colours(shift: int) -> Transforms:
    """A shift of each channel by at most `shift` of 255, and a change of hue and saturation."""
    return [
        A.RGBShift(r_shift_limit=shift, g_shift_limit=shift, b_shift_limit=shift),
        A.HueSaturationValue(),
    ]


def brightness(limit: float, p: float = 0.5) -> A.BasicTransform:
    """A change of brightness alone, by at most `limit` of the range."""
    return A.RandomBrightnessContrast(brightness_limit=limit, contrast_limit=(0, 0), p=p)


def contrast(limit: float, p: float = 0.5) -> A.BasicTransform:
    """A change of contrast alone, by at most the share `limit`."""
    return A.RandomBrightnessContrast(brightness_limit=(0, 0), contrast_limit=limit, p=p)


def jpeg(lowest: int, p: float) -> A.BasicTransform:
    """JPEG compression at a quality from `lowest` to 99."""
    return A.ImageCompression(quality_range=(lowest, 99), p=p)


def fluke_transforms(flip: float, rotate: float, rgb: int, lowest_jpeg: int) -> Transforms:
    """The augmentation of nets v5 and v6 (method, section 4), which differ in these four numbers.

    flip: probability of each flip and of a quarter turn; rotate: degrees; rgb: shift of 255;
    lowest_jpeg: quality.
    """
    return [
        A.HorizontalFlip(p=flip),
        A.VerticalFlip(p=flip),
        A.RandomRotate90(p=flip),
        A.OneOf(noises(), p=0.1),
        A.OneOf(blurs(), p=0.1),
        ShiftScaleRotate(shift=0.02, scale=0.05, rotate=rotate, p=0.9),
        A.OneOf(details(), p=0.1),
        A.OneOf(colours(rgb), p=0.5),
        jpeg(lowest_jpeg, p=0.2),
        A.ToGray(p=0.05),
    ]


class Augmenter:
    """Augmented crops of photos: photo and crop window move together, then the crop is cut.

    Pixels are computed only where the crop can show them, see `whales.photos.reach`. It is not safe to
    share between threads: each needs its own.
    """

    def __init__(
        self,
        transforms: Callable[[], Transforms],
        extra_crop: bool = False,
        anisotropy: float = ANISOTROPY,
        likelihood: float = 1.0,
    ) -> None:
        """`transforms`: makes the list of transforms; ValueError where albumentations refuses one.

        `extra_crop`: half the time, cut a random 70-90% of each side out of the crop. `anisotropy`:
        width : height of crops, see `whales.photos.crops.crop_window`. `likelihood`: factor of the
        transforms' probabilities, and of the extra crop's.
        """
        # `Compose` checks the arguments; calling it would spend half of the time on lists of boxes.
        self._transforms = A.Compose(transforms(), strict=True).transforms
        self._extra_crop, self._anisotropy = extra_crop, anisotropy
        self._likelihood = likelihood
        # One stream for all transforms, seeded for each crop: seeding each transform takes longer.
        self._rng = np.random.default_rng(0)
        self._python_rng = random.Random(0)
        for transform in self._transforms:
            transform.set_random_state(self._rng, self._python_rng)

    def crop(self, pixels: np.ndarray, box: Box | None, size: int, seed: int) -> np.ndarray:
        """One augmented crop: (size, size, 3) uint8, which depends on the arguments alone.

        `pixels`: (h, w, 3) uint8; `box`: x1, y1, x2, y2 in pixels, or None for the whole frame.
        """
        rng = self._rng
        rng.bit_generator.state = np.random.PCG64(seed).state
        self._python_rng.seed(int(rng.integers(2**31)))
        height, width = pixels.shape[:2]
        margin = rng.uniform(*MARGIN_RANGE)
        window = crop_window(box, width, height, margin, self._anisotropy)
        chosen = list(self._chosen())
        if all(isinstance(step, ShiftScaleRotate) or reach.known(step) for step in chosen):
            moves = _moves(chosen, pixels.shape, window)
            if moves is not None:
                steps, window = moves
                return _cut_reached(pixels, steps, self._last_window(window), size)
        else:
            # Mirrored or turned, which is too rare to be worth saving pixels.
            pixels, window = _all_moved(pixels, window, chosen) or (pixels, window)
        return cut(pixels, self._last_window(window), size)

    def _chosen(self) -> Iterator[A.BasicTransform]:
        """Draw which transforms are applied, one of each choice, as albumentations draws."""
        for transform in self._transforms:
            if self._python_rng.random() < transform.p * self._likelihood:
                if isinstance(transform, A.OneOf):
                    members, weights = transform.transforms, transform.transforms_ps
                    yield members[self._rng.choice(len(members), p=weights)]
                else:
                    yield transform

    def _last_window(self, window: Sequence[int]) -> Sequence[int]:
        """The window, or half the time a smaller one inside it where the net has an extra crop."""
        if self._extra_crop and self._rng.random() < 0.5 * self._likelihood:
            return _extra_window(window, self._rng)
        return window


def _moves(
    transforms: Transforms, shape: Sequence[int], window: Sequence[int]
) -> tuple[list[_Step], tuple[int, ...]] | None:
    """Each transform with the matrix that it draws, if it moves pixels, and the window after all moves.

    window: x1, y1, x2, y2 in a photo of `shape` (h, w, ..). None where the window leaves the photo.
    """
    steps: list[_Step] = []
    box = np.asarray(window, np.float32) / _sides(shape)
    for transform in transforms:
        matrix = None
        if isinstance(transform, ShiftScaleRotate):
            matrix, moved = transform.drawn(shape, box)
            box = _visible(moved, shape)
            if box is None:
                return None
        steps.append((transform, matrix))
    end = _whole_pixels(box, shape)
    return None if end is None else (steps, end)


def _cut_reached(
    pixels: np.ndarray,
    steps: Sequence[_Step],
    window: reach.Region,
    size: int,
) -> np.ndarray:
    """The crop (size, size, 3) of a photo after `steps`, computed from the pixels that can reach it.

    pixels: (h, w, 3) uint8, the photo; window: in the transformed photo.
    """
    height, width = pixels.shape[:2]
    # Backwards from the window, the region that each step reads; then forwards through the pixels.
    regions = [tuple(window)]
    for transform, matrix in reversed(steps):
        if matrix is None:
            regions.append(reach.reached(transform, regions[-1], width, height))
        else:
            regions.append(reach.reached_by_affine(matrix, regions[-1], width, height))
    source = regions.pop()
    pixels = reach.subregion(pixels, (0, 0, width, height), source)
    for transform, matrix in steps:
        target = regions.pop()
        if matrix is None:
            pixels = transform(force_apply=True, image=np.ascontiguousarray(pixels))["image"]
            pixels = reach.subregion(pixels, source, target)
        else:
            pixels = reach.warped(pixels, matrix, source, target)
        source = target
    return cut(pixels, (0, 0, pixels.shape[1], pixels.shape[0]), size)


def _all_moved(
    pixels: np.ndarray, window: Sequence[int], steps: Transforms
) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """The whole photo and the window after all `steps`; None where the window leaves the photo."""
    box = np.asarray(window, np.float32) / _sides(pixels.shape)
    data = {"image": pixels, "bboxes": box[None]}
    for step in steps:
        old_boxes = data["bboxes"]
        data = step(force_apply=True, **data)
        boxes = data["bboxes"]
        if boxes is not old_boxes:
            box = _visible(boxes[0], data["image"].shape) if len(boxes) else None
            if box is None:
                return None
            data["bboxes"] = box[None]
    window = _whole_pixels(box, data["image"].shape)
    return None if window is None else (data["image"], window)


def _visible(box: np.ndarray, shape: Sequence[int]) -> np.ndarray | None:
    """A box (4,) clipped to a photo of `shape` (h, w, ..), both as shares of its sides.

    None where less than a pixel or a tenth of it is left.
    """
    clipped = np.clip(box, 0, 1)
    visible = (clipped[2] - clipped[0]) * (clipped[3] - clipped[1])
    whole = (box[2] - box[0]) * (box[3] - box[1])
    enough = visible * shape[0] * shape[1] >= MIN_AREA and visible >= MIN_VISIBILITY * whole
    return clipped if enough else None


def _whole_pixels(box: np.ndarray, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Integer window of a box (4,) in shares of a photo of `shape` (h, w, ..), None if it is empty."""
    # Pixels to shares and back in float32: 63 may return as 62.99999.
    x1, y1, x2, y2 = (int(value + 0.01) for value in box * _sides(shape))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def _sides(shape: Sequence[int]) -> np.ndarray:
    """(width, height, width, height) of a photo of `shape` (h, w, ..)."""
    return np.array([shape[1], shape[0], shape[1], shape[0]], np.float32)


def _extra_window(window: Sequence[int], rng: np.random.Generator) -> tuple[int, ...]:
    """A random window of 70-90% of each side inside `window` (x1, y1, x2, y2)."""
    low, high = [], []
    for start, end in ((window[0], window[2]), (window[1], window[3])):
        length = max(1, round((end - start) * rng.uniform(*EXTRA_CROP)))
        begin = int(rng.integers(start, end - length + 1))
        low.append(begin)
        high.append(begin + length)
    return low[0], low[1], high[0], high[1]
