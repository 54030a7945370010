"""Missing files of numbered series: ``train-00003-of-00005.parquet`` tells of four more, ``000002.tar`` of some."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from purify.ingest.source_listing import and_so_on

_COUNTED = re.compile(r"(?P<head>.*?)(?P<number>[0-9]+)-of-(?P<count>[0-9]+)(?:-[0-9a-f]+)?(?P<tail>\.[^/]*)")
_NUMBERED = re.compile(r"(?P<head>.*?)(?P<number>[0-9]+)(?P<tail>\.[^/]*)")
#: A series of more files than this is no series: the number is a date, or a hash.
_MOST = 100_000
#: Files that make a series where no name says how many there are.
_FEW = 3


def missing_files(names: Iterable[str]) -> Iterator[str]:
    """A warning for each series with gaps; `names` are relative paths.

    A series without ``-of-`` has at least three files and numbers that are filled up with zeros; how many came before
    its first file, or after its last one, can't be known.
    """
    counted: dict[tuple[str, str, int], set[int]] = defaultdict(set)
    numbered: dict[tuple[str, str, int], set[int]] = defaultdict(set)
    padded = set()
    for name in names:
        if match := _COUNTED.fullmatch(name):
            counted[match["head"], match["tail"], int(match["count"])].add(int(match["number"]))
        elif match := _NUMBERED.fullmatch(name):
            series = match["head"], match["tail"], len(match["number"])
            numbered[series].add(int(match["number"]))
            if match["number"].startswith("0") and len(match["number"]) > 1:
                padded.add(series)
    for (head, tail, count), found in counted.items():
        if 0 < count <= _MOST:
            yield from _told(f"{head}*-of-*{tail}", sorted(set(range(count)) - found), count)
    for series in sorted(padded):
        found = numbered[series]
        wanted = range(min(found), max(found) + 1)
        if len(found) >= _FEW and len(wanted) <= min(_MOST, 2 * len(found)):
            yield from _told(f"{series[0]}*{series[1]}", sorted(set(wanted) - found), len(wanted))


def _told(series: str, missing: list[int], count: int) -> Iterator[str]:
    if missing:
        numbers = and_so_on([str(number) for number in missing])
        yield f"{len(missing)} of {count} files {series} are missing: number {numbers}"
