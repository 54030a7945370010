from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.config import TrainConfig
from purify.models.heads import Margin
from purify.models.logit_scale import default_scale
from purify.training.schedule import make_schedule, target_margin


def test_scale_follows_the_number_of_classes() -> None:
    assert default_scale(170) == pytest.approx(24, abs=0.3)
    assert default_scale(100_000) == pytest.approx(54, abs=0.3)
    assert default_scale(2) == 12
    assert default_scale(10**9) == 64


def test_heads_have_their_margins() -> None:
    assert target_margin(TrainConfig(head="arcface", margin=0.4)) == Margin(m2=0.4)
    assert target_margin(TrainConfig(head="cosface", margin=0.35)) == Margin(m3=0.35)
    assert target_margin(TrainConfig(head="combined", combined_margin=(0.9, 0.4, 0.15))) == Margin(0.9, 0.4, 0.15)


def test_no_margin_until_sub_centers_grow_then_a_ramp() -> None:
    config = TrainConfig(epochs=10, min_steps=0, batch_size=10, margin=0.3, warmup_share=0.5, ramp_share=0.25)
    schedule = make_schedule(config, samples=100)
    assert schedule.total_steps == 100
    assert schedule.grow_step == 50
    assert all(schedule.margin_at(step) == Margin() for step in range(51))
    ramp = [schedule.margin_at(step).m2 for step in range(50, 100)]
    assert all(a <= b for a, b in itertools.pairwise(ramp))
    assert schedule.margin_at(62).m2 == pytest.approx(0.3 * 12 / 25)
    assert schedule.margin_at(75).m2 == pytest.approx(0.3)
    assert schedule.margin_at(99).m2 == pytest.approx(0.3)


def test_small_sets_are_repeated() -> None:
    schedule = make_schedule(TrainConfig(epochs=2, min_steps=100, batch_size=64), samples=200)
    assert schedule.steps_per_epoch == 3
    assert 100 <= schedule.total_steps < 103


@given(st.integers(2, 5000), st.integers(1, 20), st.integers(2, 256))
def test_learning_rate_warms_up_and_ends_near_zero(samples: int, epochs: int, batch: int) -> None:
    schedule = make_schedule(TrainConfig(epochs=epochs, min_steps=50, batch_size=batch), samples=samples)
    rates = [schedule.learning_rate_at(step) for step in range(schedule.total_steps)]
    assert all(0 < rate <= 0.1 for rate in rates)
    assert rates[-1] < 0.01 * 0.1 or schedule.total_steps < 60


def _rates(**settings: Any) -> list[float]:
    config = TrainConfig(batch_size=10, min_steps=0, learning_rate=1.0, **settings)
    schedule = make_schedule(config, samples=100)
    return [schedule.learning_rate_at(step) for step in range(schedule.total_steps)]


def test_the_papers_rate_drops_at_the_start_of_epochs_8_and_14() -> None:
    rates = _rates(epochs=18, schedule="step", drop_epochs=[8, 14], warmup_epochs=0)
    assert rates == pytest.approx([1.0] * 80 + [0.1] * 60 + [0.01] * 40)


def test_drops_are_stretched_with_the_epochs() -> None:
    config = TrainConfig(
        batch_size=10, min_steps=360, epochs=18, schedule="step", drop_epochs=[9], drop_factor=0.5, warmup_steps=0
    )
    schedule = make_schedule(config, samples=100)
    assert schedule.total_steps == 360
    assert [schedule.learning_rate_at(step) for step in (179, 180)] == pytest.approx([0.1, 0.05])


def test_polynomial_falls_with_its_power_to_zero() -> None:
    rates = _rates(epochs=10, schedule="polynomial", power=3, warmup_epochs=0)
    assert rates == pytest.approx([(1 - step / 100) ** 3 for step in range(100)])


@pytest.mark.parametrize(
    "warmup", [{"warmup_epochs": 2.0}, {"warmup_steps": 20}, {"warmup_steps": 20, "warmup_epochs": 9}]
)
def test_warm_up_is_linear_in_epochs_or_steps(warmup: dict[str, float]) -> None:
    rates = _rates(epochs=10, schedule="step", drop_epochs=[], **warmup)
    assert rates == pytest.approx([min(1.0, (step + 1) / 20) for step in range(100)])


def test_a_step_takes_all_batches_that_it_accumulates() -> None:
    assert make_schedule(TrainConfig(batch_size=10, accumulate=4), samples=100).steps_per_epoch == 2


def test_without_warm_up_and_ramp_the_full_margin_holds_from_the_start() -> None:
    schedule = make_schedule(TrainConfig(warmup_share=0, ramp_share=0, margin=0.5), samples=100)
    assert schedule.grow_step == 0
    assert schedule.margin_at(0) == Margin(m2=0.5)
