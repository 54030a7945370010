"""Matching of the paths in a list to the samples of a manifest, which may lie under other folders.

Paths are compared with ``/`` for a backslash, without ``./``, and in one Unicode normal form. Then the first of these
rules that finds a sample holds:

1. **exact**: the same path.
2. **list shorter**: the sample's path ends with the listed one, at a folder's boundary (``Ann/1.jpg`` finds
   ``lfw/Ann/1.jpg``; a bare ``Ann_1.png`` finds ``Ann/Ann_1.png``).
3. **list longer**: the listed path ends with the sample's, folder included (``/data/lfw/Ann/1.jpg`` finds
   ``Ann/1.jpg``); the longest such sample.
4. **other suffix**: rules 1 to 3 without the suffix of the image (``.png`` for ``.jpg``).

A path that a rule finds in several samples is ambiguous and finds none.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

_SUFFIX = re.compile(r"(?<=[^/])\.[A-Za-z]{2,5}\d?$")


class Match(enum.StrEnum):
    """How a listed path was matched."""

    EXACT = "exact"
    LIST_SHORTER = "list_shorter"
    LIST_LONGER = "list_longer"
    OTHER_SUFFIX = "other_suffix"
    AMBIGUOUS = "ambiguous"
    NONE = "unmatched"


@dataclass(frozen=True)
class SamplePaths:
    """Ids of samples, indexed to be found by listed paths."""

    ids: Sequence[str]

    def find(self, path: str) -> tuple[Match, int]:
        """How a listed path was matched, and the number of its sample; -1 without one."""
        kind, row = self._whole.find(plain(path))
        if kind is Match.NONE:
            kind, row = self._stems.find(_SUFFIX.sub("", plain(path)))
            return (Match.OTHER_SUFFIX if row >= 0 else kind), row
        return kind, row

    def count(self, paths: Sequence[str]) -> int:
        """Number of paths with a sample."""
        return sum(self.find(path)[1] >= 0 for path in paths)

    @cached_property
    def _whole(self) -> _Index:
        return _Index.of([plain(name) for name in self.ids])

    @cached_property
    def _stems(self) -> _Index:
        return _Index.of([_SUFFIX.sub("", plain(name)) for name in self.ids])


def plain(path: str) -> str:
    """A path in the form in which paths are compared."""
    parts = unicodedata.normalize("NFC", path).replace("\\", "/").split("/")
    root = "/" if path.startswith(("/", "\\")) else ""
    return root + "/".join(part for part in parts if part not in ("", "."))


@dataclass(frozen=True)
class _Index:
    names: Sequence[str]
    rows: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    #: Rows by file, and by folder and file: a name such as ``0001.jpg`` may be in every folder.
    by_ending: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, names: Sequence[str]) -> _Index:
        index = cls(names)
        for row, name in enumerate(names):
            index.rows[name].append(row)
            for ending in {_ending(name, 1), _ending(name, 2)}:
                index.by_ending[ending].append(row)
        return index

    def find(self, name: str) -> tuple[Match, int]:
        """Rules 1 to 3."""
        if rows := self.rows.get(name):
            return _only(rows, Match.EXACT)
        if rows := [row for row in self.by_ending.get(_ending(name, 2), ()) if self.names[row].endswith(f"/{name}")]:
            return _only(rows, Match.LIST_SHORTER)
        parts = name.split("/")
        for start in range(1, len(parts) - 1):  # a bare file name in the manifest could be anybody's
            if rows := self.rows.get("/".join(parts[start:])):
                return _only(rows, Match.LIST_LONGER)
        return Match.NONE, -1


def _ending(name: str, parts: int) -> str:
    return "/".join(name.rsplit("/", parts)[-parts:])


def _only(rows: Sequence[int], kind: Match) -> tuple[Match, int]:
    return (kind, rows[0]) if len(rows) == 1 else (Match.AMBIGUOUS, -1)
