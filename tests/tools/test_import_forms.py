"""The forms in which people have their photos: dates, files, headers, and what other programs write."""

import csv
import json
import unicodedata

import numpy as np
import pandas as pd
import pytest
import pyvips
from helpers import refused, write_lines
from hypothesis import given
from hypothesis import strategies as st
from odd_photos import HEIC, dng, scene
from test_import_export import HEIGHT, WIDTH, grey_photos, photo, rows

from whales.base.dates import NoDateError, date_of_parts, iso_date
from whales.base.pickles import load
from whales.photos.camera_notes import CameraNotes, camera_notes
from whales.photos.photo_folders import PhotoNames, photos_below


@pytest.fixture
def photos(tmp_path):
    """Six photos `p0.jpg` .. `p5.jpg`, each of its own grey."""
    return grey_photos(tmp_path / "photos", 6)


@pytest.fixture
def import_dataset(script, tmp_path):
    """Run the script on a source; returns the rows of its import table, without path and split."""

    def run(source, *options, root="imported", frames=True):
        frame = ["--whole-frame-boxes"] if frames else []
        arguments = [source, tmp_path / root, "--workers", 2, *frame, *options]
        script("tools/import_dataset.py").main([*map(str, arguments)])
        header, *table = rows(tmp_path / root / "data/import.csv")
        keep = [i for i, name in enumerate(header) if name not in ("path", "Id", "Image", "split")]
        return [[row[i] for i in keep] for row in (header, *table)]

    return run


def taken(path, when="", north=None, east=None):
    """A photo whose camera noted when and where."""
    image = pyvips.Image.new_from_array(scene(len(path.name)), interpretation="srgb").copy()
    notes = {"exif-ifd2-DateTimeOriginal": when} if when else {}
    for name, value, sides in (("Latitude", north, "NS"), ("Longitude", east, "EW")):
        if value is not None:
            minutes = abs(value) % 1 * 60
            notes[f"exif-ifd3-GPS{name}"] = f"{int(abs(value))}/1 {round(minutes * 1000)}/1000 0/1"
            notes[f"exif-ifd3-GPS{name}Ref"] = sides[value < 0]
    for name, text in notes.items():
        image.set_type(pyvips.GValue.gstr_type, name, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.write_to_file(str(path))
    return path


# --- dates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2025-2-4", "2025-02-04"), ("2019:07:14", "2019-07-14"), ("2019:07:14 10:22:33", "2019-07-14"),
        ("20190714", "2019-07-14"), ("2019-07-14 10:22", "2019-07-14"), ("2019/7/4", "2019-07-04"),
        ("2019-07-14T10:22:33Z", "2019-07-14"), ("2019-07-14T10:22:33.5+02:00", "2019-07-14"),
        ("14 Jul 2019", "2019-07-14"), ("July 14, 2019", "2019-07-14"), ("2019", "2019"),
        ("2019.0", "2019"), ("2019-7", "2019-07"), ("2019-07-00", "2019-07"), ("2019-00-00", "2019"),
        ("0000-00-00", ""), ("0000:00:00 00:00:00", ""), ("NA", ""), ("n/a", ""), ("0", ""), ("", ""),
    ],
)  # fmt: skip
def test_dates_as_people_have_them(text, date):
    assert iso_date(text) == date


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("14/07/2019", "--date-format %d/%m/%Y"), ("07/14/2019", "--date-format %m/%d/%Y"),
        ("14.07.2019", "--date-format %d.%m.%Y"), ("03/04/19", "%d/%m/%y or --date-format %m/%d/%y"),
        ("14-Jul-19", '--date-format "%d-%b-%y"'), ("2019-02-30", "no day of the calendar"),
        ("2019-00-05", "no day of the calendar"), ("20191407", "no day of the calendar"),
        ("43660", "spreadsheet"), ("yesterday", "--date-format"), ("32/13/2019", "--date-format"),
    ],
)  # fmt: skip
def test_dates_that_are_not_certain_name_the_option(text, said):
    with pytest.raises(NoDateError) as caught:
        iso_date(text)
    assert said in str(caught.value)
    if "--date-format" in said and text not in ("yesterday", "32/13/2019"):
        form = str(caught.value).split("--date-format ")[1].split(" or ")[0].strip('"')
        assert len(iso_date(text, [form])) == 10


