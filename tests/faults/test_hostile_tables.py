"""Tables, workbooks and JSON of strangers: one line, whatever they hold, and nothing read wrongly."""

import json
import os
import re
import zipfile

import pandas as pd
import pytest
from helpers import refused, write_lines
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from whales.base.errors import UserError
from whales.base.plain_json import DEEPEST, JSONFaultError, parse_json, read_json
from whales.base.tables import read_table
from whales.exchange.forms import Form, read_source
from whales.files.decisions import DECISION_COLUMNS, DecisionLog
from whales.files.labels import read_labels
from whales.files.settings import read_settings
from whales.files.submissions import read_submission

MILLION = 1_000_000
# name: bytes of a file that is no sound CSV.
BAD_CSV = {
    "nothing": b"",
    "nul": b"Image,Id\na.jpg,w_\x001\n",
    "utf-16": "Image,Id\na.jpg,w_1\n".encode("utf-16"),
    "latin-1": "Image,Id\n\xe5.jpg,w_1\n".encode("latin-1"),
    "field of 12 MB": b"Image,Id\na.jpg," + b"x" * (12 << 20) + b"\n",
    "quote without an end": b'Image,Id\na.jpg,"w_1\nb.jpg,w_2\n',
    "quote within": b'Image,Id\na.jpg,"w"_1\n',
    "million columns": b"Image,Id" + b",x" * MILLION + b"\n",
    "long row": b"Image,Id\na.jpg,w_1,w_2\n",
    "short row": b"Image,Id\na.jpg\n",
    "cut off": b"Image,Id\na.jpg,w_1\nb",
}
READERS = {
    "table": read_table,
    "labels": read_labels,
    "import": lambda path: read_source(path, Form()),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fault", BAD_CSV)
def test_csv_that_is_refused(tmp_path, reader, fault):
    path = tmp_path / "t.csv"
    path.write_bytes(BAD_CSV[fault])
    refused(lambda: READERS[reader](path), str(path))


@pytest.mark.parametrize("fault", sorted({*BAD_CSV} - {"long row", "short row", "cut off"}))
def test_submissions_and_decisions_that_are_refused(tmp_path, fault):
    path = tmp_path / "t.csv"
    path.write_bytes(BAD_CSV[fault])
    refused(lambda: read_submission(path, []), str(path))
    if fault != "nothing":
        path.write_bytes(
            BAD_CSV[fault].replace(b"Image,Id", ",".join(DECISION_COLUMNS).encode()) + b"\n"
        )
        refused(DecisionLog(path).rows, str(path))


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file(tmp_path, reader):
    folder, pipe = tmp_path / "folder.csv", tmp_path / "pipe.csv"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (pipe, *[folder] * (reader != "import")):  # a folder is a form of import
        refused(lambda path=path: READERS[reader](path), str(path))
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "gone")
    refused(lambda: READERS[reader](tmp_path / "dangling.csv"), "dangling.csv is missing")


def test_a_column_twice_is_refused(tmp_path):
    path = write_lines(tmp_path / "t.csv", "photo,identity,identity", "a.jpg,ann,bob")
    refused(lambda: read_table(path), "column identity stands twice")


def test_a_header_with_empty_ends_is_read(tmp_path):
    path = write_lines(tmp_path / "t.csv", "a,b,,", "1,2,,", "3,4")
    table, _ = read_table(path)
    assert table.to_dict("list") == {"a": ["1", "3"], "b": ["2", "4"]}
    path = write_lines(tmp_path / "t.csv", "a,,,", "1,,x,", "3")
    table, _ = read_table(path)
    assert table.to_numpy().tolist() == [["1", "", "x"], ["3", "", ""]]  # nothing is lost


def test_short_rows_do_not_fill_the_memory(tmp_path):
    wide = f"photo{',' * 1_999}"
    path = write_lines(tmp_path / "t.csv", wide, *["a"] * 20_000)
    table, _ = read_table(path)
    assert table.shape == (20_000, 1)
    path = write_lines(tmp_path / "t.csv", wide, "a" + "," * 1_998 + "x", *["a"] * 20_000)
    refused(lambda: read_table(path), "more than 20,000,000 fields, with the empty ones")


def read_or_refused(path):
    """The table, or None where it is refused in one line."""
    try:
        return read_table(path)
    except UserError as reason:
        if "\n" in str(reason):
            raise
        return None


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_any_bytes_are_read_or_refused(tmp_path_factory, pairs):
    """Raw cells without any quoting: what is read has as many fields as the header."""
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes("\n".join(f"{a},{b}" for a, b in [("h", "i"), *pairs]).encode())
    found = read_or_refused(path)
    if found is not None:
        table, places = found
        assert (table.shape[1], len(table)) == (2, len(places))


