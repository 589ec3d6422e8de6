"""What a net was taught on: kept in its weight file, so that it is known wherever the file is copied to.

A file of the authors is known by its content. Of any other file that does not say, nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from whales.base.plain_hdf5 import open_hdf5
from whales.base.plain_json import JSONFaultError, parse_json
from whales.files.published import PUBLISHED, content_ids
from whales.files.workspace import Workspace

ATTRIBUTE = "taught_on"  # of a weight file; text, JSON
_LONGEST = 10_000  # characters of it
IMAGENET, BY_THE_AUTHORS, UNKNOWN = "imagenet", "published", "unknown"
_WORDS = {
    IMAGENET: "ImageNet",
    BY_THE_AUTHORS: "the competition's real photos (published weights)",
    UNKNOWN: "photos that are not known",
}
_PUBLISHED_NAMES = {Path(file.place).name for file in PUBLISHED.values()}


class Lesson(NamedTuple):
    """The photos of one training: how many, of how many identities, and whether they are generated."""

    photos: int
    identities: int
    generated: bool


# What a net was taught, in order: a `Lesson`, or a word for weights from elsewhere.
Teaching = tuple[Lesson | str, ...]


def lesson(workspace: Workspace, identity_of: dict[str, str]) -> Lesson:
    """The lesson of a training; identity_of: stem -> identity of its photos.

    Photos are generated where the work root is the generator's.
    """
    generated = workspace.file("sample").exists()
    return Lesson(len(identity_of), len(set(identity_of.values())), generated)


def teaching_after(start: Path | str | None, now: Lesson) -> Teaching:
    """What a net was taught that began with these weights, after one more lesson.

    start: a file, "imagenet", or "none" and None for random ones.
    """
    before: Teaching = ()
    if start == "imagenet":
        before = (IMAGENET,)
    elif start not in (None, "none"):
        before = teaching_of(Path(start))
    return (
        before if before[-1:] == (now,) else (*before, now)
    )  # plans of one chain share their photos


def written(teaching: Teaching) -> str:
    """A teaching as a weight file keeps it.

    >>> written((IMAGENET, Lesson(9, 4, True)))
    '["imagenet", {"photos": 9, "identities": 4, "generated": true}]'
    """
    return json.dumps([part if isinstance(part, str) else part._asdict() for part in teaching])


def teaching_of(path: Path) -> Teaching:
    """What the weight file says of its net; the one word UNKNOWN where it says nothing sound.

    `UserError` where the file is missing or damaged.
    """
    with open_hdf5(path, "weight file") as file:
        kept = file.attrs.get(ATTRIBUTE)
    if isinstance(kept, str) and len(kept) <= _LONGEST:
        return _read(kept)
    # Only a file that is called like one is read as a whole.
    if path.name in _PUBLISHED_NAMES and content_ids(path).blob in PUBLISHED:
        return (BY_THE_AUTHORS,)
    return (UNKNOWN,)


def _read(text: str) -> Teaching:
    try:
        parts = parse_json(text)
    except JSONFaultError:
        parts = None
    if not isinstance(parts, list) or not parts:
        return (UNKNOWN,)
    return tuple(_part(part) for part in parts)


def _part(part: object) -> Lesson | str:
    if isinstance(part, dict) and {*part} == {*Lesson._fields}:
        found = Lesson(**part)
        counts = found.photos, found.identities
        if all(type(count) is int and count >= 0 for count in counts) and (
            type(found.generated) is bool
        ):
            return found
    return part if isinstance(part, str) and part in _WORDS else UNKNOWN


def generated_alone(teachings: Iterable[Teaching]) -> bool:
    """Whether all whales that any of these weights have seen were generated ones."""
    parts = [part for teaching in teachings for part in teaching if part != IMAGENET]
    return bool(parts) and all(isinstance(part, Lesson) and part.generated for part in parts)


def in_words(teachings: Sequence[Teaching]) -> str:
    """What the weights of a net's folds were taught on, for people.

    >>> in_words([(Lesson(30, 9, True), Lesson(80, 20, True)), (Lesson(30, 9, True), Lesson(78, 20, True))])
    '30 generated photos of 9 individuals, then 78 to 80 generated photos of 20 individuals'
    >>> in_words([(UNKNOWN,), (BY_THE_AUTHORS,)])
    "photos that are not known, or the competition's real photos (published weights)"
    """
    kinds: dict[tuple[str, ...], list[Teaching]] = {}
    for teaching in teachings:
        kind = tuple(
            part if isinstance(part, str) else f"lesson {part.generated}" for part in teaching
        )
        kinds.setdefault(kind, []).append(teaching)
    return ", or ".join(
        ", then ".join(map(_together, zip(*alike, strict=True))) for alike in kinds.values()
    )


def _together(parts: Sequence[Lesson | str]) -> str:
    """One lesson of several folds, which are of one kind."""
    lessons = [part for part in parts if isinstance(part, Lesson)]
    if not lessons:
        return _WORDS[str(parts[0])]
    photos = _range([part.photos for part in lessons])
    kind = "generated photos" if lessons[0].generated else "photos"
    return f"{photos} {kind} of {_range([part.identities for part in lessons])} individuals"


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
