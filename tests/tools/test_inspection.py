"""What files are, each fault by a small file that has it, comparisons by hand, and the script."""

import csv
import json

import cv2
import numpy as np
import pytest
from helpers import refused
from matplotlib import pyplot as plt
from scipy import sparse
from whales_tools import inspect_pickle

from whales.base.errors import UserError
from whales.base.pickles import save
from whales.files.workspace import Workspace
from whales.inspecting import contents
from whales.inspecting.comparison import compare, photo_finding
from whales.inspecting.contents import read
from whales.inspecting.findings import Range, Share, value_text
from whales.inspecting.inspection import inspect
from whales.inspecting.matrix_checks import fold_slices
from whales.inspecting.root_tables import RootTables

NEW = "new_whale"
TRAIN = {"a": "w_1", "b": "w_1", "c": "w_2", "d": "w_2", "e": NEW}
TEST = ["s", "t"]
BOXES = dict.fromkeys([*TRAIN, *TEST], (10, 20, 110, 60))
KNOWN = ["a", "b", "c", "d"]


def table(path, rows, header="Image,Id"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def submission(path, answers):
    return table(path, [f"{name}.jpg,{' '.join(ids)}" for name, ids in answers.items()])


def jpg(names):
    return [f"{name}.jpg" for name in names]


def folds(train="abc", valid="de", form="npy"):
    def names(part):
        return [f"{name}.{form}" for name in part]

    return {f"fold_{number}": {"train": names(train), "val": names(valid)} for number in range(4)}


@pytest.fixture
def root(work_root):
    """A work root with the competition's tables, no playground, and 120 x 80 photos."""
    table(work_root / "data/train.csv", [f"{name}.jpg,{who}" for name, who in TRAIN.items()])
    submission(work_root / "data/sample_submission.csv", {name: [NEW, "w_1"] for name in TEST})
    for part, names in (("train", TRAIN), ("test", TEST)):
        (work_root / "data" / part).mkdir()
        for name in names:
            photo = work_root / "data" / part / f"{name}.jpg"
            cv2.imwrite(str(photo), np.zeros((80, 120, 3), np.uint8))
    return work_root


@pytest.fixture
def look(root, tmp_path):
    """Inspect something written as a pickle (or a file that is there already)."""

    def find(content, name="x.pkl", head=0):
        path = content
        if not hasattr(content, "exists"):
            path = tmp_path / name
            save(path, content)
        return inspect(read(path), RootTables.read(Workspace()), head)

    return find


@pytest.fixture
def against(root, tmp_path):
    """Compare two things written as pickles (or files that are there already)."""

    def find(*pair, head=0):
        paths = []
        for number, content in enumerate(pair):
            path = tmp_path / f"{number}.pkl"
            if hasattr(content, "exists"):
                path = content
            else:
                save(path, content)
            paths.append(path)
        return compare(*map(read, paths), RootTables.read(Workspace()), head)

    return find


# --- kinds ----------------------------------------------------------------------------------------

CACHE = (
    np.array([[[0.1, 0.2, 0.9, 0.8], [0, 0, 0, 0]]] * 2, np.float32),
    np.array([[0.9, -1.0]] * 2, np.float32),
    np.array([[0, -1]] * 2, np.int32),
)
SCORES = np.array([[0.9, 0.1, 0.2, 0.3], [0.4, 0.5, 0.6, 0.7]], np.float32)


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (BOXES, "x.pkl", contents.BOXES),
        (BOXES, "of_another_name", contents.BOXES),
        ({"a": [[0, 0.9, 0.1, 0.2, 0.9, 0.8]], "b": []}, "x.pkl", contents.DETECTIONS),
        (CACHE, "a_fold_1.pklz", contents.DETECTION_CACHE),
        (folds(), "x.pkl", contents.FOLDS),
        ([[jpg("abc"), jpg("de")]] * 5, "x.pklz", contents.DETECTOR_FOLDS),
        ((jpg("st"), jpg("abcd"), SCORES), "x.pkl", contents.MATRIX),
        (
            {
                "row_names": jpg("st"),
                "col_names": jpg("abcd"),
                "score": sparse.csr_matrix(SCORES),
            },
            "x.pkl",
            contents.MATRIX,
        ),
        ({("a", 1): 2}, "x.pkl", contents.OTHER),
        ([1, 2, 3], "x.pkl", contents.OTHER),
        ((1, 2, 3), "x.pkl", contents.OTHER),
        ("text", "x.pkl", contents.OTHER),
    ],
)
def test_kinds_are_told_by_content(look, content, name, kind):
    finding = look(content, name)
    assert finding.kind == kind
    assert finding.faults == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Image,Id\na.jpg,w_1\n", contents.LABELS),
        ("Image,Id\ns.jpg,w_1 new_whale\nt.jpg,w_1\n", contents.SUBMISSION),
        ("epoch,lr,loss,map5\n1,0.1,0.7,\n2,0.1,0.5,0.25\n", contents.HISTORY),
        ("E:\\x/a.jpg,10,20,110,60,whale\n", contents.BOXES),
        ("a,b\n1,2\n", contents.OTHER),
        ("", contents.OTHER),
    ],
)
def test_kinds_of_tables(look, root, text, kind):
    path = root / "any.txt"
    path.write_text(text)
    finding = look(path)
    assert finding.kind == kind
    assert finding.faults == []


