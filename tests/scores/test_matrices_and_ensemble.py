"""Matrices with their names, the gathering for the ensemble, and the final answer, by hand."""

import pickle
import random
import tracemalloc

import numpy as np
import pytest
from helpers import write
from scipy import sparse

from whales.base.errors import UserError
from whales.files.matrices import (
    ScoreMatrix,
    cut_small,
    dense,
    load_dict,
    load_tuple,
    save_dict,
    save_tuple,
)
from whales.files.submissions import write_submission
from whales.scores.ensemble import blend, mean_matrix
from whales.scores.feature_files import FeatureTable
from whales.scores.head import HeadWeights
from whales.scores.photo_scores import score_photos

NEW = "new_whale"
V5 = "modified_data/seamese_net_v5_rgb_densenet121_512px"
V6 = "modified_data/seamese_net_v6_rgb_seresnext50_384px"
FEATURES = {
    "v5": "features/cv-analysis-fs14-LB959-densenet121-512px-sparse.pkl",
    "v6": "features/cv-analysis-fs16-LB959-seresnext50-384px-sparse.pkl",
}
TESTS = {net: name.replace("-sparse.pkl", "-sparse-test.pkl") for net, name in FEATURES.items()}
KERNEL = "features/Res_kernel_1024_averged_score_matrix_res_test_vs_train.pkl"

SCORES = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], np.float32)


def read(root, name):
    return pickle.loads((root / name).read_bytes())


# --- one matrix -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_names_must_fit_the_shape(kind):
    matrix = ScoreMatrix(kind(SCORES), ["p", "q"], ["a", "b", "c"])
    assert matrix.checked("file") is matrix
    np.testing.assert_array_equal(dense(matrix.scores), SCORES)
    with pytest.raises(UserError, match=r"^file: expected scores \(2, 2\) .* received \(2, 3\)"):
        matrix._replace(columns=["a", "b"]).checked("file")


def test_a_matrix_is_scored_and_written_without_copies(tmp_path):
    rng = np.random.default_rng(0)
    shapes = (5, 8), 8, 4, ()
    head = HeadWeights(*(np.float32(rng.normal(size=shape)) for shape in shapes))
    names = [f"k{i}" for i in range(1500)]
    table = FeatureTable(rng.random((1500, 4), np.float32), {n: i for i, n in enumerate(names)})
    size = 4 * 1500 * 1500
    score_photos(head, table, names[:3], names)  # imports and compiles
    tracemalloc.start()
    try:
        scores = score_photos(head, table, names, names)
        assert tracemalloc.get_traced_memory()[1] < 1.7 * size
        tracemalloc.reset_peak()
        save_tuple(tmp_path / "scores.pkl", ScoreMatrix(scores, names, names))
        # The pickle's own bytes are made as a whole.
        assert tracemalloc.get_traced_memory()[1] < 2.5 * size
    finally:
        tracemalloc.stop()
    fewer = FeatureTable(table.of(names[1:]), {n: i for i, n in enumerate(names[1:])})
    left_out = score_photos(head, fewer, names[:3], names[:4])
    assert not left_out[0].any()
    assert not left_out[:, 0].any()
    np.testing.assert_allclose(left_out[1:, 1:], scores[1:3, 1:4], atol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_alignment_by_name(kind):
    matrix = ScoreMatrix(kind(SCORES), ["p", "q"], ["a", "b", "c"])
    turned = matrix.aligned(["q", "p"], ["c", "a"], "file")
    scores = turned.scores.toarray() if sparse.issparse(turned.scores) else turned.scores
    np.testing.assert_array_equal(scores, np.array([[0.6, 0.4], [0.3, 0.1]], np.float32))
    assert (turned.rows, turned.columns) == (["q", "p"], ["c", "a"])
    assert matrix.aligned(["q"], ["a", "b", "c"], "file").scores.shape == (1, 3)
    assert matrix.aligned([], [], "file").scores.shape == (0, 0)


def test_alignment_names_the_photo_that_is_missing():
    matrix = ScoreMatrix(SCORES, ["p", "q"], ["a", "b", "c"])
    with pytest.raises(UserError, match="file: no row for photo r"):
        matrix.aligned(["p", "r"], ["a"], "file")
    with pytest.raises(UserError, match=r"file: no column for photo x \(2 of 3"):
        matrix.aligned(["p"], ["x", "a", "y"], "file")


def test_small_scores_are_dropped():
    scores = np.array([[1e-5, 9e-6, 0.5], [0, 2e-5, 1e-7]], np.float32)
    kept = cut_small(scores, 1e-5)
    assert sparse.isspmatrix_csr(kept)
    assert kept.dtype == np.float32
    assert kept.nnz == 3
    np.testing.assert_array_equal(
        kept.toarray(), np.array([[1e-5, 0, 0.5], [0, 2e-5, 0]], np.float32)
    )
    assert scores[0, 1] == np.float32(9e-6)


def test_files_of_matrices(tmp_path):
    path = tmp_path / "x.pkl"
    save_tuple(path, ScoreMatrix(SCORES + np.float32(1e-7), ["p", "q"], ["a.npy", "b", "c"]))
    rows, columns, scores = pickle.loads(path.read_bytes())
    assert (rows, columns) == (["p.jpg", "q.jpg"], ["a.jpg", "b.jpg", "c.jpg"])
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, SCORES)
    assert load_tuple(path).rows == ["p", "q"]
    assert load_tuple(path).columns == ["a", "b", "c"]

    save_dict(path, ScoreMatrix(sparse.csr_matrix(SCORES), ["p", "q"], ["a", "b", "c"]), "score")
    content = pickle.loads(path.read_bytes())
    assert sorted(content) == ["col_names", "row_names", "score"]
    assert load_dict(path, "score").columns == ["a", "b", "c"]


