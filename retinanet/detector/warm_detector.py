"""The detector in a process that stays: it loads while the nets load, and answers within seconds after that.

Reads  lines of its input, each a JSON list of REQUEST and ANSWER as `find_flukes` takes them, and the photos
Writes each ANSWER, then a line that says so
Run    python3 -m retinanet.detector.warm_detector
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from retinanet.detector import find_flukes
from retinanet.detector.find_flukes import (
    DetectedFluke,
    PixelBox,
    converted_detector,
    detector_environment,
)
from retinanet.detector.model_files import load_model
from retinanet.detector.network import predictor
from whales.base.errors import UserError
from whales.base.pickles import load
from whales.base.plain_json import parse_json
from whales.base.writing import temporary_folder
from whales.files.workspace import Workspace
from whales.stages.options import RunOptions, parse_arguments
from whales.stages.stage import run

_ANSWERED = "answered"


class WarmDetector:
    """A work root's detector, once it is started; without one, `boxes_of` takes whole frames.

    Use it in a `with` block, or call `close`.
    """

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None

    def start(self) -> None:
        """Start the process, if the root has a detector; it loads while the caller goes on."""
        options = self._options
        if self._process or converted_detector(options.workspace) is None:
            return
        command = [sys.executable, "-m", "retinanet.detector.warm_detector", "--quiet"]
        command += ["--profile", options.profile, "--workers", str(options.workers)]
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # a full pipe would stop it
        self._process = subprocess.Popen(
            command, env=detector_environment(options.workspace), text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip

    def __enter__(self) -> WarmDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None
        if self._errors:
            self._errors.close()
            self._errors = None

    def boxes_of(
        self, photos: Sequence[Path], options: RunOptions, all_flukes: bool = False
    ) -> dict[Path, list[PixelBox]]:
        """As `find_flukes.boxes_of`."""
        if self._process is None:
            return find_flukes.boxes_of(photos, options, all_flukes)
        return find_flukes.boxes_of(photos, options, all_flukes, self.find)

    def find(
        self, photos: Sequence[Path], profile: str, workers: int, workspace: Workspace
    ) -> dict[Path, list[DetectedFluke]]:
        """As `find_flukes.find_flukes`; profile, workers and workspace are those of the start."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the detector's process is not there")
        with temporary_folder() as folder:
            answer = folder / "answer.pkl"
            request = find_flukes.save_request(folder, photos)
            try:
                process.stdin.write(json.dumps([str(request), str(answer)]) + "\n")
                process.stdin.flush()
                answered = any(
                    line.strip() == _ANSWERED for line in iter(process.stdout.readline, "")
                )
            except BrokenPipeError:
                answered = False
            if not answered:
                self._fail(process)
            return find_flukes.read_answer(answer, photos)

    def _fail(self, process: subprocess.Popen[str]) -> None:
        """Say why the process has ended."""
        code = process.wait()
        said = ""
        if self._errors:
            self._errors.seek(0)
            said = self._errors.read().strip()
        self._process = None
        if code == 2 and said:
            raise UserError(said.splitlines()[-1].removeprefix("error: "))
        raise RuntimeError(f"the detector's process failed:\n{said}")


def main(argv: Sequence[str] | None = None) -> None:
    """The process that `WarmDetector` starts; it ends with its input."""
    options, _ = parse_arguments(__doc__, argv)
    path = converted_detector(options.workspace)
    if path is None:
        raise UserError("no converted detector; run retinanet/r31_convert_retinanet_model.py")
    predict = predictor(load_model(path, options.profile))
    for line in sys.stdin:
        request, answer = parse_json(line)
        find_flukes.detect(predict, load(request), Path(answer), options)
        os.write(1, f"{_ANSWERED}\n".encode())


if __name__ == "__main__":
    run(main)
