"""Mining among candidates: against the dense assignment where that is possible, and what may never happen."""

import numpy as np
import pytest
from helpers import goes_on_from_kept_costs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from tiny_training import PLANS, finish, history, killed_after, start, tiny_root, weights

from whales.scores.head import HeadWeights
from whales.scores.pair_scores import score_matrix
from whales.training.candidates import FORBIDDEN, assign_candidates, candidate_costs, without
from whales.training.mining import HardPairs, mine_round, segments
from whales.training.plan import Plan


def rng(seed=0):
    return np.random.default_rng(seed)


def some_head(width, seed=0):
    values = rng(seed)
    return HeadWeights(
        values.normal(size=(5, 8)).astype(np.float32),
        values.normal(size=8).astype(np.float32),
        values.normal(size=width).astype(np.float32) / 4,
        np.float32(0.1),
    )


def photos(count, identities, seed=0, width=6):
    """Features, and codes of which some are of one photo alone."""
    values = rng(seed)
    return (
        values.random((count, width), dtype=np.float32),
        values.integers(0, identities, count),
    )


def dense(cost):
    """A sparse cost, what is not stored forbidden."""
    whole = np.full(cost.shape, FORBIDDEN)
    coo = cost.tocoo()
    whole[coo.row, coo.col] = coo.data
    return whole


def least(whole):
    """(pairs, their total cost) of SciPy's dense assignment."""
    rows, columns = linear_sum_assignment(whole)
    costs = whole[rows, columns]
    return int((costs < FORBIDDEN).sum()), costs[costs < FORBIDDEN].sum()


def total(cost, pairs):
    return dense(cost)[pairs[:, 0], pairs[:, 1]].sum()


# --- the assignment -------------------------------------------------------------------------------


@st.composite
def costs(draw):
    """Costs of a few pairs, with ties and with rows and columns that have none."""
    count = draw(st.integers(1, 7))
    values = st.sampled_from([None, None, -1.25, -1.0, -0.5, 0.0])
    cells = draw(st.lists(values, min_size=count**2, max_size=count**2))
    there = [place for place, value in enumerate(cells) if value is not None]
    data = np.array([cells[place] for place in there], np.float32)
    rows, columns = np.divmod(np.array(there, np.int64), count)
    return sparse.csr_matrix((data, (rows, columns)), (count, count), np.float32)


@settings(max_examples=200)
@given(costs(), st.sampled_from(["lap", "scipy"]))
def test_the_dense_optimum_with_all_else_forbidden(cost, solver):
    pairs = assign_candidates(cost, solver)
    assert pairs.dtype == np.int64
    for side in (0, 1):
        assert len(set(pairs[:, side])) == len(pairs)
    assert (np.diff(pairs[:, 0]) > 0).all()
    count, cheapest = least(dense(cost))
    assert len(pairs) == count
    assert total(cost, pairs) == pytest.approx(cheapest, abs=1e-6)


@pytest.mark.parametrize("solver", ["lap", "scipy"])
def test_no_photos_no_pairs_and_no_full_assignment(solver):
    none = sparse.csr_matrix((0, 0), dtype=np.float32)
    assert assign_candidates(none, solver).shape == (0, 2)
    assert assign_candidates(sparse.csr_matrix((3, 3), dtype=np.float32), solver).shape == (0, 2)
    # Rows 0 and 1 want column 2 alone: the better one has it, the other is left out.
    cells = [-1.0, -2.0, -1.0], ([0, 1, 2], [2, 2, 0])
    cost = sparse.csr_matrix(cells, (3, 3), np.float32)
    assert assign_candidates(cost, solver).tolist() == [[1, 2], [2, 0]]


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match="received greedy"):
        assign_candidates(sparse.csr_matrix((2, 2), dtype=np.float32), "greedy")


def test_taken_pairs_and_their_mirror_images_go():
    cost = sparse.csr_matrix(-np.arange(1, 10, dtype=np.float32).reshape(3, 3))
    left = without(cost, np.array([[0, 1], [2, 2]]))
    assert left.toarray().tolist() == [[-1, 0, -3], [0, -5, -6], [-7, -8, 0]]
    assert left.nnz == 6


