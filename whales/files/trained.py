"""What a work root's nets were trained with, so that a forgotten option costs seconds and not a result.

`models/trained.json` is written when a training begins; it lies beside the weights, to be copied with them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from whales.base.errors import UserError
from whales.base.plain_json import read_json
from whales.base.writing import write_text
from whales.files.workspace import Workspace

PROFILE_CHOICES = ("full", "smoke")
_LARGEST = 1 << 20  # bytes
_TRAINING = re.compile(r"train|warmstart")  # in the names of the stages that train


class Trained(NamedTuple):
    """What is known; None where it is not.

    profile: of the nets; anisotropy: width : height of the crops they saw; shapes: the same of those parts
    that were trained anew with another one, by `part_name`.
    """

    profile: str | None = None
    anisotropy: float | None = None
    shapes: Mapping[str, float] = MappingProxyType({})

    def shape_of(self, part: str) -> float | None:
        """anisotropy of a part's training."""
        return self.shapes.get(part, self.anisotropy)


def part_name(net: str, fold: int | None) -> str:
    """What is trained by itself: a net's fold, None for its warm start on the playground."""
    return f"{net}_playground" if fold is None else f"{net}_fold_{fold}"


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
    if (
        known is None
        or known.profile not in (None, *PROFILE_CHOICES)
        or not (known.anisotropy is None or _is_shape(known.anisotropy))
        or not (isinstance(known.shapes, Mapping) and all(map(_is_shape, known.shapes.values())))
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


def _is_shape(value: object) -> bool:
    return isinstance(value, float | int) and value > 0


def require_trained_shape(workspace: Workspace, parts: Collection[str]) -> None:
    """`UserError` where a net was trained on crops of another shape than the root's settings ask for.

    parts: by `part_name`, those that are to be used, or trained further.
    """
    trained, asked = trained_with(workspace), workspace.settings.anisotropy
    for part in parts:
        shape = trained.shape_of(part)
        if shape not in (None, asked):
            raise UserError(
                f"{workspace.file('settings')}: anisotropy is {asked:g}, and {part} was trained with "
                f"{shape:g}; put it back, or train each net's folds anew with --force"
            )


def remember_training(workspace: Workspace, profile: str, part: str | None = None) -> None:
    """Write down what a training that begins now is run with.

    part: by `part_name`, None for a detector, which sees whole photos.
    """
    before, shape = trained_with(workspace), workspace.settings.anisotropy
    now = before._replace(profile=profile)
    if part is not None and before.shape_of(part) != shape:
        if before.anisotropy is None:
            now = now._replace(anisotropy=shape)
        else:
            now = now._replace(shapes={**before.shapes, part: shape})
    path = workspace.file("trained")
    if not path.exists() or before != now:
        content = {
            name: value for name, value in now._asdict().items() if value or name != "shapes"
        }
        write_text(path, json.dumps(content) + "\n")


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
