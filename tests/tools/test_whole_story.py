"""One season from photos to a larger catalogue, as a person goes through it in a browser, with real nets.

The animals are generated; the branch has random weights, the head is set by hand as in test_two_seasons.
"""

import csv
import dataclasses

import cv2
from helpers import write_lines
from test_review import Reader
from test_two_seasons import animal, identified, individuals, root
from whales_tools import catalogue, export_results, identify, review
from whales_tools.box_nets import box_nets

from whales.base.pickles import load
from whales.files.decisions import DecisionLog
from whales.files.workspace import Workspace
from whales.identifying.answering import answer_request
from whales.identifying.request import Request
from whales.reviewing.review_app import review_app
from whales.scores.query_results import results_of_table

__all__ = ["root"]  # a fixture of the two seasons

LEFT, RIGHT = (0, 0, 120, 60), (120, 0, 240, 60)
# Photo -> whales from left to right; "Water" is none.
SEASON = {
    "a": ["Mc Coy"], "b": ["Water", "Cala"], "c": ["Nova"], "d": ["Nova"], "e": ["Lone"], "f": ["Lone"],
    "g": ["Alba", "Brava"], "h": ["Alba"], "i": ["Cala"], "j": ["Brava"], "k": ["Brava"],
}  # fmt: skip
BOXES = {"b": [LEFT], "g": [LEFT, RIGHT]}  # of a detector that takes water for a fluke


def photograph(folder):
    """The photos of a season, and when and where they were taken."""
    for number, (name, whales) in enumerate(SEASON.items()):
        parts = []
        for place, whale in enumerate(whales):
            part = animal(folder / "part.jpg", whale, 50 + 3 * number + place)
            parts.append(cv2.imread(str(part)))
            part.unlink()
        cv2.imwrite(str(folder / f"{name}.jpg"), cv2.hconcat(parts))
    lines = [f"{n}.jpg,2020-07-{day:02d},Bay {day}" for day, n in enumerate("abcdefghi", 1)]
    lines += [f"{name}.jpg,2020-08-01,Cove" for name in "jk"]
    return write_lines(folder / "dates.csv", "photo,date,place", *lines)


def ask(root, folder, table):
    """`tools/identify.py --among`, with a detector that finds `BOXES`, and else the whole frame."""
    opened = identify.open_identifier(root, workers=1)
    found = dataclasses.replace(
        opened, find_boxes=lambda photos, *_: {p: BOXES.get(p.stem, []) for p in photos}
    )
    request = Request([folder], top=1, all_flukes=True, csv=table, among=True)
    answer_request(request, lambda: found)


def test_a_season_from_photos_to_the_catalogue(root, tmp_path, serving, browser):
    dates, table = photograph(tmp_path / "one"), tmp_path / "one.csv"
    ask(root, tmp_path / "one", table)
    workspace = Workspace(root)
    nets = box_nets(root)

    def start():
        results = results_of_table(workspace, table)
        book = DecisionLog(workspace.file("decisions"))
        return review_app(workspace, results, book, "ann", details=dates, ask_nets=nets)

    decide(Reader(browser, serving(start)))
    faults = [one["message"] for one in browser.get_log("browser") if one["level"] == "SEVERE"]
    assert faults == []
    season = ["--results", str(table)]
    check_labels(season, tmp_path)
    out = tmp_path / "out.csv"
    season += ["--details", str(dates)]
    export_results.main([*season, "--decided-only", "--csv", str(out)])
    expected = {
        "a": "Mc Coy", "b": "Cala", "c": "Nova", "d": "Nova", "e": "Lone", "f": "Lone", "g": "Alba",
        "g#2": "Brava", "h": "Dora", "j": "Brava", "k": "Brava",
    }  # fmt: skip
    assert individuals(out) == {f"{name}.jpg": (who, "ann") for name, who in expected.items()}
    with open(out, newline="", encoding="utf-8-sig") as source:
        drawn = next(row for row in csv.DictReader(source) if row["image"] == "b.jpg")
    assert [drawn[side] for side in "xywh"] == ["120", "0", "120", "60"]
    catalogue.main(["add", *season, "--who", "ann", "--yes"])
    assert tuple(load(workspace.file("boxes_averaged"))["b"]) == RIGHT
    two = tmp_path / "two"
    for name, whale in (("m", "Nova"), ("n", "Lone"), ("o", "Cala")):
        animal(two / f"{name}.jpg", whale, 200 + ord(name))
    found = identified(two, tmp_path / "two.csv")
    assert {name: rows[0]["identity"] for name, rows in found.items()} == {
        "m.jpg": "Nova", "n.jpg": "Lone", "o.jpg": "Cala"
    }  # fmt: skip


