"""How many images make a further person, or a look, on sets in which every cosine is known.

Two images of a scene have the cosine 0.9, and all others 0: what counts is the number of images alone.
"""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.class_rows import DistinctPictures
from purify.analysis.identities.looks import find_looks
from purify.analysis.identities.null_thresholds import NullThresholds
from purify.analysis.identities.prototypes import Prototypes
from purify.analysis.identities.split import dense_places, identities_of
from purify.analysis.label_noise.mode_seeking import CosineScale, stack

SCALE = CosineScale(0.0, 0.5)
OTHERS = 20


def drawn(scenes: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label 0 with scenes of these numbers of images, and twenty labels with one of ten: vectors, labels, scenes."""
    sizes = [*scenes, *[10] * OTHERS]
    label = np.repeat(np.r_[np.zeros(len(scenes), int), np.arange(1, OTHERS + 1)], sizes)
    scene, n = np.repeat(np.arange(len(sizes)), sizes), sum(sizes)
    vectors = np.zeros((n, len(sizes) + n), np.float32)
    vectors[np.arange(n), scene] = np.sqrt(0.9)
    vectors[np.arange(n), len(sizes) + np.arange(n)] = np.sqrt(0.1)
    return vectors, label, scene


def sample_of(scenes: list[int]) -> DistinctPictures:
    """The images of label 0; the densest region is that of its largest scene."""
    vectors, label, _ = drawn(scenes)
    center = np.eye(vectors.shape[1], dtype=np.float32)[int(np.argmax(scenes))]
    members = np.flatnonzero(label == 0)
    return DistinctPictures(0, vectors, members, np.ones(len(members)), center)


def people(scenes: list[int], *, frequent: int = 0, alike: int | None = None, **changed: float) -> list[int]:
    """Scenes of label 0 that are people, in the order in which they are found.

    One of the other labels may have more images than the others, or show the person of a scene of label 0.
    """
    vectors, label, _ = drawn(scenes)
    sizes = np.bincount(label)
    sizes[1] += frequent
    rows = [vectors[label == own] for own in range(OTHERS + 1)]
    if alike is not None:
        rows[1] = rows[1].copy()
        rows[1][:, [alike, len(scenes)]] = rows[1][:, [len(scenes), alike]]
    prototypes = Prototypes.of(np.arange(OTHERS + 1), stack(rows), sizes)
    given = {"cohesion": 0.5, "different": 0.1, "same": 1.0} | changed
    thresholds = NullThresholds(SCALE, SCALE, strangers=np.zeros(1), chance_cohesion=np.zeros(1), **given)
    found = identities_of(sample_of(scenes), thresholds, prototypes)
    return found.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    ("scenes", "expected"),
    [
        ([12, 5], [0, 1]),  # five images are a person
        ([12, 4], [0]),
        ([120, 5], [0, 1]),  # four in a hundred are
        ([121, 5], [0]),
        ([5, 12], [1, 0]),
        ([6, 9, 12], [2, 1, 0]),
        ([12, 11, 10, 9, 8], [0, 1, 2, 3]),  # up to four people
    ],
)
def test_a_further_person_has_five_images_and_a_share_of_the_label(scenes: list[int], expected: list[int]) -> None:
    assert people(scenes) == expected


def test_a_further_person_coheres_and_is_not_alike() -> None:
    assert people([12, 8], cohesion=0.89) == [0, 1]
    assert people([12, 8], cohesion=0.91) == [0]
    assert people([12, 8], different=0.001) == [0, 1]
    assert people([12, 8], different=-0.001) == [0]


def test_images_of_a_frequent_person_are_there_by_chance() -> None:
    """Chance hardly explains five images of a person with 10 of 227 images, but those of one with half of all."""
    assert people([12, 5], alike=1) == [0, 1]
    assert people([12, 5], alike=1, frequent=200) == [0]


@pytest.mark.parametrize(
    ("scenes", "least", "most", "number"),
    [
        *(([6, 5, 4, 3], least, 9, number) for least, number in ((3, 4), (4, 3), (7, 3), (8, 2))),
        *(([6, 5, 4, 3], 1, most, most) for most in (1, 3)),
        ([6], 1, 9, 1),
        ([6, 1, 1, 1, 1], 1, 9, 1),  # no two images are alike
    ],
)
def test_dense_places_are_sought_while_enough_images_are_left(
    scenes: list[int], least: int, most: int, number: int
) -> None:
    found = dense_places(sample_of(scenes), SCALE, SCALE, least=least, most=most)
    assert found.argmax(axis=1).tolist() == list(range(number))


def looks(scenes: list[int]) -> list[int]:
    """Look of each scene of label 0."""
    vectors, label, scene = drawn(scenes)
    look, label_of = find_looks(vectors, label, OTHERS + 1, 0.98)
    assert (label_of[look] == label).all()
    assert len(np.unique(look[label > 0])) == OTHERS
    found = [set(look[scene == k].tolist()) for k in range(len(scenes))]
    assert all(len(one) == 1 for one in found)
    return [one.pop() for one in found]


@pytest.mark.parametrize(
    ("scenes", "number"),
    [
        ([10, 3], 2),  # three images are a look
        ([10, 2], 1),
        ([46, 4], 2),  # eight in a hundred are
        ([47, 4], 1),
        ([12] * 8, 8),
        ([12] * 10, 8),  # up to eight; the images of all others belong to the first
    ],
)
def test_a_look_has_three_images_and_a_share_of_the_label(scenes: list[int], number: int) -> None:
    assert len(set(looks(scenes))) == number
