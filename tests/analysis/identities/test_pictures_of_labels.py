"""The pictures that stand for a label of few images when it is compared with others."""

from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.class_rows import ClassRows, DistinctPictures, ImageGroups
from purify.analysis.identities import small_merges
from purify.analysis.identities.one_person import Candidates
from purify.analysis.label_noise.companions import NoiseOrigin

SIZES = np.array([6, 6, 6, 1, 2, *[4] * 7])


def compared(p_clean: list[float], dominant: list[int], monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Places of the pictures of each label that are compared; the first labels have dominant groups of these sizes."""
    seen: list[ImageGroups] = []

    def candidates(members: ImageGroups, _: np.random.Generator) -> Candidates:
        seen.append(members)
        return Candidates(np.empty(0, int), np.empty(0, int), np.empty(0))

    monkeypatch.setattr(small_merges, "one_person_candidates", candidates)
    label, rng = np.repeat(np.arange(12), SIZES), np.random.default_rng(0)
    vectors = rng.normal(size=(len(label), 8)).astype(np.float32)
    start = np.cumsum(SIZES) - SIZES
    p_of = np.r_[p_clean, np.ones(len(label) - len(p_clean))]
    members = [start[k] + np.arange(SIZES[k]) for k in range(12)]
    samples = [DistinctPictures(k, vectors, members[k], p_of[members[k]], vectors[start[k]]) for k in range(12)]
    groups = [members[k][: dominant[k]] if k < len(dominant) else members[k] for k in range(12)]
    small_merges.find_small_merges(
        ClassRows(vectors, label, 12, p_of, np.arange(len(label))),
        np.zeros(len(label), np.int32),
        samples,
        ImageGroups(vectors, groups),
        mixed=np.zeros(12, bool),
        merged=frozenset(),
        names=None,
        noise=NoiseOrigin(0.1),
        near_duplicate=0.98,
        rng=rng,
    )
    return [(rows - start[k]).tolist() for k, rows in enumerate(seen[0].members)]


def test_trusted_pictures_stand_for_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared([0.1, 0.5, 0.49, 0.9, 0.2, 0.3], [6], monkeypatch)
    assert found[0] == [1, 3]
    assert found[5] == [0, 1, 2, 3]


def test_without_any_the_dominant_group_does_if_it_is_more_than_half(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared([0.4] * 21, [4, 3, 6, 1, 1], monkeypatch)
    assert found[0] == [0, 1, 2, 3]
    assert found[1] == [0, 1, 2, 3, 4, 5]
    assert found[2] == [0, 1, 2, 3, 4, 5]
    assert found[3] == [0]
    assert found[4] == [0, 1]  # one picture is no group
