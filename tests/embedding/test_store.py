from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.embedding.store import EmbeddingWriter, read_embeddings
from purify.errors import InputError
from purify.storage.files import SCHEMA_KEY

IDS = ["a/1.jpg", "a/2.jpg", "b/1.jpg"]
VECTORS = np.array([[1, 2], [3, 4], [-5, 6]], np.float32)


def write(path: Path, ids: list, embedding: pa.Array, *, id_column: str = "sample_id", **options: int) -> Path:
    pq.write_table(pa.table({id_column: ids, "embedding": embedding}), path, **options)
    return path


@pytest.mark.parametrize("scalar", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("kind", [pa.list_, pa.large_list, lambda scalar: pa.list_(scalar, 2)])
@pytest.mark.parametrize("id_column", ["sample_id", "path"])
def test_any_float_list_is_read(tmp_path: Path, scalar: pa.DataType, kind, id_column: str) -> None:
    rows = [row.astype(scalar.to_pandas_dtype()) for row in VECTORS]
    path = write(tmp_path / "e.parquet", IDS, pa.array([list(r) for r in rows], kind(scalar)), id_column=id_column)
    vectors = read_embeddings(path, IDS)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, VECTORS)


@settings(deadline=None)
@given(
    order=st.permutations(range(12)),
    wanted=st.lists(st.integers(0, 11), min_size=1, unique=True),
    row_group=st.integers(1, 12),
)
def test_rows_are_aligned_with_the_ids(tmp_path_factory, order, wanted, row_group: int) -> None:
    path = tmp_path_factory.mktemp("store") / "e.parquet"
    values = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    embedding = pa.array([list(values[i]) for i in order], pa.list_(pa.float32(), 3))
    write(path, [f"id{i}" for i in order], embedding, row_group_size=row_group)
    np.testing.assert_array_equal(read_embeddings(path, [f"id{i}" for i in wanted]), values[wanted])


def test_rows_of_other_samples_may_be_bad(tmp_path: Path) -> None:
    embedding = pa.array([[1.0, 2.0], None, [float("nan"), 1.0], [1.0], [0.0, 0.0]], pa.list_(pa.float32()))
    path = write(tmp_path / "e.parquet", ["a", "b", "c", "d", "d"], embedding)
    np.testing.assert_array_equal(read_embeddings(path, ["a"]), [[1, 2]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [1.0]], "row 2.*another length.*2"),
        ([[1.0, 2.0], [1.0, float("nan")]], "row 2.*not finite"),
        ([[1.0, 2.0], [float("-inf"), 0.0]], "row 2.*not finite"),
        ([[1.0, 2.0], [1e300, 0.0]], "row 2.*not finite"),
        ([[1.0, 2.0], [None, 0.0]], "row 2.*missing"),
        ([[1.0, 2.0], None], "row 2.*missing"),
        ([[0.0, 0.0], [0.0, 0.0]], r"row 1.*zeros.*2 such rows"),
        ([[], []], "row 1.*empty"),
    ],
)
def test_bad_embeddings_are_named_by_row(tmp_path: Path, rows: list, message: str) -> None:
    path = write(tmp_path / "e.parquet", ["a", "b"], pa.array(rows, pa.list_(pa.float64())))
    with pytest.raises(InputError, match=message) as caught:
        read_embeddings(path, ["b", "a"])
    assert str(path) in str(caught.value)


def test_missing_ids_are_counted_and_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "e.parquet", ["a"], pa.array([[1.0]], pa.list_(pa.float32())))
    with pytest.raises(InputError, match=r"no embedding for 4 of 5 samples, such as b, c, d;"):
        read_embeddings(path, ["a", "b", "c", "d", "e"])


@pytest.mark.parametrize("row_group", [1, 3])
def test_duplicate_ids_are_refused(tmp_path: Path, row_group: int) -> None:
    embedding = pa.array([[1.0], [2.0], [3.0]], pa.list_(pa.float32()))
    path = write(tmp_path / "e.parquet", ["a", "b", "a"], embedding, row_group_size=row_group)
    with pytest.raises(InputError, match="row 3: a occurs twice"):
        read_embeddings(path, ["a", "b"])


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()])
def test_ids_of_any_kind_of_text_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"path": pa.array(["a", "b"]).cast(kind), "embedding": [[1.0, 2.0], [3.0, 4.0]]})
    pq.write_table(table, tmp_path / "e.parquet")
    assert read_embeddings(tmp_path / "e.parquet", ["b", "a"]).tolist() == [[3.0, 4.0], [1.0, 2.0]]


def test_columns_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({"sample_id": ["a"], "one": [[1.0]], "two": [[1.0]]}), path)
    with pytest.raises(InputError, match="missing column embedding"):
        read_embeddings(path, ["a"])
    pq.write_table(pa.table({"embedding": [[1.0]]}), path)
    with pytest.raises(InputError, match="missing column path"):
        read_embeddings(path, ["a"])
    pq.write_table(pa.table({"sample_id": ["a"], "embedding": [["x"]]}), path)
    with pytest.raises(InputError, match="expected lists of float16"):
        read_embeddings(path, ["a"])


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_embeddings(tmp_path / "none.parquet", ["a"])
    values = pa.array(np.random.default_rng(0).normal(size=8000), pa.float32())
    embedding = pa.FixedSizeListArray.from_arrays(values, 8)
    path = write(tmp_path / "e.parquet", [f"{i}" for i in range(1000)], embedding)
    data = bytearray(path.read_bytes())
    data[10_000:20_000] = b"\x00" * 10_000
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=str(path)):
        read_embeddings(path, [f"{i}" for i in range(1000)])


def test_no_samples_give_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "e.parquet", ["a"], pa.array([[1.0]], pa.list_(pa.float32())))
    assert len(read_embeddings(path, [])) == 0


@pytest.mark.parametrize("part", [1, 7, 40_000])
def test_the_writer_gives_the_same_bytes_however_it_is_fed(tmp_path: Path, part: int) -> None:
    rows = 33_000 if part > 7 else 500
    ids = [f"{i:06d}" for i in range(rows)]
    vectors = np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32)
    for name, step in (("whole", rows), ("parts", part)):
        with EmbeddingWriter(tmp_path / name, 2) as writer:
            for start in range(0, rows, step):
                writer.write(ids[start : start + step], vectors[start : start + step])
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()
    np.testing.assert_array_equal(read_embeddings(tmp_path / "parts", ids[::-1]), vectors[::-1])
    assert pq.read_schema(tmp_path / "parts").metadata[SCHEMA_KEY] == b"embeddings/1"


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    path.write_bytes(b"old")

    def fail() -> None:
        with EmbeddingWriter(path, 2) as writer:
            writer.write(IDS, VECTORS)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_writer_refuses_other_shapes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected"), EmbeddingWriter(tmp_path / "e", 3) as writer:
        writer.write(IDS, VECTORS)


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    with EmbeddingWriter(tmp_path / "e.parquet", 3):
        pass
    assert pq.read_table(tmp_path / "e.parquet").num_rows == 0
