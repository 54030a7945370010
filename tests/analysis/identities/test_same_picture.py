from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from purify.analysis.identities.same_picture import find_same_pictures
from purify.analysis.label_noise.centering import centered
from purify.analysis.near_pairs import NearPairs, duplicates_within_labels
from purify.analysis.nearest_images import nearest_images
from purify.embedding.store import read_embeddings

#: Pictures of Labeled Faces in the Wild that stand under two names (first images but for the last one's second).
TWICE = {
    ("Carlos_Beltran", "Raul_Ibanez"),
    ("Bart_Hendricks", "Ricky_Ray"),
    ("Emmy_Rossum", "Eva_Amurri"),
    ("Andrew_Caldecott", "Andrew_Gilligan"),
    ("Tamara_Mowry", "Tia_Mowry"),
    ("Gabrielle_Rose", "Martha_Bowen"),
}


def near_pairs(vectors: np.ndarray) -> NearPairs:
    return NearPairs.of(nearest_images(vectors, np.arange(len(vectors))), np.arange(len(vectors)))


def vectors_of(labels: int, images: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(labels), images)
    return rng.normal(size=(labels, 24))[label] + 0.6 * rng.normal(size=(len(label), 24)), label


def near(vectors) -> NearPairs:
    return near_pairs(centered(vectors.astype(np.float32)).vectors)


@pytest.mark.parametrize("images", [1, 2, 8])
def test_a_picture_saved_again_under_another_label_is_found_and_little_else(images: int) -> None:
    vectors, label = vectors_of(400, images)
    vectors[-1] = vectors[0] + 0.01
    vectors[-1 - images] = vectors[images] * 1.5
    found = find_same_pictures(near(vectors), label, np.full(len(label), 0.97))
    surest = np.argsort(-found.p_same, kind="stable")[:2]
    assert set(zip(found.first[surest].tolist(), found.second[surest].tolist(), strict=True)) == {
        (0, len(label) - 1),
        (images, len(label) - 1 - images),
    }
    assert found.p_same[surest].min() > 0.95
    assert len(found.first) <= 3


def test_labels_of_one_person_do_not_contradict_each_other() -> None:
    vectors, label = vectors_of(400, 2)
    vectors[-1] = vectors[0]
    label[-2:] = 0
    assert not len(find_same_pictures(near(vectors), label, np.ones(len(label))).first)


def test_a_label_known_to_be_wrong_contradicts_nobody() -> None:
    vectors, label = vectors_of(400, 2)
    vectors[-1] = vectors[0]
    p_clean = np.ones(len(label))
    p_clean[-1] = 0.01
    assert not len(find_same_pictures(near(vectors), label, p_clean).first)


def test_equal_bytes_need_no_embedding() -> None:
    vectors, label = vectors_of(6, 2)
    pictures = np.array([0, 1, 0, 2, 3, 4, -1, -1, 5, 5, 6, 7])
    found = find_same_pictures(near(vectors), label, np.ones(12), pictures)
    assert list(zip(found.first.tolist(), found.second.tolist(), found.p_same.tolist(), strict=True)) == [(0, 2, 1.0)]
    unit = centered(vectors.astype(np.float32)).vectors
    original = duplicates_within_labels(near_pairs(unit), unit, label, np.ones(12, bool), 0.98, pictures)
    assert np.flatnonzero(original >= 0).tolist() == [9]
    assert original[9] == 8


def test_duplicates_within_a_label_name_one_original_each() -> None:
    vectors, label = vectors_of(30, 8)
    vectors[[1, 2, 3]] = vectors[0]
    vectors[20] = vectors[4]  # another label's
    unit = centered(vectors.astype(np.float32)).vectors
    kept = np.ones(len(label), bool)
    original = duplicates_within_labels(near_pairs(unit), unit, label, kept, 0.98)
    assert {i: int(original[i]) for i in np.flatnonzero(original >= 0).tolist()} == {1: 0, 2: 0, 3: 0}
    kept[0] = False
    original = duplicates_within_labels(near_pairs(unit), unit, label, kept, 0.98)
    assert {i: int(original[i]) for i in np.flatnonzero(original >= 0).tolist()} == {2: 1, 3: 1}


def test_a_duplicate_of_a_duplicate_is_none_itself() -> None:
    vectors, label = vectors_of(30, 8)
    unit = centered(vectors.astype(np.float32)).vectors
    for first, second, wanted in [((0, 1), (1, 2), {1: 0}), ((0, 1), (2, 2), {2: 0})]:
        near_pairs = NearPairs(np.array(first), np.array(second), np.full(2, 1e-12))
        original = duplicates_within_labels(near_pairs, unit, label, np.ones(len(label), bool), 0.98)
        assert {i: int(original[i]) for i in np.flatnonzero(original >= 0).tolist()} == wanted


def test_images_of_a_collapsed_label_are_no_duplicates() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(30), 8)
    vectors = rng.normal(size=(30, 24))[label] + 0.02 * rng.normal(size=(240, 24))
    unit = centered(vectors.astype(np.float32)).vectors
    assert (np.einsum("nd,nd->n", unit[::2], unit[1::2]) > 0.98).mean() > 0.95
    found = duplicates_within_labels(near_pairs(unit), unit, label, np.ones(240, bool), 0.98)
    assert (found >= 0).mean() < 0.02


def test_pictures_of_lfw_under_two_names(faces) -> None:
    path = pq.read_table(faces / "dlib_embeddings.parquet", columns=["path"])["path"].to_pylist()
    path = sorted(name for name in path if name.startswith("lfw112/"))
    names = [name.split("/")[1] for name in path]
    label = np.unique(names, return_inverse=True)[1]
    vectors = read_embeddings(faces / "dlib_embeddings.parquet", path)
    found = find_same_pictures(near(vectors), label, np.full(len(label), 0.97))
    people = {tuple(sorted((names[a], names[b]))) for a, b in zip(found.first, found.second, strict=True)}
    assert people >= TWICE
    assert len(people) <= 15


def test_one_picture_under_many_labels_hides_no_other() -> None:
    """A placeholder such as "no longer available", in 10 % of the rows."""
    vectors, label = vectors_of(400, 2)
    rows = np.arange(0, len(label), 10)
    vectors[rows] = vectors[0]
    vectors[-1] = vectors[3] + 0.01
    found = find_same_pictures(near(vectors), label, np.full(len(label), 0.97))
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert (3, len(label) - 1) in pairs
    assert set(rows) <= {row for pair in pairs for row in pair}
