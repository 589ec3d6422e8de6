"""The pigment of both lobes of a fluke: which skin is white, from all black to all white.

A lobe is painted in coordinates of its own: s from the notch (0) to the tip (1) across its columns, t from
the trailing (0) to the leading edge (1) down its rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sample_data.simulator.canvas import grid_noise

LENGTH, DEPTH = 160, 72  # steps along and across a painted lobe
ALONG = np.linspace(0, 1, LENGTH, dtype=np.float32)
ACROSS = np.linspace(0, 1, DEPTH, dtype=np.float32)[:, None]
_SHAPE = DEPTH, LENGTH

# Shares of individuals by the part of the fluke that is white: most catalogues have many dark ones.
_WHITENESS = ((0.38, 0.0, 0.07), (0.27, 0.07, 0.4), (0.35, 0.4, 0.9))


def pigment(rng: np.random.Generator) -> list[np.ndarray]:
    """The share of white of the left and the right lobe: two (DEPTH, LENGTH) float32 in [0, 1]."""
    shares = [share for share, *_ in _WHITENESS]
    _, low, high = _WHITENESS[rng.choice(len(_WHITENESS), p=shares)]
    whiteness = rng.uniform(low, high)
    fields = _fields(rng)
    level = np.quantile(np.concatenate(fields)[::3, ::3], 1 - whiteness)
    softness = rng.choice([0.05, 0.15, 0.4], p=[0.45, 0.4, 0.15]) * rng.uniform(0.6, 1.6)
    uneven = rng.uniform(0, 0.9)  # how much softer borders are in one place than in another
    rims = rng.uniform(0, 0.14, 2) * (rng.random(2) < 0.75)
    scores = []
    for field in fields:
        soft = softness * np.exp(uneven * grid_noise(rng, (3, 5), _SHAPE))
        white = 1 / (1 + np.exp(-np.clip((field - level) / soft, -20, 20)))
        for rim, place in ((rims[0], ACROSS), (rims[1], 1 - ACROSS)):
            if rim:
                ragged = rim * (1 + 0.6 * grid_noise(rng, (1, 30), (1, LENGTH)))
                white = white * np.clip((place - ragged) / 0.03 + 0.5, 0, 1)
        scores.append(np.clip(white, 0, 1).astype(np.float32))
    return scores


def _fields(rng: np.random.Generator) -> list[np.ndarray]:
    """How much each point tends to white, of both lobes: a general tendency, a pattern, noise."""
    alike = rng.uniform(0.4, 0.97)  # how alike the lobes are
    tendency = (
        -rng.uniform(0.3, 2.5) * np.exp(-((ALONG / rng.uniform(0.1, 0.5)) ** 2))
        + rng.normal(0.2, 0.8) * (ALONG - 0.5)
        + rng.normal(-0.3, 1.2) * np.exp(-ACROSS / rng.uniform(0.05, 0.3))
        + rng.normal(-0.3, 0.9) * np.exp((ACROSS - 1) / rng.uniform(0.05, 0.3))
    )
    strengths = (
        *(rng.uniform(0.2, 1.2), rng.uniform(0, 0.45), rng.uniform(0, 0.7)),
        *(0.05 + 0.75 * rng.random(2) ** 1.5),
    )
    knots = ((3, 5), (4, rng.integers(20, 60)), (9, 18), (24, 50), (48, 120))
    common = [grid_noise(rng, each, _SHAPE) for each in knots[:2]]
    slant = rng.normal(0, 12)
    pattern = _Pattern.of(rng)
    fields = []
    for lobe in (0, 1):
        field = tendency + pattern.field(rng, lobe)
        for number, (strength, each) in enumerate(zip(strengths, knots, strict=True)):
            own = grid_noise(rng, each, _SHAPE)
            if number < 2:
                own = alike * common[number] + np.sqrt(1 - alike**2) * own
            if number == 1:  # streaks run across the lobe, somewhat slanted
                own = cv2.warpAffine(
                    own,
                    np.array([[1, slant / DEPTH, 0], [0, 1, 0]]),
                    (LENGTH, DEPTH),
                    borderMode=cv2.BORDER_REFLECT,
                )
            field = field + strength * own
        fields.append(field)
    return fields


@dataclass(frozen=True)
class _Pattern:
    """What a catalogue would name: plain, a bullseye on each lobe, half and half, or marbled."""

    kind: str
    strength: float
    along: float
    across: float
    radius: float
    turn: float

    @classmethod
    def of(cls, rng: np.random.Generator) -> _Pattern:
        kind = rng.choice(["plain", "bullseye", "half", "marbled"], p=[0.6, 0.12, 0.14, 0.14])
        return cls(
            str(kind),
            strength=float(rng.uniform(0.8, 2.5) * rng.choice([-1, 1])),
            along=float(rng.uniform(0.3, 0.75)),
            across=float(rng.uniform(0.25, 0.75)),
            radius=float(rng.uniform(0.08, 0.25)),
            turn=float(rng.uniform(-1, 1)),
        )

    def field(self, rng: np.random.Generator, lobe: int) -> np.ndarray | float:
        """Of lobe 0 or 1, (DEPTH, LENGTH) float32; 0 where the pattern is plain."""
        along, across = np.array([self.along, self.across]) + rng.normal(0, 0.05, 2)
        if self.kind == "bullseye":  # lobes are about half as deep as long
            away = np.hypot(ALONG - along, (ACROSS - across) / 2) / self.radius
            return self.strength * np.cos(2.2 * away) * np.exp(-((away / 2.5) ** 2))
        if self.kind == "half":  # a border across each lobe, or between the lobes
            if abs(self.turn) > 0.6:
                return self.strength * (1.0 if lobe else -1.0) * np.clip(ALONG / 0.12, 0, 1)
            border = (ALONG - along) + self.turn * (ACROSS - across)
            return self.strength * np.tanh(border / 0.12)
        if self.kind == "marbled":  # veins: where bent noise changes its sign
            bent = grid_noise(rng, (6, 12), _SHAPE) + 0.5 * grid_noise(rng, (14, 30), _SHAPE)
            return self.strength * (0.5 - np.minimum(np.abs(bent) / (2 * self.radius), 1.0))
        return 0.0
