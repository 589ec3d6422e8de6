"""A change of the catalogue from plan to disk: said first, made when asked for, and undone."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from whales.base.console import log
from whales.base.errors import UserError
from whales.files import root_edits
from whales.files.changes import UNDO, Change, changes_text, read_changes, standing_changes
from whales.files.decisions import checked_name, login_name, now
from whales.files.marks import MarkLog
from whales.files.workspace import Workspace
from whales.reviewing import additions, identities
from whales.reviewing.catalogue_edits import Relabelled, complete

# What is planned: the change, its rows in review/changes.csv, and lines for people.
Plan = tuple[Relabelled, Sequence[Change], list[str]]

_TRAINING = re.compile(r"train|warmstart")  # in the names of the stages that train
_SET_ASIDE = re.compile(r"\.\d+")  # ends the name of a checkpoint that no training goes on from
_MATRICES = ("valid_matrix_v5", "valid_matrix_v6", "test_matrix_v5", "test_matrix_v6", "submission")


def add_change_options(
    parser: argparse.ArgumentParser, kind: Callable[..., argparse.ArgumentParser]
) -> None:
    """Add a command for each change; kind: class of their parsers."""
    commands = parser.add_subparsers(
        dest="command", required=True, parser_class=kind, metavar="COMMAND"
    )

    def command(name: str, meaning: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=meaning, description=meaning)
        made.add_argument("--yes", action="store_true", help="do it; else it is only said")
        made.add_argument("--who", metavar="NAME", help="for the trace (default: the login name)")
        return made

    add = command("add", "decided photos become known photos of the catalogue").add_argument
    queries = "tables of identify.py, for photos that are no test photos of the work root"
    add("--results", type=Path, nargs="+", default=[], metavar="FILE", help=queries)
    add("--decisions", type=Path, metavar="FILE", help="default: the work root's")
    details = "table with a column photo, and date or any others, of the photos that are added"
    add("--details", type=Path, metavar="TABLE", help=details)
    add = command("merge", "two individuals or more are one").add_argument
    add("keep", metavar="KEEP", help="the name that stays")
    add("others", nargs="+", metavar="OTHER")
    add = command("split", "some photos show another individual").add_argument
    add("identity", metavar="INDIVIDUAL", help="or new_whale")
    add("photos", nargs="+", metavar="PHOTO", help="file names in data/train")
    add("--as", dest="name", metavar="NAME", help="new or known (default: a number, new_0001)")
    add = command("rename", "an individual gets another name").add_argument
    add("old", metavar="OLD")
    add("new", metavar="NEW", help="as people write it, blanks and all")
    command("undo", "take the last change back; several times, one after the other")


def change(workspace: Workspace, args: argparse.Namespace) -> None:
    """Carry out a command of `add_change_options`; `UserError` where it cannot be, and nothing is changed."""
    who = checked_name(args.who) if args.who else login_name()
    if args.command == "undo":
        _undo(workspace, who, args.yes)
        return
    if not args.yes:
        _say(workspace, _planned(workspace, args, who))
        log("nothing is written; add --yes to do it")
        return
    with root_edits.editing(workspace):
        plan = _planned(workspace, args, who)
        _refuse_trainings(workspace)
        wanted, trace, _ = plan
        number = int(trace[0].number)
        complete(workspace, wanted, trace).apply(workspace, number)
        _say(workspace, plan)
        log(f"change {number} is made and in {workspace.file('changes')}; undo takes it back")


def _planned(workspace: Workspace, args: argparse.Namespace, who: str) -> Plan:
    if args.command == "add":
        decisions = args.decisions or workspace.file("decisions")
        added = additions.additions(workspace, decisions, args.results)
        additions.require_any(added, decisions)
        marks = MarkLog.beside(decisions).standing()
        wanted, trace = additions.addition_edit(workspace, added, who, args.details, marks)
        return wanted, trace, additions.summary(added)
    individuals = identities.Individuals(workspace, who)
    if args.command == "merge":
        wanted, trace = individuals.merge(args.keep, args.others)
    elif args.command == "split":
        wanted, trace = individuals.split(args.identity, args.photos, args.name)
    else:
        wanted, trace = individuals.rename(args.old, args.new)
    return wanted, trace, identities.summary(trace)


def _say(workspace: Workspace, plan: Plan) -> None:
    log(*plan[2])
    log("photos that are in the folds stay in their part; features of known photos are kept")
    stages = [path.stem for path in workspace.found("stamp") if _TRAINING.search(path.name)]
    if stages:
        log(
            f"the nets stay as they are ({len(stages)} trainings are done) and need no training to know new "
            "photos; a training stage that is called from now on trains anew, from its beginning"
        )
    if any(workspace.found(key) for key in _MATRICES):
        log(
            "matrices and answers of test photos are of the former catalogue until their stages run again"
        )


def _refuse_trainings(workspace: Workspace) -> None:
    """`UserError` where a training was interrupted: on another catalogue it could not go on."""
    begun = [
        path for path in workspace.found("checkpoint") if not _SET_ASIDE.fullmatch(path.suffix)
    ]
    if begun:
        raise UserError(
            f"the training {begun[0].name} is not at its end, and cannot go on with another catalogue: "
            f"end it first, or give it up by deleting {begun[0]}"
        )


def _undo(workspace: Workspace, who: str, write: bool) -> None:
    standing = standing_changes(read_changes(workspace))
    if not standing:
        raise UserError(f"{workspace.file('changes')}: no change stands that could be undone")
    number = standing[-1].number
    rows = [row for row in standing if row.number == number]
    log(f"change {number}, {rows[0].change} of {len(rows)} photos by {rows[0].who}, {rows[0].when}")
    if not write:
        log("nothing is written; add --yes to take it back")
        return
    with root_edits.editing(workspace):
        rows = read_changes(workspace)
        last = [row.number for row in standing_changes(rows)][-1:]
        if last != [number]:
            raise UserError("another change has been made meanwhile; undo again")
        _refuse_trainings(workspace)
        root_edits.require_unchanged(workspace, int(number))
        following = str(max(int(row.number) for row in rows) + 1)
        rows.append(Change(following, now(), who, UNDO, number))
        root_edits.undo(workspace, int(number), changes_text(rows))
    log(f"change {number} is taken back")