def test_a_form_that_is_named_counts_before_others():
    assert iso_date("03/04/2019", ["%d/%m/%Y"]) == "2019-04-03"
    assert iso_date("03/04/2019 10:22", ["%d/%m/%Y"]) == "2019-04-03"
    assert iso_date("04/2019", ["%d/%m/%Y", "%m/%Y"]) == "2019-04"
    assert iso_date("03042019", ["%d%m%Y"]) == "2019-04-03"
    # Another form of the same column may be another order: only ISO's is certain.
    assert iso_date("2019-04-03 00:00:00", ["%d/%m/%Y"]) == "2019-04-03"
    with pytest.raises(NoDateError):
        iso_date("20190403", ["%d/%m/%Y"])


@given(st.dates(min_value=pd.Timestamp("1900-01-01").date()))
def test_every_day_comes_back_in_every_form(day):
    for form in ("%Y-%m-%d", "%Y:%m:%d %H:%M:%S", "%Y/%m/%d", "%d %b %Y", "%B %d, %Y"):
        assert iso_date(day.strftime(form)) == day.isoformat()
    assert iso_date(day.strftime("%d/%m/%y"), ["%d/%m/%y"])[5:] == day.isoformat()[5:]
    parts = [str(part) for part in (day.year, day.month, day.day)]
    assert date_of_parts(parts) == day.isoformat()
    assert date_of_parts([*parts[:2], ""]) == day.isoformat()[:7]


def test_dates_in_several_columns(photos, import_dataset):
    lines = ["p0.jpg,a,2019,7,4", "p1.jpg,a,2019,July,", "p2.jpg,b,2019,,", "p3.jpg,b,,,"]
    source = write_lines(photos / "t.csv", "photo,identity,year,month,day", *lines)
    assert [row[2] for row in import_dataset(source)] == [
        "date", "2019-07-04", "2019-07", "2019", "",
    ]  # fmt: skip
    source = write_lines(photos / "u.csv", "photo,identity,Jahr,Monat,Tag", *lines[:1])
    named = "--date-column", "Jahr", "Monat", "Tag"
    assert import_dataset(source, *named, root="named")[1][2] == "2019-07-04"


def test_a_date_format_on_the_command_line(photos, import_dataset):
    source = write_lines(
        photos / "t.csv", "photo,identity,date", "p0.jpg,a,03/04/2019", "p1.jpg,b,NA"
    )
    refused(lambda: import_dataset(source), "--date-format %d/%m/%Y or --date-format %m/%d/%Y")
    table = import_dataset(source, "--date-format", "%d/%m/%Y")
    assert [row[2] for row in table] == ["date", "2019-04-03", ""]


# --- the camera's notes -------------------------------------------------------------------------------


def test_dates_and_places_of_the_cameras(tmp_path, import_dataset, capsys):
    taken(tmp_path / "cat/Ann/1.jpg", "2018:07:14 10:22:01", 46.5, -1.25)
    taken(tmp_path / "cat/Ann/22.jpg", "1970:01:01 00:00:00", 0, 0)
    taken(tmp_path / "cat/Bob/333.jpg")
    table = import_dataset(tmp_path / "cat")
    assert table == [
        ["original", "identity", "date", "latitude", "longitude"],
        ["Ann/1.jpg", "Ann", "2018-07-14", "46.5", "-1.25"],
        ["Ann/22.jpg", "Ann", "", "", ""],
        ["Bob/333.jpg", "Bob", "", "", ""],
    ]
    said = capsys.readouterr().out
    assert "1 dates are the cameras' (EXIF)" in said
    assert "cannot be true, such as 1970-01-01 of Ann/22.jpg" in said
    plain = import_dataset(tmp_path / "cat", "--ignore-exif", root="plain")
    assert plain[0] == ["original", "identity", "date"]
    assert {row[2] for row in plain[1:]} == {""}


