"""A score matrix in another one's place, and folds and boxes of other tables: refused by file and photo."""

import json
import pickle
import shutil

import numpy as np
import pytest
from helpers import refused, write, write_lines
from scipy import sparse

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6
from whales.base.errors import UserError
from whales.base.pickles import load, save
from whales.files.dataset import load_boxes, training_data
from whales.files.matrices import ScoreMatrix, save_dict, save_tuple
from whales.files.root_matrices import FOLDS_OF, RootMatrices
from whales.files.workspace import Workspace
from whales.reporting.held_out import held_out
from whales.scores.ensemble import blended, mean_matrix
from whales.scores.root_scores import fold_map5, known_map5_of_nets

NETS = (V5, V6, KERNEL)
WHO = {f"{whale}{i}": f"w_{whale}" for whale in "abcde" for i in range(4)}
WHO |= {f"n{i}": "new_whale" for i in range(4)}
KNOWN = sorted(name for name, who in WHO.items() if who != "new_whale")
TEST = ["t0", "t1", "t2"]
HELD_OUT = {
    fold: sorted([f"{whale}{fold}" for whale in "abcde"] + [f"n{fold}"]) for fold in range(4)
}
SPARSE = "test_vs_train_mat_sparse"


def splits(shift=0):
    """Folds by the number in a photo's name; `shift`: another recipe's."""
    held = {fold: HELD_OUT[(fold + shift) % 4] for fold in range(4)}
    return {
        f"fold_{fold}": {
            "train": [f"{name}.npy" for name in KNOWN if name not in held[fold]],
            "val": [f"{name}.npy" for name in held[fold]],
        }
        for fold in range(4)
    }


def cut(matrix):
    return matrix._replace(scores=sparse.csr_matrix(matrix.scores))


@pytest.fixture
def ws(work_root):
    """A root with tables, boxes, folds and every matrix; each matrix has numbers of its own."""
    workspace, random = Workspace(work_root), np.random.default_rng(0)
    write_lines(
        workspace.file("train_csv"), "Image,Id", *(f"{n}.jpg,{who}" for n, who in WHO.items())
    )
    write_lines(workspace.file("sample_submission"), "Image,Id", *(f"{n}.jpg,x" for n in TEST))
    save(workspace.file("boxes_averaged"), dict.fromkeys([*WHO, *TEST], (0, 0, 9, 9)))
    save(workspace.file("boxes_averaged_playground"), {})
    save(workspace.file("folds_v1"), splits())
    save(workspace.file("folds_v2"), splits(1))

    def matrix(rows):
        scores = random.random((len(rows), len(KNOWN)), np.float32)
        return ScoreMatrix(scores, list(rows), KNOWN)

    for shift, net in enumerate(("v5", "v6")):
        for fold in range(4):
            rows = HELD_OUT[(fold + shift) % 4]
            save_tuple(workspace.file(f"valid_matrix_{net}", fold=fold), matrix(rows))
            save_tuple(workspace.file(f"test_matrix_fold_{net}", fold=fold), matrix(TEST))
        save_tuple(workspace.file(f"test_matrix_{net}"), matrix(TEST))
        cut = matrix(TEST)
        save_dict(
            workspace.file(f"features_test_{net}"),
            cut._replace(scores=sparse.csr_matrix(cut.scores)),
            SPARSE,
        )
    cut = matrix(TEST)
    save_dict(
        workspace.file("features_test_kernel"),
        cut._replace(scores=sparse.csr_matrix(cut.scores)),
        "score",
    )
    return workspace


def r20(ws, script):
    script("r20_prepare_matrices_for_ensemble.py").main([])


def r28(ws, script):
    script("siamese_net_v5_densenet121/r28_seamese_net_create_submission_v5_512px.py").main([])


def final(ws, script):
    script("final_ensemble_with_post_proc.py").main([])


def mean(ws, script):
    paths = [ws.file("test_matrix_fold_v5", fold=fold) for fold in range(4)]
    mean_matrix(paths, RootMatrices(ws).test)


def report(ws, script):
    held_out(ws, WHO)