# --- workbooks ----------------------------------------------------------------------------------

PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application'
    '/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
    'officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    'relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
    'relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
    '<sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
}  # fmt: skip
SHEET = (
    '{head}<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    '<dimension ref="{size}"/><sheetData>{rows}</sheetData></worksheet>'
)
HEADER = '<row r="1"><c r="A1" t="inlineStr"><is><t>photo</t></is></c></row>'
CELL = '<row r="{row}"><c r="{cell}" t="inlineStr"><is><t>{text}</t></is></c></row>'
LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
) + "]>"  # fmt: skip


def workbook(path, rows, head="", size="A1", more=()):
    """A workbook by hand, of a sheet with these rows as XML."""
    sheet = SHEET.format(head=head, size=size, rows=HEADER + rows)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in [*PARTS.items(), ("xl/worksheets/sheet1.xml", sheet), *more]:
            archive.writestr(name, text)
    return path


def test_the_workbook_by_hand_is_sound(tmp_path):
    """Else the tests below would refuse it for another reason."""
    path = workbook(
        tmp_path / "t.xlsx", CELL.format(row=3, cell="A3", text="a.jpg"), size="A1:XFD9"
    )
    table, places = read_table(path)
    assert (table.to_numpy().tolist(), places) == ([["a.jpg"]], [f"{path}, row 3"])


ENTITY = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
BAD_SHEETS = {
    "billion laughs": (CELL.format(row=2, cell="A2", text="&j;"), LAUGHS, "declares a document type"),
    "quadratic": (
        CELL.format(row=2, cell="A2", text="&a;" * 9_000),
        f'<!DOCTYPE x [<!ENTITY a "{"x" * 9_000}">]>',
        "declares a document type",
    ),
    "file read": (CELL.format(row=2, cell="A2", text="&e;"), ENTITY, "declares a document type"),
    "row far below": (CELL.format(row=999_999_999, cell="A999999999", text="a"), "", "row 999999999"),
    "row of no number": ('<row r="1e9"><c r="A2"/></row>', "", "number 1e9"),
    "column far right": (CELL.format(row=2, cell="ZZZ2", text="a"), "", "column 18278"),
    "cell of no name": (CELL.format(row=2, cell="../2", text="a"), "", "is called ../2"),
    "cells": ('<row><c r="XFD2"/></row>' * 2_000, "", "more than 20,000,000 cells"),
    "far corner": (
        CELL.format(row=2, cell="A2", text="a") + CELL.format(row=1 << 20, cell=f"XFD{1 << 20}", text="a"),
        "", "more than 20,000,000 cells, with the empty ones",
    ),
    "bomb": (CELL.format(row=2, cell="A2", text="x" * (40 << 20)), "", "unfolds to far more"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_SHEETS)
def test_workbooks_that_are_refused(tmp_path, fault):
    rows, head, part = BAD_SHEETS[fault]
    path = workbook(tmp_path / "t.xlsx", rows, head)
    refused(lambda: read_table(path), str(path), part)


@pytest.mark.parametrize("name", ["xl/sharedStrings.xml", "xl/styles.xml", "docProps/core.xml"])
def test_entities_in_any_part_are_refused(tmp_path, name):
    for encoding in ("utf-8", "utf-16"):
        text = f"{LAUGHS}<x>&j;</x>".encode(encoding)
        path = workbook(tmp_path / "t.xlsx", "", more=[(name, text)])
        refused(lambda path=path: read_table(path), "declares a document type")


def test_damaged_workbooks_are_refused_or_read_as_they_were(tmp_path):
    """Every byte of a small workbook turned over, one after the other."""
    path = workbook(tmp_path / "t.xlsx", CELL.format(row=2, cell="A2", text="a.jpg"))
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        found = read_or_refused(path)
        assert found is None or found[0].to_numpy().tolist() == [["a.jpg"]]
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        refused(lambda: read_table(path), str(path))


def test_links_out_of_a_workbook_are_not_followed(tmp_path):
    rels = PARTS["xl/_rels/workbook.xml.rels"].replace(
        "</Relationships>",
        '<Relationship Id="r9" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        'externalLink" Target="file:///etc/passwd" TargetMode="External"/></Relationships>',
    )
    path = tmp_path / "t.xlsx"
    workbook(path, CELL.format(row=2, cell="A2", text="a.jpg"))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**parts, "xl/_rels/workbook.xml.rels": rels}.items():
            archive.writestr(name, content)
    assert read_table(path)[0].to_numpy().tolist() == [["a.jpg"]]


