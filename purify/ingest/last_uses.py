"""When the last image of each container has been read: an open archive holds the names of all its members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_SLAB = 1 << 12


class LastUses:
    """Containers of images by the row of the last image in each."""

    def __init__(self, uris: Sequence[str | None]) -> None:
        last: dict[str, tuple[int, str]] = {}
        for start in range(0, len(uris), _SLAB):
            for row, uri in enumerate(uris[start : start + _SLAB], start=start):
                if uri is not None and "::" in uri:
                    last[uri[uri.rindex("::") :]] = row, uri
        self._latest_first = sorted(last.values(), reverse=True)

    def over_at(self, row: int) -> Iterator[str]:
        """Yield an image in each container that has none in `row` or behind it, once for each."""
        while self._latest_first and self._latest_first[-1][0] < row:
            yield self._latest_first.pop()[1]
