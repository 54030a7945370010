from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from purify.errors import TrainingCollapsedError
from purify.training.collapse import MIN_SEPARATION, check_not_collapsed, separation


def test_known_answers() -> None:
    cosines = torch.tensor([[0.9, 0.1, 0.2], [0.3, 0.2, 0.1]])
    assert separation(cosines, torch.tensor([0, 0])) == 1.0
    assert float(separation(cosines, torch.tensor([2, 2]))) == pytest.approx((0.5 + 0.0) / 2)
    assert separation(torch.zeros(4, 5), torch.arange(4)) == 0.5


@given(st.integers(0, 2**31), st.integers(2, 200))
def test_a_network_that_knows_nothing_has_one_half(seed: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    cosines = torch.rand(4000, classes, generator=generator)
    labels = torch.randint(classes, (4000,), generator=generator)
    assert float(separation(cosines, labels)) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("value", "loss"), [(0.5, 3.0), (MIN_SEPARATION - 0.01, 1.0), (0.99, float("nan"))])
def test_collapse_is_refused_with_a_remedy(value: float, loss: float) -> None:
    with pytest.raises(TrainingCollapsedError, match=r"collapsed.*train\.margin"):
        check_not_collapsed(value, loss, epochs=3)


def test_half_wrong_labels_are_no_collapse() -> None:
    check_not_collapsed(0.75, 2.0, epochs=3)
