"""A catalogue without trained nets: weights that come with the project give a shortlist, and say so."""

import csv
import json
import shutil

import numpy as np
import pytest
from helpers import refused
from small_root import FOLD_PAGES, IDENTITY_OF, V5, draw, make_catalogue, ship, use_shipped
from whales_tools import identify
from whales_tools.nets import NETS

from kernel_snn.a00_net_kernel import NET as KERNEL
from kernel_snn.a01_kernel_model import build_network
from whales.base.pickles import load
from whales.exchange.published_files import KnownFiles, check_root
from whales.files.decisions import DecisionLog
from whales.files.workspace import Workspace
from whales.identifying.request import Request
from whales.photos.crops import read_crop
from whales.reporting.report_page import write_report
from whales.reviewing.review_app import review_app
from whales.scores.query_results import results_of_table

SAID = (
    "Untrained start: a shortlist, not an answer.",
    "python3 kernel_snn/kfold_splits_for_kernel.py and then "
    "python3 kernel_snn/snn_train_kernel_384_to_1024.py --RUN_FOLD 0 --profile smoke",
    "about 5 minutes",
    "tools/weights.py",
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return ship(tmp_path_factory.mktemp("shipped"), seed=8)


@pytest.fixture(scope="module")
def fresh_root(tmp_path_factory):
    return make_catalogue(tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def root(fresh_root, shipped, small_nets, monkeypatch):
    use_shipped(monkeypatch, shipped)
    return fresh_root


@pytest.fixture
def photo(tmp_path):
    draw(tmp_path / "photos/q.jpg", 90)
    return tmp_path / "photos/q.jpg"


def opened(root, **more):
    return identify.open_identifier(root, workers=1, **more)


def by_hand(root, shipped, photo, box):
    """identity -> score: its best photo's, by Keras's own prediction of each pair."""
    size = KERNEL.shipped.size
    network = build_network(size, weights=shipped)
    boxes = load(root / "modified_data/p2bb_averaged_v1.pkl")
    known = [name for name, identity in IDENTITY_OF.items() if identity != "new_whale"]
    crops = [read_crop(photo, box, size)]
    crops += [read_crop(root / f"data/train/{name}.jpg", boxes[name], size) for name in known]
    features = network.branch.predict_on_batch(network.preprocess(np.stack(crops)))
    queries = np.repeat(features[:1], len(known), axis=0)
    scores = network.head.predict_on_batch([queries, features[1:]])[:, 0]
    best = {}
    for name, score in zip(known, scores.tolist(), strict=True):
        best[IDENTITY_OF[name]] = max(score, best.get(IDENTITY_OF[name], 0))
    return best


@pytest.mark.parametrize("box", [None, (6, 4, 90, 44)])
def test_the_scores_are_those_of_the_net_at_its_size(root, shipped, photo, box, monkeypatch):
    found = {photo: [] if box is None else [box]}
    monkeypatch.setattr("retinanet.detector.find_flukes.boxes_of", lambda *_: found)
    (answer,) = opened(root).identify(photo)
    expected = by_hand(root, shipped, photo, box)
    assert len(expected) == 3
    assert {found.identity: found.score for found in answer.candidates} == pytest.approx(
        expected, abs=1e-4
    )
    scores = [found.score for found in answer.candidates]
    assert scores == sorted(scores, reverse=True)
    assert len({*scores}) == 3
    assert {found.probability for found in answer.candidates} == {answer.new} == {None}


def test_every_answer_warns_and_says_what_more_would_bring(
    root, photo, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("WHALES_ROOT", str(root))
    out = {name: tmp_path / f"out.{name}" for name in ("csv", "html")}
    files = [word for name, path in out.items() for word in (f"--{name}", str(path))]
    identify.main([str(photo), "--workers", "1", "--why", str(tmp_path / "why"), *files])
    told = capsys.readouterr().out
    rows = list(csv.DictReader(out["csv"].read_text("utf-8-sig").splitlines()))
    page = out["html"].read_text(encoding="utf-8").replace("&#x27;", "'")
    for part in SAID:
        assert part in told
        assert all(part in row["warning"] for row in rows)
        assert part in page
    assert told.index("WARNING: Untrained start") < told.index("rank")
    assert page.index('<p class="warning"') < page.index("<figure")
    assert "probability of a new whale: no information" in told
    assert "Nets: kernel net, untrained start." in told
    assert "Taught on 640 generated photos of 40 individuals." in told
    assert "No probabilities: no validation photo tells how often such scores are right." in told
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert {(row["probability"], row["new_whale"]) for row in rows} == {("", "")}
    assert {row["validation_photos"] for row in rows} == {"0"}
    assert [path.name for path in (tmp_path / "why").iterdir()] == ["q_fluke_1.png"]

    workspace = Workspace(root)
    results = results_of_table(workspace, out["csv"])
    app = review_app(workspace, results, DecisionLog(tmp_path / "decisions.csv"), "anna")
    review = app.test_client().get("/").get_data(as_text=True).replace("&#39;", "'")
    assert all(part in review for part in SAID)
    write_report(tmp_path / "report.html", workspace, NETS)
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_folds_change_nothing_while_no_net_is_trained(root, photo, tmp_path, script, monkeypatch):
    """No photo counts as held out: there is none that the start would have been trained without."""
    before = opened(root).identify(photo)[0].candidates
    other = tmp_path / "split"
    shutil.copytree(root, other)
    monkeypatch.setenv("WHALES_ROOT", str(other))
    script(FOLD_PAGES[-1]).main(["--quiet"])
    (answer,) = opened(other).identify(photo)
    assert answer.candidates == before
    assert answer.basis.validation_photos == 0


def test_where_the_start_does_not_answer(root, photo, tmp_path, monkeypatch):
    refused(lambda: opened(root, nets=["v5"]), "no net has weights in", "run siamese_net_v5")
    refused(lambda: opened(root, folds=(0,)), "no net has weights of fold 0")
    assert opened(root, nets=["kernel"]).nets[0].net.untrained
    # A root with weights of any net is asked as before, whatever is chosen among them.
    other = tmp_path / "other"
    shutil.copytree(root, other)
    path = other / V5.format(fold=1, score="0.900000")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    refused(lambda: opened(other, nets=["kernel"]), "no net has weights in", "run kernel_snn")
    assert [net.net.name for net in opened(other).nets] == ["v5"]
    path.unlink()
    use_shipped(monkeypatch, tmp_path / "generated_start.h5")
    refused(lambda: opened(other), "generated_start.h5 is missing; it comes with the project")


def test_check_knows_the_start(root, shipped, capsys, monkeypatch):
    workspace = Workspace(root)
    check_root(workspace, KnownFiles(workspace, ()), NETS)
    told = capsys.readouterr().out
    about = "kernel net, start for who has no weights (generated flukes alone)"
    assert f"in the project  {about}: {shipped}\n" in told
    can = "can run now     tools/identify.py (untrained start: a shortlist, not an answer)\n"
    assert can in told
    use_shipped(monkeypatch, shipped.with_name("gone.h5"))
    check_root(workspace, KnownFiles(workspace, ()), NETS)
    told = capsys.readouterr().out
    assert f"unusable        {about}: {shipped.with_name('gone.h5')} is missing" in told
    assert "cannot run yet  tools/identify.py (untrained start" in told


def test_training_takes_its_place(root, photo, tmp_path):
    """The net of a fold, once it is there, answers alone, at the profile's size and with its folds."""
    other = tmp_path / "trained"
    shutil.copytree(root, other)
    name = f"{KERNEL.weights.prefixes[0].format(fold=0)}_0.500000.model_weights"
    build_network(64).save_weights(Workspace(other).file("models_kernel") / name)
    (other / "models").mkdir()
    (other / "models/trained.json").write_text(json.dumps({"profile": "smoke", "anisotropy": 2.15}))
    identifier = opened(other)
    assert [(net.net, [*net.files]) for net in identifier.nets] == [(KERNEL, [0])]
    refused(lambda: identifier.identify(photo), "new_4_folds_split_train_val.pkl is missing")


def test_what_is_watched_for_is_answered_too(root, photo, tmp_path, monkeypatch):
    from whales.identifying import watching

    def ctrl_c(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", ctrl_c)
    monkeypatch.setattr(watching, "SETTLED", 0.0)
    request = Request([photo.parent], csv=tmp_path / "found.csv", watch=True)
    with pytest.raises(KeyboardInterrupt):
        watching.watch(request, lambda: opened(root))
    rows = list(csv.DictReader((tmp_path / "found.csv").read_text("utf-8-sig").splitlines()))
    assert len(rows) == 3
    assert all(SAID[0] in row["warning"] for row in rows)
