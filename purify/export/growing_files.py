"""Files that grow together and are too large to be begun anew after an interruption."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

#: Not `PARTIAL_PREFIX`: these are kept.
_GROWING = ".growing-"


class GrowingFiles:
    """Open files by name, each under a hidden name until `name_finished`."""

    def __init__(self, streams: Mapping[str, BinaryIO]) -> None:
        self._streams = streams

    @classmethod
    @contextmanager
    def at(cls, folder: Path, names: Sequence[str], lengths: Mapping[str, int]) -> Iterator[GrowingFiles]:
        """Open the files, cut to their `lengths` in bytes at the last record, new ones to none."""
        with ExitStack() as stack:
            streams = {}
            for name in names:
                stream = stack.enter_context((folder / f"{_GROWING}{name}").open("ab"))
                stream.truncate(lengths.get(name, 0))
                stream.seek(0, os.SEEK_END)
                streams[name] = stream
            yield cls(streams)

    def append(self, name: str, data: bytes) -> int:
        """Append `data` to a file; the position where it begins."""
        position = self._streams[name].tell()
        self._streams[name].write(data)
        return position

    def saved_lengths(self) -> dict[str, int]:
        """Lengths in bytes, once all is on the disk."""
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())
        return {name: stream.tell() for name, stream in self._streams.items()}


def name_finished(folder: Path, names: Sequence[str]) -> None:
    """Give finished files their names; those that have theirs already are left."""
    for name in names:
        if (growing := folder / f"{_GROWING}{name}").exists():
            growing.replace(folder / name)
