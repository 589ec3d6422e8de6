"""Score matrices against the head's formula in float64, and against Keras."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whales.scores.head import HeadWeights, head_weights
from whales.scores.pair_scores import score_matrix


def random_head(d, seed, units=32):
    """Float64 weights of a head: (4, k) kernel, (k,) bias, (k,) mix, bias, (d,) average, bias."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(4, units)),
        rng.normal(size=units),
        rng.normal(size=units) / units,
        rng.normal(),
        rng.normal(size=d) / max(d, 1),
        rng.normal(),
    )


def compact(head):
    kernel, bias, mix, mix_bias, average, last = head
    rows = np.concatenate([kernel, bias[None]]).astype(np.float32)
    constant = np.float32(last + mix_bias * average.sum())
    return HeadWeights(rows, mix.astype(np.float32), average.astype(np.float32), constant)


def by_formula(head, queries, gallery):
    """Every pair in float64, feature by feature as the method writes it."""
    kernel, bias, mix, mix_bias, average, last = head
    scores = np.empty((len(queries), len(gallery)))
    for i, a in enumerate(queries.astype(np.float64)):
        for j, b in enumerate(gallery.astype(np.float64)):
            four = np.stack([a * b, a + b, np.abs(a - b), (a - b) ** 2])  # (4, d)
            hidden = np.maximum(kernel.T @ four + bias[:, None], 0)  # (units, d)
            logit = average @ (mix @ hidden + mix_bias) + last
            scores[i, j] = 1 / (1 + np.exp(-logit))
    return scores


def features(count, d, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    values = scale * rng.exponential(size=(count, d))
    return np.where(rng.random((count, d)) < 0.3, 0, values).astype(np.float32)


@settings(max_examples=40)
@given(
    d=st.integers(1, 24),
    n=st.integers(0, 9),
    m=st.integers(0, 9),
    units=st.sampled_from([1, 5, 32]),
    scale=st.sampled_from([0.01, 1.0, 3.0]),
    seed=st.integers(0, 10**6),
)
def test_agrees_with_the_formula(d, n, m, units, scale, seed):
    head = random_head(d, seed, units)
    queries, gallery = features(n, d, seed + 1, scale), features(m, d, seed + 2, scale)
    scores = score_matrix(compact(head), queries, gallery)
    assert scores.dtype == np.float32
    assert scores.shape == (n, m)
    np.testing.assert_allclose(scores, by_formula(head, queries, gallery), atol=1e-5)


@pytest.mark.parametrize(("n", "m"), [(1, 127), (3, 128), (2, 129), (300, 1), (257, 260)])
def test_sizes_about_the_tiles(n, m):
    head = random_head(6, 1)
    queries, gallery = features(n, 6, 2), features(m, 6, 3)
    scores = score_matrix(compact(head), queries, gallery)
    rows = sorted({0, n - 1, n // 2, min(n - 1, 255), min(n - 1, 256)})
    expected = by_formula(head, queries[rows], gallery)
    np.testing.assert_allclose(scores[rows], expected, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 255, 256, 257, 400, 600])
def test_photos_against_themselves(count):
    """Without a gallery each pair is scored once, and mirrored."""
    head = compact(random_head(5, count))
    own = features(count, 5, count + 1)
    scores = score_matrix(head, own)
    np.testing.assert_allclose(scores, score_matrix(head, own, own), atol=1e-6)
    np.testing.assert_array_equal(scores, scores.T)


def test_scores_are_symmetric_in_the_pair():
    head = compact(random_head(8, 3))
    queries, gallery = features(20, 8, 4), features(30, 8, 5)
    np.testing.assert_allclose(
        score_matrix(head, queries, gallery), score_matrix(head, gallery, queries).T, atol=1e-6
    )


def test_large_logits_stay_numbers():
    head = random_head(4, 7)
    queries, gallery = features(8, 4, 8, 200.0), features(8, 4, 9, 200.0)
    scores = score_matrix(compact(head), queries, gallery)
    assert np.isfinite(scores).all()
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(scores, by_formula(head, queries, gallery), atol=1e-4)
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_other_layouts_and_types_of_features():
    head = random_head(6, 11)
    queries, gallery = features(7, 12, 12)[:, ::2], np.asfortranarray(features(9, 6, 13))
    expected = by_formula(head, queries, gallery)
    np.testing.assert_allclose(score_matrix(compact(head), queries, gallery), expected, atol=1e-5)
    doubled = score_matrix(compact(head), queries.astype(np.float64), gallery.astype(np.float64))
    np.testing.assert_allclose(doubled, expected, atol=1e-5)


def test_features_of_another_width_are_refused():
    head = compact(random_head(6, 0))
    good = features(3, 6, 1)
    for queries, gallery in ((features(3, 5, 1), good), (good, features(3, 7, 1)), (good[0], good)):
        with pytest.raises(ValueError, match=r"expected features \(n, 6\), received"):
            score_matrix(head, queries, gallery)


def test_a_keras_head():
    from whales.nets.network import build_head

    rng = np.random.default_rng(21)
    d = 40
    head = build_head(d)
    head.set_weights([rng.normal(size=w.shape) / w.size**0.25 for w in head.get_weights()])
    queries, gallery = features(11, d, 22), features(70, d, 23)
    left, right = np.repeat(queries, 70, axis=0), np.tile(gallery, (11, 1))
    expected = np.asarray(head.predict_on_batch([left, right])).reshape(11, 70)
    assert np.ptp(expected) > 0.01
    weights = head_weights(head)
    np.testing.assert_allclose(score_matrix(weights, queries, gallery), expected, atol=1e-5)
    assert weights.rows.shape == (5, 32)
    assert all(np.asarray(part).dtype == np.float32 for part in weights)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (70, 600), (300, 5)])
def test_the_accelerator_s_way_agrees(monkeypatch, n, m):
    """On whatever device there is: the same tiles, jitted by the backend."""
    from whales.scores import pair_scores_gpu

    head = random_head(24, 31)
    queries, gallery = features(n, 24, 32), features(m, 24, 33)
    expected = score_matrix(compact(head), queries, gallery)
    own = score_matrix(compact(head), queries)
    monkeypatch.setattr(pair_scores_gpu, "available", lambda: True)
    found = score_matrix(compact(head), queries, gallery)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(score_matrix(compact(head), queries), own, atol=1e-5)


DIGEST = """
import hashlib
import numpy as np
from whales.scores.head import HeadWeights
from whales.scores.pair_scores import score_matrix, score_pairs
rng = np.random.default_rng(1)
d, k = 64, 32
weights = HeadWeights(
    rng.normal(size=(5, k)).astype(np.float32), rng.normal(size=k).astype(np.float32),
    rng.normal(size=d).astype(np.float32) / 8, np.float32(-3),
)
photos = np.maximum(rng.normal(size=(300, d)), 0).astype(np.float32)
scores = score_matrix(weights, photos[:40], photos)
pairs = score_pairs(weights, photos[:40], photos, np.ones(scores.shape, bool))
assert pairs.tobytes() == scores.tobytes()
print(hashlib.sha256(scores.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_compiled_and_cached_loops_give_the_same_bits(run_python, tmp_path):
    """A process that compiles the loops, and one that loads them from Numba's cache."""
    runs = [run_python("-c", DIGEST, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert [run.returncode for run in runs] == [0, 0], runs
    assert runs[0].stdout == runs[1].stdout
