"""Photos in folders, one rule for import and identification: any depth, nothing hidden, the rest counted."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whales.base.errors import UserError, shown
from whales.files.names import quoted
from whales.photos.photos import PHOTO_SUFFIXES, RAW_SUFFIXES

# Endings of photos that nothing here reads; a film's frames are photos once they are taken out of it.
_OTHER_PHOTOS = (".jp2", ".jxl", ".psd", ".svg", ".pdf", ".gpr", ".x3f", ".3fr", ".iiq", ".heics")
_FILMS = (".mp4", ".mov", ".avi", ".mts", ".m4v", ".mkv")
_COMMON = (".jpg", ".png", ".tif", ".heic", ".dng")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
_MOST_NAMED = 8  # endings in a message


@dataclass(frozen=True)
class FolderPhotos:
    """What `photos_below` found. photos: sorted; others: ending (lower case) -> files that are no photos
    by their ending; paired: raw files left out, since a photo of the same name lies beside each; links:
    linked folders, which are not followed.
    """

    photos: list[Path]
    others: Mapping[str, int] = field(default_factory=dict)
    paired: int = 0
    links: int = 0

    def notes(self) -> list[str]:
        """A line for each kind of file that was left out, with what to do."""
        lines = []
        if self.paired:
            lines.append(
                f"{self.paired} raw files left out, since a photo of the same name lies beside each"
            )
        unread = {ending: n for ending, n in self.others.items() if ending in _OTHER_PHOTOS}
        films = {ending: n for ending, n in self.others.items() if ending in _FILMS}
        rest = {e: n for e, n in self.others.items() if e not in unread and e not in films}
        if unread:
            lines.append(f"{_counted(unread)} left out, which are not read: convert them to JPEG")
        if films:
            lines.append(f"{_counted(films)} left out, films: save the frames that count as JPEG")
        if rest:
            lines.append(f"{_counted(rest)} left out, files that are no photos by their ending")
        if self.links:
            lines.append(f"{self.links} linked folders left out: name the folders themselves")
        return lines


def photos_below(folder: Path, of_identities: bool = False) -> FolderPhotos:
    """What has a photo's ending at any depth of a folder; the content decides later.

    Hidden files and folders are not looked at, linked folders not followed. Of a raw file and a photo
    of the same name beside it the photo counts. A folder that ends like a photo is taken for one, which it
    will be refused as; of_identities: but for those of the first level, which are called as animals are.
    `UserError` for a folder that cannot be read.
    """

    def refuse(reason: OSError) -> None:
        raise UserError(f"folder {shown(reason.filename)} cannot be read ({reason.strerror})")

    photos: list[Path] = []
    others: Counter[str] = Counter()
    paired = links = 0
    for place, folders, files in os.walk(folder, onerror=refuse):
        named = [name for name in folders if _ending(name) in PHOTO_SUFFIXES]
        named = [] if of_identities and Path(place) == Path(folder) else named
        folders[:] = [name for name in folders if name[0] != "." and name not in named]
        links += sum(os.path.islink(os.path.join(place, name)) for name in folders)
        visible = [name for name in [*files, *named] if name[0] != "."]
        inside = [name for name in visible if _ending(name) in PHOTO_SUFFIXES]
        others.update(_ending(name) for name in visible if _ending(name) not in PHOTO_SUFFIXES)
        pictures = {_bare(name) for name in inside if _ending(name) not in RAW_SUFFIXES}
        kept = [n for n in inside if _ending(n) not in RAW_SUFFIXES or _bare(n) not in pictures]
        paired += len(inside) - len(kept)
        photos += [Path(place, name) for name in kept]
    return FolderPhotos(sorted(photos), others, paired, links)


def no_photo_in(folder: Path, found: FolderPhotos) -> str:
    """One line on a folder without any photo."""
    reasons = "; ".join(found.notes())
    return (
        f"folder {shown(folder)} holds no photo"
        f"{f' ({reasons})' if reasons else ''}; photos end in {', '.join(_COMMON)} and the like"
    )


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _bare(name: str) -> str:
    return os.path.splitext(name)[0].casefold()


def _counted(endings: Mapping[str, int]) -> str:
    most = sorted(endings.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count} {shown(ending) or 'without ending'}" for ending, count in most[:_MOST_NAMED]]
    rest = sum(count for _, count in most[_MOST_NAMED:])
    return ", ".join([*parts, f"{rest} others"] if rest else parts)


class PhotoNames:
    """Finds the photos below a folder by the names that tables give them.

    A name is that of a file as it stands; else the one file that has it in another Unicode form, in
    another case, or with another ending or none; a name without a folder may lie at any depth, and of an
    absolute path of another machine its end counts.
    `found_otherwise` counts the files that were found in another way than as they stand, by the way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found_otherwise: Counter[str] = Counter()
        self._files: list[str] | None = None
        self._by: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path:
        """The file of a name, / between folders; `UserError` (without a place) for none, or for several."""
        path = self.folder / name
        if os.path.lexists(path):  # what is there but no photo is seen when it is opened
            return path
        elsewhere = self._of_another_machine(name)
        if elsewhere:
            self.found_otherwise["machine"] += 1
            return self.folder / elsewhere
        for way, key in _WAYS.items():
            found = _preferred(self._index(way).get(key(name), []))
            if len(found) == 1:
                self.found_otherwise[way] += 1
                return self.folder / found[0]
            if found:
                several = ", ".join(map(shown, found[:3]))
                raise UserError(
                    f"photo {quoted(name)} could be {len(found)} files of {shown(self.folder)}, such as "
                    f"{several}; write the one that is meant, with its folder and ending"
                )
        raise UserError(
            f"photo {quoted(name)} is not in {shown(self.folder)}; put it there, or name the folder with "
            "--photos"
        )

    def _of_another_machine(self, name: str) -> str:
        """The longest end of an absolute path that is a file here, "" for none: `C:/Users/ann/2019/1.jpg`."""
        if not _ABSOLUTE.match(name):
            return ""
        parts = [part for part in name.split("/")[1:] if part]
        for begin in range(len(parts)):
            end = "/".join(parts[begin:])
            if ".." not in parts and os.path.lexists(self.folder / end):
                return end
            for way in _FORMS:
                found = _preferred(self._index(way).get(_WAYS[way](end), []))
                if len(found) == 1:
                    return found[0]
        return ""

    def notes(self) -> list[str]:
        """A line for each way in which files were found other than as they stand."""
        return [
            f"{count} photos found {_WORDS[way]}" for way, count in self.found_otherwise.items()
        ]

    def _index(self, way: str) -> Mapping[str, Sequence[str]]:
        if self._files is None:
            self._files = list(_names_below(self.folder))
        if way not in self._by:
            index: dict[str, list[str]] = {}
            for name in self._files:
                index.setdefault(_FILE_KEYS[way](name), []).append(name)
            self._by[way] = index
        return self._by[way]


