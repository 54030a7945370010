from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.config import TrainConfig
from purify.models.heads import Margin
from purify.training.schedule import default_scale, make_schedule, target_margin


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
    assert all(0 < rate <= schedule.learning_rate for rate in rates)
    assert rates[-1] < 0.01 * schedule.learning_rate or schedule.total_steps < 60
