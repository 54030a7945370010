"""Angles, and uncalibrated scores for the probability columns of the angle rules.

The scores lie in [0, 1] and rank as the angles do: 0.9 doesn't mean that nine of ten such labels are right.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from purify.analysis.label_noise.logistic import sigmoid
from purify.arrays import Floats

#: Change of the angle, in degrees, that changes the odds of a score by a factor of e.
_WIDTH = 5.0


def degrees(cosines: npt.NDArray[np.floating]) -> Floats:
    """Cosines -> angles in degrees; NaN stays NaN."""
    return np.degrees(np.arccos(np.clip(cosines.astype(np.float64), -1.0, 1.0)))


def clean_score(angle_dominant: Floats, threshold: float) -> Floats:
    """Score of the given label: falls with the angle to the dominant sub-center, 0.5 at `threshold`."""
    return sigmoid((threshold - angle_dominant) / _WIDTH)


def other_score(clean: Floats, angle_other: Floats, threshold: float) -> Floats:
    """Score of the nearest other label: 1 - `clean`, scaled by the nearness of the other class."""
    return (1 - clean) * sigmoid((threshold - angle_other) / _WIDTH)
