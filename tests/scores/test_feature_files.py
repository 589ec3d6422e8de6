"""Features in files: what is mapped is what was written, damage is found, and memory stays small."""

import struct
import zipfile

import numpy as np
import pytest

from whales.scores import feature_files
from whales.scores.feature_files import (
    FeatureTable,
    Streamed,
    joined,
    open_features,
    read_arrays,
    write_arrays,
)


def table(names, width=3, seed=0):
    rows = np.random.default_rng(seed).random((len(names), width), dtype=np.float32)
    return FeatureTable(rows, {name: row for row, name in enumerate(names)})


def write(path, names, rows, stamp="s", **more):
    write_arrays(path, stamp, names=np.array(names, np.str_), features=rows, **more)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_file_is_that_of_savez_byte_by_byte(tmp_path, count):
    names = [f"p{number}" for number in range(count)]
    rows = table(names)
    dense = rows.of(names)
    write(tmp_path / "ours.npz", names, joined([rows], names, block=2), head=np.float32(2))
    np.savez(
        tmp_path / "numpy.npz",
        stamp=np.array("s"),
        names=np.array(names, np.str_),
        features=dense,
        head=np.float32(2),
    )
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()
    assert read_arrays(tmp_path / "ours.npz", "s")["features"].tolist() == dense.tolist()


def test_mapped_rows_are_those_written_in_any_order(tmp_path):
    names = ["a", "b", "c", "d"]
    rows = table(names).of(names)
    write(tmp_path / "f.npz", names, rows, prints=np.array(["1", "2", "3", "4"]))
    arrays, mapped = open_features(tmp_path / "f.npz", "s")
    assert arrays["prints"].tolist() == ["1", "2", "3", "4"]
    assert "features" not in arrays
    assert (list(mapped), len(mapped), mapped.width) == (names, 4, 3)
    np.testing.assert_array_equal(mapped.of(["d", "a", "d"]), rows[[3, 0, 3]])
    np.testing.assert_array_equal(mapped["c"], rows[2])
    assert mapped.of([]).shape == (0, 3)
    some = mapped.only(["x", "d", "b"])
    assert list(some) == ["d", "b"]
    assert "a" not in some
    with pytest.raises(KeyError):
        some.of(["a"])
    copy = mapped.of(["a"])
    copy[:] = 0  # the file is mapped read-only, what is handed out is not it
    np.testing.assert_array_equal(mapped["a"], rows[0])


def test_a_table_stays_what_it_was_when_the_file_is_written_anew(tmp_path):
    path, names = tmp_path / "f.npz", ["a", "b"]
    before, after = table(names), table(names, seed=1)
    write(path, names, joined([before], names))
    _, mapped = open_features(path, "s")
    write(path, names, joined([after], names))
    np.testing.assert_array_equal(mapped.of(names), before.of(names))
    np.testing.assert_array_equal(open_features(path, "s")[1].of(names), after.of(names))