class PhotosByName:
    """Finds photos of a list, from any folders, by the names that tables give them; as `PhotoNames` does."""

    def __init__(self, photos: Iterable[Path]) -> None:
        self._by: dict[str, dict[str, list[Path]]] = {way: {} for way in ("", *_FORMS)}
        for photo in dict.fromkeys(photos):
            for way, index in self._by.items():
                index.setdefault(_form(way, photo.name), []).append(photo)

    def find(self, name: str) -> list[Path]:
        """The photos that a name may mean: with its folders, if it has some, else in any folder."""
        name = name.replace("\\", "/").removeprefix("./")
        ends = [name]
        if _ABSOLUTE.match(name):  # perhaps of another machine: the longest end that fits
            parts = [part for part in name.split("/")[1:] if part]
            ends = ["/".join(parts[begin:]) for begin in range(len(parts))]
        for end in ends:
            for way, index in self._by.items():
                wanted = f"/{_form(way, end)}"
                near = index.get(_alone(wanted), [])
                found = [p for p in near if f"/{_form(way, p.as_posix())}".endswith(wanted)]
                if found:
                    return found
        return []


def _form(way: str, name: str) -> str:
    return _WAYS[way](name) if way else name


def _preferred(names: Sequence[str]) -> Sequence[str]:
    """Of a raw file and a photo of one name the photo."""
    pictures = [name for name in names if _ending(name) not in RAW_SUFFIXES]
    return pictures if len(pictures) == 1 else names


def _names_below(folder: Path) -> Iterable[str]:
    """Visible photos of a folder, / between folders; none where it cannot be read."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(files):
            if name[0] != "." and _ending(name) in PHOTO_SUFFIXES:
                yield Path(place, name).relative_to(folder).as_posix()


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())


def _without_ending(name: str) -> str:
    front, ending = os.path.splitext(_folded(name))
    # `IMG.0301` has no ending but a dot.
    return front if ending in PHOTO_SUFFIXES else _folded(name)


def _alone(key: str) -> str:
    return key.rsplit("/", 1)[-1]


# Ways that hold for a file in the folder that its name says.
_FORMS = ("form", "case", "ending")
# From the nearest to the farthest; a name with a folder never lies in another one.
_WAYS = {
    "form": _composed,
    "case": _folded,
    "ending": _without_ending,
    "depth": lambda name: _folded(name) if "/" not in name else "",
    "depth and ending": lambda name: _without_ending(name) if "/" not in name else "",
}
_FILE_KEYS = {
    "form": _composed,
    "case": _folded,
    "ending": _without_ending,
    "depth": lambda name: _alone(_folded(name)),
    "depth and ending": lambda name: _alone(_without_ending(name)),
}
_WORDS = {
    "machine": "by the end of a path of another machine",
    "form": "by another form of their letters (Unicode)",
    "case": "by another case of their letters",
    "ending": "by another ending, or none in the table",
    "depth": "in folders below",
    "depth and ending": "in folders below, by another ending, or none in the table",
}
