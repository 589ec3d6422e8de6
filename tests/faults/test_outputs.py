"""What is given out: no formula, no escape of a terminal, no markup, and no picture of another photo."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers import refused, write_lines
from hypothesis import example, given
from hypothesis import strategies as st
from openpyxl import load_workbook
from rich.console import Console
from small_outputs import FORMULAS, HARMLESS, TERMINAL

from whales.base import console
from whales.base.progress import progress_bar
from whales.base.tables import as_text, csv_text, from_text, read_table
from whales.base.workbooks import write_workbook
from whales.exchange.exporting import write_folders, write_histories, write_table
from whales.exchange.sightings import Sighting
from whales.files.decisions import Decision, DecisionLog
from whales.files.workspace import Workspace
from whales.identifying.agreement import drawing_paths
from whales.identifying.identification import Answer, Fluke
from whales.identifying.result_page import show, write_csv, write_html
from whales.inspecting import findings
from whales.inspecting.findings import Finding
from whales.scores.best_photos import Candidate
from whales.stages.options import ArgumentParser
from whales.stages.stage import run

# As a spreadsheet sees a cell: what begins a formula, behind any blanks and quotes.
FORMULA = re.compile(r"[\s\"]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ODD = st.text(st.sampled_from("=+-@'\" \t\r\n;,ab1.e\uff1d\u00a0"), max_size=12)


def cells_of(text, separator):
    """Every cell of a CSV text as a program that takes this separator sees it."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return [cell for row in rows for cell in row]


def runs(cell):
    return FORMULA.match(cell) is not None and NUMBER.fullmatch(cell.strip()) is None


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text_whatever_separates_cells(text):
    written = csv_text(["a", text], [["x", text], [text, "y"]])
    for separator in ",;\t":
        assert not [cell for cell in cells_of(written, separator) if runs(cell)], separator
    assert cells_of(written, ",") != ["a", text, "x", text, text, "y"]
    assert [from_text(cell) for cell in cells_of(written, ",")] == ["a", text, "x", text, text, "y"]


@pytest.mark.parametrize("value", HARMLESS)
def test_numbers_and_words_stay(value):
    assert as_text(value) == value


@given(TEXT | ODD)
@example("'\r")
@example('"\t')
@example('"\t0')
@example(" '\t;\t'")
def test_marked_text_is_read_back(text):
    assert from_text(as_text(text)) == text
    assert not runs(as_text(text))


@given(ODD)
def test_text_of_others_is_taken_for_marked_only_where_it_is(text):
    assert text in (from_text(text), as_text(from_text(text)))


def test_a_long_run_of_separators_takes_no_square_of_time():
    text = "\t" * 200_000 + "="
    assert from_text(as_text(text)) == text


# --- every writer of tables ---------------------------------------------------------------------


def fluke(path, number=1, content=""):
    return Fluke(Path(path), number, None, np.zeros((4, 8, 3), np.uint8), {}, content)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_table_holds_a_formula_and_each_is_read_back(tmp_path, text):
    sightings = pd.DataFrame([(text, text, -1.5)], columns=["photo", "identity", "x"], dtype=object)
    write_table(tmp_path / "s.csv", sightings)
    write_csv(tmp_path / "f.csv", [Answer(fluke(text), 0.5, [Candidate(text, "k1", -0.25, 0.5)])])
    findings.write_csv(tmp_path / "i.csv", [Finding(text, text, {text: text}, [text])])
    book = DecisionLog(tmp_path / "d.csv")
    row = Decision("anna" if "\n" in text or "\r" in text else text, "", text, "new", text)
    book.append(row)
    for name in ("s.csv", "f.csv", "i.csv", "d.csv"):
        written = (tmp_path / name).read_bytes().decode()
        for separator in ",;\t":
            assert not [cell for cell in cells_of(written, separator) if runs(cell)], name
    assert read_table(tmp_path / "s.csv")[0].to_numpy().tolist() == [[text, text, "-1.5"]]
    assert read_table(tmp_path / "f.csv")[0][["query", "identity"]].to_numpy().tolist() == [
        [text, text]
    ]
    assert [one._replace(line=0) for one in book.rows()] == [row]


