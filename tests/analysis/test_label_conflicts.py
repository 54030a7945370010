from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.identities.merge import LabelMerge
from purify.analysis.identities.same_picture import SamePictures
from purify.analysis.rules.label_conflicts import Settled, settle
from purify.analysis.verdicts import analyze
from purify.config import AnalyzeConfig


def conflict(one: float, other: float, p_same: float = 1.0, merges=(), images: int = 5) -> Settled:
    """The first image of label 0 is that of label 1."""
    label = np.repeat([0, 1], images)
    p_clean = np.full(2 * images, 0.99)
    p_clean[0], p_clean[images] = one, other
    same = SamePictures(np.array([0]), np.array([images]), np.array([p_same]))
    nobody = np.full(2 * images, -1)
    return settle(same, merges, label, p_clean, np.zeros(2 * images), nobody, min_images=3)


def test_where_nothing_tells_each_label_is_as_likely_wrong() -> None:
    settled = conflict(0.97, 0.97)
    assert settled.p_clean[0] == settled.p_clean[5] == pytest.approx(0.4925, abs=1e-3)
    assert (settled.twin[[0, 5]] == [5, 0]).all()
    assert (np.delete(settled.p_clean, [0, 5]) == 0.99).all()
    assert (np.delete(settled.twin, [0, 5]) == -1).all()


def test_the_label_that_fits_better_wins() -> None:
    settled = conflict(0.6, 0.999)
    assert settled.p_clean[0] < 0.01
    assert settled.p_clean[5] > 0.99
    assert settled.other[0] == 1
    assert settled.p_other[0] > 0.99


def test_a_small_label_replaces_no_other() -> None:
    settled = conflict(0.6, 0.999, images=2)
    assert settled.p_clean[0] < 0.01
    assert settled.other[0] == -1


def test_doubt_in_the_pair_and_two_names_of_one_person_soften_the_conflict() -> None:
    p_clean = conflict(0.97, 0.97).p_clean[0]
    assert p_clean < conflict(0.97, 0.97, p_same=0.85).p_clean[0] < 0.6
    merge = LabelMerge(0, 1, 0.9, np.array([0, 5]), p_same=0.97)
    assert conflict(0.97, 0.97, merges=(merge,)).p_clean[0] > 0.95


@pytest.fixture
def judged(make_noisy_set):
    """A function that judges a clean set with one picture under two labels and one twice under its own."""
    data = make_noisy_set(5, classes=40, images=10, dim=48, noise=0)
    vectors = data.embeddings.copy()
    vectors[399] = vectors[0] * 1.01
    vectors[15] = vectors[14] * 1.01
    ids = [f"{i:03}" for i in range(400)]

    def judge(digests=None, **config):
        return analyze(
            ids, data.labels, vectors, data.class_labels, AnalyzeConfig(**config), space=None, digests=digests
        )

    return judge


def test_verdicts_name_the_other_picture(judged) -> None:
    rows = judged().verdicts.to_pylist()
    wrong = rows[399]
    assert wrong["reason"] in {"closer_to_other_label", "same_picture"}
    assert wrong["decision"] != "keep"
    assert rows[0]["decision"] == "keep"
    assert (rows[14]["reason"], rows[14]["decision"], rows[14]["evidence_ids"]) == (
        "near_duplicate_of",
        "keep",
        ["015"],
    )
    assert rows[15]["reason"] == "near_dominant"
    assert rows[14]["p_clean"] > 0.9


def test_dedupe_drops_all_but_one_and_changes_nothing_else(judged) -> None:
    plain, fewer = judged().verdicts.to_pylist(), judged(dedupe=True).verdicts.to_pylist()
    assert [i for i in range(400) if plain[i] != fewer[i]] == [14]
    assert fewer[14] == {**plain[14], "decision": "drop"}


def test_equal_bytes_under_two_labels_are_told_by_their_digest(judged) -> None:
    digests = [f"digest {i}" for i in range(400)]
    digests[200] = digests[50]
    rows = judged(digests).verdicts.to_pylist()
    assert [rows[i]["reason"] for i in (50, 200)] == ["same_picture"] * 2
    assert [rows[i]["evidence_ids"] for i in (50, 200)] == [["200"], ["050"]]


def test_any_rule_marks_duplicates(judged) -> None:
    pytest.importorskip("torch")
    rows = judged(rule="official", dedupe=True).verdicts.to_pylist()
    assert (rows[14]["reason"], rows[14]["decision"]) == ("near_duplicate_of", "drop")
