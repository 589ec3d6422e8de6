"""Workbooks (.xlsx): read once their size is proven, and written so that no text becomes a formula."""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

import pandas as pd

from whales.base.errors import UserError

# Of a spreadsheet program: no sheet has more.
_MOST_ROWS, _MOST_COLUMNS = 1 << 20, 1 << 14
_MOST_CELLS = 20_000_000  # with the empty ones in front of others in a row
_MOST_PARTS = 10_000
_MOST_BYTES = 512 << 20  # unfolded, all parts together
_RATIO, _FREE = 300, 4 << 20  # how often its length a part may unfold to; and whatever its length
_LONGEST_TEXT = 32_767  # characters in a cell
_BLOCK = 1 << 20
_REFERENCE = re.compile(r"([A-Za-z]{1,3})([0-9]{1,9})")
# What XML cannot hold.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class WorkbookFaultError(ValueError):
    """What is wrong with a workbook, in one line."""


def read_workbook(path: Path, sheet: str = "", header: bool = True) -> pd.DataFrame:
    """A sheet as text, its header taken off if it has one; the first sheet if none is named.

    `WorkbookFaultError` where it is no sound workbook, or has no such sheet.
    """
    return _read(path, lambda: _sheet(path, sheet, header))


def workbook_sheets(path: Path) -> list[str]:
    """Names of the sheets, in their order; `WorkbookFaultError` where it is no sound workbook."""

    def names() -> list[str]:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            return [str(name) for name in book.sheet_names]

    return _read(path, names)


def _sheet(path: Path, sheet: str, header: bool) -> pd.DataFrame:
    with pd.ExcelFile(path, engine="openpyxl") as book:
        names = [str(name) for name in book.sheet_names]
        if sheet and sheet not in names:
            raise WorkbookFaultError(f"it has no sheet {sheet}, but {', '.join(names)}")
        return book.parse(
            sheet or 0, header=0 if header else None, dtype=str, keep_default_na=False
        )


def _read(path: Path, call: Callable[[], Any]) -> Any:
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        _check(path)
        return call()
    except FileNotFoundError:
        raise
    except (
        zipfile.BadZipFile, zlib.error, InvalidFileException, SyntaxError, EOFError, OSError,
        ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
        # Of an encrypted part, or one packed in another way; NotImplementedError is one too.
        RuntimeError,
    ) as reason:  # fmt: skip
        raise WorkbookFaultError(" ".join(str(reason).split()) or type(reason).__name__) from reason


def write_workbook(target: Path | IO[bytes], rows: Sequence[Sequence[str | float | None]]) -> None:
    """Write one sheet: numbers as numbers, every text as text, whatever it begins with; "" as nothing.

    `UserError` for a text that no workbook can hold.
    """
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.worksheets[0]
    for row, values in enumerate(rows, 1):
        for column, value in enumerate(values, 1):
            if not isinstance(value, str):
                sheet.cell(row, column, value)
            elif value:
                cell = sheet.cell(row, column, _checked(value))
                cell.data_type = "s"  # not that of a formula
                # Else the text becomes a formula once somebody edits the cell.
                cell.quotePrefix = not value[0].isalnum()
    book.save(target)


def _checked(text: str) -> str:
    if len(text) > _LONGEST_TEXT or _NO_TEXT.search(text):
        raise UserError(
            f"{text[:60]!r} is too long for a cell of a workbook, or has characters that none can hold; "
            "write CSV instead"
        )
    return text


def _check(path: Path) -> None:
    """Refuse what would unfold to more than a sheet holds, and all that is more than plain XML."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if len(parts) > _MOST_PARTS:
            raise WorkbookFaultError(f"it has {len(parts)} parts")
        if len({part.filename for part in parts}) < len(parts):
            raise WorkbookFaultError("two of its parts have one name")
        for part in parts:
            if part.file_size > _FREE + _RATIO * part.compress_size:
                raise WorkbookFaultError(f"{part.filename} unfolds to far more than its own length")
        if sum(part.file_size for part in parts) > _MOST_BYTES:
            raise WorkbookFaultError(f"it unfolds to more than {_MOST_BYTES >> 20} MB")
        cells = 0
        for part in parts:
            if not part.is_dir():
                cells += _cells_of(archive, part)
        if cells > _MOST_CELLS:
            raise WorkbookFaultError(f"it has more than {_MOST_CELLS:,} cells")


def _cells_of(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> int:
    """How many cells a part makes, if it is a sheet; a part that is no XML makes none."""
    parser, sheet = expat.ParserCreate(), _Sheet()
    parser.StartDoctypeDeclHandler = sheet.doctype
    parser.StartElementHandler = sheet.element
    with (
        archive.open(part) as source,  # it reads no more than the length that the directory states
        # Pictures, and drawings that are no whole XML; the reader refuses a sheet like that.
        contextlib.suppress(expat.ExpatError),
    ):
        while block := source.read(_BLOCK):
            parser.Parse(block, False)
    return sheet.cells


class _Sheet:
    """Counts the cells of a sheet as a reader would make them, gaps included."""

    def __init__(self) -> None:
        self.cells = 0
        self._row = self._column = 0
        self._last = self._widest = 0  # row and column of cells that hold something

    def doctype(self, *_: object) -> None:
        """A document type is what entities are declared in; no program writes one."""
        raise WorkbookFaultError("it declares a document type")

    def element(self, name: str, attributes: dict[str, str]) -> None:
        """Follow a row or cell; `WorkbookFaultError` for one outside of any sheet."""
        kind = name.rpartition(":")[2]
        if kind == "row":
            given = attributes.get("r")
            if given is not None and not re.fullmatch("[0-9]{1,9}", given):
                raise WorkbookFaultError(f"a row has the number {given[:20]}")
            self._row = int(given) if given is not None else self._row + 1
            self._column = 0
        elif kind == "c":
            self._cell(attributes.get("r"))
        elif kind in ("v", "is", "f"):
            self._last, self._widest = max(self._last, self._row), max(self._widest, self._column)
        else:
            return
        if self._row > _MOST_ROWS or self._column > _MOST_COLUMNS:
            raise WorkbookFaultError(f"it has a cell in row {self._row}, column {self._column}")
        # The table has as many rows as the last one, each as wide as the widest.
        if max(self.cells, self._last * self._widest) > _MOST_CELLS:
            raise WorkbookFaultError(f"it has more than {_MOST_CELLS:,} cells, with the empty ones")

    def _cell(self, reference: str | None) -> None:
        before = self._column
        self._column += 1
        if reference is not None:
            match = _REFERENCE.fullmatch(reference)
            if match is None:
                raise WorkbookFaultError(f"a cell is called {reference[:20]}")
            self._column = 0
            for letter in match[1].upper():
                self._column = 26 * self._column + ord(letter) - ord("A") + 1
            self._row = int(match[2])
        self.cells += max(1, self._column - before)
