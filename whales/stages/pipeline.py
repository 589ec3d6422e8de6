"""The one list of stages: what each reads, writes and takes, and how they hang together.

Plain records, no framework. Files are told by their keys in `whales.files.workspace`. A call of a stage
needs those calls that write what it reads, so that the order follows from the list itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

PROFILES = ("full", "smoke")


@dataclass(frozen=True)
class Takes:
    """What one call of a stage takes at most.

    gpus: that it can use; memory: of the host, gigabytes; hours: with one H100 in the full profile, of one
    fold, and on two cores in the smoke profile, of all folds. Guessed unless docs/speed.md has a measure.
    """

    gpus: int
    memory: float
    hours: float


@dataclass(frozen=True)
class Folds:
    """The fold argument of a stage.

    numbers: the folds that the method runs; flag: that stands before them, "" where they are positional;
    default: the fold that runs where none is given; every: all run where none is given.
    """

    numbers: tuple[int, ...]
    flag: str = ""
    default: int | None = None
    every: bool = False

    @property
    def usage(self) -> str:
        """As the command line is written for readers.

        >>> [Folds((0, 1)).usage, Folds((1,), default=1).usage, Folds((0, 1), every=True).usage]
        ['FOLD ..', '[FOLD=1]', '[FOLD]']
        """
        if self.every:
            return "[FOLD]"
        if self.default is not None:
            return f"[FOLD={self.default}]"
        return f"{self.flag} F .." if self.flag else "FOLD .."

    def arguments(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Of a call for these folds.

        >>> Folds((0, 1, 2), "--RUN_FOLD").arguments((0, 2))
        ('--RUN_FOLD', '0', '2')
        """
        if self.every and tuple(numbers) == self.numbers:
            return ()
        return (*([self.flag] if self.flag else []), *map(str, numbers))


