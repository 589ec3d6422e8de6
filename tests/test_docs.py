"""The documentation held against the project: its size, links, commands and names, and its code blocks run.

A block runs if the line before its fence is a comment: `<!-- run -->` on a fresh sample,
`<!-- run with trained nets -->` where `WHALES_DEMO_ROOT` names a work root that `make demo` finished.
`<!-- by hand -->` stands before the page on which people decide; here a decision is written instead.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from house import REPOSITORY

from sample_data.competition import make
from whales.files.decisions import SAME, Decision, DecisionLog, now
from whales.files.import_table import imported
from whales.files.labels import NEW_WHALE, read_labels, stem, with_jpg
from whales.files.workspace import Workspace
from whales.scores.query_results import results_of_table

RUN, TRAINED, BY_HAND = "run", "run with trained nets", "by hand"
LARGEST = 8 * 1024  # bytes of README.md: what a reader takes in before choosing a page
PAGES = [
    REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
]
PAGES += sorted((REPOSITORY / "docs").glob("*.md"))
SCRIPT = re.compile(r"python3 ([\w./]+\.py)")
COMMAND = re.compile(r"\bwhales-[a-z]+\b")
OPTION = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def page_name(path):
    """A page's path in the project."""
    return path.relative_to(REPOSITORY).as_posix()


class Block(NamedTuple):
    """A code block: where it begins, its language, its comment ("" for none), its text."""

    page: Path
    line: int
    language: str
    mark: str
    text: str


def blocks_of(page):
    """The code blocks of a page, in order."""
    found, mark, lines = [], "", page.read_text(encoding="utf-8").splitlines()
    start = None
    for number, line in enumerate(lines):
        if start is None and line.startswith("```"):
            start, language = number, line.removeprefix("```")
        elif start is not None and line == "```":
            text = "\n".join(lines[start + 1 : number])
            found.append(Block(page, start + 1, language, mark, text))
            start = None
        if start is None:
            comment = re.fullmatch(r"<!-- (.+) -->", line)
            mark = comment[1] if comment else ""
    assert start is None, f"{page_name(page)}:{start}: a code block without an end"
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands(text):
    """The single commands of a shell block."""
    lines = text.replace("\\\n", " ").splitlines()
    return [part for line in lines for part in re.split(r"&&|;|\|", line.split(" # ")[0])]


def without_blocks(page):
    """A page's text without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page):
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", without_blocks(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# --- size, links, names ---------------------------------------------------------------------------


def test_the_readme_is_short():
    assert (REPOSITORY / "README.md").stat().st_size <= LARGEST


def test_every_page_says_whom_it_is_for():
    for page in PAGES[1:]:
        title, empty, reader = page.read_text(encoding="utf-8").splitlines()[:3]
        assert (title[:2], empty) == ("# ", "")
        assert reader.startswith("*For "), page_name(page)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page if not name else (page.parent / name)
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_pages_that_messages_name_have_these_sections():
    """Messages of the program point to a page and a section: docs/x.md, 'Section'."""
    named = set()
    for path in [*REPOSITORY.glob("*.py"), *REPOSITORY.glob("*/**/*.py")]:
        if "tests" not in path.parts and not any(part.startswith(".") for part in path.parts):
            text = path.read_text(encoding="utf-8")
            assert "README, '" not in text, path
            named |= set(re.findall(r"(docs/\w+\.md), '([^']+)'", text))
    assert named
    for name, section in named:
        titles = re.findall(r"^#+ (.+)$", without_blocks(REPOSITORY / name), re.M)
        assert section in titles, (name, section)


def module_names(page):
    """Dotted names of the project's modules in a page's code spans; of the changelog, the new ones."""
    text = without_blocks(page)
    if page.name == "CHANGELOG.md":
        text = "\n".join(re.sub(r"^\|[^|]*", "", line) for line in text.splitlines())
        text = text.split("`whales.siamese` took")[0]
    return set(re.findall(r"`((?:whales|whales_tools|retinanet)(?:\.\w+)+)`", text))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_modules_that_are_named_exist(page):
    missing = []
    for name in module_names(page):
        path = REPOSITORY / name.replace("whales_tools", "tools").replace(".", "/")
        if not (path.is_dir() or path.with_suffix(".py").is_file()):
            missing.append(name)
    assert missing == []


def test_the_table_of_floors_names_modules_that_exist():
    text = (REPOSITORY / "docs/design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(whales\.\w+)` \|[^|]*\|(.*)\|$", text, re.M)
    assert len(rows) == 13
    for floor, modules in rows:
        folder = REPOSITORY / floor.replace(".", "/")
        for name in re.findall(r"`([a-z_]+)`", modules):
            assert (folder / f"{name}.py").is_file(), f"{floor}.{name}"


# --- commands -------------------------------------------------------------------------------------


def documented_commands():
    """(where, command, script) of every call of the project in a shell block and in code spans."""
    found = []
    for block in BLOCKS:
        for command in commands(block.text) if block.language == "sh" else ():
            found.append((f"{page_name(block.page)}:{block.line}", command))
    for page in PAGES:
        if page.name != "CHANGELOG.md":  # it names commands that are gone
            spans = re.findall(r"`([^`\n]+)`", without_blocks(page))
            found += [(page_name(page), span) for span in spans]
    calls = []
    for where, command in found:
        scripts = SCRIPT.findall(command) + COMMAND.findall(command)
        calls += [(where, command, script) for script in scripts]
    return calls


def script_of(name):
    """The file behind a script's path or an installed command."""
    if name.endswith(".py"):
        return REPOSITORY / name
    assert name in PROJECT["scripts"], name
    module = PROJECT["scripts"][name].split(":")[0]
    return REPOSITORY / (module.replace("whales_tools", "tools").replace(".", "/") + ".py")


