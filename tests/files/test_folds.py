"""The fold recipe against a second implementation, written from the method in plain loops."""

import csv
import pickle
import shutil

import pytest

from whales.base.errors import UserError
from whales.files.folds import FoldRecipe, require_fold

SIZES = [(10723, 4006), (10723, 4006), (10701, 4037), (10727, 4001)]
TABLES = (
    "data/train.csv",
    "modified_data/p2bb_averaged_v1.pkl",
    "modified_data/p2bb_averaged_playground_v1.pkl",
)
V1 = "modified_data/kfold/new_4_folds_split_train_val_v1.pkl"
V2 = "modified_data/kfold/new_4_folds_split_train_val_v2.pkl"
KERNEL = "modified_data/new_4_folds_split_train_val.pkl"


def shuffled_lists(random, rows):
    """Steps 1 to 3: photos of each identity, the new whales' copy, the drawn parts."""
    lists = {}
    for name, identity in rows:
        lists.setdefault(identity, []).append(name)
    random.seed(100)
    for photos in lists.values():
        random.shuffle(photos)
    strangers = lists.get("new_whale", [])[:]
    random.seed(1000)
    random.shuffle(strangers)
    random.seed(10000)
    drawn = {
        identity: random.choice([0, 1, 2, 3], 4, replace=False)
        for identity, photos in lists.items()
        if len(photos) > 3
    }
    return lists, strangers, drawn


def quarter(photos, part):
    """Part of an unshuffled split in four: the first len % 4 parts are one longer."""
    sizes = [len(photos) // 4 + (k < len(photos) % 4) for k in range(4)]
    start = sum(sizes[:part])
    return photos[start : start + sizes[part]]


def family(random, lists, strangers, drawn, counter):
    """Steps 4 to 6: four folds; the lists of three photos are left shuffled."""
    batch = len(strangers) // 4
    folds = {}
    for fold in range(4):
        train, valid = [], []
        for identity, photos in lists.items():
            if identity == "new_whale" or len(photos) == 1:
                continue
            if len(photos) == 2:
                held = []
            elif len(photos) == 3 and fold < 3:
                held = [photos[fold]]
            elif len(photos) == 3:
                counter += 1
                random.seed(counter)
                random.shuffle(photos)
                held = [photos[0]]
            else:
                held = quarter(photos, drawn[identity][fold])
            valid.extend(held)
            train.extend(photo for photo in photos if photo not in held)
        train.sort()
        count = int(len(valid) / (1 - 0.276) * 0.276)
        valid.extend(strangers[fold * batch : (fold + 1) * batch][:count])
        folds[f"fold_{fold}"] = {"train": train, "val": valid}
    return folds


def by_the_method(random, rows, *counters):
    """One family of folds a counter, each from the lists as the one before left them."""
    lists, strangers, drawn = shuffled_lists(random, rows)
    return [family(random, lists, strangers, drawn, counter) for counter in counters]


def small_table():
    """Identities of 1, 2, 3, 4, 5 and 9 photos, several of each, and new whales, interleaved."""
    # Names on both sides of `new_whale` in the alphabet.
    counts = {f"{'aNw'[copy]}_{size}": size for size in (1, 2, 3, 4, 5, 9) for copy in range(3)}
    counts["new_whale"] = 30
    rows = []
    for turn in range(30):
        for identity, count in counts.items():
            if turn < count:
                rows.append((f"{(7919 * len(rows)) % 10007:05d}.jpg", identity))
    return rows


def photo_lists(rows):
    lists = {}
    for name, identity in rows:
        lists.setdefault(identity, []).append(name)
    return lists


def test_small_table_by_the_method(legacy_stream):
    rows = small_table()
    first, second = by_the_method(legacy_stream, rows, 100, 200)
    (kernel,) = by_the_method(legacy_stream, rows, 0)
    recipe = FoldRecipe(photo_lists(rows))
    assert recipe.make(100) == first
    assert recipe.make(200) == second
    assert FoldRecipe(photo_lists(rows)).make(0) == kernel


def test_second_family_starts_where_the_first_ended():
    rows = small_table()
    recipe = FoldRecipe(photo_lists(rows))
    recipe.make(100)
    assert recipe.make(200) != FoldRecipe(photo_lists(rows)).make(200)


def test_recipe_leaves_the_global_stream_and_the_given_lists_alone(legacy_stream):
    lists = photo_lists(small_table())
    before = {identity: list(photos) for identity, photos in lists.items()}
    legacy_stream.seed(5)
    expected = legacy_stream.random(3).tolist()
    legacy_stream.seed(5)
    FoldRecipe(lists).make(100)
    assert legacy_stream.random(3).tolist() == expected
    assert lists == before


def test_a_fold_that_is_not_there_is_refused():
    folds = FoldRecipe(photo_lists(small_table())).make(0)
    assert require_fold(folds, 3, "file") is folds["fold_3"]
    more = {"fold_0": {"train": ["a"], "val": ["b"], "note": []}}
    assert require_fold(more, 0, "file") is more["fold_0"]
    with pytest.raises(UserError, match="file holds no fold_4"):
        require_fold(folds, 4, "file")
    with pytest.raises(UserError, match="file holds no fold_0"):
        require_fold({"fold_0": {"train": []}}, 0, "file")


def test_few_new_whales_are_shared_out_to_the_folds():
    """Each fold holds out 20 known photos and would take 7 new whales; of 11 each has its own 2."""
    rows = [(f"{i:03d}.jpg", f"w_{i // 4}") for i in range(80)]
    rows += [(f"n{i:02d}.jpg", "new_whale") for i in range(11)]
    folds = FoldRecipe(photo_lists(rows)).make(0).values()
    new = [[name for name in fold["val"] if name[0] == "n"] for fold in folds]
    assert [len(names) for names in new] == [2, 2, 2, 2]
    assert len({name for names in new for name in names}) == 8
    assert all(len(fold["val"]) == 22 for fold in folds)


@pytest.fixture(scope="module")
def real(shared, script, tmp_path_factory):
    """Bytes of the three outputs of two runs each, from an unrelated current folder."""
    folder = tmp_path_factory.mktemp("folds")
    root, elsewhere = folder / "root", folder / "elsewhere"
    elsewhere.mkdir()
    for table in TABLES:
        (root / table).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared / "competition" / table, root / table)
    runs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHALES_ROOT", str(root))
        patch.chdir(elsewhere)
        for _ in range(2):
            script("r10_create_kfold_split.py").main(["--force"])
            script("kernel_snn/kfold_splits_for_kernel.py").main(["--force"])
            runs.append([(root / name).read_bytes() for name in (V1, V2, KERNEL)])
    assert not list(elsewhere.iterdir())
    return root, runs


