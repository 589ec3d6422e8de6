"""The files that the solution's authors published, each known by its content whatever it is called.

They lie in their repository, https://github.com/aaxwaz/Humpback-whale-identification-challenge.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from whales.base.errors import UserError

_KERNEL_1024 = "from_best_768_weights_PLAN21_martinAsWarmStart_finalTo1024_withFreezing"
_V5_MATRIX = "cv-analysis-fs14-LB959-densenet121-512px-sparse"
_V6_MATRIX = "cv-analysis-fs16-LB959-seresnext50-384px-sparse"
_KERNEL_MATRIX = "Res_kernel_1024_averged_score_matrix_res_test_vs_train.pkl"
# Folder under a work root -> name there -> git's id of the content (`git hash-object FILE`).
_FILES = {
    "data": {
        "sample_submission.csv": "100077e96070f451993d6f41e72fe0c993b920e6",
        "train.csv": "db65f6fc21e10739bce1ff4e0263894e24a6ab2e",
    },
    "features": {
        f"{_KERNEL_MATRIX}.zip": "324ca991e8f0bedd19fbf6266c3e7224343b862c",
        f"{_V5_MATRIX}-test.pkl": "4ee294a30dbd45730d6227afe4b2dd617f76bb26",
        f"{_V5_MATRIX}.pkl": "d09a39de4af5112f4c441c9412f10aea5000479e",
        f"{_V6_MATRIX}-test.pkl": "935711c4ca0d517dbf7c00b87fd5aef510f77582",
        f"{_V6_MATRIX}.pkl": "39e6c5827f921bea9027c00b809ed5bde8c097b3",
    },
    "saved_models/PLAN21": {
        f"{_KERNEL_1024}_fold_0_final_0.963895.model_weights": "1a21ef152b0dc83859148328ffee5b158141bc1d",
        f"{_KERNEL_1024}_fold_1_final_0.966836.model_weights": "c3d5079cd3e79710e277d0ba4ce7a6ef0998cede",
        f"{_KERNEL_1024}_fold_2_final_0.964979.model_weights": "01511bce1901bb87d5b244e8ae75557d6122bc56",
        f"{_KERNEL_1024}_fold_3_final_0.969283.model_weights": "50178ac274ff3c4c9449e0d3e989b56efd64bd58",
    },
    "models/Res_v5_densenet121": {
        "densenet121_384px_warmstart_temp4_0.890359.model": "a4ca27b6efe040459a5dec51e579ef46d9b9f9d9",
        "densenet_224px_warmstart_final_0.873042.model": "93d236676baba24a5e1ef7c36926e2c8a438de8c",
        "ft_v5_384px_finetune_0_final_v2_0.967093.model": "9ebf2e068849f6a513bf9f9961b13991ea992863",
        "ft_v5_384px_finetune_1_final_v2_0.967650.model": "7b1a1c68e09c20340503ccfe41fd9446bcb4f328",
        "ft_v5_384px_finetune_2_final_v2_0.961669.model": "d509c1f2285b11ec266dd1cb6a7621838fe87ee1",
        "ft_v5_384px_finetune_3_final_v2_0.974151.model": "d82a88348987287dd1395f06932028f84fb08ae2",
        "ft_v5_512px_finetune_0_final_v2_0.969993.model": "2b938a88f4b56e13cc3ca08136a6dff5a63a669f",
        "ft_v5_512px_finetune_1_final_v2_0.971355.model": "85388a94252b7d209ca35c786cc9683778c204a7",
        "ft_v5_512px_finetune_2_final_v2_0.964322.model": "110b3c4d5d84b73b59cc0ad970fb6167b79268fc",
        "ft_v5_512px_finetune_3_final_v2_0.976572.model": "caca6cbcc18d58d91d6de5cf465919d4ff1c5135",
    },
    "models/Res_v6_seresnext50": {
        "ft_v6_384px_finetune_0_final_v2_0.966762.model": "c6698a13cf779f93f24e1c95bab3d8b97e165158",
        "ft_v6_384px_finetune_1_final_v2_0.968866.model": "e90c0ad4f0e9e52e07f14f87e90bc383240c3781",
        "ft_v6_384px_finetune_2_final_v2_0.967316.model": "f4e978f7f2f008aca63d40248f4b66d35bda70e8",
        "ft_v6_384px_finetune_3_final_v2_0.975371.model": "5e81cec820ffeabb11092c78096fb38156fab11b",
        "seresnext50_224px_warmstart_final_0.869127.model": "80132a1e98fba66312b8a1334c156e30f4d220fb",
        "seresnext50_384px_warmstart_final_0.884867.model": "920bea7327379194b0d286c563f1c895a39090bf",
    },
    "modified_data": {
        "mpiotte-standard.model": "504bf9a9e92ce86e2c5f8a589b7f8b84dbe3e96a",
        "p2bb_averaged_playground_v1.pkl": "ba14e82b19e5c034933a48e8cc86f580b1b3dc86",
        "p2bb_averaged_v1.pkl": "1e992a9bef8e78b2e81037f25772f6b93fd0ed7c",
        "p2bb_v5.pkl": "9bf0a0ab735020f737c823597897a18f45be637d",
    },
    "modified_data/retinanet": {
        "cropping_train_v2.csv": "62d8fdb0fbd0028bcf2e1fe147b38bf626394caf",
    },
}
_NETS = {
    "models/Res_v5_densenet121": "v5 net",
    "models/Res_v6_seresnext50": "v6 net",
    "saved_models/PLAN21": "kernel net",
}
_PIPELINE_FILES = {".csv": "table", ".pkl": "pickle", ".zip": "zipped pickle"}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class PublishedFile:
    """A published file: its place under a work root, and what it is."""

    place: str

    @property
    def about(self) -> str:
        """Net, fold, photo size and published MAP@5 where the file has them.

        >>> name = "ft_v5_512px_finetune_0_final_v2_0.969993.model"
        >>> PublishedFile(f"models/Res_v5_densenet121/{name}").about
        'v5 net, fold 0, 512 px, MAP@5 0.969993'
        """
        folder, _, name = self.place.rpartition("/")
        if name == "mpiotte-standard.model":
            return "kernel net, warm start of one channel (Martin Piotte)"
        if folder not in _NETS:
            return f"published {_PIPELINE_FILES[Path(name).suffix]}"
        fold = re.search(r"_(?:finetune|fold)_(\d)_", name)
        size = re.search(r"_(\d+)px_", name)
        map5 = re.search(r"_(\d\.\d{6})\.", name)
        return ", ".join(
            [
                _NETS[folder],
                f"fold {fold[1]}" if fold else "warm start",
                f"{size[1]} px" if size else "1024 px",
                *([f"MAP@5 {map5[1]}"] if map5 else []),
            ]
        )


# Git's id of the content -> file.
PUBLISHED = {
    blob: PublishedFile(f"{folder}/{name}")
    for folder, names in _FILES.items()
    for name, blob in names.items()
}


@dataclass(frozen=True)
class ContentIds:
    """What a file's content is known by: git's blob id, and its md5; hexadecimal digits."""

    blob: str
    md5: str


def content_ids(path: Path) -> ContentIds:
    """Both ids of a file, read once; `UserError` where it cannot be read."""
    # Names for contents, no protection: both are what the publishers give.
    md5 = hashlib.md5(usedforsecurity=False)
    blob = hashlib.sha1(usedforsecurity=False)
    try:
        with open(path, "rb") as source:
            blob.update(b"blob %d\0" % os.fstat(source.fileno()).st_size)
            while block := source.read(_BLOCK):
                blob.update(block)
                md5.update(block)
    except OSError as reason:
        raise UserError(f"{path} cannot be read ({reason.strerror or reason})") from reason
    return ContentIds(blob.hexdigest(), md5.hexdigest())
