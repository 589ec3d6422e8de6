"""Which photo stands for an identity, which ties go to whom, and a photo against itself: by naive loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from whales.files.labels import NEW_WHALE
from whales.files.matrices import ScoreMatrix
from whales.inspecting.matrix_checks import without_own
from whales.reporting.gallery import queries
from whales.reporting.look_alikes import Likeness
from whales.scores.best_by_blocks import best_of_parts
from whales.scores.best_photos import Candidate, KnownPhotos, best_identities, own_columns, zero_own

# So few different scores that most cases have ties, and many have zeros.
SCORES = (0.0, 0.0, 0.25, 0.5, 1.0)


@st.composite
def cases(draw):
    """A dense matrix of known photos (some of them its rows) and new ones; stem -> identity."""
    identities = draw(st.lists(st.sampled_from("cabd"), min_size=1, max_size=8))
    columns = draw(st.permutations([f"p{place}" for place in range(len(identities))]))
    rows = draw(st.lists(st.sampled_from([*columns, "n0", "n1"]), min_size=1, unique=True))
    shape = len(rows), len(columns)
    cells = draw(
        st.lists(
            st.sampled_from(SCORES), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]
        )
    )
    who = {**dict(zip(columns, identities, strict=True)), "n0": NEW_WHALE, "n1": NEW_WHALE}
    return ScoreMatrix(np.array(cells, np.float32).reshape(shape), rows, columns), who


def best_column(scores, columns):
    """The column with the best score, the earlier one on ties."""
    best = None
    for column in columns:
        if best is None or scores[column] > scores[best]:
            best = column
    return best


def top(known, scores, count):
    """The best identities of one dense row as identification finds them: (code, column) of each."""
    best = best_of_parts(known, 1, count, [(slice(None), scores[None])])
    return list(zip(best.codes[0].tolist(), best.columns[0].tolist(), strict=True))


def groups(matrix, who):
    """Identity -> its columns; identities in the order of their first columns."""
    found = {}
    for column, name in enumerate(matrix.columns):
        found.setdefault(who[name], []).append(column)
    return found


@settings(deadline=None)
@given(cases())
def test_a_dense_row_ranks_identities_ties_to_the_one_that_comes_first(case):
    matrix, who = case
    known = KnownPhotos(matrix.columns, who)
    for scores in matrix.scores:
        best = {one: best_column(scores, own) for one, own in groups(matrix, who).items()}
        ranked = sorted(best, key=lambda one: -scores[best[one]])  # sorted keeps the order of ties
        wanted = [(one, best[one]) for one in ranked]
        found = [(known.identities[code], column) for code, column in top(known, scores, 9)]
        assert found == wanted
        assert [(known.identities[c], p) for c, p in top(known, scores, 2)] == wanted[:2]
        assert known.best(scores[None])[0].tolist() == [scores[column] for column in best.values()]


@settings(deadline=None)
@given(cases())
def test_a_sparse_row_ranks_identities_ties_to_the_photo_that_comes_first(case):
    matrix, who = case
    csr = matrix._replace(scores=sparse.csr_matrix(matrix.scores))
    for count in (2, 9):
        found = best_identities(csr, who, count)
        assert found == best_identities(matrix, who, count)
        for name, scores in zip(matrix.rows, matrix.scores, strict=True):
            best = [best_column(scores, own) for own in groups(matrix, who).values()]
            best = [column for column in best if scores[column] > 0]
            best.sort(key=lambda column: (-scores[column], column))
            wanted = [(who[matrix.columns[c]], matrix.columns[c], scores[c]) for c in best]
            assert [(one.identity, one.photo, one.score) for one in found[name]] == wanted[:count]


@settings(deadline=None)
@given(cases())
def test_the_photo_that_stands_for_an_answer(case):
    matrix, who = case
    known = KnownPhotos(matrix.columns, who)
    for scores in matrix.scores:
        assert known.candidate(NEW_WHALE, scores) == (NEW_WHALE, None, None, None)
        for one, columns in groups(matrix, who).items():
            best = best_column(scores, columns)
            assert known.candidate(one, scores) == (one, matrix.columns[best], scores[best], None)


@settings(deadline=None)
@given(cases())
def test_a_photo_does_not_stand_for_itself(case):
    matrix, who = case
    identities = [*groups(matrix, who), NEW_WHALE]
    found = queries(matrix, [identities] * len(matrix.rows), who, "part")
    for query, name, scores in zip(found, matrix.rows, matrix.scores, strict=True):
        for one, candidate in zip(identities, query.candidates, strict=True):
            columns = groups(matrix, who).get(one, [])
            best = best_column(scores, [c for c in columns if matrix.columns[c] != name])
            photo = (None, None) if best is None else (matrix.columns[best], scores[best])
            assert (candidate.identity, candidate.photo, candidate.score) == (one, *photo)


@settings(deadline=None)
@given(cases())
def test_the_example_of_a_pair_is_the_first_of_the_best(case):
    matrix, who = case
    likeness = Likeness()
    likeness.add(matrix, who)
    sums, examples = {}, {}
    for name, scores in zip(matrix.rows, matrix.scores, strict=True):
        for one, columns in groups(matrix, who).items():
            if who[name] in (NEW_WHALE, one):
                continue
            pair = tuple(sorted((who[name], one)))
            best = best_column(scores, columns)
            sums[pair] = sums.get(pair, 0) + scores[best]
            if scores[best] > examples.get(pair, (0,))[0]:
                examples[pair] = scores[best], name, matrix.columns[best]
    found = likeness.pairs(least=1)
    assert {(pair.first, pair.second): pair.example for pair in found} == examples
    for pair in found:
        total = np.float32(sums[pair.first, pair.second])
        assert pair.likeness == float(total / np.float32(pair.photos))


@settings(deadline=None)
@given(cases())
def test_a_photo_against_itself_counts_nothing(case):
    matrix, _ = case
    wanted = matrix.scores.copy()
    for row, name in enumerate(matrix.rows):
        for column, other in enumerate(matrix.columns):
            if name == other:
                wanted[row, column] = 0
    own = own_columns(matrix.rows, matrix.columns)
    assert own.tolist() == [
        matrix.columns.index(name) if name in matrix.columns else -1 for name in matrix.rows
    ]
    np.testing.assert_array_equal(zero_own(matrix.scores.copy(), own), wanted)
    found = zero_own(sparse.csr_matrix(matrix.scores), own)
    np.testing.assert_array_equal(found.toarray(), wanted)
    assert found.nnz == np.count_nonzero(wanted)
    marked = without_own(matrix)
    for row, column in enumerate(own):
        if column >= 0:
            wanted[row, column] = -1
    np.testing.assert_array_equal(marked, wanted)


def test_an_identity_without_a_photo_is_refused():
    with pytest.raises(ValueError, match="no known photo"):
        KnownPhotos(["p0"], {"p0": "a"}, ["a", "b"])


def test_best_identities_by_hand():
    scores = np.array([[0.2, 0.7, 0.7, 0.3], [0, 0, 0, 0], [0.5, 0, 0.5, 0]], np.float32)
    matrix = ScoreMatrix(scores, ["x", "y", "z"], ["a1", "a2", "b1", "c1"])
    of = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    found = best_identities(matrix, of, 2)
    named = {name: [(one.identity, one.photo) for one in got] for name, got in found.items()}
    # Ties go to the column that comes first; a score of 0 is none.
    assert named == {"x": [("a", "a2"), ("b", "b1")], "y": [], "z": [("a", "a1"), ("b", "b1")]}
    assert found["x"][0].score == pytest.approx(0.7)
    csr = ScoreMatrix(sparse.csr_matrix(scores), matrix.rows, matrix.columns)
    assert best_identities(csr, of, 2) == found


def test_stored_zeros_and_scores_below_count_as_none():
    stored = sparse.csr_matrix(([0.0, -0.5, 0.25], [0, 1, 2], [0, 3]), (1, 3), np.float32)
    assert stored.nnz == 3
    matrix = ScoreMatrix(stored, ["x"], ["a1", "b1", "c1"])
    found = best_identities(matrix, {"a1": "a", "b1": "b", "c1": "c"}, 3)
    assert found == {"x": [Candidate("c", "c1", 0.25)]}


def test_the_number_that_people_see():
    assert Candidate("a", None, None).value == 0.0
    assert Candidate("a", "a1", 0.25).value == 0.25
    assert Candidate("a", "a1", 0.25, 0.75).value == 0.75
    assert Candidate("a", "a1", 0.25, 0.0).value == 0.0


def test_an_identity_has_the_score_of_its_best_photo():
    known = KnownPhotos(["p", "q", "r", "s"], {"p": "w_b", "q": "w_a", "r": "w_b", "s": "w_c"})
    scores = np.array([[0.2, 0.5, 0.9, 0.1], [0.3, 0.3, 0.3, 0.3]], np.float32)
    assert known.identities == ["w_b", "w_a", "w_c"]
    np.testing.assert_array_equal(
        known.best(scores), np.array([[0.9, 0.5, 0.1], [0.3, 0.3, 0.3]], np.float32)
    )
    assert top(known, scores[0], 2) == [(0, 2), (1, 1)]
    # Ties: the identity and the photo that come first; never more rows than identities.
    assert top(known, scores[1], 9) == [(0, 0), (1, 1), (2, 3)]