def boxed_rows(root):
    boxed = set()
    for table in TABLES[1:]:
        boxed |= pickle.loads((root / table).read_bytes()).keys()
    with open(root / TABLES[0], newline="") as lines:
        return [
            (row["Image"], row["Id"]) for row in csv.DictReader(lines) if row["Image"][:-4] in boxed
        ]


def renamed(folds, suffix):
    return {
        fold: {part: [name[:-4] + suffix for name in names] for part, names in parts.items()}
        for fold, parts in folds.items()
    }


def test_published_sizes_on_the_real_table(real):
    _, runs = real
    for content in runs[0]:
        folds = pickle.loads(content)
        assert list(folds) == ["fold_0", "fold_1", "fold_2", "fold_3"]
        assert [(len(fold["train"]), len(fold["val"])) for fold in folds.values()] == SIZES
        assert all(not set(fold["train"]) & set(fold["val"]) for fold in folds.values())


def test_two_runs_are_identical(real):
    _, runs = real
    assert runs[0] == runs[1]


def test_real_table_by_the_method(real, legacy_stream):
    root, runs = real
    v1, v2, kernel = map(pickle.loads, runs[0])
    rows = boxed_rows(root)
    first, second = by_the_method(legacy_stream, rows, 100, 200)
    (third,) = by_the_method(legacy_stream, rows, 0)
    assert v1 == renamed(first, ".npy")
    assert v2 == renamed(second, ".npy")
    assert kernel == renamed(third, ".jpg")


def test_photos_without_a_box_are_left_out(work_root, script):
    (work_root / "data").mkdir()
    (work_root / "modified_data").mkdir()
    names = [f"{i}.jpg" for i in range(8)]
    table = "".join(f"{name},w_{i // 4}\n" for i, name in enumerate(names))
    (work_root / TABLES[0]).write_text("Image,Id\n" + table)
    boxes = {str(i): (0, 0, 9, 9) for i in range(8) if i != 2}
    playground = {"7": boxes.pop("7")}
    for path, content in zip(TABLES[1:], (boxes, playground), strict=True):
        (work_root / path).write_bytes(pickle.dumps(content))
    script("kernel_snn/kfold_splits_for_kernel.py").main([])
    folds = pickle.loads((work_root / KERNEL).read_bytes())
    for fold in folds.values():
        assert sorted(fold["train"] + fold["val"]) == [name for name in names if name != "2.jpg"]
