"""Changes of the catalogue: decided photos added, individuals merged, split and renamed, and all undone."""

import csv
import json
import subprocess
import sys

import pytest
from helpers import refused, write_lines
from hypothesis import given
from hypothesis import strategies as st
from small_root import VALID, draw
from whales_tools import catalogue, export_results

from whales.base.pickles import load, save
from whales.files import root_edits
from whales.files.changes import deciders, present_names, read_changes
from whales.files.decisions import DecisionLog
from whales.files.digests import file_digest
from whales.files.folds import FoldRecipe, extended_folds
from whales.files.import_table import written_names
from whales.files.root_edits import RootEdit, editing
from whales.files.stamps import restamped
from whales.files.workspace import Workspace
from whales.inspecting import contents
from whales.inspecting.inspection import inspect
from whales.inspecting.root_tables import RootTables
from whales.reviewing.relabelling import apply_decisions
from whales.scores.query_results import results_of_table
from whales.stages.rehearsal import rehearsal_root

LABELS = {
    "a1": "w_a", "a2": "w_a", "a3": "w_a", "b1": "w_b", "b2": "w_b", "b3": "w_b", "c1": "w_c",
    "n1": "new_whale", "n2": "new_whale",
}  # fmt: skip
V1 = "modified_data/kfold/new_4_folds_split_train_val_v1.pkl"
HEADER = "who,when,query,decision,candidate,score"


@pytest.fixture
def root(work_root):
    """Nine known photos and three test photos, with boxes, folds and what they are called in a survey."""
    names = [*LABELS, "t1", "t2", "t3"]
    for seed, name in enumerate(names):
        draw(work_root / f"data/{'test' if name[0] == 't' else 'train'}/{name}.jpg", seed)
    write_lines(
        work_root / "data/train.csv", "Image,Id", *(f"{n}.jpg,{w}" for n, w in LABELS.items())
    )
    write_lines(
        work_root / "data/sample_submission.csv",
        "Image,Id",
        *(f"t{i}.jpg,new_whale" for i in (1, 2, 3)),
    )
    write_lines(
        work_root / "test_labels.csv", "Image,Id", "t1.jpg,w_a", "t2.jpg,w_b", "t3.jpg,new_whale"
    )
    rows = [f"{n}.jpg,{n}.jpg,/x/{n}.jpg,{w},{w.replace('w_', 'Whale ')},2019-01-0{i},train,Bay"
            for i, (n, w) in enumerate(LABELS.items(), 1) if n[0] != "n"]  # fmt: skip
    rows += [f"t{i}.jpg,t{i}.jpg,/x/t{i}.jpg,,,2020-01-0{i},test,Cove" for i in (1, 2, 3)]
    write_lines(
        work_root / "data/import.csv", "Image,original,path,Id,identity,date,split,place", *rows
    )
    boxes = {name: (5 + i, 3, 90, 50) for i, name in enumerate(names)}
    save(work_root / "modified_data/p2bb_v5.pkl", boxes)
    save(work_root / "modified_data/p2bb_averaged_v1.pkl", boxes)
    save(work_root / "modified_data/p2bb_averaged_playground_v1.pkl", {})
    save(work_root / V1, {
        f"fold_{fold}": {
            "train": [f"{n}.npy" for n, w in LABELS.items() if n not in held and w in ("w_a", "w_b")],
            "val": [f"{n}.npy" for n in held],
        }
        for fold, held in VALID.items()
    })  # fmt: skip
    return work_root


def run(*arguments):
    catalogue.main([*map(str, arguments), "--who", "eva"])


def decided(root, *rows):
    return write_lines(root / "review/decisions.csv", HEADER, *rows)


def table(path):
    with open(path, newline="", encoding="utf-8-sig") as source:
        return list(csv.DictReader(source))


def labels(root):
    return {row["Image"].removesuffix(".jpg"): row["Id"] for row in table(root / "data/train.csv")}


