"""The pipeline through Snakemake: what runs, what runs again, what is left alone."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from proof import quick_stage

from whales.base.errors import UserError
from whales.files.workspace import Workspace
from whales.stages import graph_call
from whales.stages.graph import Graph
from whales.stages.pipeline import calls, dependants

PROOF = Path(__file__).resolve().parents[1] / "proof"
V5 = "siamese_net_v5_densenet121"
R26 = f"{V5}.r26_seamese_net_inference_v5_512px"
PYTHON = f"{sys.executable} {PROOF / 'quick_stage.py'}"
# Notes of when and how, not of what.
NOTES = ("logs", "quick", "cache")


def made(profile, root):
    """A finished root with its markers."""
    with pytest.MonkeyPatch.context() as patch:
        quick_stage.make_root(root)
        patch.setenv("WHALES_ROOT", str(root))
        return quick_stage.by_hand(root, profile, marked=True)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished root of the smoke profile, not to be written to."""
    return made("smoke", tmp_path_factory.mktemp("smoke") / "root")


@pytest.fixture
def finished(done, tmp_path):
    """A copy of it."""
    return shutil.copytree(done, tmp_path / "root")


def graph_of(root, profile="smoke"):
    return Graph.of(Workspace(root), profile, PYTHON.split())


def snakemake(repository, root, profile="smoke", *more, **config):
    """What Snakemake prints, and its exit code."""
    settings = {"profile": profile, "python": PYTHON, **config}
    command = [sys.executable, "-m", "snakemake", "-s", repository / "workflow/Snakefile"]
    command += ["--workflow-profile", repository / "workflow/profiles/local", "--cores", "2"]
    command += [*more, "--config", *(f"{key}={value}" for key, value in settings.items())]
    environment = {**os.environ, "WHALES_ROOT": str(root)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return run.stdout + run.stderr, run.returncode


def planned(repository, root, profile="smoke", **config):
    """The keys of the calls that a dry run would run."""
    output, code = snakemake(repository, root, profile, "--dry-run", **config)
    assert code == 0, output
    rules = {call.key.replace(".", "_"): call.key for call in calls(profile)}
    return {rules[rule] for rule in re.findall(r"^rule (\w+):$", output, re.M) if rule != "all"}


def begun(output):
    """Names of the calls that began, in order."""
    return re.findall(r"^\[ ?\d+/\d+\] (.*) \.\.\.$", output, re.M)


def contents(root):
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {str(p): (root / p).read_bytes() for p in files if p.parts[0] not in NOTES}


def stamps(root):
    return {path.name: path.read_text() for path in Workspace(root).found("stamp")}


# --- from nothing, and with nothing to do -----------------------------------------------------------


def test_the_files_are_those_of_stages_run_by_hand(repository, done, tmp_path):
    root = quick_stage.make_root(tmp_path / "root")
    output, code = snakemake(repository, root)
    assert code == 0, output
    assert sorted(begun(output)) == sorted(call.name for call in calls("smoke"))
    assert contents(root) == contents(done)
    assert stamps(root) == stamps(done)
    for call in calls("smoke"):
        assert graph_of(root).marker(call).read_text() == graph_of(done).marker(call).read_text()
    output, code = snakemake(repository, root)
    assert code == 0, output
    assert begun(output) == []
    assert output.count(": up to date\n") == len(calls("smoke"))


@pytest.mark.slow
def test_a_forced_fold_runs_again_with_all_that_need_it_and_no_other(repository, tmp_path):
    root = made("full", tmp_path / "root")
    key = f"{V5}.r15_seamese_net_train_v5_finetune_512px_fold_2"
    expected = {
        key,
        f"{R26}_fold_2",
        f"{V5}.r28_seamese_net_create_submission_v5_512px",
        "r20_prepare_matrices_for_ensemble",
        "final_ensemble_with_post_proc",
    }
    assert planned(repository, root, "full", force=key) == expected
    assert planned(repository, root, "full") == set()  # a dry run has changed nothing
    stamp = Workspace(root).file("stamp", stage=key)
    before = stamp.stat().st_mtime_ns
    output, code = snakemake(repository, root, "full", force=key)
    assert code == 0, output
    assert len(begun(output)) == len(expected)
    assert stamp.stat().st_mtime_ns > before


def test_a_retry_forces_again_what_had_not_begun(finished):
    """A stage drops its stamp as it begins: ended before, it would be up to date for the retry."""
    graph = graph_of(finished)
    call, again = graph.call(R26), graph.workspace.file("again")
    again.parent.mkdir(parents=True, exist_ok=True)
    again.write_text("one run of an engine")
    assert graph_call._first_time(graph, call)
    assert graph_call._first_time(graph, call)
    graph.workspace.file("stamp", stage=call.stamps[0]).unlink()
    assert not graph_call._first_time(graph, call)
    again.write_text("another run")
    assert graph_call._first_time(graph, call)
    assert not graph_call._first_time(graph, call)


# --- what runs again --------------------------------------------------------------------------------


def lose_a_matrix(root):
    Workspace(root).file("valid_matrix_v5", fold=1).unlink()


def lose_a_mean(root):
    Workspace(root).file("test_matrix_v5").unlink()


def lose_a_marker(root):
    graph = graph_of(root)
    graph.marker(graph.call(R26)).unlink()


def change_a_number(root):
    (root / f"quick/{R26}.number").write_text("2")


def change_an_input(root):
    """Its time says nothing: it is older than all markers."""
    path = Workspace(root).file("weights_v5_512", fold=2, tag="final", score="0.500000")
    path.write_text("published\n")
    os.utime(path, (1e9, 1e9))


def run_by_hand(root):
    change_a_number(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHALES_ROOT", str(root))
        quick_stage.main([str(quick_stage.REPOSITORY / graph_of(root).call(R26).stage.script)])


@pytest.mark.parametrize(
    "change",
    [lose_a_matrix, lose_a_mean, lose_a_marker, change_a_number, change_an_input, run_by_hand],
)
def test_what_does_not_hold_any_more_runs_with_all_that_need_it(finished, change):
    graph = graph_of(finished)
    change(finished)
    wanted = {graph.call(R26), *dependants(graph.call(R26), "smoke")}
    assert {*graph.outdated()} == wanted
    assert len(wanted) == 4


def test_a_file_that_was_deleted_in_the_middle_is_made_again(repository, finished):
    before = contents(finished)
    lose_a_matrix(finished)
    expected = {R26, *(call.key for call in dependants(graph_of(finished).call(R26), "smoke"))}
    assert planned(repository, finished) == expected
    assert snakemake(repository, finished)[1] == 0
    assert contents(finished) == before
    assert graph_of(finished).outdated() == []


# --- failures ---------------------------------------------------------------------------------------


def test_a_failed_call_whose_input_then_changes_runs(repository, finished):
    ws, graph = Workspace(finished), graph_of(finished)
    call, fault = graph.call(R26), finished / f"quick/{R26}.fail"
    change_an_input(finished)
    fault.write_text("fold 2 is damaged")
    output, code = snakemake(repository, finished)
    assert code == 1
    assert f"{graph.title(call)}: failed\nerror: fold 2 is damaged\n" in output
    assert ws.file("failed_call", call=R26).read_text() == "2\nerror: fold 2 is damaged\n"
    assert ws.file("test_matrix_v5").exists()  # only the marker went
    assert not graph.marker(call).exists()
    assert begun(output) == [call.name]
    fault.unlink()
    ws.file("weights_v5_512", fold=2, tag="final", score="0.500000").write_text("mended\n")
    output, code = snakemake(repository, finished)
    assert code == 0, output
    assert len(begun(output)) == 4
    assert "error: fold 2 is damaged" in graph.log_file(call).read_text()  # a retry's log is added
    assert not ws.file("failed_call", call=R26).exists()
    assert graph.outdated() == []


KILLED = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import psutil
from whales.stages import graph_call
from whales.stages.stage import run
def kill():
    while not Path(sys.argv[1]).exists():
        time.sleep(0.02)
    script = sys.argv[2].split(".")[-1]
    [stage] = [one for one in psutil.Process().children() if script in " ".join(one.cmdline())]
    stage.kill()
with ThreadPoolExecutor(1) as pool:
    pool.submit(kill)
    run(lambda: graph_call.main([sys.argv[2], "--profile", "smoke", "--python", sys.argv[3]]))
"""


def test_a_killed_stage_fails_its_call(finished, run_python):
    quick = finished / "quick"
    (quick / f"{R26}.wait").touch()
    (quick / f"{R26}.begun").unlink()
    change_a_number(finished)
    done = run_python("-c", KILLED, quick / f"{R26}.begun", R26, PYTHON, WHALES_ROOT=str(finished))
    assert done.returncode == 128 + signal.SIGKILL, done.stderr
    assert f"{graph_of(finished).title(graph_of(finished).call(R26))}: failed\n" in done.stdout
    (quick / f"{R26}.wait").unlink()
    call = ("-m", "whales.stages.graph_call", R26, "--profile", "smoke", "--python", PYTHON)
    done = run_python(*call, WHALES_ROOT=str(finished))
    assert done.returncode == 0, done.stderr
    assert not {graph_of(finished).call(R26)} & {*graph_of(finished).outdated()}


# --- what it refuses --------------------------------------------------------------------------------


def test_refusals(repository, done):
    output, code = snakemake(repository, done, "smoke", "--dry-run", force="nothing.r99")
    assert code == 1
    assert "nothing.r99 is no call of the" in output
    with pytest.raises(UserError, match="no call of the"):
        graph_of(done).call("nothing.r99")
    with pytest.raises(UserError, match="there is no work root"):
        Graph.of(Workspace(done / "nowhere").existing(), "smoke", ["python"])


def test_a_stage_that_leaves_no_stamp_is_not_marked(tmp_path):
    graph = graph_of(tmp_path)
    with pytest.raises(UserError, match="without its stamp"):
        graph.mark(graph.calls[0])


def test_the_snakefile_is_short(repository):
    assert len((repository / "workflow/Snakefile").read_text().splitlines()) < 100
