"""The devices that a forecast knows, and how fast the nets run on them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from whales.base.errors import UserError
from whales.nets.net import Net
from whales.planning.rehearsing import Step
from whales.stages.rehearsal import FROZEN
from whales.training.forecast import FORWARD, FORWARD_AND_BACK

HERE = "here"


@dataclass(frozen=True)
class Device:
    """A device to train on.

    memory: gigabytes; rate: 1e12 operations of the nets' convolutions a second in training, a guess of what
    is reached, not of what the maker promises; price: of an hour, 0 where it costs nothing.
    """

    name: str
    memory: float
    rate: float
    price: float = 0.0


# Rates are guesses, some 45% of a card's float32 peak, or 10% of its TF32 peak where it has that.
DEVICES = {
    device.name: device
    for device in (
        Device("t4", 16, 3.5, 0.5),
        Device("v100", 16, 7, 2.0),
        Device("rtx4090", 24, 25, 0.7),
        Device("a100", 80, 16, 2.0),
        Device("h100", 80, 40, 3.0),
        Device("h200", 141, 45, 4.0),
    )
}


def devices_of(text: str) -> tuple[str, int]:
    """Name and number of what `--gpu` asks for; `UserError` for another device or number.

    >>> [devices_of(text) for text in ("h100:8", "here")]
    [('h100', 8), ('here', 1)]
    """
    name, _, number = text.partition(":")
    if name not in (*DEVICES, HERE) or (number and not (number.isdecimal() and int(number))):
        known = ", ".join((*DEVICES, HERE))
        raise UserError(f"--gpu takes a device and a number, such as h100:8; known are {known}")
    return name, int(number or 1)


@dataclass
class Rates:
    """How fast nets run: as steps of them were measured, else as a device is guessed to.

    device: None for this machine; steps: rehearsed on that device, of the nets that are known there; net_of:
    script -> its net.
    """

    device: Device | None
    steps: Sequence[Step]
    net_of: Callable[[str], Net | None]
    _found: dict[tuple[str, bool], float | None] = field(default_factory=dict)

    def operations_a_second(self, net: Net, frozen: bool) -> float | None:
        """Of a net's training steps, by kind of branch; None where no step was rehearsed here."""
        measured = self._measured(net, frozen)
        if measured is None and self.device:
            return self.device.rate * 1e12
        return measured

    def measured(self, net: Net) -> bool:
        """Whether steps of a net were rehearsed on the device."""
        return self._measured(net, False) is not None

    def _measured(self, net: Net, frozen: bool) -> float | None:
        key = net.name, frozen
        if key not in self._found:
            self._found[key] = self._rehearsed(net, frozen)
        return self._found[key]

    def _rehearsed(self, net: Net, frozen: bool) -> float | None:
        """The median of the net's steps of this kind, else of the other kind."""
        by_kind: dict[bool, list[float]] = {True: [], False: []}
        for step in self.steps:
            if self.net_of(step.stage) is net and step.seconds > 0:
                still = step.branch == FROZEN
                passes = 2 * step.pairs * (FORWARD if still else FORWARD_AND_BACK)
                by_kind[still].append(passes * net.operations(step.size) / step.seconds)
        found = by_kind[frozen] or by_kind[not frozen]
        return statistics.median(found) if found else None
