"""The project's own source files, read as text: what the guards of its structure look at."""

import ast
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# Folders that hold no source of the project.
FOREIGN = {"build", "dist", "demo_root", "__pycache__"}


@cache
def source_files() -> tuple[Path, ...]:
    """Every Python file of the project but its tests, wherever it lies."""
    found = []
    for path in sorted(REPOSITORY.rglob("*.py")):
        parts = path.relative_to(REPOSITORY).parts
        foreign = any(part in FOREIGN or part.startswith(".") for part in parts)
        if parts[0] != "tests" and not foreign:
            found.append(path)
    return tuple(found)


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> list[str]:
    """Dotted names of all that a module imports, wherever in it; a relative import is refused."""
    names = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def name_of(path: Path) -> str:
    """A file's path in the project, for messages."""
    return path.relative_to(REPOSITORY).as_posix()