def test_what_is_no_file_of_the_pipeline_is_told_with_type_and_size(look, root):
    (root / "x.h5").write_bytes(b"\x89HDF\xff\x00")
    finding = look(root / "x.h5")
    assert (finding.kind, finding.facts) == (contents.OTHER, {"type": "h5 file", "bytes": 6})
    assert look({("a", 1): 2}).facts["type"] == "dict of 1"
    assert look(root).facts == {"type": "folder"}
    weights = Workspace().file("retinanet_last", fold=1)
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"\x89HDF\xff\x00")
    assert look(weights).kind == "file of the pipeline that is not looked into"


# --- boxes ----------------------------------------------------------------------------------------


def test_sound_boxes(look):
    finding = look(BOXES, head=1)
    assert finding.facts == {
        "photos": 7,
        "train": Share(5, 5),
        "test": Share(2, 2),
        "width px": Range(100, 100),
        "height px": Range(40, 40),
        "inside photo": Share(7, 7),
    }
    assert finding.head == [("a", "10 20 110 60 in 120 x 80")]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"a": (float("nan"), 0, 5, 5)}, "1 photos with NaN in a box: a"),
        ({"a": (50, 0, 10, 5)}, "1 photos with an empty or inverted box: a"),
        ({"a": (5, 5, 10, 5)}, "1 photos with an empty or inverted box: a"),
        ({"a": (0, 0, 121, 80)}, "1 photos with a box outside them: a"),
        ({"a": (0, -1, 120, 80)}, "1 photos with a box outside them: a"),
        ({"z": (0, 0, 120, 80)}, "1 photos that no table has: z"),
        ({"a": (0, 0, 120)}, "photo a: its entry is none of boxes"),
        ({"a": None}, "photo a: its entry is none of boxes"),
    ],
)
def test_faults_of_boxes(look, change, fault):
    assert look({**BOXES, **change}).faults == [fault]


def test_a_box_may_touch_the_border(look):
    assert look({**BOXES, "a": (0, 0, 120, 80)}).faults == []


def test_missing_test_photos_are_a_fault_only_where_some_are_there(look):
    assert look({"a": BOXES["a"], "s": BOXES["s"]}).faults == ["1 test photos missing: t"]
    assert look({"a": BOXES["a"]}).faults == []


def test_many_names_are_cut(look):
    strange = {f"z{number}": (0, 0, 9, 9) for number in range(7)}
    assert look({**BOXES, **strange}).faults == [
        "7 photos that no table has: z0, z1, z2, z3, z4 and 2 more"
    ]


def test_annotations_are_boxes(look, root):
    path = root / "fold_1_train.csv"
    path.write_text("data/train/a.jpg,1,2,30,40,whale\nx/a.jpg,1,2,30,40,whale\nb.jpg,1\n")
    finding = look(path)
    assert finding.facts["photos"] == 1
    assert finding.faults == [
        "line 2: photo a stands twice",
        "line 3: expected path,x1,y1,x2,y2,class",
    ]


def test_a_playground_that_is_not_there_is_not_missed(look, root):
    """Boxes of no photo of the competition can be the playground's, whose tables are not there."""
    assert look({"p1": (0, 0, 9, 9)}).faults == []
    table(root / "data/playground/train.csv", ["p2.jpg,w_9"])
    submission(root / "data/playground/sample_submission.csv", {"p3": [NEW, "w_9"]})
    assert look({"p1": (0, 0, 9, 9)}).faults == ["1 photos that no table has: p1"]
    assert look({"p2": (0, 0, 9, 9)}).facts["playground"] == Share(1, 2)


