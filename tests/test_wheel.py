"""A built wheel, installed outside the checkout: every tool answers, the review page is served."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import venv
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import write_lines

from whales.base.pickles import save

pytestmark = pytest.mark.slow
# What whoever installs the wheel has to answer with, before any training.
SHIPPED = ("kernel_snn/generated_start.h5", "kernel_snn/generated_start.json")


@pytest.fixture(scope="module")
def installed(repository, tmp_path_factory):
    """Folder of the commands of an environment that holds the built wheel, and no checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns(".*", "build", "demo_root", "*.egg-info", "__pycache__")
    shutil.copytree(repository, source, ignore=ignored)
    for name in SHIPPED:
        if not (source / name).exists():
            (source / name).write_text(name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder, source], check=True)
    shutil.rmtree(source)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "environment", with_pip=False)
    binaries = folder / "environment/bin"
    python = binaries / "python"
    # What the wheel depends on is here already. Its own links to the checkout, .pth files, are not read.
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    (folder / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.copy(folder / "dependencies.pth", site)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", wheel], check=True)
    return binaries


def environment(**changes):
    """The environment without what would show the checkout to Python."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return {**kept, **changes}


def test_every_tool_answers(repository, installed, tmp_path):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(project["scripts"]) == 10
    for name in project["scripts"]:
        done = subprocess.run(
            [installed / name, "--help"], cwd=tmp_path, env=environment(),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"usage: {name}" in done.stdout


def test_modules_come_from_the_wheel(installed, tmp_path):
    code = "import whales, whales_tools, retinanet.detector, kernel_snn; print(whales.__file__)"
    done = subprocess.run(
        [installed / "python", "-c", code], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(installed.parent) in done.stdout


def test_weights_of_the_project_come_along(repository, installed, tmp_path):
    code = "from kernel_snn.a00_net_kernel import GENERATED_START as start; print(start.path)"
    done = subprocess.run(
        [installed / "python", "-c", code], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    path = Path(done.stdout.strip())
    assert path.is_relative_to(installed.parent)
    for name in SHIPPED:
        original = repository / name
        content = original.read_bytes() if original.exists() else name.encode()
        assert (path.parent / original.name).read_bytes() == content


def test_the_review_page_is_served(installed, tmp_path):
    root = tmp_path / "root"
    for name in ("known", "query"):
        pixels = np.random.default_rng(len(name)).integers(0, 255, (40, 80, 3), np.uint8)
        path = root / f"data/train/{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)
    write_lines(root / "data/train.csv", "Image,Id", "known.jpg,w_a")
    save(root / "modified_data/p2bb_averaged_v1.pkl", {"known": (2, 2, 70, 35)})
    save(root / "modified_data/p2bb_averaged_playground_v1.pkl", {})
    query = root / "data/train/query.jpg"
    table = write_lines(tmp_path / "rows.csv", "query,identity,photo", f"{query},w_a,known.jpg")
    command = [installed / "whales-review", "--results", table, "--no-browser", "--port", "0"]
    page = subprocess.Popen(
        [*command, "--who", "tester"], cwd=tmp_path, env=environment(WHALES_ROOT=str(root)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        line = page.stdout.readline()
        address = re.match(r"http://127\.0\.0\.1:\d+/", line)
        assert address, line + page.communicate(timeout=60)[0]
        for name in ("", "page/review.mjs", "page/review.css", "page/logic.mjs", "api/queries"):
            with urllib.request.urlopen(address[0] + name, timeout=60) as answer:
                assert answer.status == 200
                assert answer.read()
    finally:
        page.terminate()
        page.communicate(timeout=60)


def test_without_a_work_root_nothing_is_written(installed, tmp_path):
    bare = environment()
    bare.pop("WHALES_ROOT", None)
    done = subprocess.run(
        [installed / "whales-inspect"], cwd=tmp_path, env=bare, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "error: no work root is named; set WHALES_ROOT to the folder that holds data/\n"
    )
    assert list(tmp_path.iterdir()) == []
