"""Published files: recognized by content, put in place, never over another; what a root can run."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from helpers import refused, write
from small_root import make_root
from whales_tools import weights
from whales_tools.nets import NETS

from whales.base.pickles import save
from whales.exchange.published_files import KnownFiles, check_root, place_files
from whales.files import published
from whales.files.published import PUBLISHED, ContentIds, PublishedFile, content_ids
from whales.files.workspace import Workspace
from whales.nets.first_weights import FirstWeights
from whales.nets.weight_files import fitting_net


@pytest.fixture
def publish(monkeypatch, tmp_path):
    """Make small files stand for the published ones: publish({place: content}) -> folder of the files,
    under other names."""

    def replace(contents, suffix=".bin"):
        folder, known = tmp_path / "fetched", {}
        for number, (place, content) in enumerate(contents.items()):
            path = write(folder, f"{number}{suffix}", content)
            known[content_ids(path).blob] = PublishedFile(place)
        monkeypatch.setattr("whales.exchange.published_files.PUBLISHED", known)
        return folder

    return replace


def known_of(root, first=()):
    return KnownFiles(Workspace(root), first)


def test_ids_are_those_of_git_and_md5sum(tmp_path):
    path = write(tmp_path, "any", os.urandom(3 << 20))
    git = subprocess.run(
        ["git", "hash-object", path], capture_output=True, text=True, check=True
    ).stdout.strip()
    md5 = subprocess.run(["md5sum", path], capture_output=True, text=True, check=True).stdout[:32]
    assert content_ids(path) == ContentIds(git, md5)


def test_the_real_tables_are_recognized(shared, tmp_path):
    folder = shared / "competition"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    shutil.copy(folder / "data/train.csv", tmp_path / "whatever.txt")
    shutil.copy(folder / "modified_data/p2bb_averaged_v1.pkl", tmp_path / "boxes")
    root = tmp_path / "root"
    place_files([tmp_path / "whatever.txt", tmp_path / "boxes"], known_of(root))
    assert (root / "data/train.csv").read_bytes() == (folder / "data/train.csv").read_bytes()
    assert (root / "modified_data/p2bb_averaged_v1.pkl").is_file()


@pytest.mark.parametrize(
    ("place", "about"),
    [
        (f"{folder}/{name}", about)
        for folder, name, about in (
            (
                "models/Res_v6_seresnext50",
                "ft_v6_384px_finetune_3_final_v2_0.975371.model",
                "v6 net, fold 3, 384 px, MAP@5 0.975371",
            ),
            (
                "models/Res_v5_densenet121",
                "densenet_224px_warmstart_final_0.873042.model",
                "v5 net, warm start, 224 px, MAP@5 0.873042",
            ),
            (
                "saved_models/PLAN21",
                "from_best_768_weights_PLAN21_martinAsWarmStart_finalTo1024_withFreezing_fold_1_final_"
                "0.966836.model_weights",
                "kernel net, fold 1, 1024 px, MAP@5 0.966836",
            ),
            (
                "modified_data",
                "mpiotte-standard.model",
                "kernel net, warm start of one channel (Martin Piotte)",
            ),
            ("modified_data", "p2bb_v5.pkl", "published pickle"),
        )
    ],
)
def test_what_a_published_file_is(place, about):
    assert place in [file.place for file in PUBLISHED.values()]
    assert PublishedFile(place).about == about


def test_every_weight_file_is_where_its_stage_looks_for_it(tmp_path):
    """The cards' own patterns find the published names: all folds of all nets."""
    for file in PUBLISHED.values():
        write(tmp_path, file.place, b"")
    for net in NETS:
        for fold in range(4):
            folder = Workspace(tmp_path).file(f"models_{net.name}")
            assert f"_{fold}_final" in net.weights.find(folder, fold).name
    paths = {str(path.relative_to(tmp_path)) for path in Workspace(tmp_path).pickles_and_tables()}
    pickles = {file.place for file in PUBLISHED.values() if file.place.endswith((".pkl", ".csv"))}
    assert pickles <= paths
    assert len(published.PUBLISHED) == 32


@pytest.mark.parametrize("link", [False, True])
def test_files_are_put_in_place_under_their_names(publish, tmp_path, capsys, link):
    places = {"models/Res_v5_densenet121/ft_v5_512px_finetune_2_final_v2_0.964322.model": b"fold 2"}
    folder, root = publish({**places, "data/train.csv": b"Image,Id\n"}), tmp_path / "root"
    write(folder, ".git/objects/ab", b"fold 2")
    write(folder, "deep/notes.txt", b"no file of ours")
    for _ in range(2):
        place_files([folder], known_of(root), link)
    place, content = next(iter(places.items()))
    assert (root / place).read_bytes() == content
    assert (root / place).is_symlink() == link
    assert (root / "data/train.csv").read_bytes() == b"Image,Id\n"
    assert [path.name for path in root.rglob("*") if path.is_file()].count("train.csv") == 1
    out = capsys.readouterr().out
    assert "v5 net, fold 2, 512 px, MAP@5 0.964322; " in out
    assert out.count("in place: ") == 2
    assert ".git" not in out


