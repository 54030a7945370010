from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.errors import InputError, PurifyError
from purify.storage import files
from purify.storage.files import (
    PARQUET_FORMAT,
    atomic_path,
    read_blocks,
    read_json,
    read_table,
    sha256_file,
    write_blocks,
    write_json,
    write_table,
)
from purify.tables.schema import LABELS, VERDICTS


def labels_table(rows: int = 3) -> pa.Table:
    return pa.table(
        {
            "label": [f"p{i}" for i in range(rows)],
            "new_label": [None] * rows,
            "label_id": [None] * rows,
            "n": list(range(rows)),
            "n_kept": [0] * rows,
        },
        schema=LABELS,
    )


def test_a_table_comes_back_equal_with_its_schema(tmp_path: Path) -> None:
    write_table(labels_table(), tmp_path / "new" / "labels.parquet")
    assert read_table(tmp_path / "new" / "labels.parquet", LABELS).equals(labels_table(), check_metadata=True)


def test_equal_tables_give_equal_bytes_however_they_were_put_together(tmp_path: Path) -> None:
    whole = labels_table(1000)
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 500), whole.slice(507)])
    write_table(whole, tmp_path / "a.parquet")
    write_table(pieces, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@given(cuts=st.lists(st.integers(0, 40)), rows=st.integers(0, 40))
def test_blocks_give_the_bytes_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], rows: int
) -> None:
    folder, whole = tmp_path_factory.mktemp("blocks"), labels_table(rows)
    ends = [*sorted(min(cut, rows) for cut in cuts), rows]
    blocks = [whole.slice(start, end - start) for start, end in zip([0, *ends], ends, strict=False)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_ROW_GROUP_ROWS", 8)
        patch.setattr(files, "_BLOCK_ROWS", 3)
        write_blocks(iter(blocks), LABELS, folder / "blocks.parquet")
        write_table(whole, folder / "whole.parquet")
        pq.write_table(whole, folder / "at_once.parquet", row_group_size=8, **PARQUET_FORMAT)
        read = pa.concat_tables([LABELS.empty_table().select(["n"]), *read_blocks(folder / "whole.parquet", ["n"])])
    contents = {(folder / f"{name}.parquet").read_bytes() for name in ("blocks", "whole", "at_once")}
    assert len(contents) == 1
    assert read["n"].to_pylist() == list(range(rows))


def test_blocks_that_end_in_an_error_leave_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(labels_table(), path)
    before = path.read_bytes()

    def blocks() -> Iterator[pa.Table]:
        yield labels_table(5)
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_blocks(blocks(), LABELS, path)
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]
    assert path.read_bytes() == before


def test_a_damaged_page_is_named_by_a_reader_of_blocks(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(labels_table(2000), path)
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet: damaged Parquet file"):
        list(read_blocks(path, ["label"]))


def test_chosen_columns_are_cast_and_unknown_ones_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"other": [1.5], "n": pa.array([4], pa.int64()), "label": ["x"]}), path)
    table = read_table(path, LABELS, columns=["label", "n"])
    assert table.column_names == ["label", "n"]
    assert table["n"].type == pa.int32()


def test_folders_called_like_partitions_add_no_column(tmp_path: Path) -> None:
    path = tmp_path / "label=7" / "t.parquet"
    write_table(labels_table(), path)
    assert read_table(path, LABELS)["label"].to_pylist() == ["p0", "p1", "p2"]


def write_with_a_broken_name(path: Path) -> None:
    """A Parquet file, one of whose columns has a name that is not UTF-8."""
    pq.write_table(pa.table({"label": ["a"], "QQQQ": ["x"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"QQQQ", b"Q\xf3QQ"))


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.mkdir(), "can't be read"),
        (lambda p: p.write_bytes(b""), "not a Parquet file"),
        (lambda p: p.write_bytes(b"PAR1 and rubbish PAR1"), "not a Parquet file"),
        (write_with_a_broken_name, "not a Parquet file"),
        (
            lambda p: pq.write_table(pa.table({"label": ["x"], "n": [1]}), p),
            "missing columns new_label, label_id, n_kept",
        ),
        (
            lambda p: pq.write_table(labels_table().drop(["n"]).append_column("n", [["a"] * 3]), p),
            "column 'n' is string",
        ),
        (
            lambda p: pq.write_table(
                labels_table().drop(["n"]).append_column("n", pa.array([1, None, 3], pa.int32())), p
            ),
            "row 2: n is missing",
        ),
    ],
)
def test_unusable_files_are_refused_by_name(tmp_path: Path, prepare: object, message: str) -> None:
    path = tmp_path / "t.parquet"
    prepare(path)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as caught:
        read_table(path, LABELS)
    assert str(path) in str(caught.value)


def test_damage_inside_a_parquet_file_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(labels_table(5000), path)
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(1900)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet: damaged"):
        read_table(path, LABELS)


def test_another_table_of_the_project_is_refused(tmp_path: Path) -> None:
    write_table(labels_table(), tmp_path / "labels.parquet")
    with pytest.raises(InputError, match=r"holds labels/1, expected verdicts/1"):
        read_table(tmp_path / "labels.parquet", VERDICTS)


def test_json_is_sorted_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"b": [1, None], "a": "é"})
    assert path.read_text() == '{\n  "a": "\\u00e9",\n  "b": [\n    1,\n    null\n  ]\n}\n'
    assert read_json(path) == {"b": [1, None], "a": "é"}


def test_json_without_numbers_for_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\xfa"])
def test_damaged_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json: not a JSON file"):
        read_json(tmp_path / "x.json")


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(InputError, match="no such file"):
        sha256_file(tmp_path / "y")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]
    assert path.read_text() == "old"


def test_the_temporary_path_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "x.png") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        temporary.write_text("1")
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_a_place_that_can_not_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PurifyError, match="can't be written"):
        write_json(tmp_path / "file" / "x.json", {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(PurifyError, match="can't be written"):
        write_json(tmp_path / "folder", {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
