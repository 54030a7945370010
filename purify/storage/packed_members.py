"""Members of an archive by name, in arrays: an archive of faces has more members than memory has room for objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Ids

_SLAB = 1 << 13


class PackedMembers(Mapping[str, tuple[int, int]]):
    """Name -> (offset, size) in bytes, in the order of the archive; names may hold undecodable bytes.

    Of a name that occurs again, which is in `repeated`, any one is found.
    """

    def __init__(self, names: pa.Array, places: Ids) -> None:
        self._names = names
        #: Offset and size in bytes, int64[N, 2].
        self.places = places
        hashes = np.fromiter(map(hash, self), np.int64, len(names))
        order = np.argsort(hashes, kind="stable").astype(np.int32)
        self._order = order
        self._hashes = hashes[order]

    @classmethod
    def of(cls, members: Iterable[tuple[str, int, int]]) -> PackedMembers:
        """From name, offset and size of each member."""
        names: list[bytes] = []
        numbers: list[tuple[int, int]] = []
        packed_names, packed_numbers = [pa.array([], pa.large_binary())], [np.empty((0, 2), np.int64)]

        def pack() -> None:
            packed_names.append(pa.array(names, pa.large_binary()))
            packed_numbers.append(np.array(numbers, np.int64).reshape(-1, 2))
            names.clear()
            numbers.clear()

        for name, offset, size in members:
            names.append(name.encode("utf-8", "surrogateescape"))
            numbers.append((offset, size))
            if len(names) == _SLAB:
                pack()
        pack()
        return cls(pa.concat_arrays(packed_names), np.concatenate(packed_numbers))

    @property
    def repeated(self) -> list[str]:
        """Names that occur again, once for each time."""
        same = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        collided = sorted({int(self._order[place]) for place in (*same, *(same + 1))})
        seen: set[bytes] = set()
        again = []
        for name in map(self._name, collided):
            if name in seen:
                again.append(_text(name))
            seen.add(name)
        return again

    def rows(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield each name with its offset and size, as `items` does, but without a search for each."""
        for start in range(0, len(self._names), _SLAB):
            places = map(tuple, self.places[start : start + _SLAB].tolist())
            yield from zip(map(_text, self._names.slice(start, _SLAB).to_pylist()), places, strict=True)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self._names), _SLAB):
            yield from map(_text, self._names.slice(start, _SLAB).to_pylist())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def __getitem__(self, name: str) -> tuple[int, int]:
        row = self._find(name)
        if row is None:
            raise KeyError(name)
        offset, size = self.places[row].tolist()
        return offset, size

    def find_rows(self, names: Sequence[str]) -> Ids:
        """Row of each name, int64[n]; -1 for a name that isn't there."""
        if not len(self):
            return np.full(len(names), -1, np.int64)
        codes = np.fromiter(map(hash, names), np.int64, len(names))
        rows = self._order[np.minimum(self._hashes.searchsorted(codes), len(self) - 1)].astype(np.int64)
        wanted = pa.array([name.encode("utf-8", "surrogateescape") for name in names], pa.large_binary())
        is_same = pc.equal(self._names.take(pa.array(rows)), wanted).to_numpy(zero_copy_only=False)
        for number in np.flatnonzero(~is_same).tolist():  # another name has the same hash, or it isn't there
            row = self._find(names[number])
            rows[number] = -1 if row is None else row
        return rows

    def _find(self, name: str) -> int | None:
        wanted, code = name.encode("utf-8", "surrogateescape"), hash(name)
        place = int(self._hashes.searchsorted(code))
        while place < len(self._hashes) and self._hashes[place] == code:
            row = int(self._order[place])
            if self._name(row) == wanted:
                return row
            place += 1
        return None

    def _name(self, row: int) -> bytes:
        name: bytes = self._names[row].as_py()
        return name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
