"""Angles, and uncalibrated scores for the probability columns of the angle rules.

The scores lie in [0, 1] and rank as the angles do: 0.9 doesn't mean that nine of ten such labels are right.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Degrees = npt.NDArray[np.float64]

#: Degrees by which the odds of a score change by a factor e.
_WIDTH = 5.0


def degrees(cosines: npt.NDArray[np.floating]) -> Degrees:
    """Cosines -> angles in degrees; NaN stays NaN."""
    return np.degrees(np.arccos(np.clip(cosines.astype(np.float64), -1.0, 1.0)))


def clean_score(angle_dominant: Degrees, threshold: float) -> Degrees:
    """Score that the label is right: falls with the angle to the dominant sub-center, 0.5 at `threshold`."""
    return _logistic((threshold - angle_dominant) / _WIDTH)


def other_score(clean: Degrees, angle_other: Degrees, threshold: float) -> Degrees:
    """Score that the nearest other label is right: the rest of `clean`, by the nearness of the other class."""
    return (1 - clean) * _logistic((threshold - angle_other) / _WIDTH)


def _logistic(x: Degrees) -> Degrees:
    return 1 / (1 + np.exp(-x))
