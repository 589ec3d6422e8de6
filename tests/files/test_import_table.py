"""The import table: what a source said of a photo besides what the stages need."""

from __future__ import annotations

import pytest
from helpers import write_lines

from whales.base.errors import UserError
from whales.files.import_table import IMPORT_COLUMNS, carried
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
