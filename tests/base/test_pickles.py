"""Pickles: round trips, plain types only, whole or not at all."""

import gzip
import os
import pickle
import pickletools

import numpy as np
import pytest
from scipy import sparse

from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.base.writing import atomic_path, write_text
from whales.files.labels import read_labels
from whales.files.matrices import ScoreMatrix

CONTENT = {
    "names": ["a.jpg", "b.jpg"],
    "box": (1, 2, 3, 4),
    "array": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scalar": np.float32(0.5),
    "sparse": sparse.csr_matrix(np.eye(3, dtype=np.float32)),
    "nothing": None,
}


def same(found):
    assert list(found) == list(CONTENT)
    for key in ("names", "box", "nothing", "scalar"):
        assert found[key] == CONTENT[key]
        assert type(found[key]) is type(CONTENT[key])
    np.testing.assert_array_equal(found["array"], CONTENT["array"])
    assert found["array"].dtype == np.float32
    assert sparse.isspmatrix_csr(found["sparse"])
    assert (found["sparse"] != CONTENT["sparse"]).nnz == 0


@pytest.mark.parametrize("name", ["x.pkl", "x.pklz", "new/folder/x.pkl"])
def test_round_trip(tmp_path, name):
    save(tmp_path / name, CONTENT)
    same(load(tmp_path / name))
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [(tmp_path / name).name]


def protocol(data):
    return next(argument for code, argument, _ in pickletools.genops(data) if code.name == "PROTO")


def test_formats(tmp_path):
    save(tmp_path / "x.pkl", CONTENT)
    save(tmp_path / "x.pklz", CONTENT)
    plain, packed = (tmp_path / "x.pkl").read_bytes(), (tmp_path / "x.pklz").read_bytes()
    assert protocol(plain) == 4
    assert protocol(gzip.decompress(packed)) == 4
    assert packed[:2] == b"\x1f\x8b"
    save(tmp_path / "y.pklz", CONTENT)
    assert (tmp_path / "y.pklz").read_bytes() == packed
    save(tmp_path / "long.pklz", [f"w_{i * i}" for i in range(5000)])
    packed = (tmp_path / "long.pklz").read_bytes()
    lengths = [len(gzip.compress(gzip.decompress(packed), level)) for level in range(1, 10)]
    assert len(set(lengths)) > 5
    assert len(packed) == lengths[3 - 1]


def test_readable_with_numpy_and_scipy_alone(tmp_path, run_python):
    save(tmp_path / "x.pkl", CONTENT)
    save(tmp_path / "x.pklz", CONTENT)
    code = (
        "import sys, gzip, pickle, numpy, scipy.sparse\n"
        f"plain = pickle.load(open({str(tmp_path / 'x.pkl')!r}, 'rb'))\n"
        f"packed = pickle.load(gzip.open({str(tmp_path / 'x.pklz')!r}))\n"
        "assert plain['sparse'].toarray().tolist() == numpy.eye(3).tolist()\n"
        "assert plain['names'] == packed['names'] == ['a.jpg', 'b.jpg']\n"
        "assert not {name for name in sys.modules if name.split('.')[0] == 'whales'}\n"
        "print('read')"
    )
    done = run_python("-I", "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, "read"), done.stderr


def test_older_pickles_of_the_same_types_are_read(tmp_path):
    for version in (3, 4, 5):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(CONTENT, version))
        same(load(tmp_path / "x.pkl"))
    boxes = {"0a1b": (1, 2, 3, 4), "ffff": (5, 6, 7, 8)}
    for version in (0, 1, 2):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(boxes, version))
        assert load(tmp_path / "x.pkl") == boxes


class Break(Exception):
    """What an object that cannot be pickled raises."""


class Unwritable:
    def __reduce__(self):
        raise Break


def test_a_failed_write_leaves_the_old_file(tmp_path):
    for name in ("x.pkl", "x.pklz"):
        save(tmp_path / name, [1, 2])
        with pytest.raises(Break):
            save(tmp_path / name, [list(range(100_000)), Unwritable()])
        assert load(tmp_path / name) == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pkl", "x.pklz"]


def test_atomic_path(tmp_path):
    target = tmp_path / "folder" / "weights.h5"

    def write_half():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise Break

    with pytest.raises(Break):
        write_half()
    assert not list(target.parent.iterdir())
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".h5"
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_write_text_keeps_line_ends(tmp_path):
    write_text(tmp_path / "x.csv", "Image,Id\nä,b\r\n")
    assert (tmp_path / "x.csv").read_bytes() == "Image,Id\nä,b\r\n".encode()


class Command:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("name", ["x.pkl", "x.pklz"])
def test_a_pickle_that_would_run_something_is_refused(tmp_path, name):
    written = tmp_path / "written"
    opener = gzip.open if name.endswith("z") else open
    for call, arguments in (
        (os.system, (f"touch {written}",)),
        (eval, (f"open({str(written)!r}, 'w')",)),
        (np.save, (str(written), [1])),
        (getattr, (b"", "decode")),
    ):
        with opener(tmp_path / name, "wb") as out:
            pickle.dump({"score": Command(call, *arguments)}, out)
        with pytest.raises(UserError, match="not a plain type"):
            load(tmp_path / name)
        assert not list(tmp_path.glob("written*"))


def test_a_pickle_with_a_class_of_ours_or_of_pandas_is_refused(tmp_path):
    (tmp_path / "table.csv").write_text("Image,Id\na.jpg,w_1\n")
    for content in (ScoreMatrix([], [], []), read_labels(tmp_path / "table.csv")):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(UserError, match="not a plain type"):
            load(tmp_path / "x.pkl")


@pytest.mark.parametrize("name", ["x.pkl", "x.pklz"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, name):
    save(tmp_path / name, CONTENT)
    whole = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    damaged += [whole[:-1]] + [rng.bytes(80) for _ in range(50)] + [b"Image,Id\na.jpg,w_1\n"]
    for data in damaged:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError) as caught:
            load(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"x\.pkl is missing"):
        load(tmp_path / "x.pkl")
