"""The bound of the caches: by what the folder holds, whoever wrote it, and by what the user allows."""

import re
from functools import partial

import cv2
import numpy as np
import pytest
from helpers import refused

from siamese_net_v5_densenet121.a02_augmentation_v5 import transforms
from whales.photos import cache_room
from whales.photos.augment import Augmenter
from whales.photos.cache_room import CacheRoom, most_gb
from whales.photos.feeding import PhotoFeed


@pytest.mark.parametrize(("text", "number"), [("", 50.0), ("0", 0.0), ("0.5", 0.5), ("200", 200.0)])
def test_the_user_names_the_most(monkeypatch, text, number):
    monkeypatch.setenv("WHALES_CACHE_GB", text)
    assert most_gb() == number


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "many", "5 GB"])
def test_what_is_no_number_is_refused(monkeypatch, tmp_path, text):
    monkeypatch.setenv("WHALES_CACHE_GB", text)
    refused(lambda: CacheRoom(tmp_path), "WHALES_CACHE_GB", f"received {text}")


def test_what_others_wrote_counts(monkeypatch, tmp_path):
    monkeypatch.setenv("WHALES_CACHE_GB", "0.000001")
    (tmp_path / "of another process").write_bytes(bytes(700))
    room = CacheRoom(tmp_path)
    assert room.allows(300)
    assert not room.allows(1)
    assert room.fault == f"{tmp_path} holds 0.0 of at most 1e-06 GB (WHALES_CACHE_GB)"
    assert not room.allows(0)  # for good: the stages to come find the same
    assert not CacheRoom(tmp_path).allows(301)
    assert CacheRoom(tmp_path).allows(300)


def test_the_folder_is_measured_again_on_the_way(monkeypatch, tmp_path):
    monkeypatch.setenv("WHALES_CACHE_GB", "0.00001")
    monkeypatch.setattr(cache_room, "_MEASURE", 1000)
    room = CacheRoom(tmp_path)
    assert room.allows(800)
    (tmp_path / "of another process").write_bytes(bytes(9900))
    assert room.allows(200)  # not yet looked at: the bound is overdrawn by 1000 bytes at most
    assert not room.allows(101)


def test_a_full_cache_ends_no_training_and_is_said_once(monkeypatch, tmp_path, capsys):
    """Two workers, whose photos do not fit: the crops are those of an unbounded cache."""
    for seed, name in enumerate("abcdefgh"):
        pixels = np.random.default_rng(seed).integers(0, 255, (48, 96, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), pixels)
    pairs = np.array([(0, 1), (2, 3), (4, 5), (6, 7)] * 4)
    seeds = np.arange(pairs.size).reshape(pairs.shape)

    def batches(gigabytes):
        monkeypatch.setenv("WHALES_CACHE_GB", gigabytes)
        folder = tmp_path / f"cache{gigabytes}"
        feed = PhotoFeed(
            partial(_path, tmp_path), {}, 32, 2, partial(Augmenter, transforms, False), None, folder
        )
        made = [np.stack(sides) for sides in feed.pair_batches("abcdefgh", pairs, seeds, 4)]
        feed.close()
        return np.concatenate(made), len(list(folder.glob("*.npy"))), capsys.readouterr().out

    expected, kept, said = batches("1")
    assert (kept, said) == (8, "")
    crops, kept, said = batches("0.00002")  # 13,952 bytes a photo
    np.testing.assert_array_equal(crops, expected)
    assert 1 <= kept <= 2  # one for each worker that looked before the other wrote
    assert re.fullmatch(r"no more decoded photos are kept, which only costs time: .*\n", said)


def _path(folder, name):
    return folder / f"{name}.jpg"
