"""The whole pipeline made small: a root of drawn photos, and any stage with few steps an epoch.

As a program: `small_pipeline.py SCRIPT ARGUMENTS` runs the page of a stage, its smoke numbers made smaller
still. All else is the stage itself.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 120, 66
# Photos of each identity in train, then how many there are of the other kinds.
TRAIN_COUNTS = (3,) * 4 + (5,) * 10
NEW_WHALES, TEST, PLAYGROUND_IDENTITIES, PLAYGROUND_TEST = 6, 6, 4, 2


def make_root(root: Path) -> None:
    """Make a work root of some 80 photos of bright flukes on dark water; the same every time."""
    import cv2
    import numpy as np

    from whales.base.pickles import save

    rng = np.random.default_rng(11)
    boxes: dict[str, tuple[int, ...]] = {}

    def photos(folder: str, prefix: str, owners: list[str]) -> list[str]:
        (root / "data" / folder).mkdir(parents=True)
        names = [f"{prefix}{i:03d}" for i in range(len(owners))]
        for name in names:
            x1, y1 = (int(rng.integers(2, most)) for most in (30, 20))
            width, height = (int(rng.integers(*sides)) for sides in ((60, 85), (26, 40)))
            pixels = rng.integers(20, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            middle, axes = (x1 + width // 2, y1 + height // 2), (width // 2, height // 2)
            cv2.ellipse(pixels, middle, axes, 0, 0, 360, (210, 220, 230), -1)
            cv2.imwrite(str(root / "data" / folder / f"{name}.jpg"), pixels)
            boxes[name] = (x1, y1, x1 + width, y1 + height)
        return [f"{name}.jpg,{owner}" for name, owner in zip(names, owners, strict=True)]

    def table(name: str, rows: list[str]) -> None:
        (root / "data" / name).write_text("\n".join(["Image,Id", *rows]) + "\n")

    known = [f"w_{i:02d}" for i, count in enumerate(TRAIN_COUNTS) for _ in range(count)]
    known += ["new_whale"] * NEW_WHALES
    table("train.csv", photos("train", "a", known))
    table("sample_submission.csv", photos("test", "t", ["new_whale"] * TEST))
    played = [f"w_p{i}" for i in range(PLAYGROUND_IDENTITIES) for _ in range(3)]
    table("playground/train.csv", photos("playground/train", "p", played))
    rows = photos("playground/test", "q", ["w_p0"] * PLAYGROUND_TEST)
    table("playground/sample_submission.csv", rows)
    for name, prefixes in (("p2bb_v5.pkl", "at"), ("p2bb_playground_v2.pkl", "pq")):
        first = {photo: box for photo, box in boxes.items() if photo[0] in prefixes}
        save(root / "modified_data" / name, first)
    drawn = root / "modified_data/retinanet/cropping_train_v2.csv"
    drawn.parent.mkdir()
    drawn.write_text("C:\\input/playground/train/p001.jpg,4,5,96,46,whale\n")


def load_page(script: str):
    """The page of a stage as a module, its smoke numbers made smaller."""
    path = REPOSITORY / script
    sys.path[:0] = [str(path.parent), str(REPOSITORY)]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    from whales.training.plan import Plan

    def smaller(plan: Plan) -> Plan:
        """Two rounds of two epochs at most, of two steps each."""
        blocks = tuple(replace(b, rounds=min(b.rounds, 2), epochs=2) for b in plan.blocks)
        return replace(plan, blocks=blocks, steps=2)

    if isinstance(getattr(page, "SMOKE", None), Plan):
        page.SMOKE = smaller(page.SMOKE)
    for name in ("PLANS", "COLD_PLANS"):
        if hasattr(page, name):
            plans = getattr(page, name)
            plans["smoke"] = tuple(map(smaller, plans["smoke"]))
    if hasattr(page, "PROFILES"):
        page.PROFILES["smoke"] = replace(page.PROFILES["smoke"], epochs=3, steps=3)
    return page


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    page_of_stage = load_page(sys.argv[1])
    from whales.stages.stage import run

    arguments = sys.argv[2:]
    run(lambda: page_of_stage.main(arguments))
