"""Pickles from strangers: sound ones of every age are read, hostile ones end in one line and run nothing."""

import contextlib
import gzip
import pickle
import pickletools
import struct
import sys

import numpy as np
import pytest
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import sparse

from whales.base.errors import UserError
from whales.base.pickles import load

PROTOCOLS = range(6)


def same(left, right):
    """Whether both are of one type and hold the same, bit for bit."""
    if sparse.issparse(left):
        shown = (left.toarray().tobytes(), left.dtype, left.shape, left.format)
        return type(left) is type(right) and shown == (
            right.toarray().tobytes(), right.dtype, right.shape, right.format
        )  # fmt: skip
    if isinstance(left, np.ndarray):
        return (
            left.dtype == right.dtype
            and left.shape == right.shape
            and left.tobytes() == right.tobytes()
            and left.flags.f_contiguous == right.flags.f_contiguous
        )
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and (left == right or left != left)


def kept(tmp_path, data, name="x.pkl"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


numbers = st.one_of(
    npst.integer_dtypes(), npst.unsigned_integer_dtypes(), npst.floating_dtypes(sizes=(16, 32, 64)),
    npst.boolean_dtypes(), npst.complex_number_dtypes(), npst.unicode_string_dtypes(max_len=5),
    npst.byte_string_dtypes(max_len=5),
)  # fmt: skip
arrays = npst.arrays(numbers, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(), st.text(max_size=8),
    st.binary(max_size=8), arrays, arrays.map(np.asfortranarray),
    arrays.filter(lambda a: a.ndim == 0).map(lambda a: a[()]),
)  # fmt: skip
contents = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=4), inner, max_size=4),
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all files that are drawn."""
    return tmp_path_factory.mktemp("drawn")


@given(content=contents, protocol=st.sampled_from(PROTOCOLS))
def test_sound_content_of_every_protocol_is_read(folder, content, protocol):
    data = pickle.dumps(content, protocol)
    assert same(load(kept(folder, data)), pickle.loads(data))
    assert same(load(kept(folder, gzip.compress(data), "x.pklz")), pickle.loads(data))


@given(
    dense=npst.arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(0, 4))),
    form=st.sampled_from(("csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "coo_array")),
    protocol=st.sampled_from(PROTOCOLS),
)
def test_sound_sparse_matrices_of_every_protocol_are_read(folder, dense, form, protocol):
    content = {"score": getattr(sparse, form)(dense), "names": ["a.jpg"]}
    data = pickle.dumps(content, protocol)
    assert same(load(kept(folder, data)), content)


def test_keys_may_be_tuples_of_tuples(tmp_path):
    content = {("photo", ((1.0, 2.0, 3.0, 4.0), 2.15, 1234, 10**18)): 0, ("other", (None, 2.15)): 1}
    assert load(kept(tmp_path, pickle.dumps(content, 4))) == content


def test_names_of_older_numpy_and_scipy_are_read(tmp_path):
    content = {"a": np.arange(3.0), "s": np.float32(2), "m": sparse.csr_matrix(np.eye(2))}
    data = pickle.dumps(content, 4)

    def renamed(old, new):
        """Short texts carry their length in the byte before them."""
        return data.replace(bytes([len(old)]) + old, bytes([len(new)]) + new)

    data = renamed(b"numpy._core.multiarray", b"numpy.core.multiarray")
    data = renamed(b"scipy.sparse._csr", b"scipy.sparse.csr")
    start = data.index(b"\x95")  # no frame, whose length would now be another
    data = data[:start] + data[start + 9 :]
    assert same(load(kept(tmp_path, data)), content)


# --- hostile ones ---------------------------------------------------------------------------------

P4 = b"\x80\x04"


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module, attribute):
    return text(module) + text(attribute) + b"\x93"


def raw(value):
    return b"B" + struct.pack("<I", len(value)) + value


def number(value):
    return b"J" + struct.pack("<i", value)


def array_state(shape, dtype, data):
    return (
        name("numpy._core.multiarray", "_reconstruct") + name("numpy", "ndarray") + number(0)
        + b"\x85" + raw(b"b") + b"\x87R" + b"(" + number(1) + shape + dtype + b"\x89" + data + b"tb"
    )  # fmt: skip


def dtype(code, order="<", flags=0):
    return (
        name("numpy", "dtype") + text(code) + b"\x89\x88\x87R" + b"(" + number(3) + text(order)
        + b"NNN" + number(-1) + number(-1) + number(flags) + b"tb"
    )  # fmt: skip


def dtype_of_nothing():
    return (
        name("numpy", "dtype") + text("S0") + b"\x89\x88\x87R" + b"(" + number(3) + text("|")
        + b"NNN" + number(0) + number(1) + number(0) + b"tb"
    )  # fmt: skip


def csr(**changes):
    matrix = sparse.csr_matrix(np.eye(3, dtype=np.float32))
    for key, value in changes.items():
        setattr(matrix, key, value)
    return pickle.dumps(matrix, 4)


def looped():
    loop = []
    loop.append({"x": loop})
    return pickle.dumps(loop, 4)


def laughing():
    level = ["ha"] * 8
    for _ in range(30):
        level = [level] * 8
    return pickle.dumps(level, 4)


CASES = {
    "a class of Python": pickle.dumps(print, 4),
    "eval": P4 + name("builtins", "eval") + text("1") + b"\x85R.",
    "a module's dictionary": P4 + name("numpy.dtypes", "__dict__") + b".",
    "a module's builtins": P4 + name("numpy.dtypes", "__builtins__") + b".",
    "a module that runs": P4 + name("numpy.f2py.__main__", "ndarray") + b".",
    "another module's name": P4 + name("numpy", "load") + b".",
    "a dotted name": P4 + name("numpy", "ndarray.tofile") + b".",
    "a matrix of another module": P4 + name("scipy.sparse.linalg", "csr_matrix") + b".",
    "BUILD on a class": P4 + name("scipy.sparse", "csr_matrix") + b"}" + text("tocsr") + b"Nsb.",
    "BUILD on a dict": P4 + b"}}" + text("x") + b"Nsb.",
    "calling a number": P4 + number(1) + b")R.",
    "an object dtype": P4 + array_state(number(4) + b"\x85", dtype("O8", "|"), raw(b"A" * 32)) + b".",
    "flags of a dtype": P4 + array_state(number(1) + b"\x85", dtype("i4", flags=63), raw(b"AAAA")) + b".",
    "fields of a dtype": P4 + name("numpy", "dtype") + text("V8") + b"\x89\x88\x87R.",
    "an array longer than its data": P4
    + array_state(number(2**30) + b"\x85", dtype("f4"), raw(b"AAAA")) + b".",
    "a negative side": P4 + array_state(number(-1) + b"\x85", dtype("f4"), raw(b"")) + b".",
    "array data that are no bytes": P4 + array_state(number(1) + b"\x85", dtype("f4"), b"]") + b".",
    "indices outside": csr(indices=np.array([0, 10**8, 2], np.int32)),
    "negative indices": csr(indices=np.array([0, -1, 2], np.int32)),
    "rows that run back": csr(indptr=np.array([0, 3, 2, 3], np.int32)),
    "rows past the end": csr(indptr=np.array([0, 1, 2, 9], np.int32)),
    "too few rows": csr(indptr=np.array([0, 3], np.int32)),
    "fewer scores than indices": csr(data=np.ones(2, np.float32)),
    "indices that are floats": csr(indices=np.array([0.0, 1, 2])),
    "a shape without end": csr(_shape=(3, 2**60)),
    "scores of objects": csr(data=np.array([None, None, None])),
    "400,000 deep as a key": P4 + b"})" + b"\x85" * 400_000 + number(1) + b"s.",
    "400,000 deep": P4 + b")" + b"\x85" * 400_000 + b".",
    "a loop": looped(),
    "a laugh that unfolds": laughing(),
    "a memo without end": P4 + b"Nr" + struct.pack("<I", 2**32 - 1) + b".",
    "lists without end": P4 + b"]" * 4_000_000 + b".",
    "a text longer than the file": P4 + b"\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "bytes longer than the file": P4 + b"\x8e" + struct.pack("<Q", 2**40) + b"x.",
    "a frame longer than the file": P4 + b"\x95" + struct.pack("<Q", 2**62) + b"N.",
    "a number without end": b"I" + b"9" * 100_000 + b"\n.",
    "extension codes": P4 + b"\x82\x01.",
    "a persistent name": P4 + text("x") + b"Q.",
    "an instance of Python 2": b"(i__builtin__\neval\n.",
    "an object of Python 2": b"(c__builtin__\neval\no.",
    "appending to a text": P4 + text("x") + text("y") + b"a.",
    "a key that takes for ever to hash": P4 + b"})" + b"2\x86" * 40 + b"Ns.",
    "the same by the memo": P4 + b"})\x94" + b"".join(
        b"h" + bytes([i]) + b"\x86\x94" for i in range(40)
    ) + b"Ns.",
    "twice the same without end": P4 + b"]" + b"2\x86" * 50 + b".",
    "a list that holds itself": P4 + b"]2a.",
    "marks without end": P4 + b"(" * 8_000_000 + b".",
    "notes without end": P4 + b"N" + b"\x94" * 8_000_000 + b".",
    "elements without content": P4
    + array_state(b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85", dtype_of_nothing(), raw(b""))
    + b".",
    "keys that collide": pickle.dumps({k * (2**61 - 1): 0 for k in range(50)}, 4),
    "members that collide": pickle.dumps({(k * (2**61 - 1),) for k in range(50)}, 4),
    "nothing": b"",
    "cut off": pickle.dumps(list(range(1000)), 4)[:-20],
    "two pickles' worth of marks": P4 + b"((((.",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_hostile_content_is_refused_in_one_line(tmp_path, case):
    if case == "a memo without end":
        assert load(kept(tmp_path, CASES[case])) is None  # the memo is a dict, not an array
        return
    refused(lambda: load(kept(tmp_path, CASES[case])), "x.pkl cannot be read as a pickle")


def test_a_gzip_bomb_is_refused(tmp_path):
    bomb = gzip.compress(P4 + b"B" + struct.pack("<I", 300_000_000) + bytes(300_000_000) + b".")
    assert len(bomb) < 400_000
    refused(lambda: load(kept(tmp_path, bomb, "x.pklz")), "unfolds to far more than its own length")


def test_nothing_is_imported_or_changed(tmp_path):
    before = dict(sparse.csr_matrix.__dict__), set(sys.modules)
    for data in CASES.values():
        with contextlib.suppress(UserError):
            load(kept(tmp_path, data))
    assert dict(sparse.csr_matrix.__dict__) == before[0]
    assert "numpy.f2py.__main__" not in set(sys.modules) - before[1]


@given(data=st.data())
def test_whatever_the_bytes_only_plain_content_or_a_refusal_comes_out(folder, data):
    """Programs drawn from the machine's own instructions, and sound pickles with a byte changed."""
    codes = [code.code.encode("latin-1") for code in pickletools.opcodes]
    arguments = st.one_of(st.binary(max_size=6), st.just(text("numpy")), st.just(number(3)))
    if data.draw(st.booleans()):
        parts = data.draw(st.lists(st.one_of(st.sampled_from(codes), arguments), max_size=30))
        program = P4 + b"".join(parts) + b"."
    else:
        program = bytearray(pickle.dumps({"a": [1, (2.5, "x")], "m": np.arange(4)}, 4))
        program[data.draw(st.integers(0, len(program) - 1))] = data.draw(st.integers(0, 255))
    path = kept(folder, bytes(program))
    with contextlib.suppress(UserError):  # anything else that is raised fails the test
        repr(load(path))
