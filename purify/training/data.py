"""What is learned from: images by their address, and the labels that they were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TrainingSet:
    """Images and the labels to learn.

    Attributes
    ----------
    sample_ids, uris
        One of each an image.
    labels
        Class names; their order is the order of the head's rows.
    label_index
        int64[N] into `labels`.
    """

    sample_ids: Sequence[str]
    uris: Sequence[str]
    labels: tuple[str, ...]
    label_index: npt.NDArray[np.int64]

    @classmethod
    def from_columns(cls, sample_ids: Sequence[str], uris: Sequence[str], labels: Sequence[str]) -> TrainingSet:
        """Class order is the sorted order of the labels, so it does not depend on the order of the rows."""
        names, index = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
        return cls(sample_ids, uris, tuple(names.tolist()), index.astype(np.int64))
