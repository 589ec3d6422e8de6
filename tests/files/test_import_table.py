"""The import table: what a source said of a photo besides what the stages need."""

from __future__ import annotations

import pytest
from helpers import write_lines

from whales.base.errors import UserError
from whales.files.import_table import IMPORT_COLUMNS, carried, imported, known_names
from whales.files.workspace import Workspace


def test_carried_columns_keep_their_order_and_their_text(tmp_path):
    workspace = Workspace(tmp_path)
    assert carried(workspace) == {}
    header = ",".join((*IMPORT_COLUMNS, "side", "Place"))
    rows = 'a.jpg,a.JPG,/x/a.JPG,w_1,W 1,2019,train,left,"Bay, north"', "b.jpg,b,/x/b,,,,test,,"
    write_lines(workspace.file("import_table"), header, *rows)
    found = carried(workspace)
    assert found == {"a": {"side": "left", "Place": "Bay, north"}, "b": {"side": "", "Place": ""}}
    assert list(found["a"]) == ["side", "Place"]


def test_a_photo_listed_twice_is_refused(tmp_path):
    workspace = Workspace(tmp_path)
    row = "a.jpg,a,/x/a,w_1,w_1,,train,left"
    write_lines(workspace.file("import_table"), ",".join((*IMPORT_COLUMNS, "side")), row, row)
    with pytest.raises(UserError, match="listed twice"):
        carried(workspace)


def test_a_name_of_two_individuals_means_neither(tmp_path):
    workspace = Workspace(tmp_path)
    rows = [f"{name}.jpg,{name},/x/{name},{who},{called},,train" for name, who, called in (
        ("a", "w_1", "Nova"), ("b", "w_2", "Nova"), ("c", "w_3", "Mc Coy"), ("d", "w_4", "Alba"),
    )]  # fmt: skip
    write_lines(workspace.file("import_table"), ",".join(IMPORT_COLUMNS), *rows)
    known = known_names(workspace, ["w_1", "w_2", "w_3"])
    assert known == {"Nova": "Nova", "Mc Coy": "w_3"}


def test_dates_that_a_spreadsheet_has_turned_are_refused(tmp_path):
    workspace = Workspace(tmp_path)
    rows = "a.jpg,a,/x/a,w_1,w_1,2019:7:4,train", "b.jpg,b,/x/b,w_1,w_1,14/07/2019,train"
    write_lines(workspace.file("import_table"), ",".join(IMPORT_COLUMNS), rows[0])
    assert imported(workspace)["a"]["date"] == "2019-07-04"
    write_lines(workspace.file("import_table"), ",".join(IMPORT_COLUMNS), *rows)
    with pytest.raises(UserError, match=r"import.csv, line 3: date is 14/07/2019.*2019-07-30"):
        imported(workspace)
