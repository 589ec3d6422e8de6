"""First weights taught on a stream: the loss by hand, learning, and a stop that changes nothing."""

import json
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from kernel_snn import generated_start
from kernel_snn.a01_kernel_model import build_branch, build_network
from sample_data.simulator.stream import CHUNK
from whales.base import stopping
from whales.base.stopping import Stopped
from whales.nets.network import assemble, symmetric_preprocess
from whales.training import start_training
from whales.training.contrast import Contrast, contrast_loss
from whales.training.start_training import Round, StartPlan, StartTraining, codes_of


def loss_by_hand(codes, features, temperature):
    """Photo by photo in float64, as the docstring says."""
    features = np.asarray(features, np.float64)
    centred = features - features.mean(axis=0)
    found = []
    for one, mine in enumerate(centred):
        others = [other for other in range(len(centred)) if other != one]
        likeness = {
            other: mine @ centred[other]
            / np.linalg.norm(mine) / np.linalg.norm(centred[other]) / temperature
            for other in others
        }  # fmt: skip
        total = sum(np.exp(value) for value in likeness.values())
        mates = [other for other in others if codes[other] == codes[one]]
        losses = [-np.log(np.exp(likeness[mate]) / total) for mate in mates]
        found.append(np.mean(losses) if losses else 0.0)
    return found


@given(st.integers(0, 1000), st.sampled_from([[0, 0, 1, 1], [0, 0, 0, 1, 2], [0, 1, 0, 1, 2, 2]]))
def test_the_loss_is_that_of_every_photo_by_hand(seed, codes):
    features = np.random.default_rng(seed).normal(size=(len(codes), 6)).astype(np.float32)
    found = contrast_loss(np.array(codes, np.float32)[:, None], features, 0.3)
    np.testing.assert_allclose(found, loss_by_hand(codes, features, 0.3), rtol=1e-4, atol=1e-5)


def test_whoever_is_its_mates_twin_has_nothing_to_learn():
    features = np.repeat(np.eye(8, dtype=np.float32), 2, axis=0)
    codes = np.repeat(np.arange(8), 2).astype(np.float32)[:, None]
    assert np.max(contrast_loss(codes, features, 0.05)) < 1e-6
    assert np.min(contrast_loss(np.roll(codes, 1), features, 0.05)) > 10


def test_photos_of_no_animal_are_nobodys_mates():
    photos = SimpleNamespace(
        crops=np.zeros((4, 2, 8, 8, 1), np.uint8), shown=np.array([True, False, True, True])
    )
    codes = codes_of(photos).tolist()
    assert [codes.count(code) for code in codes] == [2, 2, 1, 1, 2, 2, 2, 2]


def small_branch(size=None):
    """For photos of a size, telling where things are, or of any size (None)."""
    photo = keras.Input((size, size, 1))
    x = layers.Conv2D(8, 5, strides=2, padding="same", activation="relu")(photo)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    pooled = layers.Flatten() if size else layers.GlobalMaxPooling2D()
    return keras.Model(photo, pooled(x))


