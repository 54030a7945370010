from __future__ import annotations

import numpy as np
import pytest

from purify.analysis.label_noise.companions import NoiseOrigin


def test_companions_are_measured_on_the_recognized_wrong_images_of_a_label() -> None:
    """Label 0: targets 5, 5, 6; of their two others, 1/2, 1/2 and 0 are alike. Label 1: alone."""
    label, target = np.array([0, 0, 0, 1, 0]), np.array([5, 5, 6, 5, 5])
    p_target = np.array([0.5, 0.9, 0.8, 1.0, 0.499])  # the last is not recognized
    found = NoiseOrigin.measured(0.3, label, target, p_target)
    assert found.share == 0.3
    assert found.companions == pytest.approx((1.0 + 0.2 * 10) / (3 + 10))


def test_before_anything_is_measured() -> None:
    assert NoiseOrigin(0.1) == NoiseOrigin(0.1, 0.2)
    nobody = NoiseOrigin.measured(0.1, np.array([0, 0]), np.array([1, 1]), np.zeros(2))
    assert nobody.companions == pytest.approx(0.2)


def test_two_of_the_same_target_under_two_labels_are_no_companions() -> None:
    label, target = np.array([0, 1, 0, 1]), np.array([7, 7, 8, 8])
    found = NoiseOrigin.measured(0.1, label, target, np.ones(4))
    assert found.companions == pytest.approx((0 + 2) / (4 + 10))
