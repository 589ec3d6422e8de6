"""Crop windows by hand, photos of every kind, and the squeeze against a plain bilinear one."""

import cv2
import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from whales.base.console import configure, open_log
from whales.base.errors import UserError
from whales.photos.crops import check_boxes, crop_window, read_crop
from whales.photos.photos import photo_size, read_photo

# --- windows --------------------------------------------------------------------------------------

# All in a photo of 1000 x 500. Margin .05, one pixel more right and below, then width:height 2.15.
BY_HAND = {
    # x 400-5 .. 500+5+1 = 395 .. 506, y 195 .. 306; 111 x 111 is too narrow: 111 * 2.15 = 238.65,
    # half the difference 63.825 -> x 331.175 .. 569.825
    "too tall": ((400, 200, 500, 300), (331, 195, 569, 306)),
    # x 100-30 .. 700+30+1 = 70 .. 731, y 195 .. 306; 661 / 2.15 = 307.442, half the difference
    # 98.221 -> y 96.779 .. 404.221
    "too wide": ((100, 200, 700, 300), (70, 96, 731, 404)),
    # x 0 .. 106, y 0 .. 106 (-5 clipped first); 227.9, half 60.95 -> x -60.95 .. 166.95
    "left and top": ((0, 0, 100, 100), (0, 0, 166, 106)),
    # x 895 .. 1000, y 395 .. 500 (1006, 506 clipped); 225.75, half 60.375 -> x 834.625 .. 1060.375
    "right and bottom": ((900, 400, 1000, 500), (834, 395, 1000, 500)),
    # x 60 .. 941, y 0 .. 53.5; 881 / 2.15 = 409.767, half 178.134 -> y -178.1 .. 231.634
    "top, too wide": ((100, 0, 900, 50), (60, 0, 941, 231)),
    # x 60 .. 941, y 447.5 .. 500; half (409.767 - 52.5) / 2 = 178.634 -> y 268.866 .. 678.6
    "bottom, too wide": ((100, 450, 900, 500), (60, 268, 941, 500)),
    # x -57.5 -> 0 .. 108.5, y the same; 233.275, half 62.3875 -> x -62.4 .. 170.8875
    "partly outside": ((-50, -50, 100, 100), (0, 0, 170, 108)),
    "no box": (None, (0, 0, 1000, 500)),
    "the whole frame": ((0, 0, 1000, 500), (0, 0, 1000, 500)),
    "inverted across": ((500, 200, 400, 300), (0, 0, 1000, 500)),
    "inverted down": ((400, 300, 500, 200), (0, 0, 1000, 500)),
    "no width": ((400, 200, 400, 300), (0, 0, 1000, 500)),
    "no height": ((400, 200, 500, 200), (0, 0, 1000, 500)),
    "far outside": ((2000, 900, 2100, 950), (0, 0, 1000, 500)),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_windows_by_hand(case):
    box, window = BY_HAND[case]
    assert crop_window(box, 1000, 500) == window


def test_margin():
    # .09: x 391 .. 510, y 191 .. 310; 119 * 2.15 = 255.85, half 68.425: x 322.575 .. 578.425
    assert crop_window((400, 200, 500, 300), 1000, 500, margin=0.09) == (322, 191, 578, 310)
    # .01: x 399 .. 502, y 199 .. 302; 103 * 2.15 = 221.45, half 59.225: x 339.775 .. 561.225
    assert crop_window((400, 200, 500, 300), 1000, 500, margin=0.01) == (339, 199, 561, 302)


def test_narrow_photo():
    # x 9-4.1 .. 91+4.1+1 = 4.9 .. 96.1, y 5-.5 -> 4.5 .. 15+.5+1 = 16.5;
    # 91.2 / 2.15 = 42.419, half 15.2093 -> y -10.7 .. 31.709
    assert crop_window((9, 5, 91, 15), 100, 300) == (4, 0, 96, 31)
    assert crop_window(None, 100, 300) == (0, 0, 100, 300)


@pytest.mark.parametrize(
    ("box", "anisotropy", "window"),
    [
        ((400, 200, 500, 300), 1, (395, 195, 506, 306)),  # 111 x 111 already
        ((100, 200, 700, 300), 1, (70, 0, 731, 500)),  # 661 x 111; half of 550 above and below
        ((400, 200, 500, 300), 0.5, (395, 139, 506, 361)),  # 111 high more: 139.5 .. 361.5
    ],
)
def test_windows_of_another_anisotropy(tmp_path, box, anisotropy, window):
    assert crop_window(box, 1000, 500, anisotropy=anisotropy) == window
    pixels = np.random.default_rng(0).integers(0, 255, (500, 1000, 3), np.uint8)
    pyvips.Image.new_from_array(pixels).write_to_file(str(tmp_path / "a.png"))
    x1, y1, x2, y2 = window
    expected = cv2.resize(pixels[y1:y2, x1:x2], (32, 32))
    np.testing.assert_array_equal(read_crop(tmp_path / "a.png", box, 32, anisotropy), expected)


@given(
    st.integers(1, 900),
    st.integers(1, 900),
    st.tuples(*[st.floats(-2000, 2000)] * 4),
    st.floats(0.01, 0.09),
)
def test_window_is_always_inside_and_holds_what_the_photo_has_of_the_box(
    width, height, box, margin
):
    x1, y1, x2, y2 = crop_window(box, width, height, margin)
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    assert all(type(value) is int for value in (x1, y1, x2, y2))
    left, top, right, bottom = box
    seen = min(right, width) > max(left, 0) and min(bottom, height) > max(top, 0)
    if seen:
        assert x1 <= max(left, 0)
        assert y1 <= max(top, 0)
        assert x2 >= min(int(right), width)
        assert y2 >= min(int(bottom), height)


def test_empty_boxes_are_named_in_the_one_log(tmp_path, capsys):
    configure(quiet=False)
    open_log(tmp_path / "stage.log")
    boxes = {"inverted": (5, 0, 2, 9), "sound": (0, 0, 5, 5)}
    check_boxes(boxes, ["inverted", "sound", "without"])
    line = "photo inverted: box (5, 0, 2, 9) is empty, the whole frame is used"
    assert capsys.readouterr() == (f"{line}\n", "")
    configure(quiet=True)
    open_log(tmp_path / "stage.log")
    check_boxes(boxes, ["inverted"])
    configure(quiet=False)
    assert capsys.readouterr() == ("", "")
    kept = (tmp_path / "stage.log").read_text().splitlines()
    assert [text[21:] for text in kept] == [line, line]


# --- decoding -------------------------------------------------------------------------------------


def pattern(channels, height=40, width=60):
    rng = np.random.default_rng(channels)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def write(path, pixels, **options):
    kinds = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}
    image = pyvips.Image.new_from_array(pixels)
    kind = "grey16" if pixels.dtype == np.uint16 else kinds[pixels.shape[2]]
    image.copy(interpretation=kind).write_to_file(str(path), **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels(tmp_path, channels, suffix):
    pixels = pattern(channels)
    read = read_photo(write(tmp_path / f"photo{suffix}", pixels))
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous
    expected = pixels[..., :3] if channels > 2 else pixels[..., [0, 0, 0]]
    np.testing.assert_array_equal(read, expected)


def test_sixteen_bits_keep_the_upper_eight(tmp_path):
    pixels = pattern(1).astype(np.uint16) * 257
    read = read_photo(write(tmp_path / "photo.png", pixels))
    np.testing.assert_array_equal(read, (pixels // 257).astype(np.uint8)[..., [0, 0, 0]])


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(tmp_path, channels):
    ramp = np.linspace(0, 255, 60).astype(np.uint8)
    colours = [
        np.tile(ramp, (40, 1)),
        np.full((40, 60), 90, np.uint8),
        np.tile(ramp[::-1], (40, 1)),
    ]
    pixels = np.stack(colours[:channels], axis=-1)
    path = write(tmp_path / "photo.jpg", pixels, Q=98)
    read = read_photo(path)
    assert read.shape == (40, 60, 3)
    expected = pixels[..., [0, 1, 2] if channels == 3 else [0, 0, 0]].astype(int)
    assert np.abs(read.astype(int) - expected).max() <= 8
    assert photo_size(path) == (60, 40)


def test_the_stored_pixels_are_not_turned(tmp_path):
    """Boxes are given in the stored pixels: an orientation tag changes nothing."""
    image = pyvips.Image.new_from_array(pattern(3)).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    image.write_to_file(str(tmp_path / "photo.jpg"))
    assert pyvips.Image.new_from_file(str(tmp_path / "photo.jpg")).get("orientation") == 6
    assert read_photo(tmp_path / "photo.jpg").shape == (40, 60, 3)
    assert photo_size(tmp_path / "photo.jpg") == (60, 40)


def refused(read, path):
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "--skip-broken-photos" in message
    assert "\n" not in message


def test_a_photo_cut_short_is_refused(tmp_path):
    whole = write(tmp_path / "whole.jpg", pattern(3, 400, 600)).read_bytes()
    for share in (0.0, 0.001, 0.3, 0.6, 0.9):
        path = tmp_path / "cut.jpg"
        path.write_bytes(whole[: int(share * len(whole))])
        refused(read_photo, path)


def test_what_is_no_photo_is_refused(tmp_path):
    (tmp_path / "text.jpg").write_text("no photo at all")
    for read in (read_photo, photo_size):
        refused(read, tmp_path / "text.jpg")
        refused(read, tmp_path / "missing.jpg")
        refused(read, tmp_path)


def test_floating_point_photos_are_refused(tmp_path):
    image = pyvips.Image.new_from_array(np.zeros((40, 40, 1), np.float32))
    image.write_to_file(str(tmp_path / "photo.tif"))
    with pytest.raises(UserError, match="received float32"):
        read_photo(tmp_path / "photo.tif")


# --- crops ----------------------------------------------------------------------------------------


def bilinear(pixels, size):
    """Sampling at pixel centres, edges repeated, in float64."""
    height, width = pixels.shape[:2]

    def places(count):
        at = (np.arange(size) + 0.5) * count / size - 0.5
        low = np.floor(at).astype(int)
        return np.clip(low, 0, count - 1), np.clip(low + 1, 0, count - 1), at - low

    top, bottom, down = places(height)
    left, right, across = places(width)
    down, across = down[:, None, None], across[None, :, None]
    pixels = pixels.astype(float)
    upper = pixels[top][:, left] * (1 - across) + pixels[top][:, right] * across
    lower = pixels[bottom][:, left] * (1 - across) + pixels[bottom][:, right] * across
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize("size", [16, 50, 120])
def test_crop_is_the_window_squeezed_bilinearly(tmp_path, size):
    pixels = pattern(3, 500, 1000)
    path = write(tmp_path / "photo.png", pixels)
    x1, y1, x2, y2 = BY_HAND["too tall"][1]
    crop = read_crop(path, BY_HAND["too tall"][0], size)
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    assert np.abs(crop - bilinear(pixels[y1:y2, x1:x2], size)).max() <= 1.0
    whole = read_crop(path, None, size)
    assert np.abs(whole - bilinear(pixels, size)).max() <= 1.0
