"""Augmentation: reproducible, boxes that follow the pixels, strengths as the method says."""

from concurrent.futures import ThreadPoolExecutor

import albumentations as A
import cv2
import numpy as np
import pytest
import pyvips
from scipy.stats import norm

from kernel_snn import a02_augmentation_kernel as kernel
from kernel_snn.a00_net_kernel import NET
from siamese_net_v5_densenet121 import a02_augmentation_v5 as v5
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext import a02_augmentation_v6 as v6
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from whales.photos import augment
from whales.photos.augment import Augmenter, ShiftScaleRotate
from whales.photos.crops import crop_window
from whales.photos.feeding import PhotoFeed

BOX = (60, 30, 150, 80)


def card_of(augmentation):
    return next(net for net in (V5, V6, NET) if net.transforms is augmentation.transforms)


def photo(seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)
    return cv2.resize(small, (200, 120), interpolation=cv2.INTER_CUBIC)


# --- randomness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("net", [v5, v6, kernel])
def test_a_seed_names_the_pixels(net):
    pixels = photo()
    before = pixels.copy()
    first = Augmenter(net.transforms, card_of(net).extra_crop)
    crops = {seed: first.crop(pixels, BOX, 48, seed) for seed in range(6)}
    assert all(crop.shape == (48, 48, 3) and crop.dtype == np.uint8 for crop in crops.values())
    second = Augmenter(net.transforms, card_of(net).extra_crop)
    # Neither what was drawn before nor the object matters, only the seed.
    for seed in reversed(crops):
        np.testing.assert_array_equal(second.crop(pixels, BOX, 48, seed), crops[seed])
    different = [not np.array_equal(crops[a], crops[b]) for a in range(6) for b in range(a + 1, 6)]
    assert all(different)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("net", [v5, v6, kernel])
def test_the_photo_may_be_read_only(net):
    """As a photo that is mapped from disk is."""
    pixels, locked = photo(), photo()
    locked.flags.writeable = False
    augmenter = Augmenter(net.transforms, card_of(net).extra_crop)
    for seed in range(300):
        for box in (BOX, None):
            crop = augmenter.crop(locked, box, 32, seed)
            np.testing.assert_array_equal(crop, augmenter.crop(pixels, box, 32, seed))


def test_workers_do_not_matter(tmp_path):
    names = [f"p{i}.png" for i in range(6)]
    for i, name in enumerate(names):
        pyvips.Image.new_from_array(photo(i)).write_to_file(str(tmp_path / name))
    pairs = np.array([(i % 6, (5 * i + 1) % 6) for i in range(15)])
    seeds = np.random.default_rng(3).integers(2**31, size=pairs.shape)

    def batches(workers):
        feed = PhotoFeed(
            tmp_path.joinpath,
            {"p1.png": BOX, "p2.png": BOX},
            32,
            workers,
            NET.augmenter,
        )
        sides = list(feed.pair_batches(names, pairs, seeds, 4))
        feed.close()
        return sides

    alone, together = batches(1), batches(4)
    assert [left.shape for left, _ in alone] == [(4, 32, 32, 3)] * 3 + [(3, 32, 32, 3)]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    own = Augmenter(kernel.transforms, card_of(kernel).extra_crop)
    left = own.crop(
        photo(pairs[5, 0]), BOX if pairs[5, 0] in (1, 2) else None, 32, int(seeds[5, 0])
    )
    np.testing.assert_array_equal(alone[1][0][1], left)


def test_augmenters_of_their_own_in_threads_agree_with_one():
    pixels = photo()
    with ThreadPoolExecutor(4) as pool:
        crops = list(
            pool.map(lambda seed: Augmenter(v5.transforms).crop(pixels, BOX, 32, seed), range(12))
        )
    alone = Augmenter(v5.transforms)
    for seed, crop in enumerate(crops):
        np.testing.assert_array_equal(crop, alone.crop(pixels, BOX, 32, seed))


# --- boxes ----------------------------------------------------------------------------------------


def moved(transform, pixels, box, seed):
    pipeline = A.Compose(
        [transform], bbox_params=A.BboxParams(format="pascal_voc", label_fields=[]), seed=seed
    )
    result = pipeline(image=pixels, bboxes=np.array([box], np.float32))
    return result["image"], result["bboxes"]


