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
        """Images in the order of their ids, and classes in that of their first image.

        So neither the order of the rows nor the names of the labels decides what is drawn for whom: a table that is
        shuffled, or whose labels are renamed, trains to the same weights.
        """
        ids = np.asarray(sample_ids, dtype=object)
        order = np.argsort(ids, kind="stable")
        names, first, index = np.unique(np.asarray(labels, dtype=object)[order], return_index=True, return_inverse=True)
        appearance = np.argsort(first)
        place = np.empty_like(appearance)
        place[appearance] = np.arange(len(appearance))
        return cls(
            ids[order].tolist(),
            np.asarray(uris, dtype=object)[order].tolist(),
            tuple(names[appearance].tolist()),
            place[index].astype(np.int64),
        )
