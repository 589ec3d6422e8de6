"""Tables: any program's read as text, and CSV as the project writes it."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from whales.base.errors import UserError


def read_table(path: Path | str) -> tuple[pd.DataFrame, list[str]]:
    """Read a table with a header: all cells as text, blank rows left out.

    path: .xlsx (the first sheet is read), else UTF-8 text with commas, semicolons or tabs.
    Returns the table, its index the rows' positions in the file, and for each row a text for
    messages that names file and line. `UserError` where the file is missing or no table.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".xlsx":
            frame = pd.read_excel(path, dtype=str, keep_default_na=False)
        else:
            with open(path, encoding="utf-8-sig") as source:  # spreadsheets begin with a mark
                header = source.readline()
                source.seek(0)
                frame = pd.read_csv(
                    source, dtype=str, keep_default_na=False, skip_blank_lines=False,
                    sep=max(",;\t", key=header.count),
                )  # fmt: skip
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as reason:
        fault = " ".join(str(reason).split())
        raise UserError(
            f"{path} is not a table with a header ({fault}); save it as UTF-8 CSV or .xlsx"
        ) from reason
    if not isinstance(frame.index, pd.RangeIndex):
        raise UserError(f"{path}, line 2: more fields than the header has; take them out")
    frame.columns = [str(column).strip() for column in frame.columns]
    frame = frame[(frame != "").any(axis=1)] if len(frame) else frame
    unit = "row" if path.suffix.lower() == ".xlsx" else "line"
    return frame, [f"{path}, {unit} {index + 2}" for index in frame.index]


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


def csv_text(header: Sequence[str] | None, rows: Iterable[Sequence[object]]) -> str:
    """CSV as the project writes it: commas, quotes where needed, lines that end in a line feed alone.

    header: column names, or None for a text without a header.

    >>> csv_text(["Image", "Id"], [["a.jpg", "w_1"], ["b, c.jpg", "w_2"]])
    'Image,Id\\na.jpg,w_1\\n"b, c.jpg",w_2\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header is not None:
        writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