def test_the_box_follows_the_pixels():
    pixels = np.zeros((300, 400, 3), np.uint8)
    x1, y1, x2, y2 = 170, 130, 240, 165
    pixels[y1:y2, x1:x2] = 255
    shifts = []
    for seed in range(40):
        transform = ShiftScaleRotate(shift=0.05, scale=0.2, rotate=20, p=1)
        image, boxes = moved(transform, pixels, (x1, y1, x2, y2), seed)
        assert len(boxes) == 1
        rows, columns = np.nonzero(image[..., 0] > 127)
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        np.testing.assert_allclose(boxes[0], seen, atol=2.0)
        shifts.append(seen - (x1, y1, x2, y2))
    assert np.ptp(shifts, axis=0).min() > 10


def test_borders_are_mirrored_and_still_one_box_comes_back():
    pixels = photo()
    pixels[:] = np.maximum(pixels, 1)  # a constant border would be 0
    near_edge = (2, 2, 60, 50)
    for seed in range(40):
        transform = ShiftScaleRotate(shift=0.1, scale=0.3, rotate=30, p=1)
        image, boxes = moved(transform, pixels, near_edge, seed)
        assert image.min() > 0
        assert len(boxes) <= 1


def test_shift_scale_and_rotation_stay_within_their_limits():
    transform = ShiftScaleRotate(shift=0.1, scale=0.3, rotate=30, p=1)
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[30:70, 80:120] = 255  # a square about the centre
    sides, middles = [], []
    for seed in range(60):
        image, _ = moved(transform, pixels, (80, 30, 120, 70), seed)
        ys, xs = np.nonzero(image[..., 0] > 127)
        sides.append(np.sqrt(len(xs)))
        middles.append((xs.mean() - 99.5, ys.mean() - 49.5))
    # Side 40 times .7 to 1.3; middle within 10% of 200 and 100.
    assert 27 < min(sides) < 32
    assert 48 < max(sides) < 53
    across, down = np.abs(middles).max(axis=0)
    assert 15 < across < 21
    assert 7 < down < 11


def test_a_lost_box_gives_the_unaugmented_crop():
    def away():
        return [A.Affine(translate_percent={"x": (2, 2), "y": (0, 0)}, p=1, border_mode=0)]

    pixels = photo()
    crop = Augmenter(away).crop(pixels, BOX, 40, seed=5)
    margins = np.linspace(0.01, 0.09, 400)
    windows = {crop_window(BOX, 200, 120, margin) for margin in margins}
    plain = [cv2.resize(pixels[y1:y2, x1:x2], (40, 40)) for x1, y1, x2, y2 in windows]
    assert any(np.array_equal(crop, other) for other in plain)


@pytest.mark.parametrize("shape", [2.15, 1.0])
def test_without_transforms_only_the_margin_varies(shape):
    pixels, margins = photo(), np.linspace(0.01, 0.09, 400)
    windows = {crop_window(BOX, 200, 120, margin, shape) for margin in margins}
    plain = [cv2.resize(pixels[y1:y2, x1:x2], (40, 40)) for x1, y1, x2, y2 in windows]
    own = Augmenter(list, anisotropy=shape)
    seen = set()
    for seed in range(30):
        crop = own.crop(pixels, BOX, 40, seed)
        matching = [i for i, other in enumerate(plain) if np.array_equal(crop, other)]
        assert matching
        seen.add(matching[0])
    assert len(seen) > 3


def test_extra_crop_half_the_time_keeps_70_to_90_percent_of_each_side():
    # Red tells the column, green the row: the corners of a crop tell its window.
    pixels = np.zeros((200, 250, 3), np.uint8)
    pixels[..., 0] = np.arange(250)[None, :]
    pixels[..., 1] = np.arange(200)[:, None]
    own = Augmenter(list, extra_crop=True)
    shares = []
    for seed in range(200):
        crop = own.crop(pixels, None, 250, seed).astype(int)
        width = crop[0, -1, 0] - crop[0, 0, 0] + 1
        height = crop[-1, 0, 1] - crop[0, 0, 1] + 1
        shares.append((width / 250, height / 200))
    cropped = [pair for pair in shares if pair != (1.0, 1.0)]
    assert 70 <= len(cropped) <= 130
    assert np.min(cropped) >= 0.69
    assert np.max(cropped) <= 0.91
    assert np.max(cropped) - np.min(cropped) > 0.15
    plain = Augmenter(list).crop(pixels, None, 250, 0).astype(int)
    assert (plain[0, 0, 0], plain[0, -1, 0], plain[-1, 0, 1]) == (0, 249, 199)


