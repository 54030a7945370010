"""Tables in text, value by value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from purify.errors import InputError
from purify.tables.pair_files import read_pair_list
from purify.tables.text_tables import csv_rows, image_list, is_number, json_lines, separated


def _write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding, newline="")
    return path


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("t.csv", "a,b\n1,2\n\n3,4\n", [["a", "b"], ["1", "2"], ["3", "4"]]),
        ("t.csv", "a;b\r\n1,5;2\r\n", [["a", "b"], ["1,5", "2"]]),
        ("t.csv", "a\tb\n1\t2;3\n", [["a", "b"], ["1", "2;3"]]),
        ("t.csv", "a,b;c\n1,2;3\n", [["a", "b;c"], ["1", "2;3"]]),
        ("t.csv", "a\n1;2\n", [["a"], ["1;2"]]),
        ("t.tsv", "a,b\tc\n1\t2\n", [["a,b", "c"], ["1", "2"]]),
        ("t.csv", "a, b, c\n1, 2, 3\n", [["a", "b", "c"], ["1", "2", "3"]]),
        ("t.csv", "a, b,c\n1, 2,3\n", [["a", " b", "c"], ["1", " 2", "3"]]),
        ("t.csv", 'a,b\n"1,\n2",3\n', [["a", "b"], ["1,\n2", "3"]]),
        ("t.csv", "\ufeffa,b\n", [["a", "b"]]),
        ("t.csv", "", [[]]),
    ],
)
def test_rows_of_separated_values(tmp_path: Path, name: str, text: str, rows: list[list[str]]) -> None:
    assert list(csv_rows(_write(tmp_path / name, text))) == rows


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_marks_of_encodings_are_no_text(tmp_path: Path, encoding: str) -> None:
    assert list(csv_rows(_write(tmp_path / "t.csv", "a,\u00e9\n", encoding))) == [["a", "\u00e9"]]


def test_a_row_of_another_length_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 2 has 3 values, expected 2; quote values with semicolons"):
        list(csv_rows(_write(tmp_path / "t.csv", "a;b\n1;2\n1;2;3\n")))
    with pytest.raises(InputError, match=r"not in UTF-8"):
        list(csv_rows(_write(tmp_path / "t.csv", "a,\u00e9\n", "latin-1")))
    with pytest.raises(InputError, match=r"not a CSV file with commas"):
        list(csv_rows(_write(tmp_path / "t.csv", 'a,b\n"1"x,2\n')))


@pytest.mark.parametrize(
    ("columns", "header", "rows"),
    [
        ({"path": "1", "label": "2"}, ["1", "2", "3"], 2),
        ({"path": "1", "label": "c"}, ["a", "b", "c"], 1),
        ({"path": "a"}, ["a", "b", "c"], 1),
        ({}, ["a", "b", "c"], 1),
    ],
)
def test_columns_by_number_have_no_header(
    tmp_path: Path, columns: Mapping[str, str], header: list[str], rows: int
) -> None:
    names, found = separated(_write(tmp_path / "t.csv", "a,b,c\nx,y,z\n"), columns)
    assert names == header
    assert list(found)[-rows:] == [["a", "b", "c"], ["x", "y", "z"]][-rows:]
    numbered = _write(tmp_path / "n.csv", "1,2\nx,y\n")
    assert separated(numbered, {"path": "1", "label": "2"})[0] == ["1", "2"]
    assert list(separated(numbered, {"path": "1", "label": "2"})[1]) == [["x", "y"]]


def test_fields_of_the_first_hundred_objects(tmp_path: Path) -> None:
    lines = [f'{{"path": "{k}"}}' for k in range(99)]
    lines += ['{"path": "p", "label": 3}', '{"path": "q", "late": 1}']
    names, rows = json_lines(_write(tmp_path / "t.jsonl", "\n\n".join(lines)), {})
    assert names == ["path", "label"]
    found = list(rows)
    assert (found[0], found[99], found[100]) == (["0", None], ["p", "3"], ["q", None])
    values = '{"a": "x", "b": 1.5, "c": true, "d": null, "e": [1, "y"], "f": 12345678901234567890}'
    _, rows = json_lines(_write(tmp_path / "t.jsonl", values), {})
    assert list(rows) == [["x", "1.5", "true", None, '[1, "y"]', "12345678901234567890"]]
    for text, message in (('{"a": 1}\n[1]\n', "row 2: expected an object"), ('{"a": 1}\n{\n', "row 2: not JSON")):
        with pytest.raises(InputError, match=message):
            list(json_lines(_write(tmp_path / "t.jsonl", text), {})[1])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("0\t3.000000\ta/1.jpg\n1\t4.5\ta/2.jpg\n", [["a/1.jpg", "3"], ["a/2.jpg", "4.5"]]),
        ("0 3 7 8 a/1.jpg\n", [["a/1.jpg", "3"]]),
        ("1\ta/1.jpg\t5\n2\ta/2.jpg\t6\n", [["a/1.jpg", "5"], ["a/2.jpg", "6"]]),
        ("a/1.jpg 7.0\n", [["a/1.jpg", "7"]]),
        ("7 a/1.jpg\n", [["a/1.jpg", "7"]]),
        ("a b/1.jpg\t7.\n\n12\t7.0\n", [["a b/1.jpg", "7"], ["12", "7"]]),
        ("1 a.0 x.jpg\n", [["x.jpg", "a.0"]]),
    ],
)
def test_lists_of_paths_and_labels(tmp_path: Path, text: str, rows: list[list[str]]) -> None:
    names, found = image_list(_write(tmp_path / "t.lst", text), {})
    assert names == ["path", "label"]
    assert list(found) == rows


def test_lists_by_number_and_lists_that_tell_nothing(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.lst", "x y z\n1 2 3\n")
    names, found = image_list(path, {"path": "1", "label": "3"})
    assert names == ["1", "2", "3"]
    assert list(found) == [["x", "y", "z"], ["1", "2", "3"]]
    for text, message in (("1 2\n3 4\n", "no column of paths"), ("a\nb\n", "no column of paths"), ("", "no column")):
        with pytest.raises(InputError, match=message):
            image_list(_write(path, text), {})
    with pytest.raises(InputError, match="row 2 has 1 values, expected 2"):
        image_list(_write(path, "1 a\n2\n"), {})
    assert [is_number(text) for text in ("1", "-2.5e3", "nan", "1,5", "")] == [True, True, True, False, False]


def test_pairs_of_a_table_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    found = read_pair_list(_write(path, "a,b,same,fold\nx,y,1,0\nx,z,FALSE,12\n"), set(), prefix=None)
    assert (list(found.a), list(found.b), list(found.same)) == (["x", "x"], ["y", "z"], [True, False])
    assert list(found.fold or ()) == [0, 12]
    assert read_pair_list(_write(path, "a,b,same\nx,y,true\n"), set(), prefix=None).fold is None
    for row, message in (
        ("x,,1,0", "row 2: b is ''"),
        (",y,1,0", "row 2: a is ''"),
        ("x,y,2,0", "row 2: same is '2'"),
        ("x,y,1,-1", "row 2: fold is '-1'"),
    ):
        with pytest.raises(InputError, match=message):
            read_pair_list(_write(path, f"a,b,same,fold\nx,y,1,0\n{row}\n"), set(), prefix=None)
    with pytest.raises(InputError, match="no pairs"):
        read_pair_list(_write(path, "a,b,same\n"), set(), prefix=None)
