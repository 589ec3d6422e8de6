"""The benchmarks run, and what they compare gives the same results."""

import json

import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks import matrices, measure, plain_matrices
from whales.base.pickles import load
from whales.files.workspace import Workspace


def test_plain_scripts_and_stages_write_the_same(work_root, script):
    workspace = Workspace()
    matrices.make_root(work_root, divisor=60)
    script("r20_prepare_matrices_for_ensemble.py").main([])
    script("final_ensemble_with_post_proc.py").main([])
    plain_matrices.r20(workspace)
    plain_matrices.final(workspace)
    for net in ("v5", "v6"):
        for key in (f"features_{net}", f"features_test_{net}"):
            path = workspace.file(key)
            ours, plain = load(path), load(path.with_suffix(".plain.pkl"))
            assert sorted(ours) == sorted(plain)
            for name, value in plain.items():
                if name.endswith("sparse"):
                    for part in ("data", "indices", "indptr"):
                        a, b = getattr(ours[name], part), getattr(value, part)
                        assert a.dtype == b.dtype
                        np.testing.assert_array_equal(a, b)
                elif name == "overall_score":
                    assert ours[name] == pytest.approx(value, abs=1e-12)
                else:
                    assert ours[name] == value
    path = workspace.file("submission")
    assert path.read_text() == path.with_suffix(".plain.csv").read_text()


def test_quick_run_writes_table_and_json(tmp_path, capsys):
    path = tmp_path / "results.json"
    bench.main(["--quick", "mining", "crops", "networks", "growth", "steps", "--json", str(path)])
    content = json.loads(path.read_text())
    assert content["quick"]
    printed = capsys.readouterr().out
    for line in content["lines"]:
        assert line["ours"] > 0
        assert line["what"] in printed


def test_ratio_of_seconds_and_of_rates():
    assert measure.Line("a", "s", ours=2, plain=6).ratio == 3
    assert measure.Line("a", "crops/s", ours=6, plain=2).ratio == 3
    assert measure.Line("a", "s", ours=6).ratio is None


def test_operations_of_convolutions_by_hand():
    """A 3x3 convolution of 8 channels in 2 groups to 6, 5x4 pixels: 36 taps for each of 120 values."""
    import keras

    from benchmarks.networks import operations_of

    photo = keras.Input((5, 4, 8))
    x = keras.layers.Conv2D(6, 3, padding="same", groups=2)(photo)
    branch = keras.Model(photo, keras.layers.Conv2D(1, 1)(x))
    assert operations_of(branch) == 2 * 36 * 120 + 2 * 6 * 20