@pytest.mark.parametrize(("likelihood", "low", "high"), [(0, 0, 0), (0.25, 25, 78), (1, 160, 200)])
def test_a_likelihood_thins_out_transforms_and_the_extra_crop(likelihood, low, high):
    """Of 200 crops: .9 are turned black, and half are cut again, times the likelihood."""
    pixels = np.full((200, 250, 3), 128, np.uint8)
    pixels[:, :5] = pixels[:, -5:] = 255

    def black():
        return [
            A.OneOf(
                [
                    A.ColorJitter(
                        brightness=(0, 0), contrast=(1, 1), hue=(0, 0), saturation=(1, 1), p=1
                    )
                ],
                p=0.9,
            )
        ]

    crops = [
        Augmenter(black, likelihood=likelihood).crop(pixels, None, 250, seed) for seed in range(200)
    ]
    assert low <= sum(not crop.any() for crop in crops) <= high
    again = Augmenter(list, extra_crop=True, likelihood=likelihood)
    cut = [again.crop(pixels, None, 250, seed)[100, 0, 0] != 255 for seed in range(200)]
    assert low * 5 / 9 - 5 <= sum(cut) <= high * 5 / 9 + 20


@pytest.mark.parametrize("net", [v5, v6, kernel])
def test_the_likelihood_of_the_method_changes_no_pixel(net):
    usual, full = (Augmenter(net.transforms, True, **own) for own in ({}, {"likelihood": 1.0}))
    for seed in range(40):
        np.testing.assert_array_equal(
            usual.crop(photo(), BOX, 32, seed), full.crop(photo(), BOX, 32, seed)
        )


@pytest.mark.parametrize("inner", [list, lambda: [A.OneOf([A.HorizontalFlip(unknown=1)])]])
def test_unknown_arguments_are_refused(inner):
    if inner is list:
        Augmenter(inner)
        return
    with pytest.raises(ValueError, match="unknown"), pytest.warns(UserWarning, match="unknown"):
        Augmenter(inner)


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("deviation", [3, 12.5])
def test_noise_is_normal_without_its_fraction(per_channel, deviation):
    noise = augment.GaussNoise(std_range=(deviation / 255,) * 2, per_channel=per_channel, p=1)
    noise.set_random_seed(5)
    grey = np.full((400, 500, 3), 128, np.uint8)
    steps = noise(image=grey)["image"].astype(int) - 128
    # From -60 to -1: what is above the step before it; 0: between -1 and 1; then the mirror image.
    tail = np.diff(norm.cdf(np.arange(-61, 0) / deviation))
    expected = np.concatenate([tail, [1 - 2 * norm.cdf(-1 / deviation)], tail[::-1]])
    for channel in np.moveaxis(steps, 2, 0):
        found = np.bincount(channel.ravel() + 60, minlength=121) / channel.size
        # Five standard errors of a share, and the steps of 16 bits.
        error = 5 * np.sqrt(expected / channel.size) + 2 / 2**16
        assert (np.abs(found - expected) <= error).all()
    between = np.corrcoef(steps.reshape(-1, 3).T)[0, 1]
    assert between == pytest.approx(0 if per_channel else 1, abs=0.02)
    assert abs(np.corrcoef(steps[:, 1:, 0].ravel(), steps[:, :-1, 0].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(("level", "cut"), [(2, (0, 40)), (253, (215, 255))])
def test_noise_stops_at_black_and_white_as_albumentations_does(level, cut):
    photo = np.full((300, 300, 3), level, np.uint8)
    settings = {"std_range": (8 / 255,) * 2, "p": 1}
    counts = []
    for noise in (augment.GaussNoise(**settings), A.GaussNoise(**settings)):
        noise.set_random_seed(6)
        noisy = noise(image=photo)["image"]
        assert noisy.dtype == np.uint8
        assert cut[0] <= noisy.min() <= noisy.max() <= cut[1]
        counts.append(np.bincount(noisy.ravel(), minlength=256) / noisy.size)
    np.testing.assert_allclose(counts[0], counts[1], atol=0.005)


def test_another_seed_is_another_noise():
    noise = augment.GaussNoise(std_range=(0.02, 0.02), p=1)
    grey = np.full((20, 30, 3), 128, np.uint8)
    noisy = []
    for seed in (1, 1, 2):
        noise.set_random_seed(seed)
        noisy.append(noise(image=grey)["image"])
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])


# --- strengths (method, section 4) ----------------------------------------------------------------

DETAILS = ("OneOf", 0.1, [("CLAHE", (1, 2)), ("Sharpen",), ("Emboss",)])
BLURS = ("OneOf", 0.1, [("MotionBlur", 0.5), ("MedianBlur", 0.5, (3, 3)), ("Blur", 0.5, (3, 3))])
NOISES = [("GaussNoise", (0.01, 0.05), False), ("GaussNoise", (10**0.5 / 255, 50**0.5 / 255), True)]