# --- candidates -----------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [5, 16, 100])
def test_without_noise_the_candidates_are_the_best_of_rows_and_columns(block):
    features, codes = photos(37, 6)
    head = some_head(6)
    for count in (1, 4, 37, 99):
        cost = candidate_costs(head, features, codes, 0, count, rng(), block)
        scores = score_matrix(head, features)
        scores[codes[:, None] == codes[None, :]] = -1
        wanted = set()
        for photo in range(37):
            for mate in np.argsort(-scores[photo], kind="stable")[:count].tolist():
                wanted |= {(photo, mate)} if scores[photo, mate] >= 0 else set()
            for mate in np.argsort(-scores[:, photo], kind="stable")[:count].tolist():
                wanted |= {(mate, photo)} if scores[mate, photo] >= 0 else set()
        coo = cost.tocoo()
        assert set(zip(coo.row.tolist(), coo.col.tolist(), strict=True)) == wanted
        assert cost.has_canonical_format
        np.testing.assert_allclose(-coo.data, scores[coo.row, coo.col], atol=1e-6)


def test_noise_is_uniform_differs_by_direction_and_is_drawn_alike():
    features, codes = photos(150, 60)
    head = some_head(6)
    scores = score_matrix(head, features)
    first, again = (candidate_costs(head, features, codes, 0.5, 150, rng(3), 64) for _ in "ab")
    np.testing.assert_array_equal(first.toarray(), again.toarray())
    coo = first.tocoo()
    assert len(coo.data) == (codes[:, None] != codes[None, :]).sum()
    noise = -coo.data - scores[coo.row, coo.col]
    assert noise.min() >= -1e-6
    assert noise.max() <= 0.5 + 1e-6
    assert noise.mean() == pytest.approx(0.25, rel=0.02)
    assert noise.std() == pytest.approx(0.5 / 12**0.5, rel=0.02)
    whole = first.toarray() + scores
    assert abs(np.corrcoef(whole[coo.row, coo.col], whole[coo.col, coo.row])[0, 1]) < 0.05


def test_unlike_sides_are_never_candidates():
    features, codes = photos(60, 20)
    sides = rng(5).integers(0, 3, 60)
    cost = candidate_costs(some_head(6), features, codes, 0.5, 60, rng(), 16, sides).tocoo()
    apart = (sides[:, None] != sides) & (sides[:, None] != 0) & (sides != 0)
    free = ~apart & (codes[:, None] != codes)
    assert len(cost.data) == free.sum()
    assert free[cost.row, cost.col].all()
    plan = Plan(32, 4, 1, (), most_dense=1, candidates=9)
    pairs = mine_round(some_head(6), features, codes, plan, 0.5, rng(), sides).next_epoch()
    assert len(pairs) > 50
    assert free[pairs[:, 0], pairs[:, 1]].all()


# --- epochs of a round ----------------------------------------------------------------------------


def mined(features, codes, amplitude, count, seed=0, parts=1):
    plan = Plan(32, 4, parts, (), most_dense=1, candidates=count)
    return mine_round(some_head(6), features, codes, plan, amplitude, rng(seed))


