"""Decoded photos kept on disk: the same pixels, decoded once, never once the photo has changed."""

import os

import cv2
import numpy as np
import pytest

from whales.base.errors import UserError
from whales.photos import cache_room, photo_store
from whales.photos.photo_store import PhotoStore
from whales.photos.photos import read_photo


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.jpg"
    write(path, seed=0)
    return path


@pytest.fixture
def decoded(monkeypatch):
    """Names of the photos that were decoded, in order."""
    names = []

    def counting(path):
        names.append(path.stem)
        return read_photo(path)

    monkeypatch.setattr(photo_store, "read_photo", counting)
    return names


def write(path, seed, shape=(48, 96, 3)):
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, shape, np.uint8))


def test_a_photo_is_decoded_once_and_stays_the_same(photo, tmp_path, decoded):
    store = PhotoStore(tmp_path / "kept")
    first = store.read(photo)
    again = PhotoStore(tmp_path / "kept").read(photo)
    assert decoded == ["a"]
    for pixels in (first, again):
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, read_photo(photo))
    with pytest.raises(ValueError, match="read-only"):
        again[0, 0] = 0


def test_a_changed_photo_is_decoded_anew(photo, tmp_path, decoded):
    store = PhotoStore(tmp_path / "kept")
    store.read(photo)
    write(photo, seed=1, shape=(30, 40, 3))
    os.utime(photo, ns=(1, 1))
    np.testing.assert_array_equal(store.read(photo), read_photo(photo))
    assert decoded == ["a", "a"]


def test_photos_of_one_name_in_two_folders_stay_apart(photo, tmp_path):
    other = tmp_path / "other" / "a.jpg"
    other.parent.mkdir()
    write(other, seed=2)
    store = PhotoStore(tmp_path / "kept")
    for path in (photo, other, photo, other):
        np.testing.assert_array_equal(store.read(path), read_photo(path))


@pytest.mark.parametrize("left", [0, 20, 1000])
def test_a_damaged_file_is_replaced(photo, tmp_path, decoded, left):
    store = PhotoStore(tmp_path / "kept")
    store.read(photo)
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(kept.read_bytes()[:left])
    for _ in range(2):
        np.testing.assert_array_equal(store.read(photo), read_photo(photo))
    assert decoded == ["a", "a"]


def test_a_full_disk_keeps_nothing_more(photo, tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(cache_room, "LEAST_FREE", 2.0)
    store = PhotoStore(tmp_path / "kept")
    for _ in range(2):
        np.testing.assert_array_equal(store.read(photo), read_photo(photo))
    assert decoded == ["a", "a"]
    assert list((tmp_path / "kept").iterdir()) == []


def test_no_more_is_kept_than_the_user_allows(tmp_path, decoded, monkeypatch):
    """Photos of 48 x 96 pixels take 13,824 bytes and a header of 128: two fit into 30,000."""
    monkeypatch.setenv("WHALES_CACHE_GB", "0.00003")
    paths = [tmp_path / f"{name}.jpg" for name in "abcd"]
    for seed, path in enumerate(paths):
        write(path, seed)
    store = PhotoStore(tmp_path / "kept")
    assert store.fault == ""
    for _ in range(2):
        for path in paths:
            np.testing.assert_array_equal(store.read(path), read_photo(path))
    assert decoded == [*"abcd", *"cd"]
    assert "of at most 3e-05 GB (WHALES_CACHE_GB)" in store.fault
    sizes = [path.stat().st_size for path in (tmp_path / "kept").iterdir()]
    assert sizes == [48 * 96 * 3 + 128] * 2


def test_without_a_folder_every_photo_is_decoded(photo, decoded):
    for _ in range(2):
        np.testing.assert_array_equal(PhotoStore(None).read(photo), read_photo(photo))
    assert decoded == ["a", "a"]


def test_a_missing_photo_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg"):
        PhotoStore(tmp_path / "kept").read(tmp_path / "gone.jpg")
