"""Tables: any program's read as text, and CSV as the project writes it.

Text that a spreadsheet would run as a formula is marked with an apostrophe in the tables that people open,
as spreadsheets themselves mark text; `read_table` takes the mark off again.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path

import pandas as pd

from whales.base.console import refuse
from whales.base.errors import UserError
from whales.base.workbooks import WorkbookFaultError, read_workbook

WORKBOOKS = (".xlsx", ".xlsm")
_OTHER_WORKBOOKS = (".xls", ".xlsb", ".ods", ".numbers")
_LARGEST = 256 << 20  # bytes of a table
_MOST_CELLS = 20_000_000  # with those that rows leave out
_MOST_COLUMNS = 2_000
_LONGEST = 100_000  # characters of a field
# Where a cell begins, and where one begins in a program that takes another character for the separator.
_BEGIN = re.compile(r"\A|(?<=[;\t\r\n])")
_IGNORED = re.compile(r"""[\s"']*""")  # before a formula
_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
_BREAKS = "\t\r"  # as dangerous, behind quotes and blanks too
_NUMBER = re.compile(r"""\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*""")
_QUOTED = re.compile(r'[,"\r\n]')


def as_text(value: object) -> object:
    """A cell's text so that no spreadsheet takes it for a formula; what is no text, and numbers, stay.

    >>> as_text("=1+1"), as_text(" -a"), as_text("-0.5"), as_text("Ann"), as_text(-0.5)
    ("'=1+1", "' -a", '-0.5', 'Ann', -0.5)
    """
    return _marked(value) if isinstance(value, str) else value


def from_text(cell: str) -> str:
    """What `as_text` made the cell of; a cell that it makes of nothing stays.

    >>> from_text("'=1+1"), from_text("'Ann'")
    ('=1+1', "'Ann'")
    """
    if "'" not in cell:
        return cell
    marks = [match.start() for match in _BEGIN.finditer(cell)]
    marked = [begin + 1 for begin in marks if cell.startswith("'", begin)]
    text = _joined(cell, _formulas(cell, marked), "", 1)
    return text if _marked(text) == cell else cell


def _marked(text: str) -> str:
    if _NUMBER.fullmatch(text):
        return text
    begins = [match.start() for match in _BEGIN.finditer(text)]
    return _joined(text, _formulas(text, begins), "'", 0)


def _joined(text: str, places: Sequence[int], mark: str, less: int) -> str:
    """The text with `mark` put at each of the ascending places, `less` characters before it taken out."""
    pieces = [text[begin : end - less] for begin, end in pairwise([0, *places, len(text) + less])]
    return mark.join(pieces)


def _formulas(text: str, begins: Sequence[int]) -> list[int]:
    """Those of the ascending indices `begins` at which a formula begins, ascending."""
    found = []
    first, end = len(text), len(text)  # of what is not ignored, from the index looked at last
    breaks = False  # whether what is ignored there holds one
    for begin in reversed(begins):
        stop = _ignored(text, begin, end)
        goes_on, ignored = stop == end, text[begin:stop]
        breaks = any(mark in ignored for mark in _BREAKS) or (goes_on and breaks)
        first, end = first if goes_on else stop, begin
        if breaks or text.startswith(tuple(_FORMULA), first):
            found.append(begin)
    return found[::-1]


def _ignored(text: str, begin: int, end: int) -> int:
    """The index behind blanks and quotes from `begin` on, at most `end`."""
    match = _IGNORED.match(text, begin, end)
    return match.end() if match else begin


