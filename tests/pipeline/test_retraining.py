from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from purify.config import GrowConfig
from purify.pipeline.retraining import Because, TrainingDecision, TrainingState, angle_drift, decide, drifted, explain

LIMITS = GrowConfig(retrain_share=0.2, drift_degrees=5, drift_images=10)
STATE = TrainingState(images=100, new_images=20, trained=True, trainable=True, unfinished=None)


@pytest.mark.parametrize(
    ("changes", "because", "train", "choose"),
    [
        ({}, Because.FEW_NEW, False, False),
        ({"new_images": None, "trained": False, "trainable": False}, Because.FIRST_TRAINING, True, True),
        ({"new_images": 21}, Because.NEW_SHARE, True, True),
        ({"trainable": False}, Because.FEW_NEW, False, False),
        ({"trained": False}, Because.CONFIGURATION, True, True),
        ({"trained": False, "trainable": False}, Because.IMAGES_GONE, True, True),
        # Cut off while it trained: it goes on with what it was training on, and for the reason that it had.
        ({"trained": False, "unfinished": Because.NEW_SHARE}, Because.NEW_SHARE, True, False),
        ({"trained": True, "unfinished": Because.DRIFT}, Because.DRIFT, True, False),
        ({"trained": True, "unfinished": Because.DRIFT, "choosing": True}, Because.DRIFT, True, True),
        ({"trained": False, "trainable": False, "unfinished": Because.DRIFT}, Because.IMAGES_GONE, True, True),
        ({"new_images": 50, "unfinished": Because.FIRST_TRAINING}, Because.NEW_SHARE, True, True),
    ],
)
def test_the_rule(changes: dict, because: Because, train: bool, choose: bool) -> None:
    assert decide(replace(STATE, **changes), LIMITS) == TrainingDecision(because, train=train, choose=choose)


def test_a_share_of_zero_trains_with_any_new_image_and_not_without() -> None:
    limits = LIMITS.model_copy(update={"retrain_share": 0})
    assert decide(replace(STATE, new_images=1), limits).because is Because.NEW_SHARE
    assert not decide(replace(STATE, new_images=0), limits).train


def test_the_reason_says_its_figures() -> None:
    text = explain(Because.FEW_NEW, STATE, LIMITS)
    assert text == "20 of 100 images (20.0%) are new since the last training, not more than grow.retrain_share = 0.2"
    assert all(explain(because, STATE, LIMITS) for because in Because)


def test_drift_is_the_difference_of_the_medians() -> None:
    angles = np.concatenate([np.linspace(40, 60, 41), [np.nan], np.linspace(46, 66, 11), [180.0, 180.0, np.nan]])
    new = np.arange(len(angles)) >= 42
    drift = angle_drift(angles, new, LIMITS)
    assert drift == pytest.approx(np.nanmedian(angles[new]) - 50)
    assert drifted(drift, LIMITS)
    assert not drifted(-drift, LIMITS)
    assert not drifted(drift, LIMITS.model_copy(update={"drift_degrees": None}))


def test_few_images_tell_no_drift() -> None:
    angles = np.concatenate([np.full(50, 40.0), np.full(9, 90.0)])
    assert angle_drift(angles, np.arange(59) >= 50, LIMITS) is None
    assert angle_drift(angles, np.arange(59) < 50, LIMITS) is None
    assert not drifted(None, LIMITS)
