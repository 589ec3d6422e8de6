"""Which photo a row of a table of details is on."""

import pytest
from helpers import refused, write_lines

from whales.photos.photo_details import details_of

PHOTOS = ("card/IMG_1.JPG", "card/2019/img_2.jpg", "other/IMG_3.JPG", "card/Pe\u0301.jpg")


@pytest.mark.parametrize(
    ("name", "photo"),
    [
        ("card/IMG_1.JPG", 0), ("IMG_1.JPG", 0), ("img_1.jpg", 0), ("IMG_1", 0), ("2019/IMG_2", 1),
        ("2019\\img_2.jpg", 1), (r"C:\Users\ann\other\IMG_3.JPG", 2), ("/home/ann/other/img_3.jpg", 2),
        ("P\u00e9.jpg", 3), ("p\u00e9", 3), ("./IMG_1.JPG", 0),
        ("2018/img_2.jpg", None), ("IMG_4.JPG", None), ("G_1.JPG", None), ("IMG_1.png.jpg", None),
    ],
)  # fmt: skip
def test_names_as_people_have_them(tmp_path, capsys, name, photo):
    photos = [tmp_path / each for each in PHOTOS]
    table = write_lines(tmp_path / "t.csv", "photo,date,place", f"{name},2019-7-4,Cove")
    found = details_of(table, photos)
    said = {"date": "2019-07-04", "place": "Cove"}
    assert found == ({} if photo is None else {photos[photo]: said})
    missed = "t.csv: 1 of its rows name none of the 4 photos" in capsys.readouterr().out
    assert missed == (photo is None)


def test_a_name_of_several_photos_is_refused(tmp_path):
    photos = [tmp_path / "a/1.jpg", tmp_path / "b/1.JPG"]
    table = write_lines(tmp_path / "t.csv", "photo,date", "1.jpg,2019")
    assert details_of(table, photos) == {photos[0]: {"date": "2019"}}  # as it stands
    table = write_lines(tmp_path / "t.csv", "photo,date", "1,2019")
    refused(lambda: details_of(table, photos), "line 2", "name of several photos")
    table = write_lines(tmp_path / "t.csv", "photo,date", "a/1.jpg,2019", "1.jpg,2020")
    refused(lambda: details_of(table, photos), "line 3", "has two rows")
