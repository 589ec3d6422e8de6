"""Read and write pickles that stages pass to each other: whole or not at all, plain types only."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zlib
from pathlib import Path
from typing import IO, Any

from whales.base.errors import UserError
from whales.base.plain_pickles import PlainUnpickler
from whales.base.writing import atomic_path

PROTOCOL = 4
GZIP_LEVEL = 3

# A gzipped pickle may unfold to so many times its length, and to so much whatever its length.
_GZIP_RATIO, _GZIP_FREE = 200, 32 << 20


def save(path: Path | str, content: object, durable: bool = True) -> None:
    """Pickle `content` (protocol 4), gzip level 3 if the name ends in `.pklz`; as `atomic_path`."""
    with atomic_path(path, durable) as temporary:
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


def pickled(content: object) -> bytes:
    """The bytes that `save` writes into a `.pkl`."""
    return pickle.dumps(content, PROTOCOL)


def load(path: Path | str) -> Any:  # each caller knows, and checks, what its file holds
    """Read a `.pkl` or `.pklz` of plain types.

    Raises `UserError` where the file is missing, damaged, or holds anything but built-in types, NumPy
    arrays and SciPy sparse matrices.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if path.suffix != ".pklz":
                return PlainUnpickler(file, size).load()
            unzipped = _unzipped(file, _GZIP_FREE + _GZIP_RATIO * size)
        return PlainUnpickler(io.BytesIO(unzipped), len(unzipped)).load()
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (
        pickle.UnpicklingError, EOFError, OSError, zlib.error, AttributeError,
        IndexError, KeyError, TypeError, ValueError,
        # Damaged bytes can ask for any length, and NumPy has inner errors of its own.
        MemoryError, OverflowError, RuntimeError,
    ) as reason:  # fmt: skip
        fault = " ".join(str(reason).split()) or type(reason).__name__
        raise UserError(
            f"{path} cannot be read as a pickle ({fault}); delete it and run the stage that makes it"
        ) from reason


def _unzipped(file: IO[bytes], limit: int) -> bytes:
    """The whole content of a gzip file, its checksum compared; `UnpicklingError` beyond `limit` bytes."""
    content = bytearray()
    with gzip.open(file) as source:
        while block := source.read(1 << 20):
            content += block
            if len(content) > limit:
                raise pickle.UnpicklingError("it unfolds to far more than its own length")
    return bytes(content)
