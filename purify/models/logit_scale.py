"""The scale s of the logits, by the number of classes."""

from __future__ import annotations

import math

#: Largest default scale, that of the paper for about 100k classes.
MAX_SCALE = 64.0
MIN_SCALE = 12.0
#: Logit scale per natural logarithm of the class count; 24 at 170 classes, 54 at 100k.
SCALE_PER_LOG_CLASS = 4.7


def default_scale(classes: int, *, least: float = MIN_SCALE) -> float:
    """Logit scale s for `classes` classes, from `least` to 64.

    The smallest scale at which a perfect cosine classifier can reach a given posterior grows with log(C - 1)
    (ArcFace, section 3.2, and the bound of NormFace); a needlessly large one fits label noise.
    """
    return min(MAX_SCALE, max(least, SCALE_PER_LOG_CLASS * math.log(max(classes, 2))))
