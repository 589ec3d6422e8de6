"""What looks odd in the identities of a data set: said before anything is written, mended by people."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from whales.base.folders import look
from whales.exchange.columns import Form
from whales.exchange.records import Record
from whales.files.import_table import TEST, TRAIN
from whales.files.labels import NEW_WHALE
from whales.files.names import cleaned, quoted
from whales.files.sides import odd_words, side_column

_MOST = 5  # examples of a kind
_USUAL_WORDS = ("newwhale", "unknown", "unmatched")  # that everybody means by them
_YEAR = re.compile(
    r"(?:(?:season|saison|year|summer|winter|spring|autumn|fall)?[ _-]*)"
    r"(?:19|20)\d\d(?:[ _.-]*(?:\d\d?|(?:19|20)\d\d|season|summer|winter|spring|autumn|fall|[a-z]{3,9}))*",
    re.IGNORECASE,
)
_SEASON = re.compile(
    r"(?:season|summer|winter|spring|autumn|fall|trip|survey|day|week|month|leg|card|cam(?:era)?|site|area|"
    r"zone|block|station|transect)[ _-]*\d*",
    re.IGNORECASE,
)
_PARTS = re.compile(
    r"(?:left|right|l|r|lhs|rhs|top|front|back|dorsal|ventral|fin|fluke|flukes|tail|head|face|body|side|"
    r"flank|good|bad|best|other|others|raw|jpg|jpeg|edited|cropped|crops?|originals?|photos?|images?)"
    r"(?:[ _-]*\w+)?",
    re.IGNORECASE,
)
_UNSURE = re.compile(r"(?:unk|unknown|unid|unidentified|new|nn)[ _.-]*\d+", re.IGNORECASE)
_DOUBT = re.compile(r"\?|^(?:cf|prob|probably|poss|possibly|maybe|perhaps|likely)\b", re.IGNORECASE)
_CODE = re.compile(r"-\d+(?:\.0)?")
_FEW_PHOTOS = 20  # fewer say little about all


def odd_identities(records: Sequence[Record], form: Form) -> list[str]:
    """A line for each kind of oddity, with examples, where they are, and the option that helps.

    records: checked, so that equal pixels are known. Nothing is odd about photos of nobody known.
    """
    named = [r for r in records if r.identity not in ("", NEW_WHALE)]
    return [
        *_unknown(records),
        *_unseen_differences(named),
        *_alike(named),
        *_levels(named, form),
        *_columns(named, form),
        *_equal(records),
        *_parts(named),
        *odd_words(carried_sides(records)),
    ]


def carried_sides(records: Sequence[Record]) -> list[tuple[str, str]]:
    """The word for its side and the place of each photo; empty where no column says the sides.

    `UserError` where several columns do.
    """
    columns = dict.fromkeys(column for record in records for column in record.carried)
    column = side_column(columns, "the photos' tables")
    return [(r.carried.get(column, ""), r.where) for r in records] if column else []


def _unknown(records: Sequence[Record]) -> Iterable[str]:
    """Words taken for none of the known, but for those that everybody uses; and names that sound like it."""
    words: Counter[str] = Counter()
    first: dict[str, str] = {}
    for record in records:
        text = record.written
        if text and record.identity == NEW_WHALE and _bare(text) not in _USUAL_WORDS:
            words[text] += 1
            first.setdefault(text, record.where)
    if words:
        yield (
            f"{sum(words.values())} photos are of nobody known, since their identity is a word for that: "
            f"{_examples(words, first)}; --known WORD keeps one that is a name"
        )
    names: dict[str, str] = {}
    for record in records:
        if record.identity not in ("", NEW_WHALE):
            names.setdefault(record.identity, record.where)
    unsure = [name for name in names if _UNSURE.fullmatch(name) or _CODE.fullmatch(name)]
    doubtful = [name for name in names if _DOUBT.search(name) or _several_of(name, names)]
    if doubtful:
        yield (
            f"identities that say that they are not certain, or name several animals: {_listed(doubtful)} "
            f"(the first in {names[doubtful[0]]}); --unknown WORD .. takes them for nobody known, else they "
            "are animals"
        )
    if unsure:
        yield (
            f"identities that may mean nobody known: {_listed(unsure)} (the first in {names[unsure[0]]}); "
            "--unknown WORD .. says so, else they are animals"
        )


def _several_of(name: str, names: Collection[str]) -> bool:
    parts = [part.strip() for part in re.split(r"[/&+]|\bor\b|\band\b", name)]
    return len(parts) > 1 and all(part in names for part in parts)


def _unseen_differences(named: Sequence[Record]) -> Iterable[str]:
    """Names that were made one, since they differ by what nobody sees."""
    written: dict[str, dict[str, str]] = defaultdict(dict)
    for record in named:
        if record.written:
            written[record.identity].setdefault(record.written, record.where)
    for name, forms in written.items():
        if len(forms) > 1:
            where = " and ".join(list(forms.values())[:2])
            yield (
                f"identity {quoted(name)} is written in {len(forms)} ways that look the same (blanks, unseen "
                f"characters, Unicode forms), taken for one animal: {where}"
            )


def _alike(named: Sequence[Record]) -> Iterable[str]:
    """Names that differ by case, blanks, punctuation, or forms of letters alone."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for record in named:
        groups[_near(record.identity)].setdefault(record.identity, record.where)
    counts = Counter(record.identity for record in named)
    alike = [names for names in groups.values() if len(names) > 1]
    if not alike:
        return
    shown = [
        " / ".join(f"{quoted(name)} ({counts[name]})" for name in names) for names in alike[:_MOST]
    ]
    first = " and ".join(list(alike[0].values())[:2])
    more = f", .. ({len(alike)} in all)" if len(alike) > _MOST else ""
    yield (
        "identities that differ by case, blanks, marks, accents or zeros in front alone, taken for "
        f"different animals: {'; '.join(shown)}{more}; the first in {first}; --same-names takes such for one"
    )


