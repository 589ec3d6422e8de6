"""The options that all stages and tools share: `RunOptions`, and the command line they come from."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from whales.base.chatter import VERBOSE
from whales.base.console import configure
from whales.base.errors import UserError
from whales.files.trained import PROFILE_CHOICES, profile_of
from whales.files.workspace import Workspace
from whales.nets.net import PRECISIONS
from whales.photos.limits import MOST_MEGAPIXELS, VARIABLE, megapixels
from whales.stages.backends import prepare_backend
from whales.stages.rehearsal import rehearsal_root
from whales.stages.stage_tables import help_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

# Threads of one operation of TensorFlow or PyTorch on a CPU. The order of its sums, and so the last bits
# of every weight, depend on their number; the smoke profile is made to be compared, so that it fixes it.
SMOKE_THREADS = 1


@dataclass(frozen=True)
class RunOptions:
    """How to run, whatever is run; no command line is needed to make one.

    workspace: the work root; profile: "full" or "smoke", "" for that of the root's nets; seed: of all
    that is random; workers: threads and processes that read photos (default: one a core); force: do
    again what is up to date;
    skip_broken_photos: leave out and count photos that cannot be read, instead of stopping;
    precision: of the branch, a Keras policy (None: float32); tensorboard: write its logs as well;
    steps: rehearse a training, with so many steps an epoch at most (None: train); check: end with exit code
    1 where the stage is not up to date, and run nothing.
    Raises `UserError` for another profile or precision, one that is not that of the root's nets, or workers
    below 1.
    """

    workspace: Workspace
    profile: str = ""
    seed: int = 0
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    force: bool = False
    skip_broken_photos: bool = False
    precision: str | None = None
    tensorboard: bool = False
    steps: int | None = None
    check: bool = False

    def __post_init__(self) -> None:
        if self.profile not in ("", *PROFILE_CHOICES):
            raise UserError(f"profile is one of {PROFILE_CHOICES}, received {self.profile!r}")
        if self.precision not in (None, *PRECISIONS):
            raise UserError(f"precision is one of {PRECISIONS}, received {self.precision!r}")
        if self.workers < 1:
            raise UserError(f"workers is a number from 1, received {self.workers}")
        object.__setattr__(self, "profile", profile_of(self.workspace, self.profile))


def parse_arguments(
    doc: str | None,
    argv: Sequence[str] | None,
    fold: tuple[int, int] | None = None,
    default_fold: int | None = None,
    many: bool = False,
    extra: Callable[[argparse.ArgumentParser], object] | None = None,
    threads: int = SMOKE_THREADS,
    script: str | None = None,
) -> tuple[RunOptions, argparse.Namespace]:
    """Parse the options that all stages share, and those of the stage's own.

    `fold`: (first, last) allowed value of a positional FOLD; optional where `default_fold` is given
    or the stage takes None as "all folds" (pass `default_fold=-1` for that; the fold is None then).
    `many`: several may be given, the fold is a list. `extra` adds options of the stage's own.
    `threads`: of one operation in the smoke profile, where the environment does not say. `script`: the
    `__file__` of a stage, whose help says what it reads and writes, and which can be asked with `--check`.
    Returns the common options, and the stage's own with `fold`.
    """
    parser = ArgumentParser(help_text(doc, script) if script else doc)
    if script:
        asks = "run nothing; exit code 1 if it is not up to date"
        parser.add_argument("--check", action="store_true", help=asks)
    if fold:
        usage = f"{fold[0]} to {fold[1]}"
        optional = {} if default_fold is None else {"nargs": "?", "default": default_fold}
        if many:
            optional, usage = {"nargs": "+"}, f"{usage}; several train one after the other"
        parser.add_argument("fold", metavar="FOLD", type=fold_type(fold), help=usage, **optional)
    _add_common(parser)
    if extra:
        extra(parser)
    args = parser.parse_args(argv)
    if getattr(args, "fold", 0) == -1:
        args.fold = None
    choose_device(args.device)
    configure(args.quiet)
    workspace, steps = Workspace().existing(), getattr(args, "steps", None)
    if steps:
        args.profile = args.profile or profile_of(workspace, "")
        workspace = rehearsal_root(workspace, args.profile)
    options = RunOptions(
        workspace,
        args.profile,
        args.seed,
        args.workers,
        args.force,
        args.skip_broken_photos,
        getattr(args, "precision", None),
        args.tensorboard,
        steps,
        getattr(args, "check", False),
    )
    prepare(options, threads)
    return options, args


def prepare(options: RunOptions, threads: int = SMOKE_THREADS) -> None:
    """Set what Keras's backend reads from the environment, before it is imported, as `prepare_backend`.

    threads: as of `parse_arguments`.
    """
    prepare_backend(options.workspace, threads if options.profile == "smoke" else None)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    profile = "default: that of the root's nets, full where there are none"
    add("--profile", choices=PROFILE_CHOICES, default="", help=profile)
    add("--force", action="store_true", help="run even if up to date")
    add("--seed", type=seed, default=0, help="of all that is random (default 0)")
    add("--device", default="auto", help="auto, cpu, or GPU numbers such as 0 or 0,1")
    workers = "threads that read and augment photos"
    add("--workers", type=positive, default=os.cpu_count(), help=workers)
    skip = "leave out photos that cannot be read"
    add("--skip-broken-photos", action="store_true", help=skip)
    add_photo_limit(parser)
    add("--tensorboard", action="store_true", help="write TensorBoard logs as well")
    add("--quiet", action="store_true", help="show errors alone; logs/ has the rest")


def add_photo_limit(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how large a photo may be; it holds for this process and its workers."""
    parser.add_argument(
        "--max-megapixels",
        action=_PhotoLimit,
        metavar="N",
        help=f"larger photos count as broken (default {MOST_MEGAPIXELS:g})",
    )


