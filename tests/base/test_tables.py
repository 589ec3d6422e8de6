"""Tables of other programs, and CSV as the project writes it."""

import pytest
from helpers import refused, write_lines

from whales.base.tables import csv_text, read_table, require_columns


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_text_whatever_separates_its_fields(tmp_path, separator):
    lines = [separator.join(row) for row in (("photo", "number"), ("a.jpg", "007"), ("", ""))]
    path = write_lines(tmp_path / "t.csv", *lines, separator.join(("b.jpg", "NA")))
    table, places = read_table(path)
    assert table.to_numpy().tolist() == [["a.jpg", "007"], ["b.jpg", "NA"]]
    assert places == [f"{path}, line 2", f"{path}, line 4"]


def test_what_is_no_table_is_refused(tmp_path):
    refused(lambda: read_table(tmp_path / "none.csv"), "none.csv is missing")
    path = write_lines(tmp_path / "t.csv", "a,b", "1,2,3")
    refused(lambda: read_table(path), "line 2: more fields than the header has")
    table, _ = read_table(write_lines(tmp_path / "u.csv", "a,b", "1,2"))
    require_columns(table, "u.csv", ["a", "b"])
    refused(
        lambda: require_columns(table, "u.csv", ["a", "c"], "this"),
        "u.csv: column c is missing; expected this, received a,b",
    )


def test_csv_quotes_what_needs_it_and_ends_lines_alike():
    assert csv_text(("a", "b"), [(1, "x,y"), (0.25, 'say "x"')]) == (
        'a,b\n1,"x,y"\n0.25,"say ""x"""\n'
    )
    assert csv_text(None, [("a", 1)]) == "a,1\n"
    assert csv_text(("a",), []) == "a\n"
