"""A new labels table out of train.csv and what people decided; train.csv itself is never touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.folders import look, unique_names
from whales.base.tables import csv_text
from whales.base.writing import require_writable, write_text
from whales.files.changes import present_names, stems_of_contents
from whales.files.decided_photos import DecidedPhotos
from whales.files.decisions import (
    HELD_BACK,
    NEW,
    UNDO,
    UNSURE,
    Decision,
    DecisionLog,
    last_of_each,
    words_of,
)
from whales.files.import_table import imported_identities, known_names
from whales.files.labels import NEW_WHALE, checked_labels, identities_of, read_labels, stem
from whales.files.workspace import Workspace
from whales.scores.query_results import Results, ReviewQuery, decided_photos

NEW_IDENTITY = "new_{:04}"


@dataclass
class Relabelling:
    """The photos that a new labels table would hold besides those of train.csv, and those left out.

    added: query as decided -> its identity; new: those of them whose identity is made up; skipped, unsure,
    shared (several flukes on one photo), labelled (in train.csv already), namesakes (another photo under
    review has the name): queries left out; conflicts: query -> person -> what that person decided;
    elsewhere: decided photos that are not among the queries; notes: what of the table is not applied, or
    by name alone, and why; undecided, undone: counts.
    """

    added: dict[str, str] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    labelled: list[str] = field(default_factory=list)
    namesakes: list[str] = field(default_factory=list)
    conflicts: dict[str, dict[str, str]] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    undecided: int = 0
    undone: int = 0
    people: Counter[str] = field(default_factory=Counter)


class History(NamedTuple):
    """What became of the catalogue since decisions were made.

    written: what people call known individuals -> identity; present: identity of former tables -> as it is
    called now; contents: of the flukes that were taken in.
    """

    written: Mapping[str, str] = MappingProxyType({})
    present: Mapping[str, str] = MappingProxyType({})
    contents: Collection[str] = ()


NO_HISTORY = History()


def apply_decisions(
    out: Path,
    workspace: Workspace,
    results: Results,
    decisions: DecisionLog,
    write: bool = False,
    table: Path | None = None,
) -> None:
    """Say what the new labels table `out` would hold, and `write` it.

    table: that the results come from, if any, which `out` must not be. Raises `UserError` as
    `checked_out` and `relabel`.
    """
    reads = [path for path in (decisions.path, table) if path]
    out = checked_out(out, workspace, reads)
    taken = taken_identities(workspace)
    rows = decisions.rows()
    if write:
        require_writable(out, summary_path(out))
    photos = decided_photos(workspace, results)
    history = History(
        known_names(workspace, results.labels.values()),
        present_names(workspace),
        stems_of_contents(workspace).keys(),
    )
    result = relabel(rows, results.queries, results.labels, taken, decisions.path, photos, history)
    workspace.digests.remember()
    lines = summary(result, len(results.labels), decisions.path)
    log(*lines)
    if write:
        write_labels(out, workspace, result, lines)
        log(f"wrote {out} and {summary_path(out)}")
        results_option = f" --results {table}" if table else ""
        log(f"tools/catalogue.py add{results_option} takes the photos into the catalogue itself")
    else:
        log(f"nothing is written; add --yes to write {out}")


def relabel(
    rows: Sequence[Decision],
    queries: Sequence[ReviewQuery],
    labels: dict[str, str],
    taken: set[str],
    source: Path,
    photos: DecidedPhotos | None = None,
    history: History = NO_HISTORY,
) -> Relabelling:
    """Weigh all decisions; the last one on a photo counts.

    People whose last words on a photo differ are in conflict; a skip or "cannot tell" is no word, but as the
    last one it holds the photo back. taken: identities that made-up ones must not be called, in any case;
    source: of the rows, for messages; photos: the queries, in their order, with their contents (None: by
    name alone); history: of the catalogue. Raises `UserError` naming the line of a
    candidate that is none, or of a new individual's name that is taken.
    """
    photos = photos or DecidedPhotos([query.name for query in queries])
    verdicts = photos.verdicts(rows)
    result = Relabelling(undone=sum(row.decision == UNDO for row in rows), notes=verdicts.notes())
    result.elsewhere = verdicts.elsewhere
    namesakes = Counter(stem(query.name) for query in queries)
    known = {*labels.values(), *history.present} - {NEW_WHALE}
    stacks = verdicts.of_photo
    for index, stack in sorted(stacks.items(), key=lambda item: item[1][0].line):
        query = queries[index]
        name = stem(query.name)
        result.people.update(last_of_each(stack).keys())
        is_in = any(row.query_content in history.contents for row in stack)
        if is_in or (name in labels and not query.shared):
            result.labelled.append(query.name)
            continue
        words = words_of(stack, labels, known, source, history.written)
        words = {who: history.present.get(word, word) for who, word in words.items()}
        if len({*words.values()}) > 1:
            result.conflicts[query.name] = words
        elif stack[-1].decision in HELD_BACK:
            unsure = stack[-1].decision == UNSURE
            (result.unsure if unsure else result.skipped).append(query.name)
        elif query.shared:
            result.shared.append(query.name)
        elif namesakes[name] > 1:
            result.namesakes.append(str(query.path))
        else:
            identity = words[stack[-1].who]
            if identity not in known:
                result.new.append(query.name)
            result.added[query.name] = identity
    result.added = dict(
        zip(
            result.added,
            safe_identities(result.added.values(), known, taken, spoken_names(rows)),
            strict=True,
        )
    )
    result.undecided = len(queries) - len(stacks)
    return result


def safe_identities(
    words: Iterable[str],
    known: Collection[str],
    taken: Iterable[str],
    spoken: Iterable[str] = (),
) -> list[str]:
    """The identity of each decided photo, as tables can hold it.

    words: of each photo, a known identity, `NEW_WHALE` (an individual of its own, which gets a number) or a
    name that people gave a new individual; taken: identities that new ones must not look like; spoken: names
    that people gave new individuals of other photos too, which are no numbers for whales without a name.

    >>> safe_identities(["new_whale", "w_a", "new_0001", "Moon 7"], ["w_a"], ["NEW_0002"])
    ['new_0003', 'w_a', 'new_0001', 'Moon_7']
    """
    words, others = list(words), {*taken, *known}
    identity_of: dict[str, str] = {}  # look of a new individual's name -> its identity
    # Names first, so that no number is one that a person gave to another whale.
    for word in words:
        if word not in known and word != NEW_WHALE and look(word) not in identity_of:
            [identity_of[look(word)]] = unique_names([word], others)
            others.add(identity_of[look(word)])
    looks = {look(name) for name in (*others, *spoken)}
    free = (name for name in map(NEW_IDENTITY.format, count(1)) if name not in looks)

    def identity(word: str) -> str:
        if word in known:
            return word
        return next(free) if word == NEW_WHALE else identity_of[look(word)]

    return [identity(word) for word in words]


def spoken_names(rows: Iterable[Decision]) -> set[str]:
    """The names that rows of a table of decisions give new individuals, taken back or not."""
    return {row.candidate for row in rows if row.decision in (NEW, UNDO) and row.candidate}


def taken_identities(workspace: Workspace) -> set[str]:
    """Every identity that a table of the work root names."""
    names: set[str] = set()
    for key in ("train_csv", "playground_train_csv"):
        if workspace.file(key).exists():
            names |= {*identities_of(read_labels(workspace.file(key))).values()}
    return names | imported_identities(workspace)


def summary(result: Relabelling, labelled: int, source: Path) -> list[str]:
    """Lines for people. labelled: photos of train.csv; source: the table of decisions."""
    same = len(result.added) - len(result.new)
    lines = [
        f"decisions of {source}: "
        + (
            ", ".join(f"{name} {photos}" for name, photos in sorted(result.people.items()))
            or "none"
        ),
        f"{labelled} photos of train.csv stay as they are",
        f"{len(result.added)} photos added: {same} of known whales, {len(result.new)} of new ones",
    ]
    lines += [f"  {name} -> {identity}" for name, identity in result.added.items()]
    lines.append(f"{len(result.conflicts)} photos left out, since people do not agree")
    for name, words in result.conflicts.items():
        said = ", ".join(f"{person} says {word}" for person, word in words.items())
        lines.append(f"  {name}: {said}")
    for names, reason in (
        (result.skipped, "skipped"),
        (result.unsure, "left out, since nobody could tell whom they show"),
        (
            result.shared,
            "left out, since their photo shows several flukes and has one label (tools/catalogue.py add "
            "takes each fluke)",
        ),
        (result.labelled, "left out, since train.csv has a photo of their name"),
        (
            result.namesakes,
            "left out, since others under review have their name, which a table of labels holds once; "
            "rename them and identify them again, the decisions stay",
        ),
        (result.elsewhere, "decided that are not among those under review"),
    ):
        if names:
            lines.append(f"{len(names)} photos {reason}: {', '.join(names)}")
    lines += result.notes
    lines.append(f"{result.undecided} photos not decided; {result.undone} decisions undone")
    return lines


def summary_path(out: Path) -> Path:
    """Where the summary of a labels table goes: `labels.csv` -> `labels_summary.txt`."""
    return out.with_name(f"{out.stem}_summary.txt")


def checked_out(out: Path, workspace: Workspace, reads: Sequence[Path]) -> Path:
    """`out`, if it may be written; `UserError` for a file of the work root or one of `reads`.

    Links of either kind count as what they lead to; a file that is there must be a labels table.
    """
    kept = [*workspace.pickles_and_tables(), *reads]
    for path in (out, summary_path(out)):
        same = [file for file in kept if file.exists() and path.exists() and file.samefile(path)]
        if same or workspace.origin(path) or workspace.origin(path.resolve()):
            raise UserError(f"{path} is a file of the work root; name another for the new labels")
    if out.suffix.lower() != ".csv" or out.is_dir():
        raise UserError(f"{out}: the new labels are a table; name a file that ends in .csv")
    if out.exists():
        try:
            read_labels(out)
        except UserError:
            raise UserError(f"{out} is there and is no table Image,Id; name another") from None
    return out


def write_labels(
    out: Path, workspace: Workspace, result: Relabelling, lines: Sequence[str]
) -> None:
    """Write the labels table `Image,Id` and its summary, each whole or not at all."""
    labels = read_labels(workspace.file("train_csv"))
    rows = [*zip(labels.Image, labels.Id, strict=True), *result.added.items()]
    checked_labels(rows, f"{out} is not written: it would be refused")
    write_text(out, csv_text(("Image", "Id"), rows, contract=True))
    write_text(summary_path(out), "\n".join(lines) + "\n")
