"""First weights that come with the project, for whoever has no others: found and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whales.base.errors import UserError
from whales.base.plain_json import read_json
from whales.base.writing import write_text
from whales.files.digests import file_digest
from whales.nets.teaching import Teaching

if TYPE_CHECKING:
    from whales.nets.network import SiameseNetwork

_LARGEST_RECIPE = 1 << 20  # bytes


@dataclass(frozen=True)
class ShippedWeights:
    """A weight file of the project's own, and beside it the recipe that it was made by.

    folder, name: of both, `NAME.h5` and `NAME.json`; size: of the photos that it answers for, pixels. The
    recipe is an object of any numbers; its `digest` is that of the weight file.
    """

    folder: Path
    name: str
    size: int

    @property
    def path(self) -> Path:
        """The weight file."""
        return self.folder / f"{self.name}.h5"

    def checked(self) -> Path:
        """The weight file, if its content is the recipe's; `UserError` where one is missing or damaged."""
        recipe = self.path.with_suffix(".json")
        for path in (self.path, recipe):
            if not path.is_file():
                raise UserError(f"{path} is missing; {self._advice}")
        content = read_json(recipe, _LARGEST_RECIPE)
        expected = content.get("digest") if isinstance(content, dict) else None
        if not isinstance(expected, str):
            raise UserError(f"{recipe} has no digest of {self.path.name}; {self._advice}")
        found = file_digest(self.path)
        if found != expected:
            raise UserError(
                f"{self.path} is not the file that {recipe.name} is of: its digest is {found}, expected "
                f"{expected}; {self._advice}"
            )
        return self.path

    @property
    def _advice(self) -> str:
        return (
            "it comes with the project: fetch or install that again, or train with --weights none"
        )

    def save(self, network: SiameseNetwork, taught: Teaching, recipe: Mapping[str, object]) -> None:
        """Write both files anew; the weights as float16. `UserError` as of `save_weights`.

        network: of the size and channels that are to be kept; taught: on what; recipe: plain values, all but
        the digest.
        """
        network.save_weights(self.path, taught, half=True)
        content = {**recipe, "digest": file_digest(self.path)}
        write_text(self.path.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