@pytest.mark.parametrize("text", [*FORMULAS, "#REF!", "#N/A", "TRUE", "007", "1e5"])
def test_a_workbook_holds_text_as_text(tmp_path, text):
    path = tmp_path / "s.xlsx"
    write_table(path, pd.DataFrame([(text, -1)], columns=["photo", "x"], dtype=object))
    sheet = load_workbook(path).active
    assert (sheet["A2"].data_type, sheet["B2"].data_type) == ("s", "n")
    assert "<f>" not in (path.parent / "s.xlsx").read_bytes().decode("latin-1")
    if "\r" not in text:  # XML knows no carriage return in text
        assert sheet["A2"].value == text
        assert read_table(path)[0]["photo"].tolist() == [text]


@pytest.mark.parametrize("text", ["a\x1b[2J", "a\x00", "\ud800", "x" * 40_000])
def test_what_no_workbook_can_hold_is_refused(tmp_path, text):
    refused(lambda: write_workbook(tmp_path / "s.xlsx", [[text]]), "write CSV instead")
    assert not (tmp_path / "s.xlsx").exists()


def test_capture_histories_are_a_line_for_each_individual(tmp_path):
    names = ["a*/ 1;", "b\n/* c */ 11 1;", "=d"]
    table = pd.DataFrame(1, index=pd.Index(names, name="individual"), columns=["2019", "2020"])
    write_histories(tmp_path / "h.inp", table)
    lines = (tmp_path / "h.inp").read_text().splitlines()
    assert len(lines) == 4
    assert all(re.fullmatch(r"/\*(?:(?!\*/).)*\*/ 11 1;", line) for line in lines[1:])
    write_histories(tmp_path / "h.csv", table)
    assert read_table(tmp_path / "h.csv")[0]["individual"].tolist() == names


# --- the terminal -------------------------------------------------------------------------------


def assert_plain(text, lines=None):
    """No control but line feeds; `lines`: how many lines there are."""
    odd = [c for c in text if not (c.isprintable() or c == "\n")]
    assert not odd
    assert lines is None or text.count("\n") == lines


@pytest.mark.parametrize("text", TERMINAL)
def test_log_and_errors_show_no_escape(text, tmp_path, capsys):
    console.configure(quiet=False)
    console.open_log(tmp_path / "a.log")
    console.log(f"photo {text}", "second")
    console.log_error(f"photo {text}")
    out, err = capsys.readouterr()
    console.configure(quiet=False)
    assert_plain(out, 2)
    assert_plain(err, 1)
    assert_plain((tmp_path / "a.log").read_text(encoding="utf-8"), 3)


@pytest.mark.parametrize("text", TERMINAL)
def test_a_wrong_argument_is_shown_plainly(text, capsys):
    def main():
        ArgumentParser("A tool.").parse_args([text, f"--{text}"])

    with pytest.raises(SystemExit):
        run(main)
    out, err = capsys.readouterr()
    assert out == ""
    assert_plain(err, 1)


@pytest.mark.parametrize("text", TERMINAL)
def test_tables_on_the_terminal_show_no_escape(text, capsys):
    finding = Finding(f"a/{text}", text, {text: text, "n": {text: 1}}, [text], [(text, text)])
    findings.show([finding, finding], [text])
    finding.blame("photos", [text])
    assert_plain(finding.faults[-1], 0)
    assert_plain(capsys.readouterr().out)
    out = io.StringIO()
    show(Answer(fluke(text), 0.5, [Candidate(text, text, 0.5, 0.5)]), Console(file=out, width=200))
    assert_plain(out.getvalue())


def test_progress_shows_no_escape(capsys, monkeypatch):
    from whales.base import progress

    monkeypatch.setattr(progress, "_PAUSE", 0)
    list(progress_bar("fold \x1b[2J\r", 2, items=iter("ab")))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert progress_bar("\x1b]0;x\x07", 2).desc.startswith("\\x1b]0;x\\x07")
    assert "\x1b[2J" not in capsys.readouterr().out


def test_letters_that_a_terminal_lacks_end_no_run(run_python):
    code = "from whales.base.console import *; configure(False); log('\\u9be8 \\udcff'); log_error('\\u9be8')"
    done = run_python("-c", code, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "\\u9be8 \\xff\n")


def test_nothing_else_prints(repository):
    """One place writes to the terminal; rich tables are the two that the tests above look at."""
    for folder in ("whales", "retinanet", "tools", "siamese_net_v5_densenet121", "kernel_snn"):
        for path in (repository / folder).rglob("*.py"):
            text = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
            if path.name == "console.py":
                continue
            assert not re.search(r"(?<![.\w])print\(|sys\.std(?:out|err)\.write", text), path
            assert "argparse.ArgumentParser(" not in text.replace(
                "class ArgumentParser(argparse.ArgumentParser):", ""
            ), path


