"""The evidence beside a face: faces of its label, of the other label, and its neighbors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Ids
from purify.review.samples import Samples

_MOST = 8


class EvidenceIndex:
    """Evidence of every row, indexed once at the start."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        other = samples.verdicts["other_label"].combine_chunks()
        self._other = _positions(other, pa.array(samples.labels, pa.string()))
        named = samples.verdicts["evidence_ids"].combine_chunks()
        named = pc.if_else(named.is_valid(), named, pa.scalar([], named.type))
        self._bounds = np.concatenate([[0], np.cumsum(pc.list_value_length(named).to_numpy())]).astype(np.int64)
        self._neighbors = _positions(pc.list_flatten(named), samples.ids)

    def of(self, row: int) -> dict[str, Ids]:
        """Rows to show beside a row, most telling first: of its ``own`` label, of the ``other``, and ``neighbors``."""
        other = int(self._other[row])
        neighbors = self._neighbors[self._bounds[row] : self._bounds[row + 1]]
        return {
            "own": self._typical(int(self._samples.label_index[row]), row),
            "other": self._typical(other, row) if other >= 0 else neighbors[:0],
            "neighbors": neighbors[(neighbors >= 0) & (neighbors != row)][:_MOST],
        }

    def _typical(self, label: int, row: int) -> Ids:
        rows = self._samples.rows_of(label)[: _MOST + 1]
        return rows[rows != row][:_MOST]


def _positions(values: pa.Array, among: pa.Array) -> Ids:
    """Place of each value; -1 for a missing one."""
    return pc.fill_null(pc.index_in(values, among), -1).to_numpy(zero_copy_only=False).astype(np.int64)
