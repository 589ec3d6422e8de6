"""A reader of pickles that runs no code: numbers, texts, containers, NumPy arrays, SciPy matrices.

Files come from strangers. A pickle is a program for a small machine; this one has no instruction that
calls anything but the few constructors below, each of which proves its arguments first: lengths before
an array is made, indices before a sparse matrix is. How deep a file nests, how much it may unfold from
its own length, and loops in it are bounded as well.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import methodcaller
from typing import IO, ClassVar, TypeGuard

import numpy as np
from scipy import sparse

# Containers inside containers; the pipeline's own files have six at most.
MAX_DEPTH = 64
# What a file may unfold to, in bytes: so much whatever its length, and so many times its length.
FREE_BYTES, UNFOLD_RATIO = 64 << 20, 24
# Parts of a key of a dict, all it holds unfolded; the pipeline's own have ten at most.
_MOST_KEY_PARTS = 1000
# Whole numbers from here on can be made to have one hash, and so to take very long in a dict.
_HASHED_AS_THEY_ARE, _MOST_ALIKE = (1 << 61) - 1, 20
# Rough size of a small object in memory, bytes.
_CONTAINER_BYTES, _OBJECT_BYTES = 72, 32

_CONTAINERS = (list, tuple, dict, set, frozenset)
_MATRICES = ("csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "csc_array", "coo_array")
# Byte order, kind (bool, integers, floats, complex numbers, bytes, text), size.
_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6})")
# Sides of an array without content, multiplied (0 counts as 1): what loops over it must end.
_MOST_EMPTY = 1 << 24


class PlainUnpickler(pickle._Unpickler):
    """Reads one pickle of a file that holds `size` bytes; everything odd is an `UnpicklingError`."""

    dispatch: ClassVar[dict[int, Callable[[PlainUnpickler], None]]]
    stack: list[object]
    metastack: list[list[object]]

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._source = _Bounded(file, size)
        super().__init__(self._source, encoding="latin1")  # texts of Python 2 are bytes
        self._budget = FREE_BYTES + UNFOLD_RATIO * size
        self._depths: dict[int, int] = {}
        self._hashes: Counter[int] = Counter()
        self._shares = False

    def load(self) -> object:
        """The content."""
        content = super().load()
        if self._shares:
            _check_unfolded(content, self._budget)
        return content

    # --- what a file may call ---------------------------------------------------------------------

    def find_class(self, module: str, name: str) -> object:
        """The constructor that stands for a name; any other name is refused."""
        constructor = _CONSTRUCTORS.get((module, name))
        # SciPy keeps moving the private modules that old pickles name; none of them is imported.
        if name in _MATRICES and re.fullmatch(r"scipy\.sparse(\._?(csr|csc|coo))?", module):
            constructor = _Matrix(name)
        if constructor is None:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not a plain type")
        return constructor

    def _load_reduce(self) -> None:
        arguments = self.stack.pop()
        constructor = self.stack[-1]
        if not isinstance(constructor, _Constructor) or type(arguments) is not tuple:
            raise pickle.UnpicklingError("it calls what is no plain constructor")
        self.stack[-1] = self._counted(constructor.make(*arguments))

    def _load_newobj(self) -> None:
        self._load_reduce()

    def _load_build(self) -> None:
        state = self.stack.pop()
        _set_state(self.stack[-1], state, self._budget)

    # --- what it may build ------------------------------------------------------------------------

    def _counted(self, value: object) -> object:
        """The value, once its size is taken from the budget and its depth is known to be small."""
        container = isinstance(value, _CONTAINERS)
        self._spend(_CONTAINER_BYTES if container else _OBJECT_BYTES)
        if container:
            self._depths[id(value)] = 1
            self._deepen(value, value)
        return value

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise pickle.UnpicklingError("it unfolds to far more than its own length")

    def _deepen(self, container: object, children: Iterable[object]) -> None:
        """Note that a container holds `children`."""
        if isinstance(children, dict):
            children = (part for item in children.items() for part in item)
        below = max(
            (self._depths.get(id(c), 1) for c in children if isinstance(c, _CONTAINERS)), default=0
        )
        depth = max(self._depths.get(id(container), 1), below + 1)
        if depth > MAX_DEPTH:
            raise pickle.UnpicklingError(f"it nests containers more than {MAX_DEPTH} deep")
        self._depths[id(container)] = depth

    def _load_get(self, read: Callable[[PlainUnpickler], None]) -> None:
        read(self)
        self._spend(8)
        self._shares |= isinstance(self.stack[-1], _CONTAINERS)

    def _load_value(self, read: Callable[[PlainUnpickler], None]) -> None:
        """An instruction that leaves one new value on the stack."""
        read(self)
        self._counted(self.stack[-1])

    def _load_hashed(self, read: Callable[[PlainUnpickler], None]) -> None:
        """An instruction that makes a dict or set of all that is above the mark."""
        self._check_keys(self.stack)
        self._load_value(read)

    def _load_dict(self, read: Callable[[PlainUnpickler], None]) -> None:
        """An instruction that makes a dict of the keys and values above the mark."""
        self._check_keys(self.stack[::2])
        self._load_value(read)

    def _load_costly(self, read: Callable[[PlainUnpickler], None]) -> None:
        """An instruction that takes memory and leaves no value."""
        read(self)
        self._spend(_CONTAINER_BYTES)

    def _check_keys(self, keys: Sequence[object]) -> None:
        """Refuse keys that take long to hash: a tuple is hashed part by part, each time it is met."""
        for key in keys:
            count, waiting = 0, [key]
            while waiting:
                value = waiting.pop()
                count += 1
                if isinstance(value, int) and abs(value) >= _HASHED_AS_THEY_ARE:
                    self._hashes[hash(value)] += 1
                    if self._hashes[hash(value)] > _MOST_ALIKE:
                        raise pickle.UnpicklingError("too many of its keys have one hash")
                if isinstance(value, _CONTAINERS):
                    count += len(value)
                    if count > _MOST_KEY_PARTS:
                        raise pickle.UnpicklingError("a key of it unfolds to far too many parts")
                    waiting += value

    def _load_append(self, read: Callable[[PlainUnpickler], None]) -> None:
        added = self.stack[-1:]
        if type(self.stack[-2]) is not list:
            raise pickle.UnpicklingError("it appends to what is no list")
        read(self)
        self._deepen(self.stack[-1], added)

    def _load_items(self, read: Callable[[PlainUnpickler], None], kind: type) -> None:
        """An instruction that fills a container with all that is above the mark."""
        added = list(self.stack)
        below = self.metastack[-1] if self.metastack else []
        if not below or not isinstance(below[-1], kind):
            raise pickle.UnpicklingError(f"it fills what is no {kind.__name__}")
        if kind is not list:
            self._check_keys(added[::2] if kind is dict else added)
        read(self)
        self._deepen(self.stack[-1], added)

    def _load_setitem(self, read: Callable[[PlainUnpickler], None]) -> None:
        added = self.stack[-2:]
        if not isinstance(self.stack[-3], dict):
            raise pickle.UnpicklingError("it sets an item of what is no dict")
        self._check_keys(added[:1])
        read(self)
        self._deepen(self.stack[-1], added)


def _wrapped(method: Callable[..., None], *more: object) -> Callable[..., Callable]:
    def wrap(read: Callable[[PlainUnpickler], None]) -> Callable[[PlainUnpickler], None]:
        return lambda unpickler: method(unpickler, read, *more)

    return wrap


def _instructions() -> dict[int, Callable[[PlainUnpickler], None]]:
    """The machine's instructions: Python's own for plain values, guarded; all others are left out."""
    kept: dict[int, Callable[[PlainUnpickler], None]] = {}
    original = pickle._Unpickler.dispatch

    def keep(names: str, wrap: Callable | None = None) -> None:
        for name in names.split():
            code = getattr(pickle, name)[0]
            kept[code] = wrap(original[code]) if wrap else original[code]

    keep("PROTO FRAME POP POP_MARK STOP")
    keep("MARK PUT BINPUT LONG_BINPUT MEMOIZE", _wrapped(PlainUnpickler._load_costly))
    keep("NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT")
    keep("STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8")
    keep("UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 GLOBAL STACK_GLOBAL")
    value = _wrapped(PlainUnpickler._load_value)
    keep("EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST EMPTY_DICT EMPTY_SET", value)
    keep("FROZENSET", _wrapped(PlainUnpickler._load_hashed))
    keep("DICT", _wrapped(PlainUnpickler._load_dict))
    keep("GET BINGET LONG_BINGET", _wrapped(PlainUnpickler._load_get))
    keep("APPEND", _wrapped(PlainUnpickler._load_append))
    keep("APPENDS", _wrapped(PlainUnpickler._load_items, list))
    keep("SETITEMS", _wrapped(PlainUnpickler._load_items, dict))
    keep("ADDITEMS", _wrapped(PlainUnpickler._load_items, set))
    keep("SETITEM", _wrapped(PlainUnpickler._load_setitem))
    kept[pickle.REDUCE[0]] = PlainUnpickler._load_reduce
    kept[pickle.NEWOBJ[0]] = PlainUnpickler._load_newobj
    kept[pickle.BUILD[0]] = PlainUnpickler._load_build
    return kept


class _Bounded:
    """A file that is never asked for more than it holds."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self._left:
            raise EOFError("it ends too early")
        self._left -= count
        return self._file.read(count)

    def readinto(self, buffer: bytearray) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self) -> bytes:
        line = self._file.readline(self._left)
        self._left -= len(line)
        return line