@dataclass(frozen=True, eq=False)
class Stage:
    """One numbered script.

    script: its path in the project's folder
    reads, writes: keys of the work root's files; a field of a key has any value, but the fold the call's
    takes: profile -> what a call takes
    makes: what it writes, in a word for README
    optional: keys of files that it reads where they are there
    shipped: paths of the project's own files that it may read, in the project's folder
    folds: its fold argument, None where it has none
    parts: names of its stamps, where one call leaves several
    """

    script: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    takes: Mapping[str, Takes]
    makes: str
    optional: tuple[str, ...] = ()
    shipped: tuple[str, ...] = ()
    folds: Folds | None = None
    parts: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name in file names: folder and script."""
        return ".".join(PurePosixPath(self.script).with_suffix("").parts)

    @property
    def trains(self) -> bool:
        """Whether it trains a net or the detector, and so can be rehearsed with `--steps`."""
        return "history" in self.writes

    @property
    def usage(self) -> str:
        """Script and fold argument, as readers see them."""
        return f"{self.script} {self.folds.usage}" if self.folds else self.script

    def command(self, fold: int | None = None) -> str:
        """Script and arguments that make a file, of this fold if it is a file of one."""
        if fold is None or not self.folds or self.folds.every:
            return self.script
        return " ".join([self.script, *self.folds.arguments((fold,))])


V5, V6 = "siamese_net_v5_densenet121", "siamese_net_v6_se_resnext"
TABLES = ("train_csv", "sample_submission")
PLAYGROUND_TABLES = ("playground_train_csv", "playground_sample_submission")
BOXES = ("boxes_averaged", "boxes_averaged_playground")
WHALES = ("train_photos", "playground_train_photos")
COMPETITION = ("train_photos", "test_photos")
FOUR = (0, 1, 2, 3)
WARM_START = (*TABLES[:1], "playground_train_csv", *BOXES, *WHALES)
FOLD = ("train_csv", *BOXES, "train_photos")
SIDES = ("import_table",)  # where it says which side photos show
SCORED = (*TABLES, *BOXES, *COMPETITION)


def _takes(
    hours: float, memory: float = 4, gpus: int = 0, smoke: float = 0.001
) -> dict[str, Takes]:
    """hours, memory and gpus of the full profile; smoke: hours of that one."""
    return {"full": Takes(gpus, memory, hours), "smoke": Takes(min(gpus, 1), min(memory, 6), smoke)}


# README order. Memory is 32 GB where photos are decoded in parallel, 64 GB where matrices are dense.
STAGES = (
    Stage(
        "retinanet/r10_create_csv_for_retinanet.py",
        reads=("train_csv", "boxes_v5"),
        writes=("retinanet_folds", "retinanet_fold_csv", "retinanet_classes"),
        takes=_takes(0.01),
        makes="tables, 5 folds",
    ),
    Stage(
        "retinanet/r30_train_backbone_resnet152_kfold.py",
        reads=("retinanet_fold_csv", "train_photos"),
        writes=("retinanet_last", "retinanet_best", "history"),
        takes=_takes(14, memory=32, gpus=1, smoke=0.015),
        makes="detector",
        folds=Folds((1,), default=1),
    ),
    Stage(
        "retinanet/r31_convert_retinanet_model.py",
        reads=("retinanet_last",),
        writes=("retinanet_converted",),
        takes=_takes(0.02, memory=8),
        makes="converted detector",
        folds=Folds((1,), default=1),
    ),
    Stage(
        "retinanet/r31_get_vectors_backbone_resnet152_kfold.py",
        reads=(
            *("retinanet_converted", "boxes_v5", "retinanet_folds", *TABLES, *PLAYGROUND_TABLES),
            *(*COMPETITION, "playground_train_photos", "playground_test_photos"),
        ),
        writes=(
            *("boxes_retinanet", "boxes_retinanet_playground", "retinanet_fold_boxes"),
            *("detections_cache", "detections_weights"),
        ),
        takes=_takes(2, memory=32, gpus=1, smoke=0.003),
        makes="its boxes",
        folds=Folds((1,), default=1),
    ),
    Stage(
        "retinanet/r32_average_boxes.py",
        reads=("boxes_v5", "boxes_retinanet", "boxes_retinanet_playground", "cropping_train_v2"),
        optional=("boxes_playground_v2",),
        writes=BOXES,
        takes=_takes(0.01),
        makes="averaged boxes",
    ),
    Stage(
        "r10_create_kfold_split.py",
        reads=("train_csv", *BOXES),
        optional=SIDES,
        writes=("folds_v1", "folds_v2"),
        takes=_takes(0.01),
        makes="folds v1, v2",
    ),
    Stage(
        f"{V5}/r10_seamese_net_warmstart_from_scratch_224px.py",
        reads=(*WARM_START, "folds_v1"),
        optional=("settings", *SIDES),
        writes=("weights_v5_224", "history"),
        takes=_takes(5, memory=32, gpus=1, smoke=0.017),
        makes="weights",
    ),
    Stage(
        f"{V5}/r11_seamese_net_warmstart_finetune_384px.py",
        reads=(*WARM_START, "folds_v1", "weights_v5_224"),
        optional=("settings", *SIDES),
        writes=("weights_v5_384_warm", "history"),
        takes=_takes(5, memory=32, gpus=1, smoke=0.007),
        makes="weights",
    ),
    Stage(
        f"{V5}/r15_seamese_net_train_v5_finetune_384px.py",
        reads=(*FOLD, "folds_v1", "weights_v5_384_warm"),
        optional=("settings", *SIDES),
        writes=("weights_v5_384", "history"),
        takes=_takes(4, memory=32, gpus=1, smoke=0.032),
        makes="weights",
        folds=Folds(FOUR),
    ),
    Stage(
        f"{V5}/r15_seamese_net_train_v5_finetune_512px.py",
        reads=(*FOLD, "folds_v1", "weights_v5_384"),
        optional=("settings", *SIDES),
        writes=("weights_v5_512", "history"),
        takes=_takes(6, memory=32, gpus=1, smoke=0.01),
        makes="weights",
        folds=Folds(FOUR),
    ),
    Stage(
        f"{V5}/r26_seamese_net_inference_v5_512px.py",
        reads=(*SCORED, "folds_v1", "weights_v5_512"),
        optional=("settings", *SIDES),
        writes=("valid_matrix_v5", "test_matrix_fold_v5", "test_matrix_v5"),
        takes=_takes(0.7, memory=64, gpus=1, smoke=0.003),
        makes="score matrices",
        folds=Folds(FOUR, every=True),
    ),
    Stage(
        f"{V5}/r28_seamese_net_create_submission_v5_512px.py",
        reads=(*TABLES, "test_matrix_v5"),
        optional=SIDES,
        writes=("submission_v5",),
        takes=_takes(0.02, memory=16),
        makes="submission",
    ),
    Stage(
        f"{V6}/r11_seamese_net_warmstart_from_scratch_224px.py",
        reads=(*WARM_START, "folds_v2"),
        optional=("settings", *SIDES),
        writes=("weights_v6_224", "history"),
        takes=_takes(4, memory=32, gpus=1, smoke=0.014),
        makes="weights",
    ),
    Stage(
        f"{V6}/r12_seamese_net_warmstart_from_scratch_384px.py",
        reads=(*WARM_START, "folds_v2", "weights_v6_224"),
        optional=("settings", *SIDES),
        writes=("weights_v6_384_warm", "history"),
        takes=_takes(6, memory=32, gpus=1, smoke=0.008),
        makes="weights",
    ),
    Stage(
        f"{V6}/r15_seamese_net_train_v6_finetune_384px.py",
        reads=(*FOLD, "folds_v2", "weights_v6_384_warm"),
        optional=("settings", *SIDES),
        writes=("weights_v6_384", "history"),
        takes=_takes(5, memory=32, gpus=1, smoke=0.03),
        makes="weights",
        folds=Folds(FOUR),
    ),
    Stage(
        f"{V6}/r16_seamese_net_inference_v6_384px.py",
        reads=(*SCORED, "folds_v2", "weights_v6_384"),
        optional=("settings", *SIDES),
        writes=("valid_matrix_v6", "test_matrix_fold_v6", "test_matrix_v6"),
        takes=_takes(0.7, memory=64, gpus=1, smoke=0.002),
        makes="score matrices",
        folds=Folds(FOUR, every=True),
    ),
    Stage(
        f"{V6}/r18_seamese_net_create_submission_v6_384px.py",
        reads=(*TABLES, "test_matrix_v6"),
        optional=SIDES,
        writes=("submission_v6",),
        takes=_takes(0.02, memory=16),
        makes="submission",
    ),
    Stage(
        "r20_prepare_matrices_for_ensemble.py",
        reads=(*TABLES, "valid_matrix_v5", "test_matrix_v5", "valid_matrix_v6", "test_matrix_v6"),
        optional=(*BOXES, "folds_v1", "folds_v2", *SIDES),
        writes=("features_v5", "features_test_v5", "features_v6", "features_test_v6"),
        takes=_takes(0.2, memory=32),
        makes="sparse matrices",
        parts=("v5", "v6"),
    ),
    Stage(
        "kernel_snn/kfold_splits_for_kernel.py",
        reads=("train_csv", *BOXES),
        optional=SIDES,
        writes=("folds_kernel",),
        takes=_takes(0.01),
        makes="kernel folds",
    ),
    Stage(
        "kernel_snn/snn_train_kernel_384_to_1024.py",
        reads=(*FOLD, "folds_kernel"),
        optional=("kernel_warm_start", "settings", *SIDES),
        shipped=("kernel_snn/generated_start.h5",),
        writes=("weights_kernel_temp", "weights_kernel", "history"),
        takes=_takes(10, memory=64, gpus=2, smoke=0.055),
        makes="weights",
        folds=Folds(FOUR, "--RUN_FOLD"),
    ),
    Stage(
        "kernel_snn/snn_inference_kernel_1024.py",
        reads=(*SCORED, "weights_kernel"),
        optional=("settings", *SIDES),
        writes=("features_test_kernel",),
        takes=_takes(2, memory=64, gpus=1, smoke=0.004),
        makes="sparse matrix",
    ),
    Stage(
        "final_ensemble_with_post_proc.py",
        reads=(*TABLES, *BOXES, "features_test_v5", "features_test_v6", "features_test_kernel"),
        optional=SIDES,
        writes=("submission",),
        takes=_takes(0.02, memory=16),
        makes="**the submission**",
    ),
)


@dataclass(frozen=True)
class Call:
    """A stage, called for these of its folds; none where it has no folds."""

    stage: Stage
    folds: tuple[int, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of the script, but for the common options."""
        return self.stage.folds.arguments(self.folds) if self.stage.folds else ()

    @property
    def name(self) -> str:
        """The script's name and its arguments, for people."""
        return " ".join([PurePosixPath(self.stage.script).stem, *self.arguments])

    @property
    def key(self) -> str:
        """Its name in file names."""
        if len(self.folds) != 1:
            return self.stage.key
        return f"{self.stage.key}_fold_{self.folds[0]}"

    @property
    def stamps(self) -> tuple[str, ...]:
        """The `stage` of each stamp that it leaves, as `whales.stages.job` names them.

        The mean over folds of an inference stage has one of its own, which no fold's call leaves alone.
        """
        key, stage = self.stage.key, self.stage
        own = [f"{key}_fold_{fold}" for fold in self.folds]
        own += [f"{key}_{part}" for part in stage.parts]
        mean = bool(stage.folds and stage.folds.every and self.folds == stage.folds.numbers)
        return (*own, key) if mean or not own else tuple(own)