def test_another_file_is_never_written_over(publish, tmp_path):
    folder = publish({"data/train.csv": b"Image,Id\n", "modified_data/p2bb_v5.pkl": b"boxes"})
    root = tmp_path / "root"
    own = write(root, "data/train.csv", b"Image,Id\nmine.jpg,w_1\n")
    refused(lambda: place_files([folder], known_of(root)), "1 files", str(own), "another file")
    assert own.read_bytes() == b"Image,Id\nmine.jpg,w_1\n"
    assert (root / "modified_data/p2bb_v5.pkl").read_bytes() == b"boxes"  # the rest is done


def zip_of(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/") + ".pkl", content)
    return path.read_bytes()


def test_the_zipped_matrix_is_unpacked(publish, tmp_path):
    name = "features/Res_kernel.pkl"
    content = zip_of(tmp_path / "a.zip", **{"some__Res_kernel": b"a matrix"})
    folder, root = publish({f"{name}.zip": content}), tmp_path / "root"
    place_files([folder], known_of(root))
    assert (root / name).read_bytes() == b"a matrix"
    assert os.listdir(root / "features") == ["Res_kernel.pkl"]


@pytest.mark.parametrize(
    "content",
    [
        lambda path: zip_of(path, Res_kernel=bytes(50 << 20)),  # a bomb
        lambda path: zip_of(path, Other=b"a matrix"),
        lambda path: zip_of(path, Res_kernel=os.urandom(5000))[:-2000],
        lambda path: b"no zip",
    ],
)
def test_a_zip_that_is_none_leaves_nothing(publish, tmp_path, content):
    folder = publish({"features/Res_kernel.pkl.zip": content(tmp_path / "a.zip")})
    root = tmp_path / "root"
    refused(lambda: place_files([folder], known_of(root)), str(folder / "0.bin"))
    assert not list(root.rglob("*.pkl*"))


def test_weights_of_imagenet_go_to_the_folder_of_keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    path = write(tmp_path, "downloaded (1).h5", b"weights")
    first = FirstWeights("densenet.h5", "https://example.org", content_ids(path).md5)
    place_files([path], known_of(tmp_path / "root", [first]))
    assert (tmp_path / "keras/models/densenet.h5").read_bytes() == b"weights"


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_other_weights_are_checked(net, tmp_path, capsys):
    path = tmp_path / "mine.model"
    network = net.network(net.sizes["smoke"], None, "smoke")
    network.save_weights(path)
    place_files([path], known_of(tmp_path / "root"))
    assert f"no published file; sound, it fits the {net.name} net" in capsys.readouterr().out
    head = network.head.get_weights()
    network.head.set_weights([head[0] * float("nan"), *head[1:]])
    network.save_weights(path)
    refused(lambda: place_files([path], known_of(tmp_path / "root")), str(path), "NaN")


def test_what_is_no_weight_file_is_named(tmp_path):
    known = known_of(tmp_path / "root")
    path = write(tmp_path, "pointer.model", b"version https://git-lfs.github.com/spec/v1\n")
    refused(lambda: place_files([path], known), str(path), "not a whole Keras 2 HDF5")
    refused(lambda: fitting_net(path), str(path))
    notes = write(tmp_path, "notes.txt", b"")
    refused(lambda: place_files([notes], known), str(notes), "no published file")
    refused(lambda: place_files([tmp_path / "none"], known), "none", "missing")


def test_check_says_what_can_run(tmp_path, capsys):
    root = make_root(tmp_path / "root")
    (root / "data/test").mkdir()
    check_root(Workspace(root), known_of(root), NETS)
    out = capsys.readouterr().out
    assert "can run now     tools/identify.py\n" in out
    v5 = "siamese_net_v5_densenet121/r26_seamese_net_inference_v5_512px.py: "
    assert f"cannot run yet  {v5}{root / 'data/sample_submission.csv'} is missing" in out
    assert f"another file    published table: {Path('data/train.csv')}\n" in out

    save(root / "features/cv-analysis-fs14-LB959-densenet121-512px-sparse-test.pkl", {})
    save(root / "features/cv-analysis-fs16-LB959-seresnext50-384px-sparse-test.pkl", {})
    save(root / "features/Res_kernel_1024_averged_score_matrix_res_test_vs_train.pkl", {})
    write(root, "data/sample_submission.csv", "Image,Id\n")
    check_root(Workspace(root), known_of(root), NETS)
    assert "can run now     final_ensemble_with_post_proc.py\n" in capsys.readouterr().out


def test_the_door_asks_for_something_to_do(work_root, capsys):
    refused(lambda: weights.main([]), "name a FILE_OR_FOLDER")
    weights.main(["--check"])
    assert "missing         v5 net, fold 0, 512 px" in capsys.readouterr().out