# ------------------------------------------------------------------------------------------------
# Constructors


class _Constructor:
    """What a name in a pickle stands for; no module is imported on the file's word."""

    def make(self, *arguments: object) -> object:
        """A new object; `UnpicklingError` for arguments that a plain pickle never has."""
        raise pickle.UnpicklingError("it makes an object of a type that is only named")


class _Token(_Constructor):
    """A type that is named only as an argument of another constructor."""


class _Function(_Constructor):
    """A constructor that is one function of ours."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def make(self, *arguments: object) -> object:
        """What the function makes of the arguments."""
        try:
            return self._function(*arguments)
        except TypeError as reason:
            raise pickle.UnpicklingError(f"odd arguments ({reason})") from reason


class _Matrix(_Constructor):
    """A sparse matrix: empty when made, filled by its state once that is proven."""

    def __init__(self, name: str) -> None:
        self.kind: type = getattr(sparse, name)

    def make(self, *arguments: object) -> object:
        """An empty matrix of the kind."""
        if arguments:
            raise pickle.UnpicklingError("a sparse matrix with arguments")
        return self.kind((0, 0))


_ARRAY, _OBJECT = _Token(), _Token()


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise pickle.UnpicklingError(fault)


def _dtype(text: object, align: object = False, copy: object = True) -> np.dtype:
    _require(isinstance(text, str) and _DTYPE.fullmatch(text) is not None, f"dtype {text!r}")
    return np.dtype(str(text), copy=True)


def _array(kind: object, shape: object, code: object) -> np.ndarray:
    """An empty array, which its state fills."""
    _require(kind is _ARRAY and shape == (0,) and code in (b"b", "b"), "an odd array")
    return np.empty(0, np.int8)


def _buffer_array(buffer: object, dtype: object, shape: object, order: object) -> np.ndarray:
    data = _bytes(buffer)
    kind, sides = _proven(data, dtype, shape)
    if order not in ("C", "F"):
        raise pickle.UnpicklingError("an odd order of an array")
    if not data:
        return np.zeros(sides, kind)
    array = np.frombuffer(data, kind).reshape(sides, order="F" if order == "F" else "C")
    return array if isinstance(buffer, bytes) else array.copy(order="K")


def _scalar(dtype: object, data: object) -> np.generic:
    data = _bytes(data)
    kind, _ = _proven(data, dtype, ())
    return np.frombuffer(data, kind)[0] if data else np.zeros((), kind)[()]


def _encoded(text: object, encoding: object) -> bytes:
    """Bytes as protocols below 3 keep them."""
    _require(isinstance(text, str) and encoding in ("latin1", "latin-1"), "oddly encoded bytes")
    return str(text).encode("latin-1")


def _no_bytes() -> bytes:
    """Empty bytes as protocols below 3 keep them."""
    return b""


def _bytearray(*content: object) -> bytearray:
    """A bytearray as protocols below 5 keep it."""
    if not content:
        return bytearray()
    _require(len(content) == 1 or content[1:] in (("latin-1",), ("latin1",)), "an odd bytearray")
    return bytearray(_bytes(content[0]))


def _reconstructed(kind: object, base: object, state: object) -> object:
    """An object without arguments as protocols below 2 make it."""
    if not isinstance(kind, _Matrix) or base is not _OBJECT or state is not None:
        raise pickle.UnpicklingError("an odd object")
    return kind.make()


def _ordered(*pairs: object) -> OrderedDict:
    _require(not pairs or (len(pairs) == 1 and pairs[0] == []), "an odd ordered dict")
    return OrderedDict()


def _bytes(value: object) -> bytes:
    if isinstance(value, str):  # of Python 2
        value = value.encode("latin-1")
    if isinstance(value, bytearray):
        return bytes(value)
    if not isinstance(value, bytes):
        raise pickle.UnpicklingError("an array's content is no bytes")
    return value


def _proven(data: bytes, dtype: object, shape: object) -> tuple[np.dtype, tuple[int, ...]]:
    """The dtype and shape of an array, once it is proven that the data are just what they ask for."""
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufcSU":
        raise pickle.UnpicklingError("an odd dtype")
    if not _is_shape(shape):
        raise pickle.UnpicklingError("an odd shape")
    size = dtype.itemsize * math.prod(shape)
    sides = math.prod(max(side, 1) for side in shape)
    _require(
        sides <= max(len(data), _MOST_EMPTY), "an array of far more elements than it has content"
    )
    _require(size == len(data), f"{len(data)} bytes where its shape asks for {size}")
    return dtype, shape


def _is_shape(shape: object) -> TypeGuard[tuple[int, ...]]:
    return (
        isinstance(shape, tuple)
        and len(shape) <= 8
        and all(isinstance(side, int) and 0 <= side < 1 << 48 for side in shape)
    )


def _set_state(target: object, state: object, budget: int) -> None:
    """Give a new object the state that a pickle keeps of it, once that is proven to be sound."""
    if isinstance(target, np.dtype):
        _set_dtype(target, state)
    elif type(target) is np.ndarray:
        _require(type(state) is tuple and len(state) == 5, "an odd state of an array")
        version, shape, dtype, fortran, data = state
        data = _bytes(data)
        proven = _proven(data, dtype, shape)
        target.__setstate__((version, proven[1], proven[0], bool(fortran), data))
    elif sparse.issparse(target):
        _require(type(state) is dict, "an odd state of a sparse matrix")
        filled = _filled_matrix(type(target), state, budget)
        target.__dict__.clear()
        target.__dict__.update(filled.__dict__)
    else:
        raise pickle.UnpicklingError("it changes an object that has no state")


def _set_dtype(target: np.dtype, state: object) -> None:
    """Only the byte order may differ from what the dtype's own text says."""
    expected = target.__reduce__()[2]
    order = state[1] if type(state) is tuple and len(state) > 1 else None
    sound = order in ("<", ">", "|", "=") and state[0] in (3, 4) and state[2:] == expected[2:]
    _require(sound and target.kind in "biufcSU", "an odd dtype")
    methodcaller("__setstate__", (expected[0], order, *expected[2:]))(target)


