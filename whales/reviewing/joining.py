"""Photos that people decide to be of one new individual: what it is called, and all photos that it joins."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from whales.base.errors import UserError
from whales.base.folders import look
from whales.files.decisions import NEW, Decision, last_of_each
from whales.files.names import cleaned
from whales.reviewing.identities import checked_new_name

USUAL_PATTERN = (
    "new_####"  # as `whales.reviewing.relabelling.NEW_IDENTITY` numbers those without a name
)


@dataclass(frozen=True)
class NamePattern:
    """How new individuals are called that nobody named; text: `#` stand for the digits of a number.

    `UserError` for a pattern without a number, or whose names would be none.

    >>> pattern = NamePattern("MX-##")
    >>> pattern.free(["mx-01"]), pattern.made("MX-117"), pattern.made("MX-Luna")
    ('MX-02', True, False)
    """

    text: str = USUAL_PATTERN

    def __post_init__(self) -> None:
        if len(re.findall("#+", self.text)) != 1 or len(self.text) > 60:
            raise UserError(
                f"--new-names is a name with one number, such as {USUAL_PATTERN}; received {self.text}"
            )
        checked_new_name(self._name(1), ())

    def free(self, taken: Iterable[str]) -> str:
        """The first name that looks like none of those taken."""
        looks = {*map(look, taken)}
        return next(name for name in map(self._name, count(1)) if look(name) not in looks)

    def made(self, name: str) -> bool:
        """Whether a name is one of the pattern's, which nobody thought of."""
        before, after = map(re.escape, re.split("#+", self.text))
        return re.fullmatch(rf"{before}\d+{after}", name) is not None

    def _name(self, number: int) -> str:
        return re.sub("#+", lambda marks: f"{number:0{len(marks[0])}}", self.text)


def given_names(stack: Sequence[Decision]) -> list[str]:
    """The names that people's last decisions on a photo give a new individual, each once."""
    names = [cleaned(r.candidate) for r in last_of_each(stack).values() if r.decision == NEW]
    return list(dict.fromkeys(filter(None, names)))


def join(
    photos: Sequence[int],
    stacks: Mapping[int, Sequence[Decision]],
    taken: Collection[str],
    pattern: NamePattern,
    given: str = "",
) -> tuple[str, list[int]]:
    """The name of the one new individual that photos show, and the photos that have to be decided for it.

    All photos that are joined to one of them already come along, and keep their name, if they have one; those
    that are of that name already are left out. photos: indices; stacks: index of a photo -> its standing
    decisions; taken: names that a made one must not look like; given: what people call it. `UserError` where
    two of the photos have names that people gave, and none is `given`.
    """
    names_of = {index: given_names(stack) for index, stack in stacks.items()}
    names = list(dict.fromkeys(name for index in photos for name in names_of.get(index, [])))
    name = given or _common(names, pattern) or pattern.free(taken)
    looks = {look(other) for other in (name, *names)}
    others = [
        index
        for index, mine in sorted(names_of.items())
        if index not in photos and any(look(one) in looks for one in mine)
    ]
    return name, [index for index in (*photos, *others) if names_of.get(index) != [name]]


def _common(names: Sequence[str], pattern: NamePattern) -> str:
    """The name that people gave, else the first that was made; "" for none."""
    thought_of = [name for name in names if not pattern.made(name)]
    if len({*map(look, thought_of)}) > 1:
        raise UserError(
            f"these photos have names already, {' and '.join(thought_of)}; type the one that all are to have"
        )
    return next(iter([*thought_of, *sorted(names)]), "")
