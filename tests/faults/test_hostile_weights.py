"""Weight files from strangers: nothing outside the file is read, nothing odd becomes a weight."""

import os
import shutil

import h5py
import numpy as np
import pytest
from helpers import refused

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET


@pytest.fixture(scope="module")
def network():
    return NET.network(32, None, "smoke")


@pytest.fixture(scope="module")
def sound(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "sound.h5"
    network.save_weights(path)
    return path


@pytest.fixture
def opened(sound, tmp_path):
    """A copy of a sound file, open for changes; the path and the place of its first array."""
    path = shutil.copy(sound, tmp_path / "w.h5")
    with h5py.File(path, "r+") as file:
        branch = file.attrs["layer_names"][2].decode()
        name = file[branch].attrs["weight_names"][0].decode()
        yield file, f"{branch}/{name}", path


def replaced(file, place, make):
    """Put something else where an array was."""
    shape = file[place].shape
    del file[place]
    make(file, place, shape)


def external_link(file, place, shape):
    with h5py.File(os.path.join(os.path.dirname(file.filename), "other.h5"), "w") as other:
        other["x"] = np.zeros(shape, np.float32)
    file[place] = h5py.ExternalLink("other.h5", "x")


def soft_link(file, place, shape):
    file["elsewhere"] = np.zeros(shape, np.float32)
    file[place] = h5py.SoftLink("/elsewhere")


def external_storage(file, place, shape):
    size = int(np.prod(shape)) * 4
    outside = os.path.join(os.path.dirname(file.filename), "raw.bin")
    with open(outside, "wb") as out:
        out.write(bytes(size))
    file.create_dataset(place, shape, np.float32, external=[(outside, 0, size)])


def virtual(file, place, shape):
    layout = h5py.VirtualLayout(shape, np.float32)
    layout[...] = h5py.VirtualSource("other.h5", "x", shape)
    file.create_virtual_dataset(place, layout)


def of_nan(file, place, shape):
    values = np.zeros(shape, np.float32)
    values.flat[-1] = np.nan
    file[place] = values


def of_infinity(file, place, shape):
    file[place] = np.full(shape, np.inf, np.float32)


def of_text(file, place, shape):
    file[place] = np.full(shape, b"x")


def never_written(file, place, shape):
    """A size that is declared alone: some 16 TB of zeros in a few bytes."""
    file.create_dataset(place, (2**21, 2**21), np.float32, chunks=(1024, 1024))


def a_group(file, place, shape):
    file.create_group(place)


CASES = {
    external_link: "is a link to elsewhere",
    soft_link: "is a link to elsewhere",
    external_storage: "lie outside the file",
    virtual: "lie outside the file",
    of_nan: "holds NaN or infinite numbers",
    of_infinity: "holds NaN or infinite numbers",
    of_text: "is no array of numbers",
    never_written: "is far larger than its file",
    a_group: "is no array of numbers",
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_an_odd_array_is_refused_by_name_and_no_weight_changes(network, opened, make):
    file, place, path = opened
    replaced(file, place, make)
    file.close()
    before = [np.asarray(value).copy() for value in network.branch.get_weights()]
    refused(lambda: network.load_weights(path), str(path), place.split("/")[-1], CASES[make])
    for left, right in zip(before, network.branch.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_groups_that_are_links_are_refused(network, opened):
    file, place, path = opened
    group = place.split("/")[0]
    file.move(group, "moved")
    file[group] = h5py.SoftLink("/moved")
    file.close()
    refused(lambda: network.load_weights(path), str(path), "is a link to elsewhere")


def test_a_pipe_behind_a_link_is_refused_at_once(network, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "w.h5").symlink_to(tmp_path / "pipe")
    refused(lambda: network.load_weights(tmp_path / "w.h5"), "weight file is missing")


def test_a_sound_file_is_read_through_a_link(network, sound, tmp_path):
    (tmp_path / "w.h5").symlink_to(sound)
    network.load_weights(tmp_path / "w.h5")


def test_a_grey_kernel_of_nan_is_refused_too(tmp_path):
    net = KERNEL.network(64, None, "smoke")
    path = tmp_path / "grey.h5"
    net.save_weights(path)
    with h5py.File(path, "r+") as file:
        place = "branch_model/bm_conv2d_1/kernel:0"
        grey = np.asarray(file[place])[:, :, :1]
        grey[0, 0, 0, 0] = np.nan
        del file[place]
        file[place] = grey
    refused(lambda: net.load_weights(path), str(path), "NaN")
