"""RecordIO's framing, checked against a file that MXNet wrote and by round trips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.storage.recordio import (
    MAGIC,
    MOST_EXACT_POSITION,
    MOST_PAYLOAD,
    DamagedRecordError,
    ImageRecord,
    frame,
    index_line,
    insightface_records,
    pack_image,
    property_line,
    unframe,
    unpack_image,
)

#: Bytes in which the magic number is frequent, at any alignment.
PAYLOADS = st.lists(st.sampled_from([MAGIC, MAGIC[:2], MAGIC[1:], b"a", b"\0\0\0\0", b"face"])).map(b"".join)


def records(data: bytes) -> Iterator[bytes]:
    while data:
        payload, length = unframe(data)
        data = data[length:]
        yield payload


@given(st.lists(st.binary(max_size=40) | PAYLOADS, max_size=5))
def test_what_is_framed_is_read_back(payloads: list[bytes]) -> None:
    data = b"".join(map(frame, payloads))
    assert len(data) % 4 == 0
    assert list(records(data)) == payloads


@given(PAYLOADS)
def test_the_magic_number_stands_only_where_a_part_begins(payload: bytes) -> None:
    data = frame(payload)
    at, parts = 0, []
    while at < len(data):
        parts.append(at)
        at += 8 + (int.from_bytes(data[at + 4 : at + 8], "little") & MOST_PAYLOAD)
        at += -at % 4
    assert parts == [at for at in range(0, len(data), 4) if data[at : at + 4] == MAGIC]


FLOATS = st.floats(width=32, allow_nan=False)


@given(st.lists(FLOATS, max_size=4), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), PAYLOADS)
def test_images_come_back_with_all_their_labels(labels: list[float], number: int, second: int, image: bytes) -> None:
    record = ImageRecord(tuple(labels or [0.0]), number, image, second)
    assert unpack_image(unframe(frame(pack_image(record)))[0]) == record


@given(PAYLOADS, st.data())
def test_a_cut_record_is_damaged(payload: bytes, data: st.DataObject) -> None:
    whole = frame(payload)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DamagedRecordError, match=r"ends inside|no record"):
        unframe(whole[:cut])


def test_a_header_that_promises_too_many_labels_is_damaged() -> None:
    with pytest.raises(DamagedRecordError, match="promises 9 labels"):
        unpack_image((9).to_bytes(4, "little") + bytes(24))
    with pytest.raises(DamagedRecordError, match="3 bytes"):
        unpack_image(b"abc")


@given(st.lists(st.integers(0, 3), max_size=5).filter(any))
def test_insightface_layout_says_where_the_images_of_a_class_are(counts: list[int]) -> None:
    images = [(label, f"{label}-{k}".encode()) for label, count in enumerate(counts) for k in range(count)]
    written = list(insightface_records(images, counts))
    assert [key for key, _ in written] == list(range(1 + len(images) + len(counts)))
    read = [unpack_image(unframe(data)[0]) for _, data in written]
    first, end = (int(bound) for bound in read[0].labels)
    assert [(int(record.labels[0]), record.image) for record in read[1:first]] == images
    ranges = [range(*map(int, record.labels)) for record in read[first:end]]
    assert [[read[number].labels for number in numbers] for numbers in ranges] == [
        [(float(label),)] * count for label, count in enumerate(counts)
    ]


@pytest.mark.parametrize(
    "images", [[(0, b"a")], [(1, b"b"), (0, b"a")], [(0, b"a"), (0, b"a"), (1, b"b")], [(0, b""), (2, b"")]]
)
def test_images_that_dont_fit_the_counts_are_refused(images: list[tuple[int, bytes]]) -> None:
    with pytest.raises(ValueError, match="counts"):
        list(insightface_records(images, [1, 1]))


def test_positions_beyond_float32_never_point_past_the_images() -> None:
    records = insightface_records(iter(()), [MOST_EXACT_POSITION + 2])
    header = unpack_image(unframe(next(records)[1])[0])
    assert header.labels[0] == MOST_EXACT_POSITION + 2  # one image less than there are, but no identity record


def test_mxnets_own_file_is_read_and_written_byte_for_byte(faces: Path) -> None:
    folder = faces / "rec_sample"
    data = (folder / "train.rec").read_bytes()
    read = [unpack_image(payload) for payload in records(data)]
    first, end = (int(bound) for bound in read[0].labels)
    lines = [line.split("\t") for line in (folder / "train.lst").read_text().splitlines()]
    assert [int(record.labels[0]) for record in read[1:first]] == [int(label) for _, _, label in lines]
    assert all(record.image.startswith(b"\xff\xd8") for record in read[1:first])

    counts = Counter(int(record.labels[0]) for record in read[1:first])
    images = [(int(record.labels[0]), record.image) for record in read[1:first]]
    again, index = b"", ""
    for key, record in insightface_records(images, [counts[label] for label in range(len(counts))]):
        index, again = index + index_line(key, len(again)), again + record
    assert again == data
    assert index == (folder / "train.idx").read_text()
    assert property_line(end - first, 112, 112) == (folder / "property").read_text()
