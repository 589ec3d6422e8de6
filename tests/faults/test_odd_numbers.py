"""Numbers that are quietly wrong: they are refused by file and row, or stop the stage at once."""

import numpy as np
import pytest
from helpers import refused
from scipy import sparse

from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.base.errors import UserError
from whales.base.pickles import save
from whales.files.dataset import load_boxes
from whales.files.matrices import load_dict, load_tuple
from whales.files.workspace import Workspace

ROWS, COLUMNS = ["a.jpg", "b.jpg"], ["k.jpg", "l.jpg", "m.jpg"]


def scores_with(value):
    scores = np.full((2, 3), 0.25, np.float32)
    scores[1, 2] = value
    return scores


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.01, 1.01, 2.0])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_scores_that_are_no_probabilities_are_refused_with_their_row(tmp_path, value, form):
    path = tmp_path / "m.pkl"
    scores = form(scores_with(value))
    save(path, (ROWS, COLUMNS, scores))
    refused(lambda: load_tuple(path), str(path), "row b has a score")
    save(path, {"row_names": ROWS, "col_names": COLUMNS, "score": scores})
    refused(lambda: load_dict(path, "score"), str(path), "row b has a score")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((ROWS, COLUMNS, np.zeros((1, 2, 3), np.float32)), "expected scores (rows, columns)"),
        ((ROWS, COLUMNS, np.full((2, 3), "x")), "expected scores (rows, columns)"),
        ((ROWS, COLUMNS, [[0.5] * 3] * 2), "expected scores (rows, columns)"),
        (([1, 2], COLUMNS, scores_with(0)), "expected lists of photo names"),
        (("ab", COLUMNS, scores_with(0)), "expected lists of photo names"),
        ((ROWS, ["k.jpg", "k.png", "m.jpg"], scores_with(0)), "column k stands twice"),
        ((ROWS, COLUMNS[:2], scores_with(0)), "expected scores (2, 2) by its names"),
        ((ROWS, COLUMNS), "expected (row names, column names, scores)"),
    ],
)
def test_matrices_of_odd_content_are_refused(tmp_path, content, message):
    path = tmp_path / "m.pkl"
    save(path, content)
    refused(lambda: load_tuple(path), str(path), message)


@pytest.mark.parametrize("value", [0.0, 1.0, 1 + 5e-7])
def test_the_ends_and_their_rounding_are_sound(tmp_path, value):
    path = tmp_path / "m.pkl"
    save(path, (ROWS, COLUMNS, scores_with(value)))
    assert load_tuple(path).scores[1, 2] == np.float32(value)


@pytest.mark.parametrize(
    "box", [(1, 2, 3), (1, 2, 3, np.nan), (1, 2, 3, np.inf), "abcd", None, 7, (1, 2, 3, "4")]
)
def test_boxes_that_are_none_are_refused_by_photo(tmp_path, box):
    workspace = Workspace(tmp_path)
    save(workspace.file("boxes_averaged_playground"), {})
    save(workspace.file("boxes_averaged"), {"good": (0, 0, 5, 5), "odd": box})
    path = str(workspace.file("boxes_averaged"))
    refused(lambda: load_boxes(workspace), path, "photo odd: expected x1, y1, x2, y2")


def test_a_loss_of_nan_stops_an_epoch_at_once():
    from whales.training.learner import Learner

    learner = Learner(NET.network(32, None, "smoke"))
    learner.begin(frozen=False, learning_rate=1e-3, new_adam=True)
    made = []

    def batches():
        for _ in range(200):
            made.append(1)
            photos = np.full((2, 32, 32, 3), np.nan if len(made) > 3 else 0.5, np.float32)
            yield (photos, photos), np.array([[1.0], [0.0]], np.float32)

    with pytest.raises(UserError, match="the loss is nan: training has stopped"):
        learner.fit(batches, 200)
    assert len(made) < 120
