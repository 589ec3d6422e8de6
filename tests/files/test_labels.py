"""Tables read in file order, and every way a table can be wrong."""

import pytest

from whales.base.errors import UserError
from whales.files.labels import (
    boxed_photos_by_identity,
    identities_of,
    photos_by_identity,
    read_labels,
    read_submission_names,
    stem,
    with_jpg,
)


@pytest.fixture
def table(tmp_path):
    """Write a table and return its path."""

    def write(text):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refused(read, path):
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_file_order_is_kept(table):
    labels = read_labels(table("Image,Id\nz.jpg,w_2\na.jpg,new_whale\nm.jpg,w_2\n"))
    assert labels.Image.tolist() == ["z.jpg", "a.jpg", "m.jpg"]
    assert labels.Id.tolist() == ["w_2", "new_whale", "w_2"]
    assert list(identities_of(labels).items()) == [("z", "w_2"), ("a", "new_whale"), ("m", "w_2")]


def test_names_that_look_like_numbers_or_nothing_stay_text(table):
    labels = read_labels(table("Image,Id\n00123.jpg,NA\n1e5.jpg,007\nnull.jpg,nan\n"))
    assert labels.Image.tolist() == ["00123.jpg", "1e5.jpg", "null.jpg"]
    assert labels.Id.tolist() == ["NA", "007", "nan"]
    assert all(type(name) is str for name in labels.Image.tolist() + labels.Id.tolist())


def test_other_columns_and_line_ends_do_not_matter(table):
    labels = read_labels(table("Id,Note,Image\r\nw_1,x,a.jpg\r\nw_2,y,b.jpg\r\n"))
    assert identities_of(labels) == {"a": "w_1", "b": "w_2"}


def test_a_photo_listed_twice_is_refused_with_its_lines(table):
    text = "Image,Id\na.jpg,w_1\nb.jpg,w_1\na.jpg,w_2\n"
    message = refused(read_labels, table(text))
    assert "a.jpg" in message
    assert "lines 2 and 4" in message
    assert "a.jpg" in refused(read_submission_names, table(text))
    # Stems count: both rows mean one photo.
    assert "listed twice" in refused(read_labels, table("Image,Id\na.jpg,w_1\na.npy,w_1\n"))


@pytest.mark.parametrize(
    ("row", "column"), [("b.jpg,", "Id"), ("b.jpg", "Id"), ("b.jpg,  ", "Id"), (",w_1", "Image")]
)
def test_an_empty_field_is_refused_with_its_line(table, row, column):
    message = refused(read_labels, table(f"Image,Id\na.jpg,w_1\n{row}\n"))
    assert f"line 3: {column} is empty" in message


def test_a_missing_column_is_refused_with_what_was_received(table):
    message = refused(read_labels, table("Image,Whale\na.jpg,w_1\n"))
    assert "column Id is missing" in message
    assert "received Image,Whale" in message
    assert "column Image is missing" in refused(read_submission_names, table("Photo,Id\na.jpg,x\n"))


@pytest.mark.parametrize(
    "text",
    [
        "Image,Id\na.jpg,w_1,more\n",
        "Image,Id\na.jpg,w_1\nb.jpg,w_1,more\n",
        "",
        b"Image,Id\n\xff\xfe.jpg,w_1\n",
    ],
)
def test_what_is_no_table_is_refused(table, text):
    refused(read_labels, table(text))


def test_a_missing_table_is_refused(tmp_path):
    assert "is missing" in refused(read_labels, tmp_path / "none.csv")


def test_submission_names_in_file_order(table):
    path = table("Image,Id\nb.jpg,new_whale\na.jpg,\n")
    assert read_submission_names(path) == ["b.jpg", "a.jpg"]


def test_stems():
    names = {
        "0a1b.jpg": "0a1b",
        "folder/0a1b.npy": "0a1b",
        r"E:\Projects\input/playground/train/25e1fd5f.jpg": "25e1fd5f",
        r"E:\train\25e1fd5f.jpg": "25e1fd5f",
        "0a1b": "0a1b",
        "a.b.jpg": "a.b",
    }
    assert {name: stem(name) for name in names} == names
    assert with_jpg("x/0a1b.npy") == "0a1b.jpg"


def test_groups_keep_the_order_of_first_appearance(table):
    pairs = [("c", "w_2"), ("a", "w_1"), ("b", "w_2")]
    assert list(photos_by_identity(pairs).items()) == [("w_2", ["c", "b"]), ("w_1", ["a"])]
    path = table("Image,Id\nd.jpg,w_3\nc.jpg,w_2\na.jpg,w_1\nb.jpg,w_2\n")
    grouped = boxed_photos_by_identity(path, {"c", "b", "a"})
    assert list(grouped.items()) == [("w_2", ["c.jpg", "b.jpg"]), ("w_1", ["a.jpg"])]