def _filled_matrix(kind: type, state: Mapping[str, object], budget: int) -> sparse.spmatrix:
    shape = state.get("_shape")
    _require(
        type(shape) is tuple and len(shape) == 2 and all(_is_count(side, budget) for side in shape),
        "an odd shape of a sparse matrix",
    )
    data = _vector(state.get("data"), "biufc")
    if issubclass(kind, sparse.coo_matrix | sparse.coo_array):
        coordinates = state.get("coords", (state.get("row"), state.get("col")))
        _require(type(coordinates) is tuple and len(coordinates) == 2, "odd coordinates")
        rows, columns = (_vector(values, "iu") for values in coordinates)
        for values, limit in ((rows, shape[0]), (columns, shape[1])):
            _check_indices(values, limit, len(data))
        return kind((data, (rows, columns)), shape)
    indices, starts = _vector(state.get("indices"), "iu"), _vector(state.get("indptr"), "iu")
    by_rows = issubclass(kind, sparse.csr_matrix | sparse.csr_array)
    lines, width = shape if by_rows else shape[::-1]
    _check_indices(indices, width, len(data))
    _require(
        len(starts) == lines + 1
        and starts[0] == 0
        and starts[-1] == len(indices)
        and bool((np.diff(starts.astype(np.int64)) >= 0).all()),
        "the rows of a sparse matrix do not fit its entries",
    )
    return kind((data, indices, starts), shape)


