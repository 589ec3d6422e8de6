"""Folders written whole or not at all, and safe names."""

from helpers import refused, write_lines

from whales.base.errors import UserError
from whales.base.folders import new_folder, unique_names


def test_names_are_safe_and_differ():
    assert unique_names(["a", "a", "a_2", "A", "b.c", "x y", "x,y", ""]) == [
        "a", "a_3", "a_2", "A_4", "b_c", "x_y", "x_y_2", "_",
    ]  # fmt: skip
    assert unique_names(["new whale", "Ünal"], ["new_whale"]) == ["new_whale_2", "Ünal"]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    def fail():
        with new_folder(tmp_path / "new") as folder:
            write_lines(folder / "half", "half")
            raise UserError("stop")

    refused(fail, "stop")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "new").mkdir()
    with new_folder(tmp_path / "new") as folder:
        write_lines(folder / "whole", "whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "whole"]