def merge_alike(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """The records with names that are alike made one, that of most photos; a line for each that was changed.

    Among names of equally many photos the first counts.
    """
    counts = Counter(r.identity for r in records if r.identity not in ("", NEW_WHALE))
    best: dict[str, str] = {}
    for name, number in counts.items():
        key = _near(name)
        if key not in best or number > counts[best[key]]:
            best[key] = name
    changed = {name: best[_near(name)] for name in counts if best[_near(name)] != name}
    lines = [f"{quoted(name)} is taken for {quoted(other)}" for name, other in changed.items()]
    merged = [
        replace(r, identity=changed[r.identity], written=changed[r.identity])
        if r.identity in changed
        else r
        for r in records
    ]
    return merged, lines


def _levels(named: Sequence[Record], form: Form) -> Iterable[str]:
    """Folders of years, seasons or sites taken for animals."""
    inside: dict[str, set[str]] = defaultdict(set)
    level = form.identity_level
    for record in named:
        place = level - 1 if level > 0 else len(record.folders) + level
        below = record.folders[place + 1 : place + 2] if record.folders else ()
        if record.folders and level > 0:
            inside[record.identity] |= {*below}
    names = list(dict.fromkeys(record.identity for record in named))
    years = [name for name in names if _YEAR.fullmatch(name) or _SEASON.fullmatch(name)]
    folders = Counter(child for children in inside.values() for child in children)
    repeated = [
        child
        for child, count in folders.items()
        if count > 1 and not any(p.fullmatch(child) for p in (_YEAR, _SEASON, _PARTS))
    ]
    many = len(years) > 1 and 2 * len(years) >= len(names)
    deeper = f"--identity-level {level + 1}"
    if repeated:
        kind = "look like years or seasons" if many else "may be seasons or sites"
        yield (
            f"the folders {_listed(names)} {kind}, since the folders in them repeat ({_listed(repeated)}): "
            f"if those are the animals, {deeper} takes them"
        )
    elif many:
        deeper = f", or {deeper} for the folders in them" if any(inside.values()) else ""
        option = (
            f"--identity-level takes another folder{deeper}" if inside else "see --identity-column"
        )
        yield f"identities look like years or seasons: {_listed(years)}; {option}"


def _columns(named: Sequence[Record], form: Form) -> Iterable[str]:
    """Columns that are likely not those of the identity."""
    counts = Counter(record.identity for record in named)
    if len(named) >= 6 and len(counts) == 1:
        columns = list(named[0].carried)
        others = f" (there are {', '.join(columns[:12])})" if columns else ""
        yield (
            f"all {len(named)} photos are of one identity, {quoted(named[0].identity)}; if it is a species "
            f"or a kind of box, name the column of the identity with --identity-column{others}"
        )
    if len(named) >= _FEW_PHOTOS and len(counts) == len(named):
        yield (
            f"no two of {len(named)} photos are of one identity; if these are numbers of photos, name the "
            "column of the identity with --identity-column"
        )


def _equal(records: Sequence[Record]) -> Iterable[str]:
    """Photos of equal pixels that are said to show different animals, or lie in train and test."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.pixels:
            groups[record.pixels].append(record)
    clashes, leaks = [], []
    for group in groups.values():
        paths: dict[Path, Record] = {record.path: record for record in group}
        if len(paths) < 2:
            continue  # two animals in one photo
        names = {r.identity for r in paths.values() if r.identity}
        if len(names) > 1:
            clashes.append(list(paths.values()))
        elif {r.split for r in paths.values()} >= {TRAIN, TEST}:
            leaks.append(list(paths.values()))
    if clashes:
        shown = "; ".join(
            " and ".join(f"{_who(r)} ({_place(r)})" for r in group[:3]) for group in clashes[:_MOST]
        )
        yield (
            f"{len(clashes)} photos are there under two identities, with equal pixels: {shown}; decide whose "
            "they are, and take the others out"
        )
    if leaks:
        first = " and ".join(_place(r) for r in leaks[0][:2])
        yield f"{len(leaks)} photos are both in train and test, with equal pixels, such as {first}"


def _parts(named: Sequence[Record]) -> Iterable[str]:
    """Several boxes of one animal in a photo."""
    groups: dict[tuple[Path, str], list[Record]] = defaultdict(list)
    for record in named:
        groups[record.path, record.identity].append(record)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return
    categories = list(dict.fromkeys(r.category for group in several for r in group if r.category))
    option = (
        f"--category NAME takes one kind alone ({_listed(categories)})"
        if len(categories) > 1
        else "keep one box of each"
    )
    first = several[0][0]
    yield (
        f"{len(several)} photos have several boxes of one animal, as if it were there several times, such as "
        f"{len(several[0])} of {quoted(first.identity)} in {first.original}; {option}"
    )


def _near(name: str) -> str:
    """What is left of a name without case, blanks, marks, and zeros in front of numbers."""
    name = re.sub(r"(\d)\.0+$", r"\1", name)  # of a spreadsheet
    flat = unicodedata.normalize("NFKD", look(name))
    letters = "".join(letter for letter in flat if letter.isalnum())
    if not letters:
        return name
    # `1-11` and `11-1` are not alike: marks between numbers count as one.
    apart = re.sub(r"(?<=\d)[\W_]+(?=\d)", " ", flat)
    kept = "".join(letter for letter in apart if letter.isalnum() or letter == " ")
    kept = re.sub(r"(?<!\d) | (?!\d)", "", kept)
    return re.sub(r"(?<!\d)0+(?=\d)", "", kept)


def _bare(name: str) -> str:
    return "".join(letter for letter in look(cleaned(name)) if letter.isalnum())


def _examples(words: Counter[str], first: dict[str, str]) -> str:
    shown = [f"{quoted(word)} ({number})" for word, number in words.most_common(_MOST)]
    more = ", .." if len(words) > _MOST else ""
    return f"{', '.join(shown)}{more}, the first in {first[next(iter(words))]}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names[:_MOST])) + (", .." if len(names) > _MOST else "")


def _who(record: Record) -> str:
    return quoted(record.identity) if record.identity not in ("", NEW_WHALE) else "nobody known"


def _place(record: Record) -> str:
    return record.original or record.where