def test_a_burst_dated_by_the_camera_alone_stays_in_one_part(tmp_path, script):
    for number in range(16):  # four days of each of two animals, two photos a day
        day = number // 2 % 4 + 1
        taken(tmp_path / f"cat/w{number // 8}/{'x' * (number + 1)}.jpg", f"2018:07:0{day} 10:22:01")
    options = "--test-share", ".25", "--whole-frame-boxes", "--workers", "2"
    arguments = [str(tmp_path / "cat"), str(tmp_path / "root"), *options]
    script("tools/import_dataset.py").main(arguments)
    header, *table = rows(tmp_path / "root/data/import.csv")
    splits = {}
    for row in (dict(zip(header, row, strict=True)) for row in table):
        assert row["date"].startswith("2018-07-0")
        splits.setdefault((row["Id"], row["date"]), []).append(row["split"])
    assert sorted(map(tuple, splits.values())) == [("test",) * 2] * 2 + [("train",) * 2] * 6


def test_what_a_source_says_counts_before_the_camera(tmp_path, import_dataset):
    for name in ("1.jpg", "22.jpg"):
        taken(tmp_path / name, "2018:07:14 10:22:01", 46.5, -1.25)
    lines = ["1.jpg,a,2020-01-02,10,20", "22.jpg,b,,,"]
    source = write_lines(tmp_path / "t.csv", "photo,identity,date,latitude,longitude", *lines)
    assert [row[2:] for row in import_dataset(source)[1:]] == [
        ["2020-01-02", "10", "20"], ["2018-07-14", "46.5", "-1.25"],
    ]  # fmt: skip


def test_the_notes_of_phones_and_raw_files(tmp_path):
    (tmp_path / "a.heic").write_bytes(HEIC)
    (tmp_path / "b.dng").write_bytes(dng())
    for name in ("a.heic", "b.dng"):
        assert camera_notes(tmp_path / name) == CameraNotes("2019-07-14")
    damaged = bytearray(taken(tmp_path / "c.jpg", "2018:07:14 10:22:01").read_bytes())
    at = damaged.index(b"Exif\0\0") + 6
    damaged[at : at + 40] = bytes([255]) * 40
    (tmp_path / "d.jpg").write_bytes(damaged)
    assert camera_notes(tmp_path / "d.jpg") == CameraNotes()
    assert camera_notes(tmp_path / "none.jpg") == CameraNotes()


# --- files --------------------------------------------------------------------------------------------


def test_one_rule_for_the_files_of_a_folder(tmp_path):
    for name in ("b/2.JPG", "b/c/1.HEIC", "a.mpo", "IMG_1.CR2", "IMG_1.JPG", "IMG_2.NEF", ".x/3.jpg",
                 "._a.jpg", "notes.txt", "list.TXT", "film.MOV", "pic.psd", "pic.jxl", "README"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "linked").symlink_to(tmp_path / "b")
    found = photos_below(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in found.photos]
    assert names == ["IMG_1.JPG", "IMG_2.NEF", "a.mpo", "b/2.JPG", "b/c/1.HEIC"]
    assert found.notes() == [
        "1 raw files left out, since a photo of the same name lies beside each",
        "1 .jxl, 1 .psd left out, which are not read: convert them to JPEG",
        "1 .mov left out, films: save the frames that count as JPEG",
        "2 .txt, 1 without ending left out, files that are no photos by their ending",
        "1 linked folders left out: name the folders themselves",
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a.jpg", "a.jpg"), ("a", "a.jpg"), ("A.JPG", "a.jpg"), ("a.JPEG", "a.jpg"),
        ("sub/b.jpg", "sub/b.JPG"), ("b", "sub/b.JPG"), ("SUB/B", "sub/b.JPG"), ("c", "c.jpg"),
        ("Zo\u00eb.jpg", "Zoe\u0308.jpg"), ("Zoe\u0308", "Zoe\u0308.jpg"), ("d.1", "d.1.jpg"),
    ],
)  # fmt: skip
def test_photos_are_found_by_the_names_that_tables_give_them(tmp_path, name, file):
    files = ("a.jpg", "sub/b.JPG", "c.jpg", "c.CR2", "Zoe\u0308.jpg", "d.1.jpg", "d.jpg", ".e.jpg")
    for place in files:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    assert PhotoNames(tmp_path).find(name) == tmp_path / file


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a", "could be 2 files"), ("x.jpg", "could be 2 files"), ("none.jpg", "is not in"),
        ("left/y.jpg", "is not in"), ("e.jpg", "is not in"),
    ],
)  # fmt: skip
def test_photos_that_could_be_several_or_none_are_not_guessed(tmp_path, name, said):
    for place in ("a.jpg", "a.png", "left/x.jpg", "right/x.jpg", "right/y.jpg", ".e.jpg"):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    refused(lambda: PhotoNames(tmp_path).find(name), said)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("C:/Users/ann/2019/a.jpg", "2019/a.jpg"), ("/home/ann/photos/b.JPG", "b.jpg"),
        ("D:/card/2018/a.jpg", None),
    ],
)  # fmt: skip
def test_paths_of_another_machine_count_by_their_ends(tmp_path, name, file):
    for place in ("2019/a.jpg", "b.jpg"):
        photo(tmp_path / place)
    if file:
        assert PhotoNames(tmp_path).find(name) == tmp_path / file
    else:
        refused(lambda: PhotoNames(tmp_path).find(name), "is not in")


