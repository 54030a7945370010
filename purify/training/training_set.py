"""Training data: addresses of images, and their given labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from purify.errors import InputError
from purify.tables.manifest import load_manifest, ok_rows


@dataclass(frozen=True)
class TrainingSet:
    """Images and the labels to learn.

    Attributes
    ----------
    sample_ids, uris
        One of each per image.
    labels
        Class names, in the order of the head's rows.
    label_index
        int64[N] into `labels`.
    """

    sample_ids: Sequence[str]
    uris: Sequence[str]
    labels: tuple[str, ...]
    label_index: npt.NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The ``ok`` rows of a manifest or cleaned table; errors as of `of_table`."""
        return cls.of_table(load_manifest(path), name=str(path))

    @classmethod
    def of_table(cls, table: pa.Table, *, name: str) -> Self:
        """The ``ok`` rows of a manifest or cleaned table, called `name` in messages.

        Raises
        ------
        InputError
            If rows have no ``uri``: a table of paths has to be ingested first.
        """
        rows = ok_rows(table)
        if rows["uri"].null_count:
            raise InputError(f"{name}: rows without a uri; run `purify ingest` with the --images roots first")
        return cls.from_columns(rows["sample_id"].to_pylist(), rows["uri"].to_pylist(), rows["label"].to_pylist())

    @classmethod
    def from_columns(cls, sample_ids: Sequence[str], uris: Sequence[str], labels: Sequence[str]) -> Self:
        """Images in the order of their ids, and classes in the order of their first image.

        So a table that is shuffled, or whose labels are renamed, trains to the same weights.
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
