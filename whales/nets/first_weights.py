"""ImageNet weights that others publish: found, checked and fetched without loading any framework."""

from __future__ import annotations

import http.client
import os
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from whales.base.errors import UserError
from whales.base.progress import progress_bar
from whales.base.writing import atomic_path
from whales.files.published import content_ids

_PATIENCE = 30  # seconds without an answer, after which a download is given up
_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class FirstWeights:
    """A branch's published ImageNet weights: file name, address and md5 digest."""

    name: str
    url: str
    md5: str

    @property
    def path(self) -> Path:
        """Where the file lies: Keras's model folder."""
        return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / self.name

    def fetch(self) -> Path:
        """Path of the file, its content checked; downloaded where there is none.

        A file of another content is neither used nor touched: `UserError`, as where a missing one
        cannot be downloaded.
        """
        if os.path.lexists(self.path):
            if not self.path.is_file():
                raise UserError(f"{self.path} is no file; move it away, {self._advice}")
            self._check(self.path, f"move it away, {self._advice}")
        else:
            self._download()
        return self.path

    @property
    def _advice(self) -> str:
        return f"put the file of {self.url} there, or name other weights with --weights"

    def _check(self, path: Path, advice: str) -> None:
        found = content_ids(path).md5
        if found != self.md5:
            raise UserError(
                f"{self.path} is not {self.name} as published: its md5 is {found}, expected {self.md5}; "
                f"{advice}"
            )

    def _download(self) -> None:
        blocks = self._blocks()
        first = next(blocks, b"")  # before anything is written
        with closing(blocks), atomic_path(self.path) as temporary:
            with open(temporary, "wb") as out:
                out.write(first)
                out.writelines(blocks)
            self._check(temporary, f"what {self.url} gave is not kept; {self._advice}")

    def _blocks(self) -> Iterator[bytes]:
        """The content behind the address; `UserError` where it cannot be had."""
        try:
            with urllib.request.urlopen(self.url, timeout=_PATIENCE) as source:
                total = int(source.headers.get("Content-Length") or 0)
                with progress_bar(f"download {self.name}", total // _BLOCK, "MB") as bar:
                    while block := source.read(_BLOCK):
                        bar.update()
                        yield block
        except (OSError, http.client.HTTPException) as reason:
            raise UserError(
                f"ImageNet weights {self.name} (md5 {self.md5}) are not in {self.path.parent} and cannot be "
                f"downloaded ({' '.join(str(reason).split())}): {self._advice}"
            ) from reason
