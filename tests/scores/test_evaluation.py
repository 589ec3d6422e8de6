"""A submission's faults and measures, by hand."""

import json

import numpy as np
import pytest
from whales_tools import evaluate

from whales.base.errors import UserError
from whales.scores import evaluation
from whales.scores.evaluation import measures

NEW = "new_whale"
TRUTH = {"a": "w_1", "b": "w_2", "c": NEW, "d": "w_1"}
ANSWERS = {
    "a": ["w_1", NEW, "w_2"],  # 1
    "b": [NEW, "w_1", "w_2"],  # 1/3
    "c": [NEW, "w_1"],  # 1
    "d": ["w_2", "w_3", NEW, "w_4", "w_5"],  # 0
}


def table(path, rows, header="Image,Id"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def rows_of(answers):
    return [f"{name}.jpg,{' '.join(ids)}" for name, ids in answers.items()]


def test_measures_by_hand():
    found = {m.name: m for m in measures(TRUTH, ANSWERS, 200, np.random.default_rng(0))}
    assert found["MAP@5"].value == pytest.approx((1 + 1 / 3 + 1 + 0) / 4)
    assert [found[f"top {k}"].value for k in range(1, 6)] == [0.5, 0.5, 0.75, 0.75, 0.75]
    assert found["MAP@5 of known whales"].value == pytest.approx((1 + 1 / 3) / 3)
    assert found["MAP@5 of known whales"].photos == 3
    assert found["MAP@5 of new whales"].value == 1
    assert found["new_whale first: right (precision)"].value == 0.5
    assert found["new_whale first: right (precision)"].photos == 2
    assert found["new whales: new_whale first (recall)"].value == 1
    for measure in found.values():
        assert measure.low <= measure.value <= measure.high


def test_intervals_hold_the_true_share():
    """Of many samples of a coin's throws, about 95% of intervals hold its true share."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        right = rng.random(150) < 0.7
        truth = {str(i): "w" for i in range(150)}
        answers = {str(i): ["w" if hit else "v"] for i, hit in enumerate(right)}
        top = measures(truth, answers, 300, rng)[1]
        held += top.low <= 0.7 <= top.high
    assert 180 <= held <= 199


def test_samples_are_drawn_in_parts_alike(monkeypatch):
    whole = measures(TRUTH, ANSWERS, 50, np.random.default_rng(3))
    monkeypatch.setattr(evaluation, "_DRAWN_AT_ONCE", 12)
    assert measures(TRUTH, ANSWERS, 50, np.random.default_rng(3)) == whole
    # By hand: the shares of the first answers, of the same samples.
    drawn = np.random.default_rng(3).integers(4, size=(50, 4))
    shares = np.array([1.0, 0, 0, 0])  # of photos whose first answer is right: a, c
    shares[2] = 1
    low, high = np.quantile(shares[drawn].mean(axis=1), [0.025, 0.975])
    assert (whole[1].low, whole[1].high) == (pytest.approx(low), pytest.approx(high))


def test_no_photos_of_a_kind():
    found = {m.name: m for m in measures({"a": "w"}, {"a": ["w"]}, 10, np.random.default_rng(0))}
    assert found["MAP@5 of new whales"].photos == 0
    assert np.isnan(found["MAP@5 of new whales"].value)


def test_script(work_root, tmp_path, capsys):
    truth = table(tmp_path / "truth.csv", [f"{name}.jpg,{who}" for name, who in TRUTH.items()])
    submission = table(tmp_path / "s.csv", rows_of(ANSWERS))
    (work_root / "data").mkdir(parents=True, exist_ok=True)
    table(work_root / "data/train.csv", ["p.jpg,w_1", "q.jpg,w_2", "r.jpg,w_3", "s.jpg,w_4"])
    evaluate.main([str(submission), str(truth), "--json", str(tmp_path / "out.json")])
    printed = capsys.readouterr().out
    assert "valid, 4 photos" in printed
    assert "1 identities are none of train.csv's, such as w_5" in printed
    assert "MAP@5                                0.5833" in printed
    rows = json.loads((tmp_path / "out.json").read_text())
    assert rows[0]["value"] == pytest.approx(7 / 12)
    table(truth, ["a.jpg,w_1", "b.jpg,w_2"])
    table(submission, rows_of({name: ANSWERS[name] for name in "ab"}))
    evaluate.main([str(submission), str(truth), "--json", str(tmp_path / "out.json")])
    assert "no such photos" in capsys.readouterr().out
    strict = json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail)
    assert [row["value"] for row in strict if row["name"] == "MAP@5 of new whales"] == [None]
    table(truth, [f"{name}.jpg,{who}" for name, who in TRUTH.items()])
    table(submission, rows_of(ANSWERS)[:3])
    with pytest.raises(UserError, match="not a valid submission"):
        evaluate.main([str(submission), str(truth)])
    assert "photos without a line: d" in capsys.readouterr().out
