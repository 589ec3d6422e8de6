"""The part of a photo that can reach a crop: the crop is the one of the whole photo."""

import albumentations as A
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_snn import a02_augmentation_kernel as kernel
from siamese_net_v5_densenet121 import a02_augmentation_v5 as v5
from whales.photos import augment, reach
from whales.photos.augment import Augmenter, ShiftScaleRotate

WIDTH, HEIGHT = 300, 180
BOX = (110, 60, 190, 110)


def photo(seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (18, 30, 3), dtype=np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def whole(*arguments):
    return 0, 0, arguments[-2], arguments[-1]


def both_ways(monkeypatch, make, seeds, box=BOX):
    """Crops from the part that can reach them, and from the whole photo, the same draws in both."""
    parts = [Augmenter(make).crop(photo(seed), box, 64, seed) for seed in seeds]
    monkeypatch.setattr(reach, "reached", whole)
    monkeypatch.setattr(reach, "reached_by_affine", whole)
    wholes = [Augmenter(make).crop(photo(seed), box, 64, seed) for seed in seeds]
    return np.array(parts, int), np.array(wholes, int)


FILTERS = [
    A.Blur(blur_limit=(7, 7), p=1),
    A.MedianBlur(blur_limit=(7, 7), p=1),
    A.MotionBlur(blur_limit=(7, 7), p=1),
    A.Sharpen(p=1),
    A.Emboss(p=1),
    A.ImageCompression(quality_range=(20, 60), p=1),
    A.CLAHE(clip_limit=2.0, p=1),
    A.RGBShift(p=1),
    A.HueSaturationValue(p=1),
    A.RandomBrightnessContrast(p=1),
    A.ToGray(p=1),
]


@pytest.mark.parametrize("transform", FILTERS, ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize("box", [BOX, (0, 0, 90, 60), (201, 107, WIDTH, HEIGHT)])
def test_what_stays_in_place_gives_the_same_crop(monkeypatch, transform, box):
    assert reach.known(transform)
    part, full = both_ways(monkeypatch, lambda: [transform], range(8), box)
    # OpenCV rounds the last pixels of a row in another way than the others.
    assert np.abs(part - full).max() <= 2
    assert np.abs(part - full).mean() < 0.1


@pytest.mark.parametrize("box", [BOX, (0, 0, 90, 60), (201, 107, WIDTH, HEIGHT), None])
def test_geometry_gives_the_same_crop_but_for_rounding(monkeypatch, box):
    def make():
        return [ShiftScaleRotate(0.2, 0.3, 30, p=1), ShiftScaleRotate(0.1, 0.1, 20, p=1)]

    part, full = both_ways(monkeypatch, make, range(40), box)
    # OpenCV rounds coordinates to 1/32 pixel.
    assert np.abs(part - full).max() <= 8
    assert np.abs(part - full).mean() < 0.1


@pytest.mark.parametrize("target", [(100, 60, 200, 120), (0, 0, WIDTH, HEIGHT)])
def test_a_warp_is_opencvs_with_mirrored_borders(target):
    """Well inside the photo, where the border is never seen, and at its edges."""
    turned = np.vstack([cv2.getRotationMatrix2D((150, 90), 17, 1.2), [0, 0, 1]])
    whole_photo = 0, 0, WIDTH, HEIGHT
    expected = cv2.warpAffine(
        photo(), turned[:2], (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT_101
    )
    found = reach.warped(photo(), turned, whole_photo, target)
    difference = np.abs(found.astype(int) - reach.subregion(expected, whole_photo, target))
    assert difference.max() <= 8  # OpenCV rounds coordinates to 1/32 pixel
    assert difference.mean() < 0.1


@pytest.mark.parametrize("net", [v5, kernel])
def test_a_nets_whole_chain_gives_the_same_crop(monkeypatch, net):
    def without_noise():
        chain = net.transforms()
        for choice in chain:
            if isinstance(choice, A.OneOf):
                kept = [each for each in choice.transforms if not isinstance(each, A.GaussNoise)]
                choice.transforms = kept or [A.ToGray(p=1)]
                choice.transforms_ps = [1 / len(choice.transforms)] * len(choice.transforms)
        return chain

    part, full = both_ways(monkeypatch, without_noise, range(120))
    off = np.abs(part - full).mean(axis=(1, 2, 3))
    # A rounded pixel can tip JPEG or a median over, no more.
    assert np.median(off) < 0.2
    assert off.max() < 2


def test_noise_of_a_part_is_the_noise_of_a_photo():
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for transform in augment.noises():
        transform.p = 1
        own = Augmenter(lambda transform=transform: [transform])
        crops = np.array([own.crop(grey, (50, 20, 250, 110), 64, seed) for seed in range(30)], int)
        plain = np.array([transform(image=grey)["image"][:64, :64] for _ in range(30)], int)
        # The crop is made smaller, so that its pixels are means of two noises or more.
        assert abs(crops.mean() - 128) < 1
        ratio = crops.std(axis=(1, 2, 3)).mean() / plain.std(axis=(1, 2, 3)).mean()
        assert 0.3 < ratio < 1


def test_less_of_the_photo_is_touched(monkeypatch):
    seen = []

    class Counting(A.RGBShift):
        def apply(self, img, **params):
            seen.append(img.shape[:2])
            return super().apply(img, **params)

    Augmenter(lambda: [Counting(p=1), A.Blur(blur_limit=(3, 3), p=1)]).crop(photo(), BOX, 64, 3)
    height, width = seen[0]
    assert height * width < 0.35 * HEIGHT * WIDTH


def test_what_is_not_known_sees_the_whole_photo():
    for transform in (A.HorizontalFlip(), A.RandomRotate90(), A.Equalize()):
        assert not reach.known(transform)
    shapes = []

    class Equalize(A.Equalize):
        def apply(self, img, **params):
            shapes.append(img.shape[:2])
            return super().apply(img, **params)

    Augmenter(lambda: [Equalize(p=1)]).crop(photo(), BOX, 64, 3)
    assert shapes == [(HEIGHT, WIDTH)]


@given(st.integers(2, 40), st.integers(-60, 60), st.integers(1, 60))
def test_mirrored_borders_read_within_the_part(length, low, count):
    positions = np.arange(low, low + count)
    line = np.pad(np.arange(length), 200, mode="reflect")
    wanted = line[positions + 200]
    begin, end = reach._mirrored(low, low + count, length)
    assert 0 <= begin < end <= length
    assert begin <= wanted.min()
    assert wanted.max() < end
    if end - begin > 1:
        again = np.pad(np.arange(begin, end), 200, mode="reflect")
        np.testing.assert_array_equal(again[positions - begin + 200], wanted)