def test_without_tables_and_photos_the_rest_is_checked(work_root, tmp_path):
    tables = RootTables.read(Workspace())
    save(tmp_path / "x.pkl", {"q": (0, 0, 5, 5), "r": (5, 0, 0, 5)})
    finding = inspect(read(tmp_path / "x.pkl"), tables)
    assert finding.faults == ["1 photos with an empty or inverted box: r"]
    assert finding.facts["inside photo"] == "no photos"
    assert "data/train.csv; data/sample_submission.csv" in tables.notes[0]


def test_a_broken_photo_is_noted(root, tmp_path):
    (root / "data/train/a.jpg").write_bytes(b"no photo")
    tables = RootTables.read(Workspace())
    save(tmp_path / "x.pkl", BOXES)
    assert inspect(read(tmp_path / "x.pkl"), tables).facts["inside photo"] == Share(6, 6)
    assert tables.notes[-1] == "1 photos cannot be read, such as a"


# --- detections -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ([0, 0.9, 0.1, 0.2, 1.01, 0.8], "1 photos with a box outside them: a"),
        ([0, 0.9, 0.9, 0.2, 0.1, 0.8], "1 photos with an empty or inverted box: a"),
        ([0, -0.1, 0.1, 0.2, 0.9, 0.8], "1 photos with a score out of range: a"),
        ([0, float("nan"), 0.1, 0.2, 0.9, 0.8], "1 photos with a score out of range: a"),
        ([0, 0.9, float("nan"), 0.2, 0.9, 0.8], "1 photos with NaN in a box: a"),
        ([0, 0.9, 0.1], "photo a: its entry is none of detections"),
    ],
)
def test_faults_of_detections(look, entry, fault):
    good = [[0, 0.5, 0.1, 0.2, 0.9, 0.8]]
    assert look({"a": [*good, entry], "b": good, "c": good}).faults == [fault]


def test_detections_and_caches(look):
    finding = look({"a": [[0, 1.04, 0.1, 0.2, 0.9, 0.8]], "b": []}, head=1)
    assert finding.facts["a photo"] == Range(0, 1)
    assert finding.facts["scores"] == Range(1.04, 1.04)
    assert finding.head == [("a", "1.0400 at 0.100 0.200 0.900 0.800")]
    cache = look(CACHE, "a_fold_1.pklz", head=2)
    assert cache.facts["detections"] == "1 + 1"
    # the mirrored view is told as it lies in the photo itself
    assert cache.head[1] == ("mirrored", "0.9000 at 0.100 0.200 0.900 0.800")
    boxes, scores, labels = CACHE
    assert look((boxes, scores + 1, labels)).faults == ["1 photos with a score out of range: x"]
    assert "should be (2, n, 4)" in look((boxes, scores[:, :1], labels)).faults[0]


# --- folds ----------------------------------------------------------------------------------------


def test_sound_folds(look):
    finding = look(folds(), head=2)
    assert finding.facts["fold 3"] == {"train": 3, "valid": 2, "new": 1}
    assert finding.facts["in a valid part"] == Share(2, 5)
    assert finding.head[:2] == [("fold 0 train", "a b"), ("fold 0 valid", "d e")]
    assert look(folds(form="jpg")).facts == finding.facts


def test_faults_of_folds(look):
    content = folds()
    content["fold_1"] = {"train": ["a.npy", "b.npy", "a.npy"], "val": ["b.jpg", "z.npy"]}
    del content["fold_2"]["val"]
    assert look(content).faults == [
        "x.pkl holds no fold_2 with 'train' and 'val'; run the fold stage again",
        "1 photos that are not in train.csv: z",
        "1 photos in train and valid of fold 1: b",
        "1 photos in train of fold 1 twice: a",
    ]
    detector = [[jpg("abc"), jpg("de")]] * 4 + [[jpg("abcd"), jpg("de")]]
    assert look(detector).faults == ["1 photos in train and valid of fold 5: d"]


# --- score matrices -------------------------------------------------------------------------------


