"""Rows of texts by value, in arrays: many look-ups, a part at a time, for one hash of each text."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Ids, Mask

_SLAB = 1 << 13


class TextIndex:
    """Finds the rows of texts or bytes among `values`, by hash and a comparison.

    `pyarrow.compute.index_in` would hash all values again for each part that is looked up. An index takes 12 bytes a
    row, a fraction of a dictionary.
    """

    def __init__(self, values: pa.Array | pa.ChunkedArray) -> None:
        self._values = values
        hashes = _hashes(values)
        self._order = np.argsort(hashes, kind="stable").astype(np.int32 if len(values) < 1 << 31 else np.int64)
        self._sorted = hashes[self._order]

    def find(self, texts: pa.Array) -> Ids:
        """First row of each of `texts`, which have the type of the values, int64[n]; -1 for one that isn't there."""
        if not len(self._values):
            return np.full(len(texts), -1, np.int64)
        codes = _hashes(texts)
        places = self._sorted.searchsorted(codes)
        inside = np.minimum(places, len(self._sorted) - 1)
        candidates = (places < len(self._sorted)) & (self._sorted[inside] == codes) & _is_valid(texts)
        rows = np.where(candidates, self._order[inside], -1).astype(np.int64)
        same = _equal(self._values.take(pa.array(np.maximum(rows, 0))), texts)
        for number in np.flatnonzero(candidates & ~same).tolist():
            rows[number] = self.row_of(texts[number].as_py())
        return rows

    def row_of(self, text: str | bytes) -> int:
        """As `find`, of a single text at less cost."""
        code = hash(text)
        place = int(self._sorted.searchsorted(code))
        while place < len(self._sorted) and self._sorted[place] == code:
            row = int(self._order[place])
            if self._values[row].as_py() == text:
                return row
            place += 1
        return -1

    def repeated(self) -> Ids:
        """Rows whose value stands in an earlier row, too, int64[k]."""
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        collided = np.unique(self._order[np.concatenate([same, same + 1])]).astype(np.int64)
        seen: set[str | bytes] = set()
        again = []
        for row in collided.tolist():
            value = self._values[row].as_py()
            if value in seen:
                again.append(row)
            seen.add(value)
        return np.asarray(again, np.int64)


def _hashes(values: pa.Array | pa.ChunkedArray) -> Ids:
    """Hash of each value, int64[N]; of this process alone."""
    hashes = np.empty(len(values), np.int64)
    for start in range(0, len(values), _SLAB):
        slab = values.slice(start, _SLAB).to_pylist()
        hashes[start : start + len(slab)] = np.fromiter(map(hash, slab), np.int64, len(slab))
    return hashes


def _equal(a: pa.Array | pa.ChunkedArray, b: pa.Array) -> Mask:
    same: Mask = pc.fill_null(pc.equal(a, b), False).to_numpy(zero_copy_only=False)
    return same


def _is_valid(values: pa.Array) -> Mask:
    valid: Mask = values.is_valid().to_numpy(zero_copy_only=False)
    return valid
