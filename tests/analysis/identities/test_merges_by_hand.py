"""Merges of labels whose images all point the same way: the cosine of two labels is their similarity."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.class_rows import ClassRows, canonical_order
from purify.analysis.identities.merge import CERTAIN, LabelMerge, find_merges, label_merge, size_rank
from purify.analysis.identities.null_thresholds import NullThresholds
from purify.analysis.identities.prototypes import Prototypes
from purify.analysis.label_noise.mode_seeking import CosineScale, stack

SCALE = CosineScale(0.0, 0.5)


def at(degrees: float) -> np.ndarray:
    """A direction in a plane."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


def rows_of(directions: list[np.ndarray], sizes: list[int], p_clean: float = 1.0) -> ClassRows:
    label = np.repeat(np.arange(len(sizes)), sizes)
    vectors = np.stack(directions)[label]
    return ClassRows(vectors, label, len(sizes), np.full(len(label), p_clean), canonical_order(vectors, label))


def merges(
    cosines: list[float], sizes: list[int], *, mixed: int | None = None, wrong: int = 0
) -> list[tuple[int, int, float]]:
    """Of label 0, labels at these cosines to it, each in a plane of its own, and sixty others; 0 has `wrong` more."""
    cosines, sizes = [*cosines, *[0.0] * 60], [*sizes, *[40] * 60]
    directions = [np.eye(len(cosines) + 2, dtype=np.float32)[0]]
    for k, cosine in enumerate(cosines):
        one = np.zeros(len(cosines) + 2, np.float32)
        one[0], one[k + 1] = cosine, np.sqrt(1 - cosine**2)
        directions.append(one)
    rows = rows_of(directions, sizes)
    groups = stack([rows.vectors[rows.label == k] for k in range(len(sizes))])
    prototypes = Prototypes.of(np.arange(len(sizes)), groups, np.array(sizes))
    thresholds = NullThresholds(SCALE, SCALE, 0.5, np.zeros(1), np.zeros(1), different=0.1, same=0.8)
    is_mixed = np.zeros(len(sizes), bool)
    if mixed is not None:
        is_mixed[mixed] = True
    pictures = np.array(sizes)
    pictures[0] += wrong
    found = find_merges(rows, np.zeros(len(rows.label), np.int32), is_mixed, prototypes, pictures, thresholds)
    return [(merge.label, merge.into, merge.p_same) for merge in found]


@pytest.mark.parametrize(
    ("cosine", "images", "expected"),
    [
        (0.96, 40, CERTAIN),
        (0.93, 40, 0.5),
        (0.89, 40, None),
        (0.91, 5, CERTAIN),
        (0.83, 5, 0.5),
        (0.79, 5, None),
    ],
)
def test_a_merge_is_sure_doubtful_or_none_by_the_similarity_for_the_smaller_size(
    cosine: float, images: int, expected: float | None
) -> None:
    wanted = [] if expected is None else [(1, 0, expected)]
    assert merges([cosine], [40, images]) == wanted
    assert [(b, a, p) for a, b, p in merges([cosine], [images, 80])] == wanted


def test_mixed_labels_are_not_merged() -> None:
    assert merges([0.99], [40, 40], mixed=0) == merges([0.99], [40, 40], mixed=1) == []
    assert merges([0.99], [40, 40], mixed=2) == [(1, 0, CERTAIN)]


def test_each_label_is_merged_into_the_largest_one() -> None:
    assert merges([0.99, 0.99], [10, 40, 80]) == [(0, 2, CERTAIN), (1, 2, CERTAIN)]


def test_a_label_whose_images_are_there_by_chance_is_not_merged() -> None:
    """Of 600 wrong images, ten of a person with one image in sixty are to be expected."""
    assert merges([0.99], [6, 40]) == [(0, 1, CERTAIN)]
    assert merges([0.99], [6, 40], wrong=600) == []


def test_sizes_are_compared_in_powers_of_two_and_the_lower_number_wins_a_tie() -> None:
    """Trusted images count twice: 7 and 5 are between 8 and 16, 8 is 16; of 7 distrusted ones seven count."""
    rows = rows_of([at(0)] * 4, [7, 8, 5, 7])
    found = np.zeros(27, np.int32)
    ranks = size_rank(rows, found, np.arange(4))
    assert sorted(range(4), key=lambda k: ranks[k]) == [3, 2, 0, 1]
    assert [rank[0] for rank in ranks] == [3, 4, 3, 3]
    assert [rank[0] for rank in size_rank(rows_of([at(0)] * 4, [7, 8, 5, 7], 0.0), found, np.arange(4))] == [2, 3, 2, 2]
    found[rows.label == 0] = [0, 1, 1, 1, 1, -1, -1]
    assert size_rank(rows, found, np.arange(4))[0][0] == 1  # its dominant group is one image
    found[rows.label == 0] = 1
    assert size_rank(rows, found, np.arange(4))[0][0] == 3  # without one, all count


def test_evidence_is_of_the_images_most_like_the_other_label() -> None:
    degrees = [0, 10, 20, 30, 200, 90, 80, 70]
    vectors = np.stack([at(one) for one in degrees])
    label = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    rows = ClassRows(vectors, label, 2, np.ones(8), canonical_order(vectors, label))
    found = np.array([0, 0, 0, 0, -1, 0, 0, 0], np.int32)
    merge = label_merge(rows, found, 0, 1)
    assert merge.evidence.tolist() == [3, 2, 1, 7, 6]
    assert merge.cosine == pytest.approx(np.cos(np.radians(65)), abs=1e-6)
    assert (merge.label, merge.into, merge.p_same) == (0, 1, CERTAIN)
    back = label_merge(rows, found, 1, 0, 0.7)
    assert back.evidence.tolist() == [7, 6, 5, 3, 2]
    assert isinstance(back, LabelMerge)
    assert back.p_same == 0.7
