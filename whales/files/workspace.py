"""The work root, and the name of every file that stages pass to each other, spelled once, here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from whales.base.errors import UserError
from whales.base.writing import is_temporary
from whales.files.digests import Digests
from whales.files.settings import Settings, read_settings

_DOWNLOAD = "download the competition's data (docs/pipeline.md, 'The data')"
_OPTIONAL = "optional, see docs/pipeline.md, 'The data'"
_V5 = "modified_data/seamese_net_v5_rgb_densenet121_512px"
_V6 = "modified_data/seamese_net_v6_rgb_seresnext50_384px"
_MODELS_V5, _MODELS_V6 = "models/Res_v5_densenet121", "models/Res_v6_seresnext50"
_MODELS_KERNEL, _PLAN21 = "saved_models/PLAN21", "PLAN21_martinAsWarmStart_384to1024"
_STAGE = ""  # the stage that the list of stages names

# (key, fold or None) -> script and arguments of the stage that makes a file, "" where none does. The list
# of stages lies on a floor above: it says so itself when that floor is loaded.
Maker = Callable[[str, int | None], str]
_maker_of: list[Maker] = []

# key: (path under the root, who else than a stage makes it). Fields in braces are given by the caller.
_FILES: dict[str, tuple[str, str]] = {
    "train_csv": ("data/train.csv", _DOWNLOAD),
    "sample_submission": ("data/sample_submission.csv", _DOWNLOAD),
    "sample": ("sample.json", "the generator of the demo's photos"),
    "import_table": ("data/import.csv", "run tools/import_dataset.py"),
    "settings": ("data/settings.json", "optional, see docs/catalogue.md, 'Other species'"),
    "train_photos": ("data/train", _DOWNLOAD),
    "test_photos": ("data/test", _DOWNLOAD),
    "playground_train_csv": ("data/playground/train.csv", _DOWNLOAD),
    "playground_sample_submission": ("data/playground/sample_submission.csv", _DOWNLOAD),
    "playground_train_photos": ("data/playground/train", _DOWNLOAD),
    "playground_test_photos": ("data/playground/test", _DOWNLOAD),
    "boxes_v5": ("modified_data/p2bb_v5.pkl", _DOWNLOAD),
    "boxes_playground_v2": ("modified_data/p2bb_playground_v2.pkl", _OPTIONAL),
    "cropping_train_v2": ("modified_data/retinanet/cropping_train_v2.csv", _DOWNLOAD),
    "kernel_warm_start": ("modified_data/mpiotte-standard.model", _OPTIONAL),
    # retinanet
    "retinanet_folds": ("modified_data/kfold_retinanet_5.pklz", _STAGE),
    "retinanet_fold_csv": ("modified_data/retinanet/fold_{fold}_{part}.csv", _STAGE),
    "retinanet_classes": ("modified_data/retinanet/classes.txt", _STAGE),
    "retinanet_last": ("models/retinanet2/resnet152_fold_{fold}_last.h5", _STAGE),
    "retinanet_converted": ("models/retinanet2/resnet152_fold_{fold}_last_converted.h5", _STAGE),
    "retinanet_best": ("models/retinanet2/resnet152_fold_{fold}_{epoch:02d}_{iou:.4f}.h5", _STAGE),
    "detections_cache": (
        "modified_data/cache_retinanet_resnet152_kfold_{part}/{name}.pklz",
        _STAGE,
    ),
    "detections_weights": ("cache/detections/{part}_fold_{fold}.json", _STAGE),
    "boxes_retinanet": ("modified_data/p2bb_retinanet_resnet152_cropping.pkl", _STAGE),
    "boxes_retinanet_playground": (
        "modified_data/p2bb_retinanet_resnet152_cropping_playground.pkl",
        _STAGE,
    ),
    "retinanet_fold_boxes": (
        "modified_data/boxes/retinanet_resnet152_boxes_{part}_fold_{fold}.pkl",
        _STAGE,
    ),
    "boxes_averaged": ("modified_data/p2bb_averaged_v1.pkl", _STAGE),
    "boxes_averaged_playground": ("modified_data/p2bb_averaged_playground_v1.pkl", _STAGE),
    # folds
    "folds_v1": ("modified_data/kfold/new_4_folds_split_train_val_v1.pkl", _STAGE),
    "folds_v2": ("modified_data/kfold/new_4_folds_split_train_val_v2.pkl", _STAGE),
    "folds_kernel": ("modified_data/new_4_folds_split_train_val.pkl", _STAGE),
    # networks
    "trained": ("models/trained.json", "the training stages"),
    "models_v5": (_MODELS_V5, "the training stages of siamese_net_v5_densenet121"),
    "models_v6": (_MODELS_V6, "the training stages of siamese_net_v6_se_resnext"),
    "models_kernel": (_MODELS_KERNEL, "the training stage of kernel_snn"),
    # the weights in these folders; the score is MAP@5
    "weights_v5_224": (
        _MODELS_V5 + "/densenet121_224px_warmstart_{tag}_{score}.model_weights",
        _STAGE,
    ),
    "weights_v5_384_warm": (
        _MODELS_V5 + "/densenet121_384px_warmstart_{tag}_{score}.model_weights",
        _STAGE,
    ),
    "weights_v5_384": (
        _MODELS_V5 + "/ft_v5_384px_finetune_{fold}_{tag}_{score}.model_weights",
        _STAGE,
    ),
    "weights_v5_512": (
        _MODELS_V5 + "/ft_v5_512px_finetune_{fold}_{tag}_{score}.model_weights",
        _STAGE,
    ),
    "weights_v6_224": (
        _MODELS_V6 + "/seresnext50_224px_warmstart_{tag}_{score}.model_weights",
        _STAGE,
    ),
    "weights_v6_384_warm": (
        _MODELS_V6 + "/seresnext50_384px_warmstart_{tag}_{score}.model_weights",
        _STAGE,
    ),
    "weights_v6_384": (
        _MODELS_V6 + "/ft_v6_384px_finetune_{fold}_{tag}_{score}.model_weights",
        _STAGE,
    ),
    "weights_kernel_temp": (
        _MODELS_KERNEL + "/mpiotte-standard_" + _PLAN21 + "_fold_{fold}_{tag}.model_weights",
        _STAGE,
    ),
    "weights_kernel": (
        _MODELS_KERNEL + "/" + _PLAN21 + "_fold_{fold}_{tag}_{score}.model_weights",
        _STAGE,
    ),
    "history": ("cache/history/{stage}.csv", "the training stages"),
    "checkpoint": ("cache/checkpoints/{stage}", "the training stages"),
    "tensorboard": ("cache/tensorboard/{stage}", "the training stages"),
    "decoded_photos": ("cache/photos", "every stage that trains a Siamese net"),
    "crops": ("cache/crops", "every stage that looks at whole photos"),
    "features": ("cache/features/{net}_fold_{fold}.npz", "every stage and tool that scores photos"),
    "calibration": ("cache/features/calibration.npz", "run tools/identify.py"),
    "compiled_by_jax": ("cache/jax/{machine}", "every stage and tool that runs on JAX"),
    "digests": ("cache/digests.json", "every stage"),
    "stamp": ("cache/stages/{stage}.json", "every stage"),
    "lock": ("cache/locks/{name}.lock", "every stage, while it runs"),
    "log": ("logs/{stage}.log", "every stage"),
    "demo_log": ("logs/demo/{call}.log", "workflow/Snakefile"),
    "workflow": ("cache/workflow", "workflow/Snakefile"),
    "marker": ("cache/workflow/{call}.done", "workflow/Snakefile"),
    "again": ("cache/workflow/again", "workflow/Snakefile"),
    "forced_call": ("cache/workflow/{call}.forced", "workflow/Snakefile"),
    "failed_call": ("cache/workflow/{call}.failed", "workflow/Snakefile"),
    # matrices
    "valid_matrix_v5": (_V5 + "/full_valid_vs_full_train_matrix_fold_{fold}.pkl", _STAGE),
    "test_matrix_v5": (_V5 + "/full_test_vs_train_matrix_avg.pkl", _STAGE),
    "test_matrix_fold_v5": (_V5 + "/full_test_vs_train_matrix_fold_{fold}.pkl", _STAGE),
    "valid_matrix_v6": (_V6 + "/full_valid_vs_full_train_matrix_fold_{fold}.pkl", _STAGE),
    "test_matrix_v6": (_V6 + "/full_test_vs_train_matrix_avg.pkl", _STAGE),
    "test_matrix_fold_v6": (_V6 + "/full_test_vs_train_matrix_fold_{fold}.pkl", _STAGE),
    "features_v5": ("features/cv-analysis-fs14-LB959-densenet121-512px-sparse.pkl", _STAGE),
    "features_v6": ("features/cv-analysis-fs16-LB959-seresnext50-384px-sparse.pkl", _STAGE),
    "features_test_v5": (
        "features/cv-analysis-fs14-LB959-densenet121-512px-sparse-test.pkl",
        _STAGE,
    ),
    "features_test_v6": (
        "features/cv-analysis-fs16-LB959-seresnext50-384px-sparse-test.pkl",
        _STAGE,
    ),
    # 'averged' is the published name, and so the contract.
    "features_test_kernel": (
        "features/Res_kernel_1024_averged_score_matrix_res_test_vs_train.pkl",
        _STAGE,
    ),
    # answers
    "submission_v5": ("subm/siamese_net_v5_densenet121_512px_THR_0.85.csv", _STAGE),
    "submission_v6": ("subm/siamese_net_v6_seresnext50_384px_THR_0.85.csv", _STAGE),
    "submission": ("submission/final_submit_with_post_proc.csv", _STAGE),
    "decisions": ("review/decisions.csv", "run tools/review.py"),
    "changes": ("review/changes.csv", "run tools/catalogue.py"),
    "change": ("review/changes/{number}", "run tools/catalogue.py"),
    "test_labels": ("test_labels.csv", _OPTIONAL),
    "report_page": ("report/report.html", "run tools/report.py"),
}

_PHOTO_FOLDERS = (
    "train_photos", "test_photos", "playground_train_photos", "playground_test_photos",
)  # fmt: skip


def _beside_checkout() -> Path:
    """The parent of the project folder; `UserError` where the library is installed without one."""
    project = Path(__file__).resolve().parents[2]
    if not (project / "pyproject.toml").exists():
        raise UserError("no work root is named; set WHALES_ROOT to the folder that holds data/")
    return project.parent


class Workspace:
    """A work root: `WHALES_ROOT`, else the parent of the project folder, never the current folder."""

    def __init__(self, root: Path | str | None = None) -> None:
        named = root or os.environ.get("WHALES_ROOT")
        self.root = Path(named or _beside_checkout()).resolve()
        self._by_default = not named
        self.digests = Digests(self.root, self.file("digests"))
        self._photos: dict[str, Path] = {}

    def existing(self, needed: bool = True) -> Workspace:
        """This root; `UserError` where its folder is missing, or was not named and holds no data.

        Stages and tools ask for it before they write anything. needed: False where they can do without
        a root that nobody named.
        """
        if not self.root.is_dir():
            raise UserError(
                f"there is no work root {self.root}; set WHALES_ROOT to one that is there"
            )
        if needed and self._by_default and not (self.root / "data").is_dir():
            raise UserError(
                f"no work root is named, and {self.root} holds no data/; set WHALES_ROOT to the folder "
                "that does"
            )
        return self

    @property
    def settings(self) -> Settings:
        """Settings of the whole root, read from its file anew; `UserError` where that is damaged."""
        return read_settings(self.file("settings"))

    def file(self, key: str, **fields: object) -> Path:
        """Path of a file of the contract; `fields` fill the braces of its name.

        >>> root = Workspace("/whales")
        >>> root.file("history", stage="r11").relative_to(root.root).as_posix()
        'cache/history/r11.csv'
        """
        return self.root / _FILES[key][0].format(**fields)

    def found(self, key: str, **fields: object) -> list[Path]:
        """Existing files of a key, sorted; a field that is not given may have any value."""
        pattern = re.sub(
            r"\{(\w+)[^}]*\}", lambda field: str(fields.get(field[1], "*")), _FILES[key][0]
        )
        return sorted(path for path in self.root.glob(pattern) if not is_temporary(path))

    def pickles_and_tables(self) -> list[Path]:
        """Every existing pickle and table, in the pipeline's order, without the cached detections."""
        kinds = (".pkl", ".pklz", ".csv")
        keys = [key for key, (name, _) in _FILES.items() if name.endswith(kinds)]
        return [path for key in keys if key != "detections_cache" for path in self.found(key)]

    def origin(self, path: Path | str) -> str:
        """The maker of `path` as an advice: `run STAGE`, or a download. Empty for an unknown path."""
        # abspath, not resolve: `data` may be a link to another disk.
        absolute = Path(os.path.abspath(path))
        if not absolute.is_relative_to(self.root):
            return ""
        relative = absolute.relative_to(self.root).as_posix()
        for key, (pattern, other_maker) in _FILES.items():
            fields = re.split(r"\{(\w+)[^}]*\}", pattern)
            parts = [
                re.escape(text) if i % 2 == 0 else f"(?P<{text}>[^/]+?)"
                for i, text in enumerate(fields)
            ]
            match = re.fullmatch("".join(parts), relative)
            if match:
                fold = match.groupdict().get("fold", "")
                return other_maker or f"run {stage_that_makes(key, _as_fold(fold))}"
        return ""

    def train_photo(self, name: str) -> Path:
        """Path of a training photo, from its stem."""
        return self.file("train_photos") / f"{name}.jpg"

    def test_photo(self, name: str) -> Path:
        """Path of a test photo, from its stem."""
        return self.file("test_photos") / f"{name}.jpg"

    def playground_train_photo(self, name: str) -> Path:
        """Path of a playground training photo, from its stem."""
        return self.file("playground_train_photos") / f"{name}.jpg"

    def playground_test_photo(self, name: str) -> Path:
        """Path of a playground test photo, from its stem."""
        return self.file("playground_test_photos") / f"{name}.jpg"

    def photo(self, name: str) -> Path:
        """Path of a photo of any of the four folders, from its stem.

        `UserError` where none has it, or two have files of that name that are not one.
        """
        if name not in self._photos:
            paths = [self.file(key) / f"{name}.jpg" for key in _PHOTO_FOLDERS]
            # A link to nowhere counts: whoever opens it says so, with its path.
            found = [path for path in paths if os.path.lexists(path)]
            if not found:
                raise UserError(
                    f"photo {name}.jpg is in none of the photo folders of {self.root}/data; "
                    "put it there or take it out of the tables"
                )
            for other in found[1:]:
                if os.path.realpath(other) != os.path.realpath(found[0]):
                    raise UserError(
                        f"photo {name}.jpg is in {found[0].parent} and in {other.parent}: it is not certain "
                        "which one the tables mean; take one away"
                    )
            self._photos[name] = found[0]
        return self._photos[name]


def pattern(key: str) -> str:
    """The path of a file of the contract under the root, for readers, the fields of its name in braces.

    >>> pattern("retinanet_best")
    'models/retinanet2/resnet152_fold_{fold}_{epoch}_{iou}.h5'
    """
    return re.sub(r"\{(\w+)[^}]*\}", r"{\1}", _FILES[key][0])


def name_makers(maker: Maker) -> None:
    """Say which stage makes which file; whoever holds the list of stages does, once."""
    _maker_of[:] = [maker]


def stage_that_makes(key: str, fold: int | None = None) -> str:
    """Script and arguments of the stage that makes a file, of one fold if it is given."""
    return _maker_of[0](key, fold) if _maker_of else "its stage (docs/pipeline.md)"


def _as_fold(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def pairs_path(table: Path) -> Path:
    """Where the pairs of a table of results are: `found.csv` -> `found_among.csv`."""
    return table.with_name(f"{table.stem}_among.csv")


def require(workspace: Workspace, path: Path) -> Path:
    """Return `path` if it exists, else raise `UserError` with the stage or download that makes it."""
    if not path.exists():
        origin = workspace.origin(path)
        raise UserError(f"{path} is missing" + (f"; {origin}" if origin else ""))
    return path