@pytest.mark.parametrize(
    "content",
    [
        (["p"], ["a", "b", "c"], SCORES),
        (["p", "q"], ["a", "b"], SCORES),
        (["p", "q"], SCORES),
        {"score": SCORES},
        [],
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, content):
    path = write(tmp_path, "x.pkl", content)
    with pytest.raises(UserError, match=r"x\.pkl: expected"):
        load_tuple(path)
    with pytest.raises(UserError, match=r"x\.pkl: expected"):
        load_dict(path, "score")


def test_mean_of_matrices_by_name(tmp_path):
    one = write(tmp_path, "1.pkl", (["p.jpg", "q.jpg"], ["a.jpg", "b.jpg", "c.jpg"], SCORES))
    flipped = SCORES[::-1, ::-1] + np.float32(0.1)
    two = write(tmp_path, "2.pkl", (["q.jpg", "p.jpg"], ["c.jpg", "b.jpg", "a.jpg"], flipped))
    mean = mean_matrix([one, two])
    assert (mean.rows, mean.columns) == (["p", "q"], ["a", "b", "c"])
    np.testing.assert_allclose(mean.scores, SCORES + 0.05, atol=1e-6)
    other = write(tmp_path, "3.pkl", (["p.jpg", "x.jpg"], ["a.jpg", "b.jpg", "c.jpg"], SCORES))
    with pytest.raises(UserError, match=r"3\.pkl: no row for photo q"):
        mean_matrix([one, other])


def test_blend_by_hand(tmp_path):
    names = {"row_names": ["q.jpg", "p.jpg", "z.jpg"], "col_names": ["b.jpg", "a.jpg"]}
    scores = sparse.csr_matrix(np.array([[0.5, 0], [0.25, 1], [1, 1]], np.float32))
    one = write(tmp_path, "1.pkl", {**names, "score": scores})
    two = write(tmp_path, "2.pkl", {**names, "other": scores * 0.5})
    mixed = blend([(one, "score", 0.3), (two, "other", 0.4)], ["p", "q"], ["a", "b"])
    # p: a 1 * .3 + .5 * .4 = .5, b .25 * .5 = .125; q: a 0, b .5 * .5 = .25
    np.testing.assert_allclose(mixed.scores.toarray(), [[0.5, 0.125], [0, 0.25]], atol=1e-7)
    assert mixed.scores.dtype == np.float32
    assert (mixed.rows, mixed.columns) == (["p", "q"], ["a", "b"])
    with pytest.raises(UserError, match=r"2\.pkl: no column for photo c"):
        blend([(two, "other", 1.0)], ["p"], ["a", "c"])


# --- r20: gathering for the ensemble --------------------------------------------------------------

IDENTITIES = {
    "k1": "w_a", "k2": "w_a", "k3": "w_b", "k4": "w_c", "k5": "w_d", "k6": "w_e",
    "n1": NEW, "n2": NEW, "n3": NEW,
}  # fmt: skip
COLUMNS = ["k1", "k2", "k3", "k4", "k5", "k6"]
# Rows of each fold: scores against COLUMNS, and the test photo t1, which is to go.
FOLDS = [
    {
        # itself left out: w_a .995, new_whale, ... -> 1
        "k1": [1.0, 0.995, 0.5, 9e-6, 2e-5, 0, 1.0],
        # w_b, new_whale -> 1/2
        "n1": [0, 0, 0.999, 0, 0, 0, 1.0],
    },
    # itself left out: new_whale, w_a, w_c, w_d, w_e -> 0
    {"k3": [0.6, 0, 1.0, 0.4, 0.3, 0.2, 0]},
    {
        # itself left out: w_a .995, w_b .999 -> w_b, w_a -> 1/2
        "k2": [0.995, 1.0, 0.999, 0, 0, 0, 0],
        # again valid: w_b, new_whale, w_a -> 1/3
        "k1": [1.0, 0.7, 0.999, 0, 0, 0, 0],
        # new_whale -> 1
        "n2": [0, 0, 0, 0, 0, 0, 0],
    },
    # five identities above .99 -> 0
    {"n3": [0.995, 0.995, 0.9985, 0.994, 0.993, 0.992, 0]},
]
FOLD_MAPS = [0.75, 0, (1 / 2 + 1 / 3 + 1) / 3, 0]
OVERALL = (1 + 1 / 2 + 0 + 1 / 2 + 1 / 3 + 1 + 0) / 7
ROWS = ["k1", "n1", "k3", "k1", "k2", "n2", "n3"]  # sorted within folds, folds in order


def shuffled_tuple(table, columns, seed):
    """(row names, column names, scores) of {row: scores}, both in another order, `.npy` names."""
    shuffle = random.Random(seed).sample
    rows, order = shuffle(list(table), len(table)), shuffle(range(len(columns)), len(columns))
    scores = np.array([[table[row][place] for place in order] for row in rows], np.float32)
    return [f"{row}.npy" for row in rows], [f"{columns[place]}.npy" for place in order], scores


@pytest.fixture
def gathered(work_root):
    """A work root with all that r20 reads, hand-made."""
    labels = "".join(f"{name}.jpg,{who}\n" for name, who in IDENTITIES.items())
    write(work_root, "data/train.csv", "Image,Id\n" + labels)
    write(work_root, "data/sample_submission.csv", "Image,Id\nt1.jpg,x\nt2.jpg,x\n")
    for net, folder in enumerate((V5, V6)):
        for fold, table in enumerate(FOLDS):
            content = shuffled_tuple(table, [*COLUMNS, "t1"], 10 * net + fold)
            name = f"{folder}/full_valid_vs_full_train_matrix_fold_{fold}.pkl"
            write(work_root, name, content)
        test = {"t1": [0.5, 0, 9e-6, 1e-5, 0, 1.0], "t2": [0, 0.25, 0, 0, 0, 0]}
        content = shuffled_tuple(test, COLUMNS, 30 + net)
        write(work_root, f"{folder}/full_test_vs_train_matrix_avg.pkl", content)
    return work_root


def test_r20_by_hand(gathered, script, capsys):
    script("r20_prepare_matrices_for_ensemble.py").main([])
    printed = capsys.readouterr().out
    for net, name in FEATURES.items():
        for fold, measured in enumerate(FOLD_MAPS):
            assert f"{net} fold {fold}: MAP@5 {measured:.6f}\n" in printed
        assert f"{net} all folds: MAP@5 {OVERALL:.6f}\n" in printed
        content = read(gathered, name)
        keys = ["col_names", "overall_score", "row_names", "val_vs_train_mat_sparse"]
        assert sorted(content) == keys
        assert content["row_names"] == [f"{row}.jpg" for row in ROWS]
        assert content["col_names"] == [f"{column}.jpg" for column in COLUMNS]
        assert content["overall_score"] == pytest.approx(OVERALL, abs=1e-9)
        scores = content["val_vs_train_mat_sparse"]
        assert sparse.isspmatrix_csr(scores)
        expected = np.array(
            [
                [0, 0.995, 0.5, 0, 2e-5, 0],  # itself and 9e-6 are gone
                [0, 0, 0.999, 0, 0, 0],
                [0.6, 0, 0, 0.4, 0.3, 0.2],
                [0, 0.7, 0.999, 0, 0, 0],
                [0.995, 0, 0.999, 0, 0, 0],
                [0, 0, 0, 0, 0, 0],
                [0.995, 0.995, 0.9985, 0.994, 0.993, 0.992],
            ],
            np.float32,
        )
        np.testing.assert_array_equal(scores.toarray(), expected)
        assert scores.nnz == np.count_nonzero(expected)


def test_r20_test_matrices(gathered, script):
    script("r20_prepare_matrices_for_ensemble.py").main([])
    for name in TESTS.values():
        content = read(gathered, name)
        assert sorted(content) == ["col_names", "row_names", "test_vs_train_mat_sparse"]
        assert sorted(content["row_names"]) == ["t1.jpg", "t2.jpg"]
        assert sorted(content["col_names"]) == [f"{column}.jpg" for column in COLUMNS]
        scores = content["test_vs_train_mat_sparse"]
        assert sparse.isspmatrix_csr(scores)
        dense = scores.toarray()
        found = {
            (row[:-4], column[:-4]): dense[i, j]
            for i, row in enumerate(content["row_names"])
            for j, column in enumerate(content["col_names"])
            if dense[i, j]
        }
        one = {("t1", "k1"): 0.5, ("t1", "k4"): 1e-5, ("t1", "k6"): 1.0, ("t2", "k2"): 0.25}
        assert found == {key: np.float32(value) for key, value in one.items()}
        assert scores.nnz == 4


def test_r20_refuses_photos_without_a_label(gathered, script):
    name = f"{V5}/full_valid_vs_full_train_matrix_fold_2.pkl"
    rows, columns, scores = read(gathered, name)
    write(gathered, name, (["unknown.jpg", *rows[1:]], columns, scores))
    with pytest.raises(UserError, match=r"fold_2\.pkl: photo unknown is not in train\.csv"):
        script("r20_prepare_matrices_for_ensemble.py").main([])


# --- the submission of one net --------------------------------------------------------------------


def test_submission_of_one_net(gathered, script):
    # The threshold is .85: t1's w_e 1.0 counts, then new_whale, w_a .5, w_c, w_b 9e-6.
    script("siamese_net_v5_densenet121/r28_seamese_net_create_submission_v5_512px.py").main([])
    lines = (gathered / "subm/siamese_net_v5_densenet121_512px_THR_0.85.csv").read_text()
    rows = lines.splitlines()
    assert rows[0] == "Image,Id"
    assert rows[1] == "t1.jpg,w_e new_whale w_a w_c w_b"
    assert rows[2].startswith("t2.jpg,new_whale w_a ")
    assert len(rows) == 3


# --- the final ensemble ---------------------------------------------------------------------------

FINAL_COLUMNS = ["k1", "k2", "k3", "k4", "k5", "k6"]
FINAL_ROWS = ["t1", "t2", "t9"]
DENSENET = {
    "t1": [1.0, 0, 0, 1.0, 0, 0],
    "t2": [0.9, 0.8, 0.75, 0.1, 0.2, 0.05],
    "t9": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
}
SERESNEXT = {**DENSENET, "t1": [0, 0, 0, 1.0, 0, 0]}
RES_KERNEL = {"t1": [0, 0, 1.0, 0, 0, 0], "t2": DENSENET["t2"]}  # t9 has no box: no row
# .3 d + .3 s + .4 k:
#   t1 k1 .3, k3 .4, k4 .6, else 0; none above .7: new_whale, w_c .6, w_b .4, w_a .3, w_d (0)
#   t2 as it is: w_a .9 + .8, w_b .75, then new_whale, w_d .2, w_c .1
# claims: k1, k2, k3 of t2 (w_a's .9 stays), k4 of t1: w_c .6, t1's second answer, first of no photo
#   -> t1's first two are swapped
ANSWER = (
    "Image,Id\n"
    "t9.jpg,new_whale new_whale new_whale new_whale new_whale\n"
    "t2.jpg,w_a w_b new_whale w_d w_c\n"
    "t1.jpg,w_c new_whale w_b w_a w_d\n"
)


def shuffled_dict(table, key, seed):
    rows, columns, scores = shuffled_tuple(table, FINAL_COLUMNS, seed)
    names = {
        "row_names": [row.replace(".npy", ".jpg") for row in rows],
        "col_names": [column.replace(".npy", ".jpg") for column in columns],
    }
    return {**names, key: sparse.csr_matrix(scores)}


@pytest.fixture
def final(work_root):
    """A work root with all that the final stage reads, hand-made; k7 and t9 have no box."""
    labels = {**IDENTITIES, "k7": "w_f"}
    rows = "".join(f"{name}.jpg,{who}\n" for name, who in labels.items())
    write(work_root, "data/train.csv", "Image,Id\n" + rows)
    write(work_root, "data/sample_submission.csv", "Image,Id\nt9.jpg,x\nt2.jpg,x\nt1.jpg,x\n")
    boxed = [*COLUMNS, "n1", "n2", "n3", "t1"]
    write(work_root, "modified_data/p2bb_averaged_v1.pkl", dict.fromkeys(boxed, (0, 0, 9, 9)))
    playground = {"t2": (0, 0, 9, 9)}
    write(work_root, "modified_data/p2bb_averaged_playground_v1.pkl", playground)
    key = "test_vs_train_mat_sparse"
    write(work_root, TESTS["v5"], shuffled_dict(DENSENET, key, 1))
    write(work_root, TESTS["v6"], shuffled_dict(SERESNEXT, key, 2))
    write(work_root, KERNEL, shuffled_dict(RES_KERNEL, "score", 3))
    return work_root


def test_final_answer_by_hand(final, script, capsys):
    script("final_ensemble_with_post_proc.py").main([])
    answer = (final / "submission/final_submit_with_post_proc.csv").read_bytes().decode()
    assert answer == ANSWER
    printed = capsys.readouterr().out
    assert "2 of 3 photos have a box" in printed
    assert "swapped: 1\n" in printed


@pytest.mark.parametrize("name", [TESTS["v5"], TESTS["v6"], KERNEL])
@pytest.mark.parametrize(("key", "old"), [("row_names", "t2.jpg"), ("col_names", "k5.jpg")])
def test_matrices_of_other_photos_are_refused(final, script, name, key, old):
    content = read(final, name)
    content[key] = ["other.jpg" if photo == old else photo for photo in content[key]]
    write(final, name, content)
    with pytest.raises(UserError, match=old[:-4]) as caught:
        script("final_ensemble_with_post_proc.py").main([])
    assert name in str(caught.value)
    assert not (final / "submission").exists()


def test_submission_file(tmp_path):
    write_submission(tmp_path / "x.csv", ["b", "a"], {"a": ["w_1", NEW]}, ["w_1"])
    boxless = b"b.jpg,new_whale new_whale new_whale new_whale new_whale\n"
    expected = b"Image,Id\n" + boxless + b"a.jpg,w_1 new_whale\n"
    assert (tmp_path / "x.csv").read_bytes() == expected