def test_sound_test_matrix(look, root):
    finding = look((jpg("st"), jpg("abcd"), SCORES), head=1)
    assert finding.facts == {
        "size": "2 x 4",
        "test": Share(2, 2),
        "known columns": Share(4, 4),
        "scores": Range(pytest.approx(0.1), pytest.approx(0.9)),
        "zeros": 0.0,
        "best for most rows": "a, 1 of 2",
    }
    assert finding.head == [("s", "0.9000 a w_1, 0.3000 d w_2, 0.2000 c w_2")]
    # With the answers: s is w_2, whose best photo (.3) comes after w_1's (.9); t is w_2, first.
    table(root / "test_labels.csv", ["s.jpg,w_2", "t.jpg,w_2"])
    assert look((jpg("st"), jpg("abcd"), SCORES)).facts["MAP@5 known"] == (1 / 2 + 1) / 2


@pytest.mark.parametrize(("hits", "fault"), [(11, True), (10, False)])
def test_a_photo_that_is_like_everybody_is_a_fault(look, hits, fault):
    rows = [f"r{number:02}.jpg" for number in range(20)]
    scores = np.tile(np.float32([0.1, 0.2, 0.3, 0.15]), (20, 1))
    scores[:hits, 1] = 0.99997
    finding = look((rows, jpg("abcd"), scores))
    assert finding.facts["best for most rows"] == f"b, {hits} of 20"
    said = [text for text in finding.faults if "best match" in text]
    told = "photo b is the best match of 11 of 20 photos: unless these show one animal, look whether it "
    assert said == ([f"{told}shows a fluke"] if fault else [])


def test_map5_of_valid_matrices_by_fold(look):
    """Fold 0: a is found first (its own score counts 0), e is new. Fold 1: c's mate is second."""
    scores = np.array(
        [[1, 0.995, 0, 0.2], [0.1, 0.2, 0.3, 0.4], [0.1, 0.999, 1, 0.991]], np.float32
    )
    one = (jpg("ae"), jpg("abcd"), scores[:2])
    assert look(one).facts["MAP@5"] == 1
    stacked = {
        "row_names": jpg("aec"),
        "col_names": jpg("abcd"),
        "overall_score": 0.75,
        "val_vs_train_mat_sparse": sparse.csr_matrix(scores),
    }
    facts = look(stacked).facts
    assert facts["MAP@5 by fold"] == [1, 1 / 2]
    assert facts["MAP@5"] == pytest.approx((2 * 1 + 1 * 1 / 2) / 3)
    assert facts["stated"] == 0.75
    assert facts["zeros"] == 1 / 12


def test_fold_slices():
    assert fold_slices(list("abcabdacb")) == [slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 9)]
    assert fold_slices(list("edcba")) == [slice(0, 5)]  # sorted by another rule
    assert fold_slices(list("abc")) == [slice(0, 3)]


@pytest.mark.parametrize(
    ("rows", "columns", "change", "fault"),
    [
        ("st", "abcd", (0, 0, np.nan), "1 scores are NaN or infinite"),
        ("st", "abcd", (0, 0, 1.5), "scores outside 0 to 1: 0.1000 to 1.5000"),
        ("st", "abcd", (0, 0, -0.5), "scores outside 0 to 1: -0.5000 to 0.7000"),
        ("ss", "abcd", None, "1 rows twice: s"),
        ("st", "abca", None, "1 columns twice: a"),
        ("sz", "abcd", None, "1 photos that no table has: z"),
        ("st", "abcz", None, "1 columns that no table has: z"),
        ("sa", "abcd", None, "1 test photos missing: t"),
        ("stu", "abcd", None, "scores (2, 4) do not fit 3 x 4 names"),
    ],
)
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_faults_of_matrices(look, rows, columns, change, fault, form):
    scores = SCORES.copy()
    if change:
        scores[change[:2]] = change[2]
    content = (jpg(rows), jpg(columns), scores)
    if form == "sparse":
        keys = ("row_names", "col_names", "score")
        content = dict(zip(keys, [*content[:2], sparse.csr_matrix(scores)], strict=True))
    assert fault in look(content).faults


def test_a_test_photo_without_a_box_needs_no_row(look, root):
    content = (["s.jpg"], jpg("abcd"), SCORES[:1])
    assert look(content).faults == ["1 test photos missing: t"]
    ws = Workspace()
    save(ws.file("boxes_averaged_playground"), {})
    save(ws.file("boxes_averaged"), {name: box for name, box in BOXES.items() if name not in "td"})
    finding = look(content)
    assert finding.faults == []
    assert finding.facts["known columns"] == Share(3, 3)


def test_a_damaged_sparse_matrix(look):
    scores = sparse.csr_matrix(SCORES)
    scores.indices[0] = 77
    content = {"row_names": jpg("st"), "col_names": jpg("abcd"), "score": scores}
    refused(lambda: look(content), "an index of a sparse matrix lies outside it")


