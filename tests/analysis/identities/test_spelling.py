from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.analysis.identities.spelling import similarity, spelling_odds

LABELS = ["Ana Sol", "Sol Ana", "Jan Wit", "Eva Rom", "Ida Kro", "Leo Kro", "007", "008", "Jan Pol", "Jan Tun"]
DIFFERENT = [(2, 3), (3, 4), (2, 4), (0, 3), (0, 4), (0, 2)] * 50


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Choi_Sung-hong", "Sung Hong Choi"),
        ("José Núñez", "NUNEZ jose"),
        ("Mireya Moscoso", "Mireya Elisa Moscoso Rodriguez"),
        ("Mac Gregor", "macgregor"),
        ("Ann Lee__2", "ann lee"),
    ],
)
def test_order_accents_case_and_more_names_do_not_matter(one: str, other: str) -> None:
    assert similarity(one, other) == 1


def test_transliterations_are_more_alike_than_sisters() -> None:
    assert similarity("Hasan Wirayuda", "Hassan Wirajuda") > 0.8
    assert similarity("Claire Hentzen", "Morgan Hentzen") < 0.3
    assert similarity("Jan", "Jan Wit") == 0


@given(st.text(max_size=20), st.text(max_size=20))
def test_similarity_is_symmetric_and_bounded(one: str, other: str) -> None:
    value = similarity(one, other)
    assert math.isnan(value) or 0 <= value <= 1
    np.testing.assert_equal(value, similarity(other, one))


def test_a_rare_likeness_raises_the_odds_and_nothing_lowers_them() -> None:
    same, plain, surname, first_name, numbers = spelling_odds(
        LABELS, [(0, 1), (2, 3), (4, 5), (2, 8), (6, 7)], DIFFERENT
    )
    assert same > 50
    assert plain == numbers == 1
    assert surname == 5
    assert 1 < first_name < surname


def test_a_likeness_that_all_labels_have_tells_nothing() -> None:
    labels = [f"person {i}" for i in range(20)]
    pairs = [(i, i + 1) for i in range(19)]
    assert spelling_odds(labels, pairs[:1], pairs)[0] < 1.5
