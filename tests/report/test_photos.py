"""What came in of photos: their counts, and pictures of them with the face framed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from purify.report.photos import photo_counts, photo_with_box, shown_photos
from purify.storage.image_bytes import ImageByteReader
from purify.tables.schema import MANIFEST
from tests.detector_models import write_photo


def rows(folder: Path) -> pa.Table:
    uri = write_photo(folder / "photo.png", [(3, 3)]).as_uri()
    common = {"label": "ada", "uri": uri, "photo_uri": uri, "status": "ok", "box": [80.0, 80.0, 160.0, 160.0]}
    found = [
        {"sample_id": "one", "faces": 1, "face_choice": "the only face"},
        {"sample_id": "two", "faces": 2, "face_choice": "the largest and most central face of 2"},
        {"sample_id": "agreeing", "faces": 3, "face_choice": "agrees with 4 other photos of its label"},
        {"sample_id": "none", "faces": 0, "status": "no_face", "status_reason": "no_face: none found", "box": None},
        {"sample_id": "tiny", "faces": 1, "status": "too_small", "status_reason": "small_face: 9 pixels < 16"},
        {"sample_id": "broken", "status": "unreadable", "box": None},
    ]
    return pa.Table.from_pylist([common | row for row in found], schema=MANIFEST)


def test_rows_are_counted_by_what_their_photo_shows(tmp_path: Path) -> None:
    counts = photo_counts(rows(tmp_path))
    assert counts is not None
    del counts["photos"]
    assert counts == {"one": 1, "several": 2, "agreeing": 1, "none": 1, "small": 1, "profile": 0}
    assert photo_counts(MANIFEST.empty_table()) is None


def test_agreement_several_and_none_are_shown_with_what_is_said(tmp_path: Path) -> None:
    shown = shown_photos(rows(tmp_path))
    assert [one["sample_id"] for one in shown] == ["agreeing", "two", "none", "tiny"]
    assert shown[0]["said"] == "agrees with 4 other photos of its label"
    assert shown[2]["said"] == "no_face: none found"
    assert [one["crop"] is None for one in shown] == [False, False, True, True]


def test_the_box_is_drawn_on_the_reduced_photo(tmp_path: Path) -> None:
    uri = write_photo(tmp_path / "photo.png", []).as_uri()  # 256 pixels
    with ImageByteReader() as reader:
        photo = photo_with_box(reader, uri, [64.0, 64.0, 192.0, 192.0], [128.0, 128.0] * 5, 128)
        assert photo_with_box(reader, (tmp_path / "gone.png").as_uri(), None, None, 128) is None
    assert photo is not None
    assert photo.shape == (128, 128, 3)
    assert np.abs(photo[32, 60].astype(int) - (255, 205, 0)).max() == 0
    assert np.abs(photo[64, 64].astype(int) - (0, 230, 90)).max() == 0
    assert photo[10, 10].max() < 60