def read_table(
    path: Path | str, sheet: str = "", columns: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Read a table: all cells as text, blank rows left out.

    path: .xlsx, else UTF-8 text with commas, semicolons or tabs; sheet: of a workbook, the first if none is
    named; columns: names for those of a table without a header, () for one with it.
    Returns the table, its index the rows' positions in the file, and for each row a text for
    messages that names file and line. `UserError` where the file is missing or no table.
    """
    path = Path(path)
    if sheet and path.suffix.lower() not in WORKBOOKS:
        raise UserError(
            f"{path} is no workbook (.xlsx) and has no sheet {sheet}; leave --sheet out"
        )
    if path.suffix.lower() in WORKBOOKS:
        frame, places = _workbook(path, sheet, columns)
    elif path.suffix.lower() in _OTHER_WORKBOOKS:
        raise UserError(f"{path} is a workbook of another kind; save it as .xlsx or as UTF-8 CSV")
    else:
        frame, places = read_csv(path, ",;\t", columns=columns)
        frame.columns = [*map(from_text, frame.columns)]
        frame = frame.map(from_text) if len(frame) else frame
    frame.columns = [str(column).strip() for column in frame.columns]
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise UserError(f"{path}: column {twice[0][:60]} stands twice; take one out")
    filled = (frame != "").any(axis=1) if len(frame) else slice(None)
    frame = frame[filled]
    return frame, [places[index] for index in frame.index]


def _workbook(path: Path, sheet: str, columns: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    try:
        frame = read_workbook(path, sheet, header=not columns)
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except WorkbookFaultError as reason:
        raise _no_table(path, reason) from reason
    if not isinstance(frame.index, pd.RangeIndex):
        raise UserError(f"{path}, line 2: more fields than the header has; take them out")
    if columns:
        if len(columns) != len(frame.columns):
            raise UserError(
                f"{path} has {len(frame.columns)} columns, and {len(columns)} are named; name all of them"
            )
        frame.columns = list(columns)
    first = 1 if columns else 2
    return frame, [f"{path}, row {index + first}" for index in frame.index]


def read_csv(
    path: Path | str,
    separators: str = ",",
    complete: bool = True,
    columns: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """A CSV file as it is: all cells as text, empty lines left out, no mark taken off.

    separators: characters that may separate fields; that which the header has most of does; complete: refuse
    rows with fewer fields than the header, whose last fields are empty else; columns: stand for a header
    that the file does not have. Returns the table, its index counting the rows, and a text that names file
    and line of each. `UserError` naming the lines of all rows with more fields than the header, or fewer, and
    where the file is no such table.
    """
    header, rows = _first(path, separators)
    if columns:
        header, rows = list(columns), csv_rows(path, separators)
    # A spreadsheet that once had more columns leaves separators at the end of the header.
    needed = max((place for place, name in enumerate(header, 1) if name.strip()), default=0)
    header = [name if name.strip() else f"Unnamed: {place}" for place, name in enumerate(header)]
    if len(header) > _MOST_COLUMNS:
        raise _no_table(path, f"its header has {len(header):,} fields")
    content, places, faults, widest = [], [], [], needed
    for line, cells in rows:
        if len(cells) > len(header):
            faults.append(f"{path}, line {line}: more fields than the header has; take them out")
            continue
        if not cells:
            continue
        if complete and len(cells) < needed:
            faults.append(
                f"{path}, line {line}: expected {needed} fields as in the header, "
                f"received {len(cells)}; complete the row"
            )
            continue
        filled = next((n for n in range(len(cells), widest, -1) if cells[n - 1]), 0)
        widest = max(widest, filled)
        content.append(cells)
        if len(content) * widest > _MOST_CELLS:
            raise _no_table(path, f"it has more than {_MOST_CELLS:,} fields, with the empty ones")
        places.append(f"{path}, line {line}")
    refuse(faults, f"rows of {path} are at fault")
    # Columns without a name that hold nothing are none.
    rows_of_all = [[*cells[:widest], *[""] * (widest - len(cells))] for cells in content]
    return pd.DataFrame(rows_of_all, columns=header[:widest], dtype=str), places


def csv_rows(path: Path | str, separators: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, each with the line that it begins in; an empty line is an empty row.

    `UserError` where the file is missing, no UTF-8, or no CSV: quotes that do not end, bytes of value 0,
    a field of more than 100,000 characters.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise _no_table(path, "it is no file")
        with open(path, "rb") as source:
            data = source.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise _no_table(path, f"it is larger than {_LARGEST >> 20} MB")
        text = data.decode("utf-8-sig")  # spreadsheets begin with a mark
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (OSError, UnicodeDecodeError) as reason:
        raise _no_table(path, getattr(reason, "strerror", None) or reason) from reason
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(
            f"{path}, line {line}: a byte of value 0, as UTF-16 has; save it as UTF-8 CSV or .xlsx"
        )
    header = text[: text.find("\n") + 1] or text
    separator = max(separators, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begin = 1
    try:
        for cells in reader:
            if any(len(cell) > _LONGEST for cell in cells):
                raise UserError(
                    f"{path}, line {begin}: a field has more than {_LONGEST:,} characters; "
                    "look for a quote that does not end"
                )
            yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as reason:
        raise _no_table(path, f"line {begin}: {reason}") from reason


def _first(path: Path | str, separators: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header, and the rows behind it."""
    rows = csv_rows(path, separators)
    header = next(islice(rows, 1), (1, []))[1]
    if not header:
        raise _no_table(path, "it is empty")
    return header, rows


def _no_table(path: Path | str, fault: object) -> UserError:
    reason = " ".join(str(fault).split())
    return UserError(
        f"{path} is not a table with a header ({reason}); save it as UTF-8 CSV or .xlsx"
    )


def separator_tip(header: str) -> str:
    """What to do about a header whose fields are separated by another mark, in words that follow; else ""."""
    separated = ";" in header or "\t" in header
    return '; separate fields with commas ("CSV UTF-8 (comma delimited)")' if separated else ""


def require_columns(
    frame: pd.DataFrame, source: Path | str, names: Iterable[str], expected: str = ""
) -> None:
    """Raise `UserError` for the first of `names` that is no column of the table.

    source: of the table, for the message; expected: the columns that it should have, in words.
    """
    for name in names:
        if name not in frame.columns:
            wanted = f"expected {expected}, " if expected else ""
            received = ",".join(map(str, frame.columns))
            raise UserError(f"{source}: column {name} is missing; {wanted}received {received}")


def cell_number(row: Mapping[str, str], column: str) -> float | None:
    """The number in a row's cell, None for an empty cell or column; row: with `where` it stands.

    `UserError` for what is no number, or no finite one.
    """
    text = row.get(column, "")
    if text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{row['where']}: {column} is {text}, expected a number")
    return value


def csv_text(
    header: Sequence[str] | None, rows: Iterable[Sequence[object]], contract: bool = False
) -> str:
    """CSV as the project writes it: commas, quotes where needed, lines that end in a line feed alone.

    header: column names, or None for a text without a header; contract: for programs alone, so that
    texts stay to the letter. Else they are marked as `as_text` says.

    >>> csv_text(["Image", "Id"], [["a.jpg", "w_1"], ["b, c.jpg", "=w_2"]])
    'Image,Id\\na.jpg,w_1\\n"b, c.jpg",\\'=w_2\\n'
    """
    lines = rows if header is None else [header, *rows]
    return "".join(f"{_line(row, contract)}\n" for row in lines)


def for_spreadsheets(text: str) -> str:
    """CSV with the mark by which spreadsheets know UTF-8, where letters beyond ASCII need it.

    >>> for_spreadsheets("photo,identity"), for_spreadsheets("Zoë")
    ('photo,identity', '\\ufeffZoë')
    """
    return text if text.isascii() else f"\ufeff{text}"


def _line(row: Sequence[object], contract: bool) -> str:
    """A row without its end. Python's own writer leaves a carriage return without quotes, and so two rows."""
    cells = ["" if cell is None else str(cell if contract else as_text(cell)) for cell in row]
    if cells == [""]:
        return '""'
    quoted = (
        '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell for cell in cells
    )
    return ",".join(quoted)
