"""What a run was made from, as a stamp or a checkpoint keeps it, and how two runs differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# What a stamp and a checkpoint hold: plain values, mappings and lists of them, as JSON has them.
Content = Mapping[str, object]

# Where a stamp keeps the digests of what the run wrote: path relative to the work root -> digest.
WRITTEN = "written"

_SHOWN = 3  # differences named in one line


@dataclass(frozen=True)
class Description:
    """All that decides what a run computes.

    content: options, numbers, digests of inputs, paths relative to the work root; former: the same as
    versions before 0.2 kept it, without numbers and with times of files in place of digests.
    """

    content: Content
    former: Content

    def differences(self, other: object) -> list[str]:
        """In words, where another run's content differs from this one; none where both are the same.

        Content of a former version knows no numbers: they count as equal.
        """
        if not isinstance(other, Mapping):
            return ["it is damaged"]
        current = self.former if is_former(other) else self.content
        before, now = _flat(_without_absent(other)), _flat(current)
        return [
            f"{key} {_shown(before, key)} -> {_shown(now, key)}"
            for key in dict.fromkeys([*before, *now])
            if key not in before or key not in now or before[key] != now[key]
        ]


def is_former(content: Content) -> bool:
    """Whether a stamp's or checkpoint's content was written by a version before 0.2."""
    return "numbers" not in content


def in_words(differences: list[str]) -> str:
    """The first differences in one line, and how many more there are."""
    more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return "; ".join(differences[:_SHOWN]) + more


def _without_absent(content: Content) -> Content:
    """Without options that were not given, and the fold, which a stamp's name tells."""
    options = content.get("options")
    if not isinstance(options, Mapping):
        return content
    given = {key: value for key, value in options.items() if value != "None" and key != "fold"}
    return {**content, "options": given}


def _flat(value: object, name: str = "") -> dict[str, object]:
    """Leaves of nested mappings and lists, by dotted name; an empty one is a leaf."""
    parts: dict[object, object] = {}
    if isinstance(value, Mapping):
        parts = dict(value)
    elif isinstance(value, list | tuple):
        parts = dict(enumerate(value))
    if not parts:
        return {name: value}
    leaves: dict[str, object] = {}
    for key, part in parts.items():
        leaves |= _flat(part, f"{name}.{key}" if name else str(key))
    return leaves


def _shown(leaves: Mapping[str, object], key: str) -> str:
    return str(leaves[key]) if key in leaves else "(not there)"


def restamped(stamp: Content, changed: Mapping[str, tuple[str, str]]) -> dict[str, object] | None:
    """The stamp of a stage whose inputs and outputs were changed together, so that its work is still done.

    changed: path relative to the work root -> digest before and after. None where the stamp was not of these
    inputs before, or does not tell: its stage would have run again anyway.
    """
    inputs, written = stamp.get("inputs"), stamp.get(WRITTEN, {})
    if is_former(stamp) or not isinstance(inputs, Mapping) or not isinstance(written, Mapping):
        return None
    for kept in (inputs, written):
        if any(digest != changed[name][0] for name, digest in kept.items() if name in changed):
            return None

    def renewed(kept: Mapping[str, object]) -> dict[str, object]:
        return {name: changed[name][1] if name in changed else kept[name] for name in kept}

    return {**stamp, "inputs": renewed(inputs), WRITTEN: renewed(written)}
