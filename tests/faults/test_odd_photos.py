"""One odd photo never ends a batch: each kind has one fate, the same in every tool and stage."""

import csv
import gc
import os
import re
import shutil
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import pyvips
from helpers import refused, write_lines
from odd_photos import (
    BROKEN,
    HEIGHT,
    INKS,
    NAMES,
    READ,
    SOUND_HEADERS,
    WIDTH,
    content,
    dng,
    encoded,
    png,
    quarters,
    saved,
    scene,
    vips,
    without_adobe,
)
from PIL import Image

from retinanet.detector.detections import Cache, PhotosToDetect, collect
from siamese_net_v5_densenet121.a00_net_v5 import NET
from whales.base.concurrency import fresh_processes
from whales.base.errors import UserError, shown
from whales.base.pickles import load, save
from whales.exchange import importing
from whales.exchange.forms import Form, Record, read_source
from whales.exchange.import_plan import ImportPlan, import_dataset
from whales.files.digests import Digests
from whales.files.workspace import Workspace
from whales.identifying import identification
from whales.nets.net import Net
from whales.photos import limits
from whales.photos.crops import cut, read_crop
from whales.photos.feeding import PhotoFeed
from whales.photos.photo_store import PhotoStore
from whales.photos.photos import photo_header, photo_size, read_eighth, read_photo
from whales.photos.thumbnails import thumbnail
from whales.reporting.gallery import Thumbnails
from whales.reporting.look_alikes import identical_photos
from whales.reviewing import review_views
from whales.stages.job import Job
from whales.stages.options import ArgumentParser, RunOptions
from whales.stages.stage import run

SMOKE = ("--profile", "smoke", "--workers", "1")


@pytest.fixture
def feed(tmp_path):
    """A feed whose photos lie in data/train, with both its caches."""
    workspace = Workspace(tmp_path)
    made = PhotoFeed(
        workspace.photo, {}, 24, store=tmp_path / "crops", decoded=tmp_path / "decoded"
    )
    yield made
    made.close()


def put(tmp_path, make):
    """A photo in the work root under the stem `odd`; its path."""
    path = tmp_path / "data/train/odd.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    return path


def imported(path):
    """What the import makes of a photo, with two others that it can use; the photo's record first."""
    records = [Record("row 1", "odd.jpg", path, "bob")]
    for split in ("train", "test"):
        other = path.parent.parent / f"{split}.png"
        content(encoded(scene(9), "PNG"))(other)
        records.append(Record(split, other.name, other, "ann", split=split))
    return importing.check(records, True)


def identified(path):
    """What identification cuts out of a photo; `UserError` where it names the photo."""
    photos, faults = identification.photo_files([path.parent])
    if faults:
        raise UserError(faults[0])
    return identification.cut_flukes(photos[0], [], [24])[0].crops[24]


def readers(path, workspace, feed):
    """Every way in which the library reads the pixels of a photo (of the work root: stem `odd`)."""
    decoded = PhotoStore(workspace.root / "decoded")
    return {
        "photo": lambda: read_photo(path),
        "upright": lambda: read_photo(path, upright=True),
        "eighth": lambda: read_eighth(path),
        "crop": lambda: read_crop(path, None, 24),
        "crop store": lambda: feed.plain("odd"),
        "photo store": lambda: decoded.read(path),
        "thumbnail": lambda: thumbnail(workspace, {}, "odd"),
        "review": lambda: review_views.jpeg(path, None, True, 1.5, "crop"),
        "outline": lambda: review_views.outline(path, (0, 0, 5, 5), True, 1.5, "crop"),
        "import": lambda: imported(path),
        "identify": lambda: identified(path),
    }


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_photo_is_refused_by_every_reader_in_the_same_words(tmp_path, feed, kind):
    make, reason = BROKEN[kind]
    path = put(tmp_path, make)
    workspace = Workspace(tmp_path)
    for name, read in readers(path, workspace, feed).items():
        if (kind, name) == ("damaged", "eighth"):
            continue  # too little of it is decoded to see the damage
        refused(read, f"photo {path} cannot be read (", reason, "--skip-broken-photos")
    if kind not in SOUND_HEADERS:
        refused(lambda: photo_size(path), f"photo {path} cannot be read (", reason)
        refused(lambda: photo_header(path), reason)
    assert "no photo" in Thumbnails(workspace, {}).element("odd", "")
    assert identical_photos([path.parent]) == []
    assert not [*tmp_path.glob("decoded/*"), *tmp_path.glob("crops/*")]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_no_reader_is_left_behind_by_a_refusal(tmp_path):
    """Files are closed again: a batch of broken photos does not use up the process's files."""
    paths = []
    for kind in ("empty", "svg", "damaged", "cut", "bomb"):
        paths.append(tmp_path / f"{kind}.jpg")
        BROKEN[kind][0](paths[-1])
    before = len(os.listdir("/proc/self/fd"))
    for path in paths * 10:
        refused(lambda path=path: read_photo(path), str(path))
    gc.collect()  # what pytest keeps of the errors
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder", "loop", "dangling"])
def test_digests_of_what_is_no_file_are_none_and_do_not_wait(tmp_path, kind):
    path = put(tmp_path, BROKEN[kind][0])
    digests = Digests(tmp_path, tmp_path / "digests.json")
    assert digests.of_photos({"odd": path}) == {"odd": ""}


