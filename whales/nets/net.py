"""A net's card: one record of all that the library and the tools must know about one net."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from whales.base.errors import UserError
from whales.files.settings import ANISOTROPY
from whales.files.workspace import stage_that_makes

if TYPE_CHECKING:
    from whales.nets.first_weights import FirstWeights
    from whales.nets.network import SiameseNetwork
    from whales.nets.shipped_weights import ShippedWeights
    from whales.photos.augment import Augmenter, Transforms

# What people call the nets, by the names that files have for them.
_TITLES = {
    "v5": "DenseNet121 (v5)",
    "v6": "SE-ResNeXt50 (v6)",
    "kernel": "kernel net",
}
WEIGHTS_SUFFIX = ".model_weights"
PRECISIONS = ("float32", "mixed_bfloat16")  # Keras policies of a branch
_MAP5 = re.compile(r"_(\d\.\d{2,})(\.[a-z_0-9]+)?$")


def title_of(name: str) -> str:
    """What people call a net; any other name stays.

    >>> title_of("v5"), title_of("ensemble")
    ('DenseNet121 (v5)', 'ensemble')
    """
    return _TITLES.get(name, name)


@dataclass(frozen=True)
class BestOf:
    """A stage's weights of the best MAP@5, for the stage that continues from them.

    prefixes: of the file names, with `{fold}` for the fold; key: of these files in the work root.
    """

    prefixes: tuple[str, ...]
    key: str

    def find(self, folder: Path, fold: int | None = None) -> Path:
        """The file of `folder` whose name ends in the best MAP@5.

        `UserError` naming the maker where there is none.
        """
        prefixes = self.names(fold)
        scored = [
            (float(match[1]), path.name, path)
            for path in (folder.iterdir() if folder.is_dir() else ())
            if path.name.startswith(prefixes) and (match := _MAP5.search(path.name))
        ]
        if not scored:
            raise UserError(
                f"no weights {prefixes[0]}..._SCORE in {folder}; run {self.maker(fold)}"
            )
        return max(scored)[2]

    def names(self, fold: int | None = None) -> tuple[str, ...]:
        """How the names of these files begin."""
        return tuple(prefix.format(fold=fold) for prefix in self.prefixes)

    def maker(self, fold: int | None = None) -> str:
        """Script and arguments of the stage that writes them."""
        return stage_that_makes(self.key, fold)


@dataclass(frozen=True)
class TrainingMemory:
    """The memory of a training's process on a CPU, as measured.

    base: gigabytes whatever the batch; a_pixel: bytes for each pixel of a pair's square crop; frozen: the
    same with a frozen branch, which keeps nothing for a pass back.
    """

    base: float
    a_pixel: float
    frozen: float

    def gigabytes(self, size: int, pairs: int, frozen: bool = False) -> float:
        """Of steps of so many pairs of `size` pixels a side.

        >>> TrainingMemory(base=1.0, a_pixel=5000, frozen=1000).gigabytes(200, 10)
        3.0
        """
        return self.base + (self.frozen if frozen else self.a_pixel) * pairs * size**2 / 1e9


@dataclass(frozen=True, eq=False)
class Net:
    """A net's card.

    name: as in the work root's keys
    sizes: profile -> side of the photos that it scores, pixels
    folds: key of its splits in the work root
    weights: of each fold, to score with
    share: its weight in the ensemble's blend
    build: (size in pixels, weights, profile) -> a new network, see its a01
    transforms: makes its augmentation, see its a02
    memory: that its training takes on a CPU
    gflop: 1e9 multiplications and additions of the full net's convolutions for one photo of `sizes["full"]`
    weights_mb: of one of its weight files, 1e6 bytes
    extra_crop: whether training cuts a random window out of half of the crops
    threshold: pair scores above it are summed in this net's submission; None where it writes none
    first_weights: loaded by `--weights imagenet`; None where there are none
    shipped: first weights that come with the project; None where there are none
    untrained: whether it answers with these, trained on no photo of a root
    """

    name: str
    sizes: Mapping[str, int]
    folds: str
    weights: BestOf
    share: float
    build: Callable[[int, Path | str | None, str], SiameseNetwork]
    transforms: Callable[[], Transforms]
    memory: TrainingMemory
    gflop: float
    weights_mb: float
    extra_crop: bool = False
    threshold: float | None = None
    first_weights: FirstWeights | None = None
    shipped: ShippedWeights | None = None
    untrained: bool = False

    @cached_property
    def as_shipped(self) -> Net:
        """The card of the net as it answers untrained, at the size of `shipped` in every profile."""
        if self.shipped is None:
            raise ValueError(f"no weights of {self.name} come with the project")
        return replace(self, sizes=dict.fromkeys(self.sizes, self.shipped.size), untrained=True)

    @property
    def title(self) -> str:
        """What people call it."""
        return title_of(self.name)

    def operations(self, size: int) -> float:
        """Multiplications and additions of the full net's convolutions for one photo of `size` pixels."""
        return self.gflop * 1e9 * (size / self.sizes["full"]) ** 2

    def network(
        self, size: int, weights: Path | str | None, profile: str, precision: str | None = None
    ) -> SiameseNetwork:
        """A new network for photos of `size` pixels; `precision`: the branch's Keras policy or None.

        weights: a file, "imagenet", or "none" and None for random ones; None for `precision` is float32.
        """
        from whales.nets.network import computing_in

        with computing_in(precision or "float32"):
            return self.build(size, weights, profile)

    def fetch_first_weights(self, weights: Path | str | None, profile: str) -> None:
        """Have ImageNet's file at hand if `weights` asks for it: loading a framework takes half a minute.

        `UserError` where it cannot be had, or fits no net of this profile.
        """
        from whales.nets.network import check_profile

        if weights == "imagenet" and self.first_weights:
            check_profile(profile, weights, self.sizes)
            self.first_weights.fetch()

    def augmenter(self, anisotropy: float = ANISOTROPY, likelihood: float = 1.0) -> Augmenter:
        """A new augmenter with the net's transforms; the rest as `Augmenter` takes it."""
        from whales.photos.augment import Augmenter

        return Augmenter(self.transforms, self.extra_crop, anisotropy, likelihood)