def test_spreadsheets_of_every_kind_of_cell_are_read_as_before(tmp_path):
    book = Workbook()
    for row in (["a", "b", "c"], [1, 2.5, "=x"], [True, pd.Timestamp("2019-07-30"), "007"]):
        book.active.append(row)
    book.active.cell(2, 3).data_type = "s"
    book.save(tmp_path / "t.xlsx")
    table, _ = read_table(tmp_path / "t.xlsx")
    expected = pd.read_excel(tmp_path / "t.xlsx", dtype=str, keep_default_na=False)
    assert table.to_numpy().tolist() == expected.to_numpy().tolist()
    assert table["c"].tolist() == ["=x", "007"]


# --- JSON ---------------------------------------------------------------------------------------

BAD_JSON = {
    "depth of lists": "[" * 100_000 + "]" * 100_000,
    "depth of objects": '{"a":' * 5_000 + "1" + "}" * 5_000,
    "open lists": "[" * MILLION,
    "huge integer": "9" * 100_000,
    "huge float": "1e999",
    "NaN": "[NaN]",
    "Infinity": '{"a": -Infinity}',
    "key twice": '{"a": 1, "b": {"c": 1, "c": 2}}',
    "half a character": r'{"a": "\ud800"}',
    "half a character in a list": r'{"a": ["\udfff"]}',
    "nothing": "",
    "control": '{"a": "\n"}',
}


@pytest.mark.parametrize("fault", BAD_JSON)
def test_json_that_is_refused(tmp_path, fault):
    with pytest.raises(JSONFaultError) as caught:
        parse_json(BAD_JSON[fault])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    for name, reader in (
        ("s.json", read_settings),
        ("c.json", lambda path: read_source(path, Form())),
    ):
        path = tmp_path / name
        path.write_text(BAD_JSON[fault], encoding="utf-8")
        refused(lambda path=path, reader=reader: reader(path), str(path), "cannot be read as JSON")


def test_a_key_that_stands_twice_is_found_among_many():
    names = ",".join(f'"{number}":0' for number in range(300_000))
    with pytest.raises(JSONFaultError, match="'299999' stands twice"):
        parse_json(f'{{{names},"299999":1}}')


def test_brackets_in_strings_are_no_depth():
    text = "[{" * 500 + '\\"'
    assert parse_json(json.dumps({"a": [text, text]})) == {"a": [text, text]}
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)
    with pytest.raises(JSONFaultError, match="deeper"):
        parse_json("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))


WORDS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_sound_json_is_read_as_it_was_written(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode("utf-8-sig")) == value


def test_too_large_a_file_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(" " * 2_000 + "1")
    refused(lambda: read_json(path, 1_000), str(path), "larger than")
    assert read_json(path) == 1


IMAGE = {"id": 1, "file_name": "a.jpg"}
BAD_COCO = {
    "a list": [],
    "images of no objects": {"images": [1]},
    "images of no list": {"images": {"id": 1}},
    "image without id": {"images": [{"file_name": "a.jpg"}]},
    "id that is a list": {"images": [{"id": [1]}]},
    "id twice": {"images": [IMAGE, IMAGE]},
    "name that is a list": {"images": [{"id": 1, "file_name": ["a.jpg"]}]},
    "no name": {"images": [{"id": 1}]},
    "annotations of no objects": {"images": [IMAGE], "annotations": ["a"]},
    "no such image": {"images": [IMAGE], "annotations": [{"image_id": 2}]},
    "image that is an object": {"images": [IMAGE], "annotations": [{"image_id": {}}]},
    "no such category": {"images": [IMAGE], "annotations": [{"image_id": 1, "category_id": 7}]},
    "category twice": {"images": [IMAGE], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
    "category of no name": {
        "images": [IMAGE], "categories": [{"id": 1, "name": {}}],
        "annotations": [{"image_id": 1, "category_id": 1}],
    },
    "fields": {"images": [{"id": 1, **{f"f{i}": 0 for i in range(2_000)}}]},
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_COCO)
def test_coco_that_is_refused(tmp_path, fault):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(BAD_COCO[fault]))
    (tmp_path / "a.jpg").write_bytes(b"")
    refused(lambda: read_source(path, Form()), str(path))


def test_every_reader_of_json_goes_through_one_home(repository):
    """A `json.loads` of a file or a request elsewhere would have no bounds."""
    for folder in ("whales", "retinanet", "tools", "sample_data"):
        for path in (repository / folder).rglob("*.py"):
            if path.name == "plain_json.py":
                continue
            text = path.read_text(encoding="utf-8")
            calls = re.findall(r"json\.loads?\((?!json\.dumps)|get_json\(", text)
            assert not calls, path
