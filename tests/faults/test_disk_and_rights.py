"""Where nothing can be written: found before long work, said in one line; what only reads works on."""

import errno
import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from failing_writes import FailingDisk
from helpers import refused, write_lines

from whales.base import writing
from whales.base.folders import new_folder
from whales.base.pickles import save
from whales.base.writing import (
    HOST,
    is_temporary,
    require_space,
    require_writable,
    require_writable_folder,
    temporary_path,
    write_text,
)
from whales.files.workspace import Workspace
from whales.photos.crop_store import CropStore
from whales.photos.photo_store import PhotoStore
from whales.stages.stage import run

LONG = "ä" * 200


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """As in a process of its own: nothing swept, nothing said."""
    monkeypatch.setattr(writing, "_swept", set())
    monkeypatch.setattr(writing, "_said", set())


def tree(folder):
    """All that lies in a folder, with the bytes of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


# --- names of temporaries -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.csv", "a", "a.b.tar.gz", f"{'x' * 251}.pkl", f"{'ä' * 120}.h5", ".a"]
)
def test_a_temporary_has_a_short_name_of_its_own_kind(tmp_path, name):
    first, second = temporary_path(tmp_path / name), temporary_path(tmp_path / name)
    assert first != second
    assert first.suffix == Path(name).suffix or not Path(name).suffix
    for path in (first, second):
        assert path.name[0] == "."
        assert len(os.fsencode(path.name)) <= 143
        assert f".{HOST}.{os.getpid()}." in path.name
        assert is_temporary(path)
    write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "name", ["a.part", ".a.csv", ".part", "a.vm-1.12.0011aabb.part.csv", ".a.12.csv"]
)
def test_other_names_are_no_temporaries(name):
    assert not is_temporary(Path(name))


def test_no_reader_takes_a_temporary(tmp_path):
    """Of every file of the contract that a reader looks for by a pattern."""
    ws = Workspace(tmp_path)
    for key in ("valid_matrix_v5", "retinanet_best", "retinanet_converted", "retinanet_fold_csv"):
        path = ws.file(key, fold=1, part="train", epoch=3, iou=0.5)
        write_lines(temporary_path(path), "torn")
    for part in ("train", "test"):
        write_lines(temporary_path(ws.file("detections_cache", part=part, name="x")), "torn")
    write_lines(temporary_path(ws.file("features", net="v5", fold=0)), "torn")
    write_lines(
        temporary_path(ws.file("models_kernel") / "P_fold_0_final_0.9.model_weights"), "torn"
    )
    for key in ("valid_matrix_v5", "retinanet_best", "retinanet_converted", "retinanet_fold_csv",
                "detections_cache", "features"):  # fmt: skip
        assert ws.found(key) == [], key
    assert ws.pickles_and_tables() == []
    from whales.scores.root_scores import kernel_fold_map5

    assert kernel_fold_map5(ws, 0) is None


# --- torn temporaries -----------------------------------------------------------------------------


def torn(folder, host, process, age=0.0, name="a", suffix=".csv"):
    path = folder / f".{name}.{host}.{process}.0123abcd.part{suffix}"
    write_lines(path, "torn")
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


WEEKS = 8 * 24 * 3600


def test_torn_temporaries_are_swept_when_their_folder_is_written_to(tmp_path):
    dead = dead_process()
    gone = [
        torn(tmp_path, HOST, dead),
        torn(tmp_path, HOST, dead, suffix=".pkl", name="another"),
        torn(tmp_path, "other-12345678", 1, age=WEEKS),
        torn(tmp_path, HOST, os.getpid(), age=WEEKS),
    ]
    old_form = tmp_path / f".a.{dead}.part.csv"
    write_lines(old_form, "torn")
    os.utime(old_form, (1, 1))
    folder = tmp_path / f".new.{HOST}.{dead}.0123abcd.part"
    write_lines(folder / "sub" / "half.jpg", "torn")
    gone += [old_form, folder]
    kept = [
        torn(tmp_path, HOST, os.getpid(), name="mine"),
        torn(tmp_path, "other-12345678", dead),
        write_lines(tmp_path / f"a.{HOST}.{dead}.0123abcd.part.csv", "a user's"),
        write_lines(tmp_path / ".hidden.csv", "a user's"),
    ]
    write_text(tmp_path / "b.csv", "whole")
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_a_killed_process_leaves_nothing_for_long(tmp_path):
    code = (
        "import os, signal, sys; from whales.base.writing import atomic_path\n"
        f"with atomic_path({str(tmp_path / 'a.csv')!r}) as path:\n"
        "    path.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len([path for path in tmp_path.iterdir() if is_temporary(path)]) == 1
    write_text(tmp_path / "b.csv", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.csv"]


# --- targets that cannot be written ---------------------------------------------------------------


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A current folder with a file, a folder and a protected file; name of a target -> what is said."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "folder").mkdir()
    write_lines(here / "file", "x")
    write_lines(here / "protected.csv", "mine").chmod(0o444)
    os.mkfifo(here / "pipe.csv")
    (here / "null.csv").symlink_to("/dev/null")
    return {
        "folder": "folder is a folder",
        "file/a.csv": "Not a directory",
        "/proc/a.csv": "No such file",
        "/proc/new/a.csv": "No such file",
        "protected.csv": "protected against writing",
        "pipe.csv": "device or a pipe",
        "null.csv": "device or a pipe",
        "/dev/null": "device",
        "/dev/stdout": "device",
        f"{LONG}.csv": "too long",
        f"new/{LONG}/a.csv": "too long",
    }


def test_a_target_that_cannot_be_written_is_refused_and_nothing_changes(places):
    before = tree(Path("here/.."))
    for name, words in places.items():
        refused(lambda name=name: require_writable(name), name, words)
        refused(lambda name=name: write_text(name, "new"), name, words)
    require_writable("new/folder/a.csv", "a.csv", None)
    refused(lambda: require_writable("a.csv", "folder/../a.csv"), "named twice")
    refused(lambda: require_writable_folder("file"), "file is a file")
    refused(lambda: require_writable_folder("file/new"), "Not a directory")
    require_writable_folder("new")
    assert tree(Path("here/..")) == before


def test_a_folder_that_cannot_be_made_is_refused(places, monkeypatch):
    def make(name):
        with new_folder(name):
            raise AssertionError("the block has begun")

    for name in ("file/new", "/proc/new", LONG, "file", "/dev/shm"):
        refused(lambda name=name: make(name))


def test_more_than_the_disk_has_is_refused(tmp_path):
    require_space(tmp_path / "new" / "a.pkl", 1000)
    refused(lambda: require_space(tmp_path / "new" / "a.pkl", 1 << 60), "a.pkl", "free some space")


COMMANDS = (
    "evaluate {root}/answers.csv {root}/truth.csv --json",
    "inspect_pickle {root}/answers.csv --csv",
    "inspect_pickle {root}/answers.csv --json",
    "inspect_pickle {root}/answers.csv --plot",
    "report --root {root} --out",
    "export_results --answers {root}/answers.csv --csv",
    "export_results --answers {root}/answers.csv --coco",
    "export_results --answers {root}/answers.csv --capture-histories",
    "export_results --answers {root}/answers.csv --csv ok.csv --folders",
    "identify {root}/photos --csv",
    "identify {root}/photos --html",
    "identify {root}/photos --why",
    "import_dataset {root}/photos",
)


def answered_root(root):
    """A work root with an answer for two photos, and the truth."""
    names = ["a.jpg", "b.jpg"]
    five = "w_1 w_2 w_3 w_4 w_5"
    write_lines(root / "answers.csv", "Image,Id", *(f"{name},{five}" for name in names))
    write_lines(root / "truth.csv", "Image,Id", *(f"{name},w_1" for name in names))
    write_lines(root / "data/train.csv", "Image,Id", *(f"c{i}.jpg,w_{i}" for i in range(1, 6)))
    write_lines(root / "data/sample_submission.csv", "Image,Id", *(f"{n},new_whale" for n in names))
    write_lines(root / "photos" / "w_1" / "a.jpg", "no photo")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_tool_tries_its_target_first(work_root, places, capsys, command):
    answered_root(work_root)
    tool, *words = command.format(root=work_root).split()
    main = importlib.import_module(f"whales_tools.{tool}").main
    top = Path("..").resolve()
    before = tree(top)
    for name in places:
        if name in ("folder", "/dev/stdout") and words[-1] in (
            "--folders",
            "--why",
            f"{work_root}/photos",
        ):
            continue  # an empty folder will do, and what stdout is differs
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            run(lambda name=name: main([*words, name]))
        out, err = capsys.readouterr()
        assert left.value.code == 2, name
        assert err.count("\n") == 1, (name, err)
        assert Path(name).resolve().name[:20] in err or Path(name).name[:20] in err, (name, err)
        assert out == "", (name, out)
        assert tree(top) == before, name


def test_the_program_says_the_place_not_a_traceback(work_root, script, capsys):
    """A stage whose outputs cannot be written stops before it computes, and keeps its stamp."""
    ws = Workspace(work_root)
    rows = [f"k{i}.jpg,w_{i // 4}" for i in range(40)]
    write_lines(ws.file("train_csv"), "Image,Id", *rows)
    main = script("kernel_snn/kfold_splits_for_kernel.py").main
    save(ws.file("boxes_averaged"), {f"k{i}": (0, 0, 9, 9) for i in range(40)})
    save(ws.file("boxes_averaged_playground"), {})
    main([])
    target = ws.file("folds_kernel")
    target.chmod(0o444)
    before = tree(work_root)
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        run(lambda: main(["--force"]))
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert err == (
        f"error: {target} is protected against writing; make the place writable, or name another\n"
    )
    # Digests are written where there are some that took long.
    digests = {"cache/digests.json", "cache/digests.lock"}
    assert tree(work_root).keys() - before.keys() <= digests
    assert target.read_bytes() == before[target.relative_to(work_root).as_posix()]
    main([])
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE]
)
def test_a_fault_of_the_disk_from_anywhere_is_one_line(capsys, number):
    def fail():
        raise OSError(number, os.strerror(number), "/some/file")

    with pytest.raises(SystemExit) as left:
        run(fail)
    err = capsys.readouterr().err
    assert left.value.code == 2
    assert err.startswith(f"error: /some/file: {os.strerror(number)}; ")
    assert err.count("\n") == 1


def test_a_defect_keeps_its_traceback():
    for reason in (FileNotFoundError(errno.ENOENT, "no", "x"), OSError("odd"), ValueError("no")):
        with pytest.raises(type(reason)):
            run(lambda reason=reason: (_ for _ in ()).throw(reason))


def test_an_output_that_cannot_be_printed(work_root, repository):
    """On a full disk one line; a reader that has gone, such as `head`, gets none."""
    answered_root(work_root)
    tool = f"{sys.executable} {repository}/tools/evaluate.py {work_root}/answers.csv {work_root}/truth.csv"
    for end, code, lines in (("> /dev/full", 2, 1), ("| true; exit ${PIPESTATUS[0]}", 1, 0)):
        done = subprocess.run(
            ["bash", "-c", f"{tool} {end}"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr.count("\n")) == (code, lines), (end, done.stderr)
        assert "Traceback" not in done.stderr


# --- caches ---------------------------------------------------------------------------------------


CROP = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


def crops(folder):
    """Puts three crops into a store, and how many are there afterwards."""
    store = CropStore(folder, 8)
    for name in "abc":
        store.put(name, (), CROP)
    store.close()
    return CropStore(folder, 8)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_full_cache_of_crops_costs_time_alone(tmp_path, capsys, number):
    for at in range(1, 100):
        writing._said.clear()
        shutil.rmtree(tmp_path / "root", ignore_errors=True)
        (tmp_path / "root").mkdir()
        disk = FailingDisk(tmp_path / "root", at, number)
        with disk.in_use():
            store = crops(tmp_path / "root" / "crops")
        said = capsys.readouterr().out
        for name in "abc":
            kept = store.get(name, ())
            assert kept is None or (kept == CROP).all()
        if not disk.failed:
            break
        assert said.count("crops are not kept, which only costs time") == 1, said
    assert at > 5
    assert all((store.get(name, ()) == CROP).all() for name in "abc")


def test_damaged_crops_are_not_read(tmp_path):
    crops(tmp_path)
    (data,) = tmp_path.glob("*.u8")
    whole = data.read_bytes()
    size = CROP.nbytes
    for damaged, left in (
        (bytes(len(whole)), ""),  # as a power cut can leave it
        (whole[: size + 5], "a"),
        (whole[:size] + b"\0" + whole[size + 1 :], "abc"),  # the first byte of b is 0 anyway
        (whole[:size] + b"\1" + whole[size + 1 :], "ac"),
    ):
        data.write_bytes(damaged)
        store = CropStore(tmp_path, 8)
        assert "".join(name for name in "abc" if store.get(name, ()) is not None) == left


def test_shards_of_other_hosts_stay(tmp_path):
    dead = dead_process()
    for name, age in (
        (f"8px_other-12345678_{dead}_0123abcd", 0),
        (f"8px_{dead}_0123abcd", 0),  # of a version that named no host
        (f"8px_{HOST}_{dead}_0123abcd", 0),
        (f"8px_other-12345678_{dead}_aaaaaaaa", WEEKS),
    ):
        path = write_lines(tmp_path / f"{name}.u8", "x")
        moment = time.time() - age
        os.utime(path, (moment, moment))
    CropStore(tmp_path, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [f"8px_other-12345678_{dead}_0123abcd.u8", f"8px_{dead}_0123abcd.u8"]
    )


def photo(tmp_path, name="a"):
    import cv2

    path = tmp_path / f"{name}.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


def test_a_full_cache_of_photos_costs_time_alone(tmp_path, capsys):
    from whales.photos.photos import read_photo

    path = photo(tmp_path)
    expected = read_photo(path)
    for at in range(1, 100):
        writing._said.clear()
        shutil.rmtree(tmp_path / "kept", ignore_errors=True)
        disk = FailingDisk(tmp_path, at)
        with disk.in_use():
            np.testing.assert_array_equal(PhotoStore(tmp_path / "kept").read(path), expected)
        said = capsys.readouterr().out
        kept = list((tmp_path / "kept").glob("*.npy"))  # where only its name is not yet safe
        np.testing.assert_array_equal(PhotoStore(tmp_path / "kept").read(path), expected)
        assert not [file for file in (tmp_path / "kept").iterdir() if is_temporary(file)]
        if not disk.failed:
            break
        assert said.count("decoded photos are not kept, which only costs time") == (
            0 if kept else 1
        )
    assert at > 3


@pytest.mark.parametrize("content", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros(0)])
def test_a_kept_photo_of_another_kind_is_decoded_again(tmp_path, content):
    from whales.photos.photos import read_photo

    path = photo(tmp_path, "x" * 240)
    PhotoStore(tmp_path / "kept").read(path)
    (kept,) = (tmp_path / "kept").iterdir()
    np.save(kept, content)
    np.testing.assert_array_equal(PhotoStore(tmp_path / "kept").read(path), read_photo(path))


def test_compiled_loops_need_no_disk(tmp_path, run_python):
    """Numba's cache may be full, torn, or nowhere: the answer is the same."""
    (tmp_path / "loops.py").write_text(
        "from whales.base.compiling import cached_njit\n@cached_njit()\ndef twice(x):\n    return 2 * x\n"
    )
    code = "import sys; sys.path.insert(0, {folder!r}); import loops; print(loops.twice(21))"
    code = code.format(folder=str(tmp_path))
    full = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from failing_writes import FailingDisk\n"
        f"with FailingDisk({str(tmp_path / 'cache')!r}, int(sys.argv[1])).in_use():\n    exec({code!r})"
    )
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = run_python("-c", full, "4", **cache)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "42"
    assert "compiled loops are not kept, which only costs time" in done.stdout
    assert run_python("-c", code, **cache).stdout == "42\n"
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        done = run_python("-c", code, **cache)
        assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", ""), path


