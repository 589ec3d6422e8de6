"""The K best by blocks are those of the whole matrix, ties included."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from whales.scores.best_by_blocks import Best, blocks
from whales.scores.best_photos import KnownPhotos


@st.composite
def cases(draw):
    """A score matrix full of ties, identities of its columns, a cut into blocks and their order."""
    count = draw(st.integers(1, 14))
    values = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    rows = draw(st.lists(st.lists(values, min_size=count, max_size=count), min_size=1, max_size=4))
    who = draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))
    parts = list(blocks(count, draw(st.integers(1, count))))
    return np.array(rows, np.float32), who, draw(st.permutations(parts)), draw(st.integers(1, 7))


def kept(scores, codes, parts, count):
    best = Best(len(scores), count)
    for part in parts:
        best.add(scores[:, part], codes[part], np.arange(scores.shape[1])[part])
    return best


@given(cases())
def test_identities_by_blocks_are_those_of_the_dense_row(case):
    scores, who, parts, count = case
    photos = [f"p{column}" for column in range(len(who))]
    known = KnownPhotos(photos, {name: str(one) for name, one in zip(photos, who, strict=True)})
    best = kept(scores, known.codes, parts, count)
    for row, dense in enumerate(scores):
        by_score = np.argsort(-known.best(dense[None])[0], kind="stable")[:count].tolist()
        wanted = [(code, known.best_column(dense, code)) for code in by_score]
        there = len(wanted)
        found = zip(best.codes[row, :there].tolist(), best.columns[row].tolist(), strict=False)
        assert list(found) == wanted
        assert best.scores[row, :there].tolist() == [dense[column] for _, column in wanted]
        assert (best.codes[row, there:] == -1).all()
        assert (best.scores[row, there:] == -np.inf).all()


@given(cases())
def test_photos_by_blocks_are_those_of_a_stable_sort(case):
    scores, _, parts, count = case
    columns = np.arange(scores.shape[1])
    best = kept(scores, columns, parts, count)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(best.columns[:, : order.shape[1]], order)
    np.testing.assert_array_equal(best.codes, best.columns)


def test_queries_may_come_in_parts():
    scores = np.random.default_rng(0).random((7, 50), dtype=np.float32)
    columns = np.arange(50)
    parts, whole = Best(7, 5), Best(7, 5)
    whole.add(scores, columns, columns)
    for first in (4, 0):
        for part in blocks(50, 16):
            parts.add(scores[first : first + 4, part], columns[part], columns[part], first)
    np.testing.assert_array_equal(parts.columns, whole.columns)
    np.testing.assert_array_equal(parts.scores, whole.scores)


def test_no_queries_and_no_photos():
    best = Best(0, 3)
    best.add(np.zeros((0, 4), np.float32), np.arange(4), np.arange(4))
    assert best.codes.shape == (0, 3)
    best = Best(2, 3)
    best.add(np.zeros((2, 0), np.float32), np.arange(0), np.arange(0))
    assert (best.columns == -1).all()
