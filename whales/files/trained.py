"""What a work root's nets were trained with, so that a forgotten option costs seconds and not a result.

`models/trained.json` is written when a training begins; it lies beside the weights, to be copied with them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from whales.base.errors import UserError
from whales.base.plain_json import read_json
from whales.base.writing import write_text
from whales.files.workspace import Workspace

PROFILE_CHOICES = ("full", "smoke")
_LARGEST = 1 << 20  # bytes
_TRAINING = re.compile(r"train|warmstart")  # in the names of the stages that train


class Trained(NamedTuple):
    """profile: of the nets; anisotropy: width : height of the crops they saw; None where not known."""

    profile: str | None = None
    anisotropy: float | None = None


def trained_with(workspace: Workspace) -> Trained:
    """What the root's nets were trained with; of roots of former versions what their stamps agree on.

    `UserError` where the file is damaged.
    """
    path = workspace.file("trained")
    try:
        content = read_json(path, _LARGEST)
    except FileNotFoundError:
        return Trained(_stamped_profile(workspace))
    known = (
        Trained(**content)
        if isinstance(content, dict) and {*content} <= {*Trained._fields}
        else None
    )
    shape = known and known.anisotropy
    if (
        known is None
        or known.profile not in (None, *PROFILE_CHOICES)
        or not (shape is None or (isinstance(shape, float | int) and shape > 0))
    ):
        raise UserError(
            f"{path}: expected an object with profile ({' or '.join(PROFILE_CHOICES)}) and anisotropy; "
            "mend or remove it"
        )
    return known


def profile_of(workspace: Workspace, asked: str) -> str:
    """The profile to run with: the one asked for, "" for the root's own, `full` where it has none.

    `UserError` where the root's nets are of another profile than the one asked for.
    """
    own = trained_with(workspace).profile
    if asked and own and asked != own:
        raise UserError(
            f"the nets of {workspace.root} are of the {own} profile (models/trained.json): leave --profile "
            f"{asked} out, or set WHALES_ROOT to another root"
        )
    return asked or own or PROFILE_CHOICES[0]


def require_trained_shape(workspace: Workspace) -> None:
    """`UserError` where the root's nets were trained on crops of another shape than its settings ask for."""
    trained, asked = trained_with(workspace).anisotropy, workspace.settings.anisotropy
    if trained is not None and trained != asked:
        raise UserError(
            f"{workspace.file('settings')}: anisotropy is {asked:g}, and the nets were trained with "
            f"{trained:g}; put it back, or train them anew with --force"
        )


def remember_training(workspace: Workspace, profile: str) -> None:
    """Write down what a training that begins now is run with."""
    now = Trained(profile, workspace.settings.anisotropy)
    path = workspace.file("trained")
    if not path.exists() or trained_with(workspace) != now:
        write_text(path, json.dumps(now._asdict()) + "\n")


def _stamped_profile(workspace: Workspace) -> str | None:
    """The profile of the trainings that have a stamp, if it is one."""
    stamps = [path for path in workspace.found("stamp") if _TRAINING.search(path.name)]
    profiles = {_profile_in(path) for path in stamps} - {None}
    return profiles.pop() if len(profiles) == 1 else None


def _profile_in(stamp: Path) -> str | None:
    try:
        content = read_json(stamp)
    except (FileNotFoundError, UserError):  # a damaged stamp counts as none
        return None
    options = content.get("options") if isinstance(content, dict) else None
    profile = options.get("profile") if isinstance(options, dict) else None
    return profile if profile in PROFILE_CHOICES else None