# --- real disks -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    """Run Python with a small disk, or a root that is read-only; skips where nothing can be mounted."""
    begin = 'mount -t tmpfs -o size={size} none {folder} && exec "$@"'
    fixed = 'mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && exec "$@"'

    def start(folder, code, *arguments, size=None, **environment):
        script = (begin if size else fixed).format(folder=folder, size=size)
        command = ["unshare", "-Urm", "sh", "-c", script, "sh", sys.executable, "-c", code]
        repository = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [repository, os.environ.get("PYTHONPATH", "")]))
        return subprocess.run(
            [*command, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": paths, **environment},
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    trial = tmp_path_factory.mktemp("trial")
    for size in ("1m", None):
        if not shutil.which("unshare") or start(trial, "", size=size).returncode:
            pytest.skip("no disk can be mounted here (needs unshare, user namespaces)")
    return start


WRITERS = """
import io, sys
import h5py, numpy as np, pandas as pd
from pathlib import Path
from whales.base import pickles, writing
from whales.exchange.exporting import write_table
from whales.inspecting.findings import Finding, Panel, plot
from whales.scores.feature_files import write_arrays, read_arrays
disk = Path(sys.argv[1])
rng = np.random.default_rng(0)
big = rng.random((300, 300))

def hdf5(path, content):
    with writing.atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("a", data=content)

def hdf5_end(path, content):
    with writing.atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for i in range(2 if content is not big else 400):
            file.create_group(f"g{i}").attrs["x"] = b"y" * 1000

def array(path, content):
    with writing.atomic_path(path) as temporary, open(temporary, "wb") as out:
        np.save(out, content)

def picture(path, content):
    finding = Finding("s", "k", panel=Panel("histogram", "l", content.ravel()))
    plot(path, [finding] * (1 if content is not big else 9))

writers = {
    "a.pkl": pickles.save, "a.pklz": pickles.save, "a.h5": hdf5, "b.h5": hdf5_end, "a.npy": array,
    "a.csv": lambda path, content: write_table(path, pd.DataFrame(content)),
    "a.xlsx": lambda path, content: write_table(path, pd.DataFrame(content)),
    "a.txt": lambda path, content: writing.write_text(path, str(content.tolist())),
    "a.png": picture,
}
small = np.zeros((2, 2))
for name, write in writers.items():
    path = disk / name
    write(path, small)
    old = path.read_bytes()
    fill = disk / "fill"
    with open(fill, "wb", buffering=0) as out:
        while True:
            try:
                out.write(bytes(4096))
            except OSError:
                break
        out.truncate(max(0, out.tell() - ((8 if name == "a.png" else 40) << 10)))
    try:
        write(path, big)
        raise SystemExit(f"{name} fits")
    except writing.WriteError as reason:
        assert str(path) in str(reason), reason
        assert "No space left" in str(reason) or "written" in str(reason), reason
        assert "free some space" in str(reason) or name == "a.npy", reason
    assert path.read_bytes() == old, name
    assert sorted(p.name for p in disk.iterdir()) == sorted(["fill", name]), list(disk.iterdir())
    write_arrays(disk / "cache.npz", "s", a=big)
    assert read_arrays(disk / "cache.npz", "s") == {}
    fill.unlink()
    path.unlink()
print("all")
"""


def test_every_kind_of_writer_on_a_full_disk(mounted, tmp_path):
    done = mounted(tmp_path, WRITERS, tmp_path, size="400k")
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[-1] == "all"
    assert len([line for line in said if "are not kept, which only costs time" in line]) == 1


READERS = """
import sys, runpy
from pathlib import Path
from whales.stages.stage import run
repository, root, out, what = sys.argv[1:5]
name, *words = what.split()
main = runpy.run_path(f"{repository}/{name}", run_name="stage")["main"]
run(lambda: main(words))
"""


def test_a_read_only_root(mounted, work_root, script, repository, tmp_path, capsys):
    ws = Workspace(work_root)
    answered_root(work_root)
    rows = [f"k{i}.jpg,w_{i // 4}" for i in range(40)]
    write_lines(ws.file("train_csv"), "Image,Id", *rows)
    save(ws.file("boxes_averaged"), {f"k{i}": (0, 0, 9, 9) for i in range(40)})
    save(ws.file("boxes_averaged_playground"), {})
    stage = "kernel_snn/kfold_splits_for_kernel.py"
    script(stage).main([])
    before, away = tree(work_root), tmp_path / "away"

    def ran(what):
        return mounted(
            work_root, READERS, repository, work_root, away, what, WHALES_ROOT=str(work_root)
        )

    done = ran(stage)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.splitlines()[-1] == "kfold_splits_for_kernel: up to date"
    done = ran(f"{stage} --force")
    assert done.returncode == 2
    assert "identities" not in done.stdout
    assert done.stderr.count("\n") == 1
    assert (
        f"error: {ws.file('folds_kernel')} cannot be written (Read-only file system)" in done.stderr
    )
    answers, truth = work_root / "answers.csv", work_root / "truth.csv"
    for what in (
        f"tools/evaluate.py {answers} {truth} --json {away}/numbers.json",
        f"tools/inspect_pickle.py {ws.file('folds_kernel')} --csv {away}/facts.csv",
        f"tools/report.py --out {away}/page.html",
        f"tools/export_results.py --answers {answers} --csv {away}/matches.csv",
    ):
        done = ran(what)
        assert (done.returncode, done.stderr) == (0, ""), (what, done.stderr)
    done = ran("tools/report.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Read-only file system" in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(list(away.iterdir())) == 4
    assert tree(work_root) == before


REVIEW = """
import sys
from whales.files.decisions import Decision, DecisionLog
from whales.base.errors import UserError
table = DecisionLog(sys.argv[1])
table.mend()
print([row.query for row in table.rows()])
try:
    table.append(Decision("a", "now", "q.jpg", "new"))
except UserError as reason:
    print(reason)
"""


def test_decisions_are_shown_where_none_can_be_made(mounted, tmp_path):
    from whales.files.decisions import Decision, DecisionLog

    path = tmp_path / "review" / "decisions.csv"
    DecisionLog(path).append(Decision("a", "now", "p.jpg", "new"))
    before = path.read_bytes()
    done = mounted(tmp_path, REVIEW, path)
    assert (done.returncode, done.stderr) == (0, "")
    shown, rows, refusal = done.stdout.splitlines()
    assert shown.startswith("decisions can be seen and not made: ")
    assert rows == "['p.jpg']"
    assert "Read-only file system" in refusal
    assert path.read_bytes() == before
