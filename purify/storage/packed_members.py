"""Members of an archive by name, in arrays: an archive of faces has more members than memory has room for objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from purify.arrays import Ids
from purify.storage.text_index import TextIndex

_SLAB = 1 << 13


class PackedMembers(Mapping[str, tuple[int, int]]):
    """Name -> (offset, size) in bytes, in the order of the archive; names may hold undecodable bytes.

    Of a name that occurs again, which is in `repeated`, any one is found.
    """

    def __init__(self, names: pa.Array, places: Ids) -> None:
        self._names = names
        #: Offset and size in bytes, int64[N, 2].
        self.places = places
        self._index = TextIndex(names)

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
            names.append(_bytes(name))
            numbers.append((offset, size))
            if len(names) == _SLAB:
                pack()
        pack()
        return cls(pa.concat_arrays(packed_names), np.concatenate(packed_numbers))

    @property
    def repeated(self) -> list[str]:
        """Names that occur again, once for each time."""
        return list(map(_text, self._names.take(pa.array(self._index.repeated())).to_pylist()))

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
        return isinstance(name, str) and self._index.row_of(_bytes(name)) >= 0

    def __getitem__(self, name: str) -> tuple[int, int]:
        row = self._index.row_of(_bytes(name))
        if row < 0:
            raise KeyError(name)
        offset, size = self.places[row].tolist()
        return offset, size

    def find_rows(self, names: Sequence[str]) -> Ids:
        """Row of each name, int64[n]; -1 for a name that isn't there."""
        return self._index.find(pa.array(list(map(_bytes, names)), pa.large_binary()))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