# --- tables ---------------------------------------------------------------------------------------


def test_submission(look, root):
    path = submission(root / "x.csv", {"s": ["w_1", NEW, "w_7"], "t": [NEW]})
    table(root / "test_labels.csv", ["s.jpg,new_whale", "t.jpg,new_whale"])
    finding = look(path, head=1)
    assert finding.facts == {
        "photos": 2,
        "test": Share(2, 2),
        "answers": Range(1, 3),
        "identities": 3,
        "new first": 0.5,
        "unknown ids": 1,
        "MAP@5": 0.75,
    }
    assert finding.head == [("s", "w_1 new_whale w_7")]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["s.jpg,w_1 w_2"], "it would be refused: 1 photos without a line: t"),
        (["s.jpg,w_1 w_2", "t.jpg,"], "it would be refused: line 3: photo t.jpg has no answer"),
        (
            ["s.jpg,w_1 w_2", "t.jpg,w_1", "s.jpg,w_2"],
            "it would be refused: 1 photos that stand twice: s",
        ),
        (
            ["s.jpg,1 2 3 4 5 6", "t.jpg,w_1"],
            "it would be refused: line 2: photo s.jpg has more than 5 answers",
        ),
    ],
)
def test_faults_of_submissions(look, root, rows, fault):
    assert look(table(root / "x.csv", rows)).faults == [fault]


def test_labels(look, root):
    finding = look(root / "data/train.csv")
    assert finding.facts == {
        "photos": 5,
        "identities": 2,
        "new_whale": 1,
        "seen once": 0,
        "photos each": Range(2, 2),
        "train": Share(5, 5),
    }
    twice = look(table(root / "x.csv", ["a.jpg,w_1", "a.jpg,w_2"]))
    assert "listed twice" in twice.faults[0]
    assert look(table(root / "y.csv", ["z.jpg,w_1", "a.jpg,w_2"])).faults == [
        "1 photos that no table has: z"
    ]


def test_history(look, root):
    header = "epoch,loss,accuracy,seconds,map5"
    path = table(root / "x.csv", ["1,0.7,0.5,60,", "2,0.5,0.75,61,0.25"], header)
    assert look(path).facts == {
        "epochs": 2,
        "first loss": 0.7,
        "last loss": 0.5,
        "last accuracy": 0.75,
        "best MAP@5": 0.25,
        "minutes": 2,
    }
    table(path, ["1,0.7,0.5,60,", "2,nan,0.75,61,0.25"], header)
    assert look(path).faults == ["loss is NaN or infinite"]
    table(path, ["1,x,0.5,60,"], header)
    assert look(path).faults == ["column loss holds what is no number"]
    table(path, [], header)
    assert (look(path).facts, look(path).faults) == ({"epochs": 0}, [])


def test_decisions(look, root):
    header = "who,when,query,decision,candidate,score"
    path = table(
        root / "review/decisions.csv",
        [
            "ann,1,s.jpg,same,a.jpg,.9", "ben,2,s.jpg,new,,", "ann,3,t.jpg,skip,,",
            "ann,4,t.jpg,undo,,", "ben,5,t.jpg,same,w_2,",
        ],
        header,
    )  # fmt: skip
    finding = look(path, head=1)
    assert finding.kind == "people's decisions"
    assert finding.facts == {
        "rows": 5,
        "photos": 2,
        "last words": {"new": 1, "same": 1},
        "people": {"ann": 3, "ben": 2},
        "test photos": Share(2, 2),
        "people differ": Share(1, 2),
    }
    assert finding.head == [("s", "ann: same a.jpg, ben: new")]
    assert finding.faults == []
    (fault,) = look(table(path, ["ann,1,s,same,nobody,"], header)).faults
    assert fault.startswith("decisions.csv, line 2: candidate nobody is neither")
    table(path, [], header)
    assert (look(path).facts["rows"], look(path).faults) == (0, [])
    with pytest.raises(UserError, match="line 2: decision is maybe"):
        look(table(path, ["ann,1,s,maybe,,"], header))


# --- comparisons ----------------------------------------------------------------------------------