@cache
def calls(profile: str) -> tuple[Call, ...]:
    """Every call of the pipeline in README order.

    In the full profile each fold has its own call; in the smoke profile one process trains all folds of a
    stage, which saves tracing the net anew.
    """
    made = []
    for stage in STAGES:
        numbers = stage.folds.numbers if stage.folds else ()
        each = profile == "full" and numbers
        made += [Call(stage, (fold,)) for fold in numbers] if each else [Call(stage, numbers)]
    return tuple(made)


@cache
def needed(call: Call, profile: str) -> tuple[Call, ...]:
    """The calls that write what a call reads; of a file of one fold, that fold's alone."""
    read = {*call.stage.reads, *call.stage.optional}
    found = []
    for other in calls(profile):
        both_folds = call.folds and other.folds
        apart = both_folds and not {*call.folds} & {*other.folds} and _same_folds(call, other)
        if not apart and read & {*other.stage.writes} - {"history"}:
            found.append(other)
    return tuple(found)


def _same_folds(call: Call, other: Call) -> bool:
    """Whether two stages split alike: the detector's folds are others than the nets'."""
    folds, others = call.stage.folds, other.stage.folds
    return bool(folds and others and folds.numbers == others.numbers)


def dependants(call: Call, profile: str) -> tuple[Call, ...]:
    """The calls that need a call, directly or not, in README order."""
    found = {call}
    for other in calls(profile):  # README order: who is needed comes first
        if found & {*needed(other, profile)}:
            found.add(other)
    return tuple(other for other in calls(profile) if other in found and other != call)


def hours_of_chains(hours: Mapping[Call, float], profile: str) -> dict[Call, float]:
    """Call -> hours of the longest chain of calls that begins with it; hours: of each call, README order."""
    behind: dict[Call, float] = {}
    for call in reversed(list(hours)):
        after = (behind[other] for other in behind if call in needed(other, profile))
        behind[call] = hours[call] + max(after, default=0.0)
    return behind


def maker(key: str, fold: int | None = None) -> str:
    """Script and arguments that make a file of the work root; "" where no stage, or more than one, does."""
    makers = [stage for stage in STAGES if key in stage.writes]
    return makers[0].command(fold) if len(makers) == 1 else ""


def stage_of(script: str) -> Stage:
    """The stage of a page, told by any path that ends in its folder and file; `KeyError` for another."""
    parts = PurePosixPath(script.replace("\\", "/")).parts
    for stage in STAGES:
        own = PurePosixPath(stage.script).parts
        if parts[-len(own) :] == own:
            return stage
    raise KeyError(f"{script} is no stage of the pipeline")
