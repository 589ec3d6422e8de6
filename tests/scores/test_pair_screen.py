"""Screened pairs: never a wrong one left out, and the very scores of the whole matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from whales.scores import pair_screen
from whales.scores.head import HeadWeights
from whales.scores.pair_scores import score_matrix
from whales.scores.pair_screen import BINS, Scorer, mean_scores


@pytest.fixture(autouse=True)
def _screen_small_galleries(monkeypatch):
    monkeypatch.setattr(pair_screen, "_WORTHWHILE", 1)


def random_head(rng, d, shift=0.0, strength=1.0):
    """Weights of a head; `shift` moves all logits, `strength` spreads them."""
    return HeadWeights(
        rng.normal(size=(5, 32)).astype(np.float32),
        (rng.normal(size=32) / 6).astype(np.float32),
        (strength * rng.normal(size=d) / np.sqrt(d)).astype(np.float32),
        np.float32(shift),
    )


def random_features(rng, kind, count, d):
    values = rng.exponential(size=(count, d))
    if kind == "sparse":
        values[rng.random((count, d)) < 0.6] = 0
    elif kind == "few levels":
        values = np.round(values)
    elif kind == "signed":
        values *= rng.choice([-1, 1], (count, d))
    elif kind == "constant":
        values[:, ::2] = 1.5
    elif kind == "wide":
        values = 10 ** rng.uniform(-6, 2, (count, d))
    return values.astype(np.float32)


KINDS = ("dense", "sparse", "few levels", "signed", "constant", "wide")


@settings(max_examples=120)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    d=st.integers(1, 40),
    counts=st.tuples(st.integers(0, 12), st.integers(1, 700)),
    strength=st.sampled_from([0.01, 1.0, 30.0]),
    quantile=st.floats(0, 1),
)
def test_no_pair_is_lost(seed, kind, d, counts, strength, quantile):
    """Whatever the head, the features and the cut-off: where it is among the scores, and just above."""
    rng = np.random.default_rng(seed)
    head = random_head(rng, d, shift=rng.normal() * 5, strength=strength)
    queries, gallery = (random_features(rng, kind, count, d) for count in counts)
    scores = score_matrix(head, queries, gallery)
    among = np.sort(scores, axis=None)[int(quantile * (scores.size - 1))] if scores.size else 0.5
    scorer = Scorer(head, gallery)
    for least in (float(among), float(np.nextafter(among, np.float32(1))), 1e-5, 0.0, 1.5):
        kept = scorer.candidates(queries, least)
        assert kept.shape == scores.shape
        assert not (scores >= np.float32(least))[~kept].any()
        np.testing.assert_array_equal(scorer.scores(queries, kept), scores[kept])


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_most_hopeless_pairs_are_left_out(kind):
    """Without this a screen that passes everything would do."""
    rng = np.random.default_rng(5)
    queries, gallery = (random_features(rng, kind, count, 256) for count in (20, 3000))
    head = random_head(rng, 256, strength=1)  # more, and the cut is at 1
    logits = np.log(score_matrix(head, queries, gallery).astype(float))
    scores = score_matrix(head, queries, gallery)
    least = float(np.quantile(scores, 0.98))
    assert np.ptp(logits) > 1
    assert Scorer(head, gallery).candidates(queries, least).mean() < 0.06


def test_queries_of_the_gallery_and_beyond_its_range():
    rng = np.random.default_rng(6)
    gallery = random_features(rng, "sparse", 2 * BINS + 3, 8)
    head = random_head(rng, 8)
    for queries in (gallery[:40], 100 * gallery[:40], -gallery[:40]):
        scores = score_matrix(head, queries, gallery)
        least = float(np.median(scores))
        kept = Scorer(head, gallery).candidates(queries, least)
        assert not (scores >= least)[~kept].any()


# --- the mean of several nets ---------------------------------------------------------------------


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 300), nets=st.integers(1, 4))
def test_mean_is_the_dense_mean_cut(seed, rows, nets):
    rng = np.random.default_rng(seed)
    scorers, queries, dense = [], [], []
    for _ in range(nets):
        head = random_head(rng, 12, shift=-3, strength=3)
        own, gallery = (random_features(rng, "sparse", count, 12) for count in (rows, 70))
        scorers.append(Scorer(head, gallery))
        queries.append(own)
        dense.append(score_matrix(head, own, gallery))
    mean = sum(dense) / np.float32(nets)
    for least in (1e-4, 0.1):
        expected = np.where(mean < np.float32(least), 0, mean)
        found = mean_scores(scorers, queries, least)
        assert sparse.isspmatrix_csr(found)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.toarray(), expected)


def test_heads_that_leave_most_pairs_open_are_told(capsys):
    rng = np.random.default_rng(8)
    gallery = random_features(rng, "dense", 600, 6)
    scorer = Scorer(random_head(rng, 6, shift=4), gallery)
    queries = [gallery[:300]]
    found = mean_scores([scorer], queries, 1e-4)
    assert "of pairs may reach 0.0001: all are scored" in capsys.readouterr().out
    scores = score_matrix(scorer.weights, *queries, gallery)
    np.testing.assert_array_equal(found.toarray(), np.where(scores < np.float32(1e-4), 0, scores))


@pytest.mark.parametrize("kind", KINDS)
def test_a_handful_of_photos(kind):
    """So few that the loops can run without the compiler."""
    rng = np.random.default_rng(4)
    head, gallery = random_head(rng, 3, strength=4), random_features(rng, kind, 9, 3)
    queries = random_features(rng, kind, 5, 3)
    scorer, scores = Scorer(head, gallery), score_matrix(head, queries, gallery)
    least = float(np.quantile(scores, 0.9))
    assert not (scores >= least)[~scorer.candidates(queries, least)].any()
    found = mean_scores([scorer], [queries], least)
    np.testing.assert_array_equal(found.toarray(), np.where(scores < np.float32(least), 0, scores))


def test_no_gallery():
    head = random_head(np.random.default_rng(0), 3)
    empty = np.zeros((0, 3), np.float32)
    assert mean_scores([Scorer(head, empty)], [np.ones((2, 3))], 1e-4).shape == (2, 0)
    assert mean_scores([Scorer(head, np.ones((4, 3)))], [empty], 1e-4).shape == (0, 4)


def test_features_of_another_width_are_refused():
    head = random_head(np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match=r"expected features \(n, 3\)"):
        Scorer(head, np.ones((4, 5)))
    with pytest.raises(ValueError, match=r"expected features \(n, 3\)"):
        Scorer(head, np.ones((4, 3))).candidates(np.ones((4, 2)), 0.1)