@pytest.mark.parametrize("kind", READ)
def test_sound_photos_of_every_format_are_read_alike_by_every_reader(tmp_path, feed, kind):
    data, wanted, off = READ[kind]
    path = put(tmp_path, content(data))
    pixels = read_photo(path)
    assert (pixels.shape, pixels.dtype, pixels.flags.c_contiguous) == (wanted.shape, np.uint8, True)
    assert np.abs(pixels - wanted.astype(float)).max() <= off
    height, width = pixels.shape[:2]
    workspace = Workspace(tmp_path)
    crop = cut(pixels, (0, 0, width, height), 24)
    read = {name: call() for name, call in readers(path, workspace, feed).items()}
    for name in ("photo", "upright", "photo store"):
        np.testing.assert_array_equal(read[name], pixels, err_msg=name)
    for name in ("crop", "crop store", "identify"):
        np.testing.assert_array_equal(read[name], crop, err_msg=name)
    assert photo_size(path) == (width, height)
    np.testing.assert_array_equal(PhotoStore(tmp_path / "decoded").read(path), pixels)
    assert read["review"].startswith(b"\xff\xd8")
    assert len(read["import"]) == 3


@pytest.mark.parametrize("turn", [1, 6])
def test_a_cameras_raw_file_is_read_upright_by_every_reader(tmp_path, feed, turn):
    path = put(tmp_path, content(dng(turn)))
    pixels = read_photo(path)
    height, width = pixels.shape[:2]
    assert (width, height) == ((WIDTH, HEIGHT) if turn == 1 else (HEIGHT, WIDTH))
    wanted = np.rot90(quarters(), 0 if turn == 1 else -1).astype(float)
    # The middles of the quarters: filters mix what lies at edges, and LibRaw sets the brightness.
    places = np.ix_((height // 4, 3 * height // 4), (width // 4, 3 * width // 4))
    assert np.abs(pixels[places] - wanted[places]).max() < 60
    read = {name: call() for name, call in readers(path, Workspace(tmp_path), feed).items()}
    for name in ("upright", "photo store"):
        np.testing.assert_array_equal(read[name], pixels, err_msg=name)
    for name in ("crop", "crop store", "identify"):
        np.testing.assert_array_equal(read[name], cut(pixels, (0, 0, width, height), 24))
    assert photo_size(path) == (width, height)
    assert len(read["import"]) == 3


@pytest.mark.parametrize("name", ["a.JPG", "a.Jpeg", "a.PNG", "a.tif", "a"])
def test_the_extension_does_not_decide(tmp_path, name):
    content(encoded(scene(), "PNG"))(tmp_path / name)
    np.testing.assert_array_equal(read_photo(tmp_path / name), scene())


@pytest.mark.parametrize("kind", NAMES)
def test_names_that_no_table_can_hold(tmp_path, kind):
    path = tmp_path / "in" / NAMES[kind]
    path.parent.mkdir()
    content(encoded(scene()))(path)
    refused(lambda: read_photo(path), "its name is no plain text", "rename it", shown(path))
    assert shown(path).isprintable()
    shown(path).encode()
    photos, faults = identification.photo_files([path.parent])
    assert (photos, len(faults)) == ([], 1)
    records = read_source(path.parent, Form())
    refused(lambda: importing.check(records, True), "its name is no plain text")
    assert identical_photos([path.parent]) == []


def test_a_file_name_that_libvips_would_take_apart(tmp_path):
    path = tmp_path / "fluke.png[page=3]"
    content(encoded(scene(), "PNG"))(path)
    np.testing.assert_array_equal(read_photo(path), scene())


def test_a_photo_that_was_exchanged_is_read_anew(tmp_path):
    path = tmp_path / "a.png"
    for seed in (1, 2):
        content(encoded(scene(seed), "PNG"))(path)
        np.testing.assert_array_equal(read_photo(path), scene(seed))


# --- size -----------------------------------------------------------------------------------------


def test_the_limit_is_the_users(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    content(png(1000, 500))(path)
    for limit, read in (("0.49", False), ("0.5", True), ("0.6", True)):
        monkeypatch.setenv(limits.VARIABLE, limit)
        for call in (photo_size, read_photo):
            if read:
                call(path)
            else:
                refused(lambda call=call: call(path), "0.49 megapixels", "--max-megapixels")
    for text in ("0", "-1", "nan", "inf", "much", ""):
        monkeypatch.setenv(limits.VARIABLE, text)
        refused(lambda: photo_size(path), limits.VARIABLE, "a number of megapixels above 0")


def test_the_option_sets_the_limit_for_the_workers_too(tmp_path, monkeypatch):
    fresh_processes([])  # Python's helper that starts workers, before the option is known
    monkeypatch.setenv(limits.VARIABLE, "300")
    parser = ArgumentParser("", reads_photos=True)
    refused(lambda: parser.parse_args(["--max-megapixels", "many"]), "--max-megapixels", "many")
    assert limits.most_megapixels() == 300
    parser.parse_args(["--max-megapixels", "0.4"])
    assert limits.most_megapixels() == 0.4
    content(png(1000, 500))(tmp_path / "a.jpg")
    made = PhotoFeed(Workspace(tmp_path).photo, {}, 24)
    try:
        refused(made.submit(read_photo, tmp_path / "a.jpg").result, "0.4 megapixels")
    finally:
        made.close()


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    """Its rows would be damaged: who says so has begun to decode."""
    whole = png(20000, 10001)
    path = tmp_path / "a.png"
    content(whole[:60] + b"damaged" + whole[67:])(path)
    refused(lambda: read_photo(path), "more than 200 megapixels")


# --- colours --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "16 bits"])
@pytest.mark.parametrize("profile", [True, False])
def test_inks_become_colours_and_are_not_read_as_red_green_blue(tmp_path, form, profile):
    keep = "icc" if profile else "none"
    image = vips(INKS, "cmyk")
    if profile:  # libvips's own, as a file would carry it
        paper = vips(scene()).icc_transform("cmyk", input_profile="srgb")
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", paper.get("icc-profile-data"))
    if form == "JPEG":
        data = image.jpegsave_buffer(Q=100, subsample_mode="off", keep=keep)
    elif form == "TIFF":
        data = image.tiffsave_buffer(keep=keep)
    else:
        data = (image.cast("ushort") * 257).cast("ushort").copy(interpretation="cmyk")
        data = data.tiffsave_buffer(keep=keep)
    path = tmp_path / "a.jpg"
    content(data)(path)
    paper, cyan, magenta, yellow, black = (
        read_photo(path)[20:40, start : start + 8].mean((0, 1)) for start in (4, 20, 36, 52, 80)
    )
    assert paper.min() > 245
    assert black.max() < 80
    assert cyan[0] < cyan[1:].min() - 60
    assert magenta[1] < magenta[[0, 2]].min() - 60
    assert yellow[2] < yellow[:2].min() - 60


@pytest.mark.parametrize("marked", [True, False])
def test_inks_of_jpegs_are_inverted_as_all_programs_write_them(tmp_path, marked):
    """Adobe's mark says so; libvips takes CMYK without the mark in the same way."""
    data = saved(Image.fromarray(INKS, "CMYK"), "JPEG", quality=98)
    assert b"Adobe" in data
    content(data if marked else without_adobe(data))(tmp_path / "a.jpg")
    pixels = read_photo(tmp_path / "a.jpg")[20:40]
    assert pixels[:, 2:12].min() > 240
    assert pixels[:, 76:88].max() < 80


def test_a_profile_does_not_change_red_green_blue(tmp_path):
    """As published: the numbers of an RGB photo are taken as they are stored."""
    display = vips(scene()).icc_transform("p3", input_profile="srgb")
    stored = display.numpy()
    content(display.pngsave_buffer(keep="icc"))(tmp_path / "a.jpg")
    assert "icc-profile-data" in pyvips.Image.new_from_file(str(tmp_path / "a.jpg")).get_fields()
    np.testing.assert_array_equal(read_photo(tmp_path / "a.jpg"), stored)


# --- orientation ----------------------------------------------------------------------------------

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}
BOX = (10, 6, 50, 30)


@pytest.mark.parametrize(
    ("form", "turn"),
    [
        *product(("JPEG", "PNG", "TIFF", "WEBP"), UPRIGHT),
        *product(("JPEG", "PNG", "WEBP"), (0, 9)),  # libtiff itself refuses such a tag
    ],
)
def test_all_orientations(tmp_path, turn, form, feed):
    exif = Image.Exif()
    exif[274] = turn
    path = put(tmp_path, content(encoded(scene(), form, exif=exif)))
    stored = read_photo(path)
    upright = UPRIGHT.get(turn, UPRIGHT[1])(stored)
    assert (stored.shape, photo_size(path)) == ((HEIGHT, WIDTH, 3), (WIDTH, HEIGHT))
    np.testing.assert_array_equal(read_photo(path, upright=True), upright)
    assert photo_header(path).upright_size == upright.shape[1::-1]
    # A work root's photo is never turned: boxes, crops and thumbnails are in its stored pixels.
    np.testing.assert_array_equal(feed.plain("odd"), cut(stored, (0, 0, WIDTH, HEIGHT), 24))
    # A query is, and its box is in the upright photo.
    fluke = identification.cut_flukes(path, [BOX], [24])[0]
    content(encoded(np.ascontiguousarray(upright), "PNG"))(tmp_path / "upright.png")
    expected = identification.cut_flukes(tmp_path / "upright.png", [BOX], [24])[0]
    np.testing.assert_array_equal(fluke.crops[24], expected.crops[24])
    np.testing.assert_array_equal(fluke.view, expected.view)
    # So are the review page's queries, and what is imported.
    views = [
        (path, True), (tmp_path / "upright.png", False),
    ]  # fmt: skip
    assert len({review_views.jpeg(p, BOX, up, 1.5, "crop") for p, up in views}) == 1
    record = imported(path)[0]
    assert record.box == (0, 0, *upright.shape[1::-1])
    importing.write_root(tmp_path / "made", [record])
    made = read_photo(tmp_path / "made/data/train/odd.jpg")
    assert made.shape == upright.shape
    assert np.abs(made.astype(float) - upright).mean() < 4
    assert photo_header(tmp_path / "made/data/train/odd.jpg").turn == 1 or record.ready


# --- whole runs -----------------------------------------------------------------------------------


def fill(folder):
    """A folder with an odd photo of every kind and name, and the sound ones beside them."""
    folder.mkdir(parents=True)
    for kind, (make, _) in BROKEN.items():
        make(folder / f"{kind}.jpg")
    for name in NAMES.values():
        content(encoded(scene()))(folder / name)
    for kind, (data, *_) in READ.items():
        content(data)(folder / f"sound_{kind}.JPG")
    content(b"\0\5\x16\7")(folder / "._sound_png.JPG")
    content(b"no photo")(folder / "notes.txt")
    return folder


@cache
def build_once(*arguments):
    """A net built and traced once for all tests."""
    return build(*arguments)


build = Net.network
KNOWN = {
    "a1": "w_a", "a2": "w_a", "a3": "w_a", "a4": "w_a", "b1": "w_b", "b2": "w_b", "b3": "w_b",
    "b4": "w_b", "n1": "new_whale",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A work root of v5 with random weights, whose test photos are odd in every way."""
    import keras

    root = tmp_path_factory.mktemp("odd") / "root"
    fill(root / "data/test")
    for seed, name in enumerate(KNOWN):
        path = root / f"data/train/{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        content(encoded(scene(seed)))(path)
    for kind in READ:
        (root / f"data/test/sound_{kind}.JPG").rename(root / f"data/test/sound_{kind}.jpg")
    names = [*BROKEN, *(f"sound_{kind}" for kind in READ)]
    write_lines(root / "data/train.csv", "Image,Id", *(f"{n}.jpg,{w}" for n, w in KNOWN.items()))
    rows = [f"{name}.jpg,new_whale" for name in names]
    write_lines(root / "data/sample_submission.csv", "Image,Id", *rows)
    boxes = dict.fromkeys((*KNOWN, *names), (2, 2, 60, 50))
    save(root / "modified_data/p2bb_averaged_v1.pkl", boxes)
    save(root / "modified_data/p2bb_averaged_playground_v1.pkl", {})
    held_out = [["a1", "b1", "n1"], ["a2", "b2"], ["a3", "b3"], ["a4", "b4"]]
    folds = {
        f"fold_{fold}": {"train": sorted({*KNOWN} - {*valid, "n1"}), "val": valid}
        for fold, valid in enumerate(held_out)
    }
    save(root / "modified_data/kfold/new_4_folds_split_train_val_v1.pkl", folds)
    keras.utils.set_random_seed(0)
    first = Workspace(root).root / "models/Res_v5_densenet121"
    first.mkdir(parents=True)
    name = "ft_v5_512px_finetune_{}_final_v2_0.900000.model_weights"
    NET.network(72, None, "smoke").save_weights(first / name.format(0))
    for fold in (1, 2, 3):
        shutil.copy(first / name.format(0), first / name.format(fold))
    return root


@pytest.fixture
def root(trained, monkeypatch):
    monkeypatch.setenv("WHALES_ROOT", str(trained))
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.setattr(Net, "network", build_once)
    return trained


def refusal(main, arguments, capsys):
    """What a call prints on stderr before it ends with exit code 2, line by line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(lambda: main([*map(str, arguments), *SMOKE]))
    assert stopped.value.code == 2
    return capsys.readouterr().err.strip().splitlines()


def test_a_stage_over_all_kinds_at_once(root, script, capsys):
    main = script("siamese_net_v5_densenet121/r26_seamese_net_inference_v5_512px.py").main
    lines = refusal(main, ["0"], capsys)
    assert len(lines) == 1, lines
    assert "cannot be read" in lines[0]
    main(["0", *SMOKE, "--skip-broken-photos"])
    said = capsys.readouterr().out
    for kind, (_, reason) in BROKEN.items():
        assert re.search(rf"left out: photo \S*/{kind}\.jpg .*{re.escape(reason)}", said), kind
    assert f"{len(BROKEN)} of {len(BROKEN) + len(READ) + len(KNOWN)} photos left out" in said
    path = next(root.glob("modified_data/*/full_test_vs_train_matrix_fold_0.pkl"))
    rows, _, scores = load(path)
    answered = {
        name.removesuffix(".jpg") for name, row in zip(rows, scores, strict=True) if row.any()
    }
    assert answered == {f"sound_{kind}" for kind in READ}


def test_a_folder_whose_photos_are_all_broken_is_one_line(root, script, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for kind, (make, _) in BROKEN.items():
        if kind not in SOUND_HEADERS:
            make(folder / f"{kind}.jpg")
    main = script("tools/identify.py").main
    for more in ([], ["--skip-broken-photos"]):
        (line,) = refusal(main, [folder, *more], capsys)
        assert f"none of {len(list(folder.iterdir()))} photos can be read; the first: " in line


def test_a_folder_of_all_kinds_is_identified(root, script, tmp_path, capsys):
    folder, table = fill(tmp_path / "in"), tmp_path / "out.csv"
    main = script("tools/identify.py").main
    lines = refusal(main, [folder, "--csv", table, "--top", "1"], capsys)
    assert len(lines) == len(BROKEN) + len(NAMES)
    main(
        [
            str(folder),
            "--top",
            "1",
            "--html",
            str(tmp_path / "page.html"),
            *SMOKE,
            "--skip-broken-photos",
        ]
    )
    said = capsys.readouterr().out
    for kind, (_, reason) in BROKEN.items():
        for text in ("\n".join(lines), said):
            assert re.search(rf"photo \S*/{kind}\.jpg .*{re.escape(reason)}", text), kind
    for name in NAMES.values():
        assert shown(folder / name) in said
    assert f"{len(lines)} photos left out because they cannot be read" in said
    assert "1 .txt left out, files that are no photos by their ending" in said
    with open(table, newline="", encoding="utf-8") as source:
        answered = {Path(row["query"]).stem for row in csv.DictReader(source)}
    assert answered == {f"sound_{kind}" for kind in READ}


def test_drawings_of_known_photos_that_went_bad_since(root, script, tmp_path, monkeypatch, capsys):
    """Answers are written although the known photos cannot be shown; what is missing is said."""
    content(encoded(scene(1)))(tmp_path / "a.jpg")
    real = identification.answers

    def answers_and_breaks(*arguments):
        given = real(*arguments)
        for name in KNOWN:
            (root / f"data/train/{name}.jpg").rename(tmp_path / f"{name}.kept")
            content(b"no photo")(root / f"data/train/{name}.jpg")
        return given

    monkeypatch.setattr(identification, "answers", answers_and_breaks)
    out = ["--csv", tmp_path / "a.csv", "--html", tmp_path / "a.html", "--why", tmp_path / "why"]
    try:
        lines = refusal(script("tools/identify.py").main, [tmp_path / "a.jpg", *out], capsys)
    finally:
        for kept in tmp_path.glob("*.kept"):
            shutil.move(kept, root / f"data/train/{kept.stem}.jpg")
    assert len(lines) == 1
    assert "it is text, no raster photo" in lines[0]
    assert "a.jpg" in (tmp_path / "a.csv").read_text()
    assert "no photo</div>" in (tmp_path / "a.html").read_text()


def test_an_import_of_all_kinds(tmp_path, capsys):
    source = fill(tmp_path / "in/ann")
    plan = {"source": source.parent, "root": tmp_path / "root", "test_share": 0.3}
    plan |= {"whole_frame_boxes": True, "without_detector": True}
    refused(lambda: import_dataset(ImportPlan(**plan), dict), "cannot be read (")
    assert not (tmp_path / "root").exists()
    import_dataset(ImportPlan(**plan, skip_broken_photos=True), dict)
    said = capsys.readouterr().out
    for kind, (_, reason) in BROKEN.items():
        assert re.search(rf"left out: .*/{kind}\.jpg .*{re.escape(reason)}", said), kind
    count = len(BROKEN) + len(NAMES)
    assert f"{count} of {count + len(READ)} photos left out" in said
    made = [*tmp_path.glob("root/data/t*/*.jpg")]
    assert {path.stem for path in made} == {f"sound_{kind}" for kind in READ}
    for path in made:
        wanted = READ[path.stem.removeprefix("sound_")][1]
        if wanted.std() < 60:  # fine noise and edges are lost in a JPEG
            assert np.abs(read_photo(path).astype(float) - wanted).mean() < 6, path.name


def test_an_import_of_broken_photos_alone_is_one_line(tmp_path):
    folder = tmp_path / "in/ann"
    folder.mkdir(parents=True)
    for kind in ("pipe", "folder", "svg", "damaged"):
        BROKEN[kind][0](folder / f"{kind}.jpg")
    records = read_source(folder.parent, Form())
    assert len(records) == 4
    refused(lambda: importing.check(records, True, skip=True), "none of 4 photos can be read")


def test_a_table_may_name_what_is_no_file(tmp_path):
    """A name that is not there is a fault of the table; a pipe is a broken photo."""
    BROKEN["pipe"][0](tmp_path / "pipe.jpg")
    write_lines(tmp_path / "a.csv", "photo,identity", "pipe.jpg,ann")
    (record,) = read_source(tmp_path / "a.csv", Form())
    refused(lambda: importing.check([record], True), "a.csv, line 2", "it is a pipe")
    write_lines(tmp_path / "a.csv", "photo,identity", "none.jpg,ann")
    refused(lambda: read_source(tmp_path / "a.csv", Form()), "none.jpg is not in")


def test_equal_photos_are_found_among_odd_ones(tmp_path):
    folder = fill(tmp_path / "data")
    for kind in READ:
        (folder / f"sound_{kind}.JPG").unlink()
    for name in ("p.jpg", "q.jpg"):
        content(encoded(scene(8), exif=b"Exif\0\0" if name == "q.jpg" else b""))(folder / name)
    shutil.copy(folder / "svg.jpg", folder / "svg_again.jpg")
    found = [[path.name for path in twins.files] for twins in identical_photos([folder])]
    assert ["p.jpg", "q.jpg"] in found
    assert ["svg.jpg", "svg_again.jpg"] in found
    assert len(found) == 2


DETECT = """
from retinanet.detector.legacy_keras import legacy_keras
legacy_keras()
import numpy as np
from retinanet.detector.evaluation import evaluate_detector
from retinanet.detector.geometry import DETECTORS
from retinanet.detector.photos import TrainingPhotos
from whales.files.workspace import Workspace
from whales.stages.job import Job
from whales.stages.options import RunOptions
rows = [(path, (0, 0, 8, 8)) for path in {paths!r}]
options = RunOptions(Workspace({root!r}), "smoke", workers=2, skip_broken_photos=True)
def predict(images):
    count = len(images)
    return np.zeros((count, 1, 4)), np.ones((count, 1)), np.zeros((count, 1))
for name in ("smoke", "full"):
    broken = {{}}
    evaluate_detector(predict, rows, DETECTORS[name], options, broken)
    print(sorted(broken))
photos = TrainingPhotos(rows, DETECTORS["smoke"], 2, 0, True, True)
for number in range(len(rows)):
    images, _ = photos.make(number)
    assert np.isfinite(images).all()
print(sorted(photos.broken))
"""


def test_the_detector_reads_and_refuses_what_the_others_do(tmp_path, run_python):
    folder = fill(tmp_path / "in")
    sound = [f"sound_{kind}.JPG" for kind in READ]
    odd = [f"{kind}.jpg" for kind in BROKEN]
    paths = [str(folder / name) for name in [*odd, *sound]]
    done = run_python("-c", DETECT.format(paths=paths, root=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    expected = str(sorted(str(folder / name) for name in odd))
    assert done.stdout.splitlines()[-3:] == [expected] * 3


def test_boxes_of_photos_that_went_bad_since(tmp_path, capsys):
    """Detections are kept in shares of the sides; a photo without a size ends the stage or is left out."""
    workspace = Workspace(tmp_path)
    share = np.array([0.25, 0.25, 0.75, 0.75], np.float32)
    for name in ("good", "gone"):
        cache = Cache(workspace, "test", 1)
        boxes = np.full((2, 300, 4), -1, np.float32)
        scores = np.full((2, 300), -1, np.float32)
        boxes[:, 0], scores[:, 0] = share, 0.9
        save(cache.path(name), (boxes, scores, np.where(scores > 0, 0, -1).astype(np.int32)))
    cache.prepare("weights", "", [], {})
    (tmp_path / "data/test").mkdir(parents=True)
    content(encoded(scene(), "PNG"))(tmp_path / "data/test/good.jpg")
    BROKEN["dangling"][0](tmp_path / "data/test/gone.jpg")
    photos = PhotosToDetect({"test": ["good", "gone"]}, {1: []})
    refused(lambda: collect(workspace, "test", photos, ""), "gone.jpg cannot be read")
    found = collect(workspace, "test", photos, "", skip_broken_photos=True)
    assert found == {"good": (WIDTH // 4, HEIGHT // 4, 3 * WIDTH // 4, 3 * HEIGHT // 4)}
    assert "left out: photo " in capsys.readouterr().out


def test_the_limit_is_of_the_run_where_it_may_leave_photos_out(tmp_path, monkeypatch):
    """A stage is not up to date where another limit would leave out other photos."""

    def options_of(skip):
        options = RunOptions(Workspace(tmp_path), skip_broken_photos=skip)
        return Job(options, __file__, [], [], numbers={}).description.content["options"]

    usual = options_of(True)
    for limit, skip, same in (("50", True, False), ("200", True, True), ("50", False, True)):
        monkeypatch.setenv(limits.VARIABLE, limit)
        expected = usual if skip else {**usual, "skip_broken_photos": "False"}
        assert (options_of(skip) == expected) is same


def test_threads_of_one_feed_leave_out_the_broken_photos_alone(tmp_path):
    folder = fill(tmp_path / "in")
    made = PhotoFeed(lambda name: folder / name, {}, 24, workers=4)
    names = [f"{kind}.jpg" for kind in BROKEN] + [f"sound_{kind}.JPG" for kind in READ]
    try:
        assert set(made.readable(names * 3)) == {f"sound_{kind}.JPG" for kind in READ}
    finally:
        made.close()


# --- the documentation ----------------------------------------------------------------------------


def test_the_documentation_gives_the_limits(repository):
    text = (repository / "docs/data.md").read_text(encoding="utf-8")
    for number in (limits.SHORTEST_SIDE, limits.LONGEST_SIDE, limits.MOST_OBLONG):
        assert f"{number:,}" in text.split("## Photos")[1].split("\n## ")[0]
    assert f"{limits.MOST_MEGAPIXELS:g}" in text.split("## Photos")[1]
