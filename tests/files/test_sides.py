"""Which side a photo shows: words, columns, pairs that are never compared, and the folds that heed it."""

import numpy as np
import pytest
from helpers import refused, write_lines
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from whales.base.errors import UserError
from whales.base.pickles import save
from whales.files.dataset import TrainingData, training_data
from whales.files.folds import FoldRecipe, extended_folds
from whales.files.sides import (
    NO_SIDES,
    PairSides,
    Sides,
    odd_words,
    read_sides,
    side_column,
    side_of,
    side_tables,
)
from whales.files.workspace import Workspace

SIDE_OF = {"a": "left", "b": "left", "c": "right"}
HEADER = "Image,original,path,Id,identity,date,split"


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("left", "left"), (" LEFT ", "left"), ("L", "left"), ("Left-side", "left"), ("links", "left"),
        ("left  flank", "left"), ("R", "right"), ("rechts", "right"), ("right_side", "right"),
        ("", ""), ("  ", ""), ("?", ""), ("-", ""), ("n/a", ""), ("Unknown", ""), ("both", ""), ("NaN", ""),
        ("Dorsal", "dorsal"), ("left?", "left?"), ("front left", "front left"),
    ],
)  # fmt: skip
def test_words(text, side):
    assert side_of(text) == side


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["place", "Side"], "Side"),
        (["view"], "view"),
        (["attributes.side", "inside"], "attributes.side"),
        (["reviewed", "sides"], None),
        ([], None),
    ],
)
def test_the_column(columns, found):
    assert side_column(columns, "t.csv") == found


def test_two_columns_are_refused():
    refused(
        lambda: side_column(["side", "place", "View"], "t.csv"), "t.csv", "side", "View", "rename"
    )


def test_odd_words_are_told_with_their_place():
    texts = [("L", "t, row 2"), ("lft", "t, row 3"), ("", "t, row 4"), ("lft", "t, row 5")]
    [line] = odd_words([*texts, ("left?", "t, row 6")])
    assert "lft, left? (the first in t, row 3)" in line
    assert odd_words([("left", "a"), ("ventral", "b"), ("na", "c")]) == []


def root_with(tmp_path, column, *sides):
    rows = [f"p{n}.jpg,p{n},p{n},w,w,,train,{side}" for n, side in enumerate(sides)]
    write_lines(tmp_path / "data/import.csv", f"{HEADER},{column}", *rows)
    return Workspace(tmp_path)


def test_the_roots_sides(tmp_path):
    root = root_with(tmp_path, "view", "L", "right", "", "?")
    assert read_sides(root) == Sides({"p0": "left", "p1": "right"})
    assert side_tables(root) == [tmp_path / "data/import.csv"]


def test_a_root_without_sides(tmp_path):
    assert read_sides(Workspace(tmp_path)) is NO_SIDES
    root = root_with(tmp_path, "place", "left")
    assert not read_sides(root)
    assert side_tables(root) == []


def test_a_root_with_two_columns_is_refused(tmp_path):
    root = root_with(tmp_path, "side,view", "left,dorsal")
    refused(lambda: read_sides(root), "import.csv", "side and view")


def test_codes_and_likeness_by_hand():
    sides = Sides(SIDE_OF)
    assert sides.codes(["c", "x", "a"]).tolist() == [2, 0, 1]
    assert sides.codes_of(["right", "", "top"]).tolist() == [2, 0, 3]
    assert [sides.like(*pair) for pair in ("ab", "ac", "ax", "xy")] == [True, False, True, True]
    assert sides.comparable(["a", "c"]) == []
    assert sides.comparable(["c", "a", "x"]) == ["c", "a", "x"]
    assert sides.of_files(["a.npy", "x.npy"]) == Sides({"a.npy": "left"})


def test_further_photos():
    more = Sides(SIDE_OF).and_of({"n": {"place": "bay", "View": "R"}, "m": {"side": "?"}, "o": {}})
    assert more == Sides({**SIDE_OF, "n": "right"})


codes = st.lists(st.integers(0, 3), min_size=1, max_size=7)


@given(codes, codes, st.integers(0, 99))
def test_hidden_scores_against_loops(rows, columns, seed):
    scores = np.random.default_rng(seed).random((len(rows), len(columns)), np.float32)
    scores[scores < 0.3] = 0
    expected = scores.copy()
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if row and column and row != column:
                expected[i, j] = 0
    pairs = PairSides(np.array(rows, np.int32), np.array(columns, np.int32))
    hidden = pairs.hidden(sparse.csr_matrix(scores))
    np.testing.assert_array_equal(hidden.toarray(), expected)
    assert (hidden.data != 0).all()
    np.testing.assert_array_equal(pairs.hidden(scores), expected)


# --- folds ----------------------------------------------------------------------------------------

words = st.sampled_from(["left", "right", "top", ""])