def evaluated(ws, script):
    fold_map5(ws)
    known_map5_of_nets(ws, dict.fromkeys(TEST, "w_a"))


VALID = (r20, report, evaluated)
READERS = {
    ("valid_matrix_v5", 1): VALID,
    ("valid_matrix_v6", 0): VALID,
    ("test_matrix_v5", None): (r20, r28, evaluated),
    ("test_matrix_fold_v5", 2): (mean,),
    ("features_test_v5", None): (final,),
    ("features_test_kernel", None): (final, evaluated),
}
CASES = [(key, fold, reader) for (key, fold), readers in READERS.items() for reader in readers]
of_cases = pytest.mark.parametrize(
    ("key", "fold", "reader"), CASES, ids=[f"{k}-{r.__name__}" for k, _, r in CASES]
)


def path_of(ws, key, fold):
    return ws.file(key) if fold is None else ws.file(key, fold=fold)


def test_sound_matrices_are_read_without_stamps(ws, script):
    for reader in {reader for _, _, reader in CASES}:
        reader(ws, script)
    assert ws.file("submission").exists()


def test_folds_are_those_of_the_cards():
    assert {net.name: net.folds for net in NETS if net.name in FOLDS_OF} == FOLDS_OF


def changed(content, change):
    """A stored matrix with its (rows, columns, scores) changed."""
    if isinstance(content, dict):
        key = next(name for name in (SPARSE, "score") if name in content)
        rows, columns, scores = change(
            content["row_names"], content["col_names"], content[key].toarray()
        )
        return {"row_names": rows, "col_names": columns, key: sparse.csr_matrix(scores)}
    return change(*content)


CHANGES = {
    "a row twice": lambda rows, columns, scores: ([*rows[1:], rows[1]], columns, scores),
    "a row missing": lambda rows, columns, scores: (rows[1:], columns, scores[1:]),
    "a row of another photo": lambda rows, columns, scores: (["z.jpg", *rows[1:]], columns, scores),
    "a row too many": lambda rows, columns, scores: (
        [*rows, "z.jpg"],
        columns,
        scores[[*range(len(rows)), 0]],
    ),
    "a column missing": lambda rows, columns, scores: (rows, columns[1:], scores[:, 1:]),
    "a column of another photo": lambda rows, columns, scores: (
        rows,
        ["z.jpg", *columns[1:]],
        scores,
    ),
    "transposed": lambda rows, columns, scores: (columns, rows, scores.T.copy()),
    "scores transposed": lambda rows, columns, scores: (rows, columns, scores.T.copy()),
    "double precision": lambda rows, columns, scores: (rows, columns, scores.astype(np.float64)),
    "NaN": lambda rows, columns, scores: (rows, columns, scores * np.float32(np.nan)),
}


@of_cases
@pytest.mark.parametrize("change", CHANGES)
def test_changed_matrices_are_refused_by_every_reader(ws, script, key, fold, reader, change):
    path = path_of(ws, key, fold)
    path.write_bytes(pickle.dumps(changed(load(path), CHANGES[change])))
    before = sorted(ws.root.rglob("*.csv"))
    with pytest.raises(UserError, match=path.name) as caught:
        reader(ws, script)
    assert "\n" not in str(caught.value)
    assert sorted(ws.root.rglob("*.csv")) == before


COPIES = [
    (("valid_matrix_v5", 0), ("valid_matrix_v5", 1)),
    (("valid_matrix_v5", 0), ("valid_matrix_v6", 0)),
    (("test_matrix_v5", None), ("valid_matrix_v5", 1)),
    (("valid_matrix_v5", 1), ("test_matrix_v5", None)),
    (("test_matrix_v6", None), ("test_matrix_v5", None)),
    (("test_matrix_fold_v5", 1), ("test_matrix_v5", None)),
    (("test_matrix_fold_v5", 1), ("test_matrix_fold_v5", 2)),
    (("test_matrix_fold_v6", 2), ("test_matrix_fold_v5", 2)),
    (("features_test_v6", None), ("features_test_v5", None)),
    (("features_test_v5", None), ("features_test_kernel", None)),
]