@pytest.mark.parametrize("solver", ["lap", "scipy"])
def test_with_all_candidates_an_epoch_costs_what_the_dense_one_does(solver):
    for seed in range(3):
        features, codes = photos(60, 12, seed)
        whole = mined(features, codes, 0.25, 60, seed)
        pairs = whole.next_epoch(solver)
        count, cheapest = least(dense(whole.costs[0]))
        assert (len(pairs), count) == (60, 60)
        assert total(whole.costs[0], pairs) == pytest.approx(cheapest, abs=1e-5)
        # Without noise it is the dense round itself.
        plan = Plan(32, 4, 1, ())
        by_method = mine_round(some_head(6), features, codes, plan, 0, rng())
        assert isinstance(by_method.costs[0], np.ndarray)
        cost = by_method.costs[0]
        taken, by_candidates = (
            one.next_epoch(solver) for one in (by_method, mined(features, codes, 0, 60))
        )
        assert cost[taken[:, 0], taken[:, 1]].sum() == pytest.approx(
            cost[by_candidates[:, 0], by_candidates[:, 1]].sum(), abs=1e-4
        )


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("amplitude", [0.05, 1.0, 1000.0])
def test_epochs_among_few_candidates_are_sound_and_nearly_the_best(parts, amplitude):
    features, codes = photos(240, 60)
    whole = mined(features, codes, amplitude, 240, parts=parts)
    few = mined(features, codes, amplitude, 12, parts=parts)
    used = set()
    for epoch in range(3):
        pairs = few.next_epoch()
        assert len(pairs) >= 0.99 * len(codes)
        for side in (0, 1):
            assert len(set(pairs[:, side])) == len(pairs)
        assert (codes[pairs[:, 0]] != codes[pairs[:, 1]]).all()
        chosen = {(int(a), int(b)) for a, b in pairs}
        assert not chosen & used
        used |= chosen | {(b, a) for a, b in chosen}
        for part, cost, all_costs in zip(segments(240, parts), few.costs, whole.costs, strict=True):
            inside = (pairs[:, 0] >= part.start) & (pairs[:, 0] < part.stop)
            own = pairs[inside] - part.start
            assert ((own >= 0) & (own < part.stop - part.start)).all()
            if epoch == 0:
                _, cheapest = least(dense(all_costs))
                found = total(cost, own)
                assert cheapest - 1e-3 <= found <= 0.97 * cheapest  # costs are negative


def test_pairs_come_back_once_candidates_run_out():
    features, codes = photos(40, 20)
    few = mined(features, codes, 0.5, 3)
    epochs = [few.next_epoch() for _ in range(12)]
    assert min(map(len, epochs)) >= 0.9 * len(codes)
    again = mined(features, codes, 0.5, 3)
    np.testing.assert_array_equal(np.concatenate(epochs), np.concatenate(
        [again.next_epoch() for _ in range(12)]
    ))  # fmt: skip


def test_one_identity_alone_has_no_pairs():
    features, _ = photos(9, 1)
    assert mined(features, np.zeros(9, int), 0.5, 4).next_epoch().shape == (0, 2)


def test_kept_costs_of_candidates_go_on_as_an_unbroken_round(tmp_path):
    features, codes = photos(50, 20)
    whole = mined(features, codes, 0.5, 10, parts=2)
    goes_on_from_kept_costs(tmp_path / "round.pkl", whole)


def test_the_method_s_sizes_are_mined_as_the_method_says():
    """Even all 10,727 photos of a fold at once; the plan's numbers, and so the stamps, are as ever."""
    plan = Plan(512, 4, 1, ())
    assert plan.most_dense > 10727
    assert not {"most_dense", "candidates"} & set(plan.numbers())
    assert Plan(512, 4, 1, (), candidates=9).numbers()["candidates"] == 9
    features, codes = photos(30, 10)
    scores = score_matrix(some_head(6), features)
    by_hand = HardPairs([scores], codes, 0.5, rng(1))
    found = mine_round(some_head(6), features, codes, plan, 0.5, rng(1))
    np.testing.assert_array_equal(found.costs[0], by_hand.costs[0])


@pytest.mark.slow
def test_a_killed_training_among_candidates_ends_like_one_left_alone(sample, tmp_path):
    plans = PLANS.replace("Plan(64, 8, 2,", "Plan(64, 8, 2, most_dense=8, candidates=3,")
    plans = plans.replace("candidates=3, (temp", "candidates=3, blocks=(temp")
    alone, killed = (tiny_root(sample, tmp_path / name) for name in ("alone", "killed"))
    finish(start(alone, plans=plans))
    killed_after(1, killed, plans=plans)
    assert "resumed in block" in finish(start(killed, plans=plans))
    assert weights(killed) == weights(alone)
    assert history(killed) == history(alone)
    # 18 photos in two segments of nine: nearly each has a mate among so few.
    assert all(30 <= int(row["pairs"]) <= 36 for row in history(alone)[:4])