def test_a_disk_that_cannot_be_mapped_is_read(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(19, "No such device")

    names = ["a", "b"]
    write(tmp_path / "f.npz", names, table(names).of(names))
    monkeypatch.setattr(feature_files.mmap, "mmap", refuse)
    _, found = open_features(tmp_path / "f.npz", "s")
    np.testing.assert_array_equal(found.of(["b", "a"]), table(names).of(["b", "a"]))


def test_tables_are_joined_by_name(tmp_path):
    first, second = table(["a", "c", "e"]), table(["b", "d"], seed=1)
    merged = joined([first, second], ["a", "b", "c", "d"], block=3)
    assert merged.shape == (4, 3)
    assert [len(block) for block in merged.blocks] == [3, 1]
    rows = np.concatenate([*joined([first, second], ["a", "b", "c", "d"]).blocks])
    np.testing.assert_array_equal(rows, [first["a"], second["b"], first["c"], second["d"]])


def damaged(name):
    """A way to write a file that is not one of features of two photos."""
    rows = table(["a", "b"]).of(["a", "b"])
    wrong = {
        "fewer rows": rows[:1],
        "more rows": np.repeat(rows, 2, axis=0),
        "float64": rows.astype(np.float64),
        "by columns": np.asfortranarray(rows),
        "one axis": rows[:, 0],
        "not a number": np.where(rows == rows.max(), np.nan, rows).astype(np.float32),
        "infinite": np.where(rows == rows.max(), np.inf, rows).astype(np.float32),
    }
    return wrong[name]


@pytest.mark.parametrize(
    "name",
    ["fewer rows", "more rows", "float64", "by columns", "one axis", "not a number", "infinite"],
)
def test_an_array_of_another_kind_is_no_file_of_features(tmp_path, name):
    write(tmp_path / "f.npz", ["a", "b"], damaged(name))
    assert open_features(tmp_path / "f.npz", "s") is None


def test_another_stamp_and_a_missing_file(tmp_path):
    write(tmp_path / "f.npz", ["a"], table(["a"]).of(["a"]))
    assert open_features(tmp_path / "f.npz", "t") is None
    assert open_features(tmp_path / "g.npz", "s") is None
    write_arrays(tmp_path / "h.npz", "s", names=np.array(["a"]))
    assert open_features(tmp_path / "h.npz", "s") is None


def test_a_torn_flipped_or_compressed_file_is_none(tmp_path):
    path, names = tmp_path / "f.npz", [f"p{number}" for number in range(50)]
    rows = table(names, 40).of(names)
    write(path, names, rows)
    content = path.read_bytes()
    place = content.index(rows.tobytes())
    for torn in (content[: place + 100], content[:-20], b"", content[:40]):
        path.write_bytes(torn)
        assert open_features(path, "s") is None
    # Another number in its place: only the checksum tells.
    path.write_bytes(content[:place] + struct.pack("<f", 0.125) + content[place + 4 :])
    assert open_features(path, "s") is None
    path.write_bytes(content)
    assert open_features(path, "s") is not None
    np.savez_compressed(path, stamp=np.array("s"), names=np.array(names), features=rows)
    assert zipfile.is_zipfile(path)
    assert open_features(path, "s") is None


def test_a_streamed_array_of_fewer_rows_than_it_says_is_found(tmp_path):
    write(tmp_path / "f.npz", ["a", "b"], Streamed((2, 3), [np.ones((1, 3), np.float32)]))
    assert open_features(tmp_path / "f.npz", "s") is None


# 256 MB of features, written and compared in a process that may not have a third of that for its data.
BY_BLOCKS = """
import resource, sys
from pathlib import Path
import numpy as np
from whales.scores.best_by_blocks import Best, blocks
from whales.scores.feature_files import Streamed, open_features, read_arrays, write_arrays
from whales.scores.head import HeadWeights
from whales.scores.pair_scores import score_matrix

path, count, width, block = Path(sys.argv[1]), 65536, 1024, 4096
rng = np.random.default_rng(0)
head = HeadWeights(
    rng.normal(size=(5, 32)).astype(np.float32), rng.normal(size=32).astype(np.float32),
    rng.normal(size=width).astype(np.float32) / 9, np.float32(0),
)
queries = rng.random((2, width), np.float32)

def compare(score, names):
    best, columns = Best(2, 5), np.arange(len(names))
    for part in blocks(len(names), block):
        best.add(score(names[part]), columns[part], columns[part])
    return best

names = [f"p{number}" for number in range(count)]
one = rng.random((block, width), np.float32)
compare(lambda part: score_matrix(head, queries, one[: len(part)]), names[:block])  # compiled

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def data():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024

before = peak()
limit = data() + (80 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
parts = (one * np.float32(1 + part.start) for part in blocks(count, block))
write_arrays(path, "s", names=np.array(names), features=Streamed((count, width), parts))
_, table = open_features(path, "s")
best = compare(lambda part: score_matrix(head, queries, table.of(part)), names)
print(peak() - before, path.stat().st_size >> 20)
again = score_matrix(head, queries, table.of(names[i] for i in best.columns[0]))
assert again[0].tolist() == best.scores[0].tolist()
assert read_arrays(path, "s") == {}  # whole they do not fit
"""


def test_features_larger_than_the_memory_are_written_and_compared(run_python, tmp_path):
    pytest.importorskip("resource")
    done = run_python("-c", BY_BLOCKS, tmp_path / "f.npz")
    assert done.returncode == 0, done.stderr
    grown, size = map(float, done.stdout.split())
    assert size >= 256
    assert grown < 100
