"""What nets were taught on: kept in weight files, read from sound, published and hostile ones, in words."""

import h5py
import pytest
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st

from whales.files import published
from whales.files.workspace import Workspace
from whales.nets import teaching
from whales.nets.teaching import (
    ATTRIBUTE,
    BY_THE_AUTHORS,
    IMAGENET,
    UNKNOWN,
    Lesson,
    generated_alone,
    in_words,
    lesson,
    teaching_after,
    teaching_of,
    written,
)

DRAWN, REAL = Lesson(640, 40, True), Lesson(593, 195, False)


def weights(path, kept=None):
    with h5py.File(path, "w") as file:
        if kept is not None:
            file.attrs[ATTRIBUTE] = kept
    return path


lessons = st.builds(Lesson, st.integers(0, 10**6), st.integers(0, 10**5), st.booleans())
parts = st.lists(
    st.sampled_from([IMAGENET, BY_THE_AUTHORS, UNKNOWN]) | lessons, min_size=1, max_size=5
)


@given(parts)
def test_what_is_written_is_read(tmp_path_factory, parts):
    path = weights(tmp_path_factory.mktemp("w") / "w.model_weights", written(tuple(parts)))
    assert teaching_of(path) == tuple(parts)


@pytest.mark.parametrize(
    "kept",
    [
        None, "", "no JSON", "{}", "[]", "[1]", '["magic"]', '[{"photos": 3}]', "9" * 20_000, b"[]", 7,
        '[{"photos": -1, "identities": 2, "generated": true}]',
        '[{"photos": 1, "identities": true, "generated": true}]',
        '[{"photos": 1, "identities": 1, "generated": "no"}]',
    ],
)  # fmt: skip
def test_what_says_nothing_sound_is_not_known(tmp_path, kept):
    assert teaching_of(weights(tmp_path / "w.model_weights", kept)) == (UNKNOWN,)


def test_a_missing_and_a_damaged_file(tmp_path):
    refused(lambda: teaching_of(tmp_path / "no.model"), "no.model", "is missing")
    (tmp_path / "bad.model").write_bytes(b"\0" * 100)
    refused(lambda: teaching_of(tmp_path / "bad.model"), "bad.model", "not a whole")


def test_a_published_file_is_known_by_its_content_not_by_its_name(tmp_path, monkeypatch):
    name = "ft_v5_512px_finetune_0_final_v2_0.969993.model"
    path = weights(tmp_path / name)
    assert teaching_of(path) == (UNKNOWN,)
    blob = published.content_ids(path).blob
    monkeypatch.setitem(teaching.PUBLISHED, blob, published.PublishedFile(f"models/{name}"))
    assert teaching_of(path) == (BY_THE_AUTHORS,)


def test_a_lesson_is_of_the_generator_where_the_root_is(tmp_path):
    root = Workspace(tmp_path)
    photos = {"a": "w_a", "b": "w_a", "c": "w_c"}
    assert lesson(root, photos) == Lesson(3, 2, False)
    root.file("sample").write_text("{}")
    assert lesson(root, photos) == Lesson(3, 2, True)


def test_lessons_follow_each_other(tmp_path):
    first = weights(tmp_path / "a.model_weights", written((IMAGENET, DRAWN)))
    assert teaching_after(None, REAL) == teaching_after("none", REAL) == (REAL,)
    assert teaching_after("imagenet", REAL) == (IMAGENET, REAL)
    assert teaching_after(first, REAL) == (IMAGENET, DRAWN, REAL)
    assert teaching_after(first, DRAWN) == (IMAGENET, DRAWN)  # the same photos in a larger size
    assert teaching_after(weights(tmp_path / "b.model"), REAL) == (UNKNOWN, REAL)


@pytest.mark.parametrize(
    ("teachings", "alone"),
    [
        ([(DRAWN,)], True),
        ([(IMAGENET, DRAWN), (DRAWN, DRAWN)], True),
        ([(DRAWN,), (DRAWN, REAL)], False),
        ([(UNKNOWN, DRAWN)], False),
        ([(BY_THE_AUTHORS, DRAWN)], False),
        ([(IMAGENET,)], False),
        ([], False),
    ],
)
def test_who_has_seen_generated_flukes_alone(teachings, alone):
    assert generated_alone(teachings) == alone


def test_words_for_people():
    assert in_words([(UNKNOWN,)]) == "photos that are not known"
    assert in_words([(IMAGENET, REAL)]) == "ImageNet, then 593 photos of 195 individuals"
    assert in_words([(DRAWN,), (DRAWN._replace(photos=1234),)]) == (
        "640 to 1,234 generated photos of 40 individuals"
    )
    assert in_words([(BY_THE_AUTHORS,), (DRAWN,)]) == (
        "the competition's real photos (published weights), or 640 generated photos of 40 individuals"
    )