def test_boxes_compared(against):
    """a: equal. b: moved by half its width, 50 of 150 columns shared. c: twice as high, half."""
    one = {"a": (0, 0, 100, 10), "b": (0, 0, 100, 10), "c": (0, 0, 100, 10), "d": (0, 0, 1, 1)}
    other = {"c": (0, 0, 100, 20), "b": (50, 0, 150, 10), "a": (0, 0, 100, 10), "z": (0, 0, 1, 1)}
    finding = against(one, other, head=1)
    assert finding.facts == {
        "photos in both": 3,
        "photos only in the first": 1,
        "photos only in the second": 1,
        "same box": 1,
        "IoU mean": pytest.approx((1 + 1 / 3 + 1 / 2) / 3),
        "IoU median": 0.5,
        "IoU": Range(pytest.approx(1 / 3), 1),
        "IoU 0 to 0.5": 1,
        "IoU 0.5 to 0.75": 1,
        "IoU 0.75 to 0.9": 0,
        "IoU 0.9 and more": 1,
    }
    assert finding.head == [("b", "IoU 0.3333: 0 0 100 10 and 50 0 150 10")]


def test_detections_compared_by_their_first_box(against):
    one = {"a": [[0, 0.9, 0, 0, 1, 0.5], [0, 0.1, 0, 0, 1, 1]], "b": []}
    finding = against(one, {"a": [[0, 0.9, 0, 0, 1, 1]], "b": []})
    assert finding.facts["IoU mean"] == 0.5
    assert finding.facts["photos in both"] == 1


def test_folds_compared(against):
    other = folds()
    other["fold_2"] = {"train": ["d.jpg", "a.jpg"], "val": ["c.jpg", "e.jpg", "f.jpg"]}
    finding = against(folds(), other, head=9)
    assert finding.facts["fold 0"] == {"stay": 5}
    assert finding.facts["fold 2"] == {
        "stay": 2,
        "train to valid": 1,
        "valid to train": 1,
        "leave": 1,
        "join": 1,
    }
    assert finding.head == [
        ("fold 2", "b leave, c train to valid, d valid to train, f join"),
    ]


def test_matrices_compared(against):
    """By name: s has its best match a at rank 3 of the second matrix, t keeps d."""
    second = {
        "row_names": jpg("tsu"),
        "col_names": jpg("dcba"),
        "score": sparse.csr_matrix(
            np.array([[0.7, 0.6, 0.5, 0.4], [0.6, 0.5, 0.1, 0.4], [0, 0, 0, 1]], np.float32)
        ),
    }
    finding = against((jpg("st"), jpg("abcd"), SCORES), second, head=1)
    facts = finding.facts
    assert (facts["rows in both"], facts["rows only in the second"]) == (2, 1)
    assert facts["columns in both"] == 4
    assert facts["best match stays"] == 0.5
    assert facts["within first 5"] == 1
    assert facts["rank"] == Range(1, 3)
    assert facts["rank, median"] == "2"
    # s: .9 .1 .2 .3 against .4 .1 .5 .6; t: no difference
    assert facts["mean difference"] == pytest.approx((0.5 + 0 + 0.3 + 0.3) / 8)
    assert facts["largest difference"] == pytest.approx(0.5)
    assert finding.head == [("s", "best a, now rank 3; best now d")]


def test_a_photo_is_not_its_own_best_match(against):
    one = (jpg("a"), jpg("abc"), np.array([[1, 0.9, 0.1]], np.float32))
    other = (jpg("a"), jpg("abc"), np.array([[1, 0.2, 0.5]], np.float32))
    finding = against(one, other, head=1)
    assert finding.head == [("a", "best b, now rank 2; best now c")]
    assert finding.facts["largest difference"] == pytest.approx(0.7)


def test_submissions_compared(against, root):
    """s: first equal, sets {1}, {1,2} of {1,3}, .. ; t: the same answers, first two swapped."""
    one = submission(root / "1.csv", {"s": ["w1", "w2", "w3"], "t": [NEW, "w1", "w2"]})
    other = submission(root / "2.csv", {"s": ["w1", "w3", "w4"], "t": ["w1", NEW, "w2"]})
    facts = against(one, other).facts
    assert facts["agreement at 1"] == (1 + 0) / 2
    assert facts["agreement at 2"] == (1 / 2 + 1) / 2
    assert facts["agreement at 3"] == facts["agreement at 5"] == pytest.approx((2 / 3 + 1) / 2)
    assert facts["all answers the same"] == 0
    assert facts["new_whale first in the first"] == 0.5
    assert facts["new_whale first in the second"] == 0


