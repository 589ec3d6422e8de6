"""A copy of the project whose environment still points to the first one: refused in one line."""

import ast
import os
import shutil
import subprocess
import sysconfig
import tomllib
import venv

import pytest
from house import tree

# What setuptools writes for `pip install -e`: it comes after all that Python finds by itself.
FINDER = """
import sys
from importlib.util import spec_from_file_location
MAPPING = {mapping!r}
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in MAPPING:
            folder = MAPPING[name]
            return spec_from_file_location(
                name, folder + "/__init__.py", submodule_search_locations=[folder]
            )
sys.meta_path.append(Finder)
"""
IN_FOLDERS = [
    "retinanet/r10_create_csv_for_retinanet.py",
    "siamese_net_v5_densenet121/r10_seamese_net_warmstart_from_scratch_224px.py",
    "tools/inspect_pickle.py",
]
AT_THE_TOP = ["r10_create_kfold_split.py", "demo.py"]  # Python looks beside these first


@pytest.fixture(scope="module")
def copied(repository, tmp_path_factory):
    """A copy of the project with an environment; installed(folder) makes it import that project."""
    copy = tmp_path_factory.mktemp("copied") / "copy"
    ignored = shutil.ignore_patterns(
        ".*", "build", "demo_root", "*.egg-info", "__pycache__", "tests"
    )
    shutil.copytree(repository, copy, ignore=ignored)
    venv.create(copy / ".venv", with_pip=False)
    site = next((copy / ".venv").glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "editable.pth").write_text("import editable_finder\n")

    def installed(project):
        toml = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
        folders = toml["setuptools"]["package-dir"]
        names = [name for name in toml["setuptools"]["packages"] if "." not in name]
        mapping = {name: str(project / folders.get(name, name)) for name in names}
        (site / "editable_finder.py").write_text(FINDER.format(mapping=mapping))
        return copy

    return installed


def help_of(copy, page, python=None):
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [python or copy / ".venv/bin/python", "-B", copy / page, "--help"],
        cwd=copy.parent, env=bare, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("page", IN_FOLDERS)
def test_the_first_projects_library_is_refused(copied, repository, page):
    copy = copied(repository)
    done = help_of(copy, page)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line == (
        f"error: {copy / page} imports whales from {repository / 'whales'}, not from its own project: "
        f"run {copy / '.venv/bin/python'} -m pip install --no-deps -e {copy}"
    )


@pytest.mark.parametrize("page", AT_THE_TOP)
def test_scripts_beside_the_library_import_their_own(copied, repository, page):
    done = help_of(copied(repository), page)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", IN_FOLDERS + AT_THE_TOP)
def test_an_installed_copy_runs(copied, repository, page):
    copy = copied(repository)
    done = help_of(copied(copy), page)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: " in done.stdout


def test_another_projects_environment_is_named_as_such(copied, repository):
    """The copy's page, run with an environment that lies elsewhere."""
    copy = copied(repository)
    elsewhere = copy.parent / "environment"
    if not elsewhere.exists():
        shutil.copytree(copy / ".venv", elsewhere, symlinks=True)
    done = help_of(copy, IN_FOLDERS[0], elsewhere / "bin/python")
    assert done.returncode == 2
    assert done.stderr.endswith(
        f"use an environment of that project (make -C {copy} .venv/installed)\n"
    )


def test_every_tool_is_run_by_the_one_that_looks(repository):
    """As `tests/stages/test_scripts.py` has it for the stages."""
    for path in sorted((repository / "tools").glob("*.py")):
        last = ast.unparse(tree(path).body[-1])
        if path.name not in ("__init__.py", "nets.py", "box_nets.py"):
            assert last == "if __name__ == '__main__':\n    command()", path
            assert "    run(main)\n" in path.read_text(encoding="utf-8")
