"""The fold recipe: four splits of the training photos into train and validation (method, section 2).

The legacy NumPy random stream is the contract here: NumPy guarantees that `RandomState` never changes,
so equal tables give equal folds on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

import numpy as np

from whales.base.errors import UserError
from whales.files.labels import NEW_WHALE, check_labelled, stem

FOLDS = 4
# Share of `new_whale` among a fold's validation photos, as on the public leaderboard.
NEW_WHALE_SHARE = 0.276

Fold = dict[str, list[str]]  # photo names under 'train' and 'val'


class FoldRecipe:
    """Shuffled photo lists of all identities, from which several families of folds are made.

    Making folds shuffles the lists of identities with three photos in place; the next family made
    from the same recipe starts from those lists, as the published script did.
    """

    def __init__(self, photos: dict[str, list[str]]) -> None:
        """`photos`: identity (`new_whale` included) -> photo names, both in file order."""
        self.photos = {identity: list(names) for identity, names in photos.items()}
        stream = np.random.RandomState(100)
        for names in self.photos.values():
            stream.shuffle(names)
        self.new_whales = list(self.photos.get(NEW_WHALE, []))
        np.random.RandomState(1000).shuffle(self.new_whales)
        stream = np.random.RandomState(10000)
        self._part_order = {
            identity: stream.choice([0, 1, 2, 3], 4, replace=False)
            for identity, names in self.photos.items()
            if len(names) > 3
        }

    def make(self, counter: int) -> dict[str, Fold]:
        """One family of folds: `fold_0` .. `fold_3` -> {'train': names, 'val': names}.

        `counter`: number before the first seed that fold 3 gives to identities of three photos: 100
        for v1, 200 for v2, 0 for the kernel net.
        """
        batch = len(self.new_whales) // FOLDS
        folds: dict[str, Fold] = {}
        for fold in range(FOLDS):
            train: list[str] = []
            valid: list[str] = []
            for identity, names in self.photos.items():
                if identity == NEW_WHALE or len(names) < 2:
                    continue
                if len(names) == 3 and fold == 3:
                    counter += 1
                    np.random.RandomState(counter).shuffle(names)
                held_out = self._held_out(identity, fold)
                valid += [name for name in names if name in held_out]
                train += [name for name in names if name not in held_out]
            train.sort()
            count = int(len(valid) / (1 - NEW_WHALE_SHARE) * NEW_WHALE_SHARE)
            valid += self.new_whales[fold * batch : (fold + 1) * batch][:count]
            if set(train) & set(valid):
                raise RuntimeError(f"fold {fold}: train and valid overlap")
            folds[f"fold_{fold}"] = {"train": train, "val": valid}
        return folds

    def _held_out(self, identity: str, fold: int) -> set[str]:
        """Photos of one identity (of two photos or more) that validate this fold."""
        # This import takes a second, and most callers split nothing.
        from sklearn.model_selection import KFold

        names = self.photos[identity]
        if len(names) == 2:
            return set()
        if len(names) == 3:
            return {names[fold if fold < 3 else 0]}
        splits = list(KFold(FOLDS).split(names))
        _, held_out = splits[self._part_order[identity][fold]]
        return {names[index] for index in held_out}


def require_fold(folds: object, fold: int, source: object) -> Fold:
    """The fold of that number, from 0.

    source: of the folds, for the message. `UserError` where the fold or one of its two lists of names is
    absent.
    """
    key = f"fold_{fold}"
    split = folds.get(key) if isinstance(folds, dict) else None
    sound = isinstance(split, dict) and all(
        _are_names(split.get(part)) for part in ("train", "val")
    )
    if not sound:
        raise UserError(f"{source} holds no {key} with 'train' and 'val'; run the fold stage again")
    return split


def checked_fold(
    folds: object, fold: int, source: object, identity_of: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Stems of the photos that a fold trains on and of those that it holds out, in file order.

    identity_of: stem -> identity of train.csv. `UserError` as `require_fold` and `check_split`, and naming
    the photo, where one is not in train.csv, or one to train on is of no identity.
    """
    split = require_fold(folds, fold, source)
    train, valid = ([stem(name) for name in split[part]] for part in ("train", "val"))
    check_split(train, valid, f"fold_{fold}", source)
    check_labelled(valid + train, identity_of, source)
    strangers = [name for name in train if identity_of[name] == NEW_WHALE]
    if strangers:
        raise UserError(
            f"{source}: photo {strangers[0]} in train of fold_{fold} is {NEW_WHALE} in train.csv; "
            "run the fold stage again"
        )
    return train, valid


def check_split(train: object, valid: object, key: str, source: object) -> None:
    """`UserError` naming the photo where two lists of names (stems) hold one twice; key: of the split."""
    part_of: dict[str, str] = {}
    for part, names in (("train", train), ("valid", valid)):
        if not _are_names(names):
            raise UserError(
                f"{source}: {part} of {key} is no list of photo names; run the fold stage again"
            )
        for name in names:
            if name in part_of:
                where = f"twice in {part}" if part_of[name] == part else "in train and in valid"
                raise UserError(
                    f"{source}: photo {name} is {where} of {key}; run the fold stage again"
                )
            part_of[name] = part


def _are_names(value: object) -> TypeGuard[list[str] | tuple[str, ...]]:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