class Discs:
    """A stream of individuals that are told apart by where a disc lies: easy, and quick to draw."""

    drawing = 2

    def __init__(self, size=16):
        self.size, self.asked = size, []

    def individuals(self, count, first=0, sizes=None):
        sizes = sizes or (self.size,)
        while True:
            self.asked.append((first, count))
            size = sizes[first // count % len(sizes)]
            crops = np.zeros((count, 2, size, size, 1), np.uint8)
            drawings = np.zeros((count, 2), np.float32)
            for place in range(count):
                rng = np.random.default_rng([1, first + place])
                x, y = rng.uniform(2, size - 2, 2)
                drawings[place] = (x - size / 2) / 4, (y - size / 2) / 4
                for photo in range(2):
                    down, across = np.mgrid[:size, :size]
                    near = np.hypot(across - x, down - y) < rng.uniform(1.5, 2.5)
                    crops[place, photo, ..., 0] = near * 200 + rng.integers(0, 50, near.shape)
            yield SimpleNamespace(crops=crops, drawings=drawings, shown=np.ones(count, bool))
            first += count


def test_contrast_learns_to_find_mates_and_to_draw():
    keras.utils.set_random_seed(0)
    contrast = Contrast(small_branch(16), 2, 0.99, 0.2)
    stream = Discs().individuals(32)
    measured = []
    for _ in range(60):
        photos = next(stream)
        crops = symmetric_preprocess(photos.crops.reshape(-1, 16, 16, 1))
        codes, drawings = np.repeat(np.arange(32), 2), np.repeat(photos.drawings, 2, axis=0)
        measured.append(contrast.step(crops, codes, drawings, 3e-3))
    first, last = np.mean(measured[:5], axis=0), np.mean(measured[-5:], axis=0)
    assert last[0] < 0.75 * first[0]
    assert last[1] < 0.5 * first[1]


def training(folder, plan, stream=None, measure=None, at=()):
    keras.utils.set_random_seed(0)
    network = assemble(small_branch(), symmetric_preprocess, 16)
    stream = stream or Discs()
    made = StartTraining(network, plan, stream, folder / "kept.pkl", 3, measure, at)
    return network, made


PLAN = StartPlan(
    steps=6,
    rounds=(Round(32, 1, 1e-3, 1000), Round(32, 2, 1e-3, 0.5)),
    sizes=(16, 16, 24),
    individuals=16,
    warm_up=2,
    batch=16,
)


def weights_of(network):
    return [np.array(v) for v in (*network.branch.variables, *network.head.variables)]


def test_a_round_is_of_whole_steps():
    with pytest.raises(ValueError, match="multiples of 16 individuals, received 40"):
        replace(PLAN, rounds=(Round(40, 1, 1e-3, 1000),))


def test_no_individual_comes_twice(tmp_path):
    stream = Discs()
    training(tmp_path, PLAN, stream)[1].run()
    drawn = [number for first, count in stream.asked for number in range(first, first + count)]
    assert len(set(drawn)) == len(drawn) >= PLAN.all_individuals == 6 * 16 + 64


def test_a_round_trains_the_head_alone(tmp_path, monkeypatch):
    network, run = training(tmp_path, replace(PLAN, rounds=PLAN.rounds[:1]))
    before = {}
    begin = start_training.mine_round

    def watched(*arguments):
        before["branch"] = [np.array(v) for v in network.branch.variables]
        before["head"] = [np.array(v) for v in network.head.variables]
        return begin(*arguments)

    monkeypatch.setattr(start_training, "mine_round", watched)
    run.run()
    for value, now in zip(before["branch"], network.branch.variables, strict=True):
        np.testing.assert_array_equal(value, np.array(now))
    pairs = zip(before["head"], network.head.variables, strict=True)
    assert max(np.abs(value - np.array(now)).max() for value, now in pairs) > 1e-4


def test_matches_are_of_the_shown_alone(tmp_path, monkeypatch):
    """Of 32 individuals, two photos each, two of water alone."""
    one = replace(PLAN, steps=1, rounds=PLAN.rounds[1:])

    class SomeWater(Discs):
        def individuals(self, *arguments):
            for photos in super().individuals(*arguments):
                photos.shown[3] = False
                yield photos

    _, run = training(tmp_path, one, SomeWater())
    asked = []
    kept = start_training.epoch_pairs
    monkeypatch.setattr(
        start_training, "epoch_pairs", lambda *given: asked.append(given[:2]) or kept(*given)
    )
    run.run()
    assert len(asked) == 2
    for matched, mismatched in asked:
        assert (matched // 2 == matched[:, ::-1] // 2).all()
        assert not {6, 7, 38, 39} & {*matched.ravel().tolist()}
        assert len(matched) == 60
        assert {6, 7, 38, 39} < {*mismatched.ravel().tolist()}
        assert len(mismatched) == 64


def test_steps_take_the_sizes_in_turn(tmp_path, monkeypatch):
    _, run = training(tmp_path, PLAN)
    seen = []
    step = Contrast.step
    monkeypatch.setattr(
        Contrast,
        "step",
        lambda self, photos, *given: seen.append(photos.shape[1]) or step(self, photos, *given),
    )
    run.run()
    assert seen == [16, 16, 24, 16, 16, 24]


@pytest.mark.parametrize("stops", [(2,), (6,), (3, 7)])
def test_a_stop_at_any_step_changes_no_weight(tmp_path, monkeypatch, stops):
    """Stopped after these steps (7: in the first round), and run again: the weights of an unbroken run."""
    (tmp_path / "whole").mkdir()
    network, run = training(tmp_path / "whole", PLAN)
    run.run()
    wanted = weights_of(network)
    (tmp_path / "parts").mkdir()
    for stop in stops:
        network, run = training(tmp_path / "parts", PLAN)
        _stopped_after(run, stop, monkeypatch)
    network, run = training(tmp_path / "parts", PLAN)
    run.run()
    # TensorFlow's threads add in any order: weights differ by rounding, a lost state moves them by the rate.
    for found, expected in zip(weights_of(network), wanted, strict=True):
        assert np.abs(found - expected).mean() < 1e-5


def _stopped_after(run, stop, monkeypatch):
    """Ask for a stop as a signal does, after a step of the contrast or in a round."""
    with monkeypatch.context() as patch:
        state = stopping._State()
        patch.setattr(stopping, "_state", state)
        if stop > PLAN.steps:

            def stopped(*arguments):
                raise Stopped

            patch.setattr(start_training, "mine_round", stopped)
        else:
            step = StartTraining._contrast_step

            def counted(self, *arguments):
                losses = step(self, *arguments)
                if self._progress.step + 1 == stop:
                    state.signal = 15
                return losses

            patch.setattr(StartTraining, "_contrast_step", counted)
        with pytest.raises(Stopped):
            run.run()
        stopping._alarm(0)


def test_another_recipe_begins_anew_and_keeps_the_old_checkpoint(tmp_path, capsys):
    training(tmp_path, PLAN)[1].run()
    other = replace(PLAN, temperature=0.2)
    training(tmp_path, other)[1].run()
    assert "of another recipe" in capsys.readouterr().out
    assert (tmp_path / "kept.pkl.1").exists()


def test_what_is_measured_becomes_a_table(tmp_path):
    _, run = training(tmp_path, PLAN, measure=lambda: {"tight": 0.25}, at=(32, 96))
    rows = run.run()
    assert [row["individuals"] for row in rows] == [32, 96, 128, 160]
    run.write_curve(tmp_path / "curve.csv")
    lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert lines[0] == "individuals,seconds,tight"
    assert len(lines) == 5
    assert lines[1].endswith(",0.25")


def test_the_rate_rises_and_falls():
    plan = StartPlan(steps=100, rounds=(), rate=1.0, warm_up=10)
    rates = [plan.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[50] == pytest.approx(0.5)
    assert min(rates[10:]) >= 0.01
    assert rates[-1] == pytest.approx(0.01)


def test_open_blocks_pass_what_they_get():
    """Of two photos' features far more differ from zero than as Keras draws the net."""
    photos = np.random.default_rng(0).uniform(-1, 1, (64, 64, 64, 1)).astype(np.float32)
    alive = []
    for opened in (False, True):
        keras.utils.set_random_seed(0)
        branch = build_branch(64, channels=1)
        if opened:
            generated_start.open_blocks(branch)
        features = np.array(branch(photos, training=True))
        alive.append((features > 1e-6).mean())
    assert alive[1] > 1.5 * alive[0]


def test_the_start_sees_a_grey_photo_in_three_channels_as_in_one():
    """Of the shipped weights: a net of two steps turns the photo's last bit into .0005."""
    shipped = generated_start.GENERATED_START.checked()
    network, three = (build_network(64, shipped, channels=n) for n in (1, 3))
    photo = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 1)).astype(np.float32)
    grey = network.features(network.preprocess(photo))
    colour = three.features(three.preprocess(np.repeat(photo, 3, axis=3)))
    np.testing.assert_allclose(colour, grey, atol=1e-4)


@pytest.mark.slow
def test_the_tool_writes_weights_with_their_recipe(tmp_path, script, monkeypatch):
    """The real net on real generated flukes, in its shortest form."""
    rounds = (Round(CHUNK, 1, 1e-3, 1.0),)
    short = StartPlan(steps=9, rounds=rounds, sizes=(64, 96), individuals=CHUNK)
    monkeypatch.setattr(generated_start, "RECIPE", short)
    tool = script("tools/train_start.py")
    options = [str(tmp_path), "--steps", "2", "--rounds", "1", "--workers", "1"]
    tool.main(options)
    recipe = json.loads((tmp_path / "generated_start.json").read_text())
    assert recipe["plan"]["steps"] == 2
    assert recipe["seed"] == 1
    made = replace(generated_start.GENERATED_START, folder=tmp_path)
    size = made.checked().stat().st_size
    assert size < 6e6
    network = build_network(64, made.path, channels=1)
    assert all(np.isfinite(value).all() for value in weights_of(network))
    three = build_network(64, made.path)
    (kernel, *others), (thirds, *same) = weights_of(network), weights_of(three)
    np.testing.assert_array_equal(thirds, np.repeat(kernel / np.float32(3), 3, axis=2))
    for ours, theirs in zip(others, same, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    refused(lambda: tool.main([str(tmp_path), "--seed", "-1"]), "--seed")
    # The same command has nothing left to do; with other photos it begins anew.
    checkpoint = tmp_path / "generated_start_checkpoint.pkl"
    content = made.path.read_bytes()
    tool.main(options)
    assert made.path.read_bytes() == content
    monkeypatch.setattr(generated_start, "EASING", generated_start.EASING._replace(last=1))
    tool.main(options)
    assert made.path.read_bytes() != content
    assert checkpoint.with_name(f"{checkpoint.name}.1").exists()
    assert json.loads((tmp_path / "generated_start.json").read_text())["easing"]["last"] == 1
    missing = tmp_path / "no"
    refused(lambda: tool.main([*options, "--measure", str(missing)]), "test_labels.csv")
