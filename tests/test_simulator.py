"""The simulator of fluke photos: reproducible, its geometry sound, its photos of one whale alike."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_data.simulator import individual, marks, pigment, view
from sample_data.simulator.canvas import HEIGHT, UNIT, WIDTH
from sample_data.simulator.individual import DRAWING, draw, drawing
from sample_data.simulator.stream import CHUNK, Easing, PhotoStream, shoot
from sample_data.simulator.view import photograph, photograph_nothing


def whale(seed):
    return draw(np.random.default_rng(seed))


def test_an_individual_is_its_seed_and_no_other():
    first, again, other = whale(1), whale(1), whale(2)
    np.testing.assert_array_equal(first.skin, again.skin)
    np.testing.assert_array_equal(first.alpha, again.alpha)
    assert (first.skin != other.skin).mean() > 0.3
    assert first.skin.shape == first.alpha.shape == (HEIGHT, WIDTH)


@given(st.integers(0, 500))
def test_a_fluke_fills_its_frame_from_tip_to_tip(seed):
    drawn = whale(seed)
    inside = drawn.alpha > 127
    columns = np.flatnonzero(inside.any(axis=0))
    assert columns[-1] - columns[0] == pytest.approx(2 * UNIT, abs=4)
    assert not inside[0].any()
    assert not inside[:, [0, -1]].any()
    # One piece: lobes and stalk hang together.
    assert cv2.connectedComponents(inside.astype(np.uint8))[0] == 2


def test_whales_of_every_pigment_are_drawn():
    whites = []
    for seed in range(120):
        drawn = whale(seed)
        inside = drawn.alpha[:150] > 127
        whites.append((drawn.skin[:150][inside] > 110).mean())
    assert min(whites) < 0.05
    assert max(whites) > 0.5
    counts = np.histogram(whites, [0, 0.1, 0.4, 1])[0]
    assert counts.min() >= 12


@given(
    st.floats(0.4, 1.0), st.floats(-0.2, 0.6), st.floats(-0.2, 0.2), st.floats(-0.4, 0.5),
    st.floats(-0.3, 0.3), st.floats(0.5, 1.4),
)  # fmt: skip
def test_a_lobe_is_found_where_it_was_put(cos, curl, near, lift, bend, tall):
    lobe = view._Lobe(cos, curl, near, lift, bend)
    x = np.linspace(0.01, 0.98, 50, dtype=np.float32)
    y = np.linspace(-0.4, 0.6, 50, dtype=np.float32)
    across, down = lobe.forward(x, y, tall)
    if (np.diff(across) < 1e-3).any():
        return  # curled back on itself: that part cannot be seen
    back_x, back_y = lobe.backward(across, down, tall)
    np.testing.assert_allclose(back_x, x, atol=0.02)
    np.testing.assert_allclose(back_y, y, atol=0.04)


def test_a_photo_is_of_its_size_and_seed():
    drawn = whale(3)
    for size in (64, 96):
        photos = [photograph(np.random.default_rng(seed), drawn, size) for seed in (1, 1, 2)]
        assert photos[0].shape == (size, size)
        assert photos[0].dtype == np.uint8
        np.testing.assert_array_equal(photos[0], photos[1])
        assert (photos[0] != photos[2]).mean() > 0.5


def painted(drawn, grey):
    skin = np.full_like(drawn.skin, grey)
    return individual.Individual(skin, drawn.alpha, drawn.outline, drawn.thickness)


@pytest.mark.parametrize("hardness", [0.0, 1.0])
def test_the_skin_is_seen_through_light_and_water(hardness):
    """A black whale is darker than a white one in the same photo, whatever light and water do."""
    darker = 0
    for seed in range(100):
        drawn = whale(seed)
        black, white = (
            photograph(np.random.default_rng(seed), painted(drawn, grey), 64, hardness=hardness)
            for grey in (20, 230)
        )
        darker += int(black.mean() < white.mean() - 5)
    assert darker >= (95 if hardness == 0 else 80)


def test_a_drawing_is_the_white_of_the_skin():
    drawn = whale(5)
    assert drawing(drawn).shape == (DRAWING,)
    assert drawing(painted(drawn, 0)).max() == 0
    coarse = drawing(painted(drawn, 255))[:32].reshape(4, 8)
    # Where the fluke is, all is white; in the upper corners there is no fluke.
    assert coarse[1:3].max() > 0.9
    assert coarse.min() < 0.6


def test_the_stream_does_not_depend_on_workers_or_beginning():
    first, second = PhotoStream(7, 64, workers=1), PhotoStream(7, 64, workers=2)
    try:
        one = first.individuals(CHUNK)
        batches = [next(one) for _ in range(3)]
        late = next(second.individuals(CHUNK, 2 * CHUNK))
        np.testing.assert_array_equal(batches[2].crops, late.crops)
        np.testing.assert_array_equal(batches[2].drawings, late.drawings)
        both = next(second.individuals(2 * CHUNK))
        np.testing.assert_array_equal(both.crops[CHUNK:], batches[1].crops)
        assert (batches[0].crops != batches[1].crops).mean() > 0.5
        sized = first.individuals(CHUNK, CHUNK, sizes=(64, 96))
        assert [next(sized).crops.shape[2] for _ in range(3)] == [96, 64, 96]
        with pytest.raises(ValueError, match="multiples of 16"):
            next(first.individuals(CHUNK + 1))
    finally:
        first.close()
        second.close()


def test_drawings_are_standardised_with_every_scale_alike():
    stream = PhotoStream(7, 64, workers=1)
    try:
        found = [next(stream.individuals(CHUNK, first)) for first in range(0, 6 * CHUNK, CHUNK)]
    finally:
        stream.close()
    drawings = np.concatenate([each.drawings for each in found])
    assert abs(drawings.mean(axis=0)).max() < 2.5
    sizes = np.cumsum(individual.LEVEL_SIZES)[:-1]
    power = [
        (part**2).sum() / len(drawings) / DRAWING for part in np.split(drawings, sizes, axis=1)
    ]
    assert max(power) < 2.5 * min(power)
    assert 0.2 < sum(power) < 1.2


def test_photos_get_harder():
    easing = Easing(CHUNK, 3 * CHUNK)
    assert [easing.hardness(n * CHUNK) for n in range(5)] == [0, 0, 0.5, 1, 1]
    easy = shoot(3, 64, 2, Easing(10**6, 10**6 + 1), 0)
    hard = shoot(3, 64, 2, Easing(), 0)
    np.testing.assert_array_equal(easy.drawings, hard.drawings)  # the same whales
    assert (easy.crops != hard.crops).mean() > 0.5
    easiest = [view._pose(np.random.default_rng(seed), 0.0) for seed in range(3)]
    assert easiest[0] == easiest[1] == easiest[2]
    turned = [view._pose(np.random.default_rng(seed), 1.0).left.cos for seed in range(200)]
    assert min(turned) < 0.8 < np.median(turned)


def test_years_leave_a_whale_itself():
    """What changes is a part of it, and less than another whale differs."""
    changed, other, nicked = [], [], 0
    for seed in range(60):
        drawn = whale(seed)
        skin, alpha = drawn.skin.copy(), drawn.alpha.copy()
        later = marks.years_later(np.random.default_rng(seed), drawn)
        np.testing.assert_array_equal(drawn.skin, skin)  # the first photo's whale is as it was
        np.testing.assert_array_equal(drawn.alpha, alpha)
        changed.append(np.abs(drawing(later) - drawing(drawn)).mean())
        other.append(np.abs(drawing(whale(seed + 100)) - drawing(drawn)).mean())
        lost = (drawn.alpha > 127) & (later.alpha <= 127)
        nicked += int(lost.any())
        assert not ((later.alpha > 127) & (drawn.alpha <= 127)).any()
        assert lost.mean() < 0.02
    assert np.median(changed) > 0.002
    assert np.median(changed) < 0.25 * np.median(other)
    assert 1 <= nicked <= 20


@pytest.mark.parametrize("kind", ["plain", "bullseye", "half", "marbled"])
def test_a_pattern_is_on_both_lobes(kind):
    pattern = pigment._Pattern(kind, 2.0, along=0.5, across=0.5, radius=0.15, turn=0.2)
    lobes = [pattern.field(np.random.default_rng(1), lobe) for lobe in (0, 1)]
    if kind == "plain":
        assert lobes == [0, 0]
        return
    for lobe in lobes:
        assert lobe.shape == (pigment.DEPTH, pigment.LENGTH)
        assert lobe.max() > 0.5
        assert lobe.min() < -0.2


def test_a_bullseye_has_its_eye_where_it_is_said():
    pattern = pigment._Pattern("bullseye", 2.0, along=0.5, across=0.5, radius=0.15, turn=0.0)
    lobe = np.mean([pattern.field(np.random.default_rng(n), 0) for n in range(50)], axis=0)
    row, column = np.unravel_index(lobe.argmax(), lobe.shape)
    assert row / pigment.DEPTH == pytest.approx(0.5, abs=0.1)
    assert column / pigment.LENGTH == pytest.approx(0.5, abs=0.05)


def test_water_alone_comes_in_its_turn_and_has_no_drawing():
    stream = PhotoStream(7, 64, workers=1)
    try:
        shots = next(stream.individuals(4 * CHUNK))
    finally:
        stream.close()
    assert np.flatnonzero(~shots.shown).tolist() == [31, 63]
    assert (shots.drawings[~shots.shown] == 0).all()
    assert np.abs(shots.drawings[shots.shown]).max(axis=1).min() > 0.1
    one, other = shots.crops[31]
    assert (one != other).mean() > 0.5


def test_no_photo_of_water_is_like_another():
    photos = [photograph_nothing(np.random.default_rng(seed), 64) for seed in (1, 1, 2)]
    assert photos[0].shape == (64, 64)
    np.testing.assert_array_equal(photos[0], photos[1])
    assert (photos[0] != photos[2]).mean() > 0.5
