"""Read and write pickles that stages pass to each other: whole or not at all, plain types only."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import os
import pickle
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import IO, Any

from whales.base.console import log
from whales.base.errors import UserError

PROTOCOL = 4
GZIP_LEVEL = 3

# What a pickle may name: NumPy arrays and scalars, SciPy sparse matrices, and containers.
_ALLOWED_MODULES = ("numpy", "scipy.sparse", "collections")
_ALLOWED_NAMES = {
    "ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer", "OrderedDict",
    "csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "csc_array", "coo_array",
}  # fmt: skip


class _PlainUnpickler(pickle.Unpickler):
    """Refuses every class but NumPy's, SciPy's and the plain containers."""

    def find_class(self, module: str, name: str) -> object:
        top = module.split(".")[0]
        trusted = top in ("numpy", "collections") or module.startswith("scipy.sparse")
        if trusted and (name in _ALLOWED_NAMES or module == "numpy.dtypes"):
            # SciPy keeps moving the private modules that old pickles name.
            home = "scipy.sparse" if top == "scipy" else module
            return getattr(importlib.import_module(home), name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not a plain type")


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to `path` if the block ends well.

    The suffix is kept, since some writers choose the format by it. Parents are created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def set_aside(path: Path, reason: str) -> None:
    """Keep the checkpoint (a file or folder) of an interrupted training as PATH.1, .2, .., and say so."""
    names = (path.with_name(f"{path.name}.{number}") for number in count(1))
    kept = next(name for name in names if not name.exists())
    path.rename(kept)
    log(f"the checkpoint of an interrupted training is kept as {kept} ({reason}); starting anew")


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file atomically, newlines as given."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def save(path: Path | str, content: object) -> None:
    """Pickle `content` (protocol 4), gzip level 3 if the name ends in `.pklz`; atomic."""
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".pklz":
            # mtime=0: equal content gives equal bytes.
            with (
                open(temporary, "wb") as raw,
                gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as out,
            ):
                pickle.dump(content, out, PROTOCOL)
        else:
            with open(temporary, "wb") as out:
                pickle.dump(content, out, PROTOCOL)


def load(path: Path | str) -> Any:  # each caller knows, and checks, what its file holds
    """Read a `.pkl` or `.pklz` of plain types.

    Raises `UserError` where the file is missing, damaged, or holds anything but built-in types, NumPy
    arrays and SciPy sparse matrices.
    """
    path = Path(path)
    try:
        with _open(path) as source:
            content = _PlainUnpickler(source).load()
            source.read(1)  # gzip compares its checksum only at the end
            return content
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (
        pickle.UnpicklingError, EOFError, OSError, zlib.error, AttributeError, ImportError,
        IndexError, KeyError, TypeError, ValueError,
        # Damaged bytes can ask for any length, and NumPy has inner errors of its own.
        MemoryError, OverflowError, RuntimeError,
    ) as reason:  # fmt: skip
        fault = " ".join(str(reason).split()) or type(reason).__name__
        raise UserError(
            f"{path} cannot be read as a pickle ({fault}); delete it and run the stage that makes it"
        ) from reason


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".pklz" else open(path, "rb")