def test_several_photos_in_a_cell(photos, import_dataset):
    source = write_lines(photos / "t.csv", "photo,identity", "p0.jpg; p1.jpg,Ann", "p2|p3,Bob")
    assert [row[:2] for row in import_dataset(source)[1:]] == [
        ["p0.jpg", "Ann"], ["p1.jpg", "Ann"], ["p2", "Bob"], ["p3", "Bob"],
    ]  # fmt: skip


def test_a_header_below_a_title(photos, import_dataset):
    source = write_lines(photos / "t.csv", "Our whales,", ",", "photo,identity", "p0.jpg,Ann")
    refused(lambda: import_dataset(source), "below other lines (photo, identity)")


def test_names_in_both_unicode_forms(tmp_path, import_dataset, capsys):
    composed, apart = (unicodedata.normalize(form, "Zo\u00eb.jpg") for form in ("NFC", "NFD"))
    photo(tmp_path / apart, 90)
    source = write_lines(tmp_path / "t.csv", "photo,identity", f"{composed},Ann")
    assert import_dataset(source)[1][1] == "Ann"
    assert "1 photos found by another form of their letters" in capsys.readouterr().out


def test_two_memory_cards_with_the_same_names(tmp_path, import_dataset):
    for i, card in enumerate(("card1", "card2")):
        photo(tmp_path / "cat" / "Ann" / card / "IMG_1.jpg", 30 + 100 * i)
    assert [row[0] for row in import_dataset(tmp_path / "cat")[1:]] == [
        "Ann/card1/IMG_1.jpg", "Ann/card2/IMG_1.jpg",
    ]  # fmt: skip


def test_phones_and_raw_photos_become_jpegs(tmp_path, import_dataset):
    for name, content in (("1.HEIC", HEIC), ("2.dng", dng(6))):
        path = tmp_path / "cat/Ann" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    table = import_dataset(tmp_path / "cat")
    assert [row[2] for row in table[1:]] == ["2019-07-14", "2019-07-14"]
    made = pyvips.Image.new_from_file(str(tmp_path / "imported/data/train/1.jpg")).numpy()
    assert np.abs(made.astype(int) - scene()).max() < 40
    assert load(tmp_path / "imported/modified_data/p2bb_v5.pkl")["2"] == (0, 0, 64, 96)


# --- tables -------------------------------------------------------------------------------------------


