"""Make the pictures of docs/catalogue.md's walk through the tools, from the root that `make demo` leaves.

Reads  the demo's work root (default: demo_root)
Writes docs/walk_identify.jpg, docs/walk_review.jpg, docs/walk_report.jpg
Run    python3 docs/pictures.py [ROOT]

Needs Chromium, on PATH or named by CHROMIUM.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
BROWSERS = ("chromium", "google-chrome", "chrome-headless-shell", "chromium-headless-shell")
QUERIES = 4  # new photos that are asked about
QUALITY = 85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, default=PROJECT / "demo_root")
    root = parser.parse_args().root.resolve()
    os.environ["WHALES_ROOT"] = str(root)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        new = work / "new_photos"
        new.mkdir()
        for photo in sorted((root / "data/test").glob("*.jpg"))[:QUERIES]:
            shutil.copy(photo, new)
        call("tools/identify.py", new, "--profile", "smoke", "--csv", work / "found.csv",
             "--html", work / "found.html")  # fmt: skip
        picture((work / "found.html").as_uri(), HERE / "walk_identify.jpg", 1250, 800)
        decisions = work / "decisions.csv"
        with served(work / "found.csv", decisions) as address:
            picture(address, HERE / "walk_review.jpg", 1250, 760)
        page = work / "report.html"
        call("tools/report.py", "--out", page)
        # A picture begins at the page's top: leave the gallery alone on it.
        alone = "<style>h1, nav, section:not(#gallery) { display: none }</style></head>"
        page.write_text(page.read_text(encoding="utf-8").replace("</head>", alone), "utf-8")
        picture(page.as_uri(), HERE / "walk_report.jpg", 1250, 760)


def call(script: str, *arguments: object) -> None:
    """Run a tool to its end."""
    subprocess.run([sys.executable, PROJECT / script, *map(str, arguments)], check=True)


class served:
    """The review page of a table of results while the block runs; its address."""

    def __init__(self, results: Path, decisions: Path) -> None:
        command = [sys.executable, PROJECT / "tools/review.py", "--results", results, "--port", "0"]
        command += ["--decisions", decisions, "--no-browser", "--who", "ann"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        for line in self._process.stdout:
            if found := re.match(r"(http://\S+) is open", line):
                return found[1]
        raise RuntimeError("tools/review.py ended before its page was open")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def picture(address: str, path: Path, width: int, height: int) -> None:
    """A JPEG of what a window of so many pixels shows of a page."""
    names = filter(None, [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS)])
    browser = next(names, None)
    if browser is None:
        sys.exit(f"no browser: none of {', '.join(BROWSERS)} on PATH, and CHROMIUM is not set")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        options = [f"--window-size={width},{height}", f"--screenshot={shot}", "--hide-scrollbars"]
        options += ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000"]
        command = [browser, *options, f"--user-data-dir={folder}/profile", address]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        pixels = cv2.imread(str(shot))
    cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    print(f"wrote {path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