def everything(root):
    """Every file but caches, logs and the trace of changes, byte for byte."""
    left_out = ("cache", "logs", "review")
    files = {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    return {name: content for name, content in files.items() if name.parts[0] not in left_out}


def test_decided_test_photos_become_known(root, capsys):
    decided(root, "ann,1,t1,same,a1,", "ann,2,t2,new,,", "ben,3,t3,new,Mc Coy,", "ben,4,t2,skip,,")
    before = everything(root)
    run("add")
    assert everything(root) == before
    assert "2 photos become known: 1 of known whales, 1 of 1 new ones" in capsys.readouterr().out
    run("add", "--yes")
    assert labels(root) == {**LABELS, "t1": "w_a", "t3": "Mc_Coy"}
    assert [row["Image"] for row in table(root / "data/sample_submission.csv")] == ["t2.jpg"]
    assert [row["Image"] for row in table(root / "test_labels.csv")] == ["t2.jpg"]
    assert (root / "data/train/t1.jpg").exists()
    assert not (root / "data/test/t1.jpg").exists()
    rows = {row["Image"]: row for row in table(root / "data/import.csv")}
    kept = ("Id", "identity", "date", "split", "place")
    assert [rows["t1.jpg"][k] for k in kept] == ["w_a", "Whale a", "2020-01-01", "train", "Cove"]
    assert [rows["t3.jpg"][k] for k in kept] == ["Mc_Coy", "Mc Coy", "2020-01-03", "train", "Cove"]
    assert {r.photo: (r.decided_by, r.who) for r in read_changes(Workspace(root))} == {
        "t1.jpg": ("ann", "eva"), "t3.jpg": ("ben", "eva"),
    }  # fmt: skip
    # w_a holds out a photo in folds 0, 1 and 2: fold 3 holds out the new one; a single photo is in no fold.
    folds = load(root / V1)
    assert {key: [n for n in split["val"] if n[0] == "t"] for key, split in folds.items()} == {
        "fold_0": [], "fold_1": [], "fold_2": [], "fold_3": ["t1.npy"],
    }  # fmt: skip
    assert all("t1.npy" in folds[f"fold_{f}"]["train"] for f in (0, 1, 2))
    out = root / "out.csv"
    export_results.main(["--csv", str(out), "--with-labelled"])
    by = {row["image"]: (row["identity"], row["decided_by"]) for row in table(out)}
    assert (by["t1.jpg"], by["t3.jpg"], by["a1.jpg"]) == (
        ("Whale a", "ann"),
        ("Mc Coy", "ben"),
        ("Whale a", ""),
    )
    out.unlink()
    refused(lambda: run("add"), "no decided photo is new to the catalogue")
    run("undo", "--yes")
    assert everything(root) == before


def test_photos_from_elsewhere_and_several_flukes(root, tmp_path, capsys):
    photo = tmp_path / "day/a1.jpg"  # the name of a known photo
    draw(photo, 77)
    draw(tmp_path / "day/old.jpg", 0)  # the very file of a1
    (tmp_path / "day/old.jpg").write_bytes((root / "data/train/a1.jpg").read_bytes())
    rows = [f"{photo},{n},{10 * n}.5,2,{10 * n + 9}.5,30,.5,1,w_a,.5,.5,a1.jpg" for n in (1, 2)]
    rows.append(f"{tmp_path}/day/old.jpg,1,,,,,.5,1,w_a,.5,.5,a1.jpg")
    head = "query,fluke,x1,y1,x2,y2,new_whale,rank,identity,probability,score,photo"
    found = write_lines(tmp_path / "found.csv", head, *rows)
    content = file_digest(photo)
    decisions = write_lines(
        tmp_path / "d.csv", f"{HEADER},query_content,candidate_content",
        f"ann,1,a1.jpg,same,w_b,,{content},", f"ann,1,a1#2.jpg,new,,,{content}#2,",
        "ann,1,old.jpg,same,w_a,,,",
    )  # fmt: skip
    details = write_lines(tmp_path / "day/more.csv", "photo,date,observer", "a1.jpg,2021-7-4,Eva")
    run("add", "--results", found, "--decisions", decisions, "--details", details, "--yes")
    assert "1 photos of the tables are in the catalogue already" in capsys.readouterr().out
    assert {n: w for n, w in labels(root).items() if n not in LABELS} == {
        "a1_2": "w_b",
        "a1_3": "new_0001",
    }
    boxes = load(root / "modified_data/p2bb_averaged_v1.pkl")
    assert (boxes["a1_2"], boxes["a1_3"]) == ((10, 2, 20, 30), (20, 2, 30, 30))
    for name in ("a1_2", "a1_3"):
        assert (root / f"data/train/{name}.jpg").read_bytes() == photo.read_bytes()
    rows = {row["Image"]: row for row in table(root / "data/import.csv")}
    assert (rows["a1_2.jpg"]["date"], rows["a1_2.jpg"]["observer"]) == ("2021-07-04", "Eva")
    assert rows["a1.jpg"]["observer"] == ""
    # The decisions stay valid: nothing is added twice.
    refused(
        lambda: run("add", "--results", found, "--decisions", decisions), "no decided photo is new"
    )


def test_what_cannot_be_added(root, tmp_path):
    refused(lambda: run("add"), "decisions.csv is missing")
    decided(root, "ann,1,t1,new,Whale_A,", "ann,2,t2,new,w_A,")
    refused(lambda: run("add"), "line 3", "w_A", "w_a is known already")
    decided(root, "ann,1,t1,same,a1,")
    (root / "data/test/t1.jpg").unlink()
    before = everything(root)
    refused(lambda: run("add", "--yes"), "t1.jpg")
    assert everything(root) == before
    bad = write_lines(tmp_path / "m.csv", "photo,date", "t2.jpg,3/4/2020")
    decided(root, "ann,1,t2,same,a1,")
    refused(lambda: run("add", "--details", bad), "m.csv, line 2", "2019-07-30")


def test_merge_split_rename_and_undo(root):
    before = everything(root)
    run("merge", "Whale a", "w_c", "--yes")
    assert labels(root)["c1"] == "w_a"
    assert all(
        "c1.npy" in split["train"] or "c1.npy" in split["val"] for split in load(root / V1).values()
    )
    run("rename", "w_a", "Old Mole", "--yes")
    assert {labels(root)[n] for n in ("a1", "a2", "a3", "c1")} == {"Old_Mole"}
    run("split", "Old Mole", "a3.jpg", "c1", "--as", "Whale b", "--yes")
    assert [labels(root)[n] for n in ("a2", "a3", "c1", "b1")] == ["Old_Mole", "w_b", "w_b", "w_b"]
    run("split", "new_whale", "n1", "--yes")
    assert labels(root)["n1"] == "new_0001"
    names = {row["Image"]: row["identity"] for row in table(root / "data/import.csv")}
    assert (names["a1.jpg"], names["a3.jpg"]) == ("Old Mole", "Whale b")
    assert present_names(Workspace(root)) == {"w_c": "Old_Mole", "w_a": "Old_Mole"}
    kinds = [
        (row.change, row.photo, row.before, row.after) for row in read_changes(Workspace(root))
    ]
    assert kinds[0] == ("merge", "c1.jpg", "w_c", "w_a")
    assert ("split", "a3.jpg", "Old_Mole", "w_b") in kinds
    for _ in range(4):
        run("undo", "--yes")
    assert everything(root) == before
    refused(lambda: run("undo"), "no change stands")


def test_a_merged_individual_keeps_its_own_name(root):
    """Where the other one has a labelled test photo too, which no table of known photos lists."""
    labelled = "t1.jpg,t1.jpg,/x/t1.jpg,w_b,Whale b,2020-01-01,test,Cove"
    lines = (root / "data/import.csv").read_text().splitlines()
    lines = [labelled if line.startswith("t1.jpg") else line for line in lines]
    write_lines(root / "data/import.csv", *lines)
    before = everything(root)
    run("merge", "Whale a", "Whale b", "--yes")
    named = {r["Id"]: r["identity"] for r in table(root / "data/import.csv") if r["Id"]}
    assert named == {"w_a": "Whale a", "w_c": "Whale c"}
    assert written_names(Workspace(root)) == named
    run("undo", "--yes")
    assert everything(root) == before


def test_a_known_name_is_no_new_individuals(root):
    """As people write it, where the tables have to write it otherwise."""
    decided(root, "ann,1,t1,new,Mc Coy,")
    run("add", "--yes")
    decided(root, "ann,1,t1,new,Mc Coy,", "ann,2,t2,new,MC COY,")
    refused(lambda: run("add"), "line 3", "Mc Coy is known already", "decide on the photo again")
    answers = root / "submission/final_submit_with_post_proc.csv"
    write_lines(answers, "Image,Id", "t2.jpg,w_a", "t3.jpg,w_a")
    refused(lambda: export_results.main(["--csv", str(root / "o.csv")]), "line 3", "known already")
    decided(root, "ann,2,t2,new,MC COY,", "ann,3,t2,same,Mc_Coy,", "ann,4,t3,same,mc coy,")
    export_results.main(["--csv", str(root / "o.csv")])
    run("add", "--yes")
    assert [labels(root)[name] for name in ("t1", "t2", "t3")] == ["Mc_Coy"] * 3


def test_blank_details_take_nothing_away(root, tmp_path):
    decided(root, "ann,1,t1,same,a1,")
    lines = "photo,date,place,observer", "T1.JPG,,,Eva", "t9.jpg,2021,,"
    details = write_lines(tmp_path / "d.csv", *lines)
    run("add", "--details", details, "--yes")
    row = next(r for r in table(root / "data/import.csv") if r["Image"] == "t1.jpg")
    kept = [row[name] for name in ("date", "place", "observer")]
    assert kept == ["2020-01-01", "Cove", "Eva"]


def test_the_second_fluke_of_a_photo_is_another_animal(root, tmp_path):
    """Once the first one is in the catalogue, under the photo's name."""
    draw(tmp_path / "day/two.jpg", 77)
    photo = tmp_path / "day/two.jpg"
    rows = [f"{photo},{n},{10 * n},2,{10 * n + 9},30,.5,1,w_a,.5,.5,a1.jpg" for n in (1, 2)]
    head = "query,fluke,x1,y1,x2,y2,new_whale,rank,identity,probability,score,photo"
    found, content = write_lines(tmp_path / "found.csv", head, *rows), file_digest(photo)
    more = f"{HEADER},query_content,candidate_content"
    lines = [more, f"ann,1,two.jpg,same,w_b,,{content},"]
    write_lines(root / "review/decisions.csv", *lines)
    run("add", "--results", found, "--yes")
    out = tmp_path / "out.csv"

    def exported():
        export_results.main(["--results", str(found), "--csv", str(out)])
        return [(r["identity"], r["source"], r["decided_by"]) for r in table(out)]

    assert exported() == [("Whale b", "label", "ann"), ("Whale a", "answer", "")]
    out.unlink()
    write_lines(root / "review/decisions.csv", *lines, f"ben,2,two#2.jpg,same,w_c,,{content}#2,")
    assert exported() == [("Whale b", "label", "ann"), ("Whale c", "decision", "ben")]


def test_names_that_look_alike_are_one_new_individual(root, tmp_path):
    decided(root, "ann,1,t1,new,MX-117,", "ben,2,t2,new,mx-117,", "ann,3,t2,new,MX-117,")
    out = tmp_path / "out.csv"
    write_lines(
        root / "submission/final_submit_with_post_proc.csv", "Image,Id",
        *(f"t{i}.jpg,w_a w_b new_whale w_c" for i in (1, 2, 3)),
    )  # fmt: skip
    export_results.main(["--csv", str(out)])
    told = {row["image"]: row["identity"] for row in table(out)}
    assert (told["t1.jpg"], told["t2.jpg"]) == ("MX-117", "MX-117")
    run("add", "--yes")
    assert (labels(root)["t1"], labels(root)["t2"]) == ("MX-117", "MX-117")


def test_a_name_is_no_decision(root):
    decided(root, "ann,1,t1,same,a1,")
    run("add", "--yes")
    run("rename", "w_a", "Alba", "--yes")
    assert deciders(Workspace(root)) == {"t1": "ann"}
    run("merge", "Alba", "w_b", "--yes")  # who merges decides on photos that nobody decided on
    assert deciders(Workspace(root)) == {"t1": "ann", "b1": "eva", "b2": "eva", "b3": "eva"}
    run("split", "Alba", "t1", "--yes")
    assert deciders(Workspace(root))["t1"] == "eva"


def test_decisions_of_before_are_sound_and_applied(root, tmp_path):
    """By the present name of a renamed individual, and not again for a photo that was taken in."""
    content = file_digest(root / "data/test/t1.jpg")
    lines = (
        f"{HEADER},query_content,candidate_content",
        f"ann,1,t1.jpg,new,Luna,,{content},", "ann,2,t2.jpg,same,w_a,,,",
    )  # fmt: skip
    book = write_lines(root / "review/decisions.csv", lines[0], lines[1])
    run("add", "--yes")
    run("rename", "w_a", "Alba", "--yes")
    write_lines(book, *lines)
    content = contents.read(book)
    assert inspect(content, RootTables.read(Workspace(root))).faults == []
    tables = [f"{root}/data/train/t1.jpg", f"{root}/data/test/t2.jpg"]
    head = "query,fluke,x1,y1,x2,y2,new_whale,rank,identity,probability,score,photo"
    rows = [f"{photo},1,,,,,.5,1,w_a,.5,.5,a1.jpg" for photo in tables]
    results = results_of_table(Workspace(root), write_lines(tmp_path / "found.csv", head, *rows))
    out = tmp_path / "labels.csv"
    apply_decisions(out, Workspace(root), results, DecisionLog(book), write=True)
    assert {r["Image"]: r["Id"] for r in table(out)}["t2.jpg"] == "Alba"


def test_a_rehearsals_tables_are_not_edited(root):
    rehearsal = rehearsal_root(Workspace(root), "smoke")
    refused(lambda: editing(rehearsal).__enter__(), "is of a rehearsal", str(root))
    assert labels(root) == LABELS


def test_details_are_told_of_photos_of_the_root_too(root, tmp_path):
    """Test photos that were identified by path, and one that is in the catalogue by now."""
    decided(root, "ann,1,t3,same,a1,")
    run("add", "--yes")
    rows = [f"{root}/data/test/t{n}.jpg,1,,,,,.5,1,w_a,.5,.5,a1.jpg" for n in (1, 2)]
    rows.append(f"{root}/data/train/t3.jpg,1,,,,,.5,1,w_a,.5,.5,a1.jpg")
    head = "query,fluke,x1,y1,x2,y2,new_whale,rank,identity,probability,score,photo"
    found = write_lines(tmp_path / "found.csv", head, *rows)
    lines = "photo,date,place,observer", "t1.jpg,2021-7-4,,Eva", "t3.jpg,2021-07-05,Bay,Ben"
    details = write_lines(tmp_path / "d.csv", *lines)
    out = tmp_path / "out.csv"
    export_results.main(["--results", str(found), "--details", str(details), "--csv", str(out)])
    told = {r["image"]: (r["date"], r["place"], r["observer"]) for r in table(out)}
    assert told == {
        "t1.jpg": ("2021-07-04", "Cove", "Eva"),
        "t2.jpg": ("2020-01-02", "Cove", ""),
        "t3.jpg": ("2021-07-05", "Bay", "Ben"),
    }


def test_answers_and_decisions_of_before_a_rename_go_on(root):
    write_lines(
        root / "submission/final_submit_with_post_proc.csv", "Image,Id", "t1.jpg,w_a w_b new_whale w_c",
        "t2.jpg,w_c w_a new_whale w_b", "t3.jpg,new_whale w_a w_b w_c",
    )  # fmt: skip
    decided(root, "ann,1,t2,same,w_c,")
    run("merge", "w_a", "w_c", "--yes")
    run("rename", "w_a", "Mole", "--yes")
    export_results.main(["--csv", str(root / "o.csv")])
    found = {row["image"]: row for row in table(root / "o.csv")}
    assert [found[f"t{i}.jpg"]["identity"] for i in (1, 2, 3)] == ["Mole", "Mole", "unmatched"]
    assert [found["t2.jpg"][f"answer_{rank}"] for rank in (1, 2, 3)] == [
        "Mole",
        "unmatched",
        "Whale b",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("merge", "w_a", "w_x"), "w_x is no identity"),
        (("merge", "w_a", "W_B"), "there is w_b"),
        (("merge", "w_a", "Whale a"), "w_a is named twice"),
        (("rename", "w_a", "W_B"), "is taken (there is w_b)"),
        (("rename", "w_a", "?"), "no name for an individual"),
        (("rename", "w_a", "new whale"), "no name for an individual"),
        (("split", "w_a", "b1"), "b1 is not of w_a: it is w_b"),
        (("split", "w_a", "zz"), "no photo of train.csv"),
        (("split", "w_a", "a1", "a2", "a3"), "all photos of w_a"),
        (("split", "w_a", "a1", "--as", "w_a"), "of w_a already"),
        ((), "required"),
    ],
)
def test_what_is_refused_changes_nothing(root, arguments, said):
    before = everything(root)
    refused(
        lambda: catalogue.main([*arguments, *["--who", "eva", "--yes"][: 3 * bool(arguments)]]),
        said,
    )
    assert everything(root) == before


