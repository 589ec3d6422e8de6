"""The house's rules, held against every source file: lengths, excepts, who imports whom, doctests."""

import ast
import doctest
import importlib
import subprocess
import tomllib

import pytest
from house import REPOSITORY, imported, name_of, source_files, tree

STAGE_FOLDERS = (
    "retinanet",
    "siamese_net_v5_densenet121",
    "siamese_net_v6_se_resnext",
    "kernel_snn",
)
TOP_STAGES = (
    "r10_create_kfold_split",
    "r20_prepare_matrices_for_ensemble",
    "final_ensemble_with_post_proc",
)
# Bytes of a file, at most.
LARGEST = 1_000_000
LARGE = {"kernel_snn/generated_start.h5": 6_000_000}
TOOLS = ("exchange", "identifying", "inspecting", "reporting", "reviewing")
LIBRARY = [path for path in source_files() if name_of(path).startswith("whales/")]


def stage_pages():
    """Dotted names of the numbered scripts and of those that the method calls otherwise."""
    pages = [*TOP_STAGES]
    for folder in STAGE_FOLDERS:
        for pattern in ("r[0-9]*.py", "snn_*.py", "kfold_*.py"):
            pages += [f"{folder}.{path.stem}" for path in (REPOSITORY / folder).glob(pattern)]
    return tuple(pages)


def test_the_guards_see_the_whole_library():
    folders = {path.parent for path in LIBRARY}
    assert len(folders) >= 5
    assert len(LIBRARY) > 50


def test_no_function_is_longer_than_60_lines():
    long = [
        f"{name_of(path)}: {node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for path in source_files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > 60
    ]
    assert long == []


def test_no_script_is_longer_than_80_lines():
    pages = [REPOSITORY / f"{name.replace('.', '/')}.py" for name in stage_pages()]
    long = [name_of(p) for p in pages if len(p.read_text(encoding="utf-8").splitlines()) > 80]
    assert long == []


def test_no_bare_except():
    bare = [
        f"{name_of(path)}:{node.lineno}"
        for path in source_files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) == "BaseException")
    ]
    assert bare == []


def test_the_library_imports_no_stage():
    for path in LIBRARY:
        wrong = [
            name for name in imported(path) if name.split(".")[0] in (*STAGE_FOLDERS, *TOP_STAGES)
        ]
        assert wrong == [], name_of(path)


def test_no_tool_imports_another():
    for path in LIBRARY:
        folder = name_of(path).split("/")[1]
        if folder in TOOLS:
            others = tuple(f"whales.{tool}." for tool in TOOLS if tool != folder)
            wrong = [name for name in imported(path) if name.startswith(others)]
            assert wrong == [], name_of(path)


def test_stages_import_no_stage_and_no_other_net():
    pages = stage_pages()
    folders = [path for path in source_files() if name_of(path).split("/")[0] in STAGE_FOLDERS]
    for path in folders:
        names = imported(path)
        assert [name for name in names if name.startswith(pages)] == [], name_of(path)
        own = name_of(path).split("/")[0]
        others = [f for f in STAGE_FOLDERS if f != own and any(n.split(".")[0] == f for n in names)]
        assert others == [], name_of(path)


def documented():
    """Modules of the library with an example in a docstring."""
    return [path for path in LIBRARY if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", documented(), ids=name_of)
def test_examples_in_docstrings(path):
    module = importlib.import_module(name_of(path)[:-3].replace("/", "."))
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed


def test_every_package_is_in_the_wheel():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    listed = {
        name.replace("whales_tools", "tools") for name in settings["tool"]["setuptools"]["packages"]
    }
    folders = {name_of(path.parent) for path in source_files() if path.name == "__init__.py"}
    assert {name.replace("/", ".") for name in folders} - {"benchmarks"} == listed


def test_no_file_is_large():
    """Whoever clones the project fetches all of it: data and weights stay out, but for those named here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    names = [name for name in listed.stdout.split("\0") if (REPOSITORY / name).is_file()]
    if listed.returncode or not names:
        pytest.skip("needs the project's folder as git has it")
    large = {
        name: size
        for name in names
        if (size := (REPOSITORY / name).stat().st_size) > LARGE.get(name, LARGEST)
    }
    assert large == {}


def test_library_names_are_typed():
    """Every public function and method of the product says what it takes and gives."""
    untyped = [
        f"{name_of(path)}: {node.name}"
        for path in source_files()
        if name_of(path).split("/")[0] in ("whales", "tools", *STAGE_FOLDERS)
        or "/" not in name_of(path)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and not _typed(node)
    ]
    assert untyped == []


def _typed(node):
    if node.name.startswith("_") and node.name != "__init__":
        return True
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    named = [argument for argument in arguments if argument.arg not in ("self", "cls")]
    compiled = any("njit" in ast.unparse(decorator) for decorator in node.decorator_list)
    return compiled or (node.returns is not None and all(a.annotation for a in named))
