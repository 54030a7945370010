from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from purify.export.safe_names import distinct_names, file_name, file_names, label_folders, safe_name
from purify.ingest.leftovers import is_hidden

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
LABEL = TEXT.filter(lambda text: text.strip() != "")


@given(TEXT)
def test_a_safe_name_is_one_visible_part_of_a_path(text: str) -> None:
    name = safe_name(text)
    assert PurePosixPath(name).parts == (name,)
    assert name not in (".", "..")
    assert not is_hidden(name)
    assert 0 < len(name.encode()) <= 255
    assert "\0" not in name
    assert "\\" not in name


def test_ordinary_names_stay() -> None:
    for name in ("Ada Lovelace", "Robert Downey Jr.", "\u5f20\u4e09", "0001.jpg", "100%", "a:b", "O'Neil, Ed"):
        assert safe_name(name) == name


def test_dangerous_names_become_harmless() -> None:
    assert safe_name("..") == "%2E."
    assert safe_name("../../etc/passwd") == "%2E.%2F..%2Fetc%2Fpasswd"
    assert safe_name("a\nb\x00") == "a%0Ab%00"
    assert safe_name("lost+found") == "%6Cost+found"
    assert safe_name("x" * 300 + ".jpg").endswith(".jpg")
    assert safe_name("x" * 300) != safe_name("x" * 301)


@given(st.lists(TEXT, max_size=30))
def test_distinct_names_are_distinct_and_keep_first_comers(names: list[str]) -> None:
    result = distinct_names(names)
    assert len(set(result)) == len(names)
    for name, given_name in zip(result, names, strict=True):
        if names.count(given_name) == 1:
            assert name == given_name


def test_repeated_names_are_numbered_before_their_suffix() -> None:
    assert distinct_names(["1.jpg", "1.jpg", "1~2.jpg", "1.jpg"]) == ["1.jpg", "1~3.jpg", "1~2.jpg", "1~4.jpg"]


def test_files_keep_their_names_below_the_label() -> None:
    assert file_name("lfw/Ada/1.jpg", "Ada") == "1.jpg"
    assert file_name("batch/Ada/more/1.jpg", "Ada") == "more_1.jpg"
    assert file_name("lfw/Ada/1.jpg", "Eve") == "lfw_Ada_1.jpg"
    assert file_name("train.rec#17", "Ada") == "train.rec#17"
    assert file_name("../../1.jpg", "Ada") == "1.jpg"


@given(st.lists(st.tuples(TEXT, LABEL), min_size=1, max_size=20), st.sampled_from([None, ".jpg"]))
def test_paths_of_an_export_are_distinct_and_one_folder_deep(
    samples: list[tuple[str, str]], suffix: str | None
) -> None:
    paths = file_names([sample for sample, _ in samples], [label for _, label in samples], suffix=suffix)
    assert len(set(paths)) == len(paths)
    folders = label_folders(sorted({label for _, label in samples}))
    for path, (_, label) in zip(paths, samples, strict=True):
        assert PurePosixPath(path).parts[0] == folders[label]
        assert len(PurePosixPath(path).parts) == 2
