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
        ((["b.jpg", "b.npy"], COLUMNS, scores_with(0)), "row b stands twice"),
        ((ROWS, COLUMNS[:2], scores_with(0)), "expected scores (2, 2) by its names"),
        ((ROWS, COLUMNS), "expected (row names, column names, scores)"),
    ],
)
def test_matrices_of_odd_content_are_refused(tmp_path, content, message):
    path = tmp_path / "m.pkl"
    save(path, content)
    refused(lambda: load_tuple(path), str(path), message)


KINDS = ("<f8", "<i8", "<u1", "?", "<c8", "<c16")
FORMS = (np.asarray, sparse.csr_matrix, sparse.coo_matrix)


@pytest.mark.parametrize(
    ("kind", "form"), [("<f2", np.asarray), *((kind, form) for kind in KINDS for form in FORMS)]
)
def test_scores_of_another_type_than_float32_are_refused(tmp_path, kind, form):
    path = tmp_path / "m.pkl"
    scores = form(np.array([[0, 1, 0], [1, 0, 1]], kind))
    message = f"expected scores that are float32, received {scores.dtype}"
    save(path, (ROWS, COLUMNS, scores))
    refused(lambda: load_tuple(path), str(path), message)
    save(path, {"row_names": ROWS, "col_names": COLUMNS, "score": scores})
    refused(lambda: load_dict(path, "score"), str(path), message)


def test_scores_of_objects_are_refused(tmp_path):
    path = tmp_path / "m.pkl"
    save(path, (ROWS, COLUMNS, np.full((2, 3), 0.5, object)))
    refused(lambda: load_tuple(path), str(path))


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_a_score_that_is_kept_twice_is_refused_with_its_row(tmp_path, form):
    cells = np.array([0.4, 0.4, 0.2], np.float32), ([1, 1, 0], [2, 2, 0])
    doubled = sparse.coo_matrix(cells, (2, 3))
    if form == "csr":
        doubled = sparse.csr_matrix((cells[0], [0, 2, 2], [0, 1, 3]), (2, 3))
    elif form == "csc":
        doubled = sparse.csc_matrix((cells[0], [0, 1, 1], [0, 1, 1, 3]), (2, 3))
    path = tmp_path / "m.pkl"
    save(path, {"row_names": ROWS, "col_names": COLUMNS, "score": doubled})
    refused(lambda: load_dict(path, "score"), str(path), "row b has two scores for one column")


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix])
def test_sparse_scores_of_any_form_are_read(tmp_path, form):
    scores = scores_with(0.75)
    scores[0, 1] = 0
    path = tmp_path / "m.pkl"
    save(path, {"row_names": ROWS, "col_names": COLUMNS, "score": form(scores)})
    np.testing.assert_array_equal(load_dict(path, "score").scores.toarray(), scores)


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