def decide(reader):
    """By keys, on photos 1 to 12: g shows two flukes."""
    find = reader.browser.find_element
    reader.until(("title", "Photo 1"), ("progress", "0 of 12"))
    reader.press("o", ("candidates", "Mc Coy"))
    reader.press("1", ("title", "Photo 2"))
    reader.press("f", ("drawing-title", "photo 2, 240 x 60 pixels"))
    for name, value in zip(("x1", "y1", "x2", "y2"), RIGHT, strict=True):
        find("id", name).clear()
        find("id", name).send_keys(str(value))
    find("id", "use-box").click()
    # The first answer loads the nets.
    reader.until(("query-box", "Box drawn by ann"), ("candidates", "Cala"), seconds=120)
    reader.press("1", ("title", "Photo 3"))
    reader.press("i")
    reader.press("Nova\n", ("status", "Nobody is called Nova yet"))
    reader.press("\n", ("title", "Photo 4"), ("candidates", "Same as photo 3"))
    reader.press("jy", ("title", "Photo 5"), ("status", "Photo 4: one new individual with photo 3"))
    confirm_the_group(reader)
    reader.press("g", ("title", "Photo 5"), ("state", "new individual as Lone"))
    reader.press("\ue014", ("title", "Photo 6"))
    reader.press("\ue014", ("title", "Photo 7"), ("candidates", "Alba"))
    reader.press("1", ("title", "Photo 8"), ("candidates", "Brava"))
    reader.press("1", ("title", "Photo 9"), ("candidates", "Alba"))
    reader.press("i")
    reader.press("Dora\n", ("title", "Photo 10"), ("status", "Photo 9: same as Dora"))
    reader.press("t", ("title", "Photo 11"))
    reader.press("e", ("status", "this photo, and photo 12"))
    reader.press("1", ("status", "Photos 11 and 12"), ("progress", "12 of 12"))
    find("css selector", "body").click()
    reader.press("u", ("status", "Photos 11 and 12: undone"), ("progress", "10 of 12"))
    reader.browser.refresh()
    reader.until(("progress", "10 of 12"), ("title", "Photo 1"))
    find("css selector", "#list li:nth-child(11) button").click()
    reader.until(("title", "Photo 11"))
    reader.press("e", ("status", "this photo, and photo 12"))
    reader.press("1", ("status", "Photos 11 and 12"), ("progress", "12 of 12"))


def confirm_the_group(reader):
    """Photos 5 and 6 are the one group of two that is linked and not joined yet."""
    reader.press("g", ("groups-title", "Groups of new photos"))
    groups = reader.browser.find_elements("css selector", "#grouped fieldset")
    [group] = [one for one in groups if "Photo 5" in one.text]
    assert "Photo 6" in group.text
    group.find_element("css selector", "form input").send_keys("Lone")
    group.find_element("css selector", "form button").click()
    reader.until(("status", "Photos 5 and 6: one new individual, called Lone"))


def check_labels(season, folder):
    """The labels table that the review would make has the whales by name; two on one photo have none."""
    review.main([*season, "--apply", str(folder / "labels.csv"), "--yes"])
    with open(folder / "labels.csv", newline="", encoding="utf-8") as source:
        labels = {row["Image"]: row["Id"] for row in csv.DictReader(source)}
    assert {name: labels.get(f"{name}.jpg") for name in "abcefgi"} == {
        "a": "Mc_Coy", "b": "Cala", "c": "Nova", "e": "Lone", "f": "Lone", "g": None, "i": None
    }  # fmt: skip
