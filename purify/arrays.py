"""Array types shared by the modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

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


class StoredVectors(Protocol):
    """N vectors of D numbers that needn't be in memory."""

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of the numbers: float16 or float32."""

    def blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        """Row numbers [n] and vectors [n, D]: each row once, in any order, as often as asked."""
