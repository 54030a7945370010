"""One person once a photo: against the sum over all subsets, and as evidence rather than a rule."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.analysis.photo_evidence import once_in_a_photo


def by_subsets(p: list[float], twice: float) -> list[float]:
    """The posterior by its definition."""
    weights = {}
    for chosen in product((0, 1), repeat=len(p)):
        weight = np.prod([value if one else 1 - value for one, value in zip(chosen, p, strict=True)])
        weights[chosen] = weight * (twice if sum(chosen) > 1 else 1)
    whole = sum(weights.values())
    return [sum(w for chosen, w in weights.items() if chosen[i]) / whole for i in range(len(p))]


@given(
    st.lists(st.floats(0.001, 0.999), min_size=2, max_size=6),
    st.floats(0, 1),
)
def test_it_is_the_sum_over_the_subsets_of_a_photo(p: list[float], twice: float) -> None:
    zeros = np.zeros(len(p), int)
    found = once_in_a_photo(np.array(p), zeros, zeros, twice=twice)
    assert found == pytest.approx(by_subsets(p, twice), abs=1e-9)
    assert (found <= np.array(p)).all()


def test_only_faces_of_one_photo_under_one_label_speak_of_each_other() -> None:
    p = np.array([0.9, 0.9, 0.9, 0.9, np.nan, 0.9])
    photo, label = np.array([0, 0, 0, 1, 1, -1]), np.array([0, 0, 1, 0, 0, 0])
    found = once_in_a_photo(p, photo, label)
    assert found[[2, 3, 5]].tolist() == [0.9, 0.9, 0.9]
    assert np.isnan(found[4])
    assert found[0] == found[1] < 0.6


def test_two_sure_faces_stay_likely_and_a_doubtful_one_beside_a_sure_one_goes() -> None:
    two = np.zeros(2, int)
    assert (once_in_a_photo(np.array([0.999, 0.999]), two, two) > 0.9).all()
    sure, doubtful = once_in_a_photo(np.array([0.999, 0.7]), two, two)
    assert sure > 0.98
    assert doubtful < 0.1


def test_a_crowd_of_sure_faces_has_finite_probabilities() -> None:
    crowd = np.zeros(400, int)
    found = once_in_a_photo(np.ones(400), crowd, crowd)
    assert np.isfinite(found).all()
    assert (found > 0.99).all()
