"""The fold recipe: four splits of the training photos into train and validation (method, section 2).

The legacy NumPy random stream is the contract here: NumPy guarantees that `RandomState` never changes,
so equal tables give equal folds on every machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np

from whales.base.errors import UserError
from whales.base.pickles import load
from whales.files.labels import NEW_WHALE, check_labelled, stem
from whales.files.sides import NO_SIDES, Sides

FOLDS = 4
# Share of `new_whale` among a fold's validation photos, as on the public leaderboard.
NEW_WHALE_SHARE = 0.276

Fold = dict[str, list[str]]  # photo names under 'train' and 'val'


class FoldRecipe:
    """Shuffled photo lists of all identities, from which several families of folds are made.

    Making folds shuffles the lists of identities with three photos in place; the next family made
    from the same recipe starts from those lists, as the published script did.
    """

    def __init__(self, photos: dict[str, list[str]], sides: Sides = NO_SIDES) -> None:
        """`photos`: identity (`new_whale` included) -> photo names, both in file order.

        sides: a photo that can be compared with no other of its identity counts as an identity of one photo.
        """
        names = [name for group in photos.values() for name in group]
        self._sides = sides.of_files(names)
        self.photos = _comparable(photos, self._sides)
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
                kept = [name for name in names if name not in held_out]
                # Nobody could answer a photo whose side the fold does not train on: it trains.
                held_out = {name for name in held_out if _meets(name, kept, self._sides)}
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


def _comparable(photos: Mapping[str, Sequence[str]], sides: Sides) -> dict[str, list[str]]:
    """Identity -> photos without those whose side no other photo of it shows; all without sides."""
    return {
        who: sides.comparable(names) if sides and who != NEW_WHALE else list(names)
        for who, names in photos.items()
    }


def _meets(name: str, others: Sequence[str], sides: Sides) -> bool:
    return any(sides.like(name, other) for other in others)


def _are_names(value: object) -> TypeGuard[list[str] | tuple[str, ...]]:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def extended_folds(
    folds: Mapping[str, Fold],
    photos: Mapping[str, Sequence[str]],
    ending: str,
    sides: Sides = NO_SIDES,
) -> dict[str, Fold]:
    """Folds that go on as the catalogue grows: photos that are in them keep their part.

    A photo that is in none is held out by one fold, that which holds out the fewest photos of its identity,
    if two stay there to train on; else all folds train on it. An identity of one photo is in no fold, as in
    the recipe, and neither are photos that are of no identity any more; of unlike sides as in the recipe.
    folds: as the recipe makes them; photos: identity -> stems of its boxed photos, in file order; ending: of
    the names in the folds. Names in train are sorted, in val new ones stand at the end.

    >>> old = {f"fold_{f}": {"train": ["a.npy", "b.npy"], "val": []} for f in range(4)}
    >>> new = extended_folds(old, {"w": ["a", "b", "c"]}, ".npy")
    >>> new["fold_0"], new["fold_1"]["train"]
    ({'train': ['a.npy', 'b.npy'], 'val': ['c.npy']}, ['a.npy', 'b.npy', 'c.npy'])
    """
    photos = _comparable(photos, sides)
    identity_of = {name: who for who, names in photos.items() for name in names}
    single = {name for who, names in photos.items() if len(names) < 2 for name in names}
    single -= {*photos.get(NEW_WHALE, ())}
    result: dict[str, Fold] = {}
    for key, split in folds.items():
        known = {"train": {*identity_of} - single - {*photos.get(NEW_WHALE, ())}}
        known["val"] = {*identity_of} - single
        result[key] = {
            part: [name for name in names if stem(name) in known[part]]
            for part, names in split.items()
        }
    for who, names in photos.items():
        if who != NEW_WHALE and len(names) > 1:
            _place(result, names, ending, sides)
    for split in result.values():
        split["train"].sort()
    return result


def _place(folds: Mapping[str, Fold], names: Sequence[str], ending: str, sides: Sides) -> None:
    """Put those photos of one identity (stems, two or more) into the folds that these lack."""
    held_out = {key: {stem(n) for n in split["val"]} & {*names} for key, split in folds.items()}
    trained = {key: {stem(n) for n in split["train"]} & {*names} for key, split in folds.items()}
    for name in names:
        absent = [key for key in folds if name not in held_out[key] | trained[key]]
        somewhere = any(name in held for held in held_out.values())
        mates = {other for other in names if other != name and sides.like(name, other)}
        free = [key for key in absent if len(mates - held_out[key]) > 1]
        chosen = None
        if free and not somewhere and len(absent) == len(folds):
            chosen = min(free, key=lambda key: len(held_out[key]))
        for key in absent:
            part, members = ("val", held_out) if key == chosen else ("train", trained)
            folds[key][part].append(f"{name}{ending}")
            members[key].add(name)


def detector_held_out(
    path: Path, known: Collection[str], number: int | None = None
) -> dict[int, list[str]]:
    """Fold of the detector (from 1) -> the training photos (stems) that it holds out.

    path: of the pairs of train and valid names; known: stems of train.csv; number: of folds, None for any.
    `UserError` naming the photo where a split is not sound, or is of another train.csv.
    """
    content, advice = load(path), "run retinanet/r10_create_csv_for_retinanet.py again"
    whole = isinstance(content, list | tuple) and len(content) == (number or len(content))
    if not whole or not all(isinstance(s, list | tuple) and len(s) == 2 for s in content):
        folds = "" if number is None else f"{number} "
        raise UserError(f"{path}: expected {folds}pairs of train and valid; {advice}")
    held_out: dict[int, list[str]] = {}
    for fold, (train, valid) in enumerate(content, start=1):
        check_split(train, valid, f"fold {fold}", path)
        held_out[fold] = [stem(name) for name in valid]
        strange = [name for name in map(stem, (*train, *valid)) if name not in known]
        if strange:
            raise UserError(f"{path}: photo {strange[0]} is not in train.csv; {advice}")
    return held_out
