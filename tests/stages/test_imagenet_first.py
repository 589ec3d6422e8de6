"""Stages that start from ImageNet's weights say what is wrong with them before a framework is loaded."""

import hashlib
import json

import pytest
from helpers import write, write_lines

from retinanet.detector.first_weights import IMAGENET as RESNET
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from siamese_net_v6_se_resnext.a00_net_v6 import NET as V6

V5_FIRST = "siamese_net_v5_densenet121/r10_seamese_net_warmstart_from_scratch_224px.py"
V6_FIRST = "siamese_net_v6_se_resnext/r11_seamese_net_warmstart_from_scratch_224px.py"
DETECTOR = "retinanet/r30_train_backbone_resnet152_kfold.py"
# The page as a script on a machine without a network, and what it has loaded in the end.
RUN = """
import atexit, json, runpy, sys, urllib.error, urllib.request
def away(*_, **__):
    raise urllib.error.URLError("no network")
urllib.request.urlopen = away
frameworks = ("tensorflow", "keras", "tf_keras", "keras_retinanet")
atexit.register(lambda: print(json.dumps([name for name in frameworks if name in sys.modules])))
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""

every_stage = pytest.mark.parametrize(
    ("page", "first"),
    [(V5_FIRST, V5.first_weights), (V6_FIRST, V6.first_weights), (DETECTOR, RESNET)],
    ids=["v5", "v6", "detector"],
)


@pytest.fixture
def start(work_root, repository, run_python, tmp_path):
    """Start a page on a root whose tables are sound: the one line that it is refused with."""
    photos = {f"p{i}": f"w_{i // 3}" for i in range(9)}
    boxes = dict.fromkeys((*photos, *(f"g{name}" for name in photos)), (0, 0, 9, 9))
    rows = [f"{name}.jpg,{who}" for name, who in photos.items()]
    write_lines(work_root / "data/train.csv", "Image,Id", *rows)
    playground = [f"g{name}.jpg,g{who}" for name, who in photos.items()]
    write_lines(work_root / "data/playground/train.csv", "Image,Id", *playground)
    write(work_root, "modified_data/p2bb_averaged_v1.pkl", {n: boxes[n] for n in photos})
    write(work_root, "modified_data/p2bb_averaged_playground_v1.pkl",
          {n: box for n, box in boxes.items() if n not in photos})  # fmt: skip
    fold = {"train": [f"p{i}.npy" for i in range(6)], "val": [f"p{i}.npy" for i in range(6, 9)]}
    for version in (1, 2):
        name = f"modified_data/kfold/new_4_folds_split_train_val_v{version}.pkl"
        write(work_root, name, {f"fold_{i}": fold for i in range(4)})
    for part in ("train", "valid"):
        write_lines(
            work_root / f"modified_data/retinanet/fold_1_{part}.csv", "p0.jpg,0,0,9,9,whale"
        )

    def run(page, *options):
        keras = str(tmp_path / "keras")
        done = run_python("-c", RUN, repository / page, *options, KERAS_HOME=keras)
        assert done.returncode == 2, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == []
        (line,) = done.stderr.splitlines()
        assert not (work_root / "models").exists()
        return line

    return run


@every_stage
def test_missing_weights_are_asked_for(start, tmp_path, page, first):
    line = start(page)
    for part in (first.name, first.md5, first.url, str(tmp_path / "keras/models"), "--weights"):
        assert part in line


@every_stage
def test_other_weights_are_kept_and_refused(start, tmp_path, page, first):
    path = write(tmp_path, f"keras/models/{first.name}", b"another file")
    line = start(page)
    for part in (str(path), hashlib.md5(b"another file").hexdigest(), first.md5):
        assert part in line
    assert path.read_bytes() == b"another file"
    assert [file.name for file in path.parent.iterdir()] == [first.name]


@pytest.mark.parametrize("page", [V5_FIRST, V6_FIRST])
def test_the_smoke_profile_asks_for_no_file(start, page):
    line = start(page, "--profile", "smoke", "--weights", "imagenet")
    assert "ImageNet weights fit the full profile only" in line


def test_addresses_and_digests_are_the_published_ones():
    """Of method.md, section 3, of keras-applications, and of fizyr/keras-models v0.0.1."""
    assert (V5.first_weights.name, V5.first_weights.md5) == (
        "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "30ee3e1110167f948a6b9946edeeb738",
    )
    assert (V6.first_weights.name, V6.first_weights.md5) == (
        "seresnext50_imagenet_1000_no_top.h5",
        "b0f23d2e1cd406d67335fb92d85cc279",
    )
    assert RESNET.url.endswith("/fizyr/keras-models/releases/download/v0.0.1/" + RESNET.name)
