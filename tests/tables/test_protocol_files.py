from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from purify.errors import InputError
from purify.tables.image_lists import (
    is_noisy,
    person_of_masked,
    read_image_list,
    read_masked_pairs,
    read_noise_list,
)
from purify.tables.template_files import read_face_points, read_search_list, read_template_images, read_template_pairs
from purify.tables.verification_bins import read_bin


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (([b"a", b"b"], [True, False]), "2 and 2"),
        (([b"a", b"b"], []), "half as long"),
        ([1, 2, 3], "half as long"),
        (([b"a", ""], [True]), "image 1 is str"),
        (([b"a", b""], [True]), "image 1 is bytes"),
        (([b"a", np.zeros((4, 4), np.float32)], [True]), r"image 1 is an array float32\[4, 4\]"),
        (([b"a", b"b"], ["yes"]), "pair 0 is str"),
        (([b"a", b"b"], [2]), "pair 0 is int"),
    ],
)
def test_a_bin_of_something_else_is_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=message):
        read_bin(path)


def test_a_bin_of_bytes_and_of_arrays_is_the_same(tmp_path: Path) -> None:
    images = [b"first", b"second", b"third", b"fourth"]
    forms = [(images, [True, False]), ([np.frombuffer(image, np.uint8) for image in images], np.array([True, False]))]
    for number, content in enumerate(forms):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(pickle.dumps(content))
        found = read_bin(path)
        assert list(found.images) == images
        assert found.same.tolist() == [True, False]


def test_ijb_metadata(tmp_path: Path) -> None:
    images = read_template_images(_write(tmp_path / "a.txt", "1.jpg 5 7\nNA 6 7\n"))
    assert list(images.names) == ["1.jpg", "NA"]
    assert (images.template.tolist(), images.media.tolist()) == ([5, 6], [7, 7])
    first, second, same = read_template_pairs(_write(tmp_path / "b.txt", "5 6 1\n5 7 0\n"))
    assert (first.tolist(), second.tolist(), same.tolist()) == ([5, 5], [6, 7], [True, False])
    points = read_face_points(_write(tmp_path / "c.txt", "1.jpg 1 2 3 4 5 6 7 8 9 10 0.5\n"))
    assert points.points[0, 1].tolist() == [3, 4]
    assert points.score.tolist() == [0.5]
    searches = read_search_list(_write(tmp_path / "d.csv", "TEMPLATE_ID,SUBJECT_ID,FILENAME\n9,1,x\n8,2,y\n9,1,z\n"))
    assert (searches.template.tolist(), searches.subject.tolist()) == ([8, 9], [2, 1])


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_template_images, "1.jpg 5\n", "expected lines of name, template, media"),
        (read_template_images, "1.jpg five 6\n", "expected lines of name, template, media"),
        (read_template_pairs, "1 2 3\n", "row 1: the label is 3"),
        (read_template_pairs, "1 2 1\n1 3 1\n", "all pairs are same"),
        (read_face_points, "1.jpg 1 2 0.5\n", "expected lines of name, x1"),
        (read_search_list, "TEMPLATE_ID\n1\n", "SUBJECT_ID"),
        (read_search_list, "TEMPLATE_ID,SUBJECT_ID\n1,2\n1,3\n", "row 2: template 1 is of subject 3 here, of 2 before"),
    ],
)
def test_damaged_ijb_metadata_is_named(tmp_path: Path, read, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        read(_write(tmp_path / "list.txt", text))


def test_megaface_lists_and_noise(tmp_path: Path) -> None:
    names = read_image_list(_write(tmp_path / "lst", "# 2\nA/B/a.jpg\nA/B/b.jpg\n"))
    assert names == ["A/B/a.jpg", "A/B/b.jpg"]
    probes = read_noise_list(_write(tmp_path / "fs", "# comment\na.jpg\n"))
    distractors = read_noise_list(_write(tmp_path / "mf", "# comment\n1\tA/B/b.jpg\nA/C/b.jpg\n"))
    assert [is_noisy(name, probes) for name in names] == [True, False]
    assert [is_noisy(f"megaface/{name}", distractors) for name in names] == [False, True]
    with pytest.raises(InputError, match="no names"):
        read_image_list(_write(tmp_path / "empty", "# nothing\n"))


def test_mlfw_pairs_have_people_and_folds(tmp_path: Path) -> None:
    lines = [f"Ann_B_0001_000{k % 5}.jpg Carl_0002_0001.jpg {k % 2}" for k in range(23)]
    found = read_masked_pairs(_write(tmp_path / "pairs.txt", "\n".join(lines)))
    assert np.bincount(found.fold or []).tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    assert person_of_masked("aligned/Ann_B_0001_0002.jpg") == "Ann_B"
    assert person_of_masked("Carl_0002.jpg") == "Carl"
    assert person_of_masked("12.jpg") is None
    with pytest.raises(InputError, match="line 2"):
        read_masked_pairs(_write(tmp_path / "bad.txt", f"{lines[0]}\na.jpg b.jpg\n"))
