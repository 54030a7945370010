"""Couples and co-stars: two people who stand under the same two labels are not one person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pytest

from purify.analysis.class_rows import ClassRows, canonical_order
from purify.analysis.identities.merge import LabelMerge
from purify.analysis.identities.shared_labels import SharedLabels, of_one_person, trust_in_shared
from purify.analysis.identities.structure import Structure, find_structure
from purify.analysis.label_noise.halves import HalvesScale
from purify.analysis.label_noise.mode_seeking import unit
from purify.analysis.verdicts import analyze
from purify.config import AnalyzeConfig

_DIM, _CLASSES = 32, 40


@dataclass(frozen=True)
class Couple:
    """40 labels, of which 0 and 1 show the people 0 and 1, whose faces have the cosine `alike`."""

    vectors: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]

    @classmethod
    def draw(cls, counts: list[list[int]], alike: float = 0.6, seed: int = 0) -> Couple:
        """`counts` [2, 2] of the images of each person under each of the two labels; other labels have 12 of one."""
        rng = np.random.default_rng(seed)
        centers = unit(rng.normal(size=(_CLASSES, _DIM)).astype(np.float32))
        other = unit((centers[1] - (centers[1] @ centers[0]) * centers[0])[None])[0]
        centers[1] = alike * centers[0] + np.sqrt(1 - alike**2) * other
        label, person = np.repeat([0, 0, 1, 1], np.ravel(counts)), np.repeat([0, 1, 0, 1], np.ravel(counts))
        others = np.repeat(np.arange(2, _CLASSES), 12)
        label, person = np.r_[label, others], np.r_[person, others]
        vectors = unit((centers[person] + 0.1 * rng.normal(size=(len(label), _DIM))).astype(np.float32))
        return cls(vectors, label, person)

    def find(self) -> Structure:
        return find_structure(self.vectors, self.label, _CLASSES, np.ones(len(self.label)))


@pytest.mark.parametrize(
    ("counts", "people"),
    [
        pytest.param([[13, 8], [7, 12]], (0, 1), id="each label has more of its own person"),
        pytest.param([[8, 13], [12, 7]], (1, 0), id="each has more of the other's name"),
        pytest.param([[13, 8], [6, 6]], (0, 1), id="the label without a majority means whom the other doesn't"),
    ],
)
def test_labels_that_two_people_share_mean_one_each(counts: list[list[int]], people: tuple[int, int]) -> None:
    couple = Couple.draw(counts)
    found = couple.find()
    assert found.merges == ()
    assert not found.mixed.any()
    (shared,) = found.shared
    assert set(shared.labels) == {0, 1}
    assert not shared.tied
    assert set(shared.rows.tolist()) <= set(np.flatnonzero(couple.label < 2).tolist())
    means = np.array(people)[couple.label[shared.rows]]
    assert (shared.shows == (couple.person[shared.rows] == means)).all()


def test_without_a_majority_either_person_may_be_meant() -> None:
    found = Couple.draw([[9, 9], [9, 9]]).find()
    assert found.merges == ()
    assert [one.tied for one in found.shared] == [True]
    assert np.flatnonzero(found.mixed).tolist() == [0, 1]
    assert sorted(set(found.group.tolist())) == [0, 1]


@pytest.mark.parametrize(("alike", "shared"), [(1.0, True), (0.7, False)])
def test_people_of_two_looks_each_are_not_companions(alike: float, shared: bool) -> None:
    """The halves of the images of two look-alikes are those with masks and without; each shows both people."""
    rng = np.random.default_rng(0)
    first, other, mask = np.linalg.qr(rng.normal(size=(_DIM, 3)))[0].T
    people = np.stack([first, alike * first + np.sqrt(1 - alike**2) * other])
    label, is_masked = np.repeat([0, 1], 16), np.tile([True, False], 16)
    vectors = people[label] + 1.5 * is_masked[:, None] * mask + 0.05 * rng.normal(size=(32, _DIM))
    vectors = unit(vectors.astype(np.float32))
    rows = ClassRows(vectors, label, 2, np.ones(32), canonical_order(vectors, label))
    merge = LabelMerge(0, 1, 0.9, np.arange(3))
    kept, found = of_one_person(rows, np.zeros(32, np.int32), [merge], HalvesScale(0.7, 0.8))
    assert kept == ()
    assert bool(found) == shared


def test_one_person_under_two_labels_is_one_person() -> None:
    found = Couple.draw([[13, 8], [7, 12]], alike=1.0).find()
    assert [{merge.label, merge.into} for merge in found.sure_merges] == [{0, 1}]
    assert found.shared == ()


def test_between_one_person_and_two_a_merge_is_a_proposal() -> None:
    found = Couple.draw([[13, 8], [7, 12]], alike=0.74).find()
    assert [{merge.label, merge.into} for merge in found.merges] == [{0, 1}]
    assert found.sure_merges == ()
    assert found.shared == ()


def test_trust_is_that_of_the_first_pair_of_a_label() -> None:
    first = SharedLabels((0, 1), np.array([0, 1, 2]), np.array([True, False, True]), tied=False)
    again = SharedLabels((1, 2), np.array([2, 3]), np.array([False, False]), tied=False)
    other = SharedLabels((3, 4), np.array([4]), np.array([False]), tied=False)
    trust = trust_in_shared([first, again, other], 6)
    np.testing.assert_array_equal(trust, [1, 0, 1, np.nan, 0, np.nan])


@pytest.mark.parametrize("seed", range(3))
def test_the_rule_gives_each_image_to_the_person_that_it_shows(seed: int) -> None:
    couple = Couple.draw([[13, 8], [7, 12]], seed=seed)
    ids = [f"{number:04d}" for number in range(len(couple.label))]
    names = [f"person {label}" for label in couple.label]
    verdicts = analyze(ids, names, couple.vectors, sorted(set(names)), AnalyzeConfig(), space=None).verdicts
    shown = pc.coalesce(verdicts["new_label"], verdicts["label"]).to_pylist()
    assert shown == [f"person {person}" for person in couple.person]
