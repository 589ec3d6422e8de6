"""Other people's forms of a data set become `Record`s; the steps that follow know nothing of the forms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from whales.base.console import log
from whales.base.errors import UserError
from whales.exchange.columns import Form as Form
from whales.exchange.columns import add_form_options as add_form_options
from whales.exchange.columns import columns_of
from whales.exchange.records import Record as Record
from whales.exchange.records import read_rows
from whales.exchange.sources import SourceTable, source_table
from whales.files.import_table import TEST


def read_source(
    source: Path | str, form: Form, photos: Path | str | None = None, split: str = ""
) -> list[Record]:
    """Records of a folder per identity, a table (.csv, .tsv, .xlsx), or what other programs write.

    These are COCO, VIA and Camtrap DP (.json), and CVAT (.xml, .json). photos: where the names begin
    (default: the file's folder); split: of all the records, whatever a split column says. Raises `UserError`
    naming file and row of all that is wrong.
    """
    source = Path(source)
    table = source_table(source, form, Path(photos) if photos else None)
    return _records(table, source, split)


def records_of(
    frame: pd.DataFrame,
    source: Path | str,
    form: Form,
    folder: Path | str,
    split: str = "",
    positions: Sequence[str] | None = None,
) -> list[Record]:
    """Records of a table in memory, such as the metadata frame of wildlife-datasets.

    source: name of the table in messages; folder: where photo names begin; split: as in `read_source`;
    positions: file and line of each row, for messages. Raises `UserError` naming source and rows.
    """
    positions = positions or [f"{source}, row {label}" for label in frame.index]
    return _records(SourceTable(frame, positions, Path(folder), form), source, split)


def _records(table: SourceTable, source: Path | str, split: str) -> list[Record]:
    if table.frame.empty:
        raise UserError(
            f"{source} has no photos; name a folder per identity, a table, or JSON or XML that marks photos"
        )
    form = table.form
    # Queries need no identities.
    columns = columns_of(table.frame, source, form, split != TEST, table.else_identity)
    if not table.levels:  # a folder has no columns to mistake
        log(f"{source}: {columns.described()}")
    return read_rows(
        table.frame,
        table.positions,
        columns,
        form,
        table.folder,
        split,
        table.technical,
        table.levels,
    )