# --- pages --------------------------------------------------------------------------------------

MARKUP = "\"><script>x()</script><img src=x onerror=x()> ' javascript:x #1?a=%41&amp;"


def test_the_result_page_escapes_every_name(tmp_path, monkeypatch):
    from whales.identifying import result_page

    monkeypatch.setattr(result_page, "thumbnail", lambda *_: np.zeros((4, 8, 3), np.uint8))
    answer = Answer(fluke(MARKUP.replace("/", "|")), 0.5, [Candidate(MARKUP, MARKUP, 0.5, 0.5)])
    write_html(tmp_path / "p.html", [answer], Workspace(tmp_path), {})
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert text.count("<script") == 1  # the page's own
    assert "<script>x()" not in text
    assert "onerror=x()>" not in text
    assert text.count("<img") == 2
    assert not re.search(r"<[^>]*javascript:", re.sub(r'(alt|data-\w+)="[^"]*"', "", text))


def test_drawings_take_a_dollar_for_a_dollar(tmp_path):
    from whales.reporting.charts import lines

    text = lines("$a_{$", "x", {"y": {"$\\frac{$": ([1, 2], [0.1, 0.2])}})
    assert "$\\frac{$" in text
    finding = Finding("$\\frac{$", "k", panel=findings.Panel("bars", "$\\x$", {"$\\y$": 1.0}))
    findings.plot(tmp_path / "p.png", [finding])
    assert (tmp_path / "p.png").stat().st_size


# --- pictures and photos of one name ------------------------------------------------------------

NAMESAKES = [
    "trip1/DSC_1.JPG",
    "trip2/DSC_1.JPG",
    "DSC_1.png",
    "dsc_1.jpg",
    "DSC 1.jpg",
    "DSC_1#2.jpg",
]


def test_no_drawing_takes_the_place_of_another(tmp_path):
    from PIL import Image, PngImagePlugin

    def draw(path, content):
        note = PngImagePlugin.PngInfo()
        note.add_text("Fluke", content)
        Image.new("L", (2, 2)).save(path, pnginfo=note)

    candidates = [Candidate("w", "k", 0.5, 0.5)]
    answers = [
        Answer(fluke(name, number, f"{i:032x}"), 0.5, candidates)
        for i, name in enumerate(NAMESAKES)
        for number in (1, 2)
    ]
    paths = drawing_paths(answers, tmp_path)
    assert len({path.name.casefold() for path in paths}) == len(answers)
    assert paths[0].name == "DSC_1_fluke_1.png"
    for answer, path in zip(answers, paths, strict=True):
        draw(path, answer.fluke.content + ("#2" if answer.fluke.number == 2 else ""))
    # Again: the same photos have the same drawings, in any order; another photo has a new one.
    assert drawing_paths(answers[::-1], tmp_path) == paths[::-1]
    other = Answer(fluke("DSC_1.JPG", 1, "f" * 32), 0.5, candidates)
    assert drawing_paths([other], tmp_path)[0] not in paths
    (tmp_path / "mine_fluke_1.png").write_bytes(b"no picture")
    mine = Answer(fluke("mine.jpg", 1, "e" * 32), 0.5, candidates)
    assert not drawing_paths([mine], tmp_path)[0].exists()
    assert len(drawing_paths([Answer(fluke("x" * 250), 0.5, candidates)], tmp_path)[0].name) < 200


def test_no_exported_photo_takes_the_place_of_another(tmp_path, monkeypatch):
    """Names that only case tells apart: some file systems hold one of them."""
    ws = Workspace(tmp_path / "root")
    names = ["a.jpg", "A.jpg", "a_2.jpg", "b.jpg"]
    for number, name in enumerate(names):
        path = ws.file("test_photos") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]))
    sightings = [Sighting(name, name, "ann", "answer", "test") for name in names]
    write_folders(tmp_path / "out", sightings, ws)
    written = {path.name: path.read_bytes() for path in (tmp_path / "out/ann").iterdir()}
    assert sorted(written.values()) == [bytes([number]) for number in range(4)]
    assert len({name.casefold() for name in written}) == 4
    assert written["a.jpg"] == b"\0"


