"""One call of a stage: its inputs are checked, its outputs stamped."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from whales.base import locks
from whales.base.console import log, open_log
from whales.base.errors import UserError
from whales.base.plain_json import read_json
from whales.base.stopping import would_keep
from whales.base.writing import WriteError, require_writable, write_text
from whales.files.digests import text_digest
from whales.files.stamps import WRITTEN, Description, is_former
from whales.files.workspace import require
from whales.photos.limits import MOST_MEGAPIXELS, most_megapixels
from whales.stages.options import RunOptions


class Job:
    """One call of a stage: its inputs are checked, its outputs stamped.

    A stage is up to date when every output exists and the stamp of its last full run shows the same
    options, the same numbers of its page, and inputs of the same content. Paths count from the work
    root, which may be moved. What it does then no other process does at the same time: from `up_to_date`
    to `done` it holds a lock of the root.
    """

    def __init__(
        self,
        options: RunOptions,
        script: str,
        reads: Sequence[Path],
        writes: Sequence[Path],
        *,
        numbers: Mapping[str, object],
        fold: int | None = None,
        part: str = "",
        given: Mapping[str, object] | None = None,
        photos: Mapping[str, Path] | None = None,
    ) -> None:
        """`script`: the stage's `__file__`; `fold` and `part` tell apart the calls of one script.

        `numbers`: every number of the stage's page, plain values; `given`: options of the stage's own
        that change its outputs, None where not given; `photos`: stem -> file of the photos whose pixels
        it reads. Raises `UserError` for the first of `reads` that is missing, naming the stage that makes
        it.
        """
        self.key = self.key_of(script, fold) + (f"_{part}" if part else "")
        self.name = " ".join(filter(None, (Path(script).stem, _fold_text(fold), part)))
        self.options, self.reads, self.writes = options, list(reads), list(writes)
        self._stamp = options.workspace.file("stamp", stage=self.key)
        self._lock = options.workspace.file("lock", name=self.key)
        self._begin = time.monotonic()
        self._open_log()
        for path in self.reads:
            require(options.workspace, path)
        digests = options.workspace.digests
        self.photo_digests = digests.of_photos(photos or {})
        self.description = self._describe(numbers, given or {})
        digests.remember()

    @staticmethod
    def key_of(script: str, fold: int | None = None) -> str:
        """Name of a call of a stage in file names: folder, script and fold."""
        path = Path(script).resolve()
        top = path.parent == Path(__file__).resolve().parents[2]
        name = path.stem if top else f"{path.parent.name}.{path.stem}"
        return name if fold is None else f"{name}_fold_{fold}"

    def up_to_date(self, begins: bool = True) -> bool:
        """Whether there is nothing to do (said in one line), unless `--force`.

        Else the stage `begins`, or does so later, by the method of that name; with `--check` it ends with
        exit code 1. `UserError` where another process is at it, or an output cannot be written.
        """
        self._open_log()  # another job of the process may have begun meanwhile
        if self._nothing_to_do():
            return True
        if self.options.check:
            log(f"{self.name}: not up to date")
            raise SystemExit(1)
        require_writable(*self.writes, self._stamp)
        try:
            locks.take(self._lock, self.name)
        except OSError as reason:  # its outputs may lie on another disk than the cache
            log(f"{self.name}: no lock ({reason.strerror}); it must not be started twice")
        if self._nothing_to_do():  # another process has ended it meanwhile
            locks.release(self._lock)
            return True
        if begins:
            self.begins()
        return False

    def begins(self) -> None:
        """From now on it writes: killed meanwhile, its outputs are no longer those of the stamp.

        What may still be refused is better refused before: without a stamp the stage would run again.
        """
        self._stamp.unlink(missing_ok=True)

    def _nothing_to_do(self) -> bool:
        if self.options.force or not self.current():
            return False
        log(f"{self.name}: up to date")
        return True

    def current(self, whatever_options: bool = False) -> bool:
        """Whether every output is there and of these options, numbers and inputs, `--force` or not.

        whatever_options: numbers and inputs alone count.
        """
        stamp = self._read_stamp()
        if stamp is None or not all(path.exists() for path in self.writes):
            return False
        outputs = stamp.pop("outputs", [])
        stamp.pop(WRITTEN, None)
        if not isinstance(outputs, list):
            return False
        # Relative to the root; of former versions absolute, which `/` leaves as they are.
        written = [self.options.workspace.root / str(name) for name in outputs]
        differences = self.description.differences(stamp)
        if whatever_options:
            differences = [text for text in differences if not text.startswith("options.")]
        if differences or not all(path.exists() for path in written):
            return False
        if is_former(stamp):
            with contextlib.suppress(WriteError):  # a root that cannot be written to
                self._write_stamp(written)  # from now on with the numbers
        return True

    def stamped(self) -> bool:
        """Whether an earlier run of this stage has left a stamp, whatever it was made from."""
        return self._read_stamp() is not None

    def done(self, outputs: Sequence[Path] = ()) -> None:
        """Stamp the run and say what was written; `outputs`: those whose names were not known before."""
        self.writes += outputs
        missing = [path for path in self.writes if not path.exists()]
        if missing:
            raise RuntimeError(f"{self.name} ended without writing {missing[0]}")
        self._write_stamp(self.writes)
        locks.release(self._lock)
        would_keep("")
        names = ", ".join(str(self._named(path)) for path in self.writes[:3])
        more = f" and {len(self.writes) - 3} more" if len(self.writes) > 3 else ""
        log(f"{self.name}: wrote {names}{more} in {time.monotonic() - self._begin:.1f} s")

    def _open_log(self) -> None:
        if self.options.workspace.root.is_dir():
            open_log(self.options.workspace.file("log", stage=self.key))

    def _read_stamp(self) -> dict[str, object] | None:
        try:
            stamp = read_json(self._stamp)
        except (FileNotFoundError, UserError):  # none yet, or damaged
            return None
        whole = isinstance(stamp, dict) and isinstance(stamp.get("options"), dict)
        return stamp if whole else None

    def _write_stamp(self, outputs: Sequence[Path]) -> None:
        digests = self.options.workspace.digests
        written = {self._named(path): digests.of(path) for path in outputs}
        stamp = {**self.description.content, "outputs": list(written), WRITTEN: written}
        write_text(self._stamp, json.dumps(stamp, indent=1))

    def _describe(self, numbers: Mapping[str, object], given: Mapping[str, object]) -> Description:
        workspace = self.options.workspace
        named = {
            "profile": self.options.profile,
            "seed": self.options.seed,
            "skip_broken_photos": self.options.skip_broken_photos,
            "max_megapixels": self._photo_limit(),
            "precision": self.options.precision,
            **given,
        }
        named = {key: value for key, value in named.items() if value is not None}
        content: dict[str, object] = {
            "options": {key: self._named(value) for key, value in named.items()},
            # As they will be read again: a tuple becomes a list.
            "numbers": json.loads(json.dumps(dict(numbers))),
            "inputs": {self._named(path): workspace.digests.of(path) for path in self.reads},
        }
        if self.photo_digests:
            content["photos"] = text_digest(sorted(self.photo_digests.items()))
        former = {
            "options": {key: str(value) for key, value in named.items()},
            "inputs": {str(path): _size_and_time(path) for path in self.reads},
        }
        return Description(content, former)

    def _photo_limit(self) -> float | None:
        """The limit of a photo's size where it may change which photos are left out, else None."""
        limit = most_megapixels()
        changed = self.options.skip_broken_photos and limit != MOST_MEGAPIXELS
        return limit if changed else None

    def _named(self, value: object) -> str:
        """An option or path as text; a path below the work root counts from there."""
        root = self.options.workspace.root
        if isinstance(value, Path) and value.is_relative_to(root):
            return value.relative_to(root).as_posix()
        return str(value)


def _fold_text(fold: int | None) -> str:
    return "" if fold is None else f"fold {fold}"


def _size_and_time(path: Path) -> list[int]:
    status = path.stat()
    return [] if path.is_dir() else [status.st_size, status.st_mtime_ns]