@pytest.mark.parametrize(("source", "target"), COPIES)
def test_a_matrix_copied_over_another_is_refused_by_every_reader(ws, script, source, target):
    path = path_of(ws, *target)
    shutil.copy(path_of(ws, *source), path)
    for reader in READERS[target]:
        with pytest.raises(UserError, match=path.name):
            reader(ws, script)


def stamped(ws, *paths):
    """A stamp that says what these files hold now, as a stage leaves it."""
    written = {path.relative_to(ws.root).as_posix(): ws.digests.of(path) for path in paths}
    return write(
        ws.root, "cache/stages/x.r26.json", json.dumps({"options": {}, "written": written})
    )


def test_two_matrices_exchanged_are_told_by_their_stamps(ws, script):
    one, two = ws.file("test_matrix_fold_v5", fold=1), ws.file("test_matrix_fold_v5", fold=2)
    stamp = stamped(ws, one, two)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second), two.write_bytes(first)
    said = "fold_1.pkl is not what its stage has written there (it is equal to ", str(stamp)
    refused(lambda: mean(Workspace(ws.root), script), *said)
    stamp.unlink()  # as the message says: to take it all the same
    mean(Workspace(ws.root), script)


def test_a_stage_stamps_what_it_writes(ws, script):
    r20(ws, script)
    path = ws.file("features_test_v5")
    stamp = json.loads(ws.file("stamp", stage="r20_prepare_matrices_for_ensemble_v5").read_text())
    name = path.relative_to(ws.root).as_posix()
    assert stamp["written"][name] == Workspace(ws.root).digests.of(path)
    content = load(path)
    content[SPARSE] = content[SPARSE] * np.float32(0.5)
    save(path, content)
    refused(lambda: final(ws, script), "sparse-test.pkl is not what its stage has written there")


# --- folds and boxes ------------------------------------------------------------------------------


def altered(change):
    folds = splits()
    change(folds["fold_0"])
    return folds


FOLDS = {
    "no dict": [],
    "no names": {"fold_0": {"train": [1], "val": [2]}},
    "a text for a list": {"fold_0": {"train": "abc", "val": []}},
    "in both": altered(lambda fold: fold["val"].append(fold["train"][0])),
    "twice in train": altered(lambda fold: fold["train"].append(fold["train"][0])),
    "twice in valid": altered(lambda fold: fold["val"].append(fold["val"][0])),
    "twice by another extension": altered(lambda fold: fold["val"].append(f"{HELD_OUT[0][0]}.jpg")),
    "a stranger to train on": altered(lambda fold: fold["train"].append("z.npy")),
    "a stranger held out": altered(lambda fold: fold["val"].append("z.npy")),
    "a new whale to train on": altered(lambda fold: fold["train"].append("n1.npy")),
}


@pytest.mark.parametrize("case", FOLDS)
def test_folds_that_do_not_fit_the_tables_are_refused(ws, script, case):
    path = ws.file("folds_v1")
    save(path, FOLDS[case])
    boxes = load_boxes(ws)
    refused(lambda: training_data(ws, "folds_v1", 0, boxes), str(path), "again")
    refused(lambda: RootMatrices(ws).validation(ws.file("valid_matrix_v5", fold=0)), str(path))
    refused(lambda: report(ws, script), str(path))


def test_a_training_refuses_folds_without_photos_of_the_table(ws):
    save(ws.file("folds_v1"), altered(lambda fold: fold["train"].remove("a1.npy")))
    refused(
        lambda: training_data(ws, "folds_v1", 0, load_boxes(ws)),
        "photo a1 of train.csv is neither in train nor in valid (1 are missing)",
    )


@pytest.mark.parametrize("names", [["z1", "z2"], TEST])
def test_boxes_of_another_data_set_are_refused(ws, names):
    save(ws.file("boxes_averaged"), dict.fromkeys(names, (0, 0, 9, 9)))
    refused(lambda: blended(ws, NETS), "with an identity has a box in", "p2bb_averaged_v1.pkl")