def test_what_cannot_be_compared(against, root):
    with pytest.raises(UserError, match="are unlike: compare two files of one kind"):
        against(BOXES, folds())
    with pytest.raises(UserError, match="have no photos in common"):
        against({"a": (0, 0, 1, 1)}, {"b": (0, 0, 1, 1)})
    with pytest.raises(UserError, match="label table; only boxes, detections"):
        against(root / "data/train.csv", root / "data/train.csv")
    nan = SCORES * np.nan
    with pytest.raises(UserError, match="NaN"):
        against((jpg("st"), jpg("abcd"), nan), (jpg("st"), jpg("abcd"), SCORES))


# --- one photo ------------------------------------------------------------------------------------


@pytest.fixture
def full(root, monkeypatch):
    """The root with boxes, folds, a valid and a test matrix, a submission and a cache entry."""
    monkeypatch.delenv("COLUMNS", raising=False)
    ws = Workspace()
    save(ws.file("boxes_v5"), BOXES)
    save(ws.file("folds_v1"), folds())
    scores = np.array([[0.1, 0.9, 0.5, 0.4]], np.float32)
    save(ws.file("valid_matrix_v5", fold=0), (jpg("d"), jpg("abcd"), scores))
    save(ws.file("test_matrix_v5"), (jpg("st"), jpg("abcd"), SCORES))
    submission(ws.file("submission"), {"s": ["w_1", NEW], "t": [NEW, "w_2"]})
    save(ws.file("detections_cache", part="train", name="a"), CACHE)
    save(ws.file("detections_cache", part="test", name="s_fold_1"), CACHE)
    return ws


def test_files_of_a_root(full):
    assert [path.name for path in full.pickles_and_tables()] == [
        "train.csv",
        "sample_submission.csv",
        "p2bb_v5.pkl",
        "new_4_folds_split_train_val_v1.pkl",
        "full_valid_vs_full_train_matrix_fold_0.pkl",
        "full_test_vs_train_matrix_avg.pkl",
        "final_submit_with_post_proc.csv",
    ]
    assert [path.name for path in full.found("detections_cache", part="test")] == ["s_fold_1.pklz"]
    assert full.found("detections_cache", name="b") == []


def test_all_about_a_test_photo(full):
    finding, errors = photo_finding("s.jpg", full.pickles_and_tables(), RootTables.read(full), 2)
    assert errors == []
    assert list(finding.facts.values()) == [
        "no identity",
        "120 x 80 px",
        "new_whale w_1",
        "box 10 20 110 60 (100 x 40)",
        "0.9000 a w_1\n0.3000 d w_2",
        "w_1 new_whale",
    ]


def test_all_about_a_training_photo(full):
    finding, _ = photo_finding("d", full.pickles_and_tables(), RootTables.read(full), 2)
    facts = {name.rpartition("/")[2]: text for name, text in finding.facts.items()}
    assert facts["training photo"] == facts["train.csv"] == "w_2"
    assert facts["new_4_folds_split_train_val_v1.pkl"] == "valid in 0 1 2 3"
    assert facts["full_valid_vs_full_train_matrix_fold_0.pkl"] == "0.9000 b w_1\n0.5000 c w_2"
    assert facts["full_test_vs_train_matrix_avg.pkl"] == "as a column, best row: 0.7000 t"
    with pytest.raises(UserError, match="photo q is in none of the tables and files"):
        photo_finding("q", full.pickles_and_tables(), RootTables.read(full))


# --- the script -----------------------------------------------------------------------------------


def test_script_on_a_whole_root(full, tmp_path, capsys):
    outputs = [tmp_path / name for name in ("x.csv", "x.json")]
    options = zip(("--csv", "--json"), map(str, outputs), strict=True)
    inspect_pickle.main(["--head", "1", *(part for pair in options for part in pair)])
    printed = capsys.readouterr().out
    assert "modified_data/p2bb_v5.pkl" in printed
    assert printed.rstrip().endswith("7 checked: no faults")
    rows = list(csv.DictReader(open(outputs[0])))
    assert {
        "subject": "data/train.csv",
        "kind": "label table",
        "fact": "photos",
        "value": "5",
    } in rows
    found = {row["subject"]: row for row in json.loads(outputs[1].read_text())}
    assert found["modified_data/p2bb_v5.pkl"]["facts"]["train"] == [5, 5]