@given(st.lists(st.lists(words, min_size=1, max_size=9), min_size=1, max_size=6))
def test_what_a_fold_holds_out_can_be_answered(animals):
    side_of, photos = {}, {}
    for animal, shown in enumerate(animals):
        photos[f"w_{animal}"] = [f"p{animal}_{n}.npy" for n in range(len(shown))]
        side_of |= {f"p{animal}_{n}": side for n, side in enumerate(shown) if side}
    photos["new_whale"] = [f"n{n}.npy" for n in range(40)]
    sides = Sides(side_of)
    for split in FoldRecipe(photos, sides).make(100).values():
        train = [name.removesuffix(".npy") for name in split["train"]]
        for name in (n.removesuffix(".npy") for n in split["val"] if n[0] == "p"):
            mates = [other for other in train if other.split("_")[0] == name.split("_")[0]]
            assert any(sides.like(name, mate) for mate in mates)
        for names in photos.values():
            stems = [name.removesuffix(".npy") for name in names if name[0] == "p"]
            lonely = {n for n in stems if not any(sides.like(n, o) for o in stems if o != n)}
            assert not lonely & {*train}  # as an identity of one photo
            assert {*stems} - lonely <= {*train, *(n.removesuffix(".npy") for n in split["val"])}


def test_folds_without_sides_are_the_published_ones():
    photos = {f"w_{n}": [f"p{n}_{k}.npy" for k in range(n + 1)] for n in range(7)}
    before, after = FoldRecipe(photos), FoldRecipe(photos, NO_SIDES)
    assert before.make(100) == after.make(100)
    # Sides that are all alike change nothing either.
    alike = Sides({f"p{n}_{k}": "left" for n in range(7) for k in range(n + 1)})
    assert FoldRecipe(photos, alike).make(100) == FoldRecipe(photos).make(100)


def test_a_catalogue_of_two_sides_validates_in_every_fold():
    photos = {f"w_{n}": [f"{n}{side}{k}.npy" for side in "LR" for k in range(3)] for n in range(3)}
    sides = Sides({name[:-4]: name[1] for names in photos.values() for name in names})
    for split in FoldRecipe(photos, sides).make(0).values():
        assert len(split["val"]) >= 3


def test_a_new_photo_is_held_out_by_a_fold_that_keeps_two_of_its_side():
    old = {f"fold_{f}": {"train": ["a.npy", "b.npy", "c.npy"], "val": []} for f in range(4)}
    sides = Sides({"a": "L", "b": "L", "c": "R", "d": "R", "e": "L", "f": "top"})
    new = extended_folds(old, {"w": ["a", "b", "c", "d", "e", "f"]}, ".npy", sides)
    assert [split["val"] for split in new.values()] == [["e.npy"], [], [], []]
    assert new["fold_1"]["train"] == ["a.npy", "b.npy", "c.npy", "d.npy", "e.npy"]


# --- photos to train on ---------------------------------------------------------------------------


def test_photos_without_a_mate_of_their_side_are_not_trained_on(tmp_path):
    photos = {"a1": "L", "a2": "L", "a3": "R", "b1": "L", "b2": "L", "c1": "L", "c2": "R"}
    labels = [f"{name}.jpg,w_{name[0]}" for name in photos]
    write_lines(tmp_path / "data/train.csv", "Image,Id", *labels)
    rows = [f"{n}.jpg,{n},{n},w,w,,train,{side}" for n, side in photos.items()]
    write_lines(tmp_path / "data/import.csv", f"{HEADER},side", *rows)
    kept = [f"{name}.npy" for name in photos if name[0] != "c"]
    folds = {f"fold_{f}": {"train": kept, "val": []} for f in range(4)}
    save(tmp_path / "modified_data/kfold/new_4_folds_split_train_val_v1.pkl", folds)
    boxes = dict.fromkeys(photos, (0, 0, 9, 9))
    data = training_data(Workspace(tmp_path), "folds_v1", 0, boxes)
    assert data.train == {"a1": "w_a", "a2": "w_a", "b1": "w_b", "b2": "w_b"}
    assert data.few(2).train == data.train
    assert data.only({"a1", "a2", "a3", "b1", "b2"}).sides == data.sides
    with pytest.raises(UserError, match="two identities"):
        data.only({"a1", "a2", "b1"})


def test_animals_that_cannot_be_told_apart_are_refused(tmp_path):
    train = {"a1": "w_a", "a2": "w_a", "b1": "w_b", "b2": "w_b"}
    sides = Sides({"a1": "left", "a2": "left", "b1": "right", "b2": "right"})
    data = TrainingData(train, [], [], train, tmp_path / "folds.pkl", sides)
    refused(data.checked, "folds.pkl", "two identities that can be compared", "data/import.csv")
    assert TrainingData(
        train, [], [], train, tmp_path, Sides({"a1": "left", "b1": "right"})
    ).checked()
