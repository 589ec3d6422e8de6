"""Fixtures that all tests share: the shared data, a work root, and stage scripts as modules."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
# What a stage refuses must not depend on the memory that other programs leave free.
os.environ["WHALES_MEMORY_GB"] = "64"

import numpy as np
import pytest
from hypothesis import Phase, settings

from whales.base.console import configure

# Shells have what they start in the background ignore SIGINT, and all that it starts; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]

settings.register_profile("repository", derandomize=True, deadline=None, database=None)
# Chosen by --hypothesis-profile: a mutant needs no smallest example; a soak tries many, and others each time.
settings.register_profile(
    "mutants",
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("soak", max_examples=1000, deadline=None, database=None, print_blob=True)
settings.load_profile("repository")


@pytest.fixture(autouse=True)
def log_as_at_first() -> None:
    """The log shows all and writes no file, whatever an earlier test of the process set up."""
    configure(quiet=False)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The project folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared data: `WHALES_SHARED`, else the folder `shared` beside the project."""
    folder = Path(os.environ.get("WHALES_SHARED") or REPOSITORY.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"needs the shared data at {folder} (or WHALES_SHARED)")
    return folder


@pytest.fixture
def work_root(tmp_path, monkeypatch) -> Path:
    """An empty work root that the stages see."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("WHALES_ROOT", str(root))
    return root


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """The built-in sample, not to be written to."""
    root = tmp_path_factory.mktemp("sample") / "root"
    subprocess.run([sys.executable, "-m", "sample_data", str(root)], cwd=REPOSITORY, check=True)
    return root


@pytest.fixture(scope="session")
def script():
    """Load a stage script by its path in the project: script("kernel_snn/x.py").main([...])."""

    def load(relative: str):
        path = REPOSITORY / relative
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def run_python():
    """Run Python with arguments in a process of its own, text captured."""

    def run(*arguments, **environment) -> subprocess.CompletedProcess:
        paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
        python_path = os.pathsep.join(filter(None, paths))
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": python_path, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def legacy_stream():
    """Lets a test use NumPy's global random stream, and puts it back."""
    state = np.random.get_state()
    yield np.random
    np.random.set_state(state)


# A fixture that needs something that a machine may lack, and the mark of the tests that use it.
MARKED_FIXTURES = {"shared": "shared", "browser": "browser", "browse": "browser"}


def pytest_collection_modifyitems(items):
    """Marks tests by the fixtures they use."""
    for item in items:
        for fixture, mark in MARKED_FIXTURES.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(mark)