def test_script_tells_faults_and_exits_with_1(full, capsys):
    save(full.file("boxes_v5"), {**BOXES, "a": (9, 0, 0, 9), "[bold]": (0, 0, 9, 9)})
    with pytest.raises(SystemExit) as stopped:
        inspect_pickle.main([])
    printed = capsys.readouterr().out
    assert stopped.value.code == 1
    assert "1 photos with an empty or inverted box: a" in printed
    assert "1 photos that no table has: [bold]" in printed
    assert printed.rstrip().endswith("7 checked: 2 faults in 1")


def test_script_checks_the_others_when_one_file_is_damaged(full, tmp_path, capsys):
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x04no pickle")
    with pytest.raises(UserError, match=r"bad\.pkl cannot be read as a pickle"):
        inspect_pickle.main([str(tmp_path / "bad.pkl"), str(full.file("boxes_v5"))])
    assert "inside photo" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"none\.pkl is missing"):
        inspect_pickle.main([str(tmp_path / "none.pkl")])


def test_script_compares_and_tells_of_a_photo(full, tmp_path, capsys):
    inspect_pickle.main([str(full.file("boxes_v5")), "--compare", str(full.file("boxes_v5"))])
    assert "IoU 0.9 and more" in capsys.readouterr().out
    picture = tmp_path / "a.png"
    inspect_pickle.main(["--photo", "a.jpg", "--plot", str(picture)])
    printed = capsys.readouterr().out
    assert "box 10 20 110 60 (100 x 40)" in printed
    assert "best scores of the two views 0.9000 and 0.9000" in printed
    assert cv2.imread(str(picture)).shape[1] == 500
    with pytest.raises(UserError, match="--compare takes one FILE and no --photo; see --help"):
        inspect_pickle.main(["--compare", "x.pkl"])


def test_narrow_tables(full, tmp_path, monkeypatch, capsys):
    """Files of one kind share a table, with their names folded, as long as each value is whole."""
    paths = [tmp_path / f"{letter}{'_' * 30}.pkl" for letter in "xy"]
    for path in paths:
        save(path, BOXES)
    for columns, together in (("80", True), ("60", False)):
        monkeypatch.setenv("COLUMNS", columns)
        inspect_pickle.main(list(map(str, paths)))
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= int(columns)
        assert sum("7/7" in line or "7 of 7" in line for line in lines) == 2
        assert any("boxes in " in line for line in lines) == together


def test_names_are_whole_through_a_pipe(full, tmp_path, capsys):
    """As long as they are: another program may read them."""
    names = [letter + "_" * 200 + "end" for letter in "xy"]
    for name in names:
        save(tmp_path / f"{name}.pkl", BOXES)
    inspect_pickle.main([str(tmp_path / f"{name}.pkl") for name in names])
    lines = capsys.readouterr().out.splitlines()
    assert all(sum(name in line for line in lines) == 1 for name in names)


def test_both_axes_are_named(full, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plt, "close", drawn.append)
    inspect_pickle.main(["--plot", str(tmp_path / "x.png")])
    axes = [axis for figure in drawn for axis in figure.axes if axis.get_title()]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in axes)
    assert {axis.get_ylabel() for axis in axes} == {
        "identities",
        "boxes",
        "valid photos",
        "rows",
        "photos",
    }


def test_script_draws(full, tmp_path):
    history = table(full.root / "h.csv", ["1,0.7,", "2,0.5,0.25"], "epoch,loss,map5")
    paths = [history, full.file("boxes_v5"), full.file("folds_v1"), full.file("test_matrix_v5")]
    inspect_pickle.main([*map(str, paths), "--plot", str(tmp_path / "x.png")])
    assert cv2.imread(str(tmp_path / "x.png")).shape == (640, 1500, 3)
    (full.root / "x.txt").write_text("text")
    with pytest.raises(UserError, match="nothing to draw"):
        inspect_pickle.main([str(full.root / "x.txt"), "--plot", str(tmp_path / "y.png")])


def test_script_in_an_empty_root(work_root, run_python, repository):
    with pytest.raises(UserError, match="holds no file of the pipeline"):
        inspect_pickle.main([])
    done = run_python(repository / "tools/inspect_pickle.py", "--photo", "q", WHALES_ROOT=work_root)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_texts():
    assert value_text(Share(1, 2000)) == "1 of 2,000"
    assert value_text(Share(1, 2000), short=True) == "1/2,000"
    assert value_text(Range(0.25, 0.5)) == "0.2500 to 0.5000"
    assert value_text({"train": 2, "valid": 1}) == "2 train, 1 valid"