def test_a_table_without_a_header(photos, import_dataset):
    source = write_lines(photos / "list.csv", "Ann,p0", "Ann,p1", "Bob,p2")
    refused(lambda: import_dataset(source), "no column of the photo", "received Ann, p0")
    table = import_dataset(source, "--columns", "identity", "photo")
    assert [row[:2] for row in table[1:]] == [["p0", "Ann"], ["p1", "Ann"], ["p2", "Bob"]]
    refused(lambda: import_dataset(source, "--columns", "photo", root="few"), "more fields")
    pd.DataFrame([["Ann", "p0.jpg"], ["Bob", "p1.jpg"]]).to_excel(
        photos / "list.xlsx", index=False, header=False
    )
    refused(lambda: import_dataset(photos / "list.xlsx", root="x"), "--columns identity photo")
    table = import_dataset(photos / "list.xlsx", "--columns", "identity", "photo", root="book")
    assert [row[1] for row in table[1:]] == ["Ann", "Bob"]


def test_sheets_of_a_workbook(photos, import_dataset, capsys):
    with pd.ExcelWriter(photos / "t.xlsx") as book:
        pd.DataFrame({"Read me": ["first"]}).to_excel(book, sheet_name="Help", index=False)
        for year, who in ((2018, "Ann"), (2019, "Bob")):
            frame = pd.DataFrame({"photo": ["p0.jpg"], "identity": [who]})
            frame.to_excel(book, sheet_name=f"S{year}", index=False)
    assert import_dataset(photos / "t.xlsx")[1][1] == "Ann"
    assert "sheet S2018 is read, Help, S2019 not; choose with --sheet" in capsys.readouterr().out
    assert import_dataset(photos / "t.xlsx", "--sheet", "S2019", root="named")[1][1] == "Bob"
    refused(
        lambda: import_dataset(photos / "t.xlsx", "--sheet", "S2020", root="none"),
        "no sheet S2020", "Help, S2018, S2019",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["t.xls", "t.ods", "t.zip"])
def test_files_to_save_in_another_way(tmp_path, import_dataset, name):
    write_lines(tmp_path / name, "x")
    refused(lambda: import_dataset(tmp_path / name), str(tmp_path / name))


def test_several_photos_a_row(photos, import_dataset, capsys):
    source = write_lines(
        photos / "t.csv", "photo1,photo2,identity,place", "p0.jpg,p1.jpg,Ann,Bay", "p2.jpg,,Bob,"
    )
    assert import_dataset(source) == [
        ["original", "identity", "date", "place"],
        ["p0.jpg", "Ann", "", "Bay"], ["p1.jpg", "Ann", "", "Bay"], ["p2.jpg", "Bob", "", ""],
    ]  # fmt: skip
    import_dataset(source, "--photo-column", "photo1", root="first")
    assert "photo2 may name photos too and is not read" in capsys.readouterr().out
    other = write_lines(photos / "u.csv", "left,right,who", "p0.jpg,p1.jpg,Ann")
    named = "--photo-column", "left", "right", "--identity-column", "who"
    assert [row[0] for row in import_dataset(other, *named, root="named")[1:]] == [
        "p0.jpg", "p1.jpg",
    ]  # fmt: skip


def test_other_columns_are_carried(photos, import_dataset, capsys):
    lines = ["p0.jpg,Ann,Bay,left,x", "p1.jpg,Bob,=1+1,right,y"]
    source = write_lines(photos / "t.csv", "photo,identity,Place,side,path", *lines)
    assert import_dataset(source) == [
        ["original", "identity", "date", "Place", "side", "source_path"],
        ["p0.jpg", "Ann", "", "Bay", "left", "x"], ["p1.jpg", "Bob", "", "'=1+1", "right", "y"],
    ]  # fmt: skip
    assert "carried along: Place, side, source_path" in capsys.readouterr().out


def test_columns_of_another_case_and_marks_of_spreadsheets(photos, import_dataset):
    text = "\ufeffFile name;Whale-ID;DATE\r\np0.jpg;Zo\u00eb;2019-07-14\r\n"
    (photos / "t.csv").write_bytes(text.encode())
    assert import_dataset(photos / "t.csv")[1] == ["p0.jpg", "Zo\u00eb", "2019-07-14"]