def test_documented_scripts_and_commands_exist():
    calls = [(where, script) for where, _, script in documented_commands()]
    calls += [("CHANGELOG.md", name) for name in COMMAND.findall(PAGES[1].read_text("utf-8"))]
    assert len(calls) > 60
    for where, script in calls:
        assert script_of(script).is_file(), (where, script)


def test_documented_options_exist(run_python):
    wanted = {}
    for where, command, script in documented_commands():
        options = set(OPTION.findall(command)) - {"--help"}
        if options:
            wanted.setdefault(script_of(script), []).append((where, options))
    assert len(wanted) > 5
    for script, uses in wanted.items():
        done = run_python(script, "--help")
        assert done.returncode == 0, done.stderr
        known = set(OPTION.findall(done.stdout))
        for where, options in uses:
            assert options <= known, (where, script.name, options - known)


# --- code blocks run ------------------------------------------------------------------------------


class Reader:
    """Somebody who types the blocks of the pages, one after the other, in the project's folder."""

    def __init__(self, folder):
        """folder: of its own; the project's folder is made in it, of links to the real files."""
        self.project = folder / "project"
        self.project.mkdir()
        for path in REPOSITORY.iterdir():
            if not path.name.startswith(".") and path.name not in ("demo_root", "build"):
                (self.project / path.name).symlink_to(path)
        self.environment = folder / "environment.sh"
        self.roots = folder

    def begin_page(self):
        """A new terminal."""
        self.environment.write_text("", encoding="utf-8")

    def run(self, block):
        """Run a block as it is written; what it exports holds for the page's next ones."""
        text = block.text
        if block.language == "python":
            (self.project / "example.py").write_text(text + "\n", encoding="utf-8")
            text = "python3 example.py"
        state = f'"{self.environment}"'
        paths = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        outside = {key: value for key, value in os.environ.items() if key != "WHALES_ROOT"}
        python_path = filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"source {state}\n{text}\nexport -p > {state}"],
            cwd=self.project,
            env={
                **outside,
                "PATH": os.pathsep.join(paths),
                "PYTHONPATH": os.pathsep.join(python_path),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        where = f"{page_name(block.page)}:{block.line}"
        assert done.returncode == 0, f"{where}\n{block.text}\n{done.stdout}\n{done.stderr}"

    def lay_out_photos(self, root):
        """`catalogue/` and `new_photos/` as docs/catalogue.md has them, from a work root's photos."""
        data = root / "data"
        for name, identity in read_labels(data / "train.csv").itertuples(index=False):
            folder = "unknown" if identity == NEW_WHALE else identity
            target = self.project / "catalogue" / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / "train" / name, target)
        (self.project / "new_photos").mkdir()
        for photo in sorted((data / "test").glob("*.jpg"))[:3]:
            shutil.copy(photo, self.project / "new_photos")

    def answer_without_nets(self):
        """`found.csv` as tools/identify.py writes it, for where no nets are trained."""
        workspace = Workspace(self.roots / "my_whales")
        labels = read_labels(workspace.file("train_csv"))
        known, identity = next(row for row in labels.itertuples(index=False) if row[1] != NEW_WHALE)
        with open(self.project / "found.csv", "w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(("query", "fluke", "rank", "identity", "photo"))
            for photo in sorted(self.project.glob("new_photos/*")):
                query = photo.relative_to(self.project)
                out.writerow((query, 1, 1, identity, known))

    def decide(self):
        """What a person would do on the page: the first query is its first candidate."""
        workspace = Workspace(self.roots / "my_whales")
        found = self.project / "found.csv"
        if not found.exists():
            self.answer_without_nets()
        folder = os.getcwd()
        os.chdir(self.project)
        try:
            results = results_of_table(workspace, found)
        finally:
            os.chdir(folder)
        query, (best, *_) = results.queries[0], results.candidates("results")[0]
        row = Decision("ann", now(), query.name, SAME, with_jpg(best.photo), "")
        DecisionLog(workspace.file("decisions")).append(row)
        assert stem(query.name) in imported(workspace)


def read_all_pages(reader, marks):
    """Run the blocks with these marks, page after page."""
    for page in PAGES:
        reader.begin_page()
        for block in BLOCKS:
            if block.page == page and block.mark in marks:
                reader.run(block)
            elif block.page == page and block.mark == BY_HAND:
                reader.decide()


def check_results(reader):
    """What the pages promise is there."""
    before = read_labels(reader.roots / "my_whales/data/train.csv")
    assert len(read_labels(reader.project / "labels.csv")) == len(before) + 1
    assert (reader.project / "labels_summary.txt").is_file()
    assert (reader.project / "sightings.csv").is_file()
    assert any((reader.project / "individuals").iterdir())
    assert (reader.project / "demo_root/report/report.html").is_file()
    assert (reader.project / "photo.png").is_file()
    assert (reader.project / "scores.json").is_file()


def test_blocks_are_marked(capsys):
    counts = Counter(block.mark for block in BLOCKS)
    with capsys.disabled():
        print(f"\ncode blocks: {counts[RUN]} run, {counts[TRAINED]} need trained nets, "
              f"{counts[BY_HAND]} by hand, {counts['']} are not run")  # fmt: skip
    assert set(counts) <= {RUN, TRAINED, BY_HAND, ""}
    assert counts[RUN] >= 5
    assert counts[TRAINED] >= 3


def test_blocks_run(tmp_path):
    reader = Reader(tmp_path)
    root = reader.project / "demo_root"
    make(root, 1)
    reader.lay_out_photos(root)
    read_all_pages(reader, {RUN})
    check_results(reader)


@pytest.mark.slow
def test_blocks_with_trained_nets_run(tmp_path):
    named = os.environ.get("WHALES_DEMO_ROOT")
    if not named:
        pytest.skip("needs a root that `make demo` finished, named by WHALES_DEMO_ROOT")
    trained = Path(named).resolve()
    if not (trained / "submission/final_submit_with_post_proc.csv").is_file():
        pytest.skip(f"WHALES_DEMO_ROOT: `make demo` has not finished in {trained}")
    reader = Reader(tmp_path)
    # A copy, which the blocks may write to; the cache is left out, since it is large.
    root = reader.project / "demo_root"
    shutil.copytree(trained, root, ignore=shutil.ignore_patterns("cache", "logs"))
    reader.lay_out_photos(root)
    read_all_pages(reader, {RUN, TRAINED})
    check_results(reader)
    with open(reader.project / "found.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["query"] for row in rows} == {
        f"new_photos/{photo.name}" for photo in reader.project.glob("new_photos/*")
    }


def test_the_design_names_every_module_of_the_library():
    text = (REPOSITORY / "docs/design.md").read_text(encoding="utf-8")
    missing = [
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("whales", "retinanet/detector")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        if path.stem != "__init__" and f"`{path.stem}`" not in text
    ]
    assert missing == []
