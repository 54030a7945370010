"""Where the records of a RecordIO file are, and what their headers say: by its ``.idx``, or by a walk through the file.

Headers are read in bulk from a memory map, whose pages are given back as the reading proceeds. Of a damaged file the
``.idx`` still finds the whole records.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pc

from purify.arrays import Ids, Mask
from purify.errors import InputError
from purify.storage.files import readable
from purify.storage.recordio import (
    IMAGE_HEADER,
    MAGIC,
    MOST_PAYLOAD,
    PART_HEADER,
    DamagedRecordError,
    unframe,
    unpack_image,
)

_MAGIC_WORD = struct.unpack("<I", MAGIC)[0]
_WORD = 4
#: Records whose pages, of 64 kB and more with what the system reads ahead, are in memory at a time.
_SLAB = 1 << 11
#: Bytes of an ``.idx`` that are read at a time.
_INDEX_BYTES = 1 << 16
#: Words of a record before its labels, if it has several.
_HEADER_WORDS = (PART_HEADER.size + IMAGE_HEADER.size) // _WORD
_DAMAGED = "the record is damaged or cut off"

Words = npt.NDArray[np.uint32]
Labels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RecordIndex:
    """Records in the order of the file; arrays [N]."""

    #: Name of each: its key in the ``.idx``, else the number in its header, if these differ, else its place, from 0.
    keys: Ids
    #: Position in bytes.
    offsets: Ids
    #: First label in the header; NaN for a damaged record. float32[N].
    labels: Labels
    #: Whether it holds an image, and not a range of record numbers, as InsightFace's header and identity records do.
    is_image: Mask
    #: Of each whole record without an image: the range of record numbers that it holds, from the first to before the
    #: last, int64[n, 2]; zeros if it holds none.
    ranges: Ids
    #: Row -> why it can't be read.
    problems: Mapping[int, str]
    #: Why the ``.idx`` was not used, if there is one.
    unused: str | None


def read_record_index(path: Path, index: Path | None) -> RecordIndex:
    """Find the records of a RecordIO file; `index` is its ``.idx``, if there is one.

    An index that doesn't fit is replaced by a walk through the file. Of a damaged file the index finds the records that
    are whole; the others have a problem.

    Raises
    ------
    InputError
        If the file is unreadable, empty or not RecordIO, or damaged and without a usable index.
    """
    with _mapped(path) as data:
        listed, unused = _read_idx(index)
        if listed is None:
            return _walked(path, data, unused)
        keys, offsets = listed
        ends, whole = _find_ends(data, offsets)
        if whole.all():
            return _with_headers(data, keys, offsets, ends, whole, None)
        _, stop = _walk(data)
        if stop == len(data):
            return _walked(path, data, f"{index}: doesn't fit the file and was not used; delete it")
        if not whole.any():
            raise InputError(f"{path}: no record of {index} is whole; the file is damaged or no RecordIO; get it anew")
        return _with_headers(data, keys, offsets, ends, whole, None)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with readable(path), path.open("rb") as file:
        if not file.seek(0, 2):
            raise InputError(f"{path}: empty file (0 bytes); get it anew")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def _read_idx(index: Path | None) -> tuple[tuple[Ids, Ids] | None, str | None]:
    """Keys and offsets of an ``.idx``, by offset; and why it can't be used."""
    if index is None:
        return None, None
    try:
        names = ["key", "offset"]
        with pc.open_csv(
            index,
            read_options=pc.ReadOptions(column_names=names, use_threads=False, block_size=_INDEX_BYTES),
            parse_options=pc.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pc.ConvertOptions(column_types=dict.fromkeys(names, pa.int64())),
        ) as lines:
            table = lines.read_all()
    except (pa.ArrowException, OSError):
        return None, f"{index}: not an index (lines of key, tab, position) and was not used; delete it"
    keys, offsets = (table[name].to_numpy() for name in names)
    is_listed_once = _ascends(keys) or len(np.unique(keys)) == len(keys)
    if table["key"].null_count or table["offset"].null_count or not is_listed_once:
        return None, f"{index}: lists a key twice or none, and was not used; delete it"
    if _ascends(offsets):
        return (keys, offsets), None
    order = np.argsort(offsets, kind="stable")
    return (keys[order], offsets[order]), None


def _ascends(numbers: Ids) -> bool:
    """Whether each number is greater than the one before."""
    return bool((numbers[1:] > numbers[:-1]).all())


def _walked(path: Path, data: mmap.mmap, unused: str | None) -> RecordIndex:
    offsets, stop = _walk(data)
    if stop < len(data):
        what = "not a RecordIO file" if not len(offsets) else f"damaged or cut off after {len(offsets)} whole records"
        raise InputError(f"{path}: {what}: no whole record at byte {stop}; get it anew, or put its .idx beside it")
    ends = np.append(offsets[1:], len(data))
    return _with_headers(data, None, offsets, ends, np.ones(len(offsets), np.bool_), unused)


def _walk(data: mmap.mmap) -> tuple[Ids, int]:
    """Positions of the records, from part to part, and where the last whole one ends."""
    offsets = array("q")
    start = at = 0
    in_parts = False
    release = _releaser(data)
    while at + PART_HEADER.size <= len(data):
        magic, word = PART_HEADER.unpack_from(data, at)
        place, length = word >> 29, word & MOST_PAYLOAD
        if magic != MAGIC or place > 3 or (place >= 2) != in_parts:
            break
        at += PART_HEADER.size + length + -length % _WORD
        if at > len(data):
            break
        in_parts = place in (1, 2)
        if not in_parts:
            offsets.append(start)
            start = at
            release(at)
    return np.array(offsets, np.int64), start