def fluke(flip, rotate, rgb, jpeg):
    return [
        ("HorizontalFlip", flip),
        ("VerticalFlip", flip),
        ("RandomRotate90", flip),
        ("OneOf", 0.1, NOISES),
        BLURS,
        ("ShiftScaleRotate", 0.9, 0.02, (0.95, 1.05), rotate),
        DETAILS,
        ("OneOf", 0.5, [("RGBShift", rgb), ("HueSaturationValue",)]),
        ("ImageCompression", 0.2, (jpeg, 99)),
        ("ToGray", 0.05),
    ]


KERNEL = [
    ("ShiftScaleRotate", 0.2, 0.1, (0.7, 1.3), 5),
    ("HorizontalFlip", 0.005),
    ("VerticalFlip", 0.005),
    ("ShiftScaleRotate", 0.7, 0, (1, 1), 30),
    ("RandomRotate90", 0.02),
    ("OneOf", 0.5, [*NOISES, ("RandomBrightnessContrast", 0.9, (0, 0), (-0.9, 0.9))]),
    BLURS,
    DETAILS,
    (
        "OneOf",
        0.95,
        [
            ("RGBShift", 30),
            ("HueSaturationValue",),
            ("RandomBrightnessContrast", 0.5, (-0.2, 0.2), (0, 0)),
        ],
    ),
    ("ImageCompression", 0.4, (20, 99)),
    ("ToGray", 0.3),
]


def both_ways(limits):
    low, high = limits
    assert low == -high
    return high


def told(transform):
    """Name, probability and limits of a built transform, as the tables above have them."""
    name, p = type(transform).__name__, transform.p
    if name == "OneOf":
        return (name, p, [told(inner) for inner in transform.transforms])
    if name == "ShiftScaleRotate":
        assert transform.translate_percent["x"] == transform.translate_percent["y"]
        assert transform.scale["x"] == transform.scale["y"]
        assert transform.keep_ratio
        assert transform.border_mode == cv2.BORDER_REFLECT_101
        assert transform.shear == {"x": (0, 0), "y": (0, 0)}
        shift = both_ways(transform.translate_percent["x"])
        return (name, p, shift, transform.scale["x"], both_ways(transform.rotate))
    if name == "RGBShift":
        limits = {transform.r_shift_limit, transform.g_shift_limit, transform.b_shift_limit}
        return (name, both_ways(*limits))
    told_by_name = {
        "GaussNoise": lambda t: (t.std_range, t.per_channel),
        "MotionBlur": lambda t: (p,),
        "MedianBlur": lambda t: (p, t.blur_limit),
        "Blur": lambda t: (p, t.blur_limit),
        "CLAHE": lambda t: (t.clip_limit,),
        "ImageCompression": lambda t: (p, t.quality_range),
        "RandomBrightnessContrast": lambda t: (p, t.brightness_limit, t.contrast_limit),
        "Sharpen": lambda t: (),
        "Emboss": lambda t: (),
        "HueSaturationValue": lambda t: (),
    }
    return (name, *told_by_name.get(name, lambda t: (p,))(transform))


def flat(value):
    """Nested tuples and lists as one list, so that numbers compare within rounding."""
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in flat(part)]
    return [value]


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (v5, fluke(flip=0.001, rotate=20, rgb=20, jpeg=55)),
        (v6, fluke(flip=0.002, rotate=30, rgb=30, jpeg=45)),
        (kernel, KERNEL),
    ],
)
def test_strengths(net, expected):
    built = [told(transform) for transform in net.transforms()]
    assert [name for name, *_ in built] == [name for name, *_ in expected]
    for one, other in zip(built, expected, strict=True):
        assert len(flat(one)) == len(flat(other)), one
        for found, wanted in zip(flat(one), flat(other), strict=True):
            assert found == (wanted if isinstance(wanted, str) else pytest.approx(wanted)), one
    assert card_of(net).extra_crop is (net is kernel)


def test_equal_chances_within_a_choice():
    """But for the kernel net's contrast (.9), the members of a choice weigh the same."""
    for net in (v5, v6, kernel):
        for transform in net.transforms():
            if isinstance(transform, A.OneOf):
                weights = [inner.p for inner in transform.transforms]
                assert set(weights) <= {0.5, 0.9}
                assert weights.count(0.9) == (net is kernel and transform.p == 0.5)
