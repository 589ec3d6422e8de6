"""Individuals of the catalogue merged, split and renamed, with a trace of every photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count

from whales.base.errors import UserError
from whales.base.folders import look, unique_names
from whales.files.changes import MERGE, RENAME, SPLIT, Change, next_number, read_changes
from whales.files.dataset import training_identities
from whales.files.decisions import now
from whales.files.import_table import UNMATCHED, imported
from whales.files.labels import NEW_WHALE, stem, with_jpg
from whales.files.names import cleaned, means_new_whale, quoted
from whales.files.workspace import Workspace
from whales.reviewing.catalogue_edits import Relabelled
from whales.reviewing.relabelling import NEW_IDENTITY, taken_identities

Planned = tuple[Relabelled, list[Change]]


class Individuals:
    """The identities of train.csv, found as people or as the tables write them."""

    def __init__(self, workspace: Workspace, who: str) -> None:
        """who: gives the command."""
        self.workspace, self.who = workspace, who
        self.labels = training_identities(workspace)
        self.written = {
            row["Id"]: row["identity"] for row in imported(workspace).values() if row["identity"]
        }
        self._known = {*self.labels.values()} - {NEW_WHALE}
        self._number = str(next_number(read_changes(workspace)))

    def named(self, text: str) -> str:
        """The identity that is called so; `UserError` for none, or for two of them."""
        hits = called(text, self._known, self.written)
        if len(hits) != 1:
            close = sorted(who for who in self._known if look(who) == look(text))
            hint = f"; there is {close[0]}" if close else ""
            raise UserError(f"{quoted(text)} is no identity of train.csv{hint}")
        return hits[0]

    def photos(self, identity: str) -> list[str]:
        """Stems of an identity's photos, in file order."""
        return [name for name, who in self.labels.items() if who == identity]

    def merge(self, keep: str, others: Sequence[str]) -> Planned:
        """All photos of `others` become those of `keep`."""
        kept, gone = self.named(keep), [self.named(other) for other in others]
        twice = [who for who, times in Counter([kept, *gone]).items() if times > 1]
        if twice:
            raise UserError(f"{twice[0]} is named twice; name each individual once")
        moved = {name: kept for other in gone for name in self.photos(other)}
        wanted = Relabelled(moved, whole=dict.fromkeys(gone, kept))
        return wanted, self._trace(MERGE, moved, self.written.get(kept, kept))

    def rename(self, old: str, new: str) -> Planned:
        """An individual is called otherwise: as `new` in exports, and by a safe name of it in train.csv."""
        identity = self.named(old)
        name, fresh = self._new_name(new, besides=identity)
        moved = dict.fromkeys(self.photos(identity), fresh)
        if (fresh, name) == (identity, self.written.get(identity, identity)):
            raise UserError(f"{quoted(old)} is called so already")
        wanted = Relabelled(moved, whole={identity: fresh}, names={fresh: name})
        return wanted, self._trace(RENAME, moved, name)

    def split(self, identity: str, photos: Sequence[str], name: str | None = None) -> Planned:
        """Some photos of an individual, or of `new_whale`, become another one's.

        name: of a new individual (None: a number), or of one that is known.
        """
        whose = NEW_WHALE if means_new_whale(identity) else self.named(identity)
        stems = list(dict.fromkeys(map(stem, photos)))
        for each in stems:
            if self.labels.get(each) != whose:
                said = self.labels.get(each, "no photo of train.csv")
                raise UserError(f"photo {quoted(each)} is not of {whose}: it is {said}")
        if whose != NEW_WHALE and len(stems) == len(self.photos(whose)):
            raise UserError(f"these are all photos of {whose}; rename or merge it instead")
        wanted = Relabelled()
        if name is None:
            looks = {look(other) for other in taken_identities(self.workspace)}
            names = map(NEW_IDENTITY.format, count(1))
            target = shown = next(n for n in names if look(n) not in looks)
            wanted.names[target] = shown
        elif name in self._known or name in self.written.values():
            target = self.named(name)
            shown = self.written.get(target, target)
        else:
            shown, target = self._new_name(name)
            wanted.names[target] = shown
        if target == whose:
            raise UserError(f"the photos are of {whose} already; give another name")
        wanted.identity_of = dict.fromkeys(stems, target)
        return wanted, self._trace(SPLIT, wanted.identity_of, shown)

    def _new_name(self, text: str, besides: str = "") -> tuple[str, str]:
        """A name as people write it, and the identity for it; `UserError` where another one is called so."""
        others = taken_identities(self.workspace) - {besides, self.written.get(besides, "")}
        name = checked_new_name(text, others)
        [identity] = unique_names([name], {*others, NEW_WHALE, UNMATCHED})
        return name, identity

    def _trace(self, kind: str, moved: Mapping[str, str], name: str) -> list[Change]:
        when = now()
        return [
            Change(self._number, when, self.who, kind, with_jpg(p), self.labels[p], who, name)
            for p, who in moved.items()
        ]


def called(text: str, known: Iterable[str], written: Mapping[str, str]) -> list[str]:
    """The identities among `known` that a name may mean, as the tables write it before as people do.

    written: identity -> what people call it.

    >>> called("a", ["a", "b", "c"], {"b": "a", "c": "d"}), called("d", ["a", "c"], {"c": "d"})
    (['a'], ['c'])
    """
    hits = [who for who in known if text in (who, written.get(who))]
    exact = [who for who in hits if who == text]
    return exact or hits


def checked_new_name(text: str, taken: Collection[str]) -> str:
    """A new individual's name as people write it; `UserError` where it is none, or looks like a taken one."""
    name = cleaned(text)
    if not any(letter.isalnum() for letter in name) or means_new_whale(name):
        raise UserError(
            f"{quoted(text)} is no name for an individual; give one with a letter or digit"
        )
    twin = next((other for other in taken if look(other) == look(name)), None)
    if twin is not None:
        raise UserError(
            f"{quoted(name)} is taken (there is {twin}); merge the two, or give another name"
        )
    return name


def summary(trace: Sequence[Change]) -> list[str]:
    """Lines for people on what becomes of the photos."""
    groups = Counter((row.before, row.after, row.name) for row in trace)
    return [
        f"{photos} photos of {before} become {after}" + (f" ({name})" if name != after else "")
        for (before, after, name), photos in groups.items()
    ]
