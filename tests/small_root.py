"""A small work root that whales can be identified in: nine photos, a net of random weights."""

import json
from functools import cache

import cv2
import numpy as np
from helpers import write_lines

from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.base.pickles import save
from whales.nets.net import Net
from whales.nets.shipped_weights import ShippedWeights
from whales.nets.teaching import Lesson

V5 = "models/Res_v5_densenet121/ft_v5_512px_finetune_{fold}_final_v2_{score}.model_weights"
SIZE = 72  # of the v5 net in the smoke profile
IDENTITY_OF = {
    "a1": "w_a", "a2": "w_a", "a3": "w_a", "b1": "w_b", "b2": "w_b", "b3": "w_b", "c1": "w_c",
    "n1": "new_whale", "n2": "new_whale",
}  # fmt: skip
FOLD_PAGES = (
    "retinanet/r10_create_csv_for_retinanet.py", "retinanet/r32_average_boxes.py",
    "r10_create_kfold_split.py", "kernel_snn/kfold_splits_for_kernel.py",
)  # fmt: skip
VALID = {0: ["a1", "b1", "n1"], 1: ["a2", "b2"], 2: ["a3", "n2"], 3: ["b3"]}


def draw(path, seed, size=(100, 60)):
    """A photo of coloured noise in large squares, so that JPEG keeps it."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (5, 8, 3), dtype=np.uint8)
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)
    return pixels[..., ::-1]


def make_catalogue(root):
    """Make a work root of known photos and their boxes, without folds and nets; returns its path."""
    for seed, name in enumerate(IDENTITY_OF):
        draw(root / f"data/train/{name}.jpg", seed)
    lines = [f"{name}.jpg,{who}" for name, who in IDENTITY_OF.items()]
    (root / "data/train.csv").write_text("Image,Id\n" + "\n".join(lines) + "\n")
    boxes = {name: (5 + place, 3, 90, 50) for place, name in enumerate(IDENTITY_OF)}
    save(root / "modified_data/p2bb_averaged_v1.pkl", boxes)
    save(root / "modified_data/p2bb_averaged_playground_v1.pkl", {})
    return root


def make_root(root):
    """Make a work root whose v5 net has random weights for folds 0 and 2; returns its path."""
    make_catalogue(root)
    folds = {
        f"fold_{fold}": {
            "train": [f"{n}.npy" for n in IDENTITY_OF if n not in names and n[0] != "n"],
            "val": [f"{name}.npy" for name in names],
        }
        for fold, names in VALID.items()
    }
    save(root / "modified_data/kfold/new_4_folds_split_train_val_v1.pkl", folds)
    import keras

    for fold in (0, 2):
        keras.utils.set_random_seed(fold)
        NET.network(SIZE, None, "smoke").save_weights(root / V5.format(fold=fold, score="0.900000"))
    (root / V5.format(fold=0, score="0.800000")).write_text("not the best")
    return root


def ship(folder, seed=0):
    """Write weights such as come with the project, of one channel, and their recipe; returns their path."""
    import keras

    from kernel_snn.a01_kernel_model import build_network

    keras.utils.set_random_seed(seed)
    shipped = ShippedWeights(folder, "generated_start", KERNEL.shipped.size)
    network = by_distance(build_network(shipped.size, channels=1))
    shipped.save(network, (Lesson(640, 40, True),), {"individuals": 40, "seed": seed})
    return shipped.path


def use_shipped(monkeypatch, path):
    """Let the weight file of this path be the one that comes with the project."""
    monkeypatch.setattr(ShippedWeights, "path", property(lambda _: path))


@cache
def build_once(*arguments):
    """A net built and traced once for all tests; a catalogue gives it weights before it uses it."""
    return build(*arguments)


build = Net.network


def by_distance(network):
    """The head's score becomes logistic(3 - mean distance of the features, in units of their mean)."""
    head = network.head
    picked = np.zeros((4, 1, 1, 32), np.float32)
    picked[2, 0, 0, 0] = 1  # |a - b|
    first = np.zeros((1, 32, 1, 1), np.float32)
    first[0, 0] = 1
    width = network.branch.output_shape[-1]
    share = np.full((width, 1), -40 / width, np.float32)
    nothing = [np.zeros(32, np.float32), np.zeros(1, np.float32)]
    weights = [picked, nothing[0], first, nothing[1], share, np.full(1, 3, np.float32)]
    head.set_weights(weights)
    return network


def with_folds_and_nets(root, script, monkeypatch, folds, anisotropy):
    """Take an imported root through the stages up to its folds, and give it v5 nets `by_distance`."""
    import keras

    monkeypatch.setenv("WHALES_ROOT", str(root))
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    for page in FOLD_PAGES:
        script(page).main(["--profile", "smoke", "--quiet"])
    for fold in folds:
        keras.utils.set_random_seed(fold)
        path = root / V5.format(fold=fold, score="0.900000")
        path.parent.mkdir(parents=True, exist_ok=True)
        by_distance(NET.network(SIZE, None, "smoke")).save_weights(path)
    trained = {"profile": "smoke", "anisotropy": anisotropy}
    write_lines(root / "models/trained.json", json.dumps(trained))