# --- what other programs write ------------------------------------------------------------------------


def coco(photos, **extra):
    images = [
        {"id": i, "file_name": f"p{i}.jpg", "date_captured": 0, "license": 0} for i in range(2)
    ]
    marked = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 2, 30, 20],
         "attributes": {"whale_id": f"W{i}", "side": "left", "occluded": False}}
        for i in range(2)
    ]  # fmt: skip
    content = {"images": images, "annotations": marked, "categories": [{"id": 1, "name": "fluke"}]}
    (photos / "coco.json").write_text(json.dumps(content | extra))
    return photos / "coco.json"


def test_nested_attributes_of_coco(photos, import_dataset):
    expected = [
        ["original", "identity", "date", "category", "attributes.side"],
        ["p0.jpg", "W0", "", "fluke", "left"], ["p1.jpg", "W1", "", "fluke", "left"],
    ]  # fmt: skip
    assert import_dataset(coco(photos), frames=False) == expected
    for place, name in enumerate(("attributes.whale_id", "whale_id")):
        named = "--identity-column", name
        assert import_dataset(coco(photos), *named, root=f"r{place}", frames=False) == expected
    refused(
        lambda: import_dataset(coco(photos), "--identity-column", "who", root="none"),
        "column who is missing", "attributes.whale_id",
    )  # fmt: skip


def test_body_parts_are_told_and_the_option_helps(photos, import_dataset, tmp_path, capsys):
    parts = [
        {"id": 9 * i + k, "image_id": i, "category_id": k, "bbox": [5 * k, 2, 9, 9]}
        for i in range(2) for k in (1, 2)
    ]  # fmt: skip
    images = [{"id": i, "file_name": f"p{i}.jpg", "identity": f"t{i}"} for i in range(2)]
    names = [{"id": 1, "name": "turtle"}, {"id": 2, "name": "head"}]
    source = coco(photos, images=images, annotations=parts, categories=names)
    import_dataset(source, frames=False)
    said = capsys.readouterr().out
    assert "2 photos have several boxes of one animal" in said
    assert "2 of t0 in p0.jpg; --category NAME takes one kind alone (turtle, head)" in said
    table = import_dataset(source, "--category", "head", root="heads", frames=False)
    assert [row[:2] for row in table[1:]] == [["p0.jpg", "t0"], ["p1.jpg", "t1"]]
    assert load(tmp_path / "heads/modified_data/p2bb_v5.pkl")["p0"] == (10, 2, 19, 11)
    assert "looks odd" not in capsys.readouterr().out
    refused(
        lambda: import_dataset(source, "--category", "tail", root="tails"), "there are head, turtle"
    )


