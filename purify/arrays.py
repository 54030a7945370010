"""Types of the arrays that modules pass to each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""float32, most often [N, D]: embeddings and centers."""
Floats = npt.NDArray[np.float64]
"""float64, most often [N]: probabilities, weights, log odds."""
Ids = npt.NDArray[np.int64]
"""int64, most often [N]: numbers of rows or classes."""
Mask = npt.NDArray[np.bool_]
"""bool, most often [N]."""
