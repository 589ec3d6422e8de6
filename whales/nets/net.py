"""A net's card: all that the library and the tools must know of one net, in one record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whales.base.errors import UserError
from whales.files.settings import ANISOTROPY

if TYPE_CHECKING:
    from whales.nets.network import SiameseNetwork
    from whales.nets.weight_files import FirstWeights
    from whales.photos.augment import Augmenter, Transforms

WEIGHTS_SUFFIX = ".model_weights"
_SCORE = re.compile(r"_(\d\.\d{2,})(\.[a-z_0-9]+)?$")


@dataclass(frozen=True)
class BestOf:
    """The best-scoring weights of a stage, for the stage that goes on from them.

    prefixes: of the file names, `{fold}` filled in; maker: the script that writes them.
    """

    prefixes: tuple[str, ...]
    maker: str

    def find(self, folder: Path, fold: int | None = None) -> Path:
        """The file whose name ends in the best MAP@5; `UserError` naming the maker if there is none."""
        prefixes = tuple(prefix.format(fold=fold) for prefix in self.prefixes)
        scored = [
            (float(found[1]), path.name, path)
            for path in (folder.iterdir() if folder.is_dir() else ())
            if path.name.startswith(prefixes) and (found := _SCORE.search(path.name))
        ]
        if not scored:
            maker = self.maker.format(fold=fold)
            raise UserError(f"no weights {prefixes[0]}..._SCORE in {folder}; run {maker}")
        return max(scored)[2]


@dataclass(frozen=True, eq=False)
class Net:
    """A net's card.

    name: as in the work root's keys; sizes: photo size that it scores at, pixels, by profile; folds: key
    of its splits; weights: those that it scores with, of each fold; share: its weight in the ensemble's
    blend; threshold: above which scores are summed in the submission of this net alone (None: it has
    none); build: (size in pixels, weights, profile) -> a new network, see the net's own a01; transforms:
    its augmentation, see its a02; extra_crop: whether training cuts a random part out of half of the
    crops; first_weights: what `--weights imagenet` loads (None: there are none).
    """

    name: str
    sizes: Mapping[str, int]
    folds: str
    weights: BestOf
    share: float
    build: Callable[[int, Path | str | None, str], SiameseNetwork]
    transforms: Callable[[], Transforms]
    extra_crop: bool = False
    threshold: float | None = None
    first_weights: FirstWeights | None = None

    def network(
        self, size: int, weights: Path | str | None, profile: str, precision: str | None = None
    ) -> SiameseNetwork:
        """A new network; `precision`: Keras policy of the branch, None for float32."""
        from whales.nets.network import computing_in

        with computing_in(precision or "float32"):
            return self.build(size, weights, profile)

    def augmenter(self, anisotropy: float = ANISOTROPY) -> Augmenter:
        """A new `whales.photos.augment.Augmenter` with the net's transforms; `anisotropy` as there."""
        from whales.photos.augment import Augmenter

        return Augmenter(self.transforms, self.extra_crop, anisotropy)
