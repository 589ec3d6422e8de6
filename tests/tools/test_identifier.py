"""Identification from Python: the answers of the command, without a trace in the process."""

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import refused
from small_root import draw
from whales_tools import identify

from retinanet.detector import find_flukes
from whales.base.errors import UserError
from whales.identifying.identifier import Identifier
from whales.identifying.result_page import COLUMNS, Row, write_csv

SMOKE = {"profile": "smoke", "workers": 1}


@pytest.fixture
def root(trained_root, small_nets):
    return trained_root


@pytest.fixture
def photos(tmp_path):
    """A folder with two photos."""
    for seed, name in enumerate(("one.jpg", "two.jpg")):
        draw(tmp_path / "photos" / name, 90 + seed)
    return tmp_path / "photos"


def command(root, monkeypatch, *arguments):
    """Call the command with a work root of its own; what it sets in the environment is taken back."""
    with monkeypatch.context() as patch:
        patch.setenv("WHALES_ROOT", str(root))
        patch.setenv("TF_NUM_INTRAOP_THREADS", "1")
        identify.main([*map(str, arguments), "--profile", "smoke", "--workers", "1"])


def test_it_answers_as_the_command_does(root, photos, tmp_path, monkeypatch, capsys):
    command(root, monkeypatch, photos, "--top", "2", "--csv", tmp_path / "command.csv")
    environment, folder = dict(os.environ), Path.cwd()
    identifier = identify.open_identifier(root, **SMOKE)
    answers = identifier.identify([photos], top=2)
    assert (dict(os.environ), Path.cwd()) == (environment, folder)
    write_csv(tmp_path / "python.csv", answers)
    assert (tmp_path / "python.csv").read_bytes() == (tmp_path / "command.csv").read_bytes()
    read = pd.read_csv(tmp_path / "command.csv").fillna({"warning": ""})
    table = identifier.table(answers)
    assert list(table.columns) == list(COLUMNS) == list(read.columns)
    pd.testing.assert_frame_equal(table, read, check_dtype=False, atol=1e-6, rtol=0)
    rows = identifier.rows(answers)
    assert [(Path(row.query).name, row.fluke, row.rank) for row in rows] == [
        ("one.jpg", 1, 1), ("one.jpg", 1, 2), ("two.jpg", 1, 1), ("two.jpg", 1, 2),
    ]  # fmt: skip
    assert isinstance(rows[0], Row)
    assert (rows[0].x1, table.x1.dtype) == (None, np.float64)
    assert "flukes compared" not in capsys.readouterr().out.split("Nets:")[-1]


def test_files_folders_and_a_single_path(root, photos):
    identifier = identify.open_identifier(root, **SMOKE)
    both = identifier.rows(identifier.identify(photos, top=1))
    for given in (str(photos), [str(photos / "one.jpg"), photos / "two.jpg"]):
        assert identifier.rows(identifier.identify(given, top=1)) == both
    assert identifier.identify([]) == []
    assert identifier.table([]).columns.tolist() == list(COLUMNS)


@pytest.mark.parametrize("top", [0, -3])
def test_no_identity_is_no_answer(root, photos, top):
    identifier = identify.open_identifier(root, **SMOKE)
    refused(lambda: identifier.identify(photos, top=top), f"1 or more; received {top}")
    refused(lambda: identifier.in_box(photos / "one.jpg", (5, 5, 50, 50), top), "1 or more")


@pytest.mark.parametrize(
    "box",
    [
        (50, 5, 10, 60), (-50, 5, 10, 60), (5, -1, 10, 60), (math.nan, 5, 10, 60), (5, 5, 101, 60),
        (5, 5, 50, 61), (5, 5, 50), "5555",
    ],
)  # fmt: skip
def test_a_box_that_is_none_has_no_answer(root, photos, box):
    identifier = identify.open_identifier(root, **SMOKE)
    refused(lambda: identifier.in_box(photos / "one.jpg", box, 2), "box")


def test_the_detector_says_where_the_flukes_are(root, photos, monkeypatch):
    asked = []

    def boxes_of(paths, options, all_flukes):
        asked.append(([path.name for path in paths], options.profile, all_flukes))
        return {path: [(6, 4, 90, 44), (1, 2, 30, 40)] for path in paths}

    monkeypatch.setattr(find_flukes, "boxes_of", boxes_of)
    identifier = identify.open_identifier(root, **SMOKE)
    rows = identifier.rows(identifier.identify(photos / "one.jpg", top=1, all_flukes=True))
    assert [row[1:6] for row in rows] == [(1, 6, 4, 90, 44), (2, 1, 2, 30, 40)]
    assert asked == [(["one.jpg"], "smoke", True)]


def test_broken_photos_are_refused_or_left_out(root, photos, capsys):
    (photos / "no_photo.jpg").write_text("no photo")
    whole = (photos / "one.jpg").read_bytes()
    (photos / "torn.jpg").write_bytes(whole[: len(whole) * 2 // 3])  # its header is whole
    identifier = identify.open_identifier(root, **SMOKE)
    refused(lambda: identifier.identify(photos), "no_photo.jpg cannot be read")
    refused(lambda: identifier.identify(photos / "torn.jpg"), "torn.jpg cannot be read")
    refused(lambda: identifier.identify(photos / "none.jpg"), "none.jpg does not exist")
    patient = identify.open_identifier(root, skip_broken_photos=True, **SMOKE)
    answers = patient.identify(photos)
    assert [answer.fluke.photo.name for answer in answers] == ["one.jpg", "two.jpg"]
    told = capsys.readouterr().out
    assert "no_photo.jpg cannot be read" in told
    assert "torn.jpg cannot be read" in told


def test_what_cannot_be_opened(root, tmp_path):
    (tmp_path / "empty").mkdir()
    empty = tmp_path / "empty"
    refused(lambda: identify.open_identifier(empty, nets=["v5"]), "no net has weights")
    with pytest.raises(UserError, match="profile is one of"):
        identify.open_identifier(root, "huge")
    with pytest.raises(TypeError, match="colour"):
        identify.open_identifier(root, colour="blue")
    assert isinstance(identify.open_identifier(root), Identifier)
