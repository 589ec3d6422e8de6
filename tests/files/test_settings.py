"""Settings of a work root: the method's numbers where nothing is said, and what is refused."""

from contextlib import closing

import cv2
import numpy as np
import pytest
from helpers import refused, write_lines

from kernel_snn.a00_net_kernel import NET
from whales.files.settings import Settings, read_settings, settings_text
from whales.files.workspace import Workspace
from whales.photos.crops import read_crop
from whales.photos.photos import read_photo
from whales.scores.photo_scores import plain_feed
from whales.stages.options import RunOptions
from whales.stages.training_stage import Given, Workbench
from whales.training.plan import Plan


def test_the_method_holds_where_nothing_is_said(tmp_path):
    assert read_settings(tmp_path / "none.json").anisotropy == 2.15
    assert read_settings(write_lines(tmp_path / "empty.json", "{}")).anisotropy == 2.15


def test_what_is_written_is_read(tmp_path):
    path = write_lines(tmp_path / "s.json", settings_text(Settings(anisotropy=0.75)))
    assert read_settings(path) == Settings(anisotropy=0.75)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "expected an object with anisotropy"),
        ('{"anisotropie": 1}', "expected an object with anisotropy"),
        *((f'{{"anisotropy": {value}}}', "expected a number above 0")
          for value in ("0", "-2", "true", '"1"', "null")),
        *((f'{{"anisotropy": {value}}}', "no number of JSON") for value in ("Infinity", "NaN")),
    ],
)  # fmt: skip
def test_other_settings_are_refused(tmp_path, text, said):
    path = write_lines(tmp_path / "s.json", text)
    refused(lambda: read_settings(path), str(path), said)


def test_every_crop_of_a_root_has_its_shape(work_root):
    pixels = np.random.default_rng(0).integers(0, 255, (60, 120, 3), np.uint8)
    (work_root / "data/train").mkdir(parents=True)
    cv2.imwrite(str(work_root / "data/train/a.jpg"), pixels)
    write_lines(work_root / "data/settings.json", '{"anisotropy": 1}')
    box = (20, 10, 50, 40)
    options = RunOptions(Workspace(), workers=1)
    path = Workspace().train_photo("a")
    expected = read_crop(path, box, 32, 1.0)
    assert not np.array_equal(expected, read_crop(path, box, 32))
    plain = plain_feed(options.workspace, 32, {"a": box}, 1)
    np.testing.assert_array_equal(plain.plain("a"), expected)
    plain.close()
    with closing(Workbench(options, NET, Given(None, None))) as bench:
        write_lines(work_root / "data/settings.json", '{"anisotropy": 3}')
        bench.feed(Plan(32, 1, 1, ()), {"a": box})
        write_lines(work_root / "data/settings.json", '{"anisotropy": 1}')
        feed = bench.feed(Plan(32, 1, 1, ()), {"a": box})
        np.testing.assert_array_equal(feed.plain("a"), expected)
        ((left, _),) = feed.pair_batches(["a"], np.array([[0, 0]]), np.array([[5, 6]]), 1)
        thinned = bench.feed(Plan(32, 1, 1, (), augmentation=0), {"a": box})
        ((plain_left, _),) = thinned.pair_batches(["a"], np.array([[0, 0]]), np.array([[5, 6]]), 1)
    own = NET.augmenter(1.0).crop(read_photo(path), box, 32, 5)
    np.testing.assert_array_equal(left[0], own)
    own = NET.augmenter(1.0, 0).crop(read_photo(path), box, 32, 5)
    np.testing.assert_array_equal(plain_left[0], own)
    assert not np.array_equal(plain_left, left)