def _is_count(value: object, budget: int) -> bool:
    return isinstance(value, int | np.integer) and 0 <= value <= budget // 8


def _vector(value: object, kinds: str) -> np.ndarray:
    _require(
        type(value) is np.ndarray and value.ndim == 1 and value.dtype.kind in kinds,
        "a sparse matrix without its arrays",
    )
    return value


def _check_indices(indices: np.ndarray, limit: int, count: int) -> None:
    _require(len(indices) == count, "indices and scores of a sparse matrix differ in number")
    inside = count == 0 or (indices.min() >= 0 and indices.max() < limit)
    _require(bool(inside), "an index of a sparse matrix lies outside it")


def _check_unfolded(content: object, budget: int) -> None:
    """Refuse loops, and containers that stand in each other so often that they unfold without end."""
    sizes: dict[int, int] = {}
    open_now: set[int] = set()
    stack: list[tuple[object, bool]] = [(content, False)]
    while stack:
        value, leaving = stack.pop()
        if not isinstance(value, _CONTAINERS) or id(value) in sizes:
            continue
        parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
        if leaving:
            open_now.discard(id(value))
            size = 1 + sum(sizes.get(id(part), 1) for part in parts)
            _require(size * _OBJECT_BYTES <= budget, "it unfolds to far more than its own length")
            sizes[id(value)] = size
            continue
        _require(id(value) not in open_now, "a container of it holds itself")
        _require(len(open_now) < MAX_DEPTH, f"it nests containers more than {MAX_DEPTH} deep")
        open_now.add(id(value))
        stack.append((value, True))
        stack += [(part, False) for part in parts]


_CONSTRUCTORS: dict[tuple[str, str], _Constructor] = {
    **{
        (f"numpy.{core}.{module}", name): constructor
        for core in ("core", "_core")
        for module, name, constructor in (
            ("multiarray", "_reconstruct", _Function(_array)),
            ("multiarray", "scalar", _Function(_scalar)),
            ("numeric", "_frombuffer", _Function(_buffer_array)),
        )
    },
    ("numpy", "ndarray"): _ARRAY,
    ("numpy", "dtype"): _Function(_dtype),
    ("collections", "OrderedDict"): _Function(_ordered),
    ("_codecs", "encode"): _Function(_encoded),
    ("copyreg", "_reconstructor"): _Function(_reconstructed),
    ("copy_reg", "_reconstructor"): _Function(_reconstructed),
    ("builtins", "bytes"): _Function(_no_bytes),
    ("__builtin__", "bytes"): _Function(_no_bytes),
    ("builtins", "bytearray"): _Function(_bytearray),
    ("__builtin__", "bytearray"): _Function(_bytearray),
    ("builtins", "object"): _OBJECT,
    ("__builtin__", "object"): _OBJECT,
}

PlainUnpickler.dispatch = _instructions()
