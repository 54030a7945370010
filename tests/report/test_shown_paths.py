from __future__ import annotations

import json

import pyarrow as pa
import pytest

from purify.report.shown_paths import column_without_folders, without_folders


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/ann/faces", "faces"),
        ("file:///srv/ann/faces/a.jpg", "a.jpg"),
        ("2 files in /srv/ann/x.tar are cut", "2 files in x.tar are cut"),
        ("can't read '/srv/ann/x.tar'", "can't read 'x.tar'"),
        ("tar://p/a.jpg::file:///srv/ann/x.tar", "tar://p/a.jpg::x.tar"),
        ("s3://bucket/ann/x.tar", "s3://bucket/ann/x.tar"),
        ("p1/a.jpg and 3/4", "p1/a.jpg and 3/4"),
        ("", ""),
    ],
)
def test_a_text_loses_the_folders_above_files(text: str, shown: str) -> None:
    assert without_folders([text])[0] == shown


def test_folders_of_known_places_go_wherever_they_stand_blanks_or_not() -> None:
    values = {"config": {"images": ["/mnt/Jane Doe/faces"]}, "warning": "/mnt/Jane Doe/faces: 3 images are missing"}
    assert without_folders(values) == {"config": {"images": ["faces"]}, "warning": "faces: 3 images are missing"}


def test_files_of_one_name_stay_apart() -> None:
    short = without_folders({"/a/x.csv": 1, "/b/x.csv": 2, "n": (1.5, None, True)})
    assert sorted(value for key, value in short.items() if key.startswith("x.csv")) == [1, 2]
    assert json.dumps(short["n"]) == "[1.5, null, true]"


def test_a_column_keeps_its_type_and_nulls() -> None:
    table = pa.table({"n": [1, 2], "note": pa.array(["missing: /srv/ann/a.jpg", None]).dictionary_encode()})
    short = column_without_folders(table, "note")
    assert short["note"].to_pylist() == ["missing: a.jpg", None]
    assert short.schema == table.schema