def _find_ends(data: mmap.mmap, offsets: Ids) -> tuple[Ids, Mask]:
    """End of each record in bytes, and whether a whole one stands there and reaches no further than the next."""
    bounds = np.append(offsets[1:], len(data))
    ends, whole = np.zeros(len(offsets), np.int64), np.zeros(len(offsets), np.bool_)
    fits = (offsets >= 0) & (offsets % _WORD == 0) & (offsets + PART_HEADER.size <= len(data)) & (bounds > offsets)
    single = np.zeros(len(offsets), np.bool_)
    for rows, words in _slabs(data, offsets, np.flatnonzero(fits)):
        at = offsets[rows] // _WORD
        place, length = words[at + 1] >> 29, (words[at + 1] & MOST_PAYLOAD).astype(np.int64)
        ends[rows] = offsets[rows] + PART_HEADER.size + length + -length % _WORD
        is_record = words[at] == _MAGIC_WORD
        single[rows] = is_record & (place == 0)
        fits[rows] = is_record & (place <= 1)
        whole[rows] = single[rows] & (ends[rows] <= bounds[rows]) & _is_boundary(words, ends[rows], len(data))
    for row in np.flatnonzero(fits & ~single):
        try:
            ends[row] = offsets[row] + unframe(data[offsets[row] : bounds[row]])[1]
            whole[row] = True
        except DamagedRecordError:
            continue
    return ends, whole


def _is_boundary(words: Words, ends: Ids, size: int) -> Mask:
    """Whether the file ends, or another record begins, where a record ends."""
    at = np.minimum(ends // _WORD, len(words) - 1)
    return (ends == size) | (words[at] == _MAGIC_WORD)


def _with_headers(
    data: mmap.mmap, keys: Ids | None, offsets: Ids, ends: Ids, whole: Mask, unused: str | None
) -> RecordIndex:
    labels = np.full(len(offsets), np.nan, np.float32)
    numbers = np.full(len(offsets) if keys is None else 0, -1, np.int64)
    without, lasts = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    is_image, multiple = np.ones(len(offsets), np.bool_), np.zeros(len(offsets), np.bool_)
    whole = whole & (ends - offsets >= _HEADER_WORDS * _WORD)
    for rows, words in _slabs(data, offsets, np.flatnonzero(whole)):
        at = offsets[rows] // _WORD
        length = (words[at + 1] & MOST_PAYLOAD).astype(np.int64)
        flags = words[at + 2].astype(np.int64)
        multiple[rows] = words[at + 1] >> 29 != 0
        room = length - IMAGE_HEADER.size - _WORD * flags
        whole[rows] = multiple[rows] | (room >= 0)
        place = at + np.where((flags > 0) & (room >= 0), _HEADER_WORDS, 3)
        labels[rows] = words[place].view(np.float32)
        if keys is None:
            numbers[rows] = words[at + 4].astype(np.int64) | words[at + 5].astype(np.int64) << 32
        is_image[rows] = (flags == 0) | (room > 0)
        ranged = ~is_image[rows]
        without.append(rows[ranged])
        lasts.append(words[np.minimum(place + (flags > 1), len(words) - 1)].view(np.float32)[ranged])
    for row in np.flatnonzero(multiple & whole):
        try:
            record = unpack_image(unframe(data[offsets[row] : ends[row]])[0])
        except DamagedRecordError:
            whole[row] = False
            continue
        labels[row], is_image[row] = record.labels[0], True
        if keys is None:
            numbers[row] = np.uint64(record.number).astype(np.int64)
    labels[~whole] = np.nan
    is_image |= ~whole
    if keys is None:
        keys = numbers if len(np.unique(numbers)) == len(numbers) else np.arange(len(offsets))
    rows = np.concatenate(without)
    ranges = _ranges(labels[rows], np.concatenate(lasts))[~is_image[rows]]
    if len(ranges) and not is_image[0]:
        # InsightFace's header record tells which damaged records are identity records. A whole record speaks for
        # itself: beyond 2^24 the range, which is float32, may begin before its true place.
        is_image &= whole | (keys < ranges[0, 0]) | (keys >= ranges[0, 1])
    problems = dict.fromkeys(np.flatnonzero(~whole & is_image).tolist(), _DAMAGED)
    return RecordIndex(keys, offsets, labels, is_image, ranges, problems, unused)


def _ranges(first: Labels, last: Labels) -> Ids:
    """The ranges from `first` to before `last`; a range that is none becomes zeros."""
    bounds = np.stack([first, last], axis=1)
    valid = (np.isfinite(bounds) & (bounds >= 0)).all(axis=1, keepdims=True)
    return np.where(valid, np.nan_to_num(bounds, posinf=0, neginf=0), 0).astype(np.int64)


def _slabs(data: mmap.mmap, offsets: Ids, rows: Ids) -> Iterator[tuple[Ids, Words]]:
    """Parts of `rows` with the file as words; the pages read are given back between them."""
    release = _releaser(data)
    for start in range(0, len(rows), _SLAB):
        part = rows[start : start + _SLAB]
        words = np.frombuffer(data, "<u4", len(data) // _WORD)
        yield part, words
        del words
        release(int(offsets[part[-1]]))


def _releaser(data: mmap.mmap) -> Callable[[int], None]:
    """A function that gives the pages of the map before a position back, now and then."""
    done, step, page = 0, 1 << 22, mmap.PAGESIZE

    def release(position: int) -> None:
        nonlocal done
        if position - done >= step and hasattr(mmap, "MADV_DONTNEED"):
            end = position // page * page
            data.madvise(mmap.MADV_DONTNEED, done, end - done)
            done = end

    return release
