"""What every numbered stage does alike: arguments, checked inputs, up-to-date stamps, refusals."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from whales.console import configure, log, log_error, open_log
from whales.errors import UserError
from whales.pickles import write_text
from whales.workspace import Workspace

PROFILE_CHOICES = ("full", "smoke")


def parse_arguments(
    doc: str | None,
    argv: Sequence[str] | None,
    fold: tuple[int, int] | None = None,
    default_fold: int | None = None,
    many: bool = False,
    extra: Callable[[argparse.ArgumentParser], object] | None = None,
) -> argparse.Namespace:
    """Parse the options that all stages share.

    `fold`: (first, last) allowed value of a positional FOLD; optional where `default_fold` is given
    or the stage takes None as "all folds" (pass `default_fold=-1` for that; args.fold is None then).
    `many`: several may be given, args.fold is a list.
    `extra` adds options of the stage's own. The namespace gains `workspace`.
    """
    parser = _Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if fold:
        usage = f"{fold[0]} to {fold[1]}"
        optional = {} if default_fold is None else {"nargs": "?", "default": default_fold}
        if many:
            optional, usage = {"nargs": "+"}, f"{usage}; several train one after the other"
        parser.add_argument("fold", metavar="FOLD", type=fold_type(fold), help=usage, **optional)
    parser.add_argument("--profile", choices=PROFILE_CHOICES, default="full", help="default: full")
    parser.add_argument("--force", action="store_true", help="run even if up to date")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, or GPU numbers such as 0 or 0,1"
    )
    parser.add_argument(
        "--workers",
        type=positive,
        default=os.cpu_count(),
        help="threads that read and augment photos",
    )
    parser.add_argument(
        "--skip-broken-photos", action="store_true", help="leave out photos that cannot be read"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard logs as well")
    parser.add_argument(
        "--quiet", action="store_true", help="show errors alone; logs/ has the rest"
    )
    if extra:
        extra(parser)
    args = parser.parse_args(argv)
    if getattr(args, "fold", 0) == -1:
        args.fold = None
    choose_device(args.device)
    configure(args.quiet)
    args.workspace = Workspace()
    return args


class _Parser(argparse.ArgumentParser):
    """Refuses wrong options in one line, like every other bad input."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see --help")


def choose_device(device: str) -> None:
    """Make only the named devices visible; to be called before a framework is imported."""
    if device == "auto":
        return
    if device != "cpu" and not all(part.isdigit() for part in device.split(",")):
        raise UserError(f"--device takes auto, cpu or GPU numbers such as 0,1; received {device}")
    os.environ["CUDA_VISIBLE_DEVICES"] = "" if device == "cpu" else device
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"


class Job:
    """One call of a stage: its inputs are checked, its outputs stamped.

    A stage is up to date when every output exists and the stamp of its last full run shows the same
    options and the same inputs (size and modification time).
    """

    def __init__(
        self,
        args: argparse.Namespace,
        script: str,
        reads: Sequence[Path],
        writes: Sequence[Path],
        fold: int | None = None,
        part: str = "",
    ) -> None:
        """`script`: the stage's `__file__`; `fold` and `part` tell apart the calls of one script.

        Raises `UserError` for the first of `reads` that is missing, with who makes it.
        """
        self.key = self.key_of(script, fold) + (f"_{part}" if part else "")
        self.name = " ".join(filter(None, (Path(script).stem, _fold_text(fold), part)))
        self.args, self.reads, self.writes = args, list(reads), list(writes)
        self._stamp = args.workspace.file("stamp", stage=self.key)
        self._begin = time.monotonic()
        if args.workspace.root.is_dir():
            open_log(args.workspace.file("log", stage=self.key))
        for path in self.reads:
            require(args.workspace, path)
        self.inputs = self._describe()

    @staticmethod
    def key_of(script: str, fold: int | None = None) -> str:
        """Name of a call of a stage in file names: folder, script and fold."""
        path = Path(script).resolve()
        top = path.parent == Path(__file__).resolve().parents[1]
        name = path.stem if top else f"{path.parent.name}.{path.stem}"
        return name if fold is None else f"{name}_fold_{fold}"

    def up_to_date(self) -> bool:
        """Whether there is nothing to do (said in one line), unless `--force`."""
        if self.args.force or not all(path.exists() for path in self.writes):
            return False
        try:
            stamp = json.loads(self._stamp.read_text())
        except (FileNotFoundError, ValueError):  # none yet, or damaged
            return False
        if not isinstance(stamp, dict) or not isinstance(stamp.get("options"), dict):
            return False
        outputs = stamp.pop("outputs", [])
        # Options that were not given do not count: a version that adds one leaves work up to date.
        given = {key: value for key, value in stamp["options"].items() if value != "None"}
        stamp["options"] = given
        same = stamp == self.inputs and all(Path(path).exists() for path in outputs)
        if same:
            log(f"{self.name}: up to date")
        return same

    def done(self, outputs: Sequence[Path] = ()) -> None:
        """Stamp the run and say what was written; `outputs`: those whose names were not known before."""
        self.writes += outputs
        missing = [path for path in self.writes if not path.exists()]
        if missing:
            raise RuntimeError(f"{self.name} ended without writing {missing[0]}")
        stamp = {**self.inputs, "outputs": [str(path) for path in self.writes]}
        write_text(self._stamp, json.dumps(stamp, indent=1))
        root = self.args.workspace.root
        names = ", ".join(str(path.relative_to(root)) for path in self.writes[:3])
        more = f" and {len(self.writes) - 3} more" if len(self.writes) > 3 else ""
        log(f"{self.name}: wrote {names}{more} in {time.monotonic() - self._begin:.1f} s")

    def _describe(self) -> dict[str, object]:
        own = {"workspace", "force", "device", "workers", "tensorboard", "quiet"}
        given = {key: value for key, value in vars(self.args).items() if value is not None}
        options = {key: str(value) for key, value in given.items() if key not in own}
        inputs = {str(path): _fingerprint(path) for path in self.reads}
        return {"options": options, "inputs": inputs}


def require(workspace: Workspace, path: Path) -> Path:
    """Return `path` if it exists, else raise `UserError` with the stage or download that makes it."""
    if not path.exists():
        origin = workspace.origin(path)
        raise UserError(f"{path} is missing" + (f"; {origin}" if origin else ""))
    return path


def run(main: Callable[[], object]) -> None:
    """Call a stage's `main`; a `UserError` becomes one line on stderr and exit code 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow leaves oneDNN out on CPUs without AVX-512; a training step is 10 to 40% faster with it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        main()
    except UserError as error:
        log_error(str(error))
        sys.exit(2)


def _fold_text(fold: int | None) -> str:
    return "" if fold is None else f"fold {fold}"


def _fingerprint(path: Path) -> list[int]:
    status = path.stat()
    return [] if path.is_dir() else [status.st_size, status.st_mtime_ns]


def positive(text: str) -> int:
    """Parser of an argument that is a whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, received {text}")
    return int(text)


def fold_type(fold: tuple[int, int]) -> Callable[[str], int]:
    """Parser of an argument that is a fold from `fold[0]` to `fold[1]`."""

    def parse(text: str) -> int:
        if not text.isdigit() or not fold[0] <= int(text) <= fold[1]:
            raise argparse.ArgumentTypeError(
                f"expected a fold from {fold[0]} to {fold[1]}, received {text}"
            )
        return int(text)

    return parse