# --- the review page ----------------------------------------------------------------------------


def draw(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((24, 40, 3), value, np.uint8))
    return path


@pytest.fixture
def page(work_root):
    """The page's client on one photo, and how to post to it."""
    from whales.base.pickles import save
    from whales.reviewing.review_app import review_app
    from whales.scores.query_results import results_of_table

    ws = Workspace(work_root)
    names = {"k1": "ann", "k#2 ?%41": "bob"}
    for number, name in enumerate(names):
        draw(ws.train_photo(name), number)
    write_lines(
        ws.file("train_csv"), "Image,Id", *(f"{name}.jpg,{who}" for name, who in names.items())
    )
    for key in ("boxes_averaged", "boxes_averaged_playground"):
        save(ws.file(key), {})
    query = draw(work_root / 'q "<1>#?%.jpg', 9)
    rows = [("query", "identity", "photo")] + [
        (query, who, f"{name}.jpg") for name, who in names.items()
    ]
    (work_root / "found.csv").write_text(csv_text(rows[0], rows[1:]), encoding="utf-8")
    results = results_of_table(ws, work_root / "found.csv")
    book = DecisionLog(work_root / "d.csv")
    client = review_app(ws, results, book, "anna").test_client()
    token = re.search(r'review-token" content="([^"]+)"', client.get("/").get_data(as_text=True))[1]

    def post(data, kind="application/json", **headers):
        return client.post(
            "/api/decisions",
            data=data,
            content_type=kind,
            headers={"X-Review-Token": token, **headers},
        )

    return client, post, book


SOUND = {"number": 1, "decision": "new", "who": "anna"}
BAD_BODIES = {
    "nothing": b"",
    "deep": b"[" * 4_000 + b"]" * 4_000,
    "deep object": b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
    "too large": json.dumps({**SOUND, "net": "x" * 20_000}).encode(),
    "NaN": b'{"number": NaN, "decision": "new", "who": "anna"}',
    "huge": b'{"number": 1e999, "decision": "new", "who": "anna"}',
    "long": b'{"number": ' + b"9" * 5_000 + b', "decision": "new", "who": "anna"}',
    "key twice": b'{"number": 1, "number": 1, "decision": "new", "who": "anna"}',
    "list": b"[1]",
    "no UTF-8": b'{"number": 1, "decision": "new", "who": "\xff"}',
    **{
        f"{name} is {value!r}": json.dumps({**SOUND, name: value}).encode()
        for name in ("who", "decision", "photo", "net")
        for value in ([], {}, None, 1, True)
    },
}


@pytest.mark.parametrize("fault", BAD_BODIES)
def test_posts_that_are_refused(page, fault):
    _, post, book = page
    answer = post(BAD_BODIES[fault])
    assert answer.status_code == 400
    assert "\n" not in answer.json["error"]
    assert book.rows() == []
    assert post(json.dumps(SOUND)).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", ""]
)
def test_posts_of_another_type_are_refused(page, kind):
    _, post, book = page
    assert post(json.dumps(SOUND), kind).status_code == 400
    assert book.rows() == []


@pytest.mark.parametrize("length", ["-5", "x", "1e3", "99999999999999999999"])
def test_odd_lengths_are_refused(page, length):
    _, post, book = page
    assert post(json.dumps(SOUND), **{"Content-Length": length}).status_code in (400, 200)
    assert len(book.rows()) <= 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/queries?min=nan",
        "/api/queries?min=x",
        "/api/queries/" + "9" * 5_000,
        "/api/queries/-1",
    ],
)
def test_odd_questions_get_one_line(page, path):
    answer = page[0].get(path)
    assert answer.status_code in (400, 404)
    assert "\n" not in answer.json["error"]


@pytest.mark.parametrize("header", ["Host", "Origin"])
@pytest.mark.parametrize("value", ["[::1", "http://[", "a b", "\u00e9", "x" * 5_000])
def test_odd_headers_are_refused(page, header, value):
    answer = page[0].get("/", headers={header: value})
    assert answer.status_code in (400, 403)


def test_addresses_of_photos_hold_any_name(page):
    client, _, _ = page
    told = client.get("/api/queries/1").json
    assert told["name"] == 'q "<1>#?%.jpg'
    for candidate in told["candidates"]:
        for view in ("crop", "large", "whole", "outline"):
            assert client.get(candidate["views"][view]).status_code == 200