def test_one_identity_for_all_is_told(photos, import_dataset, capsys):
    lines = [f"p{i}.jpg,Megaptera,w{i}" for i in range(6)]
    import_dataset(write_lines(photos / "t.csv", "photo,identity,whale", *lines))
    said = capsys.readouterr().out
    assert "all 6 photos are of one identity, Megaptera" in said
    assert "--identity-column (there are whale)" in said


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<image id="0" name="p0.jpg" width="60" height="40">
<box label="fluke" xtl="1.5" ytl="2" xbr="30" ybr="22.5">
<attribute name="whale_id">W &amp; 0</attribute></box>
</image>
<image id="1" name="p1.jpg" width="60" height="40">
<tag label="day"><attribute name="side">left</attribute></tag>
<polygon label="fluke" points="5.0,6.0;25.0,8.0;20.0,30.0"><attribute name="whale_id">W1</attribute></polygon>
</image>
<image id="2" name="p2.jpg" width="60" height="40"></image>
</annotations>"""


def test_cvat_as_it_comes(photos, import_dataset, tmp_path):
    unpacked = tmp_path / "unpacked"
    (unpacked).mkdir()
    photos.rename(unpacked / "images")
    (unpacked / "annotations.xml").write_text(CVAT)
    table = import_dataset(unpacked)
    assert [row[:2] + row[3:] for row in table] == [
        ["original", "identity", "category", "side"],
        ["p0.jpg", "W & 0", "fluke", ""], ["p1.jpg", "W1", "fluke", "left"], ["p2.jpg", "", "", ""],
    ]  # fmt: skip
    assert load(tmp_path / "imported/modified_data/p2bb_v5.pkl") == {
        "p0": (1, 2, 30, 23), "p1": (5, 6, 25, 30), "p2": (0, 0, WIDTH, HEIGHT),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<other/>", "is not CVAT's XML"), ("<annotations><image", "no whole XML"),
        ("<annotations><track/></annotations>", "CVAT for video"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "declares a document type"),
        ('<annotations><image name="p0.jpg"><box label="a" xtl="x"/></image></annotations>', "corners"),
    ],
)  # fmt: skip
def test_xml_that_is_none_of_cvat(photos, import_dataset, text, said):
    (photos / "a.xml").write_text(text)
    refused(lambda: import_dataset(photos / "a.xml"), str(photos / "a.xml"), said)


def via(photos, project):
    shapes = [
        {"name": "rect", "x": 5, "y": 6, "width": 20, "height": 10},
        {"name": "polygon", "all_points_x": [5, 30, 15], "all_points_y": [5, 20, 30]},
        {"name": "circle", "cx": 30, "cy": 20, "r": 5},
    ]
    content = {
        f"p{i}.jpg-1": {
            "filename": f"p{i}.jpg", "size": -1, "file_attributes": {"photographer": "Eve"},
            "regions": [{"shape_attributes": shape, "region_attributes": {"id": f"V{i}"}}],
        }
        for i, shape in enumerate(shapes)
    }  # fmt: skip
    content = {"_via_settings": {}, "_via_img_metadata": content} if project else content
    (photos / "via.json").write_text(json.dumps(content))
    return photos / "via.json"


@pytest.mark.parametrize("project", [False, True])
def test_via(photos, import_dataset, tmp_path, project):
    source = via(photos, project)
    refused(lambda: import_dataset(source), "no column of the identity", "--identity-column", "id")
    table = import_dataset(source, "--identity-column", "id", frames=False)
    assert [row[:2] + row[3:] for row in table] == [
        ["original", "identity", "photographer"],
        ["p0.jpg", "V0", "Eve"], ["p1.jpg", "V1", "Eve"], ["p2.jpg", "V2", "Eve"],
    ]  # fmt: skip
    assert load(tmp_path / "imported/modified_data/p2bb_v5.pkl") == {
        "p0": (5, 6, 25, 16), "p1": (5, 5, 30, 30), "p2": (25, 15, 35, 25),
    }  # fmt: skip


def test_camera_traps(photos, import_dataset, tmp_path, capsys):
    resources = [{"name": n, "path": f"{n}.csv"} for n in ("deployments", "media", "observations")]
    (photos / "datapackage.json").write_text(json.dumps({"resources": resources}))
    write_lines(
        photos / "deployments.csv", "deploymentID,locationName,latitude,longitude", "d1,Bay,46,-1"
    )
    write_lines(
        photos / "media.csv",
        "mediaID,deploymentID,timestamp,filePath",
        *(f"m{i},d1,2020-05-0{i + 1}T08:00:00Z,p{i}.jpg" for i in range(4)),
    )
    write_lines(
        photos / "observations.csv",
        "observationID,mediaID,eventID,observationType,individualID,bboxX,bboxY,bboxWidth,bboxHeight",
        "o0,m0,e0,animal,Z1,.1,.25,.5,.5", "o1,m1,e1,animal,Z2,,,,", "o2,m2,e2,blank,,,,,",
    )  # fmt: skip
    table = import_dataset(photos)
    names = "locationName", "latitude", "eventID"
    kept = [0, 1, 2, *(table[0].index(name) for name in names)]
    assert [[row[i] for i in kept] for row in table[1:]] == [
        ["p0.jpg", "Z1", "2020-05-01", "Bay", "46", "e0"],
        ["p1.jpg", "Z2", "2020-05-02", "Bay", "46", "e1"],
        ["p3.jpg", "", "2020-05-04", "Bay", "46", ""],
    ]
    assert load(tmp_path / "imported/modified_data/p2bb_v5.pkl")["p0"] == (6, 10, 36, 30)
    assert "1 photos without an animal" in capsys.readouterr().out


def test_events_of_camera_traps_are_of_their_deployment_and_time(photos, import_dataset, capsys):
    """As version 1.0 has them: media know no events."""
    resources = [{"name": n, "path": f"{n}.csv"} for n in ("media", "observations")]
    (photos / "datapackage.json").write_text(json.dumps({"resources": resources}))
    times = (
        "05-01T08:00:00Z",
        "05-01T10:00:00+02:00",
        "05-01T09:00:01Z",
        "05-02T08:00:00Z",
        "05-03T08:00:00Z",
    )
    write_lines(
        photos / "media.csv",
        "mediaID,deploymentID,timestamp,filePath",
        *(f"m{i},d{1 + (i == 3)},2020-{time},p{i}.jpg" for i, time in enumerate(times)),
    )
    begin_and_end = "2020-05-01T07:00:00Z,2020-05-01T09:00:00Z"
    write_lines(
        photos / "observations.csv",
        "observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationType,individualID,classifiedBy",
        f"o0,d1,,e0,{begin_and_end},animal,Otter1,eva",
        "o1,d1,m1,e0,,,animal,,AI",  # a box alone: the event says who
        "o2,d1,,e1,2020-05-01T09:00:01Z,2020-05-01T09:00:01Z,blank,,",
        "o3,d2,m3,e2,,,blank,,",
        f"o4,d2,,e2,{begin_and_end},animal,Otter2,eva",
        f"o5,d9,,e3,{begin_and_end},animal,Otter3,eva",
    )  # fmt: skip
    table = import_dataset(photos)
    assert [row[:2] for row in table[1:]] == [
        ["p0.jpg", "Otter1"],
        ["p1.jpg", "Otter1"],
        ["p4.jpg", ""],
    ]
    said = capsys.readouterr().out
    assert "2 observations of events that no photo belongs to are left out, the first in " in said
    assert "observations.csv, line 6" in said
    assert "2 photos without an animal" in said


def test_wildbooks_bulk_import(photos, import_dataset):
    wild = {
        "Encounter.mediaAsset0": ["p0.jpg", "p2.jpg"], "Encounter.mediaAsset1": ["p1.jpg", ""],
        "Encounter.individualID": ["TZ-1", ""], "Encounter.year": [2019, 2019],
        "Encounter.month": [7, 8], "Encounter.day": [14, ""], "Encounter.genus": ["Megaptera"] * 2,
    }  # fmt: skip
    pd.DataFrame(wild).to_excel(photos / "bulk.xlsx", index=False)
    assert import_dataset(photos / "bulk.xlsx") == [
        ["original", "identity", "date", "Encounter.genus"],
        ["p0.jpg", "TZ-1", "2019-07-14", "Megaptera"], ["p1.jpg", "TZ-1", "2019-07-14", "Megaptera"],
        ["p2.jpg", "", "2019-08", "Megaptera"],
    ]  # fmt: skip


def test_a_list_of_objects(photos, import_dataset):
    (photos / "t.json").write_text(json.dumps([{"photo": "p0.jpg", "who": {"identity": "Ann"}}]))
    assert import_dataset(photos / "t.json")[1][:2] == ["p0.jpg", "Ann"]


def test_a_table_for_spreadsheets_has_their_mark_where_letters_need_it(tmp_path):
    from whales.exchange.exporting import write_table

    for identity, mark in (("Ann", b"ide"), ("Zo\u00eb", b"\xef\xbb\xbf")):
        write_table(tmp_path / "t.csv", pd.DataFrame({"identity": [identity]}))
        assert (tmp_path / "t.csv").read_bytes()[:3] == mark
        with open(tmp_path / "t.csv", encoding="utf-8-sig", newline="") as file:
            assert list(csv.reader(file)) == [["identity"], [identity]]
