"""A work root's nets, as the review asks them about a box that somebody drew."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from whales.scores.query_results import RANKED
from whales.stages.options import prepare

if TYPE_CHECKING:
    from whales.identifying.identifier import Identifier
    from whales.reviewing.drawing import AskNets


def box_nets(root: Path) -> AskNets:
    """Looks into boxes as tools/identify.py does; the nets are loaded at the first one."""

    @cache
    def opened() -> Identifier:
        from whales_tools.identify import open_identifier

        identifier = open_identifier(root)
        prepare(identifier.options)
        return identifier

    return lambda photo, box, side: opened().in_box(photo, box, RANKED, side or None)