def test_an_undo_never_loses_what_came_later(root):
    run("merge", "w_a", "w_c", "--yes")
    path = root / "data/train.csv"
    path.write_text(path.read_text() + "n3.jpg,new_whale\n")
    refused(lambda: run("undo", "--yes"), "train.csv has been changed since change 1")


def test_a_training_in_between_is_not_lost(root):
    (root / "cache/checkpoints/v5.r15_fold_0.1").mkdir(
        parents=True
    )  # set aside: no training goes on from it
    run("merge", "w_a", "w_c", "--yes")
    (root / "cache/checkpoints/v5.r15_fold_0").mkdir()
    refused(lambda: run("merge", "w_a", "w_b", "--yes"), "v5.r15_fold_0 is not at its end")


def test_a_change_that_fails_or_is_killed_leaves_nothing(root, monkeypatch):
    before = everything(root)
    workspace = Workspace(root)
    edit = RootEdit(
        {root / "data/train.csv": b"Image,Id\n", root / "data/new.csv": b"x\n"},
        {root / "data/train/zz.jpg": lambda path: path.write_bytes(b"y")},
        {root / "data/test/t1.jpg": root / "data/train/t1.jpg"},
    )

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(root_edits.Path, "rename", stopped)
        with pytest.raises(KeyboardInterrupt):
            edit.apply(workspace, 1)
    assert everything(root) == before
    # Killed: nobody takes it back but the next call.
    with monkeypatch.context() as patch, editing(workspace):
        patch.setattr(root_edits, "_take_back", lambda *_: None)
        patch.setattr(root_edits.shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(root_edits.Path, "rename", stopped)
        with pytest.raises(KeyboardInterrupt):
            edit.apply(workspace, 1)
    assert everything(root) != before
    run("merge", "w_a", "w_c", "--yes")
    run("undo", "--yes")
    assert everything(root) == before


def test_no_change_while_a_stage_is_at_work(root):
    code = (
        "from whales.base import locks; from whales.files.workspace import Workspace; import sys\n"
        "locks.take(Workspace(sys.argv[1]).file('lock', name='r26'), 'r26')\n"
        "print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "held\n"
        refused(lambda: run("merge", "w_a", "w_c", "--yes"), "r26 is at work already")
        other.communicate("\n")
    run("merge", "w_a", "w_c", "--yes")


def test_stamps_go_on_where_they_were_of_these_inputs():
    stamp = {"numbers": {}, "inputs": {"a": "1", "b": "2"}, "written": {"c": "3"}, "options": {}}
    changed = {"a": ("1", "9"), "c": ("3", "8"), "d": ("", "7")}
    assert restamped(stamp, changed) == {
        **stamp,
        "inputs": {"a": "9", "b": "2"},
        "written": {"c": "8"},
    }
    assert restamped(stamp, {"a": ("5", "9")}) is None  # it would have run again
    assert restamped({"inputs": {"a": "1"}}, changed) is None  # of a former version
    assert json.dumps(stamp)


@given(
    st.dictionaries(
        st.sampled_from("abcdefg"), st.tuples(st.integers(1, 7), st.integers(0, 4)), min_size=1
    ),
    st.integers(0, 6),
)
def test_folds_go_on(sizes, new_whales):
    """Old photos stay in their part; every fold has every photo of an identity of several, once."""
    old = {who: [f"{who}{i}" for i in range(count)] for who, (count, _) in sizes.items()}
    old["new_whale"] = [f"n{i}" for i in range(new_whales)]
    folds = FoldRecipe({who: [f"{n}.npy" for n in names] for who, names in old.items()}).make(100)
    now = {
        who: names + [f"{who}x{i}" for i in range(sizes.get(who, (0, 0))[1])]
        for who, names in old.items()
    }
    grown = extended_folds(folds, now, ".npy")
    several = {
        n for who, names in now.items() if who != "new_whale" and len(names) > 1 for n in names
    }
    held = [n for key in grown for n in grown[key]["val"]]
    for key, split in grown.items():
        for part, names in split.items():
            assert [n for n in names if n in folds[key][part]] == folds[key][part]
        parts = (
            {n.removesuffix(".npy") for n in split["train"]},
            {n.removesuffix(".npy") for n in split["val"]},
        )
        assert not parts[0] & parts[1]
        assert (parts[0] | parts[1]) - {*old["new_whale"]} == several
        assert split["train"] == sorted(split["train"])
        for who, names in now.items():
            if who != "new_whale" and len(names) > 1:
                assert len(parts[0] & {*names}) >= min(2, len(names))
    for name in several - {n for names in old.values() for n in names}:
        assert held.count(f"{name}.npy") <= 1
    assert extended_folds(grown, now, ".npy") == grown