class _PhotoLimit(argparse.Action):
    """Keeps the limit where every process that reads photos finds it, as `choose_device` does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        megapixels(str(values), "--max-megapixels")
        os.environ[VARIABLE] = str(values)


def add_rehearsal(parser: argparse.ArgumentParser) -> None:
    """Add the option of every training stage that cuts it to a rehearsal."""
    parser.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="rehearse: at most N steps an epoch, two epochs a round, one round a block, few photos; "
        "written to rehearsal/ in the work root, never to the real files",
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add the option of every stage that runs a branch."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of the branch; the head computes in float32 (default: float32)",
    )


class ArgumentParser(argparse.ArgumentParser):
    """Refuses wrong options in one line, like every other bad input; shows the description as it is."""

    def __init__(self, description: str | None, reads_photos: bool = False, **more: object) -> None:
        """reads_photos: add the option of `add_photo_limit`; more: as in argparse."""
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, formatter_class=formatter, **more)
        shows = "show what TensorFlow and other libraries say of themselves too"
        # Heeded before the arguments are parsed, by `whales.base.chatter`.
        self.add_argument(
            VERBOSE, action="store_true", default=argparse.SUPPRESS, dest="verbose", help=shows
        )
        if reads_photos:
            add_photo_limit(self)

    def error(self, message: str) -> NoReturn:
        """Raise `UserError` instead of printing the usage."""
        raise UserError(f"{message}; see --help")


def record_of(kind: type[Record], values: Mapping[str, object]) -> Record:
    """A dataclass made of the values that its fields name; lists become tuples, other values do not count.

    values: such as the `vars` of parsed arguments.
    """
    names = {field.name for field in fields(kind)}
    given = {name: values[name] for name in names if name in values}
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def choose_device(device: str) -> None:
    """Make only the named devices visible; to be called before a framework is imported."""
    if device == "auto":
        return
    if device != "cpu" and not all(part.isdecimal() for part in device.split(",")):
        raise UserError(f"--device takes auto, cpu or GPU numbers such as 0,1; received {device}")
    os.environ["CUDA_VISIBLE_DEVICES"] = "" if device == "cpu" else device
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = os.environ["KERAS_TORCH_DEVICE"] = "cpu"


def seed(text: str) -> int:
    """Parser of an argument that seeds random numbers: 0 to 2 ** 32 - 1, as NumPy and Keras take it."""
    if not (text.isascii() and text.isdecimal() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(
            f"expected a whole number from 0 to {2**32 - 1}, received {text}"
        )
    return int(text)


def positive(text: str) -> int:
    """Parser of an argument that is a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, received {text}")
    return int(text)


def existing_file(text: str) -> Path:
    """Parser of an argument that is a file, which must be there; its absolute path."""
    path = Path(text).resolve()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{path} is missing")
    return path


def fold_type(fold: tuple[int, int]) -> Callable[[str], int]:
    """Parser of an argument that is a fold from `fold[0]` to `fold[1]`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not fold[0] <= int(text) <= fold[1]:
            raise argparse.ArgumentTypeError(
                f"expected a fold from {fold[0]} to {fold[1]}, received {text}"
            )
        return int(text)

    return parse
