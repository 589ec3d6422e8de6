"""The page of identification: searched, sorted, and what leads from it to the review."""

import html
import re

import numpy as np

from whales.files.workspace import Workspace
from whales.identifying.identification import Answer, Fluke
from whales.identifying.result_page import write_html
from whales.scores.best_photos import Candidate

ODD = 'b"><script>alert(1)<!--.jpg'


def page_of(folder, csv=None):
    """Three photos, whose surest answers are .2, .9 and .5."""
    told = [("a10.jpg", "Ann", 0.2), (ODD, "Bob & co", 0.9), ("a9.jpg", "Cat", 0.5)]
    answers = [
        Answer(
            Fluke(folder / name, 1, None, np.zeros((4, 8, 3), np.uint8), {}),
            0.25,
            [Candidate(who, "k1", 0.7, probability)],
        )
        for name, who, probability in told
    ]
    write_html(folder / "found.html", answers, Workspace(folder), {}, csv)
    return folder / "found.html"


def test_nothing_of_a_name_is_run(tmp_path):
    text = page_of(tmp_path, tmp_path / "my found.csv").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert text.count("<script>") == 1
    words = re.findall(r'data-words="([^"]*)"', text)
    assert html.unescape(words[1]) == f"{ODD} Bob & co"
    command = html.unescape(re.search("<code>(.*?)</code>", text)[1])
    assert command == f"python3 tools/review.py --results '{tmp_path}/my found.csv'"
    assert not re.search("(?:src|href)=.https?://(?!127)", text)


def test_without_a_table_it_says_how_to_get_one(tmp_path):
    assert "--csv FILE" in page_of(tmp_path).read_text(encoding="utf-8")


def test_search_and_order_in_a_browser(tmp_path, browser):
    browser.get(page_of(tmp_path).as_uri())
    find = browser.find_element

    def shown():
        sections = browser.find_elements("css selector", "section")
        return [one.get_attribute("data-name") for one in sections if one.is_displayed()]

    assert shown() == ["a10.jpg", ODD, "a9.jpg"]
    for choice, wanted in (
        ("sure", [ODD, "a9.jpg", "a10.jpg"]),
        ("name", ["a9.jpg", "a10.jpg", ODD]),
        ("place", ["a10.jpg", ODD, "a9.jpg"]),
    ):
        find("css selector", f"#order option[value={choice}]").click()
        assert shown() == wanted
    find("id", "search").send_keys("BOB &")
    assert shown() == [ODD]
    assert find("id", "count").text == "1 of 3 flukes"
    find("id", "search").send_keys(" nobody")
    assert (shown(), find("id", "count").text) == ([], "0 of 3 flukes")
    faults = [one["message"] for one in browser.get_log("browser") if one["level"] == "SEVERE"]
    assert faults == []
