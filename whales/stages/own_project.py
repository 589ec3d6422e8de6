"""A script and the library that it imports are of one project.

An environment knows where the project was installed from. Copied along with the project's folder, it still
imports the first one's library, and a change here, or a work root beside this folder, would go unseen.
Python decides that before a line of ours runs, so it can only be noticed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from whales.base.errors import UserError

# Packages that scripts import, and the project's folders that hold them.
_FOLDERS = {"whales": "whales", "whales_tools": "tools"}


def require_own_project() -> None:
    """`UserError` where the running script lies in another project than a package that it has imported.

    Scripts that lie in no project, such as installed commands, may import what they like.
    """
    script = getattr(sys.modules["__main__"], "__file__", None)
    project = script and _project_of(Path(script).resolve())
    if not project:
        return
    for package, folder in _FOLDERS.items():
        file = getattr(sys.modules.get(package), "__file__", None)
        if file and Path(file).resolve().parent != project / folder:
            raise UserError(
                f"{script} imports {package} from {Path(file).parent}, not from its own project: "
                f"{_advice(project)}"
            )


def _project_of(script: Path) -> Path | None:
    """The project whose folder, or a folder of it, holds a script."""
    for folder in script.parents[:2]:
        if (folder / "whales/__init__.py").is_file() and (folder / "pyproject.toml").is_file():
            return folder
    return None


def _advice(project: Path) -> str:
    if Path(sys.prefix).resolve().is_relative_to(project):  # an environment that was copied with it
        return f"run {sys.executable} -m pip install --no-deps -e {project}"
    return f"use an environment of that project (make -C {project} .venv/installed)"
