"""Array types shared by the modules."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""float32, usually [N, D]: embeddings and centers."""
Floats = npt.NDArray[np.float64]
"""float64, usually [N]: probabilities, weights, log odds."""
Ids = npt.NDArray[np.int64]
"""int64, usually [N]: row or class numbers."""
Mask = npt.NDArray[np.bool_]
"""bool, usually [N]."""
