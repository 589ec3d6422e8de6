"""Crops kept on disk: found by other processes, never once photo or box has changed."""

import os
import pickle
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from whales.photos import cache_room, crop_store, feeding
from whales.photos.crop_store import CropStore, key_of
from whales.photos.crops import read_crop
from whales.photos.feeding import PhotoFeed

BOX = (10, 5, 70, 40)


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "abc":
        cv2.imwrite(str(folder / f"{name}.jpg"), rng.integers(0, 255, (48, 96, 3), np.uint8))
    return folder


def feed(photos, store, size=32, boxes=None, **more):
    boxes = boxes or {"a": BOX}
    return PhotoFeed(lambda name: photos / f"{name}.jpg", boxes, size, store=store, **more)


def plain(photos, store, monkeypatch, names="abc", **more):
    """Crops through a feed, and how many of them were decoded."""
    decoded = []

    def counting(path, *how):
        decoded.append(path.stem)
        return read_crop(path, *how)

    monkeypatch.setattr(feeding, "read_crop", counting)
    source = feed(photos, store, **more)
    crops = {name: np.array(source.plain(name)) for name in names}
    source.close()
    return crops, decoded


def test_a_photo_is_decoded_once(photos, tmp_path, monkeypatch):
    store = tmp_path / "crops"
    first, decoded = plain(photos, store, monkeypatch)
    assert sorted(decoded) == ["a", "b", "c"]
    again, decoded = plain(photos, store, monkeypatch)
    assert decoded == []
    for name, crop in again.items():
        np.testing.assert_array_equal(crop, first[name])
        expected = read_crop(photos / f"{name}.jpg", {"a": BOX}.get(name), 32)
        np.testing.assert_array_equal(crop, expected)


def test_other_sizes_shapes_boxes_and_photos_are_made_anew(photos, tmp_path, monkeypatch):
    store = tmp_path / "crops"
    plain(photos, store, monkeypatch)
    assert plain(photos, store, monkeypatch, size=24)[1] == ["a", "b", "c"]
    assert plain(photos, store, monkeypatch, boxes={"a": (0, 0, 50, 40)})[1] == ["a"]
    square, decoded = plain(photos, store, monkeypatch, anisotropy=1.0)
    assert decoded == ["a", "b", "c"]
    np.testing.assert_array_equal(square["a"], read_crop(photos / "a.jpg", BOX, 32, 1.0))
    shutil.copy(photos / "c.jpg", photos / "b.jpg")
    os.utime(photos / "b.jpg", ns=(1, 1))
    crops, decoded = plain(photos, store, monkeypatch)
    assert decoded == ["b"]  # a's crop of the first box is still there
    np.testing.assert_array_equal(crops["b"], crops["c"])
    assert plain(photos, store, monkeypatch)[1] == []


def test_a_photo_of_equal_size_and_time_is_another_one(photos, tmp_path, monkeypatch):
    store, other = tmp_path / "crops", tmp_path / "other.jpg"
    plain(photos, store, monkeypatch)
    status = (photos / "a.jpg").stat()
    content = (photos / "c.jpg").read_bytes()[: status.st_size]
    other.write_bytes(content + bytes(status.st_size - len(content)))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(photos / "a.jpg")  # as `rsync --times` does
    assert (photos / "a.jpg").stat().st_mtime_ns == status.st_mtime_ns
    assert plain(photos, store, monkeypatch)[1] == ["a"]


def test_processes_side_by_side(photos, tmp_path, monkeypatch):
    store = tmp_path / "crops"
    both = [feed(photos, store) for _ in range(2)]
    for name, one in (("a", both[0]), ("b", both[1]), ("c", both[0]), ("c", both[1])):
        one.plain(name)
    for one in both:
        one.close()
    assert plain(photos, store, monkeypatch)[1] == []


def test_what_a_killed_process_left_is_removed(photos, tmp_path):
    store = tmp_path / "crops"
    script = (
        "import numpy as np, os, signal, sys; from pathlib import Path\n"
        "from whales.photos.crop_store import CropStore\n"
        f"kept = CropStore(Path({str(store)!r}), 8)\n"
        "kept.put('a', (), np.zeros((8, 8, 3), np.uint8)); kept._file.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    alive = CropStore(store, 8)
    alive.put("b", (), np.ones((8, 8, 3), np.uint8))
    assert len(list(store.glob("*.u8"))) == 1
    CropStore(store, 8)  # this process is alive: its shard stays
    assert len(list(store.glob("*.u8"))) == 1
    alive.close()
    assert CropStore(store, 8).get("b", ()).all()
    assert CropStore(store, 8).get("a", ()) is None


def test_published_on_the_way_and_damage(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(crop_store, "_PUBLISH", 2)
    store, key = tmp_path / "crops", key_of(photos / "a.jpg", BOX, 2.15)
    writer = CropStore(store, 8)
    for place, name in enumerate("abc"):
        writer.put(name, key, np.full((8, 8, 3), place, np.uint8))
    reader = CropStore(store, 8)
    assert (reader.get("b", key) == 1).all()
    assert reader.get("c", key) is None
    writer.close()
    index = next(store.glob("*.pkl"))
    whole = index.read_bytes()
    for content in (whole[:-5], pickle.dumps([1]), pickle.dumps({"b": (0, key)})):
        index.write_bytes(content)
        assert CropStore(store, 8).get("b", key) is None
    index.write_bytes(whole)
    assert CropStore(store, 8).get("b", key) is not None


def test_no_more_is_kept_on_a_full_disk(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cache_room, "LEAST_FREE", 2.0)
    writer = CropStore(tmp_path, 8)
    for name in "ab":
        writer.put(name, (), np.zeros((8, 8, 3), np.uint8))
    writer.close()
    assert CropStore(tmp_path, 8).get("a", ()) is None
    assert capsys.readouterr().out.count("\n") == 1


def test_no_more_is_kept_than_the_user_allows(tmp_path, monkeypatch, capsys):
    """Crops take 8 * 8 * 3 = 192 bytes: five fit into 1000."""
    monkeypatch.setenv("WHALES_CACHE_GB", "0.000001")
    writer = CropStore(tmp_path, 8)
    for name in "abcdefg":
        writer.put(name, (), np.full((8, 8, 3), ord(name), np.uint8))
    writer.close()
    reader = CropStore(tmp_path, 8)
    assert [name for name in "abcdefg" if reader.get(name, ()) is not None] == list("abcde")
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        f"no more crops of 8 px are kept, which only costs time: {tmp_path} holds 0.0 of at most 1e-06 GB "
        "(WHALES_CACHE_GB)"
    )
    other = CropStore(tmp_path, 16)  # the bound is of the folder, whatever the size
    other.put("a", (), np.zeros((16, 16, 3), np.uint8))
    other.close()
    assert [path.name for path in tmp_path.glob("16px*")] == []


def test_a_missing_photo_is_named(photos, tmp_path):
    from whales.base.errors import UserError

    source = feed(photos, tmp_path / "crops")
    with pytest.raises(UserError, match=r"x\.jpg"):
        source.plain("x")
    source.close()
